"""
Does the model listen? The same questions with the clips, and with noise, next to silence or other clips in their place.

Mellow's control on MMAU puts Gaussian noise in place of the audio (arXiv 2503.08540). Where a figure hardly falls, the
words of the question gave the answer away.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..controls import LEARNING, controlled_items
from ..report.figures import Point, grouped_bars, per_cent
from ..runner import CONTROLS
from ..task import Item
from .measuring import Data, Measured, difference, make_task, measure, prepare
from .results import RUNS, ExperimentResult, check_output, row_of, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "control"
OWN = "own"  # the clips themselves
MOST_BARS = 8


def hearing_control(
    task: str,
    data: Data,
    folder: Path,
    model: str | None = None,
    controls: Sequence[str] = tuple(CONTROLS),
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    A task with the clips, and once more with each control.

    Args:
        task (`str`): One of [`RECIPES`] that does not learn from the clips.
        data: The benchmark.
        folder: Gets the runs, the audio of noise and silence, table and picture. A run that was stopped goes on.
        model (`str`, *optional*): For the task.
        controls: Of [`CONTROLS`].
        device, overwrite, draws, seed, progress: As of [`run`]; the seed is also that of noise and swaps.
        options: Of the task, as `batch_size`.

    Returns:
        A row for each metric and what was heard; `change` is the difference from the clips themselves in points, with
        its paired interval.

    Raises:
        ValueError: as [`items_for`] and [`controlled_items`].
        ImportError: matplotlib is not installed.
    """
    if task in LEARNING:
        raise ValueError(f"There is no control of {task!r}, which learns from the clips or measures them themselves.")
    check_output(folder)
    prepared = prepare(task, data)
    made = make_task(prepared, model, device, **options)
    found: dict[str, Measured] = {}
    for heard in (OWN, *controls):
        items: list[Item] = prepared.items
        if heard != OWN:
            items = controlled_items(task, items, heard, folder, seed=seed, progress=progress)
        how: dict[str, Any] = {"overwrite": overwrite, "draws": draws, "seed": seed, "progress": progress}
        name = "" if heard == OWN else heard
        found[heard] = measure(made, prepared, folder / RUNS / heard, items=items, control=name, **how)
    result = ExperimentResult(experiment=NAME, rows=[], settings={"task": task, "draws": draws, "seed": seed})
    own = found[OWN]
    result.settings["model"] = own.result.settings["model"]
    for metric in own.result.metrics:
        for heard, each in found.items():
            row = row_of(each.result, metric, heard=heard)
            if heard != OWN:
                change = difference(each, own, metric, draws=draws, seed=seed)
                row["change"] = 100 * (each.result.metrics[metric] - own.result.metrics[metric])
                row["change_low"] = None if change is None else 100 * change.low
                row["change_high"] = None if change is None else 100 * change.high
            result.rows.append(row)
    result.notes = list(own.result.notes)
    result.said = _sentences(found, own)
    write_experiment(result, folder, lambda: picture(result))
    return result


def _sentences(found: dict[str, Measured], own: Measured) -> list[str]:
    main = own.task.main_metric if own.task.main_metric in own.result.metrics else next(iter(own.result.metrics))
    value = 100 * own.result.metrics[main]
    rest = [f"{heard} {100 * each.result.metrics[main]:.1f} %" for heard, each in found.items() if heard != OWN]
    return [f"{main}: {value:.1f} % with the clips; in their place {', '.join(rest)}"]


def picture(result: ExperimentResult) -> "Figure":
    """Bars of what was heard side by side, metric by metric."""
    groups: dict[str, dict[str, Point]] = {}
    for row in result.rows:
        interval = None if row["low"] is None else (row["low"], row["high"])
        groups.setdefault(row["metric"], {})[f"heard: {row['heard']}"] = per_cent(row["value"], interval)
    first = result.rows[0]
    title = (
        f"What is right without hearing the clips: {first['model']}, {result.settings['task']} on {first['dataset']}"
    )
    chosen = list(groups.items())[:MOST_BARS]
    return grouped_bars([("", name, bars) for name, bars in chosen], title, y_name="per cent, 95 % interval")


__all__ = ["hearing_control", "picture"]
