"""
Audio Entailment: thresholds and probes are fitted here, and the figures of the paper are counted.

Deshmukh et al., AAAI 2025 (arXiv 2407.18062). The paper gives contrastive models two increasing thresholds on the
similarity, and trains linear probes on Clotho Entailment. On which split the thresholds were chosen and by which
figure, and the probe's decay, are not known; what is here (any labelled pairs, macro-F1, logistic regression) is ours.
A probe on the hypothesis alone says how much of a data set can be answered without listening.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..entailment.entailment_labels import (
    CONTRADICTION,
    ENTAILMENT,
    LABELS,
    NEUTRAL,
    AudioEntailmentResult,
    EntailmentProbe,
    EntailmentThresholds,
    as_probe_inputs,
    probe_features,
)
from ..models.common.results_afm import AfmResult
from .logistic import fit_logistic

METRICS = ("macro_f1", "accuracy")


@dataclasses.dataclass(kw_only=True)
class EntailmentMetrics(AfmResult):
    """
    How well labels were found.

    Args:
        accuracy (`float`): Share of the pairs with the right label; a pair without an answer is wrong.
        precision, recall, f1 (`float`): Means over the three labels (macro); 0 for a label that never occurs.
        pairs (`int`): How many pairs there were.
        unanswered (`int`): Those of them with an answer that names no label.
        per_label (`dict[str, dict[str, float]]`): Precision, recall and F1 of each label.
        confusion (`list[list[int]]`):
            Pairs by true label (rows) and found label (columns): entailment, neutral, contradiction, no answer.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    pairs: int
    unanswered: int
    per_label: dict[str, dict[str, float]]
    confusion: list[list[int]]


def entailment_metrics(
    labels: Sequence[str], predictions: Sequence[str | AudioEntailmentResult | None], **settings: Any
) -> EntailmentMetrics:
    """
    Accuracy, macro precision, recall and F1, and the confusion matrix.

    Args:
        labels (`list[str]`): The true label of each pair.
        predictions (`list`): What was found: a label, None for no answer, or the pipeline's result.
        settings (*optional*): What the result shall say of itself; by default the settings of the first prediction.

    Raises:
        ValueError: if labels and predictions are not as many, there are none, or one is unknown.

    Example:
    ```python
    >>> metrics = entailment_metrics(["entailment", "neutral"], ["entailment", None])
    >>> metrics.accuracy, metrics.unanswered, round(metrics.f1, 3)
    (0.5, 1, 0.333)

    ```
    """
    first = predictions[0] if len(predictions) else None
    if isinstance(first, AudioEntailmentResult):
        settings = {**first.settings, **settings}
    found = [item.label if isinstance(item, AudioEntailmentResult) else item for item in predictions]
    truth = _label_indices(labels, len(found), "predictions")
    for index, label in enumerate(found):
        if label is not None and label not in LABELS:
            raise ValueError(f"predictions[{index}] is {label!r}; expected one of {', '.join(LABELS)}, or None.")
    columns = [len(LABELS) if label is None else LABELS.index(label) for label in found]
    confusion = np.zeros((len(LABELS), len(LABELS) + 1), dtype=int)
    np.add.at(confusion, (truth, np.array(columns)), 1)
    hits = confusion.diagonal()
    precision, recall = _share(hits, confusion.sum(0)[:-1]), _share(hits, confusion.sum(1))
    f1 = _share(2 * hits, confusion.sum(0)[:-1] + confusion.sum(1))
    figures = zip(LABELS, precision.tolist(), recall.tolist(), f1.tolist(), strict=True)
    return EntailmentMetrics(
        accuracy=float(hits.sum() / len(truth)),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        pairs=len(truth),
        unanswered=int(confusion[:, -1].sum()),
        per_label={label: {"precision": p, "recall": r, "f1": f} for label, p, r, f in figures},
        confusion=confusion.tolist(),
        settings=settings,
    )


