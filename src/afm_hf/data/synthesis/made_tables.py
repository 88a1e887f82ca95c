"""What was made, in the layouts that the readers take: ReasonAQA's JSON list, and Audio Entailment's CSV."""

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..templates import load_templates

_OPTIONS = {  # those of Mellow's entailment prompt
    "entailment": "a) it is definitely true",
    "contradiction": "b) it is definitely false",
    "neutral": "c) it is plausible",
}
_RELATIONS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Made:
    """
    An item that was kept.

    Attributes:
        id: Of the request.
        group: One of the kinds of data, `"questions"`, ...
        kind: A tier of differences, a relation of entailment, or the group.
        files: Names of the clip, or of both.
        captions: That the item was made of, one for each clip.
        item: As the kind's schema has it.
    """

    id: str
    group: str
    kind: str
    files: tuple[str, ...]
    captions: tuple[str, ...]
    item: Mapping[str, Any]


def reasonaqa_rows(made: Sequence[Made], name: str, seed: int) -> list[dict[str, str]]:
    """
    Rows as ReasonAQA has them, which `read_reasonaqa` reads.

    Multiple choice is asked as Mellow's authors do, with the right choice at a place drawn by seed and request; the
    prompt of a tier is that of ADIFF's files; hypotheses are asked with the options of Mellow's README.

    Args:
        made: What was kept.
        name: Of the data set, the column `taskname`.
        seed: Of the places of right choices.
    """
    rows = []
    for each in made:
        question, answer = _asked(each, seed)
        files, captions = (*each.files, ""), (*each.captions, "")
        rows.append(
            {
                "taskname": name,
                "filepath1": files[0],
                "filepath2": files[1],
                "caption1": captions[0],
                "caption2": captions[1],
                "input": question,
                "answer": answer,
                "subtype": f"made-{each.kind}",
            }
        )
    return rows


def entailment_csv(made: Sequence[Made], name: str) -> str:
    """
    The clips with all three hypotheses, in the layout of Audio Entailment, which `read_entailment` reads.

    Returns:
        The CSV with CRLF at the ends of lines; empty if no clip has all three.
    """
    by_clip: dict[tuple[str, str], dict[str, str]] = {}
    for each in made:
        if each.group == "entailment":
            by_clip.setdefault((each.files[0], each.captions[0]), {})[each.kind] = each.item["hypothesis"]
    whole = {clip: found for clip, found in by_clip.items() if len(found) == len(_RELATIONS)}
    if not whole:
        return ""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["Dataset", "Audio file", "Caption", *(relation.capitalize() for relation in _RELATIONS)])
    table.writerows([name, *clip, *(found[relation] for relation in _RELATIONS)] for clip, found in whole.items())
    return text.getvalue()


def _asked(made: Made, seed: int) -> tuple[str, str]:
    """Prompt and answer."""
    mellow = load_templates("mellow")
    if made.group == "differences":
        return load_templates("differences")[made.kind]["prompt"], made.item["difference"]
    if made.group == "entailment":
        question = mellow["entailment"]["prompt"].format(question=made.item["hypothesis"])
        return question, _OPTIONS[made.kind]
    if made.group == "questions":
        return made.item["question"], made.item["answer"]
    choices = [made.item["answer"], *made.item["wrong"]]
    random.Random(f"{seed} {made.id}").shuffle(choices)
    lettered = [f"{letter}) {choice}" for letter, choice in zip("abcd", choices, strict=True)]
    question = mellow["multiple-choice"]["prompt"].format(question=made.item["question"], choices=" ".join(lettered))
    return question, lettered[choices.index(made.item["answer"])]


__all__ = ["Made", "entailment_csv", "reasonaqa_rows"]
