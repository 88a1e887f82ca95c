"""The samples of a clip part after part, for those who need not have all of them at once.

Files that soundfile reads are decoded, mixed and resampled a few seconds at a time, so that an hour takes no more
memory than a minute. What needs another decoder, the numerics of torchaudio or the channels one after the other is
read whole.
"""

import array
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from .audio_backends import decode_file
from .audio_checks import Part, UnavailableError, Waveform, check_choice, check_rate, check_waveform, describe_source
from .audio_decoders import decode_source
from .audio_loading import CHANNEL_POLICIES, AudioSource, load_audio
from .audio_resampling import resample_parts
from .audio_samples import (
    SAMPLES_KEYS,
    holds_samples,
    is_audio_samples,
    lacks_rate,
    parts_of_samples,
    rate_of,
    warn_of_assumed_rate,
)
from .audio_soundfile import UnknownFormatError, stream_soundfile
from .audio_sources import EncodedAudio, encoded

_PART_S = 10  # short beside an hour, and long enough that the work for each part does not matter

_Parts = Iterator[tuple[Waveform, int]]  # (channels, samples), and their rate in Hz


def stream_audio(
    source: AudioSource,
    sampling_rate: int,
    *,
    channels: str = "mean",
    resampler: str = "soxr",
    source_sampling_rate: int | None = None,
    max_values: int | None = None,
    name: str | None = None,
) -> Iterator[Waveform]:
    """What [`load_audio`] gives, in parts of float32 `(samples,)`; its arguments and its errors, each where it comes.

    The parts together are its samples, to the bit.
    """
    label = name or describe_source(source)
    wanted = check_rate(sampling_rate, label, "sampling_rate")
    if channels == "concat" or resampler != "soxr":
        waveform = load_audio(
            source,
            wanted,
            channels=channels,
            resampler=resampler,
            source_sampling_rate=source_sampling_rate,
            max_values=max_values,
            name=label,
        )
        yield from _in_parts(waveform, wanted)
        return
    check_choice("channels", channels, CHANNEL_POLICIES)
    if source_sampling_rate is None and lacks_rate(source):
        warn_of_assumed_rate(wanted)
    fallback = wanted if source_sampling_rate is None else check_rate(source_sampling_rate, label, "the given rate")
    part = Part.checked(0.0, None, None, label, max_values, wanted)
    parts = _checked(_parts(source, fallback, part, label), part, label)
    first, rate = next(parts)
    mixed = (_mixed(waveform, channels) for waveform in chain([first], (waveform for waveform, _ in parts)))
    yield from resample_parts(mixed, rate, wanted)


def _parts(source: Any, fallback_rate: int, part: Part, label: str) -> _Parts:
    """A source of any kind, as it is, part after part."""
    source = memoryview(source) if isinstance(source, array.array) else source
    file = _file_of(source, label)
    if file is not None:
        yield from _parts_of_file(file, part)
        return
    samples, rate = source, fallback_rate
    if isinstance(source, Mapping):
        samples = next((source[key] for key in SAMPLES_KEYS if source.get(key) is not None), None)
        rate = rate_of(source, label) or fallback_rate
    if holds_samples(samples):
        yield from ((waveform, rate) for waveform in parts_of_samples(samples, _PART_S * rate, label))
    else:
        yield decode_source(source, fallback_rate, "auto", part, label)


def _file_of(source: Any, label: str) -> EncodedAudio | None:
    """The encoded file that a source is or names; None for samples, and for what gives them itself."""
    if isinstance(source, Mapping):
        if any(source.get(key) is not None for key in SAMPLES_KEYS):
            return None
        source = next((source[key] for key in ("bytes", "path") if source.get(key) is not None), None)
        return None if source is None else encoded(source, label)
    if holds_samples(source) or is_audio_samples(source) or callable(getattr(source, "get_all_samples", None)):
        return None
    return encoded(source, label)


def _parts_of_file(file: EncodedAudio, part: Part) -> _Parts:
    blocks = stream_soundfile(file, part)
    try:
        first = next(blocks, None)
    except (UnknownFormatError, UnavailableError):
        first = None
    if first is None:  # other decoders, or the reason why none can read it
        yield decode_file(file, "auto", part)
        return
    yield first
    yield from blocks


def _checked(parts: _Parts, part: Part, label: str) -> _Parts:
    samples = 0
    for waveform, rate in parts:
        yield check_waveform(waveform, rate, part, label, samples), rate
        samples += waveform.shape[1]


def _mixed(waveform: Waveform, channels: str) -> Waveform:
    """(channels, samples) -> (samples,)"""
    if channels == "first" or len(waveform) == 1:
        return waveform[0]
    return waveform.mean(axis=0, dtype=np.float32)


def _in_parts(waveform: Waveform, rate: int) -> Iterator[Waveform]:
    size = _PART_S * rate
    return (waveform[start : start + size] for start in range(0, len(waveform), size))


__all__ = ["stream_audio"]
