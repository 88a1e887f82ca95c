"""Negatives of one's own: the loss and gradients by the textbook, in one process, in chunks and in two processes."""

import numpy as np
import pytest
import torch
from contrastive_models import gradients, own_negatives_of_two, pairs, still_clap, with_negatives
from test_losses import assert_close
from tiny_models import RATE, clap_parts, tone
from torch.nn import functional as F
from transformers import TrainingArguments
from two_processes import in_two_processes

from afm_hf import ClapAfmProcessor
from afm_hf.training.cached_contrastive import cached_contrastive
from afm_hf.training.collators import ClapCollator
from afm_hf.training.contrastive_trainer import ContrastiveTrainer
from afm_hf.training.losses import ContrastiveLoss


def by_hand(batch):
    """Loss and gradients, row by row: each audio against all texts but its own said again, each text against all."""
    model = still_clap()
    count = batch["num_pairs"]
    outputs = model(**{name: value for name, value in batch.items() if name != "num_pairs"}, return_loss=False)
    audio, text, scale = outputs.audio_embeds, outputs.text_embeds, model.logit_scale.exp()
    terms = []
    for row in range(count):
        texts = [
            column
            for column in range(len(text))
            if column < count or not torch.equal(batch["input_ids"][column], batch["input_ids"][row])
        ]
        of_audio = scale * text[texts] @ audio[row]
        of_text = scale * audio @ text[row]
        terms.append(-(of_audio.log_softmax(0)[row] + of_text.log_softmax(0)[row]) / 2)
    loss = torch.stack(terms).mean()
    loss.backward()
    return loss.item(), gradients(model)


def test_the_models_own_loss_is_that_of_the_textbook():
    batch = with_negatives(pairs(9), 5, repeated=True)
    expected, wanted = by_hand(batch)
    model = still_clap()
    loss = model(**batch).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert_close(gradients(model), wanted, 1e-5)
    without = {name: value[:5] for name, value in batch.items() if name != "num_pairs"}
    assert still_clap()(**without).loss.item() < expected - 1e-3, "negatives make it harder"


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_chunks_have_its_loss_and_gradients(chunk):
    batch = with_negatives(pairs(9), 5, repeated=True)
    expected, wanted = by_hand(batch)
    model = still_clap()
    assert cached_contrastive(model, batch, chunk).item() == pytest.approx(expected, abs=1e-6)
    assert_close(gradients(model), wanted)


def test_two_processes_with_unequal_negatives_have_the_loss_and_gradients_of_one():
    expected, wanted = by_hand(with_negatives(pairs(9), 5, repeated=True))
    for (loss, found), (_, others) in zip(*in_two_processes(own_negatives_of_two, [None, 2]), strict=True):
        assert loss == pytest.approx(expected, abs=1e-6)
        assert_close(found, wanted)
        assert found == others


def test_a_negative_that_says_the_same_is_none():
    audio = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    text, scale = audio.flip(0), torch.tensor(1.0)
    ids = torch.tensor([1, 2, 3, 2])
    loss = ContrastiveLoss()(audio, torch.cat([text, text[1:2]]), scale, 3, ids)
    logits = scale.exp() * audio @ torch.cat([text, text[1:2]]).t()
    logits[1, 3] = -torch.inf
    of_text = F.cross_entropy(scale.exp() * text @ audio.t(), torch.arange(3))
    assert loss.item() == pytest.approx(((F.cross_entropy(logits, torch.arange(3)) + of_text) / 2).item(), abs=1e-6)


@pytest.mark.parametrize("count", [0, 4])
def test_more_pairs_than_there_are_is_an_error(count):
    batch = {**pairs(3), "num_pairs": count}
    with pytest.raises(ValueError, match=f"`num_pairs` is {count}, but there are 3 audios and 3 texts"):
        still_clap()(**batch)
    with pytest.raises(ValueError, match="num_pairs"):
        ContrastiveLoss()(torch.eye(3), torch.eye(3), torch.tensor(0.0), count)


def example(seed, **more):
    return {"audio": tone(200 + seed, seed=seed), "sampling_rate": RATE, "text": f"text {seed}", **more}


def test_the_collator_puts_negatives_behind_the_pairs():
    _, tokenizer, extractor = clap_parts()
    collator = ClapCollator(ClapAfmProcessor(extractor, tokenizer))
    rows = [
        example(1, negative_text="not this", negative_audio=[tone(900), tone(901)]),
        example(2, negative_text=["nor this", "nor that"], negative_audio=None),
    ]
    batch = collator(rows)
    assert batch["num_pairs"] == 2 and len(batch["input_features"]) == 4
    said = tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    assert said == ["text 1", "text 2", "not this", "nor this", "nor that"]
    plain = collator([example(1), example(2)])
    assert "num_pairs" not in plain
    np.testing.assert_allclose(batch["input_features"][:2], plain["input_features"], atol=1e-5)
    assert collator([example(1, negative_text=None)])["num_pairs"] == 1
    broken = collator([example(1), example(2, negative_audio=["gone.wav"])])
    assert len(broken["input_ids"]) == 1 and collator.left_out == 1


def test_the_trainer_learns_from_them_and_evaluates_pairs_alone(tmp_path):
    _, tokenizer, extractor = clap_parts()
    collator = ClapCollator(ClapAfmProcessor(extractor, tokenizer))
    rows = [example(seed, negative_text=f"no {seed}", negative_audio=tone(700 + seed)) for seed in range(4)]
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        remove_unused_columns=False,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
    )
    trainer = ContrastiveTrainer(
        still_clap(dtype=torch.float32), arguments, train_dataset=rows, eval_dataset=rows, data_collator=collator
    )
    predicted = trainer.predict(rows)
    assert [len(part) for part in predicted.predictions] == [4, 4] and len(predicted.label_ids) == 4
    batch = collator(rows)
    with torch.no_grad():
        assert predicted.metrics["test_loss"] == pytest.approx(trainer.model(**batch).loss.item(), abs=1e-4)
    assert np.isfinite(trainer.train().training_loss)
