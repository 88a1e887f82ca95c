"""Tasks of the suite, which need no more than labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...audio.audio_loading import load_audio
from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_audio_quality_assessment import PROMPTS, AudioQualityAssessmentPipeline
from ..degradations import DEGRADATIONS, Samples, as_loud_as
from ..task import Failure, Item, Record, Task
from ..tasks.answers import CaptionTask, DifferenceTask

CLEAN, LABEL, BOTH, ABOVE = "clean", "label named", "both clips named", "clean above degraded"


class NamedCaptionTask(CaptionTask):
    """Captions, and whether they name the `label` of an item, to the letter."""

    main_metric = LABEL

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Share of captions with the label, and the caption metrics."""
        return {LABEL: float(np.mean(self._named(records))), **super().score(records)}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each names it; the caption metrics that get intervals."""
        return {LABEL: self._named(records), **super().per_record(records)}

    def _named(self, records: Sequence[Record]) -> list[bool]:
        return [str(record.item.truth["label"]) in record.prediction["text"].lower() for record in records]


class NamedDifferenceTask(DifferenceTask):
    """Differences whose right answer names the labels of both clips (`labels` of an item), each in its place."""

    main_metric = BOTH

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Share of answers with the label of the first clip, of the second, of both; and the caption metrics."""
        named = {name: float(np.mean(values)) for name, values in self._named(records).items()}
        return {**named, **super().score(records)}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each answer names them; the caption metrics that get intervals."""
        return {**self._named(records), **super().per_record(records)}

    def _named(self, records: Sequence[Record]) -> dict[str, list[bool]]:
        halves = [record.prediction["text"].partition(" second ") for record in records]
        first, second = (
            [record.item.truth["labels"][i] in half[2 * i] for record, half in zip(records, halves, strict=True)]
            for i in (0, 1)
        )
        both = [a and b for a, b in zip(first, second, strict=True)]
        return {BOTH: both, "first clip named": first, "second clip named": second}


class QualityOrderTask(Task):
    """
    Whether PAM scores a clip higher than the same clip made worse, as loud as before.

    Args:
        pipe ([`AudioQualityAssessmentPipeline`]): With its model, a CLAP.
        batch_size (`int`): Versions of a clip per forward pass.
        kinds (`list[str]`): Names of degradations, each with five strengths.
    """

    name = "quality"
    main_metric = ABOVE

    def __init__(
        self,
        pipe: AudioQualityAssessmentPipeline,
        *,
        batch_size: int = 16,
        kinds: Sequence[str] = ("noise", "low-pass"),
    ) -> None:
        self.pipe, self.batch_size, self.kinds = pipe, batch_size, tuple(kinds)
        self.levels = {f"{kind} {at:g}": (kind, at) for kind in self.kinds for at in DEGRADATIONS[kind][2]}

    @property
    def settings(self) -> dict[str, Any]:
        """Model, prompts, degradations."""
        return settings_of(self.pipe.model, prompts=list(PROMPTS), degradations=list(self.levels))

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"clean": score, "noise 30": score, ...}`; noise is the same in every run."""
        rate = self.pipe.feature_extractor.sampling_rate
        for item in items:
            try:
                clip = load_audio(item.audio, rate).astype(np.float64)
                versions = [clip, *(self._worse(clip, kind, at, rate) for kind, at in self.levels.values())]
                scored = self.pipe(versions, prompts=[PROMPTS], batch_size=self.batch_size)
                scores = dict(zip((CLEAN, *self.levels), (result.score for result in scored), strict=True))
            except (ValueError, OSError) as error:
                yield Failure(str(error))
                continue
            yield scores

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Share of the degraded versions that score lower, of all and of each kind; the mean score of clean clips."""
        means = {name: float(np.mean(values)) for name, values in self.per_record(records).items()}
        return {**means, "mean clean score": float(np.mean([record.prediction[CLEAN] for record in records]))}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """The share of each clip."""
        found = {ABOVE: [self._share(record, self.levels) for record in records]}
        for kind in self.kinds:
            names = [name for name, (each, _) in self.levels.items() if each == kind]
            found[f"clean above {kind}"] = [self._share(record, names) for record in records]
        return found

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Mean scores by strength."""
        lines = {}
        for kind in self.kinds:
            names = [CLEAN, *(name for name, (each, _) in self.levels.items() if each == kind)]
            unit, strengths = DEGRADATIONS[kind][0], DEGRADATIONS[kind][2]
            means = [float(np.mean([record.prediction[name] for record in records])) for name in names]
            lines[f"{kind}, {strengths[0]:g} to {strengths[-1]:g} {unit}"] = list(enumerate(means))
        title = "Mean quality score, from the clean clips (0) to the strongest degradation (5)"
        return {"curves": [{"title": title, "x": "strength", "y": "score", "lines": lines}]}

    def _worse(self, clip: Samples, kind: str, at: float, rate: int) -> Samples:
        degrade = DEGRADATIONS[kind][1]
        return as_loud_as(degrade(clip, at, rate, np.random.default_rng(0)), clip)

    def _share(self, record: Record, names: Any) -> float:
        return float(np.mean([record.prediction[CLEAN] > record.prediction[name] for name in names]))
