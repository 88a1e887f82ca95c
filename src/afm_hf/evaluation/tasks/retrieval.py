"""Retrieval between clips and captions, as in CLAP 2023 (section 3): similarities of embeddings, ranked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...models.clap_afm.embedding_clap_afm import embed_audio, embed_texts
from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline
from ..bootstrap import Sums
from ..metrics.retrieval_metrics import MAP_AT, RECALLS, RetrievalScores, retrieval_scores
from ..task import Failure, Item, Record, Task
from .zero_shot import read_items


class RetrievalTask(Task):
    """
    Captions of a clip among those of all clips, and clips of a caption among all clips; `captions` of an item.

    A caption that several clips have, word for word, is right for all of them; `details` counts such captions.

    Args:
        pipe ([`ZeroShotAudioClassificationPipeline`]): With its model, a CLAP.
        truncation (`str`, *optional*): What of a long clip is heard; the model's own setting if not given.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
    """

    name = "retrieval"
    main_metric = "audio to text recall@1"

    def __init__(
        self,
        pipe: ZeroShotAudioClassificationPipeline,
        *,
        truncation: str | None = None,
        batch_size: int = 16,
        num_workers: int = 0,
    ) -> None:
        self.pipe, self.truncation = pipe, truncation
        self.batch_size, self.num_workers = batch_size, num_workers
        self._texts: dict[str, np.ndarray] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Model and windows policy."""
        truncation = self.truncation or getattr(self.pipe.feature_extractor, "truncation", None)
        return settings_of(self.pipe.model, truncation=truncation)

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"embedding": [...]}` of each clip."""
        for _, outcome in read_items(self.pipe, items, self.truncation, self.batch_size, self.num_workers, self._embed):
            yield outcome if isinstance(outcome, Failure) else {"embedding": outcome}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Recall at 1, 5, 10 and mAP at 10, both ways."""
        found = self._ranked(records)
        both = {"audio to text": found.audio_to_text, "text to audio": found.text_to_audio}
        return {f"{way} {name}": value for way, figures in both.items() for name, value in figures.items()}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Recall and average precision of each clip; those of captions are drawn with their clip."""
        found = self._ranked(records)
        owner = _owners(records)
        values: dict[str, Any] = {f"audio to text recall@{k}": found.audio_to_text_ranks <= k for k in RECALLS}
        values[f"audio to text map@{MAP_AT}"] = found.audio_to_text_precisions
        for k in RECALLS:
            values[f"text to audio recall@{k}"] = _of_captions(found.text_to_audio_ranks <= k, owner)
        values[f"text to audio map@{MAP_AT}"] = _of_captions(found.text_to_audio_precisions, owner)
        return values

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """How many captions are those of several clips: each of these clips counts as right for them."""
        found = self._ranked(records)
        return {"captions": found.captions, "captions that several clips share": found.shared}

    def _embed(self, features: Mapping[str, torch.Tensor]) -> list[list[float]]:
        rows: list[list[float]] = embed_audio(self.pipe.model, features).tolist()
        return rows

    def _ranked(self, records: Sequence[Record]) -> RetrievalScores:
        captions = [caption for record in records for caption in record.item.truth["captions"]]
        new = [text for text in dict.fromkeys(captions) if text not in self._texts]
        if new:
            with torch.inference_mode():
                embedded = embed_texts(self.pipe.model, self.pipe.tokenizer, new).cpu().numpy()
            self._texts.update(zip(new, embedded, strict=True))
        audio = np.array([record.prediction["embedding"] for record in records])
        texts = np.stack([self._texts[text] for text in captions])
        return retrieval_scores(audio @ texts.T, _owners(records), captions)


def _owners(records: Sequence[Record]) -> list[int]:
    """The clip of each caption, by its place."""
    return [i for i, record in enumerate(records) for _ in record.item.truth["captions"]]


def _of_captions(values: np.ndarray, owner: Sequence[int]) -> Sums:
    """The mean over captions, as sums over the clips that they belong to."""
    return Sums(np.column_stack([np.bincount(owner, values), np.bincount(owner)]), _share)


def _share(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]
