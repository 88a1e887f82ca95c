"""Samples in memory: which objects hold them, at which rate they are, and what their numbers mean.

Nothing is guessed in silence. A rate is known under its usual names and must not be contradicted; samples without one
are taken to be at the wanted rate, with a warning. Integers are PCM and scaled by their type; integers without a type
(a list of Python's) are refused, for a quiet recording in 16 bits looks like a loud one in 8.
"""

import array
import functools
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .audio_checks import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioDecodeError, Waveform, check_rate, one_line

logger = logging.getLogger(__name__)

RATE_KEY = "sampling_rate"
SAMPLES_KEYS = ("array", "raw")
BYTES_FORMATS = ("B", "b", "c")  # of a memoryview: the bytes of a file; in all others it holds samples

_RATE_NAMES = {"samplingrate", "samplerate", "sr", "fs", "framerate", "samplingfrequency", "samplefrequency"}
_RATE_LIKE = re.compile(r"(?<!bit)(?<!bit_)rate(?:_|$)|hz$|freq|(?:^|_)(?:sr|fs)(?:_|$)")
_FULL_SCALE = {"i2": 2.0**15, "i4": 2.0**31, "u1": 2.0**7}  # integer PCM whose meaning is beyond doubt
_FILE_HEADS = (b"RIFF", b"RF64", b"FORM", b"OggS", b"fLaC", b"ID3", b".snd")

# ---------------------------------------------------------------------------------------------------------------------
# Rates
# ---------------------------------------------------------------------------------------------------------------------


def rate_of(fields: Mapping[Any, Any], label: str, is_row: bool = False) -> int | None:
    """The rate in Hz that stands beside samples: `sampling_rate`, or one of the other names that it is given.

    Args:
        fields: the mapping that holds the samples, or the row of a table that holds the clip.
        label: what messages call it.
        is_row: whether it is a row, whose columns may be about anything: only names beyond doubt are read.

    Raises:
        AudioDecodeError: two names contradict each other, a rate is no rate, or only a name that may mean one is there.
    """
    names = _RATE_NAMES if is_row else _RATE_NAMES | {"rate"}
    given = {key: value for key, value in fields.items() if value is not None and _plain(key) in names}
    if is_row:  # tables of text have words for numbers; a column of other words is about something else
        given = {key: int(v) if isinstance(v, str) else v for key, v in given.items() if _is_number(v)}
    rates = {key: check_rate(value, label, f"its {key!r}") for key, value in given.items()}
    if len(set(rates.values())) > 1:
        told = " and ".join(f"{rate} Hz under {key!r}" for key, rate in rates.items())
        raise AudioDecodeError(label, f"its rates contradict each other: {told}", f"Leave {RATE_KEY!r} alone there.")
    if rates or is_row:
        return next(iter(rates.values()), None)
    for key, value in fields.items():
        if isinstance(key, str) and _RATE_LIKE.search(key.lower()) and _may_be_rate(value):
            hint = f"If this is the rate of the samples in Hz, call it {RATE_KEY!r}."
            raise AudioDecodeError(label, f"has samples without {RATE_KEY!r}, but with {key!r} = {value}", hint)
    return None


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) or value.strip().isdecimal()


def own_rate(source: Any, label: str) -> int | None:
    """The rate that samples carry with them: in a mapping, or as an object with `data` and `sample_rate`."""
    if isinstance(source, Mapping):
        return rate_of(source, label) if _samples_in(source) is not None else None
    return check_rate(source.sample_rate, label, "its sampling rate") if is_audio_samples(source) else None


def refuse_misnamed_rate(names: Iterable[str]) -> None:
    """Raise `ValueError` if an argument that nobody knows is the sampling rate under another name."""
    for name in names:
        if name != RATE_KEY and _plain(name) in _RATE_NAMES | {"rate"}:
            raise ValueError(f"`{name}` is no argument; the rate of samples is given as `{RATE_KEY}`, in Hz.")


def with_rate(clip: Any, rate: int | None) -> Any:
    """The clip with the rate that stands beside it in its row, where it has none of its own."""
    return {"array": clip, RATE_KEY: rate} if rate is not None and lacks_rate(clip) else clip


def clip_of_row(row: Mapping[str, Any]) -> Any:
    """The clip under `"audio"` of a row, with the rate of the row's own column if it needs one."""
    return with_rate(row["audio"], rate_of(row, "its row", is_row=True))


def lacks_rate(source: Any) -> bool:
    """Whether these are samples that come without a rate."""
    if isinstance(source, Mapping):
        inner = _samples_in(source)
        return inner is not None and rate_of(source, "<mapping>") is None and lacks_rate(inner)
    return holds_samples(source)


@functools.cache  # once per process and rate
def warn_of_assumed_rate(rate: int) -> None:
    """Say that samples without a rate are taken to be at this one."""
    logger.warning(
        f"Samples without a sampling rate are taken to be at {rate} Hz. Pass `{RATE_KEY}`, or {{'array': samples, "
        f"'{RATE_KEY}': rate}} (they are then resampled if need be): a wrong guess goes unnoticed."
    )


def _plain(name: Any) -> str:
    """`"Sample-Rate_Hz"` -> `"samplerate"`."""
    return re.sub("[^a-z]", "", name.lower()).removesuffix("hz") if isinstance(name, str) else ""


def _may_be_rate(value: Any) -> bool:
    return isinstance(value, int | float | np.integer) and bool(MIN_RATE <= value <= MAX_RATE)


