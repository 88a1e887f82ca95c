"""Load audio from anything that holds it: decode, cut, mix down, resample, and check what came out.

soundfile decodes and soxr resamples; torchcodec, torchaudio and the `ffmpeg` program are used only where they work and
are needed (m4a, mp4, webm). Two things differ from the official loaders: channels are averaged instead of put one after
the other (`channels="concat"` is the official rule), and soxr resamples (`resampler="torchaudio"` is the official
one). Whatever is wrong with a source ends in one exception, `AudioDecodeError`, which names the source, the reason and,
where one is known, the remedy. Values are never repaired: NaN, infinity and absurd rates or levels are refused.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .audio_checks import AudioDecodeError, Part, Waveform, check_choice, check_rate, check_waveform, describe_source
from .audio_decoders import decode_source
from .audio_resampling import resample_sinc, resample_soxr
from .audio_samples import lacks_rate, warn_of_assumed_rate

_BACKENDS = ("auto", "soundfile", "torchcodec", "torchaudio", "ffmpeg")
CHANNEL_POLICIES = ("mean", "concat", "first")
RESAMPLERS = ("soxr", "torchaudio")


class SampleDecoder(Protocol):
    """A decoder of torchcodec or datasets: `get_all_samples()` gives `.data` (channels, samples) and `.sample_rate`."""

    def get_all_samples(self) -> Any:
        """Decode everything."""
        ...


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
    | SampleDecoder
)


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
    max_values: int | None = None,
    name: str | None = None,
) -> Waveform:
    """Load any audio as one channel at one rate.

    Args:
        source: a path, a `file://`, `http://` or `https://` URL, the bytes of a file, a binary file object (read
            from its beginning if it can go back; from where it stands if audio begins only there), samples (NumPy
            array, torch tensor, list of floats, buffer; `(samples,)` or `(channels, samples)`; floats at full scale 1,
            or int16, int32, uint8 PCM, which is scaled), a mapping
            `{"array" | "raw": ..., "sampling_rate": ...}` or `{"path": ..., "bytes": ...}` (bytes win), a decoder with
            `get_all_samples()` as datasets and torchcodec have, or what that gives (`data`, `sample_rate`). The rate
            may also be called `sample_rate`, `samplerate`, `sr`, `fs`, `rate` or `frame_rate`.
        sampling_rate: wanted rate in Hz; None keeps the rate of the source.
        channels: "mean" averages the channels, "first" takes channel 0, "concat" resamples every channel and puts them
            one after the other, as the official loaders do.
        resampler: "soxr" (HQ), or "torchaudio" for the numerics of `torchaudio.functional.resample` (see `resample`).
        backend: decoder of files: "auto" is soundfile, then, for containers that it cannot read, torchcodec, then the
            ffmpeg program; "soundfile", "torchcodec", "torchaudio" and "ffmpeg" are that one alone.
        source_sampling_rate: rate in Hz of samples that come without one. None: they are taken to be at
            `sampling_rate`, with a warning. A rate that the source itself carries always wins.
        offset_s: where to start, in seconds of the source.
        duration_s: seconds to read from there (less if the source ends sooner). Only these are decoded.
        max_duration_s: refuse what would be longer than this many seconds (after `offset_s` and `duration_s`).
        max_values: refuse what would be more values than this (seconds x rate x channels, at the rate of the source
            or at `sampling_rate`, whichever is higher), before the memory is asked for. None: 2**30, which are 4 GiB.
        name: what errors and warnings call the source.

    Returns:
        float32 `(samples,)`, finite, never empty; `ceil(n * new / old)` samples for n samples at the old rate
        (`channels * that` with "concat").

    Raises:
        AudioDecodeError: the source cannot be read, or what it holds is not usable audio.
        ValueError: `channels`, `resampler` or `backend` is not one of the names above.
    """
    check_choice("channels", channels, CHANNEL_POLICIES)
    check_choice("resampler", resampler, RESAMPLERS)
    label = name or describe_source(source)
    wanted = None if sampling_rate is None else check_rate(sampling_rate, label, "sampling_rate")
    if source_sampling_rate is None and wanted is not None and lacks_rate(source):
        warn_of_assumed_rate(wanted)
    check_choice("backend", backend, _BACKENDS)
    part = Part.checked(offset_s, duration_s, max_duration_s, label, max_values, wanted)
    waveform, rate = _decode(
        source, wanted if source_sampling_rate is None else source_sampling_rate, backend, part, label
    )
    if channels == "mean" and len(waveform) > 1:
        waveform = waveform.mean(axis=0, keepdims=True, dtype=np.float32)  # (channels, samples) -> (1, samples)
    elif channels == "first":
        waveform = waveform[:1]  # (channels, samples) -> (1, samples)
    return resample(waveform, rate, wanted or rate, resampler).reshape(-1)  # (channels, samples) -> (all samples,)


def decode_audio(
    source: AudioSource,
    *,
    source_sampling_rate: int | None = None,
    backend: str = "auto",
    offset_s: float = 0.0,
    duration_s: float | None = None,
    max_duration_s: float | None = None,
    max_values: int | None = None,
    name: str | None = None,
) -> tuple[Waveform, int]:
    """Decode any audio without mixing or resampling it. The arguments are those of `load_audio`.

    Samples that come without a rate need `source_sampling_rate`. A file that holds fewer samples than its header
    promises is used as far as it goes, with a `UserWarning` that names it and both lengths.

    Returns:
        float32 `(channels, samples)`, finite, never empty, at most 64 channels; and the rate in Hz (1 kHz to 768 kHz).

    Raises:
        AudioDecodeError: the source cannot be read, or what it holds is not usable audio.
        ValueError: `backend` is unknown.
    """
    check_choice("backend", backend, _BACKENDS)
    label = name or describe_source(source)
    part = Part.checked(offset_s, duration_s, max_duration_s, label, max_values)
    return _decode(source, source_sampling_rate, backend, part, label)


def _decode(
    source: AudioSource, source_sampling_rate: int | None, backend: str, part: Part, label: str
) -> tuple[Waveform, int]:
    fallback_rate = None if source_sampling_rate is None else check_rate(source_sampling_rate, label, "the given rate")
    try:
        waveform, rate = decode_source(source, fallback_rate, backend, part, label)
        return check_waveform(waveform, rate, part, label), rate
    except MemoryError:
        raise AudioDecodeError(label, "does not fit into memory", "Read a part of it with duration_s.") from None


def resample(waveform: Waveform, orig_rate: int, new_rate: int, method: str = "soxr") -> Waveform:
    """Change the sampling rate.

    "torchaudio" computes what `torchaudio.functional.resample` does by default (Hann-windowed sinc, 6 zero crossings,
    roll-off 0.99), by which the official checkpoints were made; it does not need torchaudio. Same inputs, same numbers:
    it agrees with torchaudio to one float32 rounding.

    Args:
        waveform: float32 `(samples,)` or `(channels, samples)`.
        orig_rate: its rate in Hz.
        new_rate: the wanted rate in Hz.
        method: "soxr" or "torchaudio".

    Returns:
        float32 of the same number of dimensions, `ceil(samples * new_rate / orig_rate)` samples long.

    Raises:
        AudioDecodeError: a rate is no whole number of 1 kHz to 768 kHz, or the waveform is empty or not 1-D or 2-D.
        ValueError: `method` is unknown.
    """
    check_choice("method", method, RESAMPLERS)
    orig = check_rate(orig_rate, "<waveform>", "orig_rate")
    new = check_rate(new_rate, "<waveform>", "new_rate")
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim not in (1, 2) or not samples.size:
        raise AudioDecodeError("<waveform>", f"has shape {samples.shape}, expected (samples,) or (channels, samples)")
    if orig == new:
        return samples
    rows = np.atleast_2d(samples)
    resampled = resample_soxr(rows, orig, new) if method == "soxr" else resample_sinc(rows, orig, new)
    return resampled if samples.ndim == 2 else resampled[0]


__all__ = [
    "AudioDecodeError",
    "AudioSource",
    "SampleDecoder",
    "Waveform",
    "decode_audio",
    "describe_source",
    "load_audio",
    "resample",
]
