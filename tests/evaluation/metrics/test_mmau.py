"""MMAU is scored as the official program does, and by letter as Mellow's."""

import json
import random
import re

import pytest

from afm_hf.evaluation.metrics.mmau import (
    letter_match,
    mmau_fingerprint,
    mmau_scores,
    string_match,
    string_match_without_letter,
)

CHOICES = ["A man", "A woman", "a dog and a cat", "Rain"]


def question(name, answer, choices=CHOICES, **more):
    return {"id": name, "question": "Who?", "choices": choices, "answer": answer, "task": "sound", **more}


QUESTIONS = [
    question("1", "A man", task="speech", difficulty="easy"),
    question("2", "a dog and a cat", difficulty="hard"),
    question("3", "Rain", difficulty="hard"),
    question("4", "B flat", ["A flat", "B flat", "C sharp"], task="music", difficulty="easy"),
]


@pytest.mark.parametrize(
    ("prediction", "answer", "right"),
    [
        ("A man", "A man", True),
        ("it's a MAN!", "A man", True),
        ("man", "A man", False),  # a word of the answer is missing
        ("a man, not a woman", "A man", False),  # a word that only a wrong choice has
        ("a man and", "A man", False),
        ("Rain falls on roofs", "Rain", True),
        ("a rain", "Rain", False),  # `a` belongs to wrong choices
        ("", "Rain", False),
        ("?!", "Rain", False),
    ],
)
def test_the_official_rule_compares_words(prediction, answer, right):
    assert string_match(prediction, answer, CHOICES) == right


def test_a_letter_before_a_right_answer_may_make_it_wrong_by_the_official_rule():
    assert not string_match("d) Rain", "Rain", [*CHOICES[:3], "D minor", "Rain"])
    assert string_match_without_letter("d) Rain", "Rain", [*CHOICES[:3], "D minor", "Rain"])
    assert string_match_without_letter("(b) B flat", "B flat", ["A flat", "B flat"])
    assert string_match_without_letter("A man", "A man", CHOICES)  # an article is no letter


def test_the_official_rule_is_that_of_its_words():
    """Written anew from the description: sets of words, word by word."""

    def slow(prediction, answer, choices):
        said, right = (set(re.findall(r"\b\w+\b", text.lower())) for text in (prediction, answer))
        wrong = {word for choice in choices for word in re.findall(r"\b\w+\b", choice.lower()) if word not in right}
        return bool(said) and all(word in said for word in right) and not any(word in wrong for word in said)

    words = random.Random(0)
    for _ in range(500):
        item = words.choice(QUESTIONS)
        text = " ".join(words.choices([*item["choices"], "the", "and", "flat", "man"], k=words.randint(0, 3)))
        assert string_match(text, item["answer"], item["choices"]) == slow(text, item["answer"], item["choices"])


@pytest.mark.parametrize(
    ("prediction", "right"),
    [
        ("b) B flat", True),
        ("B", True),
        ("b)", True),
        ("(b) B flat", False),
        ("B flat", False),
        ("the answer is b)", False),
    ],
)
def test_the_letter_rule_reads_what_stands_before_the_bracket(prediction, right):
    assert letter_match(prediction, "B flat", ["A flat", "B flat", "C sharp"]) == right


def test_of_two_equal_options_both_letters_are_right():
    assert letter_match("a)", "two", ["two", "one", "two"]) and letter_match("c)", "two", ["two", "one", "two"])


def test_right_answers_are_right_by_their_rule():
    texts = mmau_scores(QUESTIONS, {item["id"]: item["answer"] for item in QUESTIONS})
    assert texts.accuracy == {"string": 1.0, "string_without_letter": 1.0, "letter": 0.0}
    letters = {item["id"]: f"{'abcd'[item['choices'].index(item['answer'])]}) {item['answer']}" for item in QUESTIONS}
    prefixed = mmau_scores(QUESTIONS, letters)
    assert prefixed.accuracy["letter"] == prefixed.accuracy["string_without_letter"] == 1.0
    assert prefixed.accuracy["string"] == 1.0  # the letters c and d are words of no choice, a and b are of the answer
    assert mmau_scores([question("1", "Rain", ["A dog", "Rain", "a b"])], {"1": "b) Rain"}).accuracy["string"] == 0.0


def test_questions_without_an_answer_are_wrong_and_listed():
    result = mmau_scores(QUESTIONS, {"1": "A man", "3": "Rain", "9": "Rain"}, model="ear")
    assert result.accuracy["string"] == 0.5 and result.answered_only["string"] == 1.0
    assert result.unanswered == ["2", "4"] and result.unknown == ["9"] and result.questions == 4
    assert result.by_group["task"]["music"]["string"] == 0.0 and result.by_group["difficulty"]["hard"]["string"] == 0.5
    assert result.settings == {"model": "ear"}


@pytest.mark.parametrize("key", ["model_output", "model_prediction"])
def test_predictions_may_stand_in_the_official_file(key):
    result = mmau_scores([{**item, key: item["answer"]} for item in QUESTIONS[:2]] + QUESTIONS[2:])
    assert result.accuracy["string"] == 0.5 and result.unanswered == ["3", "4"]


def test_the_version_is_that_of_the_questions_and_not_of_the_file():
    first = mmau_fingerprint(QUESTIONS)
    assert (
        mmau_fingerprint(json.loads(json.dumps([{**item, "model_output": "x"} for item in QUESTIONS[::-1]]))) == first
    )
    assert mmau_fingerprint([{**QUESTIONS[0], "answer": "Rain"}, *QUESTIONS[1:]]) != first
    assert mmau_scores(QUESTIONS, {}).version == f"unknown ({first})"


@pytest.mark.parametrize(
    ("questions", "predictions", "message"),
    [
        ([], {}, "no questions"),
        ([{**QUESTIONS[0], "answer": None}], {}, "lacks answer.*not public"),
        ([QUESTIONS[0], QUESTIONS[0]], {}, "'1' stands 2 times"),
        (QUESTIONS, {"1": ["A man"]}, "prediction for '1'"),
    ],
)
def test_what_cannot_be_scored_is_named(questions, predictions, message):
    with pytest.raises(ValueError, match=message):
        mmau_scores(questions, predictions)
