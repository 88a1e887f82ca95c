"""`afm-hf classify --timeline`: one timeline, in whatever form it is written."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile
from commands import run_command as run
from tiny_models import CLIP_S, RATE, tiny_clap, tone
from transformers import pipeline

from afm_hf import find_events

LABELS = ["a dog", "rain", "birds"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    sounds = {
        "long": np.concatenate([tone(300, 2.3 * CLIP_S), tone(900, 2 * CLIP_S)]),
        "short": tone(500, 0.5 * CLIP_S),
    }
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return [str(folder / f"{name}.wav") for name in sounds]


@pytest.fixture
def command(model, files):
    return ["classify", *files, "--model", model, "--device", "cpu", "--labels", ",".join(LABELS)]


@pytest.fixture(scope="module")
def expected(model, files):
    pipe = pipeline("zero-shot-audio-classification", model=model, device="cpu")
    return pipe(files, candidate_labels=LABELS, timestamps=True)


def rows_of(text):
    return [
        (row["file"], float(row["start"]), float(row["end"]), row["label"], float(row["score"]))
        for row in csv.DictReader(io.StringIO(text))
    ]


def test_all_formats_say_what_the_pipeline_says(command, files, expected):
    command += ["--timeline", "--batch-size", 2]
    told = json.loads(run(*command, "--top-k", 0, "--format", "json").stdout)
    assert [entry["file"] for entry in told] == files
    lines = run(*command, "--top-k", 0, "--format", "jsonl", "--num-workers", 1).stdout.splitlines()
    assert [json.loads(line) for line in lines] == told
    rows = []
    for entry, wanted in zip(told, expected, strict=True):
        assert [result["label"] for result in entry["results"]] == [result["label"] for result in wanted["labels"]]
        for chunk, other in zip(entry["chunks"], wanted["chunks"], strict=True):
            assert tuple(chunk["timestamp"]) == other["timestamp"] and tuple(chunk["heard"]) == other["heard"]
            assert chunk["scores"] == pytest.approx(other["scores"], abs=1e-5)
            rows += [(entry["file"], *chunk["timestamp"], label, score) for label, score in chunk["scores"].items()]
    got = rows_of(run(*command, "--top-k", 0, "--format", "csv").stdout)
    assert [row[:4] for row in got] == [row[:4] for row in rows]
    assert [row[4] for row in got] == pytest.approx([row[4] for row in rows], abs=1e-6)
    table = run(*command, "--top-k", 1).stdout
    assert table.count("rain") + table.count("a dog") + table.count("birds") == sum(
        len(wanted["chunks"]) for wanted in expected
    )
    assert all(path in table for path in files)


def test_events_are_those_of_all_labels(command, expected, files):
    scores = np.sort([score for chunk in expected[0]["chunks"] for score in chunk["scores"].values()])
    middle = scores[len(scores) // 4 : -len(scores) // 4]
    widest = int(np.diff(middle).argmax())
    threshold = float(middle[widest : widest + 2].mean())  # no score lies so near that rounding decides
    told = json.loads(run(*command, "--events", threshold, "--top-k", 1, "--format", "json").stdout)
    for entry, wanted in zip(told, expected, strict=True):
        assert len(entry["results"]) == 1
        for event, other in zip(entry["events"], find_events(wanted, threshold), strict=True):
            assert {**event, "score": 0} == {**other, "score": 0}
    rows = rows_of(run(*command, "--events", threshold, "--format", "csv").stdout)
    assert [row[:4] for row in rows] == [
        (entry["file"], event["start"], event["end"], event["label"]) for entry in told for event in entry["events"]
    ]
    assert "no label scores 1 or more" in run(*command, "--events", 1).stdout


def test_the_step_can_be_chosen(command):
    steps = json.loads(run(*command, "--timeline", "--hop", CLIP_S, "--format", "json").stdout)[0]["chunks"]
    assert [chunk["heard"][0] for chunk in steps[:3]] == [0, CLIP_S, 2 * CLIP_S]


def test_a_bad_file_is_named_and_skipped(command, files, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    command.insert(1, bad)
    result = run(*command, "--timeline", "--format", "json", code=1)
    assert [entry["file"] for entry in json.loads(result.stdout)] == files
    assert f"skipped {bad}: " in result.stderr and "1 of 3 files could not be used" in result.stderr


def test_kept_timelines_go_on_and_are_not_mixed_with_others(command, files, expected, tmp_path):
    out = tmp_path / "kept.jsonl"
    run(command[0], files[0], *command[3:], "--timeline", "--output", out)
    run(*command, "--timeline", "--output", out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["file"] for line in lines] == files
    assert [len(line["chunks"]) for line in lines] == [len(wanted["chunks"]) for wanted in expected]
    for other in ([], ["--timeline", "--hop", 0.2], ["--events", 0.5]):
        assert "results of other settings" in run(*command, *other, "--output", out, code=2).stderr


def test_pictures_are_drawn_of_one_file_or_of_many(command, files, tmp_path):
    pytest.importorskip("matplotlib")
    run(command[0], files[0], *command[3:], "--picture", tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    run(*command, "--timeline", "--picture", tmp_path / "pictures")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["long.png", "short.png"]
    for picture, message in (("all.png", "there are 2 files to draw"), ("all.jpg", "expected a *.png file, or a")):
        assert message in run(*command, "--picture", tmp_path / picture, code=2).stderr


def test_without_matplotlib_a_picture_says_what_to_install(command, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert "pip install matplotlib" in run(*command, "--picture", tmp_path / "pictures", code=2).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hop", 0.1], "--hop is for the steps of --timeline"),
        (["--timeline", "--hop", 0.6], "expected more than 0 and at most 0.5 s"),
        (["--events", 2], "--events"),
    ],
)
def test_wrong_use_is_told(command, options, message):
    assert message in run(*command, *options, code=2).stderr
