"""A checkpoint is known again without hashing its weights, and a changed one is not taken for it."""

import os

import pytest
from safetensors.torch import load_file, save_file
from tiny_models import tiny_clap

from afm_hf.retrieval import embedder as embedder_module
from afm_hf.retrieval.embedder import ClapEmbedder


@pytest.fixture
def hashed(monkeypatch, tmp_path):
    """How often weights were hashed; with a cache of its own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    counted, real = [], embedder_module.fingerprint
    monkeypatch.setattr(embedder_module, "fingerprint", lambda *parts: counted.append(1) or real(*parts))
    return counted


def change(folder):
    """Other weights in a file of the same size and time."""
    file = folder / "model.safetensors"
    before = file.stat()
    weights = load_file(file)
    name = next(name for name, value in weights.items() if value.ndim == 2)
    weights[name] = weights[name] + 1
    save_file(weights, folder / "new.safetensors", metadata={"format": "pt"})
    os.replace(folder / "new.safetensors", file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_weights_are_hashed_once(tmp_path, hashed):
    folder = tiny_clap(tmp_path / "model")
    first = ClapEmbedder(folder, device="cpu").fingerprint
    assert ClapEmbedder(folder, device="cpu").fingerprint == first and len(hashed) == 1
    parts = ClapEmbedder(folder, device="cpu")
    assert embedder_module.fingerprint(parts.model, parts.feature_extractor, parts.tokenizer) == first


def test_other_weights_other_settings_other_fingerprint(tmp_path, hashed):
    folder = tiny_clap(tmp_path / "model")
    first = ClapEmbedder(folder, device="cpu").fingerprint
    half = ClapEmbedder(folder, device="cpu", dtype="bfloat16").fingerprint
    change(folder)
    changed = ClapEmbedder(folder, device="cpu").fingerprint
    config = folder / "preprocessor_config.json"
    config = config if config.exists() else folder / "processor_config.json"
    text = config.read_text()
    assert '"hop_length": ' in text
    config.write_text(text.replace('"hop_length": ', '"hop_length": 1'))
    other_front_end = ClapEmbedder(folder, device="cpu").fingerprint
    assert len({first, half, changed, other_front_end}) == 4 and len(hashed) == 4


def test_a_damaged_memory_or_none_is_no_harm(tmp_path, hashed):
    folder = tiny_clap(tmp_path / "model")
    first = ClapEmbedder(folder, device="cpu").fingerprint
    (memory,) = (tmp_path / "home" / "afm_hf" / "fingerprints").iterdir()
    memory.write_text("half")
    assert ClapEmbedder(folder, device="cpu").fingerprint == first
    assert memory.read_text() == first
    memory.unlink()
    memory.parent.rmdir()
    memory.parent.write_text("no folder")
    assert ClapEmbedder(folder, device="cpu").fingerprint == first