def fit_thresholds(
    similarities: Sequence[float | AudioEntailmentResult] | np.ndarray | torch.Tensor,
    labels: Sequence[str],
    metric: str = "macro_f1",
    **settings: Any,
) -> EntailmentThresholds:
    """
    The two thresholds that are best on labelled pairs; all possible ones are compared.

    A threshold lies in the middle between two neighbouring similarities. Pairs with the same similarity get the same
    label.

    Args:
        similarities (`list`):
            Of each pair, or the results of the pipeline with `scoring="similarity"`, whose settings are then kept.
        labels (`list[str]`): The true label of each.
        metric (`str`, *optional*, defaults to `"macro_f1"`): What is to be highest: `"macro_f1"` or `"accuracy"`.
        settings (*optional*): What the thresholds shall say of themselves: `model`, `premise`, the data.

    Raises:
        ValueError: if similarities and labels are not as many, there are none, or one is no number or label.

    Example:
    ```python
    >>> labels = ["contradiction", "neutral", "neutral", "entailment"]
    >>> thresholds = fit_thresholds([0.0, 0.25, 0.5, 1.0], labels)
    >>> thresholds.low, thresholds.high, thresholds.settings["macro_f1"]
    (0.125, 0.75, 1.0)

    ```
    """
    if metric not in METRICS:
        raise ValueError(f"`metric` is {metric!r}; expected one of {', '.join(map(repr, METRICS))}.")
    first = similarities[0] if len(similarities) else None
    if isinstance(first, AudioEntailmentResult):
        settings = {**{name: value for name, value in first.settings.items() if name != "scoring"}, **settings}
    values = _as_numbers(similarities)
    targets = _label_indices(labels, len(values), "similarities")
    order = np.argsort(values, kind="stable")
    values, targets = values[order], targets[order]
    # How many pairs may lie below a threshold: those with the same similarity stay together.
    below = np.concatenate([[0], np.flatnonzero(np.diff(values) > 0) + 1, [len(values)]])
    counts = np.stack([np.concatenate([[0], np.cumsum(targets == index)]) for index in range(len(LABELS))])
    find = _most_correct if metric == "accuracy" else _best_macro_f1
    low, high = (int(below[place]) for place in find(counts[:, below], below))
    thresholds = EntailmentThresholds(low=_between(values, low), high=_between(values, high))
    reached = entailment_metrics([LABELS[i] for i in targets], [thresholds.label(value) for value in values])
    fit = {"metric": metric, "macro_f1": reached.f1, "accuracy": reached.accuracy, "pairs": reached.pairs}
    thresholds.settings = {**settings, **fit}
    return thresholds


def fit_entailment_probe(
    embeddings: Mapping[str, torch.Tensor],
    labels: Sequence[str],
    inputs: Sequence[str] = ("audio", "hypothesis"),
    product: bool = False,
    l2: float = 0.01,
    steps: int = 200,
    **settings: Any,
) -> EntailmentProbe:
    """
    A linear probe on frozen embeddings, by logistic regression.

    Args:
        embeddings (`dict[str, torch.Tensor]`): Of `"audio"`, `"hypothesis"`, `"caption"`, float32 `(pairs, dim)`, as
            the pipeline's `embed` gives them.
        labels (`list[str]`): The label of each pair.
        inputs (`tuple[str, ...]`, *optional*, defaults to `("audio", "hypothesis")`):
            What the probe reads side by side. `("audio", "hypothesis", "caption")` is the probe with a caption,
            `("hypothesis",)` the baseline that does not listen.
        product (`bool`, *optional*, defaults to `False`):
            Whether it also reads the products of hypothesis and premises. Without them a linear probe cannot compare
            the two: it adds up what each says for itself.
        l2 (`float`, *optional*, defaults to 0.01): Weight decay on standardised features.
        steps (`int`, *optional*, defaults to 200): Most steps of L-BFGS.
        settings (*optional*): What the probe shall say of itself.

    Returns:
        [`EntailmentProbe`], for the pipeline's `probe` or by itself.

    Raises:
        ValueError: if embeddings and labels are not as many, or an input is missing or unknown.
    """
    names = as_probe_inputs(inputs)
    features = probe_features(embeddings, names, product)
    targets = torch.from_numpy(_label_indices(labels, len(features), "embeddings")).to(features.device)
    weight, bias, losses = fit_logistic(features, targets, len(LABELS), l2, steps)
    fit = {"l2": l2, "steps": steps, "pairs": len(features), "loss": losses[-1]}
    return EntailmentProbe(weight.cpu(), bias.cpu(), names, product, {**settings, **fit})


