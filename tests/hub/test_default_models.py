"""`pipeline(task)` alone: a bundled model that says what it is, or a clear error."""

import logging
from pathlib import Path

import pytest
from generating_models import save
from prefix_models import RATE, clips
from transformers import pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from afm_hf.hub.bundled import ASSETS

DEFAULTS = {
    "zero-shot-audio-classification": "clap-small",
    "audio-text-generation": "pengi-small",
    "audio-captioning": "pengi-small",
    "audio-question-answering": "mellow-small",
    "audio-difference": "adiff-small",
    "audio-entailment": "clap-small",
}
OPTIONS = {
    "zero-shot-audio-classification": {"candidate_labels": ["a dog", "rain"]},
    "audio-text-generation": {"prompt": "generate audio caption"},
    "audio-question-answering": {"question": "what is this sound?"},
    "audio-entailment": {"hypothesis": "a dog barks"},
}


@pytest.fixture(autouse=True)
def say_it_again():
    logging.Logger.warning_once.cache_clear()


def set_default(monkeypatch, task, folder):
    monkeypatch.setitem(PIPELINE_REGISTRY.supported_tasks[task], "default", {"model": (str(folder), "main")})


@pytest.mark.parametrize("task", DEFAULTS)
def test_defaults_are_bundled_models(task):
    default = dict.__getitem__(PIPELINE_REGISTRY.supported_tasks[task], "default")
    assert default == {"model": (str(ASSETS / DEFAULTS[task]), "main")}


@pytest.mark.parametrize("task", DEFAULTS)
def test_the_task_alone_works(task):
    if not (ASSETS / DEFAULTS[task] / "config.json").is_file():
        pytest.skip(f"{DEFAULTS[task]} is not bundled here")
    clip = {"array": clips(1, seconds=2)[0], "sampling_rate": RATE}
    given = (clip, clip) if task == "audio-difference" else clip
    assert pipeline(task, device="cpu")(given, **OPTIONS.get(task, {}))


@pytest.mark.parametrize(
    ("task", "kind", "official"), [("audio-captioning", "pengi", "Pengi"), ("audio-difference", "adiff", "ADIFF")]
)
def test_a_default_model_says_once_that_it_is_small(task, kind, official, tmp_path, monkeypatch, caplog):
    set_default(monkeypatch, task, save(kind, tmp_path / DEFAULTS[task]))
    for _ in range(2):
        assert Path(pipeline(task, device="cpu").model.name_or_path).name == DEFAULTS[task]
    said = [record.getMessage() for record in caplog.records if "small demonstration model" in record.getMessage()]
    assert len(said) == 1
    assert DEFAULTS[task] in said[0] and f"official checkpoint of {official}" in said[0]
    assert "afm-hf convert" in said[0]
    pipeline(task, model=str(tmp_path / DEFAULTS[task]), device="cpu")  # named, it needs no words


@pytest.mark.parametrize("task", DEFAULTS)
def test_a_default_model_that_is_missing_is_named(task, tmp_path, monkeypatch):
    set_default(monkeypatch, task, tmp_path / DEFAULTS[task])
    with pytest.raises(ValueError, match=rf"{DEFAULTS[task]}' is not bundled with this installation.*afm-hf convert"):
        pipeline(task)
