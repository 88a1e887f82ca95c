"""`afm-hf embed` and `search` with a Lance table."""

import csv
import json

import pytest
from commands import run_command as run
from tiny_models import CLIP_S, tiny_clap, write_tones

from afm_hf.retrieval import AudioIndex

pytest.importorskip("lancedb", reason='needs `pip install "afm-hf[retrieval]"`')


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("model"))


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_tones(tmp_path / "clips", 4)
    with (tmp_path / "clips" / "metadata.csv").open("w", newline="") as file:
        rows = [[path.name, "dog" if number % 2 else "rain"] for number, path in enumerate(paths)]
        csv.writer(file).writerows([["file_name", "label"], *rows])
    return paths


def embed(model, *options, code=0):
    return run("embed", "clips", "--output", "clips.lance", "--model", model, "--device", "cpu", *options, code=code)


def search(*options, code=0):
    return run("search", *options, "--index", "clips.lance", "--device", "cpu", code=code)


def test_a_table_is_made_and_searched_by_its_columns(clips, model):
    done = embed(model, "--metadata", "clips/metadata.csv")
    assert "4 files embedded in clips.lance; 0 could not be used." in done.stderr and done.stdout == ""
    (found,) = json.loads(search("water", "--where", "label = 'dog'", "--json").stdout)
    assert found["query"] == "water"
    assert {entry["file"] for entry in found["results"]} == {"clips/01.wav", "clips/03.wav"}
    assert all(entry["label"] == "dog" and "start_s" not in entry for entry in found["results"])
    lines = search("--audio", "clips/02.wav", "--min-score", "0.999", "--format", "csv").stdout.splitlines()
    assert lines == ["query,file,score,label", "clips/02.wav,clips/02.wav,1.000000,rain"]
    shown = search("water", "--top-k", 2, "--exact").stdout
    assert "label" not in shown and shown.count(".wav") == 2
    assert "No field named lable" in search("water", "--where", "lable = 'dog'", code=2).stderr


def test_windows_are_shown_with_their_times(clips, model):
    write_tones(clips[0].parent / "long", 1, seconds=2 * CLIP_S)
    assert "6 windows embedded" in embed(model, "--every", CLIP_S).stderr
    shown = search("--audio", "clips/long/00.wav", "--top-k", 6).stdout
    assert "start_s" in shown and "end_s" in shown and shown.count("clips/long/00.wav") == 3  # the query, and two rows
    entry = json.loads(search("water", "--json").stdout)[0]["results"][0]
    assert entry["end_s"] > entry["start_s"] >= 0


def test_an_index_is_converted_there_and_back(clips, model):
    run("embed", "clips", "--output", "old.safetensors", "--model", model, "--device", "cpu")
    assert (
        "4 rows of old.safetensors written to clips.lance."
        in run(*["embed", "old.safetensors", "--output", "clips.lance"]).stderr
    )
    assert "already" in run("embed", "old.safetensors", "--output", "clips.lance", code=2).stderr
    run("embed", "clips.lance", "--output", "new.parquet")
    assert AudioIndex.load("new.parquet").files == AudioIndex.load("old.safetensors").files
    assert "4 files embedded" in embed(model).stderr  # the table goes on from there
    said = run("search", "rain", "--index", "old.safetensors", "--where", "label = 'dog'", code=2).stderr
    assert "--where asks the columns of a Lance table" in said


def test_bad_files_are_told_and_the_exit_code_is_1(clips, model):
    (clips[0].parent / "bad.wav").write_text("no audio")
    assert "1 could not be used" in embed(model, code=1).stderr
    refused = run("embed", "clips", "--output", "emb.safetensors", "--model", model, "--every", "1", code=2)
    assert "are for an index *.lance" in refused.stderr
