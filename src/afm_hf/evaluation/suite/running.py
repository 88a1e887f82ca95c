"""
All tasks on one folder of labelled clips, with the bundled models, beside what is reached without listening.

Each task has a folder of its own, as of [`run`], so that the suite can be stopped and goes on. Beside its figures stand
those of a trivial answer, and of the same model that hears another clip than the one it is asked about (in
`control/`): where they are as high, the model does not listen.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data.folders import METADATA
from ...hub.loading import check_model
from ...models.common.writing_afm import WriteError, check_folder
from ..datasets import OWN, load_items
from ..runner import EvaluationResult, read_predictions, run, write_result
from ..task import Failure, Item, Record, Task
from .catalogue import SUITE, Figures, SuiteTask
from .items import labelled

TRIVIAL, SHUFFLED = "trivial", "shuffled audio"
CONTROL = "control"


@dataclass
class SuiteResult:
    """
    What came of it.

    Args:
        results: Of each task that could be done.
        skipped (`dict[str, str]`): The other tasks, and why.
        clips (`int`): Labelled clips in the folder.
        sounds (`str`): Its name.
        left_out (`str`): What of its table could not be used, if anything.
    """

    results: list[EvaluationResult]
    skipped: dict[str, str] = field(default_factory=dict)
    clips: int = 0
    sounds: str = ""
    left_out: str = ""


def run_suite(
    folder: str | os.PathLike[str],
    sounds: str | os.PathLike[str] | None = None,
    tasks: Iterable[str] | None = None,
    models: Mapping[str, str] | None = None,
    *,
    batch_size: int = 16,
    device: str | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    draws: int = 1000,
    seed: int = 0,
    command: str = "",
) -> SuiteResult:
    """
    Runs the suite, or goes on with it.

    Args:
        folder: Gets a folder for each task.
        sounds: A folder with `metadata.csv` (`file_name`, `label`, perhaps `caption`), or with a folder of clips for
            each label; by default the bundled clips.
        tasks: Names of [`SUITE`]; by default all.
        models: Other models than the bundled ones, by the name of the task.
        batch_size, device: Of the models.
        dtype (`str`, *optional*): Their number format, see [`pick_dtype`]; each checkpoint's own if not given.
        overwrite, progress, draws, seed: As of [`run`]; the seed also draws questions and pairs.
        command (`str`): For the report, how to repeat this.

    Returns:
        Results and what was skipped: a task that the clips are not fit for does not stop the others.

    Raises:
        ValueError: an unknown task, no labels, or no task could be done.
        WriteError: (an `OSError`) the folder cannot be written. The same call goes on once it can.
    """
    from ...hub.bundled import bundled_audio

    check_folder(folder, "the suite")
    chosen = list(dict.fromkeys(SUITE if tasks is None else tasks))
    unknown = sorted({*chosen, *(models or {})} - set(SUITE))
    if unknown:
        raise ValueError(f"The suite has no task {unknown[0]!r}; its tasks are {', '.join(SUITE)}.")
    where = Path(sounds) if sounds is not None else bundled_audio()[0].parent
    layout = OWN if any((where / name).is_file() for name in METADATA) else "label-folders"
    items, _, report = load_items(layout, str(where), "zero-shot")
    name = where.resolve().name if sounds is not None else "bundled clips"
    # one row a clip; its name instead of its line, so that examples and failures can be read
    rows = {os.path.relpath(item.audio, where): item for item in reversed(items)}
    clips = labelled([Item(clip, item.audio, item.truth) for clip, item in reversed(rows.items())])
    found = SuiteResult(
        [], clips=len(clips), sounds=name, left_out=str(report) if report.skipped or report.notes else ""
    )
    options: dict[str, Any] = {"overwrite": overwrite, "progress": progress, "draws": draws, "seed": seed}
    for each in chosen:
        entry = SUITE[each]
        try:
            items = entry.items(clips, seed)
        except ValueError as error:  # the same in all processes
            found.skipped[each] = str(error)
            continue
        try:
            pipe = _pipeline(entry, (models or {}).get(each, entry.model), device, dtype)
            result = _run_one(entry, pipe, items, Path(folder) / each, name, batch_size, options)
        except WriteError:  # of no task: the others could not be written either
            raise
        except (ValueError, ImportError, OSError) as error:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise  # the other processes wait for this one: they have to end, too
            found.skipped[each] = str(error)
            continue
        if result is not None:
            result.task = each
            if command:
                result.details["command"] = command
            write_result(result, Path(folder) / each)
            found.results.append(result)
    if len(found.skipped) == len(chosen):
        first = next(iter(found.skipped.items()))
        raise ValueError(f"No task of the suite could be done; the first, {first[0]}: {first[1]}")
    return found


def _run_one(
    entry: SuiteTask, pipe: Any, items: list[Item], folder: Path, dataset: str, batch_size: int, options: dict[str, Any]
) -> EvaluationResult | None:
    """A task, its control, and its trivial answer."""

    def task() -> Task:  # one for each use: they may keep what they scored last
        return entry.task(pipe, items, {"batch_size": batch_size})

    result = run(task(), items, folder, dataset=dataset, **options)
    control = None
    if entry.control is not None:  # by all processes, as they wait for each other
        swapped = entry.control(items, options["seed"])
        control = run(task(), swapped, folder / CONTROL, dataset=f"{dataset}, other audio", **{**options, "draws": 0})
    if result is None:  # another process has it
        return None
    main = task().main_metric
    baselines = {TRIVIAL: entry.trivial(task(), items)}
    if "before" in result.metrics:
        baselines["not adapted"] = {main: result.metrics["before"]}
    if control is not None:
        baselines[SHUFFLED] = control.metrics
    records = _records(items, folder)
    result.details |= {"baselines": baselines, "main_metric": main, "note": entry.note}
    if groups := _by_kind(task(), records):
        result.details["by_group"] = {**result.details.get("by_group", {}), "kind of question": groups}
    return result


def _records(items: Sequence[Item], folder: Path) -> list[Record]:
    """What was predicted."""
    predictions = read_predictions(folder)
    outcomes = ((item, predictions.get(item.id)) for item in items)
    return [Record(item, out) for item, out in outcomes if out is not None and not isinstance(out, Failure)]


def _by_kind(task: Task, records: Sequence[Record]) -> dict[str, Figures]:
    """Figures of each `kind` of question."""
    kinds: dict[str, list[Record]] = {}
    for record in records:
        if "kind" in record.item.truth:
            kinds.setdefault(record.item.truth["kind"], []).append(record)
    return {kind: task.score(rows) for kind, rows in kinds.items()}


def _pipeline(entry: SuiteTask, model: str, device: str | None, dtype: str | None) -> Any:
    from ...hub.loading import load_pipeline, pick_device, resolve_model

    check_model(entry.pipeline, model)
    return load_pipeline(entry.pipeline, resolve_model(model), pick_device(device), dtype)
