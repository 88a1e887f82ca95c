"""The command line: results on stdout, troubles on stderr, exit codes that scripts can trust, no tracebacks."""

import csv
import io
import json
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
from commands import run_command as run
from tiny_models import RATE, tiny_clap, tone, write_tones
from transformers import pipeline
from typer.testing import CliRunner

from afm_hf import __version__
from afm_hf.cli.app import app
from afm_hf.hub import loading
from afm_hf.retrieval.embedding import AudioIndex, ClapEmbedder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture
def clips(tmp_path):
    return [str(path) for path in write_tones(tmp_path / "clips", 3)]


def test_help_and_version_are_printed_without_loading_torch():
    code = (
        "import sys\nfrom afm_hf.cli.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert all(command in done.stdout for command in ("classify", "embed", "search"))
    assert run("--version").stdout.strip() == __version__
    for command in ("classify", "embed", "search"):
        assert "--model" in run(command, "--help").stdout


# -- classify ---------------------------------------------------------------------------------------------------------


def test_classify_gives_what_the_pipeline_gives(clips, model, tmp_path):
    pipe = pipeline("zero-shot-audio-classification", model=model, device="cpu")
    expected = pipe(clips, candidate_labels="a dog,rain,birds")
    base = ["classify", tmp_path / "clips", "--model", model, "--device", "cpu", "--labels", "a dog, rain,birds"]
    got = json.loads(run(*base, "--format", "json", "--batch-size", 2).stdout)
    assert [entry["file"] for entry in got] == clips
    for entry, wanted in zip(got, expected, strict=True):
        assert [result["label"] for result in entry["results"]] == [result["label"] for result in wanted]
        for result, other in zip(entry["results"], wanted, strict=True):
            assert result["score"] == pytest.approx(other["score"], abs=1e-5)
    lines = run(*base, "--format", "jsonl", "--num-workers", 1).stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == clips
    rows = list(csv.DictReader(io.StringIO(run(*base, "--format", "csv", "--top-k", 2).stdout)))
    assert [(row["file"], row["label"]) for row in rows[:2]] == [
        (clips[0], result["label"]) for result in expected[0][:2]
    ]
    assert len(rows) == 6
    table = run(*base).stdout
    assert all(path in table for path in clips) and f"{expected[0][0]['score']:.3f}" in table


def test_classify_passes_its_options_on(clips, model, tmp_path):
    pipe = pipeline("zero-shot-audio-classification", model=model, device="cpu")
    (tmp_path / "labels.txt").write_text("a dog, barking\n\nrain\r\n", encoding="utf-8-sig")
    expected = pipe(
        clips[0],
        candidate_labels=["a dog, barking", "rain"],
        hypothesis_template=["a {}", "the {}"],
        multi_label=True,
        truncation="windows",
    )
    options = ["--labels-file", tmp_path / "labels.txt", "--template", "a {}", "--template", "the {}", "--multi-label"]
    options += ["--truncation", "windows", "--dtype", "float32", "--top-k", 0, "--format", "json", "--device", "cpu"]
    got = json.loads(run("classify", clips[0], "--model", model, *options).stdout)[0]["results"]
    assert {entry["label"]: entry["score"] for entry in got} == pytest.approx(
        {entry["label"]: entry["score"] for entry in expected}, abs=1e-5
    )


def test_classify_reports_bad_files_keeps_the_good_and_exits_with_1(clips, model, tmp_path):
    bad = tmp_path / "clips" / "00b.wav"
    bad.write_text("no audio")
    gone = tmp_path / "gone.wav"
    result = run(
        *["classify", tmp_path / "clips", gone, "--labels", "a,b", "--model", model, "--device", "cpu"],
        *["--batch-size", 2, "--format", "json"],
        code=1,
    )
    assert [entry["file"] for entry in json.loads(result.stdout)] == clips
    assert f"skipped {bad}: " in result.stderr and f"skipped {gone}: " in result.stderr
    assert "2 of 5 files could not be used" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give the labels either as --labels"),
        (["--labels", "a", "--labels-file", "x"], "Give the labels either as --labels"),
        (["--labels", " , "], "is empty"),
        (["--labels", "a,a"], "is there twice"),
        (["--labels-file", "missing.txt"], "missing.txt"),
        (["--labels", "a", "--template", "none"], "'none' has no place"),
        (["--labels", "a", "--device", "nowhere"], "device 'nowhere' cannot be used"),
        (["--labels", "a", "--truncation", "last"], "last"),
        (["--labels", "a", "--batch-size", "0"], "'--batch-size'"),
        (["--labels", "a", "--model", "./missing"], "no folder './missing'"),
    ],
)
def test_wrong_use_of_classify_ends_in_one_line_and_exit_code_2(clips, model, options, message):
    assert message in run("classify", clips[0], "--model", model, *options, code=2).stderr


