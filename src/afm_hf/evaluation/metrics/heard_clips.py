"""Clips and texts of a metric, embedded by a CLAP: in batches, each text once, clips that cannot be heard named."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...audio.audio_loading import AudioDecodeError
from ...retrieval.embedder import ClapEmbedder, Embeddings


def embed_clips(
    embedder: ClapEmbedder, clips: Sequence[Any], truncation: str, batch_size: int, progress: bool = False
) -> tuple[Embeddings, dict[int, str]]:
    """
    Embeddings of clips, float32 `(clips, dim)`, NaN for those that cannot be heard; and why, by their places.

    Args:
        embedder: The CLAP.
        clips: Whatever [`load_audio`] takes.
        truncation: What of a long clip is heard.
        batch_size: Clips per forward pass.
        progress: Show a progress bar on stderr.

    Raises:
        ValueError: none of them can be heard.
    """
    from tqdm import tqdm

    from ...models.clap_afm.embedding_clap_afm import extract_features
    from ...pipelines.pipeline_audio_inputs import collate_features

    found: dict[int, npt.NDArray[np.float32]] = {}
    skipped: dict[int, str] = {}
    with tqdm(total=len(clips), unit="clip", desc="listening", leave=False, disable=not progress) as bar:
        for start in range(0, len(clips), batch_size):
            items = {}
            for place in range(start, min(start + batch_size, len(clips))):
                try:
                    items[place] = extract_features(embedder.feature_extractor, clips[place], truncation=truncation)
                except AudioDecodeError as error:
                    skipped[place] = str(error)
            if items:
                rows = embedder.embed_features(collate_features(list(items.values())))
                found.update(zip(items, rows, strict=True))
            bar.update(min(batch_size, len(clips) - start))
    if not found:
        reasons = "; ".join(list(skipped.values())[:3]) or "there are none"
        raise ValueError(f"None of the {len(clips)} clips can be heard ({reasons}).")
    nothing = np.full(len(next(iter(found.values()))), np.nan, np.float32)
    return np.stack([found.get(place, nothing) for place in range(len(clips))]), skipped


def embed_each_once(embedder: ClapEmbedder, texts: Sequence[str]) -> Embeddings:
    """Embeddings of texts, `(texts, dim)`; a text that comes often is embedded once."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return embedder.embed_text(list(places))[[places[text] for text in texts]]


__all__ = ["embed_clips", "embed_each_once"]
