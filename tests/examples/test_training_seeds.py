"""The same training command makes the same model again: the seed is set before anything random is made."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

from afm_hf import bundled_audio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def sounds(tmp_path):
    """Four clips of two labels, with captions."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    rows = ["file_name,label,caption"]
    for number, clip in enumerate(bundled_audio()[:4]):
        (folder / clip.name).write_bytes(clip.read_bytes())
        rows.append(f"{clip.name},{'ab'[number % 2]},a sound of {'ab'[number % 2]}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def what_would_be_trained(script, monkeypatch, *arguments):
    """The weights with which `examples/SCRIPT` begins; whatever was random before."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module(script)
    trainers = []
    monkeypatch.setattr(module, "train_and_report", trainers.append)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments), "--use_cpu"])
    torch.rand(int(torch.randint(1, 9, ())))
    module.main()
    return {name: weight.clone() for name, weight in trainers[0].model.state_dict().items()}


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("train_classifier", []), ("train_clap", ["--from_scratch", "true"])],
    ids=["classifier", "from scratch"],
)
def test_the_same_seed_makes_the_same_model(script, arguments, sounds, tmp_path, monkeypatch):
    common = [*arguments, "--data", sounds, "--held_out", 0.5, "--output_dir", tmp_path / "run"]
    torch.manual_seed(1)
    first = what_would_be_trained(script, monkeypatch, *common)
    torch.manual_seed(2)
    second = what_would_be_trained(script, monkeypatch, *common)
    other = what_would_be_trained(script, monkeypatch, *common, "--seed", 7)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
