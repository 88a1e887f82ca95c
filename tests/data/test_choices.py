"""Choices of questions are read from every form that tables give them, or refused."""

import json

import numpy as np
import pytest

from afm_hf.data.choices import question_choices
from afm_hf.data.mmau import read_mmau
from afm_hf.evaluation.metrics.mmau import mmau_fingerprint, mmau_scores

CHOICES = ["A man", "A woman", "rain; wind", "it's loud"]


@pytest.mark.parametrize(
    "value",
    [
        CHOICES,
        tuple(CHOICES),
        np.array(CHOICES),
        str(CHOICES),
        json.dumps(CHOICES),
        f"  {json.dumps(CHOICES, indent=1)}\n",
        "\n".join(CHOICES),
        "A man\r\n\nA woman\nrain; wind\n it's loud \n",
    ],
    ids=["list", "tuple", "array", "python", "json", "indented", "lines", "blank lines"],
)
def test_every_form_gives_the_same_choices(value):
    assert question_choices(value, "question 1", "rain; wind") == CHOICES


def test_semicolons_part_where_no_line_does():
    assert question_choices("A man; A woman;rain", "question 1", "rain") == ["A man", "A woman", "rain"]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("A man, A woman", r"choices` of question 1 are 'A man, A woman'; expected a list of two"),
        ("A man", "expected a list of two"),
        ("['A man' 'A woman']", "expected a list of two"),  # numpy's, which Python glues together
        ("['A man', 'A woman'", "expected a list of two"),
        (["A man"], "expected a list of two"),
        ({"a": "A man", "b": "A woman"}, "expected a list of two"),
        (3, "expected a list of two"),
        (["A man", " "], "hold ' '"),
        ("[1, 2]", "hold 1"),
        ("rain; wind; A man", r"answer of question 1, 'rain; wind', is none of its choices"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(value, match):
    with pytest.raises(ValueError, match=match):
        question_choices(value, "question 1", "rain; wind")


def question(choices, name="q1"):
    return {"id": name, "question": "Who?", "choices": choices, "answer": "A man", "task": "speech"}


def test_mmau_scores_texts_as_the_lists_that_they_are():
    """A string is a sequence, too: of letters, by which no answer would be right."""
    listed = [question(["A man", "A woman"])]
    for text in ("['A man', 'A woman']", "A man\nA woman", "A man; A woman"):
        scores = mmau_scores([question(text)], {"q1": "A man"})
        assert scores.accuracy == mmau_scores(listed, {"q1": "A man"}).accuracy
        assert scores.accuracy["string"] == 1.0 and scores.without_letter == 0
        assert mmau_fingerprint([question(text)]) == mmau_fingerprint(listed)
    with pytest.raises(ValueError, match="question 'q1' are 'A man or A woman'"):
        mmau_scores([question("A man or A woman")], {"q1": "A man"})


def test_the_reader_of_mmau_reads_them_or_names_the_row(tmp_path):
    row = {"audio_id": "./a.wav", "task": "speech", "difficulty": "easy", "category": "x", "sub-category": "y"}
    table = tmp_path / "mmau-test-mini.json"
    table.write_text(json.dumps([{**question("A man\nA woman"), **row}]))
    data, _ = read_mmau(table, check="none")
    assert data["choices"][:] == [["A man", "A woman"]]
    table.write_text(json.dumps([{**question("A man, A woman"), **row}]))
    with pytest.raises(ValueError, match=r"mmau-test-mini\.json.*expected a list of two"):
        read_mmau(table, check="none")
