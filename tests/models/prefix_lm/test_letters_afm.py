"""Letters of options in answers: read where they are clear, never guessed."""

import pytest

from afm_hf.evaluation.metrics.answers import choice_scores, option_letter
from afm_hf.models.prefix_lm.letters_afm import named_letters
from afm_hf.models.prefix_lm.prompts_afm import letter_of

CLEAR = [
    ("b) rain", "b"),
    ("(C) wind", "c"),
    ("D", "d"),
    ("a.", "a"),
    ("B: rain", "b"),
    ("B - rain", "b"),
    ("B — rain", "b"),
    ("B\nrain", "b"),
    ("B, because it rains.", "b"),
    ("**B** rain", "b"),
    ("**B)** rain", "b"),
    ("- b) rain", "b"),
    ("'B'", "b"),
    ("`B`", "b"),
    ("<b> rain", "b"),
    ("(B rain", "b"),
    ("The answer is B.", "b"),
    ("The correct answer is (B) rain.", "b"),
    ("the answer is a) dog", "a"),
    ("The answer is A", "a"),
    ("The best choice would be: B", "b"),
    ("**Answer:** B", "b"),
    ("Final answer: **B**", "b"),
    ("Answer - B", "b"),
    ("answer=B", "b"),
    ("Option B", "b"),
    ("Option A dog", "a"),
    ("I would go with option C.", "c"),
    ("I choose B", "b"),
    ("It's B.", "b"),
    ("B is the correct answer.", "b"),
    ("Option B is correct", "b"),
]
UNCLEAR = [
    "",
    "a dog",
    "A dog barks.",
    'a "dog"',
    "a *loud* noise",
    "(a dog)",
    "(a dog barking",
    "the answer is a dog",
    "the answer is a",  # perhaps cut off before its noun
    "option a dog",
    "It is a",
    "B flat",
    "The answer is C sharp",
    "(B flat major)",
    "a.m.",
    "D'accord",
    "A's dog",
    "e) none",
    "rain b)",
    "A or B",
    "A/B",
    "A, B",
    "a) or b)",
    "a) dog b) rain",
    "**A** dog, not **B** rain",
    "Option A or B",
    "Either option A or option B",
    "neither A nor B",
    "not B",
    "It is not option B.",
    "The answer is not (B).",
    "The answer isn't B.",
    "Option B is wrong.",
    "Option B is not right",
    "B, or perhaps the answer is C.",
]


@pytest.mark.parametrize(("text", "letter"), CLEAR)
def test_a_letter_that_is_set_apart_or_named_is_read(text, letter):
    assert named_letters(text, "abcd") == {letter}
    assert option_letter(text) == letter


@pytest.mark.parametrize("text", UNCLEAR)
def test_nothing_is_guessed(text):
    assert option_letter(text) is None


def test_two_options_are_two():
    assert named_letters("a) or b)", "abcd") == {"a", "b"}
    assert named_letters("A, B", "abcd") == {"a", "b"}


CHOICES = ["a dog", "rain", "wind"]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The answer is B.", "b"),
        ("**B** rain", "b"),
        ("B. Rain", "b"),
        ("a dog", "a"),
        ("b) it rains", "b"),
        ("b) a dog", None),  # the letter says one, the words another
        ("c) rain.", None),
        ("a) or b) rain", None),
        ("it is not rain", None),
        ("there is no rain", None),
        ("not b) rain", None),
        ("there is no rain, but wind and a dog", None),
    ],
)
def test_letter_and_words_of_a_choice_must_agree(answer, letter):
    assert letter_of(answer, CHOICES) == letter


def test_choices_that_are_letters_are_no_riddle():
    assert letter_of("B", ["A", "B"]) == "b"
    assert letter_of("b", ["b", "a"]) is None  # the first choice, or the second option?
    assert letter_of("B flat", ["A flat", "B flat"]) == "b"
    assert letter_of("A", ["C sharp", "A minor"]) == "a"


def test_clear_answers_in_prose_are_answers():
    said = ["The answer is B.", "Option A", "A or B", "(C wind"]
    scores = choice_scores(said, ["b) rain", "a) dog", "a) dog", "c) wind"])
    assert scores.correct["letter"].tolist() == [True, True, False, True] and scores.unanswered == 1
