"""CLAP score: the cosine of each pair, its mean and interval; bad clips are named, mistakes are errors; the command."""

import csv
import io
import json

import numpy as np
import pytest
from commands import run_command as run
from tiny_models import tiny_clap, write_tones

from afm_hf.evaluation.metrics.clap_score import clap_score
from afm_hf.retrieval import ClapEmbedder

TEXTS = ["a dog barks", "rain", "birds sing"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def embedder(folder):
    return ClapEmbedder(folder, device="cpu")


@pytest.fixture
def clips(tmp_path):
    return [str(path) for path in write_tones(tmp_path / "clips", 3)]


def test_each_pair_is_the_cosine_of_its_embeddings(embedder, clips):
    table = embedder.embed_audio(clips, "windows") @ embedder.embed_text(TEXTS).T
    result = clap_score(TEXTS, clips, embedder, batch_size=2)
    assert result.scores == pytest.approx(table.diagonal().tolist(), abs=1e-5)
    assert result.score == pytest.approx(table.diagonal().mean(), abs=1e-5) and result.count == 3
    assert result.low <= result.score <= result.high and result.low < result.high
    assert result.mismatched == pytest.approx(table[~np.eye(3, dtype=bool)].mean(), abs=1e-5)
    by_name = clap_score(dict(zip("abc", TEXTS, strict=True)), dict(zip("abc", clips, strict=True)), embedder)
    assert by_name.scores == pytest.approx(result.scores, abs=1e-5)


def test_a_clip_that_cannot_be_heard_is_named_and_in_no_figure(embedder, clips):
    whole = clap_score(TEXTS, clips, embedder)
    result = clap_score([*TEXTS[:2], "x", TEXTS[2]], [*clips[:2], "missing.wav", clips[2]], embedder)
    assert result.scores[2] is None and "missing.wav" in result.skipped[2]
    assert (result.score, result.count) == (pytest.approx(whole.score, abs=1e-5), 3)
    with pytest.raises(ValueError, match="None of the 1 clips can be heard"):
        clap_score(["x"], ["missing.wav"], embedder)


def test_one_text_for_all_has_no_others_to_compare_with(embedder, clips):
    assert clap_score(["rain"] * 3, clips, embedder).mismatched is None


@pytest.mark.parametrize(
    ("texts", "count", "message"),
    [(TEXTS[:2], 3, "2 texts and 3 clips"), ("rain", 3, "one text"), (["rain", " ", "x"], 3, r"texts\[1\] is ' '")],
)
def test_mistakes_are_errors(embedder, clips, texts, count, message):
    with pytest.raises(ValueError, match=message):
        clap_score(texts, clips[:count], embedder)
    with pytest.raises(ValueError, match="random"):
        clap_score(TEXTS, clips, embedder, truncation="random")


def test_the_command_scores_a_table_of_pairs(folder, embedder, clips, tmp_path):
    table = tmp_path / "pairs.csv"
    names = [f"clips/{clip.rpartition('/')[2]}" for clip in clips]
    rows = [["file_name", "caption"], *zip(names, TEXTS, strict=True)]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    wanted = clap_score(TEXTS, clips, embedder)
    given = ["score", "--table", table, "--model", folder, "--device", "cpu", "--quiet"]
    got = json.loads(run(*given, "--format", "json").stdout)
    assert got["score"] == pytest.approx(wanted.score, abs=1e-5) and len(got["pairs"]) == 3
    assert [pair["score"] for pair in got["pairs"]] == pytest.approx(wanted.scores, abs=1e-5)
    assert f"CLAP score {wanted.score:.3f} [" in run(*given).stdout
    lines = list(csv.DictReader(io.StringIO(run(*given, "--format", "csv").stdout)))
    assert [line["text"] for line in lines] == TEXTS
    with table.open("a", newline="") as file:
        csv.writer(file).writerow(["gone.wav", "rain"])
    result = run(*given, "--format", "jsonl", code=1)
    assert json.loads(result.stdout.splitlines()[3])["score"] is None and "skipped" in result.stderr


def test_the_command_scores_files_against_one_text(folder, clips):
    given = ["--model", folder, "--device", "cpu"]
    assert "3 pairs\n" in run("score", *clips, "--text", "rain", *given).stdout
    assert "Give audio files and --text" in run("score", *clips, code=2).stderr


def test_the_command_scores_in_the_number_format_asked_for(folder, embedder, clips):
    given = ["--text", "rain", "--model", folder, "--device", "cpu", "--format", "json"]
    rough = json.loads(run("score", *clips, *given, "--dtype", "bfloat16").stdout)["score"]
    wanted = clap_score(["rain"] * len(clips), clips, embedder).score
    assert rough != wanted and rough == pytest.approx(wanted, abs=0.02)
