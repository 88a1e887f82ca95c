"""
Answers in words: yes or no, open questions, option letters, entailment.

Each is judged by a rule that reads whole words, and where the authors' published scoring does otherwise, by that too:
figures of papers come from it. An answer that cannot be read is wrong and is counted.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult
from ...models.prefix_lm.letters_afm import named_letters
from .accuracy import ClassificationScores, classification_scores
from .by_clip import by_clip

# The options of Mellow's prompt: a) definitely true, b) definitely false, c) plausible, d) cannot be determined.
ENTAILMENT_OPTIONS = {"a": "entailment", "b": "contradiction", "c": "neutral", "d": "undetermined"}
_YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}


@dataclasses.dataclass(kw_only=True)
class AnswerScores(AfmResult):
    """
    Shares of right answers by rule.

    Args:
        accuracy (`dict[str, float]`): By rule, 0 to 1.
        correct (`dict[str, np.ndarray]`): By rule, bool `(items,)`, for intervals and comparisons.
        unanswered (`int`): Answers that cannot be read; they are wrong, but by the published rule may be right.
        count (`int`): All of them.
    """

    accuracy: dict[str, float]
    correct: dict[str, npt.NDArray[np.bool_]]
    unanswered: int
    count: int


@dataclasses.dataclass(kw_only=True)
class EntailmentScores(AfmResult):
    """
    Entailment, neutral or contradiction, chosen by letter.

    Args:
        strict (`ClassificationScores`): Unreadable answers are wrong.
        published (`ClassificationScores`): As Mellow's scoring code: they count as the answer a).
        unanswered (`int`): Their number.
    """

    strict: ClassificationScores
    published: ClassificationScores
    unanswered: int


def yes_or_no(text: str) -> str | None:
    """
    The first `yes` or `no` that stands as a word of its own, or None.

    Example:
    ```python
    >>> yes_or_no("Yes, there is no wind."), yes_or_no("It is not known."), yes_or_no("a noise")
    ('yes', None, None)

    ```
    """
    found = _YES_OR_NO.search(text)
    return found[1].lower() if found else None


def binary_scores(predictions: Sequence[str], answers: Sequence[str]) -> AnswerScores:
    """
    Yes-or-no questions, as those of ClothoAQA.

    Rules: `word` takes the first `yes` or `no` that is a word; `published` is Mellow's, which looks whether the answer
    is anywhere in the text, so that `no` is found in `noise` and a text with both is always right.

    Raises:
        ValueError: there are no items, other numbers of the two, or an answer that is neither yes nor no.

    Example:
    ```python
    >>> binary_scores(["yes", "it is not clear"], ["yes", "no"]).accuracy
    {'word': 0.5, 'published': 1.0}

    ```
    """
    predictions, answers = _checked(predictions, answers)
    right = [answer.strip().lower() for answer in answers]
    strange = sorted(set(right) - {"yes", "no"})
    if strange:
        raise ValueError(f"Got the answers {strange[:5]}; expected 'yes' or 'no'. Open questions have `open_scores`.")
    chosen = [yes_or_no(text) for text in predictions]
    pairs = list(zip(predictions, right, strict=True))
    return _answer_scores(
        {
            "word": [choice == answer for choice, answer in zip(chosen, right, strict=True)],
            "published": [answer in text.lower() for text, answer in pairs],
        },
        chosen.count(None),
    )


def normalised(text: str) -> str:
    """
    A short answer without case, punctuation, articles and doubled blanks; numbers up to twelve as digits.

    Example:
    ```python
    >>> normalised("The  two dogs, barking!")
    '2 dogs barking'

    ```
    """
    words = re.sub(r"[^\w\s]", " ", text.lower().replace("'", "").replace("’", "")).split()
    return " ".join(_NUMBERS.get(word, word) for word in words if word not in ("a", "an", "the"))


def open_scores(predictions: Sequence[str], answers: Sequence[str | Sequence[str]]) -> AnswerScores:
    """
    Open questions with short answers; where an item has several, any of them is right.

    Rules: `exact` compares what is written, but for case and outer blanks; `normalised` compares [`normalised`] texts;
    `contained` is lenient: the words of a right answer stand in the prediction, one after another.

    Raises:
        ValueError: there are no items, other numbers of the two, or an item without a right answer.
    """
    predictions, answers = _checked(predictions, answers)
    gold = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]
    for index, several in enumerate(gold):
        if not several or not all(normalised(answer) for answer in several):
            raise ValueError(f"Item {index} has the answers {several!r}; expected one or more with a word in it.")
    pairs = list(zip(predictions, gold, strict=True))
    return _answer_scores(
        {
            "exact": [text.strip().lower() in [one.strip().lower() for one in several] for text, several in pairs],
            "normalised": [normalised(text) in map(normalised, several) for text, several in pairs],
            "contained": [
                any(f" {normalised(one)} " in f" {normalised(text)} " for one in several) for text, several in pairs
            ],
        },
        sum(not normalised(text) for text in predictions),
    )


def published_letter(text: str) -> str:
    """Mellow's reading of an answer with options: what stands before the first `)`, in lower case."""
    return text.split(")")[0].lower()


