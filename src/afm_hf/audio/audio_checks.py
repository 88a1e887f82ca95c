"""What every step of loading audio shares: limits, the one error, checks, and words for messages."""

import functools
import importlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
MAX_PEAK = 1e3  # full scale is 1; far above it a file is damaged or holds unscaled integers
MAX_VALUES = 2**30  # channels x samples of one clip (4 GiB): stops small files that unpack to hours of silence

_FOREVER_S = 1e9  # longer times mean the same and would overflow when counted in samples

Waveform: TypeAlias = npt.NDArray[np.float32]


class AudioDecodeError(ValueError):
    """Audio that cannot be used.

    Attributes:
        source: the file, URL (without its query) or argument.
        reason: what is wrong with it.
        hint: how to mend it, or None.
    """

    def __init__(self, source: str, reason: str = "", hint: str | None = None) -> None:
        # All of them in `args`: so it pickles. `source` alone is a whole message: so a DataLoader rebuilds the error
        # of a worker process with its own type.
        super().__init__(source, reason, hint)
        self.source = source
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        if not self.reason:
            return self.source
        message = f"cannot load audio from {self.source}: {self.reason}"
        return f"{message}. {self.hint}" if self.hint else message


class UnavailableError(Exception):
    """An optional decoder is not installed or does not import."""


@functools.cache
def _probe(module: str) -> tuple[Any, str]:
    """(module, "") or (None, why it cannot be used). Once per process: a broken library costs its import time."""
    try:
        return importlib.import_module(module), ""
    except Exception as error:  # wheels built for other hardware raise OSError or RuntimeError, not only ImportError
        return None, f"{module.split('.')[0]} does not import: {one_line(error)}"


def optional(module: str) -> Any:
    found, why = _probe(module)
    if found is None:
        raise UnavailableError(why)
    return found


def check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{argument} is {value!r}, expected one of {', '.join(map(repr, choices))}")


