"""The commands of the models that answer in words: answers on stdout, troubles on stderr, exit codes."""

import csv
import io
import json
import re

import pytest
from commands import run_command as run
from generating_models import save, write_clips
from transformers import pipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import logging

from afm_hf.cli.answers import read_pairs
from afm_hf.models.common.int8_text_afm import has_int8_kernels


@pytest.fixture(scope="module")
def pengi(tmp_path_factory):
    return str(save("pengi", tmp_path_factory.mktemp("pengi")))


@pytest.fixture(scope="module")
def adiff(tmp_path_factory):
    return str(save("adiff", tmp_path_factory.mktemp("adiff")))


@pytest.fixture
def clips(tmp_path):
    return write_clips(tmp_path / "clips", 3)


def lines(*arguments, code=0):
    return [json.loads(line) for line in run(*arguments, "--format", "jsonl", code=code).stdout.splitlines()]


# -- caption ----------------------------------------------------------------------------------------------------------


def test_captions_are_those_of_the_pipeline_in_every_format(clips, pengi, tmp_path):
    wanted = [result[0]["generated_text"] for result in pipeline("audio-captioning", model=pengi, device="cpu")(clips)]
    base = ["caption", tmp_path / "clips", "--model", pengi, "--device", "cpu", "--batch-size", 2]
    rows = [{"file": file, "caption": text} for file, text in zip(clips, wanted, strict=True)]
    assert lines(*base) == rows
    assert json.loads(run(*base, "--format", "json").stdout) == rows
    assert list(csv.DictReader(io.StringIO(run(*base, "--format", "csv", "--num-workers", 1).stdout))) == rows
    assert run(*base).stdout == "".join(f"{row['file']}\t{row['caption']}\n" for row in rows)
    table = run(*base, "--format", "table").stdout
    assert all(value in table for row in rows for value in row.values())
    short = lines(*base, "--max-new-tokens", 2, "--prompt", "what is it", "--truncation", "windows")
    assert all(len(row["caption"]) <= 2 for row in short)


@pytest.mark.skipif(not has_int8_kernels(), reason="torch has no kernels for this processor")
def test_every_command_that_answers_takes_eight_bits(clips, pengi, adiff):
    place = ["--device", "cpu", "--dtype", "int8"]
    wanted = pipeline("audio-captioning", model=pengi, device="cpu", dtype="int8")(clips)
    made = lines("caption", *clips, "--model", pengi, *place)
    assert [row["caption"] for row in made] == [result[0]["generated_text"] for result in wanted]
    assert len(lines("ask", *clips, "--question", "what is it?", "--model", pengi, *place)) == 3
    assert lines("difference", *clips[:2], "--model", adiff, *place)[0]["first"] == clips[0]
    refused = run("caption", *clips, "--model", pengi, "--device", "meta", "--dtype", "int8", code=2)
    assert "is for CPUs" in refused.stderr


def test_bad_files_are_reported_the_good_are_kept_and_the_exit_code_is_1(clips, pengi, tmp_path):
    bad, gone = tmp_path / "clips" / "00b.wav", tmp_path / "gone.wav"
    bad.write_text("no audio")
    base = [tmp_path / "clips", gone, "--model", pengi, "--device", "cpu", "--batch-size", 2, "--format", "jsonl"]
    for command in (["caption"], ["ask", "--question", "what is it?"]):
        result = run(*command, *base, code=1)
        assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == clips
        assert f"skipped {bad}: " in result.stderr and f"skipped {gone}: " in result.stderr
        assert "2 of 5 inputs could not be used" in result.stderr


def test_the_default_model_says_that_it_is_small(clips, pengi, tmp_path, monkeypatch):
    task = PIPELINE_REGISTRY.supported_tasks["audio-captioning"]
    monkeypatch.setitem(task, "default", {"model": (str(save("pengi", tmp_path / "pengi-small")), "main")})
    type(logging.get_logger("afm_hf")).warning_once.cache_clear()
    assert lines("caption", clips[0], "--device", "cpu") == lines("caption", clips[0], "--model", pengi)
    monkeypatch.setitem(task, "default", {"model": (str(tmp_path / "none" / "pengi-small"), "main")})
    assert "'pengi-small' is not bundled" in run("caption", clips[0], code=2).stderr


