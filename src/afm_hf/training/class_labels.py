"""The labels of a row, however they are written: names, class numbers, zeros and ones."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch


class Classes:
    """
    All labels of a classifier, and what rows may call them.

    Args:
        labels (`list[str]` or a `ClassLabel` of `datasets`): The names, in the order of the model's classes. Numbers in
            rows count in this order; pass the data set's own `ClassLabel` where it has one.

    Raises:
        ValueError: if a name is there twice, or there is none.
    """

    def __init__(self, labels: Any) -> None:
        names = list(getattr(labels, "names", None) or labels)
        self.numbers = {name: number for number, name in enumerate(names)}
        if len(self.numbers) < len(names):
            raise ValueError(f"{len(names)} labels, of which only {len(self.numbers)} are different.")
        if not names:
            raise ValueError("There are no labels; a classifier needs one or more.")

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, given: Sequence[Any]) -> torch.Tensor:
        """
        The labels of a batch: class numbers, int64 `(batch,)`, or zeros and ones, fp32 `(batch, classes)`.

        Args:
            given (`list`): Of every row one label, or of every row a list of labels.

        Raises:
            ValueError: if a label is none of the classes, or cannot be understood in one way.
        """
        plain = [_plain(one) for one in given]
        several = [isinstance(one, list) for one in plain]
        if any(several) != all(several):
            raise ValueError(
                f"Some rows of a batch have one label and others a list, for example {given[several.index(False)]!r} "
                f"and {given[several.index(True)]!r}; expected the same of all."
            )
        if not several[0]:
            return torch.tensor([self.number(one) for one in plain])
        labels = torch.zeros(len(plain), len(self))
        for line, row in zip(labels, plain, strict=True):
            line[self.several(row)] = 1.0
        return labels

    def number(self, label: Any) -> int:
        """The number of a class that is given by name or number."""
        if isinstance(label, str) and label in self.numbers:
            return self.numbers[label]
        if isinstance(label, int) and not isinstance(label, bool):
            if 0 <= label < len(self):
                return label
            raise ValueError(
                f"A row has the label {label}; the numbers of the {len(self)} classes go from 0 to {len(self) - 1}."
            )
        if not isinstance(label, str):
            raise ValueError(f"A row has the label {label!r}; expected a name, or a number from 0 to {len(self) - 1}.")
        raise ValueError(f"A row has the label {label!r}, which is none of the {len(self)} classes{self._some()}.")

    def several(self, labels: list[Any]) -> list[int]:
        """The numbers of classes that are given as a list: of names, of numbers, or of a zero or one for each class."""
        if all(isinstance(label, str) for label in labels):
            return [self.number(label) for label in labels]
        flags = len(labels) == len(self) and all(not isinstance(label, str) and label in (0, 1) for label in labels)
        numbers = all(isinstance(label, int) and not isinstance(label, bool) for label in labels)
        if flags and numbers and len(set(labels)) == len(labels) and max(labels) < len(self):
            raise ValueError(
                f"The labels {labels} of {len(self)} classes may be class numbers or zeros and ones. Give names, or "
                "zeros and ones as floats or booleans."
            )
        if flags:
            return [number for number, flag in enumerate(labels) if flag]
        if numbers and len(set(labels)) == len(labels):
            return [self.number(label) for label in labels]
        raise ValueError(
            f"A row has the labels {_short(labels)}; expected names, class numbers from 0 to {len(self) - 1}, each "
            f"once, or {len(self)} zeros and ones."
        )

    def _some(self) -> str:
        names = list(self.numbers)
        return f": {', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}"


def _plain(labels: Any) -> Any:
    """Arrays, tensors and other collections as Python's own numbers and lists."""
    if isinstance(labels, np.ndarray | np.generic | torch.Tensor):
        return labels.tolist()
    if isinstance(labels, Sequence | Set) and not isinstance(labels, str | bytes | Mapping):
        return [_plain(label) for label in labels]
    return labels


def _short(labels: list[Any]) -> str:
    return repr(labels) if len(labels) <= 8 else f"{labels[:8]!r} and {len(labels) - 8} more"


__all__ = ["Classes"]
