"""Every message of `docs/troubleshooting.md` is one that people get."""

import csv
import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from commands import run_command
from transformers import AutoModel, AutoModelForMultimodalLM, AutoProcessor, Trainer, TrainingArguments, pipeline
from transformers.pipelines.audio_classification import AudioClassificationPipeline

from afm_hf import bundled_audio, bundled_model, load_audio
from afm_hf.data import read_audio_folder
from afm_hf.training.collators import ClapCollator

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"
HEADINGS = re.findall(r"^### `(.*)`$", PAGE.read_text(), re.M)
CLIP = str(bundled_audio()[0])
# What only a broken or missing library says; tests/test_registration.py breaks torchaudio.
OTHERS = {"Could not load this library"}


def message(call):
    with pytest.raises(Exception) as caught:
        call()
    return f"{caught.type.__name__}: {caught.value}"


def command_output(*words, code=2):
    return run_command(*words, code=code).output


@functools.cache
def without_us():
    """What transformers alone says of our models and tasks."""
    code = f"""
from transformers import AutoModel, pipeline
for call in (lambda: AutoModel.from_pretrained({str(bundled_model())!r}), lambda: pipeline("audio-captioning")):
    try:
        call()
    except (ValueError, KeyError) as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def toy(monkeypatch):
    said = []
    monkeypatch.setattr("logging.Logger.warning_once", lambda self, text: said.append(text))
    pipeline("audio-captioning")
    return " ".join(said)


def forgotten_columns(folder):
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "caption"], ["a.ogg", "a sound"]])
    shutil.copy(CLIP, folder / "a.ogg")
    model, processor = (Auto.from_pretrained(bundled_model()) for Auto in (AutoModel, AutoProcessor))
    arguments = TrainingArguments(str(folder / "run"), report_to=[], use_cpu=True)
    data, _ = read_audio_folder(folder)
    return message(Trainer(model, arguments, ClapCollator(processor), train_dataset=data).train)


def undecoded(monkeypatch):
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", False)
    data = datasets.Dataset.from_dict({"audio": [CLIP]}).cast_column("audio", datasets.Audio())
    return message(lambda: data[0])


def stock_pipeline(monkeypatch):
    monkeypatch.setenv("PATH", "")  # no ffmpeg
    ours = pipeline("audio-classification", model=str(bundled_model()))
    stock = AudioClassificationPipeline(model=ours.model, feature_extractor=ours.feature_extractor)
    return message(lambda: stock(CLIP))


def another_index(folder):
    index = folder / "index.safetensors"
    run_command("embed", CLIP, "--output", index)
    other = AutoModel.from_pretrained(bundled_model())
    other.logit_scale.data += 1
    other.save_pretrained(folder / "other")
    AutoProcessor.from_pretrained(bundled_model()).save_pretrained(folder / "other")
    return command_output("search", "rain", "--index", index, "--model", folder / "other")


def pengi(change):
    model, processor = (
        Auto.from_pretrained(bundled_model("pengi-small")) for Auto in (AutoModelForMultimodalLM, AutoProcessor)
    )
    inputs = processor(audio=CLIP, text="generate audio caption")
    return message(lambda: model(**change(dict(inputs))))


def cut(inputs):
    return {**inputs, "input_ids": inputs["input_ids"][:, 1:], "attention_mask": inputs["attention_mask"][:, 1:]}


def unprompted(inputs):
    return {name: value for name, value in inputs.items() if not name.startswith("prompt_")}


# heading -> what provokes it
PROVOKED = {
    "does not recognize this architecture": lambda folder, patch: without_us(),
    "Unknown task audio-captioning": lambda folder, patch: without_us(),
    "Unrecognized configuration class": lambda folder, patch: message(
        lambda: AutoModelForMultimodalLM.from_pretrained(bundled_model("clap-small"))
    ),
    "is an official checkpoint, which has to be converted once": lambda folder, patch: command_output(
        "classify", CLIP, "--labels", "a,b", "--model", "clap-2023"
    ),
    "cannot be loaded": lambda folder, patch: command_output("classify", CLIP, "--labels", "a,b", "--model", "me/mine"),
    "is a small demonstration model": lambda folder, patch: toy(patch),
    "not an audio file that libsndfile reads": lambda folder, patch: message(lambda: load_audio(b"<!DOCTYPE", 16000)),
    "no such file. The path is relative to": lambda folder, patch: message(lambda: load_audio("not-here.wav", 16000)),
    "(channels, samples)": lambda folder, patch: message(lambda: load_audio(np.zeros((16000, 2)), 16000)),
    "Divide int16 values by 32768": lambda folder, patch: message(lambda: load_audio(np.full(100, 3e4), 16000)),
    "are NaN or infinite": lambda folder, patch: message(lambda: load_audio(np.full(100, np.nan), 16000)),
    "please install 'torchcodec'": lambda folder, patch: undecoded(patch),
    "ffmpeg was not found but is required": lambda folder, patch: stock_pipeline(patch),
    "There are no audio files": lambda folder, patch: command_output("classify", folder, "--labels", "a,b"),
    "Give the labels either as": lambda folder, patch: command_output("classify", CLIP),
    "The index was made by": lambda folder, patch: another_index(folder),
    "No columns in the dataset match": lambda folder, patch: forgotten_columns(folder),
    "placeholders (token": lambda folder, patch: pengi(cut),
    "Pengi needs a prompt": lambda folder, patch: pengi(unprompted),
}


@pytest.mark.parametrize("heading", [heading for heading in HEADINGS if heading not in OTHERS])
def test_the_messages_that_are_explained_are_those_that_people_get(heading, tmp_path, monkeypatch):
    assert heading in PROVOKED, "nothing here provokes this message"
    assert heading in PROVOKED[heading](tmp_path, monkeypatch)


def test_what_is_provoked_is_explained():
    assert set(PROVOKED) <= set(HEADINGS)
