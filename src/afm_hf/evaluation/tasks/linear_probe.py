"""Linear probe: a classifier on frozen CLAP embeddings, over the official folds or parts (CLAP 2022, Table 6)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...adaptation.logistic import fit_logistic, fit_logistic_tags
from ..metrics.accuracy import ClassificationScores, classification_scores
from ..task import SHOWN, Item, Record
from .retrieval import RetrievalTask
from .tagging import f1_figures, f1_sums, likeliest, mean_average_precision, present_labels

TRAIN, TEST = "train", "test"
OUR_FOLDS = 5


class LinearProbeTask(RetrievalTask):
    """
    A linear classifier on CLAP's embeddings; `label` (or `labels`) and `fold` of an item.

    Clips of each fold are judged by the classifier that was trained on all other folds; those of the fold `"train"` are
    trained on and never judged. Embeddings are the predictions; the classifiers are fitted by [`score`], to the same
    figures every time. The papers' probes have one or three layers trained by Adam for 30 epochs
    (`examples/train_classifier.py`); this is the convex one, which has no learning rate to choose.

    Args:
        pipe ([`ZeroShotAudioClassificationPipeline`]): With its model, a CLAP.
        labels (`list[str]`, *optional*): All labels, where a clip has several; else those that occur.
        multi_label (`bool`): Whether the truth of an item is `labels`, a list, and not `label`.
        metric (`str`, *optional*):
            The one that the papers give, where it is not accuracy, or mAP of several labels: with `"accuracy"` and
            several labels, whether the likeliest is one of the clip's, beside F1 and mAP.
        l2 (`float`): Weight decay on standardised embeddings.
        learn_from (`dict[str, list[str]]`, *optional*): For each fold the ids of the items that its classifier learns
            from; all that are outside of it if not given.
        options: As of [`RetrievalTask`].
    """

    name = "linear-probe"

    def __init__(
        self,
        pipe: Any,
        labels: Sequence[str] = (),
        *,
        multi_label: bool = False,
        metric: str | None = None,
        l2: float = 0.1,
        learn_from: Mapping[str, Collection[str]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pipe, **options)
        self.learn_from = None if learn_from is None else {fold: frozenset(ids) for fold, ids in learn_from.items()}
        self.labels, self.multi_label, self.l2 = list(labels), multi_label, l2
        self.main_metric = metric or ("mAP" if multi_label else "accuracy")
        self._judged: tuple[list[Record], np.ndarray] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Model, windows policy, weight decay."""
        chosen = {} if self.learn_from is None else {fold: sorted(ids) for fold, ids in self.learn_from.items()}
        part = {"learn_from": chosen} if chosen else {}
        return {**super().settings, "l2": self.l2, "multi_label": self.multi_label, **part}

    def learns_from(self, item: Item, fold: str) -> bool:
        """Whether the classifier that judges a fold learns from an item."""
        chosen = self.learn_from is None or item.id in self.learn_from.get(fold, ())
        return chosen and str(item.truth["fold"]) != fold

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy and macro F1 over the judged clips; mean average precision where a clip has several labels."""
        judged, scores = self._scores(records)
        if self.multi_label:
            present = present_labels(judged, self.labels)
            ranked = {"mAP": mean_average_precision(present, scores)}
            if self.main_metric != "accuracy":
                return ranked
            chosen = likeliest(scores)
            return {"accuracy": float((present & chosen).any(axis=1).mean()), **f1_figures(present, chosen), **ranked}
        figures = self._figures(judged, scores)
        return {"accuracy": figures.accuracy, "macro F1": figures.macro_f1}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each judged clip is right; the classifiers are not fitted anew."""
        judged, scores = self._scores(records)
        if self.multi_label and self.main_metric == "accuracy":
            present, chosen = present_labels(judged, self.labels), likeliest(scores)
            return {"accuracy": (present & chosen).any(axis=1), "F1": f1_sums(present, chosen)}
        if self.multi_label:
            return {}
        names = self._names(records)
        best = scores.argmax(axis=1)
        return {"accuracy": [_label(record) == names[i] for record, i in zip(judged, best, strict=True)]}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Confusion matrix and figures of each label; some labels; how many clips were trained on alone."""
        judged, scores = self._scores(records)
        counts = {"judged": len(judged), "trained on alone": len(records) - len(judged)}
        if self.multi_label:
            return {"clips": counts}
        said = [self._known[i] for i in scores[:SHOWN].argmax(axis=1)]
        examples = [
            {"id": record.item.id, "said": label, "right": _label(record)}
            for record, label in zip(judged, said, strict=False)
        ]
        return {**self._figures(judged, scores).matrix(), "clips": counts, "examples": examples}

    def _figures(self, judged: Sequence[Record], scores: np.ndarray) -> ClassificationScores:
        names = self._names(judged) if self.labels else self._known
        return classification_scores([_label(r) for r in judged], [names[i] for i in scores.argmax(axis=1)], names)

    def _names(self, records: Sequence[Record]) -> list[str]:
        return self.labels or sorted({_label(record) for record in records})

    def _scores(self, records: Sequence[Record]) -> tuple[list[Record], np.ndarray]:
        """The clips that are judged, and the logit of each label, `(clips, labels)`."""
        folds = np.array([str(record.item.truth["fold"]) for record in records])
        judged = np.flatnonzero(folds != TRAIN)
        if self._judged is None or self._judged[0] != list(records):  # items and their predictions
            self._known = self._names(records)
            self._judged = list(records), self._fit(records, folds)[judged]
        return [records[int(i)] for i in judged], self._judged[1]

    def _fit(self, records: Sequence[Record], folds: np.ndarray) -> np.ndarray:
        embedded = torch.tensor([record.prediction["embedding"] for record in records])  # (clips, dim)
        scores = np.full((len(records), len(self._known)), -np.inf)
        for fold in sorted(set(folds) - {TRAIN}):
            test = torch.from_numpy(folds == fold)
            learned = torch.tensor([self.learns_from(record.item, fold) for record in records])
            if not learned.any():
                raise ValueError(f"All clips are in the fold {str(fold)!r}; there is none to train on.")
            seen = [records[i] for i in learned.nonzero()[:, 0].tolist()]
            if self.multi_label:
                targets = torch.from_numpy(present_labels(seen, self.labels))
                weight, bias = fit_logistic_tags(embedded[learned], targets.float(), self.l2, steps=100)
            else:
                classes = torch.tensor([self._known.index(_label(record)) for record in seen])
                weight, bias, _ = fit_logistic(embedded[learned], classes, len(self._known), self.l2, steps=100)
            scores[test.numpy()] = (embedded[test] @ weight.T + bias).numpy()
        return scores


def with_folds(
    items: Sequence[Item],
    training: Sequence[Item] = (),
    folds: int = OUR_FOLDS,
    speaker: Callable[[str], str] | None = None,
) -> list[Item]:
    """
    Items for a [`LinearProbeTask`]: each with a `fold`.

    Args:
        items: What is judged. Where they have a `fold` it stays; where there are `training` items it is `"test"`; else
            the clips of each label are dealt to folds in turn, which is ours: such sets have no official ones.
        training: Items that are trained on alone.
        folds (`int`): Into how many folds clips are dealt.
        speaker: Path of a clip -> who speaks. Speakers are then dealt in turn, and not clips: no speaker is both
            learned from and judged.

    Raises:
        ValueError: if only some have a fold, or there are fewer than two speakers.
    """
    if training:
        seen = [_in_fold(Item(f"{TRAIN}/{item.id}", item.audio, item.truth), TRAIN) for item in training]
        return [*seen, *(_in_fold(item, TEST) for item in items)]
    given = [item for item in items if item.truth.get("fold") is not None]
    if len(given) == len(items):
        return list(items)
    if given:
        raise ValueError(f"{len(given)} of {len(items)} items have a `fold`; expected all or none.")
    if speaker is not None:
        people = sorted({speaker(item.audio) for item in items})
        if len(people) < 2:
            raise ValueError(f"All {len(items)} clips are of one speaker, {people}; there is none to learn from.")
        place = {person: str(1 + index % folds) for index, person in enumerate(people)}
        return [_in_fold(item, place[speaker(item.audio)]) for item in items]
    counts: dict[str, int] = {}
    made = []
    for item in items:
        label = str(item.truth.get("label"))
        made.append(_in_fold(item, str(1 + counts.get(label, 0) % folds)))
        counts[label] = counts.get(label, 0) + 1
    return made


def _in_fold(item: Item, fold: str) -> Item:
    return Item(item.id, item.audio, {**item.truth, "fold": fold})


def _label(record: Record) -> str:
    return str(record.item.truth["label"])
