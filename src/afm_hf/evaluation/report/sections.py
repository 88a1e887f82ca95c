"""One result in a report: its figures, plots, examples, what was left out, settings."""

import json
import math
from collections.abc import Mapping
from typing import Any

from ..paper.reported import notes_in_words, partial_in_words, reported
from ..provenance import provenance
from ..runner import RESULT, EvaluationResult
from .blocks import Block, Code, Fold, Heading, Plot, Table, Text
from .plots import Bar, bars, curve, heatmap

_MOST_CLASSES, _MOST_FAILURES = 60, 100


def section(result: EvaluationResult, number: int) -> list[Block]:
    """All of one result."""
    details = result.details
    blocks: list[Block] = [Heading(f"{result.task}" + (f" on {result.dataset}" if result.dataset else ""))]
    about = provenance(result)
    blocks.append(Text(f"{about[0].upper()}{about[1:]}; {many(result.count, 'item')}."))
    blocks += [Text(f"{words[0].upper()}{words[1:]}.") for words in notes_in_words(result)]
    if result.partial:
        blocks.append(Text(partial_in_words(result)))
    if details.get("note"):
        blocks.append(Text(str(details["note"])))
    blocks += [_metrics(result), *_groups(details), *_class_plots(details, f"{number}-{_slug(result.task)}")]
    for i, each in enumerate(as_list(details.get("curves")), 1):
        blocks += _curve(each, f"{number}-{_slug(result.task)}-curve-{i}")
    blocks += [*_examples(details), *_left_out(result)]
    settings = {**result.settings, "model": model_name(result)}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False, default=str)}" for name, value in settings.items()]
    blocks.append(Fold("Settings", [Code("\n".join(lines))]))
    return blocks


def _metrics(result: EvaluationResult) -> Table:
    baselines = baselines_of(result)
    papers = reported(result)
    rows = []
    for name, value in result.metrics.items():
        row = [name, number_text(value), interval_text(result, name)]
        row += [number_text(figures.get(name)) for figures in baselines.values()]
        rows.append(row + ([paper_text(result, name) or "–"] if papers else []))
    return Table(
        ["metric", "figure", "95 % interval", *baselines, *(["papers"] if papers else [])],
        rows,
        range(1, 3 + len(baselines)),
    )


def _groups(details: Mapping[str, Any]) -> list[Block]:
    """Figures of the parts of a dataset, as tiers or categories."""
    blocks: list[Block] = []
    for kind, groups in as_dict(details.get("by_group")).items():
        figures = {name: as_dict(row) for name, row in as_dict(groups).items()}
        columns = list(dict.fromkeys(column for row in figures.values() for column in row))
        rows = [[name, *(number_text(row.get(column)) for column in columns)] for name, row in figures.items()]
        if rows and columns:
            blocks += [Heading(f"By {kind}", 3), Table([str(kind), *map(str, columns)], rows)]
    return blocks


def _class_plots(details: Mapping[str, Any], name: str) -> list[Block]:
    """Confusions and figures of each label."""
    blocks: list[Block] = []
    labels, confusion = as_list(details.get("labels")), as_list(details.get("confusion"))
    if confusion and len(labels) == len(confusion):
        used = [i for i in range(len(labels)) if sum(confusion[i]) or sum(row[i] for row in confusion)]
        chosen, words = used[:_MOST_CLASSES], "Confusions: rows are true labels, columns what was said"
        if len(chosen) < len(used):
            words += f" (the first {len(chosen)} of {len(used)} labels)"
        part = [[confusion[i][j] for j in chosen] for i in chosen]
        blocks.append(Plot(f"{name}-confusion", heatmap([labels[i] for i in chosen], part, words), words + "."))
    per_class = {label: as_dict(row) for label, row in as_dict(details.get("per_class")).items()}
    measured = {label: row for label, row in per_class.items() if row.get("support", 1) and _is_finite(row.get("f1"))}
    if measured:
        order = sorted(measured, key=lambda label: (-measured[label]["f1"], label))[:_MOST_CLASSES]
        rows = [Bar(label, measured[label]["f1"], note=_clips(measured[label])) for label in order]
        words = "F1 of each label" + (
            f" (the best {len(order)} of {len(measured)})" if len(order) < len(measured) else ""
        )
        blocks.append(Plot(f"{name}-labels", bars(rows, words), words + "."))
    return [Fold("Label by label", blocks)] if blocks else []


