"""An adapter that was trained, saved and loaded onto the same base gives the loss that it had."""

import copy

import pytest
import torch
from pair_models import pair_batch, tiny_pair_model
from tiny_models import RATE, clap_2022_config, clap_parts, perturb, tone
from tiny_training import make_trainer

from afm_hf import ClapAfmForAudioClassification, ClapAfmModel, ClapAfmProcessor
from afm_hf.models.common import batch_norms_afm
from afm_hf.training.cached_contrastive import cached_contrastive

peft = pytest.importorskip("peft")

from peft_versions import adapters_of_transformers  # noqa: E402


def batch_of(*_):
    _, tokenizer, extractor = clap_parts()
    clips = [tone(200 * (index + 1), seed=index) for index in range(4)]
    texts = [f"tone {index}" for index in range(4)]
    processor = ClapAfmProcessor(extractor, tokenizer)
    batch = processor(audio=clips, text=texts, sampling_rate=RATE, padding=True, return_tensors="pt")
    return {**batch, "return_loss": True}


def htsat():
    return clap_parts()[0], batch_of()


def cnn14():
    torch.manual_seed(0)
    return perturb(ClapAfmModel(clap_2022_config()), std=0.1), batch_of()


def classifier():
    torch.manual_seed(0)
    model = ClapAfmForAudioClassification(clap_parts()[0].config)
    return model, {"input_features": batch_of()["input_features"], "labels": torch.tensor([0, 1, 0, 1])}


def mellow():
    model, processor = tiny_pair_model("mellow")
    batch = pair_batch(processor, text_target=["one", "two"])
    return model, dict(batch)


CASES = {
    "attention of HTSAT": (htsat, {"target_modules": r"audio_model\..*\.qkv"}),
    "convolutions of Cnn14, with biases": (cnn14, {"target_modules": r"audio_model\..*\.conv\d", "bias": "all"}),
    "the text side alone": (htsat, {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
    "the encoder's batch norm learns too": (
        htsat,
        {"target_modules": r"audio_model\..*\.qkv", "modules_to_save": ["bn0", "audio_projection"]},
    ),
    "a classifier": (classifier, {"target_modules": r"audio_model\..*\.qkv", "modules_to_save": ["classifier"]}),
    "Mellow's language model": (mellow, {"target_modules": r".*language_model.*\.[qv]_proj"}),
}


def train(model, batch, steps=6):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    torch.manual_seed(0)
    for _ in range(steps):
        model.train()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def loss_of(model, batch):
    return model.eval()(**batch).loss.item()


@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_the_same_after_saving_and_loading(case, tmp_path):
    make, config = CASES[case]
    model, batch = make()
    base = copy.deepcopy(model)
    before = loss_of(model, batch)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, **config))
    train(adapted, batch)
    trained = loss_of(adapted, batch)
    assert abs(trained - before) > 1e-3, "nothing was learned"
    adapted.save_pretrained(tmp_path)
    assert loss_of(peft.PeftModel.from_pretrained(base, tmp_path), batch) == pytest.approx(trained, abs=1e-5)


@adapters_of_transformers
def test_adapters_of_transformers_itself(tmp_path):
    model, batch = htsat()
    base = copy.deepcopy(model)
    model.add_adapter(peft.LoraConfig(r=2, target_modules=r"audio_model\..*\.qkv"))
    train(model, batch)
    trained = loss_of(model, batch)
    model.save_pretrained(tmp_path)
    base.load_adapter(tmp_path)
    assert loss_of(base, batch) == pytest.approx(trained, abs=1e-5)


def test_a_batch_norm_that_learns_keeps_its_statistics_up_to_date_and_one_that_does_not_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(batch_norms_afm.logger, "warning_once", said.append)
    model, batch = htsat()
    statistics = model.audio_model.encoder.bn0.running_mean.clone()
    train(model, batch, steps=1)
    assert not torch.equal(model.audio_model.encoder.bn0.running_mean, statistics)
    model.audio_model.requires_grad_(False)
    train(model, batch, steps=1)
    assert not said, "who freezes by hand has said so"
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    adapted.train()
    assert "keep their running statistics" in said[0]
    assert not model.audio_model.encoder.bn0.training and model.audio_model.encoder.training


def test_large_batches_in_chunks_work_with_an_adapter():
    model, batch = htsat()
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)).train()
    assert cached_contrastive(adapted, batch, chunk_size=2) > 0


def test_a_temperature_that_does_not_learn_is_left_as_it_is(tmp_path):
    model = clap_parts()[0]
    with torch.no_grad():
        model.logit_scale.fill_(5.0)  # above the limit, and no adapter would save another value
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    trainer = make_trainer(tmp_path, adapted, max_steps=1, save_strategy="no")
    trainer.train()
    assert model.logit_scale.item() == pytest.approx(5.0)
