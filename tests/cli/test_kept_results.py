"""`--output FILE.jsonl`: nothing is asked twice, nothing of other settings is mixed in, a full disk loses no line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_command as run
from generating_models import save, write_clips
from small_disks import FullDisk, small_disk
from tiny_models import tiny_clap

from afm_hf.pipelines.pipeline_afm_prefix_lm import AfmPrefixLMPipeline

LABELS = ["--labels", "rain,wind"]


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("clap")))


@pytest.fixture(scope="module")
def pengi(tmp_path_factory):
    return str(save("pengi", tmp_path_factory.mktemp("pengi")))


@pytest.fixture
def clips(tmp_path):
    return write_clips(tmp_path / "clips", 4)


@pytest.fixture(params=["classify", "quality", "caption", "ask"])
def command(request, clap, pengi, clips):
    """A command on a folder of clips, without its --output."""
    options = {"classify": LABELS, "ask": ["--question", "what is it?"]}.get(request.param, [])
    model = clap if request.param in ("classify", "quality") else pengi
    return [request.param, Path(clips[0]).parent, "--model", model, "--device", "cpu", *options]


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files(path):
    return [row["file"] for row in rows(path)]


def test_the_file_holds_what_stdout_would(command, clips, tmp_path):
    assert run(*command, "--output", tmp_path / "out.jsonl").stdout == ""
    printed = [json.loads(line) for line in run(*command, "--format", "jsonl").stdout.splitlines()]
    found = rows(tmp_path / "out.jsonl")
    for row, file, wanted in zip(found, clips, printed, strict=True):
        assert row.pop("state") == [[os.stat(file).st_size, os.stat(file).st_mtime_ns]]
        assert row.pop("file") == file == os.path.abspath(wanted.pop("file"))
        assert json.dumps(row)[:40] == json.dumps(wanted)[:40] and row.keys() == wanted.keys()


def test_a_cut_file_is_filled_up_with_what_is_missing(command, clips, tmp_path):
    out = tmp_path / "out.jsonl"
    run(*command, "--output", out)
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.index(b"\n") + 20])
    said = run(*command, "--output", out).stderr
    assert f"3 results in {out}, beside 1 that were there" in said
    assert files(out) == clips and out.read_bytes().startswith(whole[: whole.index(b"\n")])
    assert "0 results" in run(*command, "--output", out).stderr


def test_a_full_disk_loses_no_line_and_the_same_command_goes_on(command, clips, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    full = FullDisk(monkeypatch, after=4)  # a try, the settings, two lines
    said = run(*command, "--output", out, code=2).stderr
    assert f"afm-hf: The results cannot be written to {out}: no space is left there" in said
    assert "the same call or command then goes on" in said
    assert files(out) == clips[:2]
    full.room()
    run(*command, "--output", out)
    assert files(out) == clips


def test_results_of_other_options_or_of_other_weights_are_not_mixed(clips, clap, tmp_path):
    out = tmp_path / "out.jsonl"
    base = ["classify", clips[0], "--device", "cpu", "--output", out]
    run(*base, "--model", clap, *LABELS)
    before = out.read_bytes()
    other = tiny_clap(tmp_path / "other", seed=1)
    for change, what in (
        (["--model", clap, "--labels", "rain"], "candidate_labels was"),
        (["--model", clap, *LABELS, "--truncation", "windows"], "truncation was None, now it is 'windows'"),
        (["--model", other, *LABELS], "weights of the model was"),
    ):
        said = run(*base, *change, code=2).stderr
        assert f"{out} holds results of other settings: {what}" in said and "--overwrite" in said
        assert out.read_bytes() == before
    run(*base, "--model", other, *LABELS, "--overwrite")
    assert out.read_bytes() != before and files(out) == [clips[0]]


def test_changed_files_are_done_again_new_ones_added_and_bad_ones_tried_again(clips, clap, tmp_path):
    out, bad = tmp_path / "out.jsonl", Path(clips[0]).parent / "9.wav"
    bad.write_text("no audio")
    command = ["classify", bad.parent, "--model", clap, "--device", "cpu", *LABELS, "--output", out]
    for _ in range(2):
        assert f"skipped {bad}" in run(*command, code=1).stderr
    assert files(out) == clips
    bad.write_bytes(Path(clips[0]).read_bytes())
    os.utime(clips[1], ns=(1, 1))
    assert "2 results" in run(*command).stderr
    assert files(out) == [*clips, str(bad)]
    assert rows(out)[1]["state"][0][1] == 1


def test_pairs_and_sentences_are_kept_each_for_itself(clips, clap, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    base = ["entail", clips[0], "--model", clap, "--scoring", "thresholds", "--device", "cpu", "--output", out]
    limits = tmp_path / "limits.json"
    limits.write_text('{"low": 0.1, "high": 0.2}')
    run(*base, "--thresholds", limits, "--", "a dog barks")
    monkeypatch.chdir(Path(clips[0]).parent)  # a path that is said differently is the same file
    base[1] = Path(clips[0]).name
    assert "1 results" in run(*base, "--thresholds", limits, "--", "a dog barks", "it rains").stderr
    assert [row["hypothesis"] for row in rows(out)] == ["a dog barks", "it rains"]
    limits.write_text('{"low": 0.1, "high": 0.3}')
    assert "other settings: thresholds was 'limits.json" in run(*base, "--thresholds", limits, "--", "a", code=2).stderr


def test_what_cannot_be_kept_is_refused_before_the_model_is_loaded(command, tmp_path, monkeypatch):
    monkeypatch.setattr(AfmPrefixLMPipeline, "__init__", lambda *_, **__: pytest.fail("the model was loaded"))
    monkeypatch.setattr("afm_hf.hub.loading.load_clap", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "mine.jsonl").write_text('{"file": "a.wav"}\n')
    for options, message in (
        (["--output", tmp_path / "out.csv"], "name a file *.jsonl"),
        (["--output", tmp_path / "out.jsonl", "--format", "csv"], "--format asks for csv"),
        (["--output", tmp_path / "none" / "out.jsonl"], "does not exist"),
        (["--output", tmp_path / "mine.jsonl"], "is there already"),
        (["--overwrite"], "give both"),
    ):
        assert message in run(*command, *options, code=2).stderr.replace("\n", " ")
    assert (tmp_path / "mine.jsonl").read_text() == '{"file": "a.wav"}\n'


FULL = (2, "afm-hf: stdout cannot be written: No space left on device.\n")


def said_with_stdout(stdout, *arguments):
    command = [sys.executable, "-m", "afm_hf", *arguments]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["paper", "--format", "csv"], ["models"]], ids=lambda each: each[0])
def test_a_stdout_that_cannot_be_written_is_said_in_one_line(arguments):
    with open("/dev/full", "w") as full:
        assert said_with_stdout(full, *arguments) == FULL


@pytest.mark.parametrize(("filler", "unbuffered"), [(8192, ""), (0, "1")])
def test_a_stdout_on_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch, filler, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)  # with it Python does not look how much was written
    with small_disk(tmp_path / "disk", 8) as disk, open(disk / "out.csv", "w") as full:
        (disk / "filler").write_bytes(bytes(filler))
        assert said_with_stdout(full, "paper", "--format", "csv") == FULL
