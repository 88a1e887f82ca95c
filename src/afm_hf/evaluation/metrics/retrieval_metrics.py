"""
Retrieval between clips and captions: recall at 1, 5 and 10, and mAP at 10, in both directions.

With several captions for a clip (five in Clotho), recall asks for any of them among the first, and average precision
for all of them: its sum is divided by their number (at most 10), the rule of DCASE. Where the texts of captions are
known, every clip that has a caption is right for it, and every copy of a caption is right for its clips (labels made
into sentences come hundreds of times); otherwise a caption has one right clip.
"""

import dataclasses
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult

DIRECTIONS = ("audio_to_text", "text_to_audio")
RECALLS = (1, 5, 10)
MAP_AT = 10


@dataclasses.dataclass(kw_only=True)
class RetrievalScores(AfmResult):
    """
    How far ahead the right ones are.

    Args:
        audio_to_text, text_to_audio (`dict[str, float]`): `recall@1`, `recall@5`, `recall@10` and `map@10`, 0 to 1.
        audio_to_text_ranks (`np.ndarray`): Rank of the best right caption of each clip, 1 is first; int64 `(clips,)`.
        text_to_audio_ranks (`np.ndarray`): Rank of the best right clip of each caption, int64 `(captions,)`.
        audio_to_text_precisions, text_to_audio_precisions (`np.ndarray`):
            Average precision at 10 of each clip and of each caption, float64.
        clips, captions (`int`): What was searched.
        shared (`int`): Captions that more than one clip has; each of these clips is right for them.
    """

    audio_to_text: dict[str, float]
    text_to_audio: dict[str, float]
    audio_to_text_ranks: npt.NDArray[np.int64]
    text_to_audio_ranks: npt.NDArray[np.int64]
    audio_to_text_precisions: npt.NDArray[np.float64]
    text_to_audio_precisions: npt.NDArray[np.float64]
    clips: int
    captions: int
    shared: int = 0


def retrieval_scores(
    similarity: npt.ArrayLike,
    clip_of_caption: Sequence[int] | None = None,
    texts: Sequence[Hashable] | None = None,
    **settings: object,
) -> RetrievalScores:
    """
    Scores of a table of similarities. What scores as high as a right one counts as ahead of it.

    Args:
        similarity: Of each clip with each caption, `(clips, captions)`; any scale.
        clip_of_caption: Row of the clip of each caption; by default the caption's own number, one for each clip.
        texts: What each caption says, or a number for it; those that are equal are one caption, right for all its
            clips. Without it every caption is right for its own clip alone.
        settings: What else made the similarities, for the result.

    Raises:
        ValueError: the table holds NaN, does not fit the captions, or a clip has no caption.

    Example:
    ```python
    >>> result = retrieval_scores([[0.9, 0.1, 0.8, 0.3], [0.2, 0.7, 0.4, 0.6]], clip_of_caption=[0, 0, 1, 1])
    >>> result.audio_to_text["recall@1"], result.text_to_audio["recall@1"]
    (0.5, 0.5)
    >>> similarity = [[0.9, 0.9, 0.1], [0.9, 0.9, 0.1], [0.2, 0.2, 0.8]]
    >>> retrieval_scores(similarity, texts=["rain", "rain", "a dog"]).audio_to_text["recall@1"]
    1.0

    ```
    """
    table = np.asarray(similarity, dtype=np.float64)
    owner = np.asarray(range(table.shape[-1]) if clip_of_caption is None else clip_of_caption)
    _check(table, owner)
    captions_of, clips_of = _right_ones(owner, range(len(owner)) if texts is None else texts)
    by_clip = list(right_ranks(table, captions_of))
    by_caption = list(right_ranks(table.T, clips_of))
    clip_ranks, caption_ranks = (np.array([ranks[0] for ranks in every]) for every in (by_clip, by_caption))
    of_clips, of_captions = (np.array([_average_precision(r) for r in every]) for every in (by_clip, by_caption))
    return RetrievalScores(
        audio_to_text=_figures(clip_ranks, of_clips),
        text_to_audio=_figures(caption_ranks, of_captions),
        audio_to_text_ranks=clip_ranks,
        text_to_audio_ranks=caption_ranks,
        audio_to_text_precisions=of_clips,
        text_to_audio_precisions=of_captions,
        clips=len(table),
        captions=table.shape[1],
        shared=sum(len(clips) > 1 for clips in clips_of),
        settings=dict(settings),
    )


Numbers = npt.NDArray[np.int64]


def _right_ones(owner: Numbers, texts: Sequence[Hashable]) -> tuple[list[Numbers], list[Numbers]]:
    """The captions that are right for each clip, and the clips that are right for each caption."""
    if len(texts) != len(owner):
        raise ValueError(f"Got the texts of {len(texts)} captions; expected one for each of {len(owner)}.")
    captions: dict[Hashable, list[int]] = {}  # of each text
    for caption, text in enumerate(texts):
        captions.setdefault(text, []).append(caption)
    clips = {text: np.unique(owner[columns]) for text, columns in captions.items()}
    of_clips: list[set[int]] = [set() for _ in range(int(owner.max()) + 1)]
    for text, columns in captions.items():
        for clip in clips[text]:
            of_clips[clip].update(columns)
    return [np.array(sorted(columns)) for columns in of_clips], [clips[text] for text in texts]


def right_ranks(
    table: npt.NDArray[np.float64], right: Sequence[npt.NDArray[np.int64]]
) -> Iterator[npt.NDArray[np.int64]]:
    """
    Ranks of the right columns of each row, from the best on; 1 is first, and wrong columns win ties.

    Args:
        table: Similarities, `(queries, items)`.
        right: Numbers of the right columns of each row.
    """
    for row, columns in zip(table, right, strict=True):
        own = np.sort(row[columns])[::-1]
        wrong = np.delete(row, columns)
        ahead = (wrong >= own[:, None]).sum(1)  # (right, wrong) -> (right,)
        yield ahead + np.arange(1, len(own) + 1)


def _figures(first: npt.NDArray[np.int64], precisions: npt.NDArray[np.float64]) -> dict[str, float]:
    """Of the rank of each query's best right item, and its average precision."""
    figures = {f"recall@{k}": float((first <= k).mean()) for k in RECALLS}
    return {**figures, f"map@{MAP_AT}": float(precisions.mean())}


def _average_precision(ranks: npt.NDArray[np.int64]) -> float:
    """Of right items at these ranks, among the first `MAP_AT`."""
    precision = np.arange(1, len(ranks) + 1) / ranks
    return float(precision[ranks <= MAP_AT].sum()) / min(len(ranks), MAP_AT)


def _check(table: npt.NDArray[np.float64], owner: npt.NDArray[np.int64]) -> None:
    if table.ndim != 2 or not table.size or np.isnan(table).any():
        raise ValueError(f"Got similarities of shape {table.shape}; expected numbers of shape (clips, captions).")
    if owner.shape != (table.shape[1],) or set(owner.tolist()) != set(range(len(table))):
        raise ValueError(
            f"Got clips for {len(owner)} captions, {len(set(owner.tolist()))} different ones; expected one for each of "
            f"{table.shape[1]} captions, and a caption for each of {len(table)} clips."
        )


__all__ = ["DIRECTIONS", "RetrievalScores", "retrieval_scores", "right_ranks"]
