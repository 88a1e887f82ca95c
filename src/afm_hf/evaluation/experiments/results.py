"""What an experiment gives: rows that say what made them, sentences, and files: JSON, CSV and a picture."""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.common.results_afm import AfmResult
from ...models.common.writing_afm import check_folder, replaced, write_text
from ..provenance import left_out
from ..report.figures import new_figure
from ..runner import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("png", "svg")
RUNS = "runs"  # folder of the evaluations that an experiment is made of
Row = dict[str, Any]


@dataclass(kw_only=True)
class ExperimentResult(AfmResult):
    """
    The table of an experiment.

    Args:
        experiment (`str`): Its name, which its files have, too.
        rows (`list[dict]`):
            A figure each: what it is of, then `model`, `revision`, `dataset`, `split`, `metric`, `asked` (the words of
            the prompt), `value`, `low` and `high` (95 % interval, where there is one), `clips`, `left_out`, `partial`.
        said (`list[str]`): What the rows show, in sentences with figures.
        notes (`list[str]`): What else to know, as folds of our own.
    """

    experiment: str
    rows: list[Row]
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def row_of(result: EvaluationResult, metric: str, **what: Any) -> Row:
    """
    A figure of an evaluation with all that made it.

    Args:
        result: Of [`run`].
        metric (`str`): One of its metrics.
        what: What the row is of, as `way="zero-shot"`; first in the row.
    """
    low, high = result.intervals.get(metric) or (None, None)
    made = result.settings
    return {
        **what,
        "model": short_name(made.get("model", "")),
        "revision": made.get("revision"),
        "dataset": result.dataset,
        "split": result.split,
        "metric": metric,
        "asked": " / ".join(result.asked),
        "value": result.metrics[metric],
        "low": low,
        "high": high,
        "clips": result.count,
        "left_out": left_out(result),
        "partial": "; ".join(map(str, result.partial)),
    }


def short_name(model: Any) -> str:
    """A model without the folders before it."""
    return str(model).rstrip("/").rsplit("/", 1)[-1]


def check_output(folder: str | os.PathLike[str]) -> Path:
    """
    Sees before the work that the files of an experiment can be written and its picture drawn.

    Raises:
        ImportError: matplotlib is not installed.
        WriteError: (an `OSError`) the folder cannot be written.
    """
    new_figure(1, 1)
    return check_folder(folder, "the experiment")


def write_experiment(
    result: ExperimentResult, folder: str | os.PathLike[str], draw: Callable[[], "Figure"]
) -> dict[str, Path]:
    """
    Writes `NAME.json`, `NAME.csv`, `NAME.png` and `NAME.svg`.

    Args:
        result: The table; its name is that of the files.
        folder: Where to.
        draw: Makes the picture.

    Returns:
        The files by their kind.

    Raises:
        WriteError: (an `OSError`) a file cannot be written.
    """
    files = {kind: Path(folder) / f"{result.experiment}.{kind}" for kind in ("json", "csv", *PICTURES)}
    write_text(files["json"], result.to_json(indent=1) + "\n", "the result of the experiment")
    write_text(files["csv"], as_csv(result.rows) + "\n", "the table of the experiment")
    figure = draw()
    for kind in PICTURES:
        with replaced(files[kind], "the picture") as unfinished:
            figure.savefig(unfinished, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return files


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV, with the columns of all of them, without the last line's end."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if row.get(name) is None else row[name] for name in columns] for row in rows)
    return text.getvalue().rstrip("\n")


__all__ = ["ExperimentResult", "Row", "as_csv", "check_output", "row_of", "short_name", "write_experiment"]
