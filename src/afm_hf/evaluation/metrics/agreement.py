"""
How far people agree: Krippendorff's alpha, for any number of raters, missing ratings, and names, ranks or numbers.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). 1 is full agreement, 0 what chance would give,
below 0 less than that. `krippendorff` on PyPI is under the GPL, which would bind this package; the figures here are
tested against those of the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult

LEVELS = ("nominal", "ordinal", "interval")
Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class Agreement(AfmResult):
    """
    Agreement of raters on items.

    Args:
        alpha (`float`): Krippendorff's alpha; not a number where all ratings are the same, for then there is nothing
            to tell apart.
        low, high (`float`): Its 95 % bootstrap interval over the items; not numbers where there is none.
        exact (`float`): Share of pairs of ratings of one item that are the same.
        near (`float`): Share of them that differ by 1 at most.
        raters, count (`int`): How many gave a rating; items with two or more ratings.
    """

    alpha: float
    low: float
    high: float
    exact: float
    near: float
    raters: int
    count: int


def krippendorff_alpha(ratings: npt.ArrayLike, level: str = "ordinal") -> float:
    """
    Krippendorff's alpha.

    Args:
        ratings: `(raters, items)`; not a number where a rater gave none. Names are numbers here, as 0, 1, 2.
        level (`str`): What ratings are: `"nominal"` (names), `"ordinal"` (ranks), `"interval"` (numbers).

    Returns:
        The alpha; not a number where all ratings are the same.

    Raises:
        ValueError: an unknown level, another shape, or no item has two ratings.

    Example:
    ```python
    >>> round(krippendorff_alpha([[1, 2, 3, 3, 2], [1, 2, 3, 3, 2], [1, 2, 3, 3, 1]]), 3)
    0.924

    ```
    """
    if level not in LEVELS:
        raise ValueError(f"`level` is {level!r}; expected one of {', '.join(LEVELS)}.")
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"`ratings` has the shape {table.shape}; expected (raters, items).")
    values, counts = _counts(table)
    if not (counts.sum(axis=1) > 1).any():
        raise ValueError(f"No item of {table.shape[1]} has two ratings; agreement needs two or more of one.")
    return _alpha(counts, values, level)


def agreement(ratings: npt.ArrayLike, level: str = "ordinal", *, resamples: int = 1000, seed: int = 0) -> Agreement:
    """
    Alpha with its interval, and how often two raters say the same.

    Args:
        ratings, level: As of [`krippendorff_alpha`].
        resamples (`int`), seed (`int`): Of the bootstrap over the items; 0 resamples leave out the interval.

    Raises:
        ValueError: as there.
    """
    table = np.asarray(ratings, dtype=np.float64)
    alpha = krippendorff_alpha(table, level)
    values, counts = _counts(table)
    counts = counts[counts.sum(axis=1) > 1]
    generator = np.random.default_rng(seed)
    drawn = [_alpha(counts[generator.integers(0, len(counts), len(counts))], values, level) for _ in range(resamples)]
    known = [each for each in drawn if np.isfinite(each)]
    low, high = np.percentile(known, [2.5, 97.5]) if known and len(counts) > 1 else (np.nan, np.nan)
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(len(values)) * counts[:, :, None]
    pairs = pairs.sum(axis=0)  # ordered pairs of ratings of one item, (values, values)
    far = np.abs(values[:, None] - values[None, :])
    return Agreement(
        alpha=alpha,
        low=float(low),
        high=float(high),
        exact=float(pairs[far == 0].sum() / pairs.sum()),
        near=float(pairs[far <= 1].sum() / pairs.sum()),
        raters=int(np.isfinite(table).any(axis=1).sum()),
        count=len(counts),
        settings={"level": level, "resamples": resamples, "seed": seed},
    )


def _counts(table: Floats) -> tuple[Floats, Floats]:
    """The values that occur, and how often each item has each, `(items, values)`."""
    values = np.unique(table[np.isfinite(table)])
    return values, np.array([(table == value).sum(axis=0) for value in values], dtype=np.float64).T.reshape(
        table.shape[1], len(values)
    )


def _alpha(counts: Floats, values: Floats, level: str) -> float:
    """Of the counts of each value for each item: 1 less observed over expected disagreement."""
    several = counts[counts.sum(axis=1) > 1]
    per_item = several.sum(axis=1)[:, None, None] - 1
    pairs = several[:, :, None] * several[:, None, :] - np.eye(len(values)) * several[:, :, None]
    observed = (pairs / per_item).sum(axis=0)  # the coincidence matrix, (values, values)
    totals = observed.sum(axis=1)
    distance = _distances(values, totals, level)
    expected = float(totals @ distance @ totals / (totals.sum() - 1))
    return float("nan") if expected == 0 else 1 - float((observed * distance).sum()) / expected


def _distances(values: Floats, totals: Floats, level: str) -> Floats:
    """Squared distances of the values, `(values, values)`."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values[None, :]) ** 2
    upto = np.cumsum(totals) - totals / 2  # ranks between two values: all in between, and half of both
    return (upto[:, None] - upto[None, :]) ** 2


def by_rater_and_item(rows: Sequence[tuple[str, str, float]]) -> tuple[list[str], list[str], Floats]:
    """
    A table of ratings from single ones.

    Args:
        rows: Rater, item and rating.

    Returns:
        Raters, items, and the ratings `(raters, items)`, not a number where there is none.

    Raises:
        ValueError: a rater has rated an item twice.
    """
    raters = list(dict.fromkeys(rater for rater, _, _ in rows))
    items = list(dict.fromkeys(item for _, item, _ in rows))
    table = np.full((len(raters), len(items)), np.nan)
    for rater, item, rating in rows:
        place = raters.index(rater), items.index(item)
        if np.isfinite(table[place]):
            raise ValueError(f"{rater!r} has rated {item!r} twice.")
        table[place] = rating
    return raters, items, table


__all__ = ["Agreement", "agreement", "by_rater_and_item", "krippendorff_alpha"]