# ---------------------------------------------------------------------------------------------------------------------
# What holds samples
# ---------------------------------------------------------------------------------------------------------------------


def is_samples(audio: Any) -> bool:
    """Whether a list or tuple holds the samples of one clip, rather than clips."""
    return isinstance(audio, list | tuple) and bool(audio) and isinstance(audio[0], int | float | np.number)


def is_many(audios: Any) -> bool:
    """Whether these are several inputs, to be gone through by index; samples, bytes and names are one."""
    one = isinstance(audios, str | bytes | bytearray | memoryview | array.array) or is_samples(audios)
    return isinstance(audios, Sequence) and not one


def holds_samples(source: Any) -> bool:
    """Whether these are samples alone: an array, tensor, list, or a buffer of numbers that are no bytes."""
    if isinstance(source, memoryview | array.array):
        return memoryview(source).format not in BYTES_FORMATS
    return isinstance(source, torch.Tensor | list | tuple) or hasattr(source, "__array__")


def is_audio_samples(source: Any) -> bool:
    """Whether it is what decoders give: an object with `data`, `(channels, samples)`, and `sample_rate`."""
    if isinstance(source, Mapping) or holds_samples(source):
        return False
    return hasattr(source, "data") and hasattr(source, "sample_rate")


def _samples_in(mapping: Mapping[Any, Any]) -> Any:
    """What a mapping holds as samples; None if it holds none."""
    return next((mapping[key] for key in SAMPLES_KEYS if mapping.get(key) is not None), None)


# ---------------------------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------------------------


def from_samples(samples: Any, label: str) -> Waveform:
    """Array, tensor, list or buffer -> float32 (channels, samples)."""
    return as_float32(_as_rows(samples, label), label)


def parts_of_samples(samples: Any, size: int, label: str) -> Iterator[Waveform]:
    """As [`from_samples`], `size` samples at a time."""
    rows = _as_rows(samples, label)
    for start in range(0, rows.shape[1], size):
        yield as_float32(rows[:, start : start + size], label)


def _as_rows(samples: Any, label: str) -> npt.NDArray[Any]:
    """Checked numbers of any type, (channels, samples)."""
    numbers = _as_array(samples, label)
    if numbers.ndim not in (1, 2):
        hint = "Pass one clip at a time, without a batch axis."
        raise AudioDecodeError(label, f"has shape {numbers.shape}, expected (samples,) or (channels, samples)", hint)
    numbers = numbers[None] if numbers.ndim == 1 else numbers  # (samples,) -> (1, samples)
    rows, columns = numbers.shape
    if not numbers.size:
        raise AudioDecodeError(label, f"is empty: shape {np.shape(samples)}")
    if rows > columns or rows > MAX_CHANNELS:
        # Taking (samples, channels) for (channels, samples) would average over time without any sign of it.
        hint = "If this is (samples, channels), transpose it: array.T."
        reason = f"has shape {numbers.shape}: {rows} channels of {columns} samples; expected (channels, samples)"
        raise AudioDecodeError(label, f"{reason} with at most {MAX_CHANNELS} channels", hint)
    return numbers


def from_audio_samples(samples: Any, label: str) -> tuple[Waveform, int]:
    """Object with `data`, `(channels, samples)` or `(samples,)`, and `sample_rate` -> (channels, samples) and rate."""
    rate = check_rate(samples.sample_rate, label, "its sampling rate")
    waveform = as_float32(samples.data, label)
    if waveform.ndim not in (1, 2):
        raise AudioDecodeError(label, f"has data of shape {waveform.shape}, expected (channels, samples)")
    return (waveform[None] if waveform.ndim == 1 else waveform), rate


def as_float32(samples: Any, label: str) -> Waveform:
    """Numbers of any shape -> float32; int16, int32 and uint8 are PCM and scaled to [-1, 1)."""
    numbers = _as_array(samples, label)
    if numbers.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused later
            return numbers.astype(np.float32)  # a copy: callers may change what they get
    full_scale = _FULL_SCALE.get(f"{numbers.dtype.kind}{numbers.dtype.itemsize}")
    if full_scale is None:
        raise AudioDecodeError(
            label,
            f"has dtype {numbers.dtype}, expected floats, or PCM as int16, int32 or uint8",
            "For integers say which PCM they are, as np.asarray(samples, dtype=np.int16) does, or divide them by their "
            "full scale, 32768 for 16 bits.",
        )
    if numbers.dtype.kind == "u" and numbers.reshape(-1)[:4].tobytes().startswith(_FILE_HEADS):
        raise AudioDecodeError(label, "holds the bytes of an audio file, not samples", "Pass array.tobytes().")
    centred = numbers.astype(np.float32) - (full_scale if numbers.dtype.kind == "u" else 0.0)
    return (centred / full_scale).astype(np.float32)


def _as_array(samples: Any, label: str) -> npt.NDArray[Any]:
    try:
        if isinstance(samples, torch.Tensor):
            tensor = samples.detach().cpu()
            return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor.resolve_conj()).numpy()
        return np.asarray(samples)
    except Exception as error:  # ragged lists, sparse or meta tensors, broken __array__
        hint = "With a rate pass {'array': samples, 'sampling_rate': rate}." if isinstance(samples, tuple) else None
        raise AudioDecodeError(label, f"is no rectangular array of numbers: {one_line(error)}", hint) from error
