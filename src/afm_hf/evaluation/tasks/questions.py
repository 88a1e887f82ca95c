"""Questions with letters to choose from (ReasonAQA), MMAU, and ClothoAQA, by the authors' rules and stricter ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...data.choices import question_choices
from ..metrics.answers import AnswerScores, binary_scores, choice_scores, open_scores, option_letter
from ..metrics.mmau import GROUPS, RULES, mmau_scores
from ..task import SHOWN, Item, Record
from .answers import AnswerTask

MMAU_TASKS = ("sound", "music", "speech")


class SaidTask(AnswerTask):
    """Base: a question is put to the model, and what it says is judged as text."""

    def row(self, item: Item) -> dict[str, Any]:
        """The clip and the question, as it stands in the file."""
        return {**super().row(item), "question": item.truth.get("question") or item.truth["prompt"]}

    def prediction(self, result: Any) -> dict[str, Any]:
        """What the model says."""
        return {"text": result["generated_text"]}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Shares of right answers by each rule."""
        return {name: float(np.mean(values)) for name, values in (self.per_record(records) or {}).items()}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Some answers."""
        return {"examples": [_shown(record) for record in records[:SHOWN]]}


class MultipleChoiceTask(SaidTask):
    """
    Questions whose right answer begins with a letter, as `b) rain`; `prompt` and `answer` of an item.

    `accuracy` takes the letter at the beginning of what is said; `published` is the rule of Mellow's code, which counts
    what cannot be read as a). `unparsed` is the share of that.
    """

    name = "multiple-choice"
    main_metric = "accuracy"

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right by each rule."""
        said = [record.prediction["text"] for record in records]
        found = choice_scores(said, [record.item.truth["answer"] for record in records], "abcdefgh")
        unparsed = [option_letter(text, "abcdefgh") is None for text in said]
        return {"accuracy": found.correct["letter"], "published": found.correct["published"], "unparsed": unparsed}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Figures of each kind of question, and some answers."""
        groups = by_group(records, "subtype", self.per_record)
        return {**super().details(records), **({"by_group": groups} if groups else {})}


def lettered(items: Sequence[Item]) -> list[Item]:
    """
    The items whose answer begins with a letter: ReasonAQA has open questions, too.

    Raises:
        ValueError: if there are none.
    """
    kept = [item for item in items if option_letter(str(item.truth.get("answer", "")), "abcdefgh")]
    if not kept:
        raise ValueError(f"None of the {len(items)} answers begins with a letter, as `b) rain`.")
    return kept


class MmauTask(AnswerTask):
    """
    MMAU by its official rule (`accuracy`), the same without a letter before the answer, and by letter, as Mellow.

    `question`s get their choices in the words of the model; `prompt`, `choices`, `answer`, `id`, `task`, `difficulty`
    of an item.
    """

    name = "mmau"
    main_metric = "accuracy"

    def row(self, item: Item) -> dict[str, Any]:
        """The clip, the question and its choices."""
        return {**super().row(item), "question": item.truth["prompt"], "choices": _choices(item)}

    def prediction(self, result: Any) -> dict[str, Any]:
        """What the model says, and the likeliest choice."""
        return {"text": result["generated_text"], "likeliest": result["answer"]}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Shares of right answers; `likelihood` is of the likeliest choice and no official rule."""
        return {name: float(np.mean(values)) for name, values in self.per_record(records).items()}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right by each rule."""
        found = mmau_scores(_questions(records), {r.item.truth["id"]: r.prediction["text"] for r in records})
        official, without_letter, letter = (found.correct[rule] for rule in RULES)
        likeliest = [record.prediction["likeliest"] == record.item.truth["answer"] for record in records]
        rules = {"accuracy": official, "string without letter": without_letter, "letter": letter}
        return {**rules, **self._by_task(records, rules), "likelihood": likeliest}

    @staticmethod
    def _by_task(records: Sequence[Record], rules: Mapping[str, Any]) -> dict[str, Any]:
        """The official rule and the letter of questions about sounds, music and speech, where there are any."""
        tasks = np.array([record.item.truth.get("task") for record in records])
        return {
            task + ("" if rule == "accuracy" else ", letter"): np.asarray(rules[rule])[tasks == task]
            for task in MMAU_TASKS
            for rule in ("accuracy", "letter")
            if (tasks == task).any()
        }

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """The version of the questions, figures by kind of question, and some answers."""
        found = mmau_scores(_questions(records), {r.item.truth["id"]: r.prediction["text"] for r in records})
        groups = {
            kind: {value: {"accuracy": row["string"], "letter": row["letter"]} for value, row in rows.items()}
            for kind, rows in found.by_group.items()
        }
        examples = [_shown(record) for record in records[:SHOWN]]
        return {"version": found.version, "by_group": groups, "examples": examples}


class ClothoAqaTask(SaidTask):
    """
    ClothoAQA: yes-or-no questions and open ones; `prompt` and `answers` (of three people) of an item.

    `binary` takes the first yes or no that is a word of its own, against what most people said; `binary, unanimous`
    counts the questions on which all three agree; `binary, published` is the rule of Mellow's code, which finds "no" in
    "noise". `open` compares normalised words with each of the three answers.
    """

    name = "clotho-aqa"
    main_metric = "binary"

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """The shares of right answers that there are questions for."""
        binary, unanimous, other = self._parts(records)
        figures: dict[str, float] = {}
        for name, part in (("binary", binary), ("binary, unanimous", unanimous)):
            if part:
                figures[name] = _binary(part).accuracy["word"]
        if binary:
            figures["binary, published"] = _binary(binary).accuracy["published"]
        if other:
            found = open_scores(_said(other), [record.item.truth["answers"] for record in other])
            figures |= {"open": found.accuracy["normalised"], "open, contained": found.accuracy["contained"]}
        return figures

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right, of each kind of question."""
        binary, unanimous, other = self._parts(records)
        values: dict[str, Any] = {
            name: _binary(part).correct["word"]
            for name, part in (("binary", binary), ("binary, unanimous", unanimous))
            if len(part) > 1
        }
        if len(other) > 1:
            values["open"] = open_scores(_said(other), [r.item.truth["answers"] for r in other]).correct["normalised"]
        return values

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """How many questions of each kind, and some answers."""
        binary, unanimous, other = self._parts(records)
        counts = {"binary": len(binary), "binary, unanimous": len(unanimous), "open": len(other)}
        return {**super().details(records), "questions": counts}

    def _parts(self, records: Sequence[Record]) -> tuple[list[Record], list[Record], list[Record]]:
        """Yes-or-no questions, those of them on which all agree, and the others."""
        binary = [record for record in records if set(record.item.truth["answers"]) <= {"yes", "no"}]
        unanimous = [record for record in binary if len(set(record.item.truth["answers"])) == 1]
        return (
            binary,
            unanimous,
            [record for record in records if not set(record.item.truth["answers"]) & {"yes", "no"}],
        )


