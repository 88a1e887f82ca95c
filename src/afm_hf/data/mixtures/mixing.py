"""
Several data sets in one: mixed by weights, with `datasets.interleave_datasets`, or put one after the other.

What is drawn is which data set the next row comes from; within a data set rows keep their order, and whoever trains
shuffles them anyway.
"""

import math
from collections.abc import Sequence
from typing import Any

from ..engine import import_datasets

STOPPING = ("all_exhausted", "first_exhausted")


def parse_weights(words: Sequence[str]) -> list[tuple[str, float | None]]:
    """
    Names with their weights: `clotho=0.5 audiocaps=0.3`; without any weight the data sets are put one after the other.

    Raises:
        ValueError: if some have a weight and others not, or one is no positive number.

    Example:
    ```python
    >>> parse_weights(["clotho=0.5", "audiocaps=0.3"])
    [('clotho', 0.5), ('audiocaps', 0.3)]

    ```
    """
    found = []
    for word in words:
        name, sign, number = word.partition("=")
        try:
            weight = float(number) if sign else None
        except ValueError:
            weight = math.nan
        if not name or (weight is not None and not (weight > 0 and math.isfinite(weight))):
            raise ValueError(
                f"A data set with its weight is {word!r}; expected a name and a positive number: clotho=0.5."
            )
        found.append((name, weight))
    if len({weight is None for _, weight in found}) > 1:
        without = [name for name, weight in found if weight is None]
        raise ValueError(
            f"{', '.join(without)} has no weight, but others have. Give one to every data set, or to none."
        )
    return found


class Mixed:
    """
    Rows of several sequences: an index says which of which.

    Args:
        parts: Sequences of rows.
        order: `(part, row)` for every row.
    """

    def __init__(self, parts: Sequence[Any], order: Sequence[tuple[int, int]]) -> None:
        self.parts, self.order = parts, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Any:
        part, row = self.order[index]
        return self.parts[part][row]


def mixed_order(
    sizes: Sequence[int],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    stopping: str = "all_exhausted",
) -> list[tuple[int, int]]:
    """
    Which row of which part comes when.

    Args:
        sizes: Rows of each part.
        weights: How often each part is drawn, in any scale; None: one part after the other, each row once.
        seed: Of the draws.
        stopping: When to end: `"all_exhausted"` (each row is there at least once, those of small parts again and again)
            or `"first_exhausted"` (as soon as a part has been used up; no row is there twice).

    Raises:
        ValueError: for a part without rows, another number of weights, or another way to stop.
    """
    if not sizes or not all(sizes):
        raise ValueError(f"The data sets have {list(sizes)} rows; expected some in each.")
    if stopping not in STOPPING:
        raise ValueError(f"`stopping` is {stopping!r}; expected one of {', '.join(map(repr, STOPPING))}.")
    if weights is None:
        return [(part, row) for part, size in enumerate(sizes) for row in range(size)]
    if len(weights) != len(sizes):
        raise ValueError(f"There are {len(weights)} weights for {len(sizes)} data sets.")
    datasets = import_datasets()
    indices = [
        datasets.Dataset.from_dict({"part": [part] * size, "row": range(size)}) for part, size in enumerate(sizes)
    ]
    shares = [weight / sum(weights) for weight in weights]
    drawn = datasets.interleave_datasets(indices, probabilities=shares, seed=seed, stopping_strategy=stopping)
    return list(zip(drawn["part"], drawn["row"], strict=True))


def mix(
    parts: Sequence[Any],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    stopping: str = "all_exhausted",
) -> Any:
    """
    Several sequences of rows as one; see [`mixed_order`].

    Returns:
        A `datasets.Dataset`, with the columns that any has, if all are; else a [`Mixed`].
    """
    order = mixed_order([len(part) for part in parts], weights, seed, stopping)
    datasets = import_datasets()
    if not all(isinstance(part, datasets.Dataset) for part in parts):
        return Mixed(parts, order)
    starts = [sum(len(before) for before in parts[:index]) for index in range(len(parts))]
    return datasets.concatenate_datasets(list(parts)).select([starts[part] + row for part, row in order])


def mix_streams(
    streams: Sequence[Any],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    stopping: str = "all_exhausted",
) -> Any:
    """
    Several `datasets.IterableDataset` as one, by weights, or one after the other; see [`mixed_order`].

    Raises:
        ValueError: for another number of weights, or another way to stop.
    """
    if stopping not in STOPPING:
        raise ValueError(f"`stopping` is {stopping!r}; expected one of {', '.join(map(repr, STOPPING))}.")
    datasets = import_datasets()
    if weights is None:
        return streams[0] if len(streams) == 1 else datasets.concatenate_datasets(list(streams))
    if len(weights) != len(streams):
        raise ValueError(f"There are {len(weights)} weights for {len(streams)} data sets.")
    shares = [weight / sum(weights) for weight in weights]
    return datasets.interleave_datasets(list(streams), probabilities=shares, seed=seed, stopping_strategy=stopping)


__all__ = ["STOPPING", "Mixed", "mix", "mix_streams", "mixed_order", "parse_weights"]
