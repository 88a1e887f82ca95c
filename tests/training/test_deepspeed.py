"""Models under DeepSpeed, in two processes: they train, save and go on as with `Trainer` alone."""

import shutil
from importlib.util import find_spec

import deepspeed_runs
import pytest
import torch
from contrastive_models import still_clap
from prefix_models import RATE, clips, tiny_model, tiny_processor
from safetensors.torch import load_file
from transformers import AutoModelForMultimodalLM
from two_processes import in_two_processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed"),
]


def run(*arguments):
    """The figures of the first process; those of the other are the same, as `Trainer` gathers them."""
    first, second = in_two_processes(deepspeed_runs.run, *arguments, seconds=600)
    assert first == second
    return first


def weights(folder):
    return load_file(folder / "last" / "model.safetensors")


def says(folder):
    """The tokens with which a saved model answers."""
    inputs = tiny_processor("pengi")(audio=clips(1), text=["what is it"], sampling_rate=RATE, return_tensors="pt")
    model = AutoModelForMultimodalLM.from_pretrained(folder / "last").eval()
    return model.generate(**inputs, max_new_tokens=4, do_sample=False).tolist()


@pytest.mark.parametrize(("kind", "stage"), [("clap", 2), ("pengi", 2)])
def test_two_processes_with_deepspeed_learn_what_they_learn_without_it(kind, stage, tmp_path):
    model = still_clap(dtype=torch.float32) if kind == "clap" else tiny_model(kind)
    model.save_pretrained(tmp_path / "base")
    plain = tmp_path / "plain"
    sharded = tmp_path / "sharded"
    losses, outcome = run(kind, str(tmp_path / "base"), str(plain), 0)
    found, found_outcome = run(kind, str(tmp_path / "base"), str(sharded), stage)

    assert found == pytest.approx(losses, rel=1e-4)
    assert outcome is None or found_outcome == pytest.approx(outcome, rel=1e-3)
    if kind == "clap":
        wanted, got = weights(plain), weights(sharded)
        assert wanted.keys() == got.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(got[name], value, rtol=1e-2, atol=1e-3)
    else:
        assert says(sharded) == says(plain)

    shutil.rmtree(sharded / "checkpoint-4")
    again, _ = run(kind, str(tmp_path / "base"), str(sharded), stage, True)
    assert again == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize(
    ("stage", "chunk", "said"), [(3, None, "Take stage 1 or 2"), (2, 2, "`cached_chunk` is 2, but DeepSpeed")]
)
def test_what_contrastive_training_cannot_do_with_deepspeed_is_refused(stage, chunk, said, tmp_path):
    assert all(
        said in error for error in in_two_processes(deepspeed_runs.refusal, str(tmp_path), stage, chunk, seconds=600)
    )
