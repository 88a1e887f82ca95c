"""A captioner trained without audio: what it learns from, what stays, and that it hears afterwards."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from prefix_models import bytes_tokenizer
from safetensors.torch import load_file
from tiny_models import CLIP_S, RATE, clap_parts
from transformers import (
    AutoModelForMultimodalLM,
    AutoProcessor,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
)

from afm_hf import ClapAfmProcessor
from afm_hf.adaptation.text_only import (
    CaptionCollator,
    CaptionDataset,
    TextOnlyTraining,
    captioner_from_clap,
    embed_captions,
    modality_gap,
)

CAPTIONS = ["a dog barks", "rain falls", "a bell rings", "birds sing"]


def clips(count=4):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(round(RATE * CLIP_S)).astype(np.float32) * 0.1 for _ in range(count)]


@pytest.fixture
def parts():
    clap, tokenizer, extractor = clap_parts()
    torch.manual_seed(0)
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    config = GPT2Config(vocab_size=257, n_positions=96, n_embd=16, n_layer=1, n_head=2, bos_token_id=256, **still)
    language_model = GPT2LMHeadModel(config)
    with torch.no_grad():  # as initialised, it hardly minds its input
        for parameter in language_model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    clap_processor = ClapAfmProcessor(extractor, tokenizer)
    sizes = {"prefix_length": 3, "mapper_layers": 1, "mapper_heads": 2}
    captioner, processor = captioner_from_clap(clap, clap_processor, language_model, bytes_tokenizer(), **sizes)
    return clap, clap_processor, language_model, captioner, processor


def test_the_captioner_is_made_of_copies_and_only_the_mapper_trains(parts):
    clap, clap_processor, language_model, captioner, _ = parts
    features = clap_processor.feature_extractor(clips(2), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        pooled = captioner.model.audio_projection(captioner.model.audio_tower(**features).pooler_output)
        expected = clap.get_audio_features(**features, normalize=False).pooler_output
    torch.testing.assert_close(pooled, expected)
    ids = torch.tensor([[1, 5, 9, 2]])
    with torch.no_grad():
        ours = captioner(input_ids=ids).logits[..., :257]
        torch.testing.assert_close(ours, language_model.eval()(ids).logits)
    trained = {name for name, parameter in captioner.named_parameters() if parameter.requires_grad}
    assert trained and all(name.startswith("model.audio_mapper.") for name in trained)


def test_training_on_captions_alone_makes_a_captioner_that_hears(parts, tmp_path):
    clap, clap_processor, _, captioner, processor = parts
    before = {name: value.clone() for name, value in captioner.state_dict().items()}
    training = TextOnlyTraining(captioner, noise_std=0.02)
    arguments = TrainingArguments(
        str(tmp_path / "run"),
        max_steps=30,
        per_device_train_batch_size=4,
        learning_rate=3e-2,
        remove_unused_columns=False,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_steps=1,
        seed=1,
    )
    dataset = CaptionDataset(clap, clap_processor, CAPTIONS)
    trainer = Trainer(training, arguments, train_dataset=dataset, data_collator=CaptionCollator(processor))
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] - 0.3  # as far as a frozen random language model can be led
    made = training.finish()
    after = made.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("model.audio_mapper.") for name in changed)
    made.save_pretrained(tmp_path / "made")
    processor.save_pretrained(tmp_path / "made")
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path / "made").eval()
    inputs = AutoProcessor.from_pretrained(tmp_path / "made")(audio=clips(2), sampling_rate=RATE)
    assert again.generate(**inputs, max_new_tokens=4).shape == (2, 7)


def test_the_loss_is_the_captioners_own_where_text_stands_for_audio(parts):
    clap, clap_processor, _, captioner, processor = parts
    training = TextOnlyTraining(captioner, noise_std=0.5).eval()  # no noise in evaluation
    rows = [CaptionDataset(clap, clap_processor, CAPTIONS)[i] for i in range(4)]
    batch = CaptionCollator(processor)(rows)
    labelled = batch["labels"][0]
    assert labelled[labelled != -100].tolist() == processor.answer_ids(CAPTIONS[0])
    heard = processor(audio=clips(4), text_target=CAPTIONS, sampling_rate=RATE)
    assert torch.equal(batch["labels"], heard["labels"]) and torch.equal(batch["input_ids"], heard["input_ids"])
    with torch.no_grad():
        audio = clap.get_audio_features(heard["input_features"]).pooler_output
        through_text = training(**{**batch, "clap_embeds": audio}).loss
        torch.testing.assert_close(through_text, captioner(**heard).loss)


def test_noise_acts_in_training_only_and_an_adapter_is_folded_away(parts):
    clap, clap_processor, _, captioner, processor = parts
    rows = [CaptionDataset(clap, clap_processor, CAPTIONS)[i] for i in range(4)]
    batch = CaptionCollator(processor)(rows)
    training = TextOnlyTraining(captioner, noise_std=0.3, adapter=True)
    with torch.no_grad():
        training.adapter.weight.normal_(std=0.3)
        training.adapter.bias.normal_(std=0.3)
        captioner.model.audio_tower.eval()
        training.train()
        noisy = {training(**batch).loss.item() for _ in range(2)}
        training.eval()
        with_adapter = training(**batch).logits
        assert len(noisy) == 2
        torch.testing.assert_close(with_adapter, training(**batch).logits, atol=1e-5, rtol=1e-4)
        training.finish()
        assert training.adapter is None
        torch.testing.assert_close(training(**batch).logits, with_adapter, atol=1e-5, rtol=1e-4)


def test_the_gap_is_measured(parts):
    clap, clap_processor, *_ = parts
    gap = modality_gap(clap, clap_processor, clips(4), CAPTIONS)
    features = clap_processor.feature_extractor(clips(4), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        audio = clap.get_audio_features(**features).pooler_output
        text = clap.get_text_features(**clap_processor.tokenizer(CAPTIONS, padding=True, return_tensors="pt"))
    difference = audio - text.pooler_output
    assert gap.pairs == 4
    assert gap.distance == pytest.approx(difference.norm(dim=1).mean().item(), rel=1e-4)
    assert gap.noise_std == pytest.approx(gap.distance / 12**0.5, rel=1e-4)
    assert "4 pairs" in str(gap) and json.loads(json.dumps(gap.to_dict()))["pairs"] == 4
    assert torch.allclose(embed_captions(clap, clap_processor, CAPTIONS).norm(dim=1), torch.ones(4))


def test_mistakes_are_named(parts):
    clap, clap_processor, language_model, captioner, _ = parts
    with pytest.raises(ValueError, match="4 clips and 2 captions"):
        modality_gap(clap, clap_processor, clips(4), CAPTIONS[:2])
    with pytest.raises(ValueError, match=r"captions\[1\] is ' '"):
        CaptionDataset(clap, clap_processor, ["rain", " "])
    with pytest.raises(ValueError, match="`noise_std` is -1"):
        TextOnlyTraining(captioner, noise_std=-1)
    with pytest.raises(ValueError, match="are 258, but the language model has 257"):
        captioner_from_clap(clap, clap_processor, language_model, bytes_tokenizer(special=["<|more|>"]))


def test_a_language_model_that_knows_the_placeholder_keeps_its_words(parts):
    clap, clap_processor, language_model, captioner, processor = parts
    sizes = {"prefix_length": 3, "mapper_layers": 1, "mapper_heads": 2}
    again, its_processor = captioner_from_clap(clap, clap_processor, captioner, processor.tokenizer, **sizes)
    assert again.config.text_config.vocab_size == 258 and its_processor.audio_token_id == 257
    assert torch.equal(again.get_input_embeddings().weight, captioner.get_input_embeddings().weight)
    ids = torch.tensor([[1, 5, 9, 2]])
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=ids).logits[..., :257], language_model.eval()(ids).logits)


def test_checkpoints_hold_what_learns_and_are_gone_on_from(parts, tmp_path):
    clap, clap_processor, _, captioner, processor = parts
    training = TextOnlyTraining(captioner, noise_std=0.02, adapter=True)
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=2,
        save_steps=2,
        learning_rate=1e-2,
        remove_unused_columns=False,
        report_to=[],
        use_cpu=True,
    )
    dataset = CaptionDataset(clap, clap_processor, CAPTIONS)
    Trainer(training, arguments, train_dataset=dataset, data_collator=CaptionCollator(processor)).train()
    saved = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    assert set(saved) == {name for name, parameter in training.named_parameters() if parameter.requires_grad}
    assert any(name.startswith("adapter.") for name in saved)
    other = TextOnlyTraining(copy.deepcopy(captioner), adapter=True)
    torch.nn.init.zeros_(other.captioner.model.audio_mapper.linear.weight)
    keys = other.load_state_dict(saved, strict=False)
    assert not keys.missing_keys and not keys.unexpected_keys
    rows = CaptionCollator(processor)([dataset[i] for i in range(4)])
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(**rows).loss, training.eval()(**rows).loss, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_the_recipe_lowers_the_held_out_loss_and_saves_a_captioner(tmp_path):
    few = ["--max_steps", "12", "--most_captions", "300", "--noise_variances", "0.001", "--eval_strategy", "no"]
    done = subprocess.run(
        [sys.executable, "examples/train_text_only.py", "--output_dir", tmp_path, "--use_cpu", *few],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    before, after = map(float, re.search(r"eval_loss: ([\d.]+) -> ([\d.]+)", done.stdout).groups())
    assert after < before and "'named'" in done.stdout
    AutoModelForMultimodalLM.from_pretrained(tmp_path / "captioner")