def by_group(
    records: Sequence[Record], column: str, values: Callable[[Sequence[Record]], Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Means of `values` for the records of each value of a column; nothing if no record has it."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.item.truth.get(column):
            groups.setdefault(str(record.item.truth[column]), []).append(record)
    if not groups:
        return {}
    return {
        column: {
            name: {metric: float(np.mean(each)) for metric, each in values(part).items()}
            for name, part in groups.items()
        }
    }


def _binary(records: Sequence[Record]) -> AnswerScores:
    return binary_scores(_said(records), [_majority(record.item.truth["answers"]) for record in records])


def _majority(answers: Sequence[str]) -> str:
    return max(answers, key=list(answers).count)


def _said(records: Sequence[Record]) -> list[str]:
    return [record.prediction["text"] for record in records]


def _questions(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Entries as in the official file."""
    rows = []
    for record in records:
        truth = record.item.truth
        groups = {kind: truth[kind.replace("-", "_")] for kind in GROUPS if truth.get(kind.replace("-", "_"))}
        shared = {"id": truth["id"], "question": truth["prompt"], "choices": _choices(record.item)}
        rows.append({**shared, "answer": truth["answer"], **groups})
    return rows


def _choices(item: Item) -> list[str]:
    return question_choices(item.truth["choices"], f"question {item.truth['id']!r}", item.truth.get("answer") or "")


def _shown(record: Record) -> dict[str, Any]:
    truth = record.item.truth
    asked = truth.get("question") or truth.get("prompt")
    return {"id": record.item.id, "asked": asked, "said": record.prediction["text"], "right": truth.get("answer")}
