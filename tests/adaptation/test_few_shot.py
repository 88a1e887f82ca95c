"""Few labelled clips: what is drawn, what is trained, what stays."""

import hashlib
import json

import numpy as np
import pytest
import torch
from prefix_models import clips as noises
from prefix_models import tiny_model, tiny_processor
from tiny_models import CLIP_S, RATE, clap_parts
from transformers import AutoModel, AutoProcessor, pipeline

from afm_hf import ClapAfmProcessor, bundled_model
from afm_hf.adaptation.few_shot import draw_shots, fit_linear_probe, fit_lora, fit_mapper
from afm_hf.adaptation.logistic import fit_logistic

LABELS = ["low", "high", "low", "high", "low", "high"]


def tones():
    """Low and high tones in turns, each a little different."""
    time = np.arange(round(RATE * CLIP_S)) / RATE
    return [
        (0.3 * np.sin(2 * np.pi * (200 + 17 * i if i % 2 == 0 else 2500 + 60 * i) * time)).astype(np.float32)
        for i in range(6)
    ]


def clap():
    model, tokenizer, extractor = clap_parts()
    return model, ClapAfmProcessor(extractor, tokenizer)


def fingerprint(model):
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def test_shots_are_drawn_for_every_class_and_by_the_seed():
    labels = ["a"] * 5 + ["b"] * 3 + ["c"] * 4
    drawn = draw_shots(labels, 3, seed=1)
    assert sorted(labels[i] for i in drawn) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert len(set(drawn)) == 9
    assert drawn == draw_shots(labels, 3, seed=1)
    assert len({tuple(draw_shots(labels, 3, seed)) for seed in range(20)}) > 5
    with pytest.raises(ValueError, match=r"4 clips of each class were asked for.*\{'b': 3\}"):
        draw_shots(labels, 4)
    with pytest.raises(ValueError, match="`shots` is 0"):
        draw_shots(labels, 0)


def test_a_probe_is_an_ordinary_classifier_of_its_clips(tmp_path):
    model, processor = clap()
    before = fingerprint(model)
    fit = fit_linear_probe(model, processor, tones(), LABELS, l2=0.01)
    assert fit.labels == ["high", "low"] and fit.losses[-1] < fit.losses[0]
    assert fingerprint(model) == before
    assert all(torch.equal(w, fit.model.audio_model.state_dict()[n]) for n, w in model.audio_model.state_dict().items())
    classify = pipeline("audio-classification", model=fit.model, feature_extractor=processor.feature_extractor)
    assert [classify(tone)[0]["label"] for tone in tones()] == LABELS
    fit.model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = pipeline("audio-classification", model=str(tmp_path))
    got, want = again(tones()[0]), classify(tones()[0])
    assert [entry["label"] for entry in got] == [entry["label"] for entry in want]
    assert [entry["score"] for entry in got] == pytest.approx([entry["score"] for entry in want], abs=1e-5)


def test_lora_learns_on_the_audio_side_alone(tmp_path):
    pytest.importorskip("peft")
    model, processor = clap()
    before = fingerprint(model)
    fit = fit_lora(model, processor, tones(), LABELS, rank=4, alpha=8, steps=12, learning_rate=1e-2)
    assert np.mean(fit.losses[-3:]) < np.mean(fit.losses[:3])
    assert fingerprint(model) == before
    trained = {name for name, parameter in fit.model.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name and "audio_model" in name for name in trained)
    again = fit_lora(model, processor, tones(), LABELS, rank=4, alpha=8, steps=12, learning_rate=1e-2)
    assert again.losses == pytest.approx(fit.losses, rel=1e-4)
    merged = fit.model.merge_and_unload()
    classify = pipeline(
        "zero-shot-audio-classification",
        model=merged,
        feature_extractor=processor.feature_extractor,
        tokenizer=processor.tokenizer,
    )
    assert [classify(tone, candidate_labels=fit.labels)[0]["label"] for tone in tones()] == LABELS


def test_lora_learns_on_the_bundled_model():
    pytest.importorskip("peft")
    folder = bundled_model("clap-small")
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    before = fingerprint(model)
    fit = fit_lora(model, processor, tones(), LABELS, steps=3, learning_rate=1e-3)
    assert fit.losses[-1] < fit.losses[0]
    assert fingerprint(model) == before


@pytest.mark.parametrize("kind", ["clapcap", "pengi_no_text_enc"])
def test_only_the_mapper_learns(kind):
    model, processor = tiny_model(kind), tiny_processor(kind)
    before = fingerprint(model)
    prompt = None if kind == "clapcap" else "a sound of"
    fit = fit_mapper(model, processor, noises(4), ["a", "b", "a", "b"], prompt, steps=8, learning_rate=3e-3)
    assert np.mean(fit.losses[-2:]) < np.mean(fit.losses[:2])
    assert fingerprint(model) == before
    changed = {
        name for name, value in fit.model.state_dict().items() if not torch.equal(value, model.state_dict()[name])
    }
    assert any("audio_mapper" in name for name in changed)
    assert not any("audio_tower" in name or "language_model" in name or "lm_head" in name for name in changed)


def test_results_print_and_become_json():
    model, processor = clap()
    fit = fit_linear_probe(model, processor, tones(), LABELS)
    assert "6 clips of 2 classes" in str(fit) and "linear probe" in str(fit)
    assert json.loads(json.dumps(fit.to_dict()))["labels"] == ["high", "low"]


def test_mistakes_are_named():
    model, processor = clap()
    with pytest.raises(ValueError, match="6 clips, but 2 labels"):
        fit_linear_probe(model, processor, tones(), ["a", "b"])
    with pytest.raises(ValueError, match="two classes or more"):
        fit_linear_probe(model, processor, tones(), ["a"] * 6)
    bad = tones()
    bad[2] = bad[2] * np.nan
    with pytest.raises(ValueError, match=r"audio\[2\]"):
        fit_linear_probe(model, processor, bad, LABELS)


def test_a_feature_that_hardly_varies_in_the_examples_does_not_decide():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, 8, generator=generator)
    targets = torch.tensor([0, 0, 0, 1, 1, 1])
    features[:, 0] = torch.tensor([-1.0, -1.2, -0.9, 1.0, 1.1, 0.8])
    features[:, 1] = 1e-5 * targets  # as behind a ReLU that few clips reach
    weight, bias, _ = fit_logistic(features, targets, 2, l2=0.1, steps=100)
    other = features[:3].clone()
    other[:, 1] = 1.0  # 100,000 times as far from the rest as the examples are from each other
    assert ((other @ weight.T + bias).argmax(-1) == 0).all()
