"""Behind the tab "Classify"."""

from typing import TYPE_CHECKING

from ..models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE, as_labels
from ..models.common.label_texts_afm import split_labels as split_text
from .clips import read_clip
from .models import DemoModels
from .pictures import clip_picture, timeline_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEARD = {"all of it": "windows", "its beginning": "first", "its middle": "center"}
MOST_LABELS = 200


def classify_clip(
    models: DemoModels,
    path: str | None,
    labels: str,
    templates: str = DEFAULT_TEMPLATE,
    heard: str = "all of it",
    multi_label: bool = False,
) -> tuple[dict[str, float], "Figure | None", "Figure"]:
    """
    Which label fits the clip?

    Args:
        models ([`DemoModels`]): The models.
        path (`str`): The clip.
        labels (`str`): Labels with commas or line breaks between them.
        templates (`str`): Sentences with `{}` for the label, one a line; blank for the default one.
        heard (`str`): What of a long clip is heard, a key of `HEARD`.
        multi_label (`bool`): Score each label by itself.

    Returns:
        Scores by label, best first; the picture of the scores over time, None for a clip of a single step; and that of
        the clip.

    Raises:
        ValueError: the clip, the labels or the templates cannot be used.
    """
    if heard not in HEARD:
        raise ValueError(f"What is heard is {heard!r}; expected one of {', '.join(map(repr, HEARD))}.")
    names = split_labels(labels)
    pipe = models.pipeline("zero-shot-audio-classification")
    clip = read_clip(path, pipe.feature_extractor, models.max_duration_s)
    result = pipe(
        clip.source,
        candidate_labels=names,
        hypothesis_template=[line.strip() for line in templates.splitlines() if line.strip()] or DEFAULT_TEMPLATE,
        truncation=HEARD[heard],
        multi_label=multi_label,
        timestamps=True,
    )
    scores = {entry["label"]: entry["score"] for entry in result["labels"]}
    over_time = timeline_picture(result, clip.name) if len(result["chunks"]) > 1 else None
    return scores, over_time, clip_picture(clip, pipe.feature_extractor, HEARD[heard])


def split_labels(labels: str, least: int = 1) -> list[str]:
    """
    Labels from a text field, with commas or line breaks between them, or a JSON list.

    Raises:
        ValueError: there are too few or too many, one comes twice, or they can be read in two ways.
    """
    text = (labels or "").strip()
    names = [name for part in ([text] if text.startswith("[") else text.splitlines()) for name in split_text(part)]
    if len(names) < least:
        raise ValueError(
            f"{'These are' if names else 'There are'} {len(names) or 'no'} labels; write at least {least}, with commas "
            'between them, as "rain, applause".'
        )
    if len(names) > MOST_LABELS:
        raise ValueError(f"These are {len(names)} labels; the page takes at most {MOST_LABELS}.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"The label {twice[0]!r} is there twice. Name every label once.")
    return list(as_labels(names))
