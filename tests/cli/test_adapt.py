"""`afm-hf adapt` and `classify --domain-vector`: the vector goes from one command to the other."""

import csv
import io
import json

import pytest
from commands import run_command as run
from tiny_models import tiny_clap, write_tones

FAST = ["--views", "4", "--keep", "0.5", "--steps", "3", "--no-guard", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture
def clips(tmp_path):
    return [str(path) for path in write_tones(tmp_path / "clips", 3)]


def test_a_saved_vector_gives_in_classify_what_adapt_said(clips, model, tmp_path):
    base = ["--model", model, "--labels", "a dog,rain,birds", "--format", "json"]
    adapted = json.loads(run("adapt", *clips, *base, *FAST, "--save", tmp_path / "v.safetensors").stdout)
    classify = ["classify", *clips, *base, "--device", "cpu"]
    plain = json.loads(run(*classify).stdout)
    turned = json.loads(run(*classify, "--domain-vector", tmp_path / "v.safetensors").stdout)
    for entry, before, after in zip(adapted, plain, turned, strict=True):
        assert entry["file"] == before["file"]
        for said, got in ((entry["before"], before["results"]), (entry["after"], after["results"])):
            assert {x["label"]: x["score"] for x in got} == pytest.approx(
                {x["label"]: x["score"] for x in said}, abs=1e-5
            )


def test_every_format_and_bad_files(clips, model, tmp_path):
    (tmp_path / "clips" / "bad.wav").write_bytes(b"no audio")
    base = ["adapt", tmp_path / "clips", "--model", model, "--labels", "a dog,rain,birds", *FAST]
    result = run(*base, "--each", "--format", "csv", code=1)
    assert "bad.wav" in result.stderr and "1 of 4 files" in result.stderr
    assert [row["file"] for row in csv.DictReader(io.StringIO(result.stdout))] == clips
    assert len(run(*base, "--format", "jsonl", code=1).stdout.splitlines()) == 3
    assert "before" in run(*base, code=1).stdout


def test_wrong_use_is_told(clips, model, tmp_path):
    base = ["adapt", *clips, "--model", model, "--labels", "a dog,rain"]
    assert "one vector" in run(*base, "--each", "--save", tmp_path / "v.safetensors", code=2).stderr
    assert "does not exist" in run(*base, "--save", tmp_path / "none" / "v.safetensors", code=2).stderr
    assert "`keep` is 3" in run(*base, "--keep", "3", code=2).stderr
    assert "There is no file" in run(*base, *FAST, "--domain-vector", tmp_path / "none", code=2).stderr
