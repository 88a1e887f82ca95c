"""Prefix language models under a real `Trainer`: what should learn does, what should not stands still, runs resume."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pair_models import tiny_pair_model
from prefix_models import RATE, clips, tiny_model, tiny_processor
from transformers import Trainer, TrainingArguments

from afm_hf.training.checkpoints import CompleteCheckpoints, newest_complete_checkpoint
from afm_hf.training.collators import PrefixLMCollator

pytest.importorskip("accelerate")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def recipe():
    """What examples/train_prefix_lm.py defines."""
    sys.path.append(str(EXAMPLES))
    try:
        return runpy.run_path(str(EXAMPLES / "train_prefix_lm.py"))
    finally:
        sys.path.remove(str(EXAMPLES))


def parts(kind):
    return tiny_pair_model(kind) if kind in ("mellow", "adiff") else (tiny_model(kind), tiny_processor(kind))


def make_trainer(model, processor, folder, **kwargs):
    pair = processor.clips_per_example == 2
    prompt = {} if type(processor).__name__.startswith("ClapAfm") else {"prompt": "what is it"}
    rows = [{"audio": clip, "answer": f"a {i}", **prompt} for i, clip in enumerate(clips(6))]
    settings = {"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "save_strategy": "no"} | kwargs
    arguments = TrainingArguments(
        str(folder), use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False, **settings
    )
    arguments.label_names = ["labels"]
    collator = PrefixLMCollator(processor, random_second_audio=pair, sampling_rate=RATE)
    return Trainer(model, arguments, collator, train_dataset=rows, callbacks=[CompleteCheckpoints()])


KINDS = ["clapcap", "pengi", "pengi_no_text_enc", "mellow", "adiff"]
CHOICES = {
    "prefix tuning": {"train": ["prefix"]},
    "language model": {"train": ["language_model"]},
    "all": {"train": ["audio", "prefix", "language_model"]},
    "LoRA": {"train": ["prefix"], "lora_r": 2, "lora_alpha": 4},
}


def learns(name, choice):
    """Whether the parameter or buffer should change."""
    if "lora_" in name:
        return True
    for part, folder in (("audio", "audio_tower"), ("language_model", "language_model"), ("language_model", "lm_head")):
        if folder in name:
            return part in choice["train"]
    return "prefix" in choice["train"] and "original_module" not in name


# Every kind trains in one way, one kind in all ways; the other pairs are slow tests.
FAST = {("clapcap", "prefix tuning"), ("pengi", "all"), ("pengi_no_text_enc", "language model"), ("adiff", "all")}
PAIRS = [
    pytest.param(kind, CHOICES[name], id=f"{kind}, {name}", marks=[] if is_fast else pytest.mark.slow)
    for kind in KINDS
    for name in CHOICES
    for is_fast in [kind == "mellow" or (kind, name) in FAST]
]


@pytest.mark.parametrize(("kind", "choice"), PAIRS)
def test_what_should_learn_does_and_nothing_else_changes(kind, choice, recipe, tmp_path):
    if "lora_r" in choice:
        pytest.importorskip("peft")
    model, processor = parts(kind)
    model = recipe["choose_what_learns"](model, recipe["PrefixLMArguments"](model="", **choice))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if learns(name, choice)}
    make_trainer(model, processor, tmp_path).train()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if not learns(name, choice)}
    if "audio" not in choice["train"]:
        assert trainable <= changed, "every parameter of these parts has a say"


@pytest.mark.parametrize("choice", ["prefix tuning", "LoRA"])
def test_a_stopped_run_goes_on_to_the_same_weights(choice, recipe, tmp_path):
    if choice == "LoRA":
        pytest.importorskip("peft")
    ends = []
    for stop in (None, 2):
        folder = tmp_path / str(stop)
        for steps in [4] if stop is None else [stop, 4]:
            torch.manual_seed(3)
            model, processor = parts("mellow")
            model = recipe["choose_what_learns"](model, recipe["PrefixLMArguments"](model="", **CHOICES[choice]))
            kwargs = {"save_strategy": "steps", "save_steps": 2, "lr_scheduler_type": "constant", "max_steps": steps}
            trainer = make_trainer(model, processor, folder, **kwargs)
            trainer.train(resume_from_checkpoint=newest_complete_checkpoint(folder))
        ends.append(trainer.model.state_dict())
    for name, value in ends[0].items():
        assert torch.allclose(value, ends[1][name], atol=1e-6, rtol=1e-4), name


def test_choices_that_make_no_sense_are_refused(recipe):
    model, _ = parts("mellow")
    settings = recipe["PrefixLMArguments"]
    with pytest.raises(ValueError, match="expected some of"):
        recipe["choose_what_learns"](model, settings(model="", train=["lm"]))
    with pytest.raises(ValueError, match="LoRA"):
        recipe["choose_what_learns"](model, settings(model="", train=["language_model"], lora_r=8))
    with pytest.raises(ValueError, match="columns audio, label; expected `answer` or captions"):
        recipe["make_rows"](SimpleNamespace(column_names=["audio", "label"]), settings(model=""), None, 0)
