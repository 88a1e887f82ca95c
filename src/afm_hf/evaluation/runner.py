"""Runs a task over a dataset: predictions are written as they come, so that a run can be stopped and goes on."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .. import __version__
from ..models.common.results_afm import AfmResult
from ..models.common.writing_afm import AGAIN, JsonLines, check_folder, read_json_lines, write_text
from .bootstrap import bootstrap_interval, count_of
from .digests import items_digest, weights_digest
from .partial import lacking_predictions
from .task import Failure, Item, Record, Task

CONTROLS = {  # what a model hears in place of the clips, which a question must not be answerable by
    "noise": "Gaussian noise, as long and as loud,",
    "silence": "next to silence (noise 78 dB below full scale)",
    "swapped": "another clip of the data set, of another truth,",
}
PREDICTIONS, SETTINGS, RESULT = "predictions", "settings.json", "result.json"
MADE = "made.json"  # when and by which version; apart, so that a run that was stopped ends with the same result


@dataclass(kw_only=True)
class EvaluationResult(AfmResult):
    """
    The figures of a task.

    Args:
        task, dataset (`str`): What was evaluated.
        metrics (`dict[str, float]`): Fractions of 1.
        intervals (`dict[str, list[float]]`): 95 % bootstrap interval of each, over the items.
        count (`int`): Items that were predicted.
        failures (`dict[str, str]`): Items that could not be, and why. They are in no figure.
        details (`dict[str, Any]`): What else the task tells, as a confusion matrix.
        partial (`list[str]`): Why the figures are of a part of the dataset; they are of the whole where it is empty.
        split (`str`): What was evaluated, in the papers' words, as `"test"` or `"all folds"`.
        main_metric (`str`): The figure that papers give.
        asked (`list[str]`): The words that the model was asked with, where they are the same for all items.
        skipped (`int`): Rows of the dataset whose clip or truth could not be used; they are no items.
        notes (`list[str]`): What else to know, as folds that are our own.
    """

    task: str
    dataset: str
    metrics: dict[str, float]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    count: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)
    split: str = ""
    main_metric: str = ""
    asked: list[str] = field(default_factory=list)
    skipped: int = 0
    notes: list[str] = field(default_factory=list)


def run(
    task: Task,
    items: Sequence[Item],
    folder: str | os.PathLike[str],
    *,
    dataset: str = "",
    overwrite: bool = False,
    progress: bool = True,
    draws: int = 1000,
    seed: int = 0,
    partial: Sequence[str] = (),
    split: str = "",
    skipped: int = 0,
    notes: Sequence[str] = (),
    control: str = "",
) -> EvaluationResult | None:
    """
    Predicts what is not predicted yet, and scores everything.

    `folder` gets `settings.json`, one line per item in `predictions-{process}.jsonl`, written at once, and in the end
    `result.json` and `made.json` (when, by which version). Stopped at any moment, the same call goes on. Started with
    `accelerate launch` or `torchrun`, the processes share the items; the figures are the same.

    Args:
        task ([`Task`]): The task, with its model.
        items: What to predict; see [`items_of`].
        folder: Of this run alone.
        dataset (`str`): Its name, for the result.
        overwrite (`bool`): Start anew, also where another run's files lie.
        progress (`bool`): Show a bar.
        draws (`int`): Of the bootstrap; 0 leaves out the intervals.
        seed (`int`): Of the bootstrap.
        partial: Why the items are not the whole dataset, as [`load_items`] has it in `benchmark.partial`.
        split, skipped, notes: For the result; see [`EvaluationResult`].
        control (`str`): What stands in place of the clips, as [`CONTROLS`] has it; nothing for the clips themselves.

    Returns:
        The result; `None` in all processes but the first.

    Raises:
        ValueError: if there are no items, none could be predicted, or the folder holds a run with other settings.
        WriteError: (an `OSError`) if the folder cannot be written. The same call goes on once it can.
    """
    if not items:
        raise ValueError(f"There is nothing to evaluate in {dataset or 'the dataset'}: no items.")
    work = Path(folder)
    rank, processes = _place()
    if rank == 0:
        model = getattr(getattr(task, "pipe", None), "model", None)
        made_by = {"task": task.name, "dataset": dataset, **task.settings, "weights": weights_digest(model)}
        made_by |= {"control": control} if control else {}
        _claim(work, {**made_by, "items": items_digest(items)}, overwrite)
    _wait(processes)
    done = read_predictions(work)  # others may be writing already: only what is said of our own share matters
    mine = [item for item in items[rank::processes] if item.id not in done]
    if mine:
        _predict(task, mine, work / f"{PREDICTIONS}-{rank}.jsonl", progress and rank == 0)
    _wait(processes)
    if rank:
        return None
    found = read_predictions(work)
    result = score(task, items, found, dataset=dataset, draws=draws, seed=seed, partial=partial)
    result.split, result.skipped, result.notes = split, skipped, list(notes)
    if control:
        result.settings["control"] = control
        result.notes.append(f"a control: the model hears {CONTROLS[control]} in place of the clips")
    write_result(result, work)
    return result


def write_result(result: EvaluationResult, folder: Path) -> None:
    """Write `result.json`, and beside it `made.json`: when, and by which version of this package."""
    write_text(folder / RESULT, result.to_json(indent=1) + "\n", "the result", AGAIN)
    made = {"when": datetime.now(timezone.utc).isoformat(timespec="seconds"), "afm_hf": __version__}
    write_text(folder / MADE, json.dumps(made) + "\n", "when the result was made", AGAIN)


def score(
    task: Task,
    items: Sequence[Item],
    predictions: Mapping[str, Mapping[str, Any] | Failure],
    *,
    dataset: str = "",
    draws: int = 1000,
    seed: int = 0,
    partial: Sequence[str] = (),
) -> EvaluationResult:
    """
    The figures of predictions that are there already; see [`run`].

    Raises:
        ValueError: if none of the items has a prediction.
    """
    records, failures = [], {}
    for item in items:
        outcome = predictions.get(item.id, Failure("not predicted"))
        if isinstance(outcome, Failure):
            failures[item.id] = outcome.reason
        else:
            records.append(Record(item, outcome))
    if not records:
        first = next(iter(failures.items()))
        raise ValueError(f"None of the {len(items)} items could be predicted; the first, {first[0]}: {first[1]}")
    return EvaluationResult(
        task=task.name,
        dataset=dataset,
        metrics=task.score(records),
        intervals=_intervals(task, records, draws, seed),
        count=len(records),
        failures=failures,
        details=task.details(records),
        partial=[*partial, *lacking_predictions(len(records), len(failures))],
        main_metric=task.main_metric,
        asked=task.prompts,
        settings={**task.settings, "bootstrap_draws": draws, "seed": seed},
    )


def read_predictions(folder: str | os.PathLike[str]) -> dict[str, Mapping[str, Any] | Failure]:
    """What a folder of [`run`] holds, by the item's id. A last line that was cut off by a crash does not count."""
    found: dict[str, Mapping[str, Any] | Failure] = {}
    for file in sorted(Path(folder).glob(f"{PREDICTIONS}-*.jsonl")):
        for row in read_json_lines(file):
            found[row["id"]] = Failure(row["failure"]) if "failure" in row else row["prediction"]
    return found