def _curve(details: Any, name: str) -> list[Block]:
    about = as_dict(details)
    given = {str(key): as_list(points) for key, points in as_dict(about.get("lines")).items()}
    lines = {
        key: [(p[0], p[1]) for p in points if len(p) == 2 and all(map(_is_finite, p))] for key, points in given.items()
    }
    if not any(lines.values()):
        return []
    words = str(about.get("title", name))
    drawn = curve(lines, words, x_name=str(about.get("x", "")), y_name=str(about.get("y", "")))
    return [Plot(name, drawn, words + ".")]


def _examples(details: Mapping[str, Any]) -> list[Block]:
    examples = [row for row in as_list(details.get("examples")) if isinstance(row, Mapping)]
    if not examples:
        return []
    columns = list(dict.fromkeys(column for row in examples for column in row))
    rows = [[_cell(row.get(column, "")) for column in columns] for row in examples]
    return [Fold(many(len(rows), "example"), [Table(columns, rows, numbers=range(0))])]


def _left_out(result: EvaluationResult) -> list[Block]:
    """What could not be computed, and which clips could not be used."""
    blocks: list[Block] = []
    missing = as_dict(result.details.get("left_out"))
    if missing:
        blocks.append(Table(["metric left out", "why"], [[*map(str, row)] for row in missing.items()], range(0)))
    if result.failures:
        rows = [[name, str(reason)] for name, reason in list(result.failures.items())[:_MOST_FAILURES]]
        more = len(result.failures) - len(rows)
        rows += [[f"... and {more} more", f"in {RESULT}"]] if more else []
        blocks += [
            Heading(f"{many(len(result.failures), 'clip')} left out", 3),
            Table(["clip", "why"], rows, range(0)),
        ]
    return blocks


def _slug(text: str) -> str:
    """A name for a file."""
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in text.lower())[:40] or "task"


def _clips(row: Mapping[str, Any]) -> str:
    return many(int(row["support"]), "clip") if "support" in row else ""


def _cell(value: Any) -> str:
    """A value of an example, in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value[:6])) + (", …" if len(value) > 6 else "")
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def baselines_of(result: EvaluationResult) -> dict[str, dict[str, float]]:
    """Figures of each baseline, by metric."""
    return {str(name): as_dict(figures) for name, figures in as_dict(result.details.get("baselines")).items()}


def paper_text(result: EvaluationResult, metric: str) -> str:
    """What the papers report for a metric."""
    found = reported(result).get(metric, [])
    rows = [each.figure for each in found]
    return "; ".join(f"{', '.join(filter(None, (row.system, row.variant)))}: {row.printed}" for row in rows)


def ends(result: EvaluationResult, metric: str) -> tuple[float, float] | None:
    """The interval of a metric, if it has one."""
    interval = result.intervals.get(metric)
    return (interval[0], interval[1]) if interval else None


def interval_text(result: EvaluationResult, metric: str) -> str:
    """The interval in words."""
    found = ends(result, metric)
    return f"{found[0]:.3f} – {found[1]:.3f}" if found else "–"


def number_text(value: Any) -> str:
    """A figure; a dash for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def model_name(result: EvaluationResult) -> str:
    """Its name without the folders before it."""
    return str(result.settings.get("model", "–")).rstrip("/").rsplit("/", 1)[-1]


def many(number: int, thing: str) -> str:
    """A number with its thing: "1 clip", "2 clips"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def is_number(value: Any) -> bool:
    """Whether it is a number, NaN included."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def as_dict(value: Any) -> dict[Any, Any]:
    """A mapping; anything else is an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """A list; anything else is an empty one."""
    return list(value) if isinstance(value, list | tuple) else []
