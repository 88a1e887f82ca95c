"""
Does a metric of captions prefer what people prefer?

FENSE's protocol, which MACE follows (arXiv 2411.00321): each item has two captions of one clip and a human vote; the
metric is right where it scores the preferred one higher. Items without a preference do not count; a tie of the metric
is wrong. There are four kinds of pairs: HC (two human captions, both right), HI (one of them of another clip), HM
(human and machine) and MM (two machines).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult
from .by_clip import by_clip

CATEGORIES = ("HC", "HI", "HM", "MM")
BLOCK = 250  # items of HC, HI and HM in AudioCaps-Eval and Clotho-Eval; the rest is MM


@dataclass(kw_only=True)
class PairwiseAccuracy(AfmResult):
    """
    Shares of pairs in which metric and people agree, 0 to 1.

    Args:
        accuracy (`float`): Over all pairs with a preference; `None` if there are none.
        categories (`dict[str, float | None]`): Of each kind of pairs.
        counts (`dict[str, int]`): Pairs with a preference of each kind.
        ties (`int`): Pairs that the metric could not decide (counted as wrong).
    """

    accuracy: float | None
    categories: dict[str, float | None]
    counts: dict[str, int]
    ties: int


def official_categories(count: int) -> list[str]:
    """
    The kinds of the items of AudioCaps-Eval and Clotho-Eval, by their order: 250 HC, 250 HI, 250 HM, then MM.

    Example:
    ```python
    >>> kinds = official_categories(1000)
    >>> kinds[249], kinds[250], kinds[749], kinds[750]
    ('HC', 'HI', 'HM', 'MM')

    ```
    """
    return [CATEGORIES[min(place // BLOCK, 3)] for place in range(count)]


def pairwise_accuracy(
    first: Sequence[float | None],
    second: Sequence[float | None],
    human: Sequence[float],
    categories: Sequence[str] | None = None,
) -> PairwiseAccuracy:
    """
    Agreement of a metric with people.

    Args:
        first, second: The metric's scores of the two captions of each item; an item without a score is left out.
        human: The vote: positive if the first is better, negative if the second is, 0 if neither.
        categories: Kind of each item; as in the official files if not given, see [`official_categories`].

    Raises:
        ValueError: the lists differ in length or are empty.

    Example:
    ```python
    >>> result = pairwise_accuracy([0.9, 0.2, 0.5], [0.1, 0.6, 0.4], [1, -2, -1], ["HC", "HI", "HI"])
    >>> round(result.accuracy, 3), result.categories
    (0.667, {'HC': 1.0, 'HI': 0.5})

    ```
    """
    given = {"first": first, "second": second, "human": human, "categories": categories}
    lists = by_clip(**{name: entries for name, entries in given.items() if entries is not None})
    first, second, human = lists["first"], lists["second"], lists["human"]
    kinds = lists.get("categories", official_categories(len(human)))
    lengths = {"first": len(first), "second": len(second), "human": len(human), "categories": len(kinds)}
    if len(set(lengths.values())) > 1 or not kinds:
        raise ValueError(f"The lists have the lengths {lengths}; expected the same, and one item or more.")
    one, other = (np.array([np.nan if x is None else x for x in side], np.float64) for side in (first, second))
    difference, votes = one - other, np.asarray(human, np.float64)
    counted = (votes != 0) & ~np.isnan(difference)
    right = difference * votes > 0
    names = list(dict.fromkeys(kinds))
    masks = {name: counted & (np.array(kinds) == name) for name in names}
    return PairwiseAccuracy(
        accuracy=_share(right, counted),
        categories={name: _share(right, mask) for name, mask in masks.items()},
        counts={name: int(mask.sum()) for name, mask in masks.items()},
        ties=int((counted & (difference == 0)).sum()),
        settings={"left_out": int((~counted).sum())},
    )


def _share(right: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_]) -> float | None:
    return float(right[mask].mean()) if mask.any() else None