def _predict(task: Task, items: Sequence[Item], file: Path, progress: bool) -> None:
    """Write a line for every item as soon as it is predicted."""
    with JsonLines(file, "the predictions") as lines, tqdm(total=len(items), disable=not progress, unit="clip") as bar:
        bar.set_description(task.name)
        outcomes = iter(task.predict(items))
        for item in items:
            outcome = next(outcomes)
            what = {"failure": outcome.reason} if isinstance(outcome, Failure) else {"prediction": dict(outcome)}
            lines.write({"id": item.id, **what})
            bar.update()


def _claim(work: Path, settings: dict[str, Any], overwrite: bool) -> None:
    """Make the folder this run's, or see that it is already."""
    check_folder(work, "the evaluation")
    before = _settings_in(work)
    old = [*work.glob(f"{PREDICTIONS}-*.jsonl"), work / RESULT]
    if overwrite or before is None:
        if not overwrite and any(file.exists() and file.stat().st_size for file in old):
            raise ValueError(
                f"{work} holds predictions or a result, but no {SETTINGS} that says what made them. Choose another "
                "folder, or start anew (`overwrite=True`, `--overwrite`)."
            )
        for file in old:
            file.unlink(missing_ok=True)
        write_text(work / SETTINGS, json.dumps(settings, indent=1) + "\n", "the settings of the evaluation", AGAIN)
        return
    written = json.loads(json.dumps(settings))
    differ = sorted(name for name in before.keys() | written.keys() if before.get(name) != written.get(name))
    if differ:
        name = differ[0]
        raise ValueError(
            f"{work} holds an evaluation with other settings ({', '.join(differ)}): {name} was {before.get(name)!r}, "
            f"now it is {written.get(name)!r}. Choose another folder, or start anew (`overwrite=True`, `--overwrite`)."
        )


def _settings_in(work: Path) -> dict[str, Any] | None:
    """What made the run that lies there; nothing if there is none, or it was stopped while it began."""
    try:
        found = json.loads((work / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # earlier releases could leave an empty file
        return None
    return found if isinstance(found, dict) else None


def _intervals(task: Task, records: Sequence[Record], draws: int, seed: int) -> dict[str, list[float]]:
    """The middle 95 % of each metric over resampled items."""
    if not draws or len(records) < 2:
        return {}
    values = task.per_record(records)
    if values is not None:
        means = {
            name: bootstrap_interval(each, resamples=draws, seed=seed)
            for name, each in values.items()
            if count_of(each) > 1  # of the parts of a dataset one may be small
        }
        return {name: [mean.low, mean.high] for name, mean in means.items()}
    rows = np.random.default_rng(seed).integers(len(records), size=(draws, len(records)))
    figures = [task.score([records[i] for i in drawn]) for drawn in rows]
    drawn_by_name = {name: [figure[name] for figure in figures] for name in figures[0]}
    return {name: np.nanquantile(each, [0.025, 0.975]).tolist() for name, each in drawn_by_name.items()}


def _place() -> tuple[int, int]:
    """Number of the process and of all processes, as `accelerate launch` and `torchrun` say."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _wait(processes: int) -> None:
    """Until all processes are here; however long the slowest takes."""
    if processes > 1:
        from torch import distributed

        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=timedelta(days=30))
        distributed.barrier()
