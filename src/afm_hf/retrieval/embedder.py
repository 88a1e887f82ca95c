"""A CLAP as an embedder of clips and texts, and the fingerprint by which indices know it again."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..hub.loading import load_clap, pick_device, resolve_model
from ..hub.precision import pick_dtype, precision_of
from ..models.clap_afm.background_clap_afm import EVERYDAY_SOUNDS
from ..models.clap_afm.embedding_clap_afm import embed_audio, embed_texts, extract_features
from ..models.common.batch_afm import AfmBatchFeature
from ..models.common.feature_extraction_afm import as_clips
from ..models.common.fingerprint_afm import fingerprint
from ..pipelines.pipeline_audio_inputs import collate_features
from .known_fingerprints import remembered

Embeddings = npt.NDArray[np.float32]


class ClapEmbedder:
    """A CLAP that embeds audio and text into one space.

    Attributes:
        name: what was asked for: the name of a bundled checkpoint, a folder (absolute) or a Hub id.
        model, feature_extractor, tokenizer: its parts.
        dtype: the number format in which it was asked for, as picked; None is the checkpoint's own.
        fingerprint: SHA-256 of weights and settings, 64 hexadecimal digits. Same fingerprint, same embeddings.
    """

    def __init__(
        self, model: str | os.PathLike[str] = "clap-small", device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load a checkpoint.

        Args:
            model: the name of a bundled checkpoint, a folder, or a Hub id.
            device: "cpu", "cuda", ...; None takes a GPU if there is one.
            dtype: "auto", "float32", "bfloat16", "int8", ..., see `pick_dtype`; None keeps the checkpoint's.

        Raises:
            ValueError: the model does not embed audio and text apart, cannot be in that number format, or there is no
                such device.
            OSError: there is no such checkpoint.
        """
        place = pick_device(device)
        self.name = resolve_model(model) if Path(os.fspath(model)).is_dir() else os.fspath(model)
        self.dtype = pick_dtype(dtype, place)
        self.model, self.feature_extractor, self.tokenizer = load_clap(model, self.dtype, place)
        parts = (self.model, self.feature_extractor, self.tokenizer)
        # The number format is in the weights' hash; a checkpoint may be loaded in any.
        settings = f"{precision_of(self.model)} {torch.get_default_dtype()}"
        self.fingerprint = remembered(resolve_model(model), settings, lambda: fingerprint(*parts))
        self.model.to(place)

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        return int(self.model.config.projection_dim)

    @torch.no_grad()
    def embed_text(self, texts: str | Iterable[str]) -> Embeddings:
        """Embeddings of a text or of several, float32 `(texts, dim)`, L2-normalised.

        Raises:
            ValueError: there are none, or one is no text or blank.
        """
        given = [texts] if isinstance(texts, str) else list(texts)
        if not given or not all(isinstance(text, str) and text.strip() for text in given):
            raise ValueError(f"Expected one or more texts that are not blank, but was given {given!r}.")
        return _to_numpy(embed_texts(self.model, self.tokenizer, given))

    def embed_everyday(self) -> Embeddings:
        """Embeddings of the everyday sounds that relevance is measured against, float32 `(sounds, dim)`."""
        return self.embed_text(EVERYDAY_SOUNDS)

    def embed_audio(self, clips: Any, truncation: str | None = None) -> Embeddings:
        """Embeddings of a clip or of several, float32 `(clips, dim)`, L2-normalised.

        See `load_audio` for what a clip may be. As for feature extractors, a bare 2-D array is a batch of mono clips.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used.
            ValueError: there are none.
        """
        items = [extract_features(self.feature_extractor, clip, None, truncation) for clip in as_clips(clips)]
        return self.embed_features(collate_features(items))

    @torch.no_grad()
    def embed_features(self, features: dict[str, Any]) -> Embeddings:
        """Embeddings of the feature extractor's output, float32 `(batch, dim)`, L2-normalised."""
        moved = AfmBatchFeature(dict(features)).to(self.model.device, self.model.dtype)
        return _to_numpy(embed_audio(self.model, dict(moved)))


def as_embedder(
    model: str | os.PathLike[str] | ClapEmbedder, device: str | None = None, dtype: str | None = None
) -> ClapEmbedder:
    """The embedder given, or that of a model.

    Raises:
        ValueError: the embedder given is in another number format than the one asked for; or as of [`ClapEmbedder`].
    """
    if not isinstance(model, ClapEmbedder):
        return ClapEmbedder(model, device, dtype)
    if dtype is not None and pick_dtype(dtype, model.model.device) != precision_of(model.model):
        raise ValueError(
            f"`dtype` is {dtype!r}, but the embedder given computes in {precision_of(model.model)}. Leave `dtype` out."
        )
    return model


def settings_of(embedder: ClapEmbedder, truncation: str | None) -> dict[str, Any]:
    """What an index remembers besides the model: the truncation, and the number format where it is not float32."""
    kept = {} if embedder.dtype in (None, "float32") else {"dtype": embedder.dtype}
    return {"truncation": truncation, **kept}


def _to_numpy(embeddings: torch.Tensor) -> Embeddings:
    return embeddings.float().cpu().numpy()


__all__ = ["ClapEmbedder", "Embeddings", "as_embedder", "fingerprint", "settings_of"]
