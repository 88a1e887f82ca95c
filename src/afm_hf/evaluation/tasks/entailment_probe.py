"""Audio Entailment by a linear probe on CLAP's embeddings: "concat" and "cap" of the paper (arXiv 2407.18062)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...adaptation.entailment import fit_entailment_probe
from ...entailment.entailment_labels import LABELS
from ...models.common.results_afm import other_model, settings_of
from ...pipelines.pipeline_audio_inputs import Inputs
from ..metrics.accuracy import ClassificationScores, classification_scores
from ..task import SHOWN, Failure, Item, Record
from .entailment import EntailmentTask, relation_figures
from .linear_probe import TRAIN

INPUTS = {"audio": ("audio", "hypothesis"), "both": ("audio", "hypothesis", "caption")}


class EntailmentProbeTask(EntailmentTask):
    """
    Relations by logistic regression on the embeddings of clip and hypothesis side by side; `fold` of an item.

    Items of the fold `"train"` are learned from and never judged. With `premise="both"` every clip is captioned first,
    and the probe also reads the caption's embedding. What the paper's classifier is, and what exactly it reads, is not
    known: this is the plainest reading.

    Args:
        pipe ([`AudioEntailmentPipeline`]): With its model, a CLAP.
        l2 (`float`): Weight decay on standardised embeddings.
        options: As of [`EntailmentTask`]; `premise`, and `captioner` for `premise="both"`.

    Raises:
        ValueError: the model is no CLAP, or the premise is none of these.
    """

    name = "entailment-probe"

    def __init__(self, pipe: Any, *, l2: float = 0.01, premise: str = "audio", **options: Any) -> None:
        super().__init__(pipe, premise=premise, **options)
        if not pipe.is_contrastive:
            raise ValueError(f"A probe reads embeddings, which a {type(pipe.model).__name__} has not; take a CLAP.")
        if premise not in INPUTS:
            raise ValueError(f"`premise` is {premise!r}; expected one of {', '.join(INPUTS)}.")
        self.l2, self.premise = l2, premise
        self._last: tuple[list[Record], list[Record], list[str]] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Model, premise, weight decay, and who captions."""
        captioner = other_model(self.options.get("captioner"))
        return settings_of(self.pipe.model, **{**self.options, "captioner": captioner}, l2=self.l2)

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """The embeddings of each pair, `{"audio": [...], "hypothesis": [...]}`, perhaps `"caption"`."""
        rows = Inputs([{"audio": item.audio, "hypothesis": item.truth["hypothesis"]} for item in items])
        call = {"batch_size": self.batch_size, "num_workers": self.num_workers, "on_error": "return", **self.options}
        for result in self.pipe(rows, scoring="embeddings", **call):
            if isinstance(result, Exception):
                yield Failure(str(result))
                continue
            found = result[0] if isinstance(result, list) else result
            yield {name: value.tolist() for name, value in found.items()}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy, macro F1, precision and recall over the judged pairs."""
        return relation_figures(self._probed(records))

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each judged pair is right; the probe is not fitted anew."""
        judged, said = self._judged(records)
        return {"accuracy": [a == r.item.truth["label"] for a, r in zip(said, judged, strict=True)]}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Confusion matrix, figures of each relation, some answers, how many pairs were learned from."""
        judged, said = self._judged(records)
        counts = {"judged": len(judged), "trained on alone": len(records) - len(judged)}
        examples = [
            {"id": r.item.id, "asked": r.item.truth["hypothesis"], "said": a, "right": r.item.truth["label"]}
            for r, a in zip(judged[:SHOWN], said, strict=False)
        ]
        return {**self._probed(records).matrix(), "clips": counts, "examples": examples}

    def _probed(self, records: Sequence[Record]) -> ClassificationScores:
        judged, said = self._judged(records)
        return classification_scores([record.item.truth["label"] for record in judged], said, list(LABELS))

    def _judged(self, records: Sequence[Record]) -> tuple[list[Record], list[str]]:
        """The pairs that are judged, and their labels by a probe that was fitted on the others."""
        if self._last is None or self._last[0] != list(records):
            seen = [record for record in records if str(record.item.truth["fold"]) == TRAIN]
            judged = [record for record in records if str(record.item.truth["fold"]) != TRAIN]
            if not seen or not judged:
                raise ValueError(
                    f"There are {len(seen)} pairs to learn from and {len(judged)} to judge; expected both."
                )
            truth = [str(record.item.truth["label"]) for record in seen]
            probe = fit_entailment_probe(self._embedded(seen), truth, INPUTS[self.premise], l2=self.l2)
            self._last = list(records), judged, [str(label) for label in probe.predict(self._embedded(judged))]
        return self._last[1], self._last[2]

    def _embedded(self, records: Sequence[Record]) -> dict[str, torch.Tensor]:
        """`(pairs, dim)` of each input."""
        names = INPUTS[self.premise]
        return {
            name: torch.from_numpy(np.array([record.prediction[name] for record in records], dtype=np.float32))
            for name in names
        }


__all__ = ["EntailmentProbeTask"]
