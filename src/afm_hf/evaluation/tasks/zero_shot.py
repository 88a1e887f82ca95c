"""Zero-shot classification: labels as words, as in CLAP 2022 (section 4) and 2023 (section 3)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from ...models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE, embed_audio
from ...models.common.results_afm import settings_of
from ...pipelines.audio_files import in_batches, read_batches
from ...pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline
from ..metrics.accuracy import classification_scores
from ..task import SHOWN, Failure, Item, Record, Task
from .tagging import f1_figures, f1_sums, likeliest, mean_average_precision, present_labels

T = TypeVar("T")


class ZeroShotTask(Task):
    """
    One label of a clip, or several, from a fixed list.

    Args:
        pipe ([`ZeroShotAudioClassificationPipeline`]): With its model.
        labels (`list[str]`): All labels, in the order of the figures.
        templates (`list[str]`, *optional*): Sentences with `{}`; of several the mean embedding is taken.
        multi_label (`bool`): Whether the truth of an item is `labels`, a list, and not `label`.
        metric (`str`, *optional*): The one that the papers give: `"accuracy"`, `"mAP"` or `"F1"`.
        truncation (`str`, *optional*): What of a long clip is heard; the model's own setting if not given.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.

    Raises:
        ValueError: on fewer than two labels, or one that comes twice.
    """

    name = "zero-shot"

    def __init__(
        self,
        pipe: ZeroShotAudioClassificationPipeline,
        labels: Sequence[str],
        templates: Sequence[str] = (DEFAULT_TEMPLATE,),
        *,
        multi_label: bool = False,
        metric: str | None = None,
        truncation: str | None = None,
        batch_size: int = 16,
        num_workers: int = 0,
    ) -> None:
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(f"`labels` has {len(labels)} entries, {len(set(labels))} different; expected 2 or more.")
        self.pipe, self.labels, self.templates = pipe, list(labels), list(templates)
        self.multi_label, self.truncation = multi_label, truncation
        self.batch_size, self.num_workers = batch_size, num_workers
        self.main_metric = metric or ("mAP" if multi_label else "accuracy")

    @property
    def settings(self) -> dict[str, Any]:
        """Model, labels, templates, windows policy."""
        truncation = self.truncation or getattr(self.pipe.feature_extractor, "truncation", None)
        return settings_of(
            self.pipe.model,
            labels=self.labels,
            templates=self.templates,
            truncation=truncation,
            multi_label=self.multi_label,
        )

    @property
    def prompts(self) -> list[str]:
        """The templates."""
        return self.templates

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"scores": [cosine of each label]}`."""
        texts = self.pipe.label_embeddings(tuple(self.labels), tuple(self.templates))  # (labels, dim)

        def cosines(features: Mapping[str, torch.Tensor]) -> list[list[float]]:
            rows: list[list[float]] = (embed_audio(self.pipe.model, features) @ texts.t()).tolist()
            return rows

        for _, outcome in read_items(self.pipe, items, self.truncation, self.batch_size, self.num_workers, cosines):
            yield outcome if isinstance(outcome, Failure) else {"scores": outcome}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy and macro figures; mean average precision (and F1) where the papers have these."""
        figures: dict[str, float] = {}
        if self.multi_label or self.main_metric == "mAP":
            present = present_labels(records, self.labels)
            figures["mAP"] = mean_average_precision(present, self._scores(records))
            if self.main_metric == "F1":
                figures = {**f1_figures(present, likeliest(self._scores(records))), **figures}
        if self.multi_label:
            return figures
        truth, said = self._labels(records)
        found = classification_scores(truth, said, self.labels)
        return {
            **figures,
            "accuracy": found.accuracy,
            "macro precision": found.macro_precision,
            "macro recall": found.macro_recall,
            "macro F1": found.macro_f1,
        }

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether the likeliest label is right; the counts of F1.

        Macro figures get no interval: a draw in which a label does not occur has another number of labels. Nor does
        mAP, which would take hours.
        """
        if self.main_metric == "F1":
            return {"F1": f1_sums(present_labels(records, self.labels), likeliest(self._scores(records)))}
        if self.multi_label:
            return {}
        return {"accuracy": [a == b for a, b in zip(*self._labels(records), strict=True)]}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Confusion matrix (rows are true labels), figures of each label, and some labels."""
        if self.multi_label:
            return {}
        truth, said = self._labels(records)
        examples = [
            {"id": record.item.id, "said": label, "right": true}
            for record, label, true in zip(records[:SHOWN], said, truth, strict=False)
        ]
        return {**classification_scores(truth, said, self.labels).matrix(), "examples": examples}

    def _scores(self, records: Sequence[Record]) -> np.ndarray:
        return np.array([record.prediction["scores"] for record in records])

    def _labels(self, records: Sequence[Record]) -> tuple[list[str], list[str]]:
        """True and likeliest labels."""
        truth = [str(record.item.truth.get("label")) for record in records]
        if unknown := sorted(set(truth) - set(self.labels)):
            raise ValueError(
                f"The items have labels that are not among the {len(self.labels)} candidates: {unknown[:5]}."
            )
        return truth, [self.labels[i] for i in self._scores(records).argmax(axis=1)]


def read_items(
    pipe: ZeroShotAudioClassificationPipeline,
    items: Sequence[Item],
    truncation: str | None,
    batch_size: int,
    num_workers: int,
    compute: Callable[[Mapping[str, torch.Tensor]], list[list[T]]],
) -> Iterator[tuple[Item, list[T] | Failure]]:
    """Decode clips in batches and give what `compute` makes of each, or why a clip could not be used, in order."""
    batches = in_batches([os.path.abspath(item.audio) for item in items], batch_size)
    left = iter(items)
    for paths, batch in zip(
        batches, read_batches(pipe.feature_extractor, batches, truncation, num_workers), strict=True
    ):
        made: dict[str, list[T]] = {}
        if batch.features is not None:
            with torch.inference_mode():
                inputs = {name: value.to(pipe.model.device) for name, value in batch.features.items()}
                made = {file.path: row for file, row in zip(batch.files, compute(inputs), strict=True)}
        for path in paths:
            yield next(left), made[path] if path in made else Failure(batch.failures[path])
