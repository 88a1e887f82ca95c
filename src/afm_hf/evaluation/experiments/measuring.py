"""Evaluations as experiments need them: with the predictions of each clip, and differences on the same clips."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.report import ReadReport
from ..benchmark import Benchmark, split_in_papers
from ..bootstrap import PairedBootstrap, Sums, paired_bootstrap
from ..datasets import labels_of
from ..runner import EvaluationResult, read_predictions, run
from ..runner import score as score_predictions
from ..task import Failure, Item, Record, Task
from ..tasks.linear_probe import TRAIN
from ..tasks_by_name import build_task, items_for


@dataclasses.dataclass(frozen=True)
class Data:
    """
    A benchmark that lies in a folder, or a part of it.

    Args:
        name, folder (`str`): As of [`items_for`].
        split (`str`, *optional*), limit (`int`, *optional*): As there.
    """

    name: str
    folder: str
    split: str | None = None
    limit: int | None = None


@dataclasses.dataclass
class Prepared:
    """
    The items of a task on some data.

    Args:
        task (`str`): One of [`RECIPES`].
        data ([`Data`]): Where they are from.
        items, benchmark, report: Of [`items_for`].
    """

    task: str
    data: Data
    items: list[Item]
    benchmark: Benchmark
    report: ReadReport

    @property
    def split(self) -> str:
        """What is evaluated, in the papers' words."""
        return split_in_papers(self.benchmark, self.task, self.data.split)

    @property
    def labels(self) -> list[str]:
        """The candidates."""
        return labels_of(self.items, self.benchmark, self.data.folder)


@dataclasses.dataclass
class Measured:
    """
    A result with the predictions that it comes from.

    Args:
        task ([`Task`]): What predicted and scores.
        result ([`EvaluationResult`]): The figures.
        records: Items with what was predicted.
    """

    task: Task
    result: EvaluationResult
    records: list[Record]

    @property
    def judged(self) -> list[Record]:
        """Those that figures are of: what is only learned from is none."""
        return [record for record in self.records if str(record.item.truth.get("fold")) != TRAIN]

    def values(self, metric: str) -> Any:
        """What a metric comes from: a number for each judged record, or sums; nothing where it has no interval."""
        values = (self.task.per_record(self.records) or {}).get(metric)
        rows = len(values.table) if isinstance(values, Sums) else -1 if values is None else len(values)
        return values if rows == len(self.judged) else None


def prepare(task: str, data: Data) -> Prepared:
    """
    The items of a task.

    Raises:
        ValueError: as [`items_for`].
    """
    items, benchmark, report = items_for(task, data.name, data.folder, data.split, data.limit)
    return Prepared(task, data, items, benchmark, report)


def make_task(prepared: Prepared, model: str | None, device: str | None = None, **options: Any) -> Task:
    """The task with a model; see [`build_task`]."""
    data = prepared.data
    return build_task(prepared.task, prepared.items, prepared.benchmark, data.folder, model, device, **options)


def measure(
    task: Task,
    prepared: Prepared,
    folder: Path,
    *,
    items: Sequence[Item] | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    control: str = "",
) -> Measured:
    """
    Runs a task, or goes on with it, in a folder of its own; see [`run`].

    Args:
        task: With its model.
        prepared: What it is about.
        folder: Of the run.
        items: Other items than the prepared ones.
        overwrite, draws, seed, progress, control: As of [`run`].
    """
    chosen = prepared.items if items is None else list(items)
    result = run(
        task,
        chosen,
        folder,
        dataset=prepared.data.name,
        overwrite=overwrite,
        progress=progress,
        draws=draws,
        seed=seed,
        partial=prepared.benchmark.partial,
        split=prepared.split,
        skipped=prepared.report.skipped,
        notes=prepared.benchmark.notes,
        control=control,
    )
    if result is None:
        raise ValueError("Experiments run in one process; start them without torchrun or accelerate launch.")
    return Measured(task, result, records_in(folder, chosen))


def records_in(folder: Path, items: Sequence[Item]) -> list[Record]:
    """What lies in the folder of a run of these items, without those that failed."""
    found = read_predictions(folder)
    outcomes = ((item, found.get(item.id)) for item in items)
    return [Record(item, each) for item, each in outcomes if each is not None and not isinstance(each, Failure)]


def rescored(
    measured: Measured, task: Task, *, records: Sequence[Record] | None = None, draws: int = 1000, seed: int = 0
) -> Measured:
    """
    The same predictions scored by another task, as one with another template.

    Args:
        measured: Of [`measure`].
        task: What scores.
        records: Only these, or with other predictions.
        draws, seed (`int`): Of the bootstrap.
    """
    chosen = list(measured.records if records is None else records)
    old = measured.result
    found = {record.item.id: record.prediction for record in chosen}
    items = [record.item for record in chosen]
    how: dict[str, Any] = {"dataset": old.dataset, "draws": draws, "seed": seed, "partial": old.partial}
    result = score_predictions(task, items, found, **how)
    result.split, result.skipped, result.notes = old.split, old.skipped, old.notes
    result.failures = old.failures
    return Measured(task, result, chosen)


def difference(
    first: Measured, second: Measured, metric: str, *, draws: int = 1000, seed: int = 0
) -> PairedBootstrap | None:
    """
    The first figure less the second on the clips that both have, with its interval.

    Args:
        first, second: Of [`measure`].
        metric (`str`): Which both have.
        draws, seed (`int`): Of the paired bootstrap.

    Returns:
        Nothing where the metric has no interval, or fewer than two clips are in both.
    """
    values = [each.values(metric) for each in (first, second)]
    if any(each is None for each in values) or not draws:
        return None
    places = [{record.item.id: i for i, record in enumerate(each.judged)} for each in (first, second)]
    both = [name for name in places[0] if name in places[1]]
    if len(both) < 2:
        return None
    pair = [_chosen(each, [place[name] for name in both]) for each, place in zip(values, places, strict=True)]
    return paired_bootstrap(pair[0], pair[1], resamples=draws, seed=seed)


def common_metric(results: Sequence[EvaluationResult], preferred: Sequence[str] = ()) -> str:
    """
    One metric that all results have: the first's own where it can be, so that nothing is compared with another metric.

    Raises:
        ValueError: they have none in common.
    """
    shared = [name for name in results[0].metrics if all(name in other.metrics for other in results)]
    for name in (*preferred, *(result.main_metric for result in results), *shared):
        if name in shared:
            return name
    named = "; ".join(f"{result.task}: {', '.join(result.metrics)}" for result in results)
    raise ValueError(f"There is no metric that all results on {results[0].dataset} have ({named}).")


def mean_over(measured: Sequence[Measured], metric: str) -> np.ndarray | None:
    """Of each judged clip the mean value over several measurements of the same clips; nothing where there is none."""
    values = [each.values(metric) for each in measured]
    if any(each is None or isinstance(each, Sums) for each in values):
        return None
    return np.mean(np.array([np.asarray(each, dtype=np.float64) for each in values]), axis=0)


def _chosen(values: Any, rows: Sequence[int]) -> Any:
    if isinstance(values, Sums):
        return Sums(values.table[list(rows)], values.statistic)
    return np.asarray(values, dtype=np.float64)[list(rows)]


__all__ = [
    "Data",
    "Measured",
    "Prepared",
    "common_metric",
    "difference",
    "make_task",
    "mean_over",
    "measure",
    "prepare",
    "records_in",
    "rescored",
]
