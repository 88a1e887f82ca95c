"""
How many labelled clips a classifier needs to overtake zero-shot: fractions of the training set, drawn several times.

Parts of a draw lie in one another: what 5 % learn from is among what 25 % learn from. All clips are judged at every
fraction, so that the figures compare.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bootstrap import bootstrap_interval
from ..report.figures import Point, curves, per_cent
from ..task import Item
from ..tasks.linear_probe import TRAIN, LinearProbeTask
from .measuring import Data, Measured, Prepared, common_metric, make_task, mean_over, measure, prepare, rescored
from .prompts import EmbeddedZeroShotTask
from .results import RUNS, ExperimentResult, Row, check_output, row_of, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "scaling"
FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
WAYS = ("linear-probe", "fine-tune")


def data_scaling(
    data: Data,
    folder: Path,
    model: str | None = None,
    ways: Sequence[str] = WAYS[:1],
    fractions: Sequence[float] = FRACTIONS,
    repeats: int = 5,
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    Classifiers that learn from a part of what there is to learn from.

    Args:
        data: The benchmark.
        folder: Gets the runs, table and picture. A run that was stopped goes on.
        model (`str`, *optional*): A CLAP.
        ways: Of [`WAYS`].
        fractions: Of the training set, above 0, at most 1. Of each label at least one clip is learned from.
        repeats (`int`): Draws of each part; the seed of fine-tuning changes with them.
        device, overwrite, draws, seed, progress: As of [`run`].
        options: `batch_size`, `num_workers`, `truncation`; `epochs` and `learning_rate` of fine-tuning.

    Returns:
        A row for each fraction: the mean over the draws, its interval over the clips, and `deviation` over the draws.

    Raises:
        ValueError: as [`items_for`]; a fraction or way makes no sense.
        ImportError: matplotlib is not installed.
    """
    wrong = [each for each in fractions if not 0 < each <= 1]
    if wrong or not fractions or repeats < 1 or not ways or set(ways) - set(WAYS):
        raise ValueError(
            f"Fractions are {list(fractions)}, expected above 0 and at most 1; {repeats} draws, expected 1 or more; "
            f"ways {list(ways)}, expected some of {', '.join(WAYS)}."
        )
    check_output(folder)
    result = ExperimentResult(experiment=NAME, rows=[], settings={"repeats": repeats, "draws": draws, "seed": seed})
    how: dict[str, Any] = {"overwrite": overwrite, "draws": draws, "seed": seed, "progress": progress}
    for way in [each for each in WAYS if each in ways]:
        prepared = prepare(way, data)
        found: dict[float, list[Measured]] = {}
        if way == WAYS[0]:
            probe = make_task(prepared, model, device, **options)
            whole = measure(probe, prepared, folder / RUNS / f"{data.name}-{way}", **how)
            result.rows.append(_zero_shot(whole, prepared, draws, seed))
            for part in sorted(set(fractions)):
                found[part] = [_probed(whole, part, seed + draw, seed) for draw in range(repeats if part < 1 else 1)]
        else:
            for part in sorted(set(fractions)):
                found[part] = []
                for draw in range(repeats):
                    where = folder / RUNS / f"{data.name}-{way}-{part:g}-{draw}"
                    task: Any = make_task(prepared, model, device, **options, folder=where / "classifiers")
                    task.learn_from, task.seed = part_of(prepared.items, part, seed + draw), seed + draw
                    found[part].append(measure(task, prepared, where, **how))
        metric = _metric(result.rows, found)
        result.rows += [_row(way, part, each, metric, draws, seed) for part, each in found.items()]
        result.notes += prepared.benchmark.notes
    result.notes = list(dict.fromkeys(result.notes))
    result.settings["model"] = result.rows[0]["model"]
    result.said = _sentences(result.rows)
    write_experiment(result, folder, lambda: picture(result))
    return result


def part_of(items: Sequence[Item], fraction: float, seed: int) -> dict[str, list[str]]:
    """
    Ids of the items that the classifier of each fold learns from.

    Of those outside of the fold it is so large a part of each label (of clips with several labels: of all), rounded up;
    the order in which they are taken is drawn by the seed, so that a larger part holds the smaller one.

    Args:
        items: Of a task with folds.
        fraction (`float`): How large a part.
        seed (`int`): Of the order.
    """
    order = random.Random(seed).sample(list(items), len(items))
    chosen: dict[str, list[str]] = {}
    for fold in sorted({str(item.truth["fold"]) for item in items} - {TRAIN}):
        by_label: dict[str, list[str]] = {}
        for item in order:
            if str(item.truth["fold"]) != fold:
                by_label.setdefault(str(item.truth.get("label", "")), []).append(item.id)
        chosen[fold] = [name for ids in by_label.values() for name in ids[: math.ceil(round(fraction * len(ids), 9))]]
    return chosen


