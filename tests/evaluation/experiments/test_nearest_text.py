"""The nearest training clip's text: what is found, what may not be found, and that it is judged as a model is."""

import csv
import json
import types

import numpy as np
import pytest

pytest.importorskip("datasets")

from asked_models import save_model
from commands import run_command
from conftest import write_clips
from official_layouts import MAKE
from tiny_models import byte_tokenizer

from afm_hf.evaluation.experiments import nearest_text as module
from afm_hf.evaluation.experiments.nearest_text import NearestTextTask, choices_of, question_of
from afm_hf.evaluation.report.writing import read_results
from afm_hf.evaluation.task import Failure, Item

TEXTS = {"rain": 0, "a dog": 1, "a horn": 2, "is it rain?": 3, "is it a dog?": 4}


def one_hot(place, size=6):
    row = np.zeros(size, np.float32)
    row[place] = 1
    return row


@pytest.fixture
def pipe(monkeypatch):
    """A CLAP in whose space each known text is a direction of its own."""
    import torch

    def embed(model, tokenizer, texts):
        rows = [one_hot(next((i for name, i in TEXTS.items() if name in text), 5)) for text in texts]
        return torch.from_numpy(np.stack(rows))

    monkeypatch.setattr(module, "embed_texts", embed)
    config = types.SimpleNamespace(_name_or_path="/models/ear", _commit_hash=None)
    return types.SimpleNamespace(model=types.SimpleNamespace(config=config), tokenizer=byte_tokenizer())


EMBEDDED = {"rain.wav": one_hot(0), "dog.wav": one_hot(1), "wet.wav": one_hot(0) * 0.9 + one_hot(1) * 0.1}


def said(task, items):
    return list(task.predict(items))


def test_a_caption_is_that_of_the_nearest_clip_and_of_several_the_one_nearest_to_the_clip(pipe):
    training = [
        Item("1", "rain.wav", {"captions": ["a horn", "rain"]}),
        Item("2", "dog.wav", {"captions": ["a dog"]}),
    ]
    task = NearestTextTask("captioning", pipe, training, EMBEDDED)
    (found,) = said(task, [Item("x", "wet.wav", {"captions": ["it pours"]})])
    assert (found["text"], found["nearest"]) == ("rain", "1") and found["similarity"] == pytest.approx(0.9)
    assert task.settings["model"] == "nearest text by ear" and task.settings["searched"] == 2


def test_within_one_set_a_clip_does_not_find_itself(pipe):
    items = [Item(name, f"{name}.wav", {"captions": [name]}) for name in ("rain", "dog", "wet")]
    task = NearestTextTask("captioning", pipe, items, EMBEDDED, among_others=True)
    assert [found["nearest"] for found in said(task, items)] == ["wet", "wet", "rain"]
    alone = NearestTextTask("captioning", pipe, items[:1], EMBEDDED, among_others=True)
    assert isinstance(said(alone, items[:1])[0], Failure)


def test_the_question_decides_among_clips_that_are_alike(pipe):
    training = [
        Item("1", "rain.wav", {"question": "is it rain?", "answer": "yes"}),
        Item("2", "rain.wav", {"question": "is it a dog?", "answer": "no"}),
    ]
    task = NearestTextTask("question-answering", pipe, training, EMBEDDED)
    (found,) = said(task, [Item("x", "wet.wav", {"question": "is it a dog?", "answer": "no"})])
    assert found["text"] == "no"


def test_of_choices_the_one_that_is_most_like_the_text_is_said(pipe):
    training = [Item("1", "rain.wav", {"prompt": "what is it? a) rain b) a horn", "answer": "a) rain"})]
    task = NearestTextTask("multiple-choice", pipe, training, EMBEDDED)
    (found,) = said(task, [Item("x", "wet.wav", {"prompt": "what is it? a) a dog b) rain", "answer": "b) rain"})])
    assert found["text"] == "b) rain"
    asked = NearestTextTask("mmau", pipe, training, EMBEDDED)
    truth = {"prompt": "what is it?", "choices": ["a dog", "rain"], "answer": "rain", "id": "x"}
    (found,) = said(asked, [Item("x", "wet.wav", truth)])
    assert found["text"] == found["likeliest"] == "rain"


def test_pairs_are_looked_up_among_pairs_of_their_tier_in_their_order(pipe):
    tier = {"tier": "brief"}
    training = [
        Item("1", ("dog.wav", "rain.wav"), {**tier, "answer": "a dog, then rain"}),
        Item("2", ("rain.wav", "dog.wav"), {**tier, "answer": "rain, then a dog"}),
        Item("3", ("wet.wav", "dog.wav"), {"tier": "concise", "answer": "wet"}),
        Item("4", "wet.wav", {**tier, "answer": "one clip"}),
    ]
    task = NearestTextTask("difference", pipe, training, EMBEDDED)
    (found,) = said(task, [Item("x", ("wet.wav", "dog.wav"), {**tier, "answer": "?"})])
    assert found["nearest"] == "2"
    (none,) = said(task, [Item("x", ("wet.wav", "dog.wav"), {"tier": "detailed", "answer": "?"})])
    assert isinstance(none, Failure)


