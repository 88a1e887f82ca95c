"""The samples of a clip part after part, for those who need not have all of them at once.

Files are decoded, mixed and resampled a few seconds at a time, so that an hour takes no more memory than a minute.
Channels one after the other take a pass each. What only torchcodec reads, where there is no ffmpeg program, is decoded
whole: reading it in parts begins anew with each.
"""

import array
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from .audio_backends import stream_file
from .audio_checks import Part, Waveform, check_choice, check_rate, check_waveform, describe_source
from .audio_decoders import decode_source
from .audio_loading import CHANNEL_POLICIES, RESAMPLERS, AudioSource
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
    check_choice("channels", channels, CHANNEL_POLICIES)
    check_choice("resampler", resampler, RESAMPLERS)
    if source_sampling_rate is None and lacks_rate(source):
        warn_of_assumed_rate(wanted)
    fallback = wanted if source_sampling_rate is None else check_rate(source_sampling_rate, label, "the given rate")
    part = Part.checked(0.0, None, None, label, max_values, wanted)
    source = memoryview(source) if isinstance(source, array.array) else source
    file = _file_of(source, label)  # once: a file object cannot be read again

    passes = 1  # through the clip: channels that are put one after the other take one each
    channel = 0
    while channel < passes:
        parts = stream_file(file, part) if file is not None else _parts(source, fallback, part, label)
        checked = _checked(parts, part, label)
        first, rate = next(checked)
        passes = len(first) if channels == "concat" else 1
        wanted_channel = None if channels == "mean" else channel
        every = chain([first], (waveform for waveform, _ in checked))
        mixed = (_mixed(waveform, wanted_channel) for waveform in every)
        yield from resample_parts(mixed, rate, wanted, resampler)
        channel += 1


def _parts(source: Any, fallback_rate: int, part: Part, label: str) -> _Parts:
    """Samples of any kind, as they are, part after part."""
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


def _checked(parts: _Parts, part: Part, label: str) -> _Parts:
    samples = 0
    for waveform, rate in parts:
        yield check_waveform(waveform, rate, part, label, samples), rate
        samples += waveform.shape[1]


def _mixed(waveform: Waveform, channel: int | None) -> Waveform:
    """(channels, samples) -> (samples,): a channel, or the mean of all."""
    if channel is not None or len(waveform) == 1:
        return waveform[channel or 0]
    return waveform.mean(axis=0, dtype=np.float32)


__all__ = ["stream_audio"]
