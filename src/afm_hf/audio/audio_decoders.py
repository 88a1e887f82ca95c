"""From a source of any kind to samples: what samples are taken as they are, and files are decoded."""

import array
from collections.abc import Mapping
from typing import Any

from .audio_backends import decode_file
from .audio_checks import AudioDecodeError, Part, Waveform
from .audio_optional import from_decoder
from .audio_samples import (
    SAMPLES_KEYS,
    from_audio_samples,
    from_samples,
    holds_samples,
    is_audio_samples,
    own_rate,
    rate_of,
)
from .audio_sources import encoded


def decode_source(source: Any, fallback_rate: int | None, backend: str, part: Part, label: str) -> tuple[Waveform, int]:
    """Source of any kind -> (channels, samples) and rate."""
    if isinstance(source, Mapping):
        return _decode_mapping(source, fallback_rate, backend, part, label)
    if isinstance(source, array.array):
        source = memoryview(source)
    if holds_samples(source):
        if fallback_rate is None:
            hint = "Pass source_sampling_rate, or {'array': samples, 'sampling_rate': rate}."
            raise AudioDecodeError(label, "samples came without a sampling rate", hint)
        return part.cut(from_samples(source, label), fallback_rate), fallback_rate
    if callable(getattr(source, "get_all_samples", None)):
        return from_decoder(source, part, label)
    if is_audio_samples(source):
        waveform, rate = from_audio_samples(source, label)
        return part.cut(waveform, rate), rate
    return decode_file(encoded(source, label), backend, part)


def _decode_mapping(
    source: Mapping[str, Any], fallback_rate: int | None, backend: str, part: Part, label: str
) -> tuple[Waveform, int]:
    for key in SAMPLES_KEYS:
        if source.get(key) is not None:
            given, inner = rate_of(source, label), own_rate(source[key], label)
            if given is not None and inner is not None and given != inner:
                hint = "Leave the outer one out."
                raise AudioDecodeError(label, f"says {given} Hz, but its {key!r} says {inner} Hz itself", hint)
            return decode_source(source[key], fallback_rate if given is None else given, backend, part, label)
    for key in ("bytes", "path"):
        if source.get(key) is not None:
            return decode_file(encoded(source[key], label), backend, part)
    keys = ", ".join(repr(key) for key in list(source)[:8]) or "none"
    hint = "Pass {'array': samples, 'sampling_rate': rate} or {'path': ..., 'bytes': ...}."
    raise AudioDecodeError(label, f"a mapping without audio (its keys: {keys})", hint)