# ---------------------------------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------------------------------


def _label_indices(labels: Sequence[str], count: int, what: str) -> np.ndarray:
    """The labels as indices of `LABELS`."""
    if len(labels) != count:
        raise ValueError(f"There are {len(labels)} labels, but {count} {what}; give one label for every pair.")
    if not count:
        raise ValueError("There are no pairs.")
    for index, label in enumerate(labels):
        if label not in LABELS:
            raise ValueError(f"labels[{index}] is {label!r}; expected one of {', '.join(LABELS)}.")
    return np.array([LABELS.index(label) for label in labels])


def _as_numbers(similarities: Any) -> np.ndarray:
    """Similarities as float64 `(pairs,)`."""
    if isinstance(similarities, torch.Tensor):
        similarities = similarities.detach().cpu().numpy()
    values = [item.similarity if isinstance(item, AudioEntailmentResult) else item for item in similarities]
    for index, value in enumerate(values):
        if not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise ValueError(f"similarities[{index}] is {value!r}; expected a finite number.")
    return np.array(values, dtype=np.float64)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)


def _between(values: np.ndarray, below: int) -> float:
    """A threshold with the first `below` of the sorted values below it, in the middle between two of them."""
    if below == 0:
        return float(min(values[0], -1.0))
    if below == len(values):
        return float(max(values[-1], 1.0) + 1.0)
    middle = float(values[below - 1] + (values[below] - values[below - 1]) / 2)
    return middle if middle > values[below - 1] else float(values[below])  # neighbours in float64


def _most_correct(counts: np.ndarray, below: np.ndarray) -> tuple[int, int]:
    """
    The places of both cuts with the most pairs right.

    Right are the contradictions below the first cut `i`, the neutral pairs between, the entailments above the second
    `j`. For each `j` the best `i` up to it is a running maximum.
    """
    entailment, neutral, contradiction = counts
    gain = contradiction - neutral
    best = np.maximum.accumulate(gain)
    high = int(np.argmax(best + neutral - entailment))
    return int(np.argmax(gain[: high + 1])), high


def _best_macro_f1(counts: np.ndarray, below: np.ndarray) -> tuple[int, int]:
    """
    The places of both cuts with the highest macro-F1.

    F1 of contradiction depends on the first cut `i` alone, that of entailment on the second, `j`. First cuts are tried
    by an upper bound of what they can reach (all the neutral pairs above and nothing else between), and the search ends
    where no bound is above the best that was found.
    """
    entailment, neutral, contradiction = counts
    total = counts[:, -1]
    everything = below[-1]
    first = _share(2 * contradiction, below + total[2])
    last = _share(2 * (total[0] - entailment), everything - below + total[0])
    left = total[1] - neutral
    bound = first + np.maximum.accumulate(last[::-1])[::-1] + _share(2 * left, left + total[1])
    best, places = -1.0, (0, 0)
    for i in np.argsort(-bound, kind="stable"):
        if bound[i] <= best:
            break
        middle = _share(2 * (neutral[i:] - neutral[i]), below[i:] - below[i] + total[1])
        reached = first[i] + middle + last[i:]
        j = int(np.argmax(reached))
        if reached[j] > best:
            best, places = float(reached[j]), (int(i), int(i) + j)
    return places


__all__ = [
    "CONTRADICTION",
    "ENTAILMENT",
    "LABELS",
    "NEUTRAL",
    "EntailmentMetrics",
    "EntailmentThresholds",
    "entailment_metrics",
    "fit_entailment_probe",
    "fit_thresholds",
]
