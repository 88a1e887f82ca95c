"""`afm-hf quality`: what the pipeline gives, in every format; bad files; ratings."""

import csv
import io
import json
from functools import partial

import pytest
from commands import run_command
from tiny_models import tiny_clap, write_tones
from transformers import pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture
def clips(tmp_path):
    return [str(path) for path in write_tones(tmp_path / "clips", 4)]


run = partial(run_command, "quality")


def test_every_format_holds_what_the_pipeline_gives(clips, model, tmp_path):
    expected = pipeline("audio-quality-assessment", model=model, device="cpu")(clips)
    base = [tmp_path / "clips", "--model", model, "--device", "cpu", "--batch-size", 3]
    got = json.loads(run(*base, "--format", "json").stdout)
    assert [entry["file"] for entry in got] == clips
    for entry, wanted in zip(got, expected, strict=True):
        assert entry["score"] == pytest.approx(wanted.score, abs=1e-5)
        assert entry["segment_scores"] == pytest.approx(wanted.segment_scores, abs=1e-5)
        assert entry["settings"]["prompts"] == wanted.settings["prompts"]
    lines = [json.loads(line) for line in run(*base, "--format", "jsonl", "--num-workers", 1).stdout.splitlines()]
    assert [line["score"] for line in lines] == pytest.approx([entry["score"] for entry in got], abs=1e-5)
    rows = list(csv.DictReader(io.StringIO(run(*base, "--format", "csv").stdout)))
    assert [float(row["score"]) for row in rows] == pytest.approx([entry["score"] for entry in got], abs=1e-5)
    rows = list(csv.DictReader(io.StringIO(run(*base, "--format", "csv", "--per-segment").stdout)))
    assert len(rows) == sum(len(wanted.segment_scores) for wanted in expected)
    assert rows[0]["segment"] == "1"
    table = run(*base).stdout
    assert all(path in table for path in clips) and f"{expected[0].score:.3f}" in table


def test_prompts_and_segments_are_passed_on(clips, model):
    pipe = pipeline("audio-quality-assessment", model=model, device="cpu")
    pairs = [("good", "bad"), ("clean", "dirty")]
    prompts = ["--good", "good", "--bad", "bad", "--good", "clean", "--bad", "dirty"]
    options = [clips[0], "--model", model, "--device", "cpu", "--format", "json", "--segments", "first"]
    (got,) = json.loads(run(*options, *prompts).stdout)
    assert got["score"] == pytest.approx(pipe(clips[0], prompts=pairs, segments="first").score, abs=1e-5)
    assert got["settings"]["segments"] == "first"


def test_bad_files_are_named_and_skipped(clips, model, tmp_path):
    bad = tmp_path / "clips" / "bad.wav"
    bad.write_bytes(b"no audio")
    result = run(tmp_path / "clips", "--model", model, "--device", "cpu", "--format", "jsonl", code=1)
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == clips
    assert f"skipped {bad}" in result.stderr and "1 of 5 files could not be used" in result.stderr


def test_ratings_are_correlated_with_the_scores(clips, model, tmp_path):
    table = tmp_path / "ratings.csv"
    lines = [f"{clip.rpartition('/')[2]},s,{number}" for number, clip in enumerate(clips)]
    table.write_text("\n".join(["name,system,MOS", *lines]))
    columns = ["--file-column", "name", "--system-column", "system", "--rating", "MOS"]
    base = [tmp_path / "clips", "--ratings", table, *columns, "--model", model, "--device", "cpu", "--resamples", 20]
    report = json.loads(run(*base, "--format", "json").stdout)
    found = report["correlations"][0]["correlation"]
    assert found["count"] == 4 and len(report["clips"]) == 4
    (row, _) = csv.DictReader(io.StringIO(run(*base, "--format", "csv").stdout))
    assert float(row["pearson"]) == pytest.approx(found["pearson"], abs=1e-5)
    assert float(row["pearson_low"]) == pytest.approx(found["pearson_interval"][0], abs=1e-5)
    assert len(run(*base, "--format", "jsonl").stdout.splitlines()) == 2
    shown = run(*base).stdout
    assert "all clips" in shown and "clips of s" in shown and f"{found['spearman']:.3f}" in shown
    table.write_text(table.read_text() + "\nabsent.wav,s,3")
    result = run(*base, code=1)
    assert "absent.wav" in result.stderr and "1 of 5" in result.stderr


def test_mistakes_are_named_in_one_line(clips, model, tmp_path):
    for arguments, message in (
        ([], "Give audio files"),
        ([clips[0], "--good", "fine"], "1 --good and 0 --bad"),
        ([clips[0], "--ratings", tmp_path / "none.csv"], "one folder"),
        (["--ratings", tmp_path / "none.csv"], "There is no file"),
        ([tmp_path / "clips", "--device", "abacus"], "cannot be used"),
    ):
        result = run(*arguments, "--model", model, code=2)
        assert message in result.stderr and result.stderr.startswith("afm-hf: ")


def test_help_does_not_load_a_model():
    assert "--per-segment" in run("--help").stdout
