"""Closed-ended tasks of models that answer in words: which of the labels would the model say? (Pengi, section 4)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_audio_inputs import Inputs
from ...pipelines.pipeline_audio_text_generation import AudioTextGenerationPipeline
from ..metrics.accuracy import ClassificationScores, classification_scores
from ..task import SHOWN, Failure, Item, Record, Task


class ClosedTask(Task):
    """
    One label of a clip from a fixed list, by a model that answers in words; `label` of an item.

    `accuracy` is by likelihood: all labels are scored as answers. `named` counts answers, generated freely, in which
    the right label stands and no other. `similarity` is the papers' way: labels are compared to the answer in the text
    space of a CLAP.

    Args:
        pipe ([`AudioTextGenerationPipeline`]): With its model.
        labels (`list[str]`): All labels.
        similarity_model (*optional*): The CLAP of the papers' way: a folder, Hub id or pipeline; without, it is left
            out.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
        options: Arguments of each call of the pipeline: `prompt`, `max_new_tokens`, ...
    """

    name = "closed"
    main_metric = "accuracy"

    def __init__(
        self,
        pipe: AudioTextGenerationPipeline,
        labels: Sequence[str],
        *,
        similarity_model: Any = None,
        batch_size: int = 8,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(f"`labels` has {len(labels)} entries, {len(set(labels))} different; expected 2 or more.")
        self.pipe, self.labels, self.similarity_model = pipe, list(labels), similarity_model
        self.batch_size, self.num_workers, self.options = batch_size, num_workers, options

    @property
    def settings(self) -> dict[str, Any]:
        """Model, labels, and arguments of the calls."""
        other = self.similarity_model
        named = other if other is None or isinstance(other, str) else type(other).__name__
        return settings_of(self.pipe.model, labels=self.labels, similarity_model=named, **self.options)

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"likeliest": label, "text": answer, "named": label or None}`, and `"similar"` with another model."""
        call = {"batch_size": self.batch_size, "num_workers": self.num_workers, "on_error": "return", **self.options}
        rows = Inputs([{"audio": item.audio} for item in items])
        with_similarity = self.similarity_model is not None
        if with_similarity:
            call |= {"method": "both", "similarity_model": self.similarity_model}
        for result in self.pipe.classify(rows, self.labels, **call):
            if isinstance(result, Exception):
                yield Failure(str(result))
            elif with_similarity:
                best = {"likeliest": result["likelihood"][0]["label"], "similar": result["similarity"][0]["label"]}
                yield {**best, "text": result["generated_text"], "named": result["match"]}
            else:
                yield {"likeliest": result[0]["label"]}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy and macro F1 by likelihood; with another model the shares by similarity and of names."""
        found = self._figures(records)
        means = {name: float(np.mean(values)) for name, values in self.per_record(records).items()}
        return {**means, "macro F1": found.macro_f1}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right, by each way."""
        ways = {"accuracy": "likeliest", "similarity": "similar", "named": "named"}
        return {
            name: [record.prediction[key] == record.item.truth["label"] for record in records]
            for name, key in ways.items()
            if key in records[0].prediction
        }

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Confusion matrix and figures of each label, by likelihood; some answers."""
        examples = [
            {"id": record.item.id, **record.prediction, "right": record.item.truth["label"]}
            for record in records[:SHOWN]
        ]
        return {**self._figures(records).matrix(), "examples": examples}

    def _figures(self, records: Sequence[Record]) -> ClassificationScores:
        truth = [str(record.item.truth["label"]) for record in records]
        return classification_scores(truth, [record.prediction["likeliest"] for record in records], self.labels)
