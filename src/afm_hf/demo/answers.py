"""Behind the tabs "Caption and ask" and "Difference"."""

from typing import TYPE_CHECKING, Any

from ..models.common.label_texts_afm import split_labels
from .clips import Clip, read_clip
from .models import DemoModels, extractor_of
from .pictures import clip_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def caption_clip(models: DemoModels, path: str | None) -> tuple[str, "Figure"]:
    """
    A caption, and the picture of the clip.

    Raises:
        ValueError: the clip cannot be used.
    """
    pipe = models.pipeline("audio-captioning")
    clip = _read(models, pipe, path)
    return pipe(clip.source)[0]["generated_text"], clip_picture(clip, extractor_of(pipe))


def answer_question(
    models: DemoModels, first: str | None, second: str | None, question: str, choices: str = ""
) -> tuple[str, dict[str, float] | None, "Figure", "Figure | None"]:
    """
    Answers a question about one clip or two.

    Args:
        models ([`DemoModels`]): The models.
        first, second (`str`): The clips; the second may be missing.
        question (`str`): The question.
        choices (`str`): Answers to choose from, with commas between them; blank for an answer in free words.

    Returns:
        The answer, the shares of the choices (`None` without choices), and the pictures of the clips.

    Raises:
        ValueError: a clip, the question or the choices cannot be used, or the model hears one clip only.
    """
    if not (question or "").strip():
        raise ValueError('There is no question yet. Write one, as "what is the sound?".')
    pipe = models.pipeline("audio-question-answering")
    clips = [_read(models, pipe, path) for path in ([first, second] if second else [first])]
    wanted = split_labels(choices or "", "choices")
    more: dict[str, Any] = {}
    if wanted:
        if len(wanted) < 2:
            raise ValueError(f"There is but one choice, {wanted[0]!r}; write two or more, or none.")
        more["choices"] = wanted
    sources = [clip.source for clip in clips]
    result = pipe(tuple(sources) if second else sources[0], question=question.strip(), **more)
    shares = {entry["choice"]: entry["score"] for entry in result["scores"]} if wanted else None
    pictures = [clip_picture(clip, extractor_of(pipe)) for clip in clips]
    return result["answer"], shares, pictures[0], pictures[1] if second else None


def tell_difference(
    models: DemoModels, first: str | None, second: str | None, tier: str = "concise"
) -> tuple[str, "Figure", "Figure"]:
    """
    How do two clips differ? In words, with the pictures of both.

    Args:
        models ([`DemoModels`]): The models.
        first, second (`str`): The clips.
        tier (`str`): How much to say: `"concise"`, `"brief"` or `"detailed"`.

    Raises:
        ValueError: a clip is missing or cannot be used, or the tier is unknown.
    """
    if not first or not second:
        missing = "clips" if not first and not second else "first clip" if not first else "second clip"
        raise ValueError(f"A difference is between two clips: the {missing} must still be chosen.")
    pipe = models.pipeline("audio-difference")
    clips = [_read(models, pipe, path) for path in (first, second)]
    text = pipe((clips[0].source, clips[1].source), tier=tier)[0]["generated_text"]
    pictures = [clip_picture(clip, extractor_of(pipe)) for clip in clips]
    return text, pictures[0], pictures[1]


def _read(models: DemoModels, pipe: Any, path: str | None) -> Clip:
    return read_clip(path, extractor_of(pipe), models.max_duration_s)
