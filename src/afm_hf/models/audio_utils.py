"""Load audio: decode, cut, mix down, resample and check (skeleton: the signatures are final)."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Waveform: TypeAlias = npt.NDArray[np.float32]
AudioSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | npt.NDArray[Any]
    | torch.Tensor
    | Sequence[float]
    | Mapping[str, Any]
)


class AudioDecodeError(ValueError):
    """Audio that cannot be used: `.source` names it, `.reason` says why, `.hint` how to mend it (or None)."""

    def __init__(self, source: str, reason: str, hint: str | None = None) -> None:
        super().__init__(source, reason, hint)
        self.source, self.reason, self.hint = source, reason, hint


def load_audio(
    source: AudioSource,
    sampling_rate: int | None,
    *,
    channels: str = "mean",
    resampler: str = "soxr",
    backend: str = "auto",
    source_sampling_rate: int | None = None,
    offset_s: float = 0.0,
    duration_s: float | None = None,
    max_duration_s: float | None = None,
    name: str | None = None,
) -> Waveform:
    """Any audio as mono float32 `(samples,)` at `sampling_rate`."""
    raise NotImplementedError


def decode_audio(
    source: AudioSource,
    *,
    source_sampling_rate: int | None = None,
    backend: str = "auto",
    offset_s: float = 0.0,
    duration_s: float | None = None,
    max_duration_s: float | None = None,
    name: str | None = None,
) -> tuple[Waveform, int]:
    """Any audio as float32 `(channels, samples)` and its own rate in Hz."""
    raise NotImplementedError


def resample(waveform: Waveform, orig_rate: int, new_rate: int, method: str = "soxr") -> Waveform:
    """Resample `(samples,)` or `(channels, samples)` float32 from `orig_rate` to `new_rate` Hz."""
    raise NotImplementedError