def option_letter(text: str, options: str = "abcd") -> str | None:
    """
    The letter of the option that an answer names (`b) rain`, `(b)`, `**B**`, `The answer is B.`), or None.

    A letter must be set apart by a sign or named by a phrase, so that `a dog` is no option a); an answer that names two
    options, as `a) or b)`, or denies one, names none.

    Example:
    ```python
    >>> option_letter("(B) rain"), option_letter("Answer: c"), option_letter("a dog")
    ('b', 'c', None)

    ```
    """
    found = named_letters(text, options)
    return found.pop() if len(found) == 1 else None


def choice_scores(predictions: Sequence[str], answers: Sequence[str], options: str = "abcd") -> AnswerScores:
    """
    Questions with lettered options, of ReasonAQA and the like; answers are as `b) rain`.

    Rules: `letter` compares [`option_letter`]; `published` is Mellow's: what stands before the first `)`, and `a` for
    what is not one letter, so that unreadable answers are right where a) is.

    Raises:
        ValueError: there are no items, other numbers of the two, or an answer without a letter.
    """
    predictions, answers = _checked(predictions, answers)
    right = [option_letter(answer, options) for answer in answers]
    if None in right:
        raise ValueError(f"The answer {answers[right.index(None)]!r} does not begin with one of the letters {options}.")
    chosen = [option_letter(text, options) for text in predictions]
    published = [published_option(text, options) for text in predictions]
    return _answer_scores(
        {
            "letter": [choice == letter for choice, letter in zip(chosen, right, strict=True)],
            "published": [choice == letter for choice, letter in zip(published, right, strict=True)],
        },
        chosen.count(None),
    )


def entailment_scores(
    predictions: Sequence[str],
    relations: Sequence[str],
    options: Mapping[str, str] = ENTAILMENT_OPTIONS,
) -> EntailmentScores:
    """
    Audio Entailment (2024) answered by letter.

    Args:
        predictions: What the model wrote.
        relations: `"entailment"`, `"neutral"` or `"contradiction"` for each.
        options: What each letter of the prompt stands for.

    Raises:
        ValueError: there are no items, other numbers of the two, or a relation that no option stands for.
        ImportError: scikit-learn is missing.
    """
    predictions, relations = _checked(predictions, relations)
    letters = "".join(options)
    chosen = [option_letter(text, letters) for text in predictions]
    published = [published_option(text, letters) for text in predictions]
    classes = [name for name in options.values() if name in {"entailment", "neutral", "contradiction"}]
    return EntailmentScores(
        strict=classification_scores(relations, [options[letter] if letter else None for letter in chosen], classes),
        # Parity: scikit-learn's classes are all that occur, d) too where a model chooses it
        published=classification_scores(relations, [options[letter] for letter in published]),
        unanswered=chosen.count(None),
        settings={"options": dict(options)},
    )


def published_option(text: str, options: str) -> str:
    """The option that Mellow's scoring reads: the letter before the first `)`, and `a` where that is no option."""
    letter = published_letter(text)
    return letter if len(letter) == 1 and letter in options else "a"


def _answer_scores(correct: Mapping[str, Sequence[bool]], unanswered: int) -> AnswerScores:
    arrays = {rule: np.array(values, dtype=bool) for rule, values in correct.items()}
    return AnswerScores(
        accuracy={rule: float(array.mean()) for rule, array in arrays.items()},
        correct=arrays,
        unanswered=unanswered,
        count=len(next(iter(arrays.values()))),
    )


def _checked(predictions: Any, answers: Any) -> tuple[list[str], list[Any]]:
    """Both in one order, as lists; they may be dictionaries by item."""
    said, right = by_clip(predictions=predictions, answers=answers).values()
    if len(said) != len(right) or not said:
        raise ValueError(f"Got {len(said)} predictions and {len(right)} answers; expected one for each item.")
    for index, text in enumerate(said):
        if not isinstance(text, str):
            raise ValueError(f"Prediction {index} is {text!r}; expected a text, '' where there is none.")
    return said, right


__all__ = [
    "ENTAILMENT_OPTIONS",
    "AnswerScores",
    "EntailmentScores",
    "binary_scores",
    "choice_scores",
    "entailment_scores",
    "normalised",
    "open_scores",
    "option_letter",
    "published_letter",
    "published_option",
    "yes_or_no",
]