def test_a_clip_that_could_not_be_embedded_fails_and_the_rest_stays(pipe):
    task = NearestTextTask("captioning", pipe, [Item("1", "rain.wav", {"captions": ["rain"]})], EMBEDDED)
    lost, kept = said(task, [Item("x", "lost.wav", {"captions": ["?"]}), Item("y", "wet.wav", {"captions": ["?"]})])
    assert isinstance(lost, Failure) and kept["text"] == "rain"


def test_choices_in_a_question_are_parted_from_it():
    item = Item("x", "a.wav", {"prompt": "what is it? a) a dog that barks b) rain (heavy) c) b-flat"})
    assert question_of(item) == "what is it?"
    assert choices_of("multiple-choice", item) == ["a dog that barks", "rain (heavy)", "b-flat"]


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    place = tmp_path_factory.mktemp("captioned")
    rows = [{"caption": f"a sound of {name}"} for name in ("rain", "dogs", "wind", "rain", "cars")]
    return write_clips(place / "clips", rows), save_model("pengi_no_text_enc", place / "speaker")


def test_the_command_compares_a_model_with_the_baseline_on_the_same_clips(captioned, clap, tmp_path):
    pytest.importorskip("matplotlib")
    data, model = captioned
    words = ["experiment", "nearest-text", "--task", "captioning", "--dataset", f"folder={data}", "--clap", clap]
    shown = run_command(*words, "--output", tmp_path / "a", "--model", model, "--bootstrap", 20)
    assert "the other clips of the same set are searched" in shown.output
    assert "word for word among the texts that were searched" in shown.stdout
    rows = list(csv.DictReader((tmp_path / "a" / "nearest-text.csv").open()))
    by = {(row["metric"], row["system"]): row for row in rows}
    for system in ("nearest text", "model"):
        kept = "nearest-text" if system == "nearest text" else "model"
        result = json.loads((tmp_path / "a" / "runs" / kept / "result.json").read_text())
        assert float(by["rouge_l", system]["value"]) == pytest.approx(result["metrics"]["rouge_l"])
    found = {result.settings["model"].rpartition("/")[2] for result in read_results([tmp_path / "a"])}
    assert found == {"speaker", "nearest text by ear"}  # a report has both systems, and no embeddings
    change = 100 * (float(by["rouge_l", "model"]["value"]) - float(by["rouge_l", "nearest text"]["value"]))
    assert float(by["rouge_l", "model"]["change"]) == pytest.approx(change)
    # the same from a run of `evaluate` that is there
    run_command(*words, "--output", tmp_path / "b", "--against", tmp_path / "a" / "runs" / "model", "--bootstrap", 20)
    again = list(csv.DictReader((tmp_path / "b" / "nearest-text.csv").open()))
    assert [row["value"] for row in again] == [row["value"] for row in rows]
    assert {row["model"] for row in again} == {"speaker", "nearest text by ear"}
    assert (
        "no predictions of these 5 items"
        in run_command(*words, "--output", tmp_path / "b", "--against", tmp_path, code=2).output
    )


@pytest.mark.parametrize("task", ["mmau", "clotho-aqa", "difference"])
def test_official_layouts_are_looked_up_in_other_rows(task, clap, tmp_path):
    pytest.importorskip("matplotlib")
    name = {"difference": "cld"}.get(task, task)
    training = {"mmau": "reasonaqa", "difference": "cld"}.get(task, "clotho-aqa")
    for each in {name, training}:
        (tmp_path / each).mkdir()
        MAKE[each](tmp_path / each)
    split = {"mmau": "test", "difference": "evaluation"}.get(task, "test")
    run_command(
        "experiment", "nearest-text", "--task", task, "--dataset", f"{name}={tmp_path / name}", "--clap", clap,
        "--train", f"{training}={tmp_path / training}", "--train-split", split,
        "--output", tmp_path / "out", "--bootstrap", 20,
    )  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out" / "nearest-text.csv").open()))
    assert rows and all(row["dataset"] == name for row in rows)
    if task == "mmau":  # the baseline says no letters
        assert {row["metric"] for row in rows} >= {"accuracy", "sound"}
        assert not any("letter" in row["metric"] for row in rows if row["metric"] != "string without letter")
    if task == "difference":  # each finds itself
        assert float(next(row for row in rows if row["metric"].endswith("rouge_l"))["value"]) == pytest.approx(1.0)
