"""
CLAP score: how well audio fits the text that it was made for, as the cosine of their embeddings by a CLAP.

It is the usual figure of text-to-audio models. It depends on the CLAP as much as on the audio: only figures of one
model, with one way of hearing long clips, can be compared, and texts of other clips say where chance lies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult, settings_of
from ...retrieval.embedder import ClapEmbedder
from .by_clip import by_clip
from .correlation import bootstrap_mean
from .heard_clips import embed_clips, embed_each_once


@dataclass(kw_only=True)
class ClapScore(AfmResult):
    """
    Cosines of pairs of a text and a clip, -1 to 1.

    Args:
        score (`float`): Their mean over the clips that could be heard.
        low, high (`float`): Ends of its 95 % bootstrap interval over the pairs; the score itself for a single pair.
        scores (`list[float | None]`): Of each pair; `None` where the clip could not be heard.
        mismatched (`float`, *optional*):
            Mean cosine of each clip with the texts of the others that are other words: what a pair that does not belong
            together gets. `None` if all texts are the same.
        count (`int`): Pairs in the score.
        skipped (`dict[int, str]`): Place and reason of clips that could not be heard.
    """

    score: float
    low: float
    high: float
    scores: list[float | None]
    mismatched: float | None
    count: int
    skipped: dict[int, str]


def clap_score(
    texts: Iterable[str] | Mapping[Any, str],
    audio: Iterable[Any] | Mapping[Any, Any],
    model: Any = "clap-small",
    *,
    truncation: str = "windows",
    batch_size: int = 16,
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> ClapScore:
    """
    Scores each clip against its text.

    Args:
        texts, audio: One text for each clip; clips are whatever [`load_audio`] takes. Both lists (or generators), or
            both dictionaries by clip.
        model: Name of a bundled checkpoint, folder or Hub id of a CLAP, or a [`ClapEmbedder`].
        truncation (`str`): What of a long clip is heard: `"windows"` (all of it), `"first"`, `"center"`.
        batch_size (`int`): Clips per forward pass.
        resamples, seed (`int`): Of the bootstrap.
        progress (`bool`): Show a progress bar on stderr.

    Raises:
        ValueError: there are not as many texts as clips, a text is blank, no clip can be heard, or a setting makes no
            sense.

    Example:
    ```python
    >>> import afm_hf

    >>> cow, rain = afm_hf.bundled_audio()[4], "missing.wav"
    >>> result = clap_score(["A cow is mooing.", "Rain falls."], [cow, rain])
    >>> result.count, list(result.skipped), result.scores[1]
    (1, [1], None)

    ```
    """
    if truncation == "random" or batch_size < 1:
        raise ValueError(
            f"`truncation` is {truncation!r} and `batch_size` {batch_size}; expected what hears the same at every run, "
            "and 1 or more."
        )
    given = by_clip(texts=texts, audio=audio)
    said, clips = given["texts"], given["audio"]
    if len(said) != len(clips) or not said:
        raise ValueError(f"There are {len(said)} texts and {len(clips)} clips; expected one text for each clip.")
    for place, text in enumerate(said):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"texts[{place}] is {text!r}; expected a text that is not blank.")
    embedder = model if isinstance(model, ClapEmbedder) else ClapEmbedder(model)
    heard, skipped = embed_clips(embedder, clips, truncation, batch_size, progress)
    meant = embed_each_once(embedder, said)
    texts_by_clip = heard.astype(np.float64) @ meant.astype(np.float64).T  # (clips, texts), NaN where skipped
    cosines = texts_by_clip.diagonal()
    kept = cosines[~np.isnan(cosines)]
    low, high = bootstrap_mean(kept, resamples=resamples, seed=seed) if resamples else (float(kept.mean()),) * 2
    return ClapScore(
        score=float(kept.mean()),
        low=low,
        high=high,
        scores=[None if np.isnan(value) else float(value) for value in cosines],
        mismatched=_mismatched(texts_by_clip, said),
        count=len(kept),
        skipped=skipped,
        settings=settings_of(embedder.model, truncation=truncation, resamples=resamples, seed=seed),
    )


def _mismatched(texts_by_clip: npt.NDArray[np.float64], texts: list[str]) -> float | None:
    """Mean of the cosines of clips with texts that are not theirs."""
    words = np.array(texts)
    others = (words[:, None] != words[None]) & ~np.isnan(texts_by_clip)
    return float(texts_by_clip[others].mean()) if others.any() else None


__all__ = ["ClapScore", "clap_score"]