def test_an_empty_folder_and_an_unknown_model_are_named(clips, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    assert "no audio files" in run("classify", tmp_path / "empty", "--labels", "a", code=2).stderr
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "no/such-model" in run("classify", clips[0], "--labels", "a", "--model", "no/such-model", code=2).stderr


def test_without_a_model_the_bundled_one_is_taken(clips, model, monkeypatch):
    monkeypatch.setattr(loading, "bundled_model", lambda name: {"clap-small": model}[name])
    result = run("classify", clips[0], "--labels", "a,b", "--device", "cpu", "--format", "json")
    assert len(json.loads(result.stdout)[0]["results"]) == 2


# -- embed and search -------------------------------------------------------------------------------------------------


def embed(tmp_path, model, *options, output="emb.safetensors", code=0):
    arguments = [tmp_path / "clips", "--output", tmp_path / output, "--model", model, "--device", "cpu", *options]
    return run("embed", *arguments, code=code)


@pytest.mark.parametrize("output", ["emb.safetensors", "emb.parquet"])
def test_embed_then_search_finds_the_clip_that_the_words_mean(clips, model, tmp_path, monkeypatch, output):
    result = embed(tmp_path, model, output=output)
    assert "3/3" in result.stderr and "3 files embedded" in result.stderr and result.stdout == ""
    # A model rigged to know one phrase: it means a tone of 400 Hz, the second clip.
    meaning = {"the second tone": {"array": tone(400, seed=1), "sampling_rate": RATE}}
    monkeypatch.setattr(ClapEmbedder, "embed_text", lambda self, texts: self.embed_audio([meaning[t] for t in texts]))
    base = ["search", "the second tone", "--index", tmp_path / output, "--device", "cpu"]
    got = json.loads(run(*base, "--format", "json", "--top-k", 2).stdout)
    assert got[0]["query"] == "the second tone"
    assert got[0]["results"][0]["file"] == clips[1]
    assert got[0]["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert len(got[0]["results"]) == 2
    assert run(*base).stdout.split().index(clips[1]) < run(*base).stdout.split().index(clips[0])


def test_search_takes_several_queries_and_audio(clips, model, tmp_path):
    embed(tmp_path, model)
    result = run(
        *["search", "rain", "a dog", "--audio", clips[2], "--index", tmp_path / "emb.safetensors", "--device", "cpu"],
        *["--format", "jsonl"],
    )
    got = [json.loads(line) for line in result.stdout.splitlines()]
    assert [entry["query"] for entry in got] == ["rain", "a dog", clips[2]]
    assert got[2]["results"][0]["file"] == clips[2]
    index, embedder = AudioIndex.load(tmp_path / "emb.safetensors"), ClapEmbedder(model, device="cpu")
    (best,) = index.search(embedder.embed_text(["a dog"]), top_k=1)
    assert got[1]["results"][0] == {"score": pytest.approx(best[0].score, abs=1e-5), "file": best[0].path}


def test_embed_skips_bad_files_lists_them_and_exits_with_1(clips, model, tmp_path):
    bad = tmp_path / "clips" / "bad.wav"
    bad.write_text("no audio")
    result = embed(tmp_path, model, code=1)
    assert f"skipped {bad}: " in result.stderr and "1 could not be used" in result.stderr
    index = AudioIndex.load(tmp_path / "emb.safetensors")
    assert index.paths == clips
    assert list(index.failures) == [str(bad)]
    bad.unlink()
    assert "3/3" in embed(tmp_path, model).stderr
    assert AudioIndex.load(tmp_path / "emb.safetensors").failures == {}


def test_an_interrupted_embed_says_how_to_go_on(clips, model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        calls = []
        original = ClapEmbedder.embed_features

        def interrupted(self, features):
            if calls:
                raise KeyboardInterrupt
            calls.append(1)
            return original(self, features)

        patch.setattr(ClapEmbedder, "embed_features", interrupted)
        result = embed(tmp_path, model, "--batch-size", 1, code=130)
    assert "same command" in result.stderr
    embed(tmp_path, model, "--batch-size", 1)
    assert AudioIndex.load(tmp_path / "emb.safetensors").paths == clips


def test_another_model_is_refused(clips, model, tmp_path):
    embed(tmp_path, model)
    other = tiny_clap(tmp_path / "other", seed=1)
    index = ["--index", tmp_path / "emb.safetensors", "--device", "cpu"]
    assert "cannot be compared" in run("search", "rain", *index, "--model", other, code=2).stderr
    assert "--overwrite" in embed(tmp_path, other, code=2).stderr
    assert "cannot be compared" in run("search", "rain", *index, "--model", other, code=2).stderr
    embed(tmp_path, other, "--overwrite")
    run("search", "rain", *index)
    assert not np.array_equal(AudioIndex.load(tmp_path / "emb.safetensors").embeddings, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--index", "emb.safetensors"], "Nothing to search for"),
        (["search", "rain", "--index", "missing.safetensors"], "There is no index missing.safetensors"),
        (["search", "rain", "--index", "emb.npy"], "ends in .lance, .safetensors or .parquet"),
        (["embed", ".", "--output", "emb.npy"], "ends in .lance, .safetensors or .parquet"),
    ],
)
def test_wrong_use_of_an_index_ends_in_one_line_and_exit_code_2(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in run(*arguments, code=2).stderr


def test_tracebacks_can_be_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("AFM_HF_TRACEBACK", "1")
    result = CliRunner().invoke(app, ["search", "rain", "--index", str(tmp_path / "missing.safetensors")])
    assert isinstance(result.exception, FileNotFoundError)
