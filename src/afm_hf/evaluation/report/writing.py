"""A report of evaluations for people: Markdown with plots beside it, and one HTML page that needs nothing else."""

import json
import math
import os
import platform
import shlex
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from ...models.common.writing_afm import check_folder, write_text
from ..paper.reported import reported
from ..runner import MADE, RESULT, EvaluationResult
from .blocks import Block, Code, Fold, Heading, Plot, Table, Text, as_html, as_markdown
from .over_time import over_time
from .plots import Bar, bars
from .sections import (
    as_list,
    baselines_of,
    ends,
    interval_text,
    is_number,
    many,
    model_name,
    number_text,
    paper_text,
    section,
)

# Where a result does not name its main metric, the first of these that it has; else its first.
_MAIN = ("accuracy", "mAP", "spider", "cider_d", "audio to text recall@1")
_VERSIONS = ("afm-hf", "torch", "transformers", "numpy", "scikit-learn", "soundfile", "soxr")
_LARGEST = 1.0  # metrics above this are no fractions, and stay out of the overview plot


def read_results(folders: Iterable[str | os.PathLike[str]]) -> list[EvaluationResult]:
    """
    Results that [`run`] wrote.

    Args:
        folders: Of runs, or folders of such; what lies inside of a run's own folder is not looked at.

    Raises:
        ValueError: a folder holds no result, or one that cannot be read.
    """
    found = []
    for folder in map(Path, folders):
        files = _result_files(folder)
        if not files:
            raise ValueError(f"There is no {RESULT} in {folder}, nor in a folder inside of it. Did the run end?")
        found += [_read(file) for file in files]
    return found


def write_report(
    results: Sequence[EvaluationResult],
    folder: str | os.PathLike[str],
    *,
    title: str = "Evaluation report",
    introduction: str = "",
) -> Path:
    """
    Writes `report.md`, its plots in `report/`, and `report.html`, which holds everything in itself.

    Of a result's details these are shown: `labels` and `confusion`, `per_class`, `by_group`, `examples`, `left_out`,
    and, where there are, `main_metric`; `baselines`, figures by the name of the baseline (`"trivial"`) and metric;
    `curves`, each with `title`, `x`, `y` and `lines` (points by name); `note` and `command`. Runs of one task on the
    same data that say when they were made (`made`, of [`read_results`]) stand one after another under "Over time".

    Args:
        results: Of [`run`] or [`read_results`].
        folder: Where to write; made if it is not there.
        title (`str`): Of the report.
        introduction (`str`): A paragraph below it.

    Returns:
        Path of `report.html`.

    Raises:
        ValueError: there are no results.
        WriteError: (an `OSError`) the folder cannot be written.
    """
    if not results:
        raise ValueError("There are no results to report.")
    blocks = _blocks(results, title, introduction)
    out = Path(folder)
    plots = out / "report"
    pictures = {plots / f"{plot.name}.svg": plot.svg + "\n" for plot in _plots(blocks)}
    pages = {out / "report.md": as_markdown(blocks, plots.name), out / "report.html": as_html(blocks, title)}
    check_folder(plots, "the report", sum(map(len, (pictures | pages).values())))
    for old in set(plots.glob("*.svg")) - pictures.keys():
        old.unlink()
    for path, text in (pictures | pages).items():
        write_text(path, text, "the report")
    return out / "report.html"


def main_metric(result: EvaluationResult) -> str:
    """The metric that stands for the result."""
    named = result.details.get("main_metric")
    order = [named, *_MAIN, *result.metrics]
    return next(str(name) for name in order if name in result.metrics)


def _result_files(folder: Path) -> list[Path]:
    if (folder / RESULT).is_file():
        return [folder / RESULT]
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [file for path in inside for file in _result_files(path)]


def _read(file: Path) -> EvaluationResult:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        result = EvaluationResult(**content)
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{file} is no result of an evaluation: {error}") from None
    shapes = {"metrics": dict, "intervals": dict, "failures": dict, "details": dict, "settings": dict, "partial": list}
    for name, kind in shapes.items():
        if not isinstance(content.get(name, kind()), kind):
            raise ValueError(f"{file} is no result of an evaluation: {name!r} is no {kind.__name__}.")
    if not result.metrics or not all(map(is_number, result.metrics.values())):
        raise ValueError(f"{file} holds no metrics, or one that is no number.")
    if not all(len(as_list(ends)) == 2 and all(map(is_number, ends)) for ends in result.intervals.values()):
        raise ValueError(f"{file} has an interval that is not of two numbers.")
    if made := _made(file.parent / MADE):
        result.details = {**result.details, "made": made}
    return result


