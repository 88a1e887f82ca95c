"""What the papers trained on, put together from the official files: CLAP's 128,010 pairs, Pengi's triplets."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..report import ReadReport
from ..templates import load_templates
from .layouts import read_layout

_FILE = Path(__file__).parent / "compositions.json"
PAIR = "pair"


@dataclass
class Composed:
    """
    Rows of a composition.

    Attributes:
        rows: Without copies of the clips: `audio` is a path.
        columns: Of the rows.
        counts: Rows of each part that was given.
        expected: Rows that the paper has of each part, where it says so.
        absent: Parts that were not given.
        reports: What was left out of each part.
    """

    rows: "ComposedRows"
    columns: list[str]
    counts: dict[str, int] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    reports: dict[str, list[ReadReport]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = []
        for name, count in self.counts.items():
            told = f" of {self.expected[name]} in the paper" if name in self.expected else ""
            left = sum(report.skipped for report in self.reports[name])
            lines.append(f"{name}: {count} rows{told}" + (f"; {left} rows of its files left out" if left else ""))
        lines.append(f"{len(self.rows)} rows in all")
        return "\n".join([*lines, *([f"not given: {', '.join(self.absent)}"] if self.absent else [])])


class ComposedRows:
    """
    Rows that are made when they are asked for, one for each text of a clip.

    Args:
        made: For each data set, itself, how its rows are changed, and for each new row the old one and its text.
    """

    def __init__(
        self, made: list[tuple[Any, Callable[[Mapping[str, Any], int], dict[str, Any]], list[tuple[int, int]]]]
    ) -> None:
        self.made = made
        self.places = [(index, number) for index, (_, _, rows) in enumerate(made) for number in range(len(rows))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        which, number = self.places[index]
        data, change, rows = self.made[which]
        row, text = rows[number]
        return change(data[row], text)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


def composition_names() -> list[str]:
    """The names that [`compose`] knows."""
    return sorted(_compositions())


def compose(
    name: str,
    folders: Mapping[str, str | os.PathLike[str]],
    audio_dirs: Mapping[str, str | os.PathLike[str]] | None = None,
    check: str = "exists",
) -> Composed:
    """
    Puts a paper's training data together.

    A clip with several captions gives a row for each. For CLAP a row is `audio` and `captions` (one); for Pengi
    `audio`, `prompt` and `answer`, by the templates of the paper's tasks.

    Args:
        name: `"clap-2022"` or `"pengi"`.
        folders: Where each part is, by the part's name; not all need to be there.
        audio_dirs: Where the clips of a part are, if not with its files.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.

    Raises:
        ValueError: for another composition or part, or as the parts' readers.
    """
    found = _composition(name)
    parts, places = found["parts"], dict(audio_dirs or {})
    for given in (folders, places):
        if unknown := [part for part in given if part not in parts]:
            raise ValueError(f"{name} has no part {', '.join(map(repr, unknown))}; it has {', '.join(parts)}.")
    if not folders:
        raise ValueError(f"Where are the parts of {name}? Give some of {', '.join(parts)}.")
    made: list[Any] = []
    composed = Composed(
        ComposedRows([]), _columns(parts, folders), absent=[part for part in parts if part not in folders]
    )
    for part, folder in folders.items():
        told = parts[part]
        composed.reports[part], before = [], sum(len(rows) for _, _, rows in made)
        for split in told["splits"]:
            data, report = read_layout(told["layout"], folder, split or None, places.get(part), check)
            composed.reports[part].append(report)
            made.append(_made(data, told["form"], part))
        composed.counts[part] = sum(len(rows) for _, _, rows in made) - before
        if "rows" in told:
            composed.expected[part] = told["rows"]
    composed.rows = ComposedRows(made)
    return composed


def _columns(parts: Mapping[str, Any], folders: Mapping[str, Any]) -> list[str]:
    pairs = all(parts[part]["form"] == PAIR for part in folders)
    return ["audio", *(["captions"] if pairs else ["prompt", "answer"]), "part", "source"]


def _made(data: Any, form: str, part: str) -> Any:
    """A data set with how its rows are changed, and which rows there are."""
    texts = _texts(data, form, part)
    rows = [(index, number) for index, several in enumerate(texts) for number in range(len(several))]

    def change(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        same = {"audio": row["audio"], "part": part, "source": row["source"]}
        text = _texts_of(row, form)[number]
        if form == PAIR:
            return {**same, "captions": [text]}
        template = load_templates("pengi")[form]["prompt"]
        return {**same, "prompt": template.format(question=row.get("prompt")), "answer": text}

    return data, change, rows


def _texts(data: Any, form: str, part: str) -> list[list[str]]:
    """What is learned of each row."""
    wanted = [column for column in ("captions", "answer", "label", "labels") if column in data.column_names]
    if not wanted:
        raise ValueError(
            f"{part}: the columns {', '.join(data.column_names)} hold no text to learn; expected a label or captions."
        )
    return [_texts_of(row, form) for row in data.select_columns(wanted)]


def _texts_of(row: Mapping[str, Any], form: str) -> list[str]:
    """The texts of a row, each of which makes a row of its own: all captions, or all labels as one."""
    if form in (PAIR, "caption", "metadata") and row.get("captions"):
        return list(row["captions"])
    if form == "question":
        return [row["answer"]] if row.get("answer") else []
    labels = [row["label"]] if row.get("label") else row.get("labels") or []
    if not labels:
        return []
    answer = load_templates("pengi")["sound" if form in (PAIR, "caption", "metadata") else form]["answer"]
    return [answer.format(label=labels[0], labels=", ".join(labels))]


def _composition(name: str) -> dict[str, Any]:
    known = _compositions()
    if name not in known:
        raise ValueError(f"There is no composition {name!r}; expected one of {', '.join(map(repr, sorted(known)))}.")
    return known[name]


@cache
def _compositions() -> dict[str, dict[str, Any]]:
    return dict(json.loads(_FILE.read_text(encoding="utf-8"))["compositions"])


__all__ = ["Composed", "ComposedRows", "compose", "composition_names"]