def _check_number(value: Any, label: str, argument: str) -> float:
    """A finite float from whatever number came; strings and booleans are no numbers."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of several values
        raise AudioDecodeError(label, f"{argument} is {_short(value)}, expected a number") from None
    if not math.isfinite(number):
        raise AudioDecodeError(label, f"{argument} is {number}, expected a finite number")
    return number


def check_rate(value: Any, label: str, argument: str) -> int:
    rate = _check_number(value, label, argument)
    if rate != int(rate) or not MIN_RATE <= rate <= MAX_RATE:
        expected = f"expected a whole number of Hz from {MIN_RATE} to {MAX_RATE}"
        hint = "Rates are in Hz, not kHz: 44100, not 44.1." if MIN_RATE <= rate * 1000 <= MAX_RATE else None
        raise AudioDecodeError(label, f"{argument} is {rate:g} Hz, {expected}", hint)
    return int(rate)


def check_channels(count: int, label: str) -> None:
    if not 1 <= count <= MAX_CHANNELS:
        raise AudioDecodeError(label, f"has {count} channels, expected 1 to {MAX_CHANNELS}")


@dataclass(frozen=True)
class Part:
    """Which seconds of a source are wanted, and how many are too many.

    Attributes:
        offset_s, duration_s, max_duration_s: as of `load_audio`.
        max_values: how many values (samples x channels) are allowed, at the rate of the source and at `wanted_rate`.
        wanted_rate: the rate in Hz to which it will be resampled, if it will.
    """

    offset_s: float
    duration_s: float | None
    max_duration_s: float | None
    max_values: int = MAX_VALUES
    wanted_rate: int | None = None

    @classmethod
    def checked(
        cls,
        offset_s: Any,
        duration_s: Any,
        max_duration_s: Any,
        label: str,
        max_values: Any = None,
        wanted_rate: int | None = None,
    ) -> "Part":
        offset = _check_number(offset_s, label, "offset_s")
        if offset < 0:
            raise AudioDecodeError(label, f"offset_s is {offset:g}, expected 0 or more seconds")
        return cls(
            min(offset, _FOREVER_S),
            cls._seconds(duration_s, label, "duration_s"),
            cls._seconds(max_duration_s, label, "max_duration_s"),
            MAX_VALUES if max_values is None else cls._values(max_values, label),
            wanted_rate,
        )

    @staticmethod
    def _values(value: Any, label: str) -> int:
        values = _check_number(value, label, "max_values")
        if values < 1:
            raise AudioDecodeError(label, f"max_values is {values:g}, expected None or at least 1")
        return int(values)

    @staticmethod
    def _seconds(value: Any, label: str, argument: str) -> float | None:
        if value is None:
            return None
        seconds = _check_number(value, label, argument)
        if seconds <= 0:
            raise AudioDecodeError(label, f"{argument} is {seconds:g}, expected None or more than 0 seconds")
        return min(seconds, _FOREVER_S)

    def start(self, rate: int) -> int:
        """First wanted sample."""
        return round(self.offset_s * rate)

    def quota(self, rate: int, channels: int) -> int:
        """How many samples to read at most: those wanted, or one more than are allowed."""
        quota = self.most_samples(rate, channels) + 1
        if self.max_duration_s is not None:
            quota = min(quota, int(self.max_duration_s * rate) + 1)
        if self.duration_s is not None:
            quota = min(quota, max(1, round(self.duration_s * rate)))
        return quota

    def most_samples(self, rate: int, channels: int) -> int:
        """How many samples of that many channels are allowed, now and when they are resampled."""
        return self.max_values * rate // (channels * max(rate, self.wanted_rate or rate))

    def from_its_start(self) -> "Part":
        """The same part for a decoder that has gone to its start already."""
        return replace(self, offset_s=0.0)

    def cut(self, waveform: Waveform, rate: int) -> Waveform:
        """The wanted part of a waveform that is whole."""
        start = min(self.start(rate), waveform.shape[1])
        return waveform[:, start : start + self.quota(rate, max(1, waveform.shape[0]))]

    def end_s(self) -> float | None:
        """Where a decoder that counts in seconds may stop; None: at the end."""
        limits = [limit for limit in (self.duration_s, self._a_little_over_max()) if limit is not None]
        return self.offset_s + min(limits) if limits else None

    def _a_little_over_max(self) -> float | None:
        return None if self.max_duration_s is None else self.max_duration_s + 1.0  # shows that there was more


def check_waveform(waveform: Waveform, rate: int, part: Part, label: str, before: int = 0) -> Waveform:
    """Refuse what no feature extractor can use; `waveform` is (channels, samples), behind `before` samples."""
    check_rate(rate, label, "its sampling rate")
    if not waveform.size:
        where = f"no samples from {part.offset_s:g} s on" if part.offset_s else "no samples"
        raise AudioDecodeError(label, f"holds {where}", "It is shorter than expected, cut off, or was never filled.")
    channels, samples = waveform.shape[0], before + waveform.shape[1]
    check_channels(channels, label)
    if part.max_duration_s is not None and samples > part.max_duration_s * rate:
        hint = "Read a part of it with offset_s and duration_s, or raise max_duration_s."
        raise AudioDecodeError(label, f"is longer than max_duration_s = {part.max_duration_s:g} s", hint)
    most = part.most_samples(rate, channels)
    if samples > most:
        hint = "Read it in parts with offset_s and duration_s, or raise max_values."
        at = f" at {part.wanted_rate} Hz" if part.wanted_rate and part.wanted_rate > rate else ""
        reason = f"is longer than {most / rate:.1f} s ({channels} channels): more than {part.max_values} values"
        raise AudioDecodeError(label, reason + at, hint)
    _check_values(waveform, rate, label, before)
    return waveform


def _check_values(waveform: Waveform, rate: int, label: str, before: int) -> None:
    peak = float(np.maximum(waveform.max(), -waveform.min()))  # NaN and infinity come through both
    if not math.isfinite(peak):
        bad = ~np.isfinite(waveform)
        first = before + int(bad.any(axis=0).argmax())
        reason = f"{int(bad.sum())} of {waveform.size} values are NaN or infinite, the first at {first / rate:.3f} s"
        raise AudioDecodeError(label, reason, "Mend the file; np.nan_to_num turns such samples into numbers.")
    hint = "Integer PCM held as floats? Divide int16 values by 32768, or pass the integers themselves."
    if peak > 1 and _are_whole(waveform):
        reason = f"peaks at {peak:g} and holds whole numbers only, expected floats with full scale 1"
        raise AudioDecodeError(label, reason, hint)
    if peak > MAX_PEAK:
        raise AudioDecodeError(label, f"peaks at {peak:g}, expected at most {MAX_PEAK:g} (full scale is 1)", hint)


def _are_whole(waveform: Waveform) -> bool:
    """Whether there is no fraction anywhere; real audio shows one at its beginning."""
    return all(bool((part == np.rint(part)).all()) for part in (waveform[:, :4096], waveform))


def describe_source(source: Any) -> str:
    """What messages call a source that was given no name."""
    if isinstance(source, Mapping):
        path = source.get("path")
        return describe_source(path) if isinstance(path, (str, os.PathLike)) else "<mapping>"
    if isinstance(source, (str, os.PathLike)):
        return _short_name(os.fspath(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"<{len(source)} bytes>"
    if isinstance(source, torch.Tensor) or hasattr(source, "__array__"):
        return f"<{type(source).__name__} of shape {tuple(getattr(source, 'shape', ()))}>"
    file_name = getattr(source, "name", None)
    return _short_name(file_name) if isinstance(file_name, str) else f"<{type(source).__name__}>"


def _short_name(name: str | bytes) -> str:
    text = os.fsdecode(name)
    if "://" in text:  # the query may hold an access token, the host part a password
        text = re.sub(r"[?#].*", "", text, flags=re.DOTALL)
        text = re.sub(r"://[^/]*@", "://", text)
    return (text if len(text) <= 200 else f"{text[:100]}...{text[-97:]}") or "''"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def one_line(error: object) -> str:
    text = " ".join(str(error).split()) or (type(error).__name__ if isinstance(error, Exception) else "")
    return text if len(text) <= 300 else f"{text[:297]}..."
