"""The tasks with the bundled models, and the command."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from transformers import pipeline
from typer.testing import CliRunner

import afm_hf
from afm_hf.cli.app import app
from afm_hf.evaluation.bootstrap import bootstrap_interval
from afm_hf.evaluation.datasets import load_items
from afm_hf.evaluation.runner import run
from afm_hf.evaluation.task import Item, Record
from afm_hf.evaluation.tasks.answers import CaptionTask, QuestionTask
from afm_hf.evaluation.tasks.retrieval import RetrievalTask
from afm_hf.evaluation.tasks.zero_shot import ZeroShotTask

CLIPS = [str(clip) for clip in afm_hf.bundled_audio()[:6]]
LABELS = ["applause", "bell ringing", "birds singing", "car engine", "cow mooing", "cymbal"]


@pytest.fixture(scope="module")
def clap():
    return pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))


@pytest.fixture(scope="module")
def items():
    return [
        Item(f"{i}", clip, {"label": label, "captions": [f"a sound of {label}.", f"{label} is heard."]})
        for i, (clip, label) in enumerate(zip(CLIPS, LABELS, strict=True))
    ]


def test_zero_shot_is_what_the_pipeline_says(clap, items, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    task = ZeroShotTask(clap, LABELS, ["this is a sound of {}"], batch_size=4)
    with_bad = [*items[:2], Item("bad", str(bad), {"label": "cymbal"}), *items[2:]]
    result = run(task, with_bad, tmp_path / "run", progress=False, draws=20)
    said = clap(CLIPS, candidate_labels=LABELS, hypothesis_template="this is a sound of {}")
    right = [row[0]["label"] == label for row, label in zip(said, LABELS, strict=True)]
    assert result.metrics["accuracy"] == np.mean(right)
    (low, high), *others = result.intervals.values()
    assert low <= np.mean(right) <= high and not others
    assert list(result.failures) == ["bad"]
    assert np.trace(result.details["confusion"]) == sum(right)
    assert result.settings["templates"] == ["this is a sound of {}"]


def test_zero_shot_of_several_labels(clap, items):
    task = ZeroShotTask(clap, LABELS, multi_label=True)
    records = [Record(Item("a", "a.wav", {"labels": [LABELS[0], LABELS[2]]}), {"scores": [3, 1, 2, 0, 0, 0]})]
    assert task.score(records) == {"mAP": 1.0}


def test_labels_that_are_no_candidates_are_named(clap, items):
    task = ZeroShotTask(clap, LABELS[:3])
    records = [Record(item, {"scores": [1, 0, 0]}) for item in items]
    with pytest.raises(ValueError, match="car engine"):
        task.score(records)
    with pytest.raises(ValueError, match="2 or more"):
        ZeroShotTask(clap, ["rain", "rain"])


def test_retrieval_ranks_captions_and_clips(clap, items, tmp_path):
    result = run(RetrievalTask(clap, batch_size=3), items, tmp_path, progress=False, draws=20)
    assert set(result.intervals) == set(result.metrics)
    for name, (low, high) in result.intervals.items():
        assert low <= result.metrics[name] <= high, name
    assert result.metrics["audio to text recall@10"] >= result.metrics["audio to text recall@1"]
    assert result.metrics["text to audio recall@10"] == 1.0  # of six clips
    assert result.metrics["text to audio map@10"] > 0.4  # it hears


def test_retrieval_resamples_clips_with_all_their_captions():
    """Clips have one to five captions: the figures to be resampled are those that are reported."""
    rng = np.random.default_rng(0)
    task, records = RetrievalTask(None), []
    for clip in range(30):
        vector, captions = rng.standard_normal(8), [f"{clip} {i}" for i in range(1 + clip % 5)]
        task._texts.update((text, vector + rng.standard_normal(8)) for text in captions)
        records.append(Record(Item(str(clip), "a.wav", {"captions": captions}), {"embedding": vector.tolist()}))
    figures, values = task.score(records), task.per_record(records)
    assert figures.keys() == values.keys()
    for name, value in figures.items():
        found = bootstrap_interval(values[name], resamples=200)
        assert found.value == pytest.approx(value) and found.count == 30 and found.low < value < found.high, name
    assert task.details(records) == {"captions": 90, "captions that several clips share": 0}


def test_retrieval_counts_a_caption_of_several_clips_as_right_for_each():
    """Labels as captions: without it a perfect model would be right for no clip."""
    task, records = RetrievalTask(None), []
    for clip in range(12):
        caption, vector = f"sound {clip % 3}", np.eye(3)[clip % 3]
        task._texts[caption] = vector
        records.append(Record(Item(str(clip), "a.wav", {"captions": [caption]}), {"embedding": vector.tolist()}))
    assert set(task.score(records).values()) == {1.0}
    assert task.details(records)["captions that several clips share"] == 12


def test_captions_are_scored_against_references(items, tmp_path):
    pipe = pipeline("audio-captioning", model=str(afm_hf.bundled_model("pengi-small")))
    result = run(CaptionTask(pipe, batch_size=4), items, tmp_path, progress=False, draws=20)
    lines = [json.loads(line) for line in (tmp_path / "predictions-0.jsonl").read_text().splitlines()]
    assert [line["prediction"]["text"] for line in lines] == [r[0]["generated_text"] for r in pipe(CLIPS)]
    assert {"bleu_4", "rouge_l", "cider_d"} <= result.metrics.keys()
    assert {"bleu_1", "bleu_4", "rouge_l", "cider_d"} <= result.intervals.keys() and "meteor" not in result.intervals
    for name, (low, high) in result.intervals.items():
        assert low <= result.metrics[name] <= high, name


def test_questions_with_and_without_choices(tmp_path):
    pipe = pipeline("audio-question-answering")
    asked = {"question": "what is the sound?", "choices": ["rain", "cow mooing"], "answer": "cow mooing"}
    items = [Item("a", CLIPS[4], asked), Item("b", CLIPS[0], {**asked, "answer": "rain"})]
    result = run(QuestionTask(pipe), items, tmp_path, progress=False, draws=10)
    assert set(result.metrics) == {"accuracy", "letter accuracy", "unparsed"}
    task = QuestionTask(pipe)
    right = Record(Item("a", "a", {"answer": "Yes"}), {"text": "yes.", "answer": "yes."})
    wrong = Record(Item("b", "b", {"answer": "no"}), {"text": "no idea", "answer": "no idea"})
    assert task.score([right, wrong]) == {"accuracy": 0.5}
    stray = Record(Item("a", "a", {**asked, "answer": "wind"}), {"text": "x", "answer": "x"})
    with pytest.raises(ValueError, match="none of the choices"):
        task.score([stray])


@pytest.fixture
def folder(tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    with (sounds / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label"])
        for clip, label in zip(afm_hf.bundled_audio(), LABELS, strict=False):
            (sounds / clip.name).write_bytes(clip.read_bytes())
            writer.writerow([clip.name, label])
        writer.writerow(["lost.wav", "rain"])
    return sounds


def test_the_command_prints_figures_and_goes_on(folder, tmp_path):
    arguments = ["evaluate", "--task", "zero-shot", "--dataset", "folder", "--data-dir", str(folder)]
    arguments += ["--output", str(tmp_path / "out"), "--draws", "20"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 1, first.output  # a clip is lost
    assert "lost.wav" in first.stderr
    assert "zero-shot on folder (partial): 6 clips" in first.stdout and "accuracy" in first.stdout
    again = CliRunner().invoke(app, [*arguments, "--format", "json"])
    assert json.loads(again.stdout)["count"] == 6
    other = CliRunner().invoke(app, [*arguments, "--template", "{}"])
    assert other.exit_code == 2 and "templates" in other.stderr


def test_wrong_names_are_told(folder):
    with pytest.raises(ValueError, match="no dataset 'esc51'"):
        load_items("esc51", str(folder), "zero-shot")
    with pytest.raises(ValueError, match=r"'esc50' is no dataset for 'captioning'.*clotho"):
        load_items("esc50", str(folder), "captioning")


@pytest.mark.slow
def test_two_processes_give_the_same_figures_as_one(folder, tmp_path):
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "afm_hf.cli.app"]
    arguments = ["evaluate", "--task", "zero-shot", "--dataset", "folder", "--data-dir", str(folder), "--draws", "20"]
    subprocess.run([*program, *arguments, "--output", str(tmp_path / "two")], capture_output=True, timeout=300)
    CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "one")])
    two, one = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("two", "one"))
    assert len(list((tmp_path / "two").glob("predictions-*.jsonl"))) == 2
    assert two["count"] == 6 and two["metrics"] == one["metrics"] and two["intervals"] == one["intervals"]
