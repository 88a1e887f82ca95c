"""Labels with commas, labels of files, and templates by name: what is said reaches the model, or is refused."""

import json

import pytest
from commands import run_command as run
from tiny_models import tiny_clap, write_tones
from transformers import pipeline

from afm_hf.cli.matching.labels import read_labels, read_templates
from afm_hf.data import domain_templates

LABELS = ["a dog, barking", "rain"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture
def clip(tmp_path):
    return str(write_tones(tmp_path / "clips", 1)[0])


FILES = {
    "labels.txt": "a dog, barking\n\n rain \r\n",
    "labels.json": json.dumps(LABELS),
    "json.txt": json.dumps(LABELS, indent=1),
    "labels.csv": 'file_name,label\n1.wav,"a dog, barking"\n2.wav,rain\n3.wav,rain\n',
    "labels.tsv": "file_name\tlabel\n1.wav\ta dog, barking\n2.wav\train\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_form_of_a_file_gives_the_same_labels(name, tmp_path):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8-sig")
    assert read_labels(None, tmp_path / name) == LABELS


def test_a_column_may_be_chosen(tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text('id,display name\n0,"Speech, male"\n1,Music\n')
    with pytest.raises(ValueError, match="no column 'label', but 'id', 'display name': choose one"):
        read_labels(None, table)
    assert read_labels(None, table, "display name") == ["Speech, male", "Music"]
    with pytest.raises(ValueError, match="no column 'name'"):
        read_labels(None, table, "name")
    with pytest.raises(ValueError, match="--labels-column is for a table"):
        read_labels("a,b", None, "name")


@pytest.mark.parametrize(("name", "text"), [("one.txt", "rain,wind\n"), ("x.json", "rain"), ("y.json", '{"a": 1}')])
def test_a_file_that_can_be_read_in_two_ways_is_refused(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        read_labels(None, tmp_path / name)


def test_classify_and_adapt_take_labels_with_commas(clip, model):
    given = ["--labels", json.dumps(LABELS), "--model", model, "--format", "json", "--device", "cpu"]
    results = json.loads(run("classify", clip, *given).stdout)[0]["results"]
    assert {entry["label"] for entry in results} == set(LABELS)
    adapted = run("adapt", clip, *given, "--views", 2, "--keep", 1, "--steps", 0).stdout
    assert "a dog, barking" in adapted
    assert "can be read in two ways" in run("classify", clip, "--labels", "rain (a, b), c", code=2).stderr


def test_a_template_by_name_is_its_sentences(clip, model):
    pipe = pipeline("zero-shot-audio-classification", model=model, device="cpu")
    expected = pipe(clip, candidate_labels=LABELS, hypothesis_template=domain_templates("ensemble"))
    given = ["--labels", json.dumps(LABELS), "--model", model, "--format", "json", "--device", "cpu"]
    results = json.loads(run("classify", clip, *given, "--template", "ensemble").stdout)[0]["results"]
    assert [entry["score"] for entry in results] == pytest.approx([entry["score"] for entry in expected], abs=1e-5)


def test_names_and_sentences_mix_and_an_unknown_name_lists_all():
    assert read_templates(None) is None
    assert read_templates(["a {}", "esc50"]) == ["a {}", "this is the sound of {}"]
    with pytest.raises(ValueError, match=r"'jazz' has no place for the label.*esc50.*music.*afm-hf templates"):
        read_templates(["jazz"])


def test_templates_are_listed():
    listed = run("templates").stdout
    assert "esc50: this is the sound of {}\n    CLAP 2023" in listed
