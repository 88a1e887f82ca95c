"""
MMAU (Sakshi et al., 2024): audio questions with several options, scored by the official rule and by letter.

The official rule compares words: an answer is right if it has all words of the right option, and none that only a wrong
option has. A letter before the answer (`a) a dog`) may be such a word. Mellow's figures come from letters alone. So
three rules are given: `string` (official), `string_without_letter` (the same once a leading `a)` is taken off), and
`letter` (Mellow's). The questions changed often: a figure needs the version that it was measured on.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...data.choices import question_choices
from ...models.common.results_afm import AfmResult
from .answers import published_letter

RULES = ("string", "string_without_letter", "letter")
GROUPS = ("task", "category", "sub-category", "difficulty")
_LETTER_BEFORE = re.compile(r"^\s*\(?[A-Za-z]\)\s*")
_WORD = re.compile(r"\b\w+\b")
# When which questions of mmau-test-mini.json were first published, by `mmau_fingerprint`
VERSIONS = {
    "9ebcdbd900f7": "2024-10-25",
    "99eb436ea337": "2024-12-09",
    "9ab52147f1e7": "2025-01-28",
    "784d794ee9fc": "2025-03-25",
    "02804b938fed": "2025-05-15",
    "3fa3f6b5c321": "2025-05-16",
    "33b0d9d08c18": "2025-05-18",
    "0e5e2e44d50c": "2025-05-19",
    "c232668efc25": "2025-05-22",
    "1cc4958f1d0f": "2025-05-30",
    "f7f65ec4a92e": "2025-06-23",
    "f560dac143b0": "2025-06-23, second",
    "60d07d56bfdb": "2025-08-09",
}


@dataclasses.dataclass(kw_only=True)
class MmauScores(AfmResult):
    """
    Shares of right answers, over all questions: one without an answer is wrong.

    Args:
        accuracy (`dict[str, float]`): By rule, 0 to 1.
        answered_only (`dict[str, float]`):
            By rule, over the questions with an answer, as the official program has it; it skips the others in silence.
        by_group (`dict[str, dict[str, dict[str, float]]]`):
            By kind of group (`task`, `category`, `sub-category`, `difficulty`), its value and rule.
        correct (`dict[str, np.ndarray]`): By rule, bool `(questions,)`.
        unanswered (`list[str]`): Ids of questions without an answer.
        unknown (`list[str]`): Ids of answers to no question.
        without_letter (`int`): Questions whose right answer is none of their options, so that no letter is right.
        questions (`int`): All of them.
        version (`str`): Of the questions: a date, and the fingerprint.
    """

    accuracy: dict[str, float]
    answered_only: dict[str, float]
    by_group: dict[str, dict[str, dict[str, float]]]
    correct: dict[str, npt.NDArray[np.bool_]]
    unanswered: list[str]
    unknown: list[str]
    without_letter: int
    questions: int
    version: str


def string_match(prediction: str, answer: str, choices: Sequence[str]) -> bool:
    """
    The official rule: all words of the answer, and none that only wrong choices have, but for case and punctuation.

    Example:
    ```python
    >>> choices = ["a man", "a woman"]
    >>> string_match("It is a man.", "a man", choices), string_match("a man or a woman", "a man", choices)
    (True, False)

    ```
    """
    said, right = _words(prediction), _words(answer)
    wrong = set().union(*map(_words, choices)) - right
    return bool(said) and right <= said and not said & wrong


def letter_match(prediction: str, answer: str, choices: Sequence[str]) -> bool:
    """Mellow's rule: what stands before the first `)` is the letter of an option that reads as the answer."""
    letters = {chr(ord("a") + place) for place, choice in enumerate(choices) if choice == answer}
    return published_letter(prediction) in letters


def string_match_without_letter(prediction: str, answer: str, choices: Sequence[str]) -> bool:
    """[`string_match`] once a leading `a)` or `(a)` is taken off the prediction."""
    return string_match(_LETTER_BEFORE.sub("", prediction), answer, choices)


