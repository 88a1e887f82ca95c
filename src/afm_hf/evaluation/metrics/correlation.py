"""
Pearson's, Spearman's and Kendall's correlation with bootstrap intervals.

A resample of n pairs is a vector of n weights: how often each pair was drawn. All three statistics are written for
weights, so that thousands of resamples are a few matrix products; weights of one give the plain statistic. Spearman
takes mean ranks for ties, Kendall is tau-b: what scipy computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float] | None

ROWS = 512  # rows of the n x n matrix of Kendall's signs that are held at a time


@dataclass(kw_only=True)
class Correlation(AfmResult):
    """
    How two lists of numbers go together; `None` where one of them is constant.

    Args:
        count (`int`): Pairs.
        pearson, spearman, kendall (`float`): The three statistics, -1 to 1.
        pearson_interval, spearman_interval, kendall_interval (`tuple[float, float]`):
            Percentile bootstrap interval of each.
    """

    count: int
    pearson: float | None
    pearson_interval: Interval
    spearman: float | None
    spearman_interval: Interval
    kendall: float | None
    kendall_interval: Interval


def correlate(
    first: Sequence[float] | Floats,
    second: Sequence[float] | Floats,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Correlation:
    """
    Correlations of two lists, with intervals by drawing pairs with replacement.

    Resamples in which a list is constant have no correlation; they are left out.

    Args:
        first, second: Numbers, pair by pair.
        resamples: Draws for the intervals; 0 for none.
        confidence: Share of the draws inside of the interval.
        seed: Of the draws.

    Raises:
        ValueError: the lists differ in length, have fewer than 3 pairs or hold what is no finite number.

    Example:
    ```python
    >>> result = correlate([0.1, 0.4, 0.35, 0.8], [1, 3, 2, 5])
    >>> [round(value, 3) for value in (result.pearson, result.spearman, result.kendall)]
    [0.985, 1.0, 1.0]

    ```
    """
    x, y = _checked(first, second)
    if resamples < 0 or not 0 < confidence < 1:
        raise ValueError(
            f"`resamples` is {resamples} and `confidence` {confidence}; expected 0 or more, and one between 0 and 1."
        )
    draws = _draws(len(x), resamples, seed)
    found: dict[str, Any] = {}
    for name, statistic in (("pearson", pearson), ("spearman", spearman), ("kendall", kendall)):
        value = float(statistic(x, y, np.ones((1, len(x))))[0])
        found[name] = None if np.isnan(value) else value
        found[f"{name}_interval"] = _interval(statistic(x, y, draws), confidence)
    settings = {"resamples": resamples, "confidence": confidence, "seed": seed}
    return Correlation(count=len(x), **found, settings=settings)


def bootstrap_mean(
    values: Sequence[float] | Floats, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """
    Percentile bootstrap interval of the mean of some numbers.

    Raises:
        ValueError: there are none.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(f"Expected a list of numbers, but its shape is {numbers.shape}.")
    means = _draws(len(numbers), resamples, seed) @ numbers / len(numbers)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Pearson's correlation for each row of weights `(draws, n)`: `(draws,)`, NaN where a side is constant."""
    return _weighted_pearson(np.broadcast_to(x, weights.shape), np.broadcast_to(y, weights.shape), weights)


def spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Spearman's correlation: Pearson's of the ranks that the pairs have within each resample."""
    return _weighted_pearson(_ranks(x, weights), _ranks(y, weights), weights)


def kendall(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Kendall's tau-b: concordant minus discordant pairs over the geometric mean of the pairs that are no ties."""
    sums = np.zeros((3, len(weights)))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        signs_x = np.sign(x[rows, None] - x[None])  # (rows, n)
        signs_y = np.sign(y[rows, None] - y[None])
        for total, signs in zip(sums, (signs_x * signs_y, np.abs(signs_x), np.abs(signs_y)), strict=True):
            total += (weights[:, rows] * (weights @ signs.T)).sum(axis=1)
    return _divide(sums[0], np.sqrt(sums[1]) * np.sqrt(sums[2]))


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Mean rank of each value within each resample, `(draws, n)`."""
    order = np.argsort(values, kind="stable")
    _, starts, groups = np.unique(values[order], return_index=True, return_inverse=True)
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)  # (draws, different values)
    middle = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = middle[:, groups]
    return ranks


def _weighted_pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """`(draws, n)` each -> `(draws,)`."""
    # A constant list leaves a spread of rounding errors, which must not pass for a correlation.
    constant = _is_constant(x, weights) | _is_constant(y, weights)
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(axis=1)) * np.sqrt((weights * y * y).sum(axis=1))
    result = _divide((weights * x * y).sum(axis=1), spread)
    return np.where(constant, np.nan, np.clip(result, -1, 1))


def _is_constant(values: Floats, weights: Floats) -> npt.NDArray[np.bool_]:
    drawn = weights > 0
    highest = np.where(drawn, values, -np.inf).max(axis=1)
    return highest == np.where(drawn, values, np.inf).min(axis=1)


def _divide(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _draws(count: int, resamples: int, seed: int) -> Floats:
    """Resamples as weights `(resamples, count)`."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def _interval(values: Floats, confidence: float) -> Interval:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _checked(first: Any, second: Any) -> tuple[Floats, Floats]:
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"The lists have shapes {x.shape} and {y.shape}; expected two lists of the same length.")
    if len(x) < 3:
        raise ValueError(f"A correlation needs 3 pairs or more, but there are {len(x)}.")
    for name, values in (("first", x), ("second", y)):
        if not np.isfinite(values).all():
            place = int(np.argmin(np.isfinite(values)))
            raise ValueError(f"The {name} list holds {values[place]} at place {place}; expected finite numbers.")
    return x, y
