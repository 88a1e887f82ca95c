"""Reported figures as tables: text for a terminal, Markdown as in the docs, JSON, CSV."""

import csv
import io
import json
import string
from collections.abc import Sequence

from .figures import PaperFigure, Source, common_doubts, sources

_HEADER = ("system", "variant", "task", "dataset", "split", "metric", "value", "source", "notes")
_DATA = ("task", "dataset", "subset", "split", "metric", "unit")  # what heads a column, or a row, of a Markdown table


def as_text(figures: Sequence[PaperFigure]) -> str:
    """One line a figure, in columns; below stand the sources, as letters, and what is doubtful, as numbers."""
    notes = _Notes()
    letters = dict(zip(sources(), string.ascii_letters, strict=False))
    lines = [
        [
            figure.system,
            figure.variant or "",
            figure.task,
            " ".join(filter(None, (figure.dataset, figure.subset))),
            figure.split or "",
            figure.metric,
            figure.printed,
            ",".join(letters[source] for source in figure.sources),
            notes.numbers(figure.doubts),
        ]
        for figure in _in_order(figures)
    ]
    kept = [i for i, name in enumerate(_HEADER) if name in ("system", "value") or any(line[i] for line in lines)]
    table = [[line[i] for i in kept] for line in [list(_HEADER), *lines]]
    widths = [max(len(line[i]) for line in table) for i in range(len(kept))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    printed = {source for figure in figures for source in figure.sources}
    below = [f"({letter}) {source.where}" for source, letter in letters.items() if source in printed]
    below += [f"({number}) {doubt}" for number, doubt in notes.listed()]
    return "\n".join([*rows, "", *below])


def as_json(figures: Sequence[PaperFigure]) -> str:
    """A list of objects with all fields."""
    return json.dumps([figure.to_row() for figure in figures], indent=2, ensure_ascii=False)


def as_jsonl(figures: Sequence[PaperFigure]) -> str:
    """One object a line."""
    return "\n".join(json.dumps(figure.to_row(), ensure_ascii=False) for figure in figures)


def as_csv(figures: Sequence[PaperFigure]) -> str:
    """A header and one line a figure; several sources or doubts share a cell, with `" | "` between them."""
    rows = [
        {name: " | ".join(cell) if isinstance(cell, list) else cell for name, cell in figure.to_row().items()}
        for figure in figures
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(PaperFigure.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def as_markdown(figures: Sequence[PaperFigure]) -> str:
    """A section for each table that prints some of the figures: the table, then what is doubtful about it."""
    tables = {source: [figure for figure in figures if source in figure.sources] for source in sources()}
    return "\n\n".join(_section(source, printed) for source, printed in tables.items() if printed)


def _section(source: Source, figures: Sequence[PaperFigure]) -> str:
    """Heading, where it is printed, what all figures share, table and notes of one source."""
    shared = common_doubts(figures)
    notes = _Notes()
    table = _cross_table(figures, notes, shared)
    constant = [f"{name} {_shown(figures[0], name)}" for name in ("system", *_DATA) if _is_constant(figures, name)]
    about = f"All figures: {', '.join(constant)}." if constant else ""
    below = [f"* {_escape(doubt)}" for doubt in shared]
    below += [f"* <sup>{number}</sup> {_escape(doubt)}" for number, doubt in notes.listed()]
    parts = [
        f"## {_escape(source.title)}",
        f"{_escape(source.where)}. {_escape(about)}".strip(),
        table,
        "\n".join(below),
    ]
    return "\n\n".join(part for part in parts if part)


def _cross_table(figures: Sequence[PaperFigure], notes: "_Notes", shared: Sequence[str]) -> str:
    """Systems against data; whatever is more numerous goes down the page."""
    varying = [name for name in _DATA if not _is_constant(figures, name)]
    cells: dict[tuple[str, str], str] = {}
    for figure in _in_order(figures):
        known = _is_constant(figures, "system") and figure.variant
        system = " – ".join(filter(None, (None if known else figure.system, figure.variant)))
        data = ", ".join(filter(None, (_shown(figure, name) for name in varying if getattr(figure, name))))
        numbers = notes.numbers([doubt for doubt in figure.doubts if doubt not in shared])
        cells[system, data] = f"{figure.value:g}" + (f"<sup>{numbers}</sup>" if numbers else "")
    systems = list(dict.fromkeys(system for system, _ in cells))
    columns = list(dict.fromkeys(data for _, data in cells))
    upright = len(systems) >= len(columns)
    down, across = (systems, columns) if upright else (columns, systems)
    lines = [["system" if upright else "data", *(name or "value" for name in across)], ["---"] * (len(across) + 1)]
    for row in down:
        found = [cells.get((row, column) if upright else (column, row), "") for column in across]
        lines.append([row or "value", *found])
    return "\n".join(f"| {' | '.join(_escape(cell) for cell in line)} |" for line in lines)


def _in_order(figures: Sequence[PaperFigure]) -> list[PaperFigure]:
    """System by system, its released form first; the order within a form stays."""
    return sorted(figures, key=lambda figure: (figure.system.lower(), figure.variant or ""))


def _is_constant(figures: Sequence[PaperFigure], name: str) -> bool:
    """Whether all figures have the same there, and something at all."""
    values = {getattr(figure, name) for figure in figures}
    return len(values) == 1 and None not in values


def _shown(figure: PaperFigure, name: str) -> str:
    text = getattr(figure, name) or ""
    return {"fraction": "0-1", "percent": "per cent"}.get(text, text) if name == "unit" else text


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


class _Notes:
    """Numbers doubts in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbers(self, doubts: Sequence[str]) -> str:
        """The numbers of these doubts, with commas; new ones are added."""
        numbers = [self._numbers.setdefault(doubt, len(self._numbers) + 1) for doubt in doubts]
        return ",".join(map(str, sorted(numbers)))

    def listed(self) -> list[tuple[int, str]]:
        return [(number, doubt) for doubt, number in self._numbers.items()]