# -- ask --------------------------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_pipeline(clips, pengi):
    pipe = pipeline("audio-question-answering", model=pengi, device="cpu", question="what is it?")
    base = ["ask", *clips[:2], "--question", "what is it?", "--model", pengi, "--device", "cpu"]
    assert [row["answer"] for row in lines(*base)] == [result["answer"] for result in pipe(clips[:2])]
    wanted = pipe(clips[:2], choices=["a dog", "rain"])
    for row, result in zip(lines(*base, "--choices", "a dog, rain"), wanted, strict=True):
        assert {name: row[name] for name in ("answer", "letter", "generated_text")} == {
            name: result[name] for name in ("answer", "letter", "generated_text")
        }
        assert [entry["score"] for entry in row["scores"]] == pytest.approx(
            [entry["score"] for entry in result["scores"]], abs=1e-4
        )
    table = run(*base, "--choices", "a dog, rain", "--format", "table").stdout
    assert wanted[0]["answer"] in table and f"{wanted[0]['score']:.3f}" in table


# -- difference -------------------------------------------------------------------------------------------------------


def test_differences_are_those_of_the_pipeline(clips, adiff, tmp_path):
    pipe = pipeline("audio-difference", model=adiff, device="cpu")
    wanted = [pipe(pair, tier="brief")[0]["generated_text"] for pair in (tuple(clips[:2]), tuple(clips[1:]))]
    base = ["difference", "--model", adiff, "--device", "cpu", "--tier", "brief"]
    row = {"first": clips[0], "second": clips[1], "difference": wanted[0]}
    assert lines(*base, *clips[:2]) == [row]
    assert run(*base, *clips[:2]).stdout == "\t".join(row.values()) + "\n"
    for names in ("first,second", "id,filepath1,filepath2"):
        lead = "7," if names.startswith("id") else ""
        table = tmp_path / "clips" / "pairs.csv"
        table.write_text(f"{names}\n{lead}00.wav,01.wav\n{lead}01.wav,{clips[2]}\n", encoding="utf-8-sig")
        got = lines(*base, "--pairs", table, "--batch-size", 2)
        assert [entry["difference"] for entry in got] == wanted and got[0] == row
    table.write_text("first,second\n00.wav,01.wav\n00.wav,gone.wav\n")
    result = run(*base, "--pairs", table, "--format", "jsonl", code=1)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [row]
    assert "gone.wav: the second clip: " in result.stderr


@pytest.mark.parametrize(("sign", "encoding"), [(";", "utf-8"), ("\t", "utf-8"), (",", "utf-16")])
def test_pairs_of_tables_as_spreadsheets_write_them(sign, encoding, clips, tmp_path):
    table = tmp_path / "clips" / "pairs.csv"
    table.write_text(f"first{sign}second\n00.wav{sign}01.wav\n", encoding=encoding)
    rows = read_pairs(table, {"first": ("first",), "second": ("second",)}, ("first", "second"))
    assert rows == [{"first": str(clips[0]), "second": str(clips[1])}]
    table.write_text("first,second\n00.wav,é.wav\n", encoding="latin-1")
    with pytest.raises(ValueError, match=re.escape(str(table))):
        read_pairs(table, {"first": ("first",), "second": ("second",)}, ("first", "second"))


# -- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["caption", "CLIP", "--model", "./missing"], "no folder './missing'"),
        (["caption", "EMPTY"], "no audio files"),
        (["caption", "CLIP", "--device", "nowhere", "--model", "PENGI"], "device 'nowhere' cannot be used"),
        (["caption", "CLIP", "--max-new-tokens", "0"], "max-new-tokens"),
        (["ask", "CLIP"], "--question"),
        (["ask", "CLIP", "--question", " ", "--model", "PENGI"], "The question is blank"),
        (["ask", "CLIP", "--question", "x", "--choices", "a", "--model", "PENGI"], "expected a list of 2 to 26"),
        (["ask", "CLIP", "--question", "x", "--choices", "a,A", "--model", "PENGI"], "is there twice"),
        (["difference", "CLIP"], "Give two files"),
        (["difference"], "Give two files"),
        (["difference", "CLIP", "CLIP", "--pairs", "x.csv"], "Give two files"),
        (["difference", "--pairs", "missing.csv"], "missing.csv"),
        (["difference", "--pairs", "WRONG"], r"['a', 'b']; expected `first` and `second`"),
        (["difference", "--pairs", "SHORT"], "short.csv:2"),
        (["difference", "CLIP", "CLIP", "--model", "PENGI"], "hears two clips, ADIFF or Mellow, but PengiFor"),
        (["difference", "CLIP", "CLIP", "--tier", "long"], "long"),
    ],
)
def test_wrong_use_ends_in_one_line_and_exit_code_2(command, message, clips, pengi, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    (tmp_path / "short.csv").write_text("first,second\n00.wav\n")
    names = {"CLIP": clips[0], "PENGI": pengi, "EMPTY": tmp_path / "empty"}
    names.update(WRONG=tmp_path / "wrong.csv", SHORT=tmp_path / "short.csv")
    result = run(*(names.get(argument, argument) for argument in command), code=2)
    assert message in " ".join(result.stderr.split())