def _probed(whole: Measured, part: float, draw: int, seed: int) -> Measured:
    """The embeddings that are there, with classifiers on a part of them."""
    task = whole.task
    if not isinstance(task, LinearProbeTask):
        raise TypeError(f"{type(task).__name__} is no linear probe.")
    chosen = part_of([record.item for record in whole.records], part, draw)
    kind: dict[str, Any] = {"multi_label": task.multi_label, "metric": task.main_metric, "l2": task.l2}
    fewer = LinearProbeTask(task.pipe, task.labels, learn_from=chosen, **kind)
    return rescored(whole, fewer, draws=0, seed=seed)


def _zero_shot(whole: Measured, prepared: Prepared, draws: int, seed: int) -> Row:
    """Zero-shot on the same embeddings of the judged clips."""
    pipe: Any = getattr(whole.task, "pipe", None)
    benchmark = prepared.benchmark
    kind: dict[str, Any] = {"multi_label": benchmark.multi_label, "metric": benchmark.main_metric}
    task = EmbeddedZeroShotTask(pipe, prepared.labels, benchmark.templates_for(pipe.model), **kind)
    found = rescored(whole, task, records=whole.judged, draws=draws, seed=seed)
    metric = common_metric([found.result, whole.result])
    return row_of(found.result, metric, way="zero-shot", part="none", fraction=0.0, learned_from=0, repeats=1)


def _metric(rows: Sequence[Row], found: dict[float, list[Measured]]) -> str:
    results = [each.result for several in found.values() for each in several]
    return common_metric(results, [row["metric"] for row in rows])


def _row(way: str, part: float, several: Sequence[Measured], metric: str, draws: int, seed: int) -> Row:
    values = [each.result.metrics[metric] for each in several]
    learned = float(np.mean([_learned_from(each) for each in several]))
    what = {"way": way, "part": f"{100 * part:g} %", "fraction": part, "learned_from": learned, "repeats": len(several)}
    row = row_of(several[0].result, metric, **what)
    row["value"] = float(np.mean(values))
    row["deviation"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    row["clips"] = len(several[0].judged)
    means = mean_over(several, metric) if draws else None
    if means is not None and len(means) > 1:
        interval = bootstrap_interval(means, resamples=draws, seed=seed)
        row["low"], row["high"] = interval.low, interval.high
    return row


def _learned_from(measured: Measured) -> float:
    """Clips that a classifier learned from, in the mean over the folds."""
    task: Any = measured.task
    folds = {str(record.item.truth["fold"]) for record in measured.judged}
    counts = [sum(task.learns_from(record.item, fold) for record in measured.records) for fold in folds]
    return float(np.mean(counts))


def _sentences(rows: Sequence[Row]) -> list[str]:
    base = next((row for row in rows if row["way"] == "zero-shot"), None)
    said = []
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        if not own or base is None or own[0]["metric"] != base["metric"]:
            continue
        above = next((row for row in own if row["value"] > base["value"]), None)
        where = (
            f"is above zero-shot ({100 * base['value']:.1f} %) from {above['learned_from']:.0f} clips on"
            if above
            else f"stays below zero-shot ({100 * base['value']:.1f} %)"
        )
        said.append(f"{way} {where}; with all {own[-1]['learned_from']:.0f}: {100 * own[-1]['value']:.1f} %")
    return said


def picture(result: ExperimentResult) -> "Figure":
    """A line for each way over the clips that are learned from, and zero-shot as a level."""
    lines: dict[str, list[tuple[float, Point]]] = {}
    levels = {}
    for row in result.rows:
        point = per_cent(row["value"], None if row["low"] is None else (row["low"], row["high"]))
        if row["way"] == "zero-shot":
            levels["zero-shot"] = point
        else:
            lines.setdefault(row["way"], []).append((row["learned_from"], point))
    first = result.rows[-1]
    title = f"Classifiers on parts of the training set: {first['model']} on {first['dataset']}"
    y_name = f"{first['metric']} (per cent), 95 % interval over clips"
    return curves(lines, title, levels=levels, log=True, x_name="clips learned from", y_name=y_name)


__all__ = ["FRACTIONS", "WAYS", "data_scaling", "part_of", "picture"]