def mmau_fingerprint(questions: Sequence[Mapping[str, Any]]) -> str:
    """Twelve hexadecimal digits of ids, questions, choices and answers, in whatever order they stand."""
    rows = sorted([item["id"], item.get("question"), _choices(item), item.get("answer")] for item in questions)
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()[:12]


def mmau_scores(
    questions: Sequence[Mapping[str, Any]], predictions: Mapping[str, str] | None = None, **settings: object
) -> MmauScores:
    """
    Scores answers to MMAU.

    Args:
        questions: The entries of the official JSON file: `id`, `choices` (also as the text of a list, or parted by
            newlines or semicolons), `answer`, and the groups.
        predictions:
            Text for each id; by default `model_output` (or `model_prediction`) of the entries, as the official program
            reads them.
        settings: What else made the answers, for the result.

    Raises:
        ValueError: there are no questions, an id stands twice, a question has no answer (the full test set's are not
            public) or no choices that can be told apart, or a prediction is no text.
    """
    _check_questions(questions)
    questions = [{**item, "choices": _choices(item)} for item in questions]
    given = _given(questions) if predictions is None else dict(predictions)
    for name, text in given.items():
        if not isinstance(text, str):
            raise ValueError(
                f"The prediction for {name!r} is {text!r}; expected a text. Leave it out if there is none."
            )
    rules: list[Callable[[str, str, Sequence[str]], bool]] = [string_match, string_match_without_letter, letter_match]
    correct = {
        name: np.array(
            [item["id"] in given and rule(given[item["id"]], item["answer"], item["choices"]) for item in questions]
        )
        for name, rule in zip(RULES, rules, strict=True)
    }
    answered = np.array([item["id"] in given for item in questions])
    fingerprint, ids = mmau_fingerprint(questions), {item["id"] for item in questions}
    return MmauScores(
        accuracy=_shares(correct, np.ones_like(answered)),
        answered_only=_shares(correct, answered),
        by_group={kind: _by_value(questions, kind, correct) for kind in GROUPS if kind in questions[0]},
        correct=correct,
        unanswered=[item["id"] for item in questions if item["id"] not in given],
        unknown=[name for name in given if name not in ids],
        without_letter=sum(item["answer"] not in item["choices"] for item in questions),
        questions=len(questions),
        version=f"{VERSIONS.get(fingerprint, 'unknown')} ({fingerprint})",
        settings=dict(settings),
    )


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _given(questions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Answers out of the official file's entries. Its program reads `model_output`, its README says the other."""
    found = {item["id"]: item.get("model_output", item.get("model_prediction")) for item in questions}
    return {name: text for name, text in found.items() if text is not None}


def _check_questions(questions: Sequence[Mapping[str, Any]]) -> None:
    if not questions:
        raise ValueError("Got no questions; expected the entries of mmau-test-mini.json.")
    for place, item in enumerate(questions):
        missing = [key for key in ("id", "choices", "answer") if _is_empty(item.get(key))]
        if missing:
            raise ValueError(
                f"Question {place} ({item.get('id')!r}) lacks {', '.join(missing)}. The answers of the full test set "
                "are not public: score mmau-test-mini.json here, and send the others to the authors' evaluation."
            )
    ids = [item["id"] for item in questions]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"The id {twice!r} stands {ids.count(twice)} times; expected each question once.")


def _choices(item: Mapping[str, Any]) -> list[str]:
    return question_choices(item["choices"], f"question {item['id']!r}", item.get("answer") or "")


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _shares(correct: Mapping[str, npt.NDArray[np.bool_]], which: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Share of right answers among some questions by rule; 0 of none."""
    return {rule: float(right[which].mean()) if which.any() else 0.0 for rule, right in correct.items()}


def _by_value(
    questions: Sequence[Mapping[str, Any]], kind: str, correct: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, dict[str, float]]:
    values = [str(item.get(kind)) for item in questions]
    return {value: _shares(correct, np.array([other == value for other in values])) for value in dict.fromkeys(values)}


__all__ = [
    "GROUPS",
    "RULES",
    "MmauScores",
    "letter_match",
    "mmau_fingerprint",
    "mmau_scores",
    "string_match",
    "string_match_without_letter",
]
