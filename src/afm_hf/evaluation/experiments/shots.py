"""
A few labelled clips: accuracy over the number of clips of each class, mean and deviation over draws.

SELM (Interspeech 2024, arXiv 2407.15300) adapts to a new corpus with a few clips and reports draws of them; which
numbers of clips it takes, and how it trains, is not known. Of the clips of every class some are drawn and learned from,
and all others are judged, before and after.
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ...adaptation.few_shot import draw_shots, fit_lora, fit_mapper, fit_on_features
from ...models.common.writing_afm import JsonLines, read_json_lines
from ..bootstrap import bootstrap_interval
from ..report.figures import Point, curves, per_cent
from ..task import Failure, Item, Record
from ..tasks.closed import ClosedTask
from ..tasks.zero_shot import ZeroShotTask, read_items
from .measuring import Data, Measured, Prepared, make_task, measure, prepare
from .results import RUNS, ExperimentResult, Row, check_output, row_of, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "shots"
SHOTS = (1, 2, 4, 8)
METHODS = {"linear-probe": "zero-shot", "lora": "zero-shot", "mapper": "closed"}  # and the task without any clip
DRAWS = "draws.jsonl"


def few_shot_table(
    data: Data,
    folder: Path,
    method: str = "linear-probe",
    model: str | None = None,
    shots: Sequence[int] = SHOTS,
    repeats: int = 5,
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    steps: int | None = None,
    learning_rate: float | None = None,
    **options: Any,
) -> ExperimentResult:
    """
    Accuracy with no clip, and with some of each class.

    Args:
        data: A benchmark of clips with one label.
        folder: Gets the run without clips, each draw as it is done, table and picture. A run that was stopped goes on.
        method (`str`): `"linear-probe"` or `"lora"` of a CLAP, `"mapper"` (SELM) of a model that answers.
        model (`str`, *optional*): For it.
        shots: Clips of each class.
        repeats (`int`): Draws of them.
        device, overwrite, draws, seed, progress: As of [`run`]; the seed is also that of the draws.
        steps (`int`), learning_rate (`float`, *optional*): Of `"lora"` and `"mapper"`, see [`fit_mapper`].
        options: `batch_size`, `num_workers`, `truncation`.

    Returns:
        A row for each number of clips: the mean over the draws, `deviation` over them, and the interval of the mean.

    Raises:
        ValueError: as [`items_for`]; an unknown method; clips with several labels; fewer than two classes have enough
            clips.
        ImportError: matplotlib is not installed.
    """
    if method not in METHODS or not shots or min(shots) < 1 or repeats < 1:
        raise ValueError(
            f"The method is {method!r}, expected one of {', '.join(METHODS)}; clips of each class {list(shots)} and "
            f"{repeats} draws, expected 1 or more."
        )
    check_output(folder)
    prepared = prepare(METHODS[method], data)
    if prepared.benchmark.multi_label:
        raise ValueError(f"The clips of {data.name!r} have several labels; a draw of each class needs one a clip.")
    more = {"scoring": "likelihood"} if method == "mapper" else {}
    task: Any = make_task(prepared, model, device, **options, **more)
    where = folder / RUNS / f"{data.name}-none"
    before = measure(task, prepared, where, overwrite=overwrite, draws=draws, seed=seed, progress=progress)
    records, labels = _with_enough(before, prepared, max(shots))
    training = {"steps": steps, "learning_rate": learning_rate}
    learning = {name: value for name, value in training.items() if value is not None and method != "linear-probe"}
    made = {"method": method, "model": before.result.settings["model"], "seed": seed, **learning, "clips": len(records)}
    found = _drawn(task, method, records, labels, sorted(set(shots)), repeats, seed, made, learning, folder, overwrite)
    result = ExperimentResult(experiment=NAME, rows=[], settings={**made, "draws": draws, "repeats": repeats})
    result.rows = [_row(before, method, count, found[count], draws, seed, labels) for count in sorted(found)]
    result.notes = list(before.result.notes)
    lost = sorted(set(prepared.labels) - set(labels))
    if lost:
        result.notes.append(f"{len(lost)} of {len(prepared.labels)} classes have {max(shots)} clips or fewer: left out")
    result.said = [_sentence(result.rows)]
    write_experiment(result, folder, lambda: picture(result))
    return result


def _with_enough(before: Measured, prepared: Prepared, most: int) -> tuple[list[Record], list[str]]:
    """The clips of classes that have one more than are learned from, and these classes."""
    counts = Counter(str(record.item.truth["label"]) for record in before.records)
    labels = [label for label in prepared.labels if counts[label] > most]
    if len(labels) < 2:
        raise ValueError(
            f"{len(labels)} classes of {prepared.data.folder} have more than {most} clips that can be used; expected "
            "two or more. Ask for fewer clips of each class."
        )
    return [record for record in before.records if str(record.item.truth["label"]) in labels], labels


def _drawn(
    task: Any,
    method: str,
    records: Sequence[Record],
    labels: Sequence[str],
    shots: Sequence[int],
    repeats: int,
    seed: int,
    made: Mapping[str, Any],
    learning: Mapping[str, Any],
    folder: Path,
    overwrite: bool,
) -> dict[int, list[dict[str, float]]]:
    """For each number of clips and each draw `before`, `after`, and how many were judged; read where it is there."""
    kept = folder / DRAWS
    if overwrite:
        kept.unlink(missing_ok=True)
    known = {(r["shots"], r["draw"]): r["found"] for r in read_json_lines(kept) if r["made"] == dict(made)}
    truth = [str(record.item.truth["label"]) for record in records]
    heard = functools.cache(lambda: _features(task, [record.item for record in records]))  # once for all draws
    found: dict[int, list[dict[str, float]]] = {}
    with JsonLines(kept, "the draws") as lines:
        for count in shots:
            found[count] = []
            for draw in tqdm(range(repeats), desc=f"{count} clips of each class", disable=None):
                if (count, draw) not in known:
                    chosen = set(draw_shots(truth, count, seed + draw))
                    few = [record.item for i, record in enumerate(records) if i in chosen]
                    rest = [record for i, record in enumerate(records) if i not in chosen]
                    how = {**learning, "seed": seed + draw}
                    others = [record.item for record in rest]
                    if method == "linear-probe":
                        after = _probed(heard, few, others)
                    else:
                        after = _adapted(task, method, few, others, labels, how)
                    known[count, draw] = {
                        "before": _accuracy([_likeliest(r, task.labels, labels) for r in rest], rest),
                        "after": _accuracy(after, rest),
                        "judged": len(rest),
                    }
                    lines.write({"made": made, "shots": count, "draw": draw, "found": known[count, draw]})
                found[count].append(known[count, draw])
    return found


def _features(task: Any, items: Sequence[Item]) -> dict[str, list[float] | Failure]:
    """What the audio encoder makes of each clip, by its id."""
    encoder = task.pipe.model.audio_model

    def made_of(features: Mapping[str, torch.Tensor]) -> list[list[float]]:
        rows: list[list[float]] = encoder(**features).pooler_output.float().tolist()
        return rows

    outcomes = read_items(task.pipe, items, task.truncation, task.batch_size, task.num_workers, made_of)
    return {item.id: row for item, row in outcomes}


def _probed(
    heard: Callable[[], Mapping[str, list[float] | Failure]], few: Sequence[Item], rest: Sequence[Item]
) -> list[str | None]:
    """What a linear classifier of a few says of the rest: the frozen encoder hears every clip once."""
    features = heard()
    known = [item for item in few if not isinstance(features[item.id], Failure)]
    names = [str(item.truth["label"]) for item in known]
    classes, weight, bias, _ = fit_on_features(torch.tensor([features[item.id] for item in known]), names)
    said: list[str | None] = []
    for item in rest:
        row = features[item.id]
        logits = None if isinstance(row, Failure) else weight @ torch.tensor(row) + bias
        said.append(None if logits is None else classes[int(logits.argmax())])
    return said


def _adapted(
    task: Any, method: str, few: Sequence[Item], rest: Sequence[Item], labels: Sequence[str], how: dict[str, Any]
) -> list[str | None]:
    """What is said of the rest after a model was trained on a few."""
    clips, names = [item.audio for item in few], [str(item.truth["label"]) for item in few]
    pipe = task.pipe
    reading = {"batch_size": task.batch_size, "num_workers": task.num_workers}
    from transformers import pipeline

    if method == "lora":
        from ...models.clap_afm.processing_clap_afm import ClapAfmProcessor

        template = task.templates[0]
        processor = ClapAfmProcessor(pipe.feature_extractor, pipe.tokenizer)
        fitted = fit_lora(pipe.model, processor, clips, names, template=template, **how).model.merge_and_unload()
        parts = {"feature_extractor": pipe.feature_extractor, "tokenizer": pipe.tokenizer}
        heard: Any = pipeline("zero-shot-audio-classification", model=fitted, **parts)
        judge: Any = ZeroShotTask(heard, labels, [template], truncation=task.truncation, **reading)
    else:
        answers = [task.answer.format(name) for name in names]
        fitted = fit_mapper(pipe.model, pipe.processor, clips, answers, task.prompt, **how)
        heard = pipeline("audio-text-generation", model=fitted.model, processor=pipe.processor)
        asked = {"prompt": task.prompt, "answer": task.answer, "scoring": "likelihood"}
        judge = ClosedTask(heard, labels, **asked, **reading, **task.options)
    said = zip(rest, judge.predict(rest), strict=True)
    return [None if isinstance(p, Failure) else _likeliest(Record(item, p), labels, labels) for item, p in said]


def _likeliest(record: Record, every: Sequence[str], labels: Sequence[str]) -> str:
    """The likeliest of some labels, by cosines or likelihoods of all."""
    scores = record.prediction.get("scores") or record.prediction["likelihood"]
    of_label = dict(zip(every, scores, strict=True))
    return max(labels, key=lambda label: of_label[label])


def _accuracy(said: Sequence[str | None], records: Sequence[Record]) -> float:
    truth = [str(record.item.truth["label"]) for record in records]
    return float(np.mean([a == b for a, b in zip(said, truth, strict=True)]))


def _row(
    before: Measured, method: str, count: int, found: Sequence[Mapping[str, float]], draws: int, seed: int,
    labels: Sequence[str],
) -> Row:  # fmt: skip
    after, none = [each["after"] for each in found], [each["before"] for each in found]
    row = row_of(before.result, before.task.main_metric, method=method, shots=count, repeats=len(found))
    row |= {"metric": "accuracy", "value": float(np.mean(after)), "low": None, "high": None}
    row |= {"classes": len(labels), "clips": round(float(np.mean([each["judged"] for each in found])))}
    row |= {"deviation": _deviation(after), "none": float(np.mean(none)), "none_deviation": _deviation(none)}
    if len(after) > 1 and draws:
        interval = bootstrap_interval(after, resamples=draws, seed=seed)
        row |= {"low": interval.low, "high": interval.high}
    row["text"] = _spread(row["value"], row["deviation"])
    row["none_text"] = _spread(row["none"], row["none_deviation"])
    return row


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _spread(value: float, deviation: float | None) -> str:
    return f"{100 * value:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")


def _sentence(rows: Sequence[Row]) -> str:
    best = max(rows, key=lambda row: row["value"])
    none = f"with none {best['none_text']} % on the same clips"
    clips = f"{best['shots']} clip{'s' * (best['shots'] > 1)}"
    return f"best with {clips} of each class: {best['text']} %; {none}"


def picture(result: ExperimentResult) -> "Figure":
    """The mean over the number of clips with its interval, and what there is without clips on the same clips."""
    after, none = [], []
    for row in result.rows:
        interval = None if row["low"] is None else (row["low"], row["high"])
        after.append((float(row["shots"]), per_cent(row["value"], interval)))
        none.append((float(row["shots"]), Point(100 * row["none"])))
    first = result.rows[0]
    title = f"A few clips of each class: {first['model']} on {first['dataset']}, {first['repeats']} draws"
    lines = {first["method"]: after, "without clips": none}
    y_name = "accuracy (per cent), 95 % interval of the mean"
    return curves(lines, title, log=True, x_name="clips of each class", y_name=y_name)


__all__ = ["METHODS", "SHOTS", "few_shot_table", "picture"]
