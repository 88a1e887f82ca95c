"""Classification and tagging: thin checks around scikit-learn, which the extra `eval` brings."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult
from .by_clip import by_clip

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(kw_only=True)
class ClassificationScores(AfmResult):
    """
    How often the right class was chosen.

    Args:
        accuracy, macro_precision, macro_recall, macro_f1 (`float`): 0 to 1; macro is the mean over `labels`.
        labels (`list[str]`): The classes.
        per_class (`dict[str, dict[str, float]]`): `precision`, `recall`, `f1` and `support` (items) of each class.
        confusion (`np.ndarray`): int64 `(labels, labels)`: items of the class of the row taken for that of the column.
        outside (`int`): Predictions that are none of the labels, or None; they are wrong.
        count (`int`): All of them.
    """

    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    labels: list[str]
    per_class: dict[str, dict[str, float]]
    confusion: npt.NDArray[np.int64]
    outside: int
    count: int

    def matrix(self) -> dict[str, Any]:
        """Labels, confusions and figures of each label, as the details of a result hold them."""
        return {"labels": self.labels, "confusion": self.confusion.tolist(), "per_class": self.per_class}


@dataclasses.dataclass(kw_only=True)
class TaggingScores(AfmResult):
    """
    How well scores order the clips of each class.

    Args:
        mean_average_precision (`float`): Over the classes that have a clip, 0 to 1.
        average_precision (`np.ndarray`): Of each class, float64 `(classes,)`; NaN for a class without clips.
        without_clips (`list[int]`): Those classes.
        micro_f1, macro_f1 (`float`, *optional*): With a threshold: over all decisions, and the mean over classes.
        count (`int`): Clips.
    """

    mean_average_precision: float
    average_precision: Floats
    without_clips: list[int]
    micro_f1: float | None = None
    macro_f1: float | None = None
    count: int


def classification_scores(
    targets: Sequence[str], predictions: Sequence[str | None], labels: Sequence[str] | None = None
) -> ClassificationScores:
    """
    Accuracy, macro figures and confusions of one class for each item.

    Args:
        targets: The right class of each item.
        predictions: The chosen one; None for none. Both may be dictionaries by item.
        labels: The classes, which macro figures are means over; by default all that occur, as scikit-learn has it.

    Raises:
        ValueError: there are no items, other numbers or items of the two, or a target that is none of the labels.
        ImportError: scikit-learn is missing.

    Example:
    ```python
    >>> result = classification_scores(["dog", "dog", "rain"], ["dog", "rain", None])
    >>> round(result.accuracy, 3), round(result.macro_f1, 3), result.outside
    (0.333, 0.333, 1)

    ```
    """
    targets, predictions = by_clip(targets=targets, predictions=predictions).values()
    _check_lengths(targets, predictions)
    names = list(labels) if labels is not None else sorted({*targets, *(p for p in predictions if p is not None)})
    unknown = sorted(set(targets) - set(names))
    if unknown or len(set(names)) != len(names):
        raise ValueError(f"The targets {unknown} are not among the labels {names}, of which each may stand once.")
    number = {name: index for index, name in enumerate(names)}
    true = np.array([number[name] for name in targets])
    chosen = np.array([number.get(name, -1) if name is not None else -1 for name in predictions])

    indices = list(range(len(names)))
    precision, recall, f1, support = _sklearn().precision_recall_fscore_support(
        true, chosen, labels=indices, zero_division=0
    )
    confusion = _sklearn().confusion_matrix(true, chosen, labels=[*indices, -1])[:-1, :-1]
    return ClassificationScores(
        accuracy=float((true == chosen).mean()),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
        labels=names,
        per_class={
            name: {
                "precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for name, i in number.items()
        },
        confusion=confusion,
        outside=int((chosen == -1).sum()),
        count=len(true),
    )  # fmt: skip


def tagging_scores(targets: npt.ArrayLike, scores: npt.ArrayLike, threshold: float | None = None) -> TaggingScores:
    """
    Mean average precision, and F1 at a threshold, of clips with one class or several.

    Args:
        targets: 0 or 1 for each clip and class, `(clips, classes)`; or the number of the one class of each, `(clips,)`.
        scores: Any numbers that are higher for likelier classes, `(clips, classes)`.
        threshold: A class is taken to be there from this score on; None for no F1.

    Raises:
        ValueError: the two do not fit together, hold what is no finite number, or no class has a clip.
        ImportError: scikit-learn is missing.

    Example:
    ```python
    >>> result = tagging_scores([[1, 0], [0, 1], [1, 1]], [[0.9, 0.2], [0.3, 0.8], [0.2, 0.7]], threshold=0.5)
    >>> round(result.mean_average_precision, 3), round(result.micro_f1, 3)
    (0.917, 0.857)

    ```
    """
    numbers = np.asarray(scores, dtype=np.float64)
    true = _one_hot(np.asarray(targets), numbers)
    with_clips = np.flatnonzero(true.any(0))
    average = np.full(numbers.shape[1], np.nan)
    for index in with_clips:
        average[index] = _sklearn().average_precision_score(true[:, index], numbers[:, index])
    result = TaggingScores(
        mean_average_precision=float(np.nanmean(average)),
        average_precision=average,
        without_clips=sorted(set(range(numbers.shape[1])) - set(with_clips.tolist())),
        count=len(numbers),
        settings={"threshold": threshold},
    )
    if threshold is not None:
        chosen = numbers >= threshold
        result.micro_f1 = float(_sklearn().f1_score(true, chosen, average="micro", zero_division=0))
        result.macro_f1 = float(_sklearn().f1_score(true, chosen, average="macro", zero_division=0))
    return result


def _one_hot(targets: npt.NDArray[Any], scores: Floats) -> npt.NDArray[np.bool_]:
    """Whether a clip has a class, `(clips, classes)`; checks both arrays."""
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"Got scores of shape {scores.shape}; expected finite numbers of shape (clips, classes).")
    if targets.ndim == 1 and len(targets) == len(scores) and np.issubdtype(targets.dtype, np.integer):
        if targets.min() < 0 or targets.max() >= scores.shape[1]:
            raise ValueError(
                f"Got classes from {targets.min()} to {targets.max()}, but scores for 0 to {scores.shape[1] - 1}."
            )
        return np.arange(scores.shape[1]) == targets[:, None]
    if targets.shape != scores.shape or not np.isin(targets, (0, 1)).all():
        raise ValueError(
            f"Got targets of shape {targets.shape} and scores of shape {scores.shape}; expected 0 or 1 for each score, "
            "or the number of one class for each clip."
        )
    if not targets.any():
        raise ValueError("No class has a clip: an average precision is not defined.")
    return targets.astype(bool)


def _check_lengths(targets: Sequence[object], predictions: Sequence[object]) -> None:
    if len(targets) != len(predictions) or not len(targets):
        raise ValueError(f"Got {len(targets)} targets and {len(predictions)} predictions; expected one for each item.")


def _sklearn() -> Any:
    try:
        import sklearn.metrics
    except ImportError as error:
        raise ImportError(
            "These metrics need scikit-learn (the extra `eval`): run `pip install scikit-learn`."
        ) from error
    return sklearn.metrics


__all__ = ["ClassificationScores", "TaggingScores", "classification_scores", "tagging_scores"]
