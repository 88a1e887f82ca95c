"""PAM against people: do scores of quality go with ratings? `rating` of an item (arXiv 2402.00282)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_audio_quality_assessment import AudioQualityAssessmentPipeline
from ..metrics.correlation import correlate
from ..task import Failure, Item, Record, Task
from .quality import score_files


class RatedQualityTask(Task):
    """
    Correlation of PAM's score with a `rating`.

    `afm-hf quality --ratings` does this for the tables of the paper, with systems and several ratings.

    Args:
        pipe ([`AudioQualityAssessmentPipeline`]): With its model, a CLAP.
        batch_size, num_workers (`int`): Files per forward pass; processes that decode.
        segments (`str`): `"all"`, or `"first"`, the paper's set-up.
    """

    name = "quality"
    main_metric = "pearson"

    def __init__(
        self,
        pipe: AudioQualityAssessmentPipeline,
        *,
        batch_size: int = 8,
        num_workers: int = 0,
        segments: str = "all",
    ) -> None:
        self.pipe, self.batch_size, self.num_workers, self.segments = pipe, batch_size, num_workers, segments

    @property
    def settings(self) -> dict[str, Any]:
        """Model and segments."""
        return settings_of(self.pipe.model, segments=self.segments)

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"score": ...}` of each clip."""
        for item in items:
            _rating(item)  # before any is scored
        how: dict[str, Any] = {"segments": self.segments, "batch_size": self.batch_size}
        files = [str(item.audio) for item in items]
        for _, result in score_files(self.pipe, files, prompts=None, num_workers=self.num_workers, **how):
            yield Failure(result) if isinstance(result, str) else {"score": result.score}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Pearson's, Spearman's and Kendall's correlation."""
        ratings = [_rating(record.item) for record in records]
        found = correlate([record.prediction["score"] for record in records], ratings, resamples=0)
        figures = {"pearson": found.pearson, "spearman": found.spearman, "kendall": found.kendall}
        return {name: float("nan") if value is None else value for name, value in figures.items()}


def _rating(item: Item) -> float:
    value = item.truth.get("rating")
    try:
        return float(str(value))
    except ValueError:
        raise ValueError(f"{item.id}: the rating is {value!r}; expected a number in the column `rating`.") from None
