"""`ContrastiveTrainer`: equal to `Trainer` where it should be, in chunks, with frozen towers; figures of retrieval."""

import math

import numpy as np
import pytest
import torch
from tiny_models import clap_2022_config, clap_config
from tiny_training import PAIRS, make_trainer
from transformers import Trainer
from transformers.trainer_utils import EvalPrediction

from afm_hf import ClapAfmModel
from afm_hf.training.contrastive_trainer import ContrastiveTrainer, LogitScaleClamp, retrieval_metrics
from afm_hf.training.freezing import freeze, freeze_batch_norms

pytest.importorskip("accelerate")


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before, model):
    """Names of parameters and buffers that are not what they were."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def fresh(config):
    """Weights large enough that embeddings differ; as initialised they are all alike, and gradients huge."""
    torch.manual_seed(0)
    model = ClapAfmModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def test_one_process_trains_as_the_stock_trainer_does(tmp_path):
    ours = make_trainer(tmp_path / "ours", max_steps=3)
    stock = make_trainer(tmp_path / "stock", max_steps=3)
    for name in ("compute_loss", "training_step"):
        setattr(stock, name, getattr(Trainer, name).__get__(stock))
    losses = []
    for trainer in (ours, stock):
        torch.manual_seed(1)  # dropout and SpecAugment
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    for name, value in stock.model.state_dict().items():
        torch.testing.assert_close(ours.model.state_dict()[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frozen", ["audio", "text"])
@pytest.mark.parametrize("config", [clap_config, clap_2022_config], ids=["htsat", "cnn14"])
def test_a_frozen_tower_stands_still_to_the_last_buffer_and_the_rest_learns(frozen, config, tmp_path):
    model = fresh(config())
    freeze(getattr(model, f"{frozen}_model"))
    before, learning = state(model), {name for name, p in model.named_parameters() if p.requires_grad}
    trainer = make_trainer(tmp_path, model, max_steps=2, save_strategy="no", warmup_steps=0)
    trainer.train()
    names = changed(before, model)
    assert not [name for name in names if name.startswith(f"{frozen}_model")]
    never_read = {name for name in learning if name.endswith(("token_type_embeddings.weight", "wpe.weight"))}
    assert learning - never_read <= names
    batch_norms = {name for name in names if name.endswith("running_mean")}
    assert bool(batch_norms) == (frozen == "text"), "an audio tower that learns keeps its statistics up to date"
    features = torch.randn(2, 1, 100, 16)
    if frozen == "audio":  # no SpecAugment, no dropout, although `train()` was called
        embeddings = [model.train().audio_model(features).pooler_output for _ in range(2)]
        torch.testing.assert_close(*embeddings, atol=1e-5, rtol=1e-4)


def test_chunks_train_as_the_plain_batch_does(tmp_path):
    ends = []
    for chunk in (None, 2):
        model = fresh(clap_config())
        freeze(model.audio_model.encoder)  # and with it all that is random
        for module in model.modules():
            module.p = 0.0 if isinstance(module, torch.nn.Dropout) else getattr(module, "p", None)
        freeze_batch_norms(model)
        kwargs = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 2, "cached_chunk": chunk}
        trainer = make_trainer(tmp_path / str(chunk), model, max_steps=3, optim="sgd", **kwargs)
        trainer.train()
        ends.append((state(model), [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))
    assert ends[0][1] == pytest.approx(ends[1][1], abs=1e-5)
    for name, value in ends[0][0].items():
        torch.testing.assert_close(ends[1][0][name], value, atol=1e-5, rtol=1e-4)


def test_chunks_with_bf16_train(tmp_path):
    model = fresh(clap_config())
    freeze_batch_norms(model)
    before = state(model)
    make_trainer(tmp_path, model, max_steps=2, save_strategy="no", warmup_steps=0, cached_chunk=2, bf16=True).train()
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert {"audio_projection.linear1.weight", "text_projection.linear1.weight"} <= changed(before, model)


def test_the_temperature_stays_at_or_below_its_limit(tmp_path):
    model = fresh(clap_config())
    with torch.no_grad():
        model.logit_scale.fill_(10.0)
    make_trainer(tmp_path, model, max_steps=1, save_strategy="no").train()
    assert model.logit_scale.item() == pytest.approx(math.log(100))
    with pytest.raises(ValueError, match="above 0"):
        LogitScaleClamp(0)


def test_evaluation_gives_loss_and_retrieval_over_the_whole_set(tmp_path):
    trainer = make_trainer(tmp_path, per_device_eval_batch_size=4)
    figures = trainer.evaluate()
    assert 0 < figures["eval_loss"] < 5
    assert {f"eval_{name}_recall@{k}" for name in ("audio_to_text", "text_to_audio") for k in (1, 5)} <= figures.keys()
    audio, text = trainer.predict(trainer.eval_dataset).predictions
    assert audio.shape == text.shape == (10, 12)


def test_recalls_are_right_and_ties_do_not_help():
    audio = np.eye(6)
    assert set(retrieval_metrics(EvalPrediction((audio, audio), None)).values()) == {1.0}
    shifted = retrieval_metrics(EvalPrediction((audio, np.roll(audio, 1, axis=0)), None))
    assert shifted["audio_to_text_recall@1"] == 0.0
    collapsed = retrieval_metrics(EvalPrediction((np.ones((6, 2)), np.ones((6, 2))), None))
    ways = ("audio_to_text", "text_to_audio")
    assert {collapsed[f"{way}_recall@{k}"] for way in ways for k in (1, 5)} == {0.0}  # of six, all are among ten


def test_a_caption_of_several_clips_is_right_for_each(tmp_path):
    """Label folders have few captions for many clips; padding and the batch must not make them differ."""
    rows = [{**pair, "caption": ["rain", "a dog that barks"][index % 2]} for index, pair in enumerate(PAIRS)]
    trainer = make_trainer(tmp_path, per_device_eval_batch_size=3)
    prediction = trainer.predict(rows)
    ids = prediction.label_ids
    assert ids.dtype == np.int64 and len(set(ids[::2])) == len(set(ids[1::2])) == 1 and ids[0] != ids[1]
    ears = np.eye(2, dtype="float32")[np.arange(10) % 2]
    assert set(retrieval_metrics(EvalPrediction((ears, ears), ids)).values()) == {1.0}
    assert set(retrieval_metrics(EvalPrediction((ears, ears[:, ::-1].copy()), ids)).values()) != {1.0}


def test_plain_trainer_and_ours_say_the_same_of_the_same_embeddings(tmp_path):
    rng = np.random.default_rng(0)
    audio, text = (rng.normal(size=(8, 4)) for _ in range(2))
    text[5] = text[2] * (1 + 1e-7)  # the same caption in another batch
    ids = np.array([0, 1, 2, 3, 4, 2, 6, 7])
    ours = retrieval_metrics(EvalPrediction((audio, text), ids))
    assert ours == retrieval_metrics(EvalPrediction((audio, text), np.zeros(8)))  # as before, ids are not known
    for labels in ((), np.zeros((8, 3), dtype=int)):  # without labels, or with `label_names=["input_ids"]`
        assert retrieval_metrics(EvalPrediction((text, audio), labels)) == ours
    assert ours["audio_to_text_recall@1"] != ours["text_to_audio_recall@1"], "the directions must not be mixed up"


def test_the_stock_trainer_with_our_metrics(tmp_path):
    ours = make_trainer(tmp_path, per_device_eval_batch_size=4)
    arguments = {"data_collator": ours.data_collator, "eval_dataset": PAIRS, "compute_metrics": retrieval_metrics}
    stock = Trainer(ours.model, ours.args, **arguments)
    expected, found = ours.evaluate(), stock.evaluate()
    for name in expected:
        if "recall" in name or name == "eval_loss":
            assert found[name] == pytest.approx(expected[name], abs=1e-5), name


@pytest.mark.parametrize("predictions", [np.eye(3), (np.eye(3),), (np.eye(3), np.eye(3)[:2]), (np.eye(3),) * 4])
def test_predictions_that_are_no_two_embeddings_are_refused(predictions):
    with pytest.raises(ValueError, match=r"two matrices of one shape \(pairs, dim\)"):
        retrieval_metrics(EvalPrediction(predictions, None))


def test_chunks_below_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cached_chunk"):
        ContrastiveTrainer(fresh(clap_config()), cached_chunk=0)
