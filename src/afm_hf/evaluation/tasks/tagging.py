"""
F1 and mean average precision of labels, as the tasks of labelled clips share them.

F1 of DCASE 2017: the papers say neither the average nor the threshold. Here the likeliest label is what a model says of
a clip, and F1 is taken over all decisions (micro), as the challenge does; a model that guesses then reaches about 1/17,
which is the "random" row of the CLAP 2022 paper (0.05).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..bootstrap import Sums
from ..metrics.accuracy import tagging_scores
from ..task import Record

Bools = npt.NDArray[np.bool_]


def present_labels(records: Sequence[Record], labels: Sequence[str]) -> Bools:
    """Which labels clips have, `(clips, labels)`; of `labels`, a list, or of `label`."""
    truths = [record.item.truth for record in records]
    of_clips = [truth["labels"] if "labels" in truth else [str(truth["label"])] for truth in truths]
    return np.array([[label in own for label in labels] for own in of_clips])


def likeliest(scores: npt.ArrayLike) -> Bools:
    """The one label of the highest score of each clip, `(clips, labels)`."""
    numbers = np.asarray(scores)
    return np.arange(numbers.shape[1]) == numbers.argmax(axis=1)[:, None]


def f1_figures(present: Bools, chosen: Bools) -> dict[str, float]:
    """F1 over all decisions, and the mean over the labels that a clip has or that are said of one."""
    right, said, true = ((each).sum(axis=0) for each in (present & chosen, chosen, present))
    used = (said + true) > 0
    by_label = 2 * right[used] / (said + true)[used]
    return {"F1": float(_f1(_counts(present, chosen).sum(axis=0))), "macro F1": float(by_label.mean())}


def f1_sums(present: Bools, chosen: Bools) -> Sums:
    """The counts of each clip that F1 over all decisions comes from."""
    return Sums(_counts(present, chosen), _f1)


def mean_average_precision(present: Bools, scores: npt.ArrayLike) -> float:
    """Over the labels that a clip has."""
    return tagging_scores(present, scores).mean_average_precision


def _counts(present: Bools, chosen: Bools) -> npt.NDArray[np.float64]:
    """Right, said and true labels of each clip, `(clips, 3)`."""
    return np.stack([(present & chosen).sum(axis=1), chosen.sum(axis=1), present.sum(axis=1)], axis=1).astype(float)


def _f1(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    made: npt.NDArray[np.float64] = 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)
    return made


__all__ = ["f1_figures", "f1_sums", "likeliest", "mean_average_precision", "present_labels"]
