"""Scoring rules agree with the published ones where they should, and part from them where these go wrong."""

import pytest

from afm_hf.evaluation.metrics.answers import (
    binary_scores,
    choice_scores,
    entailment_scores,
    normalised,
    open_scores,
    option_letter,
    yes_or_no,
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        ("There is no dog, yes.", "no"),
        ("yesterday", None),
        ("a noise, not known", None),
        ("a piano", None),
        ("", None),
        ("NO!", "no"),
        ("eyes", None),
    ],
)
def test_yes_and_no_are_words_of_their_own(text, answer):
    assert yes_or_no(text) == answer


def test_the_published_rule_finds_no_inside_of_words():
    result = binary_scores(["it is a noise", "yes and no", "unclear", "no"], ["no", "no", "yes", "No "])
    assert result.correct["word"].tolist() == [False, False, False, True]
    assert result.correct["published"].tolist() == [True, True, False, True]
    assert result.unanswered == 2 and result.count == 4


def test_binary_answers_are_yes_or_no():
    with pytest.raises(ValueError, match="'two'"):
        binary_scores(["two"], ["two"])


def test_open_answers_are_compared_in_three_ways():
    result = open_scores(
        [" Rain ", "It is the Rain.", "the two dogs", "train", ""],
        ["rain", "rain", ["three dogs", "2 dogs"], "rain", "rain"],
    )
    assert result.correct["exact"].tolist() == [True, False, False, False, False]
    assert result.correct["normalised"].tolist() == [True, False, True, False, False]
    assert result.correct["contained"].tolist() == [True, True, True, False, False]
    assert result.unanswered == 1


def test_an_answer_without_words_is_refused():
    with pytest.raises(ValueError, match="Item 1 has the answers"):
        open_scores(["a", "b"], ["x", ["", "!"]])
    assert normalised("Dog's the  A-ha!") == "dogs ha"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("b) rain", "b"),
        ("(C) rain", "c"),
        ("d", "d"),
        ("A.", "a"),
        ("a: dog", "a"),
        ("a dog", None),
        ("e) none", None),
        ("", None),
        ("rain b)", None),
    ],
)
def test_a_letter_stands_alone_or_before_its_sign(text, letter):
    assert option_letter(text) == letter


def test_unreadable_choices_are_wrong_here_and_a_by_the_published_rule():
    result = choice_scores(["b) rain", "it rains", "it rains", "(a) dog"], ["b) rain", "a) dog", "b) rain", "a) dog"])
    assert result.correct["letter"].tolist() == [True, False, False, True]
    assert result.correct["published"].tolist() == [True, True, False, True]  # (a is no letter, and becomes a
    assert result.unanswered == 2


def test_choices_need_answers_with_letters():
    with pytest.raises(ValueError, match="'rain' does not begin"):
        choice_scores(["b)"], ["rain"])


def test_unreadable_entailment_is_wrong_here_and_entailment_by_the_published_rule():
    pytest.importorskip("sklearn")
    answers = ["a) definitely true", "what?", "c) plausible", "b)", "d) cannot", "definitely true"]
    relations = ["entailment", "entailment", "neutral", "contradiction", "neutral", "contradiction"]
    result = entailment_scores(answers, relations)
    assert result.unanswered == 2
    assert result.strict.accuracy == pytest.approx(3 / 6) and result.published.accuracy == pytest.approx(4 / 6)
    # mean over three classes: d) and the unreadable are wrong, but no class; the published mean has d) as the fourth
    assert result.strict.macro_recall == pytest.approx((1 / 2 + 1 / 2 + 1 / 2) / 3)
    assert result.published.macro_recall == pytest.approx((1 + 1 / 2 + 1 / 2 + 0) / 4)
    assert result.strict.outside == 3


def test_unequal_lists_and_missing_texts_are_named():
    with pytest.raises(ValueError, match="2 predictions and 1 answers"):
        binary_scores(["yes", "no"], ["yes"])
    with pytest.raises(ValueError, match="Prediction 1 is None"):
        binary_scores(["yes", None], ["yes", "no"])


def test_answers_by_item_are_scored_as_lists_are():
    said, true = {"q1": "a dog", "q2": "rain"}, {"q2": ["rain", "water"], "q1": "cat"}
    assert open_scores(said, true).accuracy["exact"] == pytest.approx(0.5)  # and not 1, as of their ids
    assert binary_scores({1: "yes", 2: "no"}, {2: "no", 1: "no"}).accuracy["word"] == pytest.approx(0.5)
    assert choice_scores(iter(["a) x", "b) y"]), iter(["a) x", "a) x"])).accuracy["letter"] == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"`answers` lacks 1 .'q1'."):
        open_scores(said, {"q2": "rain"})
