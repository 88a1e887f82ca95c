"""
Zero-shot against supervised, benchmark by benchmark and domain by domain, as the slides have it.

"Performance varies across domains", and "scaling reduces the gap": of several models, as CLAP 2022 and 2023, the gaps
stand side by side. All ways are judged on the same clips by one metric that all of them have.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report.figures import Point, grouped_bars, per_cent
from .measuring import Data, Measured, common_metric, difference, make_task, measure, prepare
from .results import RUNS, ExperimentResult, Row, check_output, row_of, short_name, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "domains"
ZERO_SHOT = "zero-shot"
WAYS = (ZERO_SHOT, "linear-probe", "fine-tune")
DOMAINS = {  # Table 1 of CLAP 2022, and the 26 tasks of CLAP 2023
    "sound events": ("esc50", "fsd50k", "urbansound8k", "dcase17", "audioset"),
    "music": ("gtzan-music-speech", "gtzan-genres", "mridangam-stroke", "mridangam-tonic"),
    "instruments": ("beijing-opera", "nsynth-family", "nsynth-source"),
    "music notes": ("nsynth-pitch", "nsynth-velocity", "nsynth-qualities"),
    "acoustic scenes": ("tut2017",),
    "emotion": ("crema-d", "ravdess"),
    "keywords": ("speech-commands", "speech-commands-35"),
    "vocal sounds": ("vocalsound",),
    "speaker counting": ("libricount",),
    "surveillance": ("sesa",),
    "actions": ("esc50-actions",),
    "own clips": ("folder", "label-folders"),
}


def domain_of(dataset: str) -> str:
    """The domain of a benchmark."""
    return next(domain for domain, names in DOMAINS.items() if dataset in names)


def zero_shot_against_supervised(
    data: Sequence[Data],
    folder: Path,
    models: Sequence[str] = ("clap-small",),
    ways: Sequence[str] = WAYS,
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    Each way of classifying with each model on each benchmark.

    Args:
        data: The benchmarks.
        folder: Gets the runs, table and picture. A run that was stopped goes on.
        models: CLAPs.
        ways: Of [`WAYS`].
        device, overwrite, draws, seed, progress: As of [`run`].
        options: `batch_size`, `num_workers`, `truncation`; `epochs` and `learning_rate` of fine-tuning.

    Returns:
        A row for each way; `gap` is the difference from zero-shot in points, with its paired interval.

    Raises:
        ValueError: as [`items_for`]; an unknown way; the ways have no metric in common.
        ImportError: matplotlib is not installed.
    """
    if unknown := sorted(set(ways) - set(WAYS)):
        raise ValueError(f"There is no way {unknown[0]!r}; known are {', '.join(WAYS)}.")
    check_output(folder)
    result = ExperimentResult(experiment=NAME, rows=[], settings={"draws": draws, "seed": seed, "models": list(models)})
    order = {name: i for i, names in enumerate(DOMAINS.values()) for name in names}
    chosen = [way for way in WAYS if way in ways]
    for each in sorted(data, key=lambda one: order.get(one.name, len(order))):
        for model in models:
            found = {}
            for way in chosen:
                prepared = prepare(way, each)
                where = folder / RUNS / f"{each.name}-{way}-{short_name(model)}"
                more = {"folder": where / "classifiers"} if way == "fine-tune" else {}
                task = make_task(prepared, model, device, **options, **more)
                how: dict[str, Any] = {"overwrite": overwrite, "draws": draws, "seed": seed, "progress": progress}
                found[way] = measure(task, prepared, where, **how)
                result.notes += [f"{each.name}, {way}: {words}" for words in prepared.benchmark.notes]
            result.rows += _rows(found, each.name, draws, seed)
    result.notes = list(dict.fromkeys(result.notes))
    result.said = [*_sentences(result.rows)]
    write_experiment(result, folder, lambda: picture(result))
    return result


def _rows(found: Mapping[str, Measured], dataset: str, draws: int, seed: int) -> list[Row]:
    metric = common_metric([each.result for each in found.values()])
    rows = []
    for way, each in found.items():
        row = row_of(each.result, metric, domain=domain_of(dataset), way=way)
        row["clips"] = len(each.judged)
        row["learned_from"] = 0 if way == ZERO_SHOT else len({r.item.id for r in each.records})
        if way != ZERO_SHOT and ZERO_SHOT in found:
            base = found[ZERO_SHOT]
            row["gap"] = 100 * (each.result.metrics[metric] - base.result.metrics[metric])
            change = difference(each, base, metric, draws=draws, seed=seed)
            row["gap_low"] = None if change is None else 100 * change.low
            row["gap_high"] = None if change is None else 100 * change.high
        rows.append(row)
    return rows


def _sentences(rows: Sequence[Row]) -> list[str]:
    """The mean of each domain, and the mean gap of each model."""
    said = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        for domain in dict.fromkeys(row["domain"] for row in own):
            means = [f"{way} {100 * _mean(own, domain, way):.1f} %" for way in WAYS if _has(own, domain, way)]
            sets = len({row["dataset"] for row in own if row["domain"] == domain})
            said.append(f"{model}, {domain} ({sets} data set{'s' * (sets > 1)}): {', '.join(means)}")
        for way in WAYS[1:]:
            gaps = [row["gap"] for row in own if row["way"] == way and row.get("gap") is not None]
            if gaps:
                said.append(f"{model}: mean gap of {way} to zero-shot {np.mean(gaps):+.1f} points")
    return said


def _has(rows: Sequence[Row], domain: str, way: str) -> bool:
    return any(row["domain"] == domain and row["way"] == way for row in rows)


def _mean(rows: Sequence[Row], domain: str, way: str) -> float:
    return float(np.mean([row["value"] for row in rows if row["domain"] == domain and row["way"] == way]))


def picture(result: ExperimentResult) -> "Figure":
    """Bars of the ways side by side, benchmark by benchmark, below the names of the domains."""
    models = list(dict.fromkeys(row["model"] for row in result.rows))
    groups: dict[tuple[str, str], dict[str, Point]] = {}
    for row in result.rows:
        name = f"{row['dataset']} ({row['metric']})"
        bar = row["way"] if len(models) == 1 else f"{row['way']}, {row['model']}"
        interval = None if row["low"] is None else (row["low"], row["high"])
        groups.setdefault((row["domain"], name), {})[bar] = per_cent(row["value"], interval)
    title = f"Zero-shot against supervised: {', '.join(models)}"
    return grouped_bars([(*key, bars) for key, bars in groups.items()], title, y_name="per cent, 95 % interval")


__all__ = ["DOMAINS", "WAYS", "domain_of", "picture", "zero_shot_against_supervised"]
