"""Tiny models in the official layout: conversion and outputs, in seconds. `python test_clap_tiny.py` records anew."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoProcessor

from afm_hf.conversion.checkpoint import ConversionError, read_checkpoint
from afm_hf.conversion.msclap import convert

sys.path.insert(0, str(Path(__file__).parents[1]))  # when it records

from official import byte_level_gpt2, letters_bert, official_layout, tiny_checkpoint, write_checkpoint
from official_files import tiny_model

GOLDEN = Path(__file__).parent / "tiny.safetensors"


def make(variant, folder):
    """Converts a tiny official file; returns the folder."""
    tiny_checkpoint(tiny_model(variant), folder / "official.pth")
    tokenizer = (byte_level_gpt2 if variant == "2023" else letters_bert)(folder / "tokenizer")
    return convert(str(folder / "official.pth"), tokenizer, str(folder / "converted"))


@torch.no_grad()
def outputs(folder):
    """What the converted model says to a fixed clip and fixed texts."""
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    time = torch.arange(3 * 44100) / 44100
    chirp = torch.sin(2 * torch.pi * (200 * time + 600 * time**2)) * 0.3
    inputs = processor(
        audio=[chirp, chirp[:9000]], text=["a chirp", "ok!"], sampling_rate=44100, return_tensors="pt", padding=True
    )
    return {
        "input_ids": inputs["input_ids"],
        "audio": model.get_audio_features(inputs["input_features"], normalize=False).pooler_output,
        "text": model.get_text_features(inputs["input_ids"], inputs["attention_mask"], normalize=False).pooler_output,
        "logits": model(**inputs).logits_per_audio,
    }


@pytest.fixture(scope="module", params=["2022", "2023"])
def converted(request, tmp_path_factory):
    return request.param, make(request.param, tmp_path_factory.mktemp(request.param))


def test_outputs_are_the_recorded_ones(converted):
    variant, folder = converted
    recorded = load_file(GOLDEN)
    for name, value in outputs(folder).items():
        expected = recorded[f"{variant}.{name}"]
        if not value.is_floating_point():
            assert torch.equal(value, expected)
        else:
            torch.testing.assert_close(value, expected, atol=2e-4, rtol=1e-4)


def test_every_official_key_is_accounted_for(converted):
    variant, folder = converted
    report = json.loads((folder / "conversion.json").read_text())
    official = set(official_layout(tiny_model(variant)))
    dropped = [key for keys in report["dropped"].values() for key in keys]
    assert set(report["renamed"]) | set(dropped) == official
    assert not set(report["renamed"]) & set(dropped)
    assert report["variant"] == variant


def test_the_config_is_read_off_the_weights(converted):
    variant, folder = converted
    ours, made = AutoModel.from_pretrained(folder).config, tiny_model(variant).config
    audio, expected = ours.audio_config.encoder_config, made.audio_config.encoder_config
    names = (
        ("spec_size", "embed_dim", "depths", "num_attention_heads", "window_size", "mlp_ratio", "patch_size")
        if variant == "2023"
        else ("block_channels", "pool_sizes", "hidden_size")
    )
    for name in names:
        assert list_or_value(getattr(audio, name)) == list_or_value(getattr(expected, name)), name
    assert ours.text_config.pooling == ("last_token" if variant == "2023" else "cls")


def list_or_value(value):
    return list(value) if isinstance(value, list | tuple) else value


def test_the_plain_tokenizer_appends_what_the_text_tower_needs(converted):
    variant, folder = converted
    ids = AutoProcessor.from_pretrained(folder).tokenizer("ok")["input_ids"]
    assert ids[-2:] == [220, 256] if variant == "2023" else (ids[0], ids[-1]) == (2, 3)


def test_a_data_parallel_prefix_makes_no_difference(converted, tmp_path):
    variant, folder = converted
    source = folder.parent / "official.pth"
    prefixed = {f"module.{key}": value for key, value in read_checkpoint(source).items()}
    torch.save(prefixed, tmp_path / "prefixed.ckpt")
    again = convert(str(tmp_path / "prefixed.ckpt"), str(folder.parent / "tokenizer"), str(tmp_path / "out"))
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert variant in (again / "README.md").read_text()


def test_the_wrong_variant_is_refused(converted, tmp_path):
    variant, folder = converted
    other = {"2022": "2023", "2023": "2022"}[variant]
    with pytest.raises(ConversionError, match=f"holds CLAP {variant}, but --variant {other}"):
        convert(str(folder.parent / "official.pth"), str(folder.parent / "tokenizer"), str(tmp_path), other)


def test_missing_unknown_and_broken_weights_are_errors(converted, tmp_path):
    _, folder = converted
    good = read_checkpoint(folder.parent / "official.pth")

    def converts(state_dict):
        write_checkpoint(state_dict, tmp_path / "changed.pth")
        return convert(str(tmp_path / "changed.pth"), str(folder.parent / "tokenizer"), str(tmp_path / "out"))

    gone = "audio_encoder.projection.linear2.weight"
    with pytest.raises(ConversionError, match="missing"):
        converts({key: value for key, value in good.items() if key != gone})
    with pytest.raises(ConversionError, match="unknown"):
        converts(good | {"surprise.weight": torch.zeros(2)})
    with pytest.raises(ConversionError, match="not finite"):
        converts(good | {gone: good[gone].clone().fill_(float("nan"))})
    with pytest.raises(ConversionError, match="shape"):
        converts(good | {gone: good[gone][:, :-1]})


def test_a_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"model": {"logit_scale": Bomb()}}, tmp_path / "bomb.pth")
    with pytest.raises(OSError, match=r"bomb\.pth"):
        read_checkpoint(tmp_path / "bomb.pth")
    assert not (tmp_path / "executed").exists()


if __name__ == "__main__":
    import tempfile

    recorded = {}
    for name in ("2022", "2023"):
        with tempfile.TemporaryDirectory() as scratch:
            found = outputs(make(name, Path(scratch)))
            recorded |= {f"{name}.{key}": value.contiguous() for key, value in found.items()}
    save_file(recorded, GOLDEN)
