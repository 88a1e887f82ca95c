"""Behind the tab "Quality"."""

from typing import TYPE_CHECKING

from ..pipelines.pipeline_audio_quality_assessment import PROMPTS
from .clips import read_clip
from .models import DemoModels
from .pictures import clip_picture, segment_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def score_quality(
    models: DemoModels, path: str | None, good: str = PROMPTS[0], bad: str = PROMPTS[1]
) -> tuple[dict[str, float], "Figure", "Figure"]:
    """
    How good does the clip sound?

    Args:
        models ([`DemoModels`]): The models.
        path (`str`): The clip.
        good, bad (`str`): What good audio is like, and its opposite.

    Returns:
        The share of each prompt (that of the good one is the score), the score over time, and the picture of the clip.

    Raises:
        ValueError: the clip cannot be used, or a prompt is blank or both are the same.
    """
    good, bad = (good or "").strip(), (bad or "").strip()
    if not good or not bad or good == bad:
        raise ValueError("Two prompts are needed, one for good audio and another for bad audio.")
    pipe = models.pipeline("audio-quality-assessment")
    clip = read_clip(path, pipe.feature_extractor, models.max_duration_s)
    result = pipe(clip.source, prompts=(good, bad))
    over_time = segment_picture(result.segment_scores, pipe.feature_extractor.max_length_s, clip.seconds)
    shares = {good: result.score, bad: 1 - result.score}
    return shares, over_time, clip_picture(clip, pipe.feature_extractor, "segments")
