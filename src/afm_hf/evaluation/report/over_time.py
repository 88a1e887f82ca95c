"""Runs of the same task on the same data, one after another: what changed, and since when."""

from collections.abc import Callable, Sequence
from typing import Any

from ..provenance import left_out
from ..runner import EvaluationResult
from .blocks import Block, Heading, Plot, Table, Text
from .plots import curve
from .sections import as_dict, interval_text, model_name, number_text

Kind = tuple[Any, ...]


def over_time(results: Sequence[EvaluationResult], metric_of: Callable[[EvaluationResult], str]) -> list[Block]:
    """
    A table and a curve for each task and data set with two or more runs that say when they were made.

    Runs on another split, another part, by another metric, or with something else in place of the clips are not
    compared: each such kind has a table of its own.

    Args:
        results: Of [`read_results`].
        metric_of: The metric that stands for a result.
    """
    groups: dict[Kind, list[EvaluationResult]] = {}
    for result in results:
        if _made(result).get("when"):
            groups.setdefault(_kind(result, metric_of(result)), []).append(result)
    several = {kind: sorted(group, key=_when) for kind, group in groups.items() if len(group) > 1}
    if not several:
        return []
    blocks: list[Block] = [
        Heading("Over time"),
        Text(
            "Runs of one task on the same part of the same data by the same metric, in the order in which they were "
            "made. Changes are of the figures; whether one is more than chance, `afm-hf compare` tells."
        ),
    ]
    for number, (kind, group) in enumerate(several.items(), 1):
        metric = str(kind[-1])
        blocks += [Heading(_title(group[0], metric), 3), _table(group, metric), *_plot(group, metric, number)]
    return blocks


def _kind(result: EvaluationResult, metric: str) -> Kind:
    """What runs must share to be compared."""
    control = result.settings.get("control", "")
    return result.task, result.dataset, result.split, tuple(map(str, result.partial)), control, metric


def _title(result: EvaluationResult, metric: str) -> str:
    words = f"{result.task} on {result.dataset}" if result.dataset else result.task
    parts = [f"split {result.split!r}" if result.split else "", "partial" if result.partial else ""]
    parts.append(f"control: {result.settings['control']}" if result.settings.get("control") else "")
    said = ", ".join(filter(None, parts))
    return f"{words}, {metric}" + (f" ({said})" if said else "")


def _table(group: Sequence[EvaluationResult], metric: str) -> Table:
    rows, before = [], None
    for result in group:
        value = result.metrics[metric]
        change = "–" if before is None else f"{value - before:+.3f}"
        made, revision = _made(result), str(result.settings.get("revision") or "–")[:12]
        asked = " / ".join(map(str, result.asked)) or "–"
        row = [made["when"], made.get("afm_hf", "–"), model_name(result), revision, asked, number_text(value)]
        rows.append([*row, interval_text(result, metric), change, str(result.count), str(left_out(result))])
        before = value
    header = ["made", "afm-hf", "model", "revision", "asked", metric, "95 % interval", "change", "items", "left out"]
    return Table(header, rows, numbers=range(5, len(header)))


def _plot(group: Sequence[EvaluationResult], metric: str, number: int) -> list[Block]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for place, result in enumerate(group, 1):
        lines.setdefault(model_name(result), []).append((float(place), float(result.metrics[metric])))
    words = f"{_title(group[0], metric)}: run by run"
    drawn = curve(lines, words, x_name="run, in the order of the table", y_name=metric)
    return [Plot(f"over-time-{number}", drawn, words + ".")]


def _when(result: EvaluationResult) -> str:
    return _made(result)["when"]


def _made(result: EvaluationResult) -> dict[str, str]:
    return as_dict(result.details.get("made"))


__all__ = ["over_time"]
