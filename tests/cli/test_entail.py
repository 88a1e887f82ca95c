"""`afm-hf entail`: labels on stdout, troubles on stderr, exit codes."""

import csv
import io
import json
from functools import partial

import pytest
from commands import run_command
from tiny_models import tiny_clap, write_tones
from transformers import pipeline

from afm_hf.entailment.entailment_labels import EntailmentThresholds

TEXTS = ["a dog barks", "it rains"]


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("clap")))


run = partial(run_command, "entail")


def test_labels_are_those_of_the_pipeline_in_every_format(clap, tmp_path):
    file = str(write_tones(tmp_path, 1)[0])
    EntailmentThresholds(low=-0.2, high=0.0).save(tmp_path / "t.json")
    judge = pipeline("audio-entailment", model=clap, device="cpu", thresholds=str(tmp_path / "t.json"))
    wanted = judge(file, hypothesis=TEXTS)
    base = [file, *TEXTS, "--model", clap, "--device", "cpu", "--thresholds", tmp_path / "t.json"]
    text = "".join(f"{file}\t{result.label}\t{result.hypothesis}\n" for result in wanted)
    assert run(*base).stdout == text
    rows = json.loads(run(*base, "--format", "json").stdout)
    assert [(row["file"], row["hypothesis"], row["label"]) for row in rows] == [
        (file, result.hypothesis, result.label) for result in wanted
    ]
    assert [row["similarity"] for row in rows] == pytest.approx([result.similarity for result in wanted], abs=1e-5)
    table = list(csv.DictReader(io.StringIO(run(*base, "--format", "csv").stdout)))
    assert [row["label"] for row in table] == [result.label for result in wanted]


def test_pairs_of_a_table_and_bad_files(clap, tmp_path):
    EntailmentThresholds(low=-2, high=-1).save(tmp_path / "t.json")
    write_tones(tmp_path, 1)
    (tmp_path / "pairs.csv").write_text("audio,hypothesis\n00.wav,a dog\ngone.wav,rain\n")
    options = ["--model", clap, "--device", "cpu", "--thresholds", tmp_path / "t.json"]
    result = run("--pairs", tmp_path / "pairs.csv", *options, code=1)
    assert result.stdout == f"{tmp_path / '00.wav'}\tentailment\ta dog\n"
    assert "gone.wav" in result.stderr and "1 of 2 inputs could not be used" in result.stderr
    (tmp_path / "pairs.csv").write_text("file,text\n00.wav,a dog\n")
    assert "expected `audio` and `hypothesis`" in run("--pairs", tmp_path / "pairs.csv", *options, code=2).stderr


def test_wrong_use_is_explained(clap, tmp_path):
    file = write_tones(tmp_path, 1)[0]
    assert "Give a file and sentences" in run(file, code=2).stderr
    assert "fit_thresholds" in run(file, "a dog", "--model", clap, code=2).stderr
    assert "expected one of 'thresholds'" in run(file, "a", "--model", clap, "--scoring", "letter", code=2).stderr
