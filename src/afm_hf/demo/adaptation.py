"""Behind the tab "Test-time adaptation"."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..adaptation.test_time.optimization import AdaptationResult
from .classify import split_labels
from .clips import Clip, read_clips
from .models import DemoModels
from .pictures import clip_picture, entropy_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ["clip", "before", "score before", "after", "score after"]
STOPPED = {
    "steps": "All steps were made.",
    "entropy": "It stopped early: the model is already as sure as can be.",
    "guard": "It was stopped: going on would have made all clips one label, or labels alike.",
}


def adapt_to_clips(
    models: DemoModels, paths: Sequence[str] | str | None, labels: str, steps: int = 10, views: int = 16
) -> tuple[str, list[list[str]], "Figure", "Figure"]:
    """
    Learns a domain vector from unlabelled clips, all together.

    Args:
        models ([`DemoModels`]): The models.
        paths (`list[str]`): The clips, 16 at most.
        labels (`str`): Two labels or more, with commas or line breaks between them.
        steps (`int`): Steps of the optimiser.
        views (`int`): Augmented views of every clip.

    Returns:
        What happened in words, a row for each clip under `COLUMNS`, the entropy over the steps, and the picture of the
        first clip.

    Raises:
        ValueError: a clip or the labels cannot be used.
    """
    names = split_labels(labels, least=2)
    pipe = models.pipeline("test-time-adaptation")
    clips = read_clips(paths, pipe.feature_extractor, models.max_duration_s)
    sources = [clip.source for clip in clips]
    result = pipe(sources, candidate_labels=names, together=True, steps=int(steps), views=int(views))
    entropy = entropy_picture(result.entropies, len(names))
    return summary(result), _rows(clips, result), entropy, clip_picture(clips[0], pipe.feature_extractor)


def summary(result: AdaptationResult) -> str:
    """What an adaptation did, in words."""
    pairs = zip(result.before, result.after, strict=True)
    changed = sum(old[0]["label"] != new[0]["label"] for old, new in pairs)
    return (
        f"Entropy {result.entropies[0]:.3f} to {result.entropies[-1]:.3f} nats in {len(result.entropies) - 1} steps. "
        f"{STOPPED.get(result.stopped, '')} The best label changed for {changed} of {len(result.before)} clips. "
        "Surer is not the same as right."
    )


def _rows(clips: list[Clip], result: AdaptationResult) -> list[list[str]]:
    rows = []
    for clip, old, new in zip(clips, result.before, result.after, strict=True):
        (was, now) = ([best[0]["label"], f"{best[0]['score']:.3f}"] for best in (old, new))
        rows.append([clip.name, *was, *now])
    return rows