def _made(file: Path) -> dict[str, str]:
    """When a result was made, and by which version; runs of earlier releases do not say."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _blocks(results: Sequence[EvaluationResult], title: str, introduction: str) -> list[Block]:
    """The whole report."""
    failures = sum(len(result.failures) for result in results)
    datasets = sorted({result.dataset for result in results if result.dataset})
    said = f"{many(len(results), 'task')}" + (f" on {', '.join(datasets)}" if datasets else "")
    said += f"; {many(failures, 'item')} left out." if failures else "; nothing was left out."
    blocks: list[Block] = [Heading(title, 1), *([Text(introduction)] if introduction else []), Text(said)]
    blocks += [Heading("Overview"), _overview(results), *_overview_plot(results), *_paper_plot(results)]
    blocks += over_time(results, main_metric)
    for number, result in enumerate(results, 1):
        blocks += section(result, number)
    blocks += [Heading("How to repeat this"), *_repeat(results)]
    return blocks


def _overview(results: Sequence[EvaluationResult]) -> Table:
    """One row for each result."""
    baselines = list(dict.fromkeys(name for result in results for name in baselines_of(result)))
    with_paper = any(reported(result).get(main_metric(result)) for result in results)
    several = len({result.dataset for result in results}) > 1
    header = ["task", *(["dataset"] if several else []), "model", "metric"]
    words = len(header)
    header += ["figure", "95 % interval", *baselines, "items"]
    rows = []
    for result in results:
        name = main_metric(result)
        others = [number_text(baselines_of(result).get(each, {}).get(name)) for each in baselines]
        task = f"{result.task} (partial)" if result.partial else result.task
        row = [task, *([result.dataset] if several else []), model_name(result), name]
        row += [number_text(result.metrics[name]), interval_text(result, name), *others, str(result.count)]
        if with_paper:
            row.append(paper_text(result, name) or "–")
        rows.append(row)
    return Table([*header, *(["papers"] if with_paper else [])], rows, numbers=range(words, len(header)))


def _overview_plot(results: Sequence[EvaluationResult]) -> list[Block]:
    rows = []
    for result in results:
        name = main_metric(result)
        value = result.metrics[name]
        if math.isfinite(value) and abs(value) <= _LARGEST:
            marks = {base: figures[name] for base, figures in baselines_of(result).items() if name in figures}
            rows.append(Bar(_label(result, results, name), value, ends(result, name), marks))
    if not rows:
        return []
    words = "Main figure of each task with its 95 % interval"
    if any(row.marks for row in rows):
        words += ", and what is reached without listening"
    return [Plot("overview", bars(rows, words), words + ".")]


def _label(result: EvaluationResult, results: Sequence[EvaluationResult], metric: str) -> str:
    """What tells the result from the others: task and metric, dataset and model where there are several."""
    alike = [other for other in results if other.task == result.task]
    parts = [result.task]
    if len({other.dataset for other in alike}) > 1:
        parts.append(result.dataset)
    if len({model_name(other) for other in alike}) > 1:
        parts.append(model_name(result))
    return ", ".join(parts) + f": {metric}"


def _paper_plot(results: Sequence[EvaluationResult]) -> list[Block]:
    """Measured figures, and below each those of the papers."""
    rows = []
    for result in results:
        for name, differences in reported(result).items():
            if 0 <= result.metrics[name] <= _LARGEST:
                rows.append(
                    Bar(f"{result.dataset}, {name}: {model_name(result)}", result.metrics[name], ends(result, name))
                )
                for each in differences:
                    value = _fraction(each.figure.value, each.figure.unit)
                    rows.append(Bar(f"    {each.figure.system}, reported", value, soft=True))
    words = "Measured, and what the papers report (grey)"
    return [Plot("papers", bars(rows, words), words + ".")] if rows else []


def _repeat(results: Sequence[EvaluationResult]) -> list[Block]:
    commands = dict.fromkeys(str(result.details.get("command") or _command(result)) for result in results)
    versions = [["Python", platform.python_version()], *([name, _version(name)] for name in _VERSIONS)]
    return [
        Code("\n".join(commands)),
        Text(
            "Intervals are percentiles of the bootstrap over the clips; metrics that come neither from means nor from "
            "sums over clips have none."
        ),
        Fold("Versions when the report was written", [Table(["package", "version"], versions, range(0))]),
    ]


def _command(result: EvaluationResult) -> str:
    words = ["afm-hf", "evaluate", "--task", result.task, "--dataset", result.dataset or "DATASET"]
    words += ["--model", model_name(result), "--data-dir", "DATA", "--output", "RUN"]
    return shlex.join(words)


def _plots(blocks: Iterable[Block]) -> list[Plot]:
    found: list[Plot] = []
    for block in blocks:
        found += [block] if isinstance(block, Plot) else _plots(block.blocks) if isinstance(block, Fold) else []
    return found


def _fraction(value: float, unit: str) -> float:
    return value / 100 if unit == "percent" else value


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


__all__ = ["main_metric", "read_results", "write_report"]
