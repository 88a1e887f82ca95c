"""
Confidence intervals by the bootstrap (Efron, 1979), and the paired bootstrap for two models on the same items.

Every figure here is a function of sums over items: a mean is a sum over a number, corpus BLEU comes from sums of
counts, macro F1 from a confusion matrix. A resample draws items with replacement; how often each was drawn is a row of
weights, and weights times items are the sums of a resample, thousands of resamples at once.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..models.common.results_afm import AfmResult

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], npt.ArrayLike]
_DRAWS_AT_ONCE = 1 << 22  # 32 MB


@dataclasses.dataclass(frozen=True)
class Sums:
    """
    A figure that is no mean over items, but comes from sums over them, as corpus BLEU.

    Args:
        table: What is summed up, float64 `(items, columns)`.
        statistic: The figure of sums: `(..., columns)` to `(...)`.
    """

    table: Floats
    statistic: Statistic


@dataclasses.dataclass(kw_only=True)
class BootstrapInterval(AfmResult):
    """
    A figure and the range in which it would lie had other items been drawn.

    Args:
        value (`float`): The figure.
        low, high (`float`): Ends of the interval (percentiles of the resamples).
        count (`int`): What was drawn from: items, or groups of items.
    """

    value: float
    low: float
    high: float
    count: int


@dataclasses.dataclass(kw_only=True)
class PairedBootstrap(AfmResult):
    """
    Two models on the same items: is the first better by more than chance?

    Args:
        difference (`float`): Figure of the first less that of the second.
        low, high (`float`): Ends of the difference's interval.
        p_value (`float`):
            Twice the share of resamples on the other side of 0 (at most 1): how easily items as these give such a
            difference where there is none.
        first, second (`float`): The figures.
        count (`int`): What was drawn from: items, or groups of items.
    """

    difference: float
    low: float
    high: float
    p_value: float
    first: float
    second: float
    count: int


def bootstrap_interval(
    values: npt.ArrayLike | Sums,
    statistic: Statistic | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> BootstrapInterval:
    """
    The figure of some items and its percentile interval.

    Args:
        values:
            A number (also a truth value) for each item, `(items,)`, whose mean is the figure; or [`Sums`]; with
            `statistic`, what is summed up, `(items, columns)`.
        statistic: The figure of sums: `(..., columns)` to `(...)`.
        groups:
            The group of each item. Groups are drawn whole: needed where several items share a clip, as these are not
            independent.
        resamples: Number of draws.
        confidence: Share of the resamples inside of the interval.
        seed: Of the draws; one seed gives one interval.

    Raises:
        ValueError: there are fewer than two items or groups, a value is not finite, or a setting makes no sense.

    Example:
    ```python
    >>> result = bootstrap_interval([True, True, False, True, True, False, True, True])
    >>> result.value, result.low, result.high
    (0.75, 0.5, 1.0)

    ```
    """
    table, figure = _table("values", values, statistic)
    table = _by_group(table, groups)
    _check(len(table), resamples, confidence)
    drawn = np.concatenate([np.asarray(figure(sums)) for sums in _resampled(table, resamples, seed)])
    low, high = _percentiles(drawn, confidence)
    settings = {"resamples": resamples, "confidence": confidence, "seed": seed}
    return BootstrapInterval(value=_figure(figure, table), low=low, high=high, count=len(table), settings=settings)


def paired_bootstrap(
    first: npt.ArrayLike | Sums,
    second: npt.ArrayLike | Sums,
    statistic: Statistic | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedBootstrap:
    """
    The difference of two models' figures on the same items, its interval and how surprising it is.

    Both models are resampled together, so that what makes an item hard for both cancels out.

    Args:
        first, second: As `values` of [`bootstrap_interval`], item by item the same.
        statistic, groups, resamples, confidence, seed: As there.

    Raises:
        ValueError: as there, or the two have different items.

    Example:
    ```python
    >>> result = paired_bootstrap([1, 1, 1, 0, 1, 1, 1, 1], [1, 0, 1, 0, 0, 1, 0, 1])
    >>> result.difference, result.low, result.p_value < 0.1
    (0.375, 0.125, True)

    ```
    """
    one, figure = _table("first", first, statistic)
    other, _ = _table("second", second, statistic)
    if one.shape != other.shape:
        raise ValueError(f"The first has {len(one)} items, the second {len(other)}; expected the same items in both.")
    columns = one.shape[1]
    table = _by_group(np.hstack([one, other]), groups)
    _check(len(table), resamples, confidence)
    drawn = np.concatenate(
        [
            np.asarray(figure(sums[:, :columns])) - np.asarray(figure(sums[:, columns:]))
            for sums in _resampled(table, resamples, seed)
        ]
    )
    low, high = _percentiles(drawn, confidence)
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    values = _figure(figure, table[:, :columns]), _figure(figure, table[:, columns:])
    return PairedBootstrap(
        difference=values[0] - values[1],
        low=low,
        high=high,
        p_value=min(1.0, 2 * (int(beyond) + 1) / (resamples + 1)),  # never 0: there are only so many resamples
        first=values[0],
        second=values[1],
        count=len(table),
        settings={"resamples": resamples, "confidence": confidence, "seed": seed},
    )


def count_of(values: npt.ArrayLike | Sums) -> int:
    """How many items there are."""
    return len(values.table if isinstance(values, Sums) else np.asarray(values))


def _mean(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def _table(name: str, values: npt.ArrayLike | Sums, statistic: Statistic | None) -> tuple[Floats, Statistic]:
    """Columns to sum up, `(items, columns)`, and the figure of their sums."""
    numbers, statistic = (values.table, values.statistic) if isinstance(values, Sums) else (values, statistic)
    table = np.asarray(numbers, dtype=np.float64)
    if table.ndim != (1 if statistic is None else 2):
        expected = "(items,)" if statistic is None else "(items, columns), as a statistic is given"
        raise ValueError(f"`{name}` has the shape {table.shape}; expected {expected}.")
    if not np.isfinite(table).all():
        raise ValueError(f"`{name}` holds {int((~np.isfinite(table)).sum())} numbers that are not finite.")
    return (np.column_stack([table, np.ones(len(table))]), _mean) if statistic is None else (table, statistic)


def _by_group(table: Floats, groups: Sequence[Hashable] | None) -> Floats:
    """Sums over the items of each group, in the order in which the groups come first."""
    if groups is None:
        return table
    if len(groups) != len(table):
        raise ValueError(f"Got {len(groups)} groups for {len(table)} items; expected the group of each item.")
    numbers: dict[Hashable, int] = {}
    member = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
    sums = np.zeros((len(numbers), table.shape[1]))
    np.add.at(sums, member, table)
    return sums


def _check(items: int, resamples: int, confidence: float) -> None:
    if items < 2:
        raise ValueError(f"There are {items} items (or groups) to draw from; an interval needs 2 or more.")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"`resamples` is {resamples} and `confidence` {confidence}; expected 1 or more, and one between 0 and 1."
        )


def _resampled(table: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Sums of resamples, `(some, columns)` at a time: memory does not grow with their number."""
    items, generator = len(table), np.random.default_rng(seed)
    for start in range(0, resamples, max(1, _DRAWS_AT_ONCE // items)):
        rows = min(max(1, _DRAWS_AT_ONCE // items), resamples - start)
        drawn = generator.integers(0, items, (rows, items)) + items * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * items).reshape(rows, items)
        yield weights.astype(np.float64) @ table  # (rows, items) @ (items, columns)


def _percentiles(drawn: Floats, confidence: float) -> tuple[float, float]:
    if not np.isfinite(drawn).all():
        raise ValueError(
            f"The statistic is not finite in {int((~np.isfinite(drawn)).sum())} of {len(drawn)} resamples."
        )
    outside = 50 * (1 - confidence)
    low, high = np.percentile(drawn, [outside, 100 - outside])
    return float(low), float(high)


def _figure(figure: Statistic, table: Floats) -> float:
    return float(np.asarray(figure(table.sum(0))))


__all__ = ["BootstrapInterval", "PairedBootstrap", "Sums", "bootstrap_interval", "count_of", "paired_bootstrap"]
