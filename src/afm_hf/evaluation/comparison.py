"""Two models on the same clips: is one better by more than chance? By the paired bootstrap."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..models.common.results_afm import AfmResult
from ..models.common.writing_afm import AGAIN, write_text
from .bootstrap import count_of, paired_bootstrap
from .runner import EvaluationResult, read_predictions, run
from .task import Failure, Item, Record, Task

FIRST, SECOND, COMPARISON = "first", "second", "comparison.json"
Drawn = dict[str, float]


@dataclass(kw_only=True)
class Comparison(AfmResult):
    """
    Figures of two models on the clips that both could predict.

    Args:
        task, dataset (`str`): What was evaluated.
        first, second (`str`): The models.
        metrics (`dict[str, dict[str, float]]`):
            Of each metric `first` and `second`, the figures; `difference`, the first less the second; and, where it can
            be had, the 95 % interval of the difference (`low`, `high`) and `p_value`, as of [`PairedBootstrap`].
        count (`int`): Clips that both predicted. Only these are in the figures.
        left_out (`dict[str, str]`): The others, and why.
        partial (`list[str]`): Why the clips are a part of the dataset; empty for the whole.
    """

    task: str
    dataset: str
    first: str
    second: str
    metrics: dict[str, Drawn]
    count: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)


def compare(
    first: Task,
    second: Task,
    items: Sequence[Item],
    folder: str | os.PathLike[str],
    *,
    dataset: str = "",
    overwrite: bool = False,
    progress: bool = True,
    draws: int = 1000,
    seed: int = 0,
    partial: Sequence[str] = (),
) -> Comparison | None:
    """
    Runs both, or goes on with what they have in `folder`, and compares them clip by clip.

    Args:
        first, second ([`Task`]): The same task with two models.
        items: What to predict.
        folder: Gets `first/`, `second/`, each as of [`run`], and `comparison.json`.
        dataset, overwrite, progress, draws, seed, partial: As of [`run`].

    Returns:
        The comparison; `None` in all processes but the first.

    Raises:
        ValueError: the tasks are not the same, or there are fewer than two clips that both could predict.
    """
    if first.name != second.name:
        raise ValueError(
            f"The first model does {first.name!r}, the second {second.name!r}; expected one task for both."
        )
    options: dict[str, Any] = {"dataset": dataset, "overwrite": overwrite, "progress": progress, "draws": 0}
    results = [run(task, items, Path(folder) / name, **options) for task, name in ((first, FIRST), (second, SECOND))]
    if results[0] is None or results[1] is None:
        return None
    records, left_out = _both(items, [read_predictions(Path(folder) / name) for name in (FIRST, SECOND)])
    if len(records[0]) < 2:
        raise ValueError(
            f"Only {len(records[0])} of {len(items)} clips could be predicted by both; expected 2 or more."
        )
    comparison = Comparison(
        task=first.name,
        dataset=dataset,
        first=_name(results[0]),
        second=_name(results[1]),
        metrics=paired_figures(first, second, records[0], records[1], draws=draws, seed=seed),
        count=len(records[0]),
        left_out=left_out,
        partial=list(partial),
        settings={FIRST: first.settings, SECOND: second.settings, "bootstrap_draws": draws, "seed": seed},
    )
    write_text(Path(folder) / COMPARISON, comparison.to_json(indent=1) + "\n", "the comparison", AGAIN)
    return comparison


def paired_figures(
    first: Task,
    second: Task,
    of_first: Sequence[Record],
    of_second: Sequence[Record],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Drawn]:
    """
    Each metric of two models with the difference; see [`Comparison`].

    Args:
        first, second ([`Task`]): The tasks, which score.
        of_first, of_second: Predictions of the same items in the same order.
        draws, seed (`int`): Of the bootstrap; 0 draws leave out intervals and p-values.
    """
    one, other = first.score(of_first), second.score(of_second)
    values = first.per_record(of_first), second.per_record(of_second)
    found = {}
    rescored = _rescored(first, second, of_first, of_second, draws, seed) if None in values and draws else {}
    for name in one:
        if name not in other:
            continue
        found[name] = {FIRST: one[name], SECOND: other[name], "difference": one[name] - other[name]}
        pair = [each[name] for each in values if each is not None and name in each]
        if len(pair) == 2 and count_of(pair[0]) > 1 and draws:
            result = paired_bootstrap(*pair, resamples=draws, seed=seed)
            found[name] |= {"low": result.low, "high": result.high, "p_value": result.p_value}
        found[name] |= rescored.get(name, {})
    return found


def _both(
    items: Sequence[Item], predictions: Sequence[Mapping[str, Mapping[str, Any] | Failure]]
) -> tuple[list[list[Record]], dict[str, str]]:
    """Records of what both predicted, and what one of them could not."""
    records: list[list[Record]] = [[], []]
    left_out = {}
    for item in items:
        outcomes = [each.get(item.id, Failure("not predicted")) for each in predictions]
        failed = [outcome.reason for outcome in outcomes if isinstance(outcome, Failure)]
        if failed:
            left_out[item.id] = failed[0]
            continue
        for mine, outcome in zip(records, outcomes, strict=True):
            mine.append(Record(item, outcome))  # type: ignore[arg-type]  # no Failure: see above
    return records, left_out


def _rescored(
    first: Task, second: Task, of_first: Sequence[Record], of_second: Sequence[Record], draws: int, seed: int
) -> dict[str, Drawn]:
    """Metrics that are no means: both are scored anew on the same draws."""
    rows = np.random.default_rng(seed).integers(len(of_first), size=(draws, len(of_first)))
    gaps: dict[str, list[float]] = {}
    for drawn in rows:
        one, other = first.score([of_first[i] for i in drawn]), second.score([of_second[i] for i in drawn])
        for name in one.keys() & other.keys():
            gaps.setdefault(name, []).append(one[name] - other[name])
    found = {}
    for name, gap in gaps.items():
        low, high = np.nanquantile(gap, [0.025, 0.975])
        beyond = min(np.sum(np.array(gap) <= 0), np.sum(np.array(gap) >= 0))
        found[name] = {"low": float(low), "high": float(high), "p_value": min(1.0, 2 * (int(beyond) + 1) / (draws + 1))}
    return found


def _name(result: EvaluationResult) -> str:
    return str(result.settings.get("model", "")).rstrip("/").rsplit("/", 1)[-1]


__all__ = ["Comparison", "compare", "paired_figures"]
