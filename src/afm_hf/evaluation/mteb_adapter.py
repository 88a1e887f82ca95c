"""
CLAP models in [MTEB](https://github.com/embeddings-benchmark/mteb) (2.x), for its audio and audio-text tasks.

`mteb.evaluate(MtebEncoder("clap-2023"), tasks)`: clips come as arrays with their sampling rate, are resampled by the
model's own feature extractor, and go through the model batch by batch, as in the rest of the package; nothing is
written to disk. `mteb` itself is imported by [`MtebEncoder.mteb_model_meta`] alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..retrieval.embedder import ClapEmbedder

Embeddings = npt.NDArray[np.float32]


class MtebEncoder:
    """
    An `EncoderProtocol` of MTEB.

    Args:
        model (`str`): A bundled model, a folder, or a Hub id.
        revision (`str`, *optional*): What MTEB files the results under; part of the weights' SHA-256 if not given.
        device (`str`, *optional*): As `"cuda"`; a GPU if there is one.
        truncation (`str`, *optional*): What of a long clip is heard; the model's own setting if not given.
        options: MTEB's loader gives more; they are not used.

    Example:
    ```python
    >>> import numpy as np
    >>> encoder = MtebEncoder("clap-small", device="cpu")
    >>> noise = np.random.default_rng(0).normal(size=8000).astype("float32")
    >>> encoder.encode([{"audio": [{"array": noise, "sampling_rate": 8000}]}, {"text": ["rain"]}]).shape
    (2, 384)

    ```
    """

    def __init__(
        self,
        model: str = "clap-small",
        revision: str | None = None,
        *,
        device: str | None = None,
        truncation: str | None = None,
        **options: Any,
    ) -> None:
        self.embedder = ClapEmbedder(model, device)
        self.truncation = truncation
        self.revision = revision or self.embedder.fingerprint[:16]

    def encode(self, inputs: Iterable[Mapping[str, Any]], **options: Any) -> Embeddings:
        """
        Embeddings of batches.

        Args:
            inputs:
                Batches (a `DataLoader` of MTEB's) with `"audio"`, a list of `{"array", "sampling_rate"}`, or `"text"`,
                a list of texts. Where a batch has both, the embedding is their mean, of length 1.
            options: MTEB's task, split, prompt and batch size, which is that of the `DataLoader`; they change nothing.

        Returns:
            float32 `(items, dim)`, L2-normalised.

        Raises:
            ValueError: a batch has neither audio nor text, a clip has no sampling rate or cannot be used.
        """
        rows = [self._batch(batch) for batch in inputs]
        if not rows:
            raise ValueError("There is nothing to encode: no batches.")
        return np.concatenate(rows)

    def similarity(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> Embeddings:
        """Cosines of all with all, float32 `(first, second)`."""
        return _unit(embeddings1) @ _unit(embeddings2).T

    def similarity_pairwise(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> Embeddings:
        """Cosines of each with its partner, float32 `(items,)`."""
        cosines: Embeddings = (_unit(embeddings1) * _unit(embeddings2)).sum(axis=-1)
        return cosines

    @property
    def mteb_model_meta(self) -> Any:
        """
        What MTEB notes of the model (`mteb.models.ModelMeta`).

        Raises:
            ImportError: MTEB 2.x is not installed.
        """
        try:
            from mteb.models import ModelMeta
        except ImportError as error:
            raise ImportError("MTEB is not installed, or is older than 2: `pip install 'mteb>=2'`.") from error
        model, name = self.embedder.model, Path(self.embedder.name)
        about = {
            "name": self.embedder.name if self.embedder.name.count("/") == 1 else f"afm-hf/{name.name}",
            "revision": self.revision,
            "languages": ["eng-Latn"],
            "modalities": ["audio", "text"],
            "n_parameters": model.num_parameters(),
            "embed_dim": int(model.config.projection_dim),
            "max_tokens": float("inf"),
            "framework": ["PyTorch"],
            "similarity_fn_name": "cosine",
            "use_instructions": False,
            "training_datasets": None,  # not known to MTEB: it cannot say whether a task is zero-shot for the model
        }
        empty = ModelMeta.create_empty().model_dump(exclude_unset=True)
        return ModelMeta(**{**empty, **about})

    def _batch(self, batch: Mapping[str, Any]) -> Embeddings:
        """One batch, `(items, dim)`."""
        found: list[Embeddings] = []
        if "audio" in batch:
            clips = [_clip(audio, number) for number, audio in enumerate(batch["audio"])]
            found.append(self.embedder.embed_audio(clips, self.truncation))
        if "text" in batch:
            found.append(self.embedder.embed_text(list(batch["text"])))
        if not found:
            raise ValueError(f"A batch has 'audio', 'text' or both; this one has {sorted(batch)}.")
        return found[0] if len(found) == 1 else _unit(found[0] + found[1])


def _clip(audio: Any, number: int) -> dict[str, Any]:
    """A clip of `datasets`, decoded or not yet; they answer to the same names."""
    try:
        array, rate = audio["array"], audio["sampling_rate"]
    except (KeyError, TypeError, IndexError):
        raise ValueError(
            f"Clip {number} of a batch is {type(audio).__name__}; expected its `array` and `sampling_rate`, as "
            "`datasets.Audio` gives them."
        ) from None
    return {"array": np.asarray(array), "sampling_rate": int(rate)}


def _unit(embeddings: npt.ArrayLike) -> Embeddings:
    rows = np.asarray(embeddings, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float32).tiny)


__all__ = ["MtebEncoder"]
