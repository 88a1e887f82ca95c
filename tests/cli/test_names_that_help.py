"""What the commands say about models, paths and formats, and how much they say."""

import csv
import io
import json
import logging

import pytest
from commands import run_command as run
from tiny_models import tiny_clap, write_tones
from transformers.utils import logging as libraries

from afm_hf.hub.bundled import ASSETS, introduce
from afm_hf.hub.loading import resolve_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture
def clips(tmp_path):
    return [str(path) for path in write_tones(tmp_path / "clips", 2)]


@pytest.fixture(autouse=True)
def keep_the_level():
    yield
    logging.getLogger("afm_hf").setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "x.wav", "--labels", "rain"],
        ["embed", "x.wav", "--output", "x.safetensors"],
        ["quality", "x.wav"],
        ["caption", "x.wav"],
        ["ask", "x.wav", "--question", "what is it?"],
        ["adapt", "x.wav", "--labels", "rain,dog"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_official_name_that_was_not_converted_is_told_so(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(*arguments, "--model", "clap-2023", code=2).stderr
    assert "`afm-hf convert clap-2023 --output clap-2023`" in said and len(said.splitlines()) == 1


def test_a_folder_of_an_official_name_is_that_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clap-2023").mkdir()
    assert resolve_model("clap-2023") == str(tmp_path / "clap-2023")
    with pytest.raises(ValueError, match="afm-hf convert mellow "):
        resolve_model("mellow")


@pytest.mark.parametrize("command", [["caption"], ["ask", "--question", "what is it?"]], ids=lambda words: words[0])
def test_a_model_of_the_wrong_kind_gets_one_line(command, clips, model):
    said = run(*command, clips[0], "--model", model, code=2).stderr
    assert len(said.splitlines()) == 1 and len(said) < 300
    assert "is a 'clap_afm' model" in said and "afm_pengi" in said


@pytest.mark.parametrize("name", ["clap-small", "pengi-small", "mellow-small", "adiff-small"])
def test_every_bundled_model_is_introduced_once(name, caplog):
    libraries.get_logger("afm_hf").warning_once.cache_clear()
    for _ in range(2):
        introduce(ASSETS / name)
    told = [record.getMessage() for record in caplog.records if "demonstration model" in record.getMessage()]
    assert len(told) == 1 and told[0].startswith(f"{name} is a small")


def test_other_folders_are_not_introduced(tmp_path, caplog):
    introduce(tmp_path)
    assert not caplog.records


def test_only_errors_are_said_when_quiet(clips, model, tmp_path):
    command = ["embed", *clips, "--model", model, "--output", tmp_path / "a.safetensors"]
    assert "2 files embedded" in run(*command).stderr
    assert run(*command, "--quiet").stderr == ""
    assert run(*command, "--log-level", "error").stderr == ""
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    classify = ["classify", tmp_path / "bad.wav", *clips, "--model", model, "--labels", "a,b", "--quiet"]
    assert "skipped" in run(*classify, code=1).stderr


def test_levels_reach_the_loggers(clips, model):
    run("classify", clips[0], "--model", model, "--labels", "a,b", "--log-level", "info")
    assert logging.getLogger("afm_hf").level == logging.INFO and libraries.get_verbosity() == logging.INFO
    run("classify", clips[0], "--model", model, "--labels", "a,b")
    assert logging.getLogger("afm_hf").level == logging.WARNING and libraries.get_verbosity() == logging.ERROR


def test_paths_are_of_one_form_in_every_format(clips, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["classify", "clips", "--model", model, "--labels", "a,b", "--top-k", "1"]
    wanted = ["clips/00.wav", "clips/01.wav"]
    assert [row["file"] for row in json.loads(run(*command, "--format", "json").stdout)] == wanted
    lines = run(*command, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == wanted
    rows = csv.DictReader(io.StringIO(run(*command, "--format", "csv").stdout))
    assert [row["file"] for row in rows] == wanted
    assert all(name in run(*command).stdout for name in wanted)


def test_figures_as_csv(clips, model, tmp_path):
    rows = [
        ("file_name", "label"),
        *((clip.rpartition("/")[2], label) for clip, label in zip(clips, "ab", strict=True)),
    ]
    (tmp_path / "clips" / "metadata.csv").write_text("".join(f"{one},{two}\n" for one, two in rows))
    command = ["evaluate", "--task", "zero-shot", "--dataset", "folder", "--data-dir", tmp_path / "clips"]
    command += ["--model", model, "--output", tmp_path / "run", "--draws", "10"]
    table = list(csv.DictReader(io.StringIO(run(*command, "--format", "csv").stdout)))
    figures = json.loads(run(*command, "--format", "json").stdout)
    assert [row["metric"] for row in table] == list(figures["metrics"])
    assert [float(row["value"]) for row in table] == pytest.approx(list(figures["metrics"].values()))
    assert json.loads(run(*command, "--format", "jsonl").stdout) == figures


def test_a_model_that_was_replaced_is_told(clips, caplog):
    done = run("classify", clips[0], "--labels", "a,b", "--model", "clap-tiny")
    assert "'clap-tiny' is no longer bundled: 'clap-small' has taken its place and is used here" in caplog.text
    assert done.stdout == run("classify", clips[0], "--labels", "a,b", "--model", "clap-small").stdout
