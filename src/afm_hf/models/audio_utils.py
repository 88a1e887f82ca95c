"""Load audio from anything that holds it: decode, cut, mix down, resample, and check what came out.

soundfile decodes and soxr resamples; torchcodec, torchaudio and the `ffmpeg` program are used only where they work and
are needed (m4a, mp4, webm). Two things differ from the official loaders: channels are averaged instead of put one after
the other (`channels="concat"` is the official rule), and soxr resamples (`resampler="torchaudio"` is the official
one). Whatever is wrong with a source ends in one exception, `AudioDecodeError`, which names the source, the reason and,
where one is known, the remedy. Values are never repaired: NaN, infinity and absurd rates or levels are refused.
"""

import contextlib
import functools
import importlib
import io
import math
import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
MAX_PEAK = 1e3  # full scale is 1; far above it a file is damaged or holds unscaled integers
MAX_VALUES = 2**30  # channels x samples of one decode (4 GiB): stops small files that unpack to hours of silence
MAX_BYTES = 2**31  # encoded bytes taken from a file object
MAX_DOWNLOAD_BYTES = 2**29
DOWNLOAD_TIMEOUT_S = 60.0
FFMPEG_TIMEOUT_S = 120.0

_BLOCK_VALUES = 2**20  # values decoded at a time: a header that promises too much never sizes an allocation
_CHUNK_BYTES = 2**20
_FOREVER_S = 1e9  # longer times mean the same and would overflow when counted in samples
_MISSING_SHARE = 0.05  # share of the promised samples whose absence is worth a warning
_MAX_MPEG_BITS_PER_S = 448_000  # of MPEG-1 layer I; MP3 ends at 320,000
_BACKENDS = ("auto", "soundfile", "torchcodec", "torchaudio", "ffmpeg")
_CHANNEL_POLICIES = ("mean", "concat", "first")
_RESAMPLERS = ("soxr", "torchaudio")
_FULL_SCALE = {"i2": 2.0**15, "i4": 2.0**31, "u1": 2.0**7}  # integer PCM whose meaning is beyond doubt
_CODEC_HINT = "Install torchcodec (`pip install torchcodec`) or the ffmpeg program, or convert the file to WAV."

Waveform: TypeAlias = npt.NDArray[np.float32]


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


class _UnknownFormatError(Exception):
    """soundfile does not know the format; another decoder may."""


class _UnavailableError(Exception):
    """An optional decoder is not installed or does not import."""


# ---------------------------------------------------------------------------------------------------------------------
# What users call
# ---------------------------------------------------------------------------------------------------------------------


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
    """Load any audio as one channel at one rate.

    Args:
        source: a path, a `file://`, `http://` or `https://` URL, the bytes of a file, a binary file object (read from
            where it stands), samples (NumPy array, torch tensor, list of floats; `(samples,)` or `(channels, samples)`;
            floats at full scale 1, or int16, int32, uint8 PCM, which is scaled), a mapping
            `{"array" | "raw": ..., "sampling_rate": ...}` or `{"path": ..., "bytes": ...}` (bytes win), or a decoder
            with `get_all_samples()` as datasets and torchcodec have.
        sampling_rate: wanted rate in Hz; None keeps the rate of the source.
        channels: "mean" averages the channels, "first" takes channel 0, "concat" resamples every channel and puts them
            one after the other, as the official loaders do.
        resampler: "soxr" (HQ), or "torchaudio" for the numerics of `torchaudio.functional.resample` (see `resample`).
        backend: decoder of files: "auto" is soundfile, then, for containers that it cannot read, torchcodec, then the
            ffmpeg program; "soundfile", "torchcodec", "torchaudio" and "ffmpeg" are that one alone.
        source_sampling_rate: rate in Hz of samples that come without one. None: they are taken to be at
            `sampling_rate`. A rate that the source itself carries always wins.
        offset_s: where to start, in seconds of the source.
        duration_s: seconds to read from there (less if the source ends sooner). Only these are decoded.
        max_duration_s: refuse what would be longer than this many seconds (after `offset_s` and `duration_s`).
        name: what errors and warnings call the source.

    Returns:
        float32 `(samples,)`, finite, never empty; `ceil(n * new / old)` samples for n samples at the old rate
        (`channels * that` with "concat").

    Raises:
        AudioDecodeError: the source cannot be read, or what it holds is not usable audio.
        ValueError: `channels`, `resampler` or `backend` is not one of the names above.
    """
    _check_choice("channels", channels, _CHANNEL_POLICIES)
    _check_choice("resampler", resampler, _RESAMPLERS)
    label = name or describe_source(source)
    wanted = None if sampling_rate is None else _check_rate(sampling_rate, label, "sampling_rate")
    waveform, rate = decode_audio(
        source,
        source_sampling_rate=wanted if source_sampling_rate is None else source_sampling_rate,
        backend=backend,
        offset_s=offset_s,
        duration_s=duration_s,
        max_duration_s=max_duration_s,
        name=label,
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
    name: str | None = None,
) -> tuple[Waveform, int]:
    """Decode any audio without mixing or resampling it. The arguments are those of `load_audio`.

    Samples that come without a rate need `source_sampling_rate`. A file that holds clearly fewer samples than its
    header promises is used as far as it goes, with a `UserWarning` that names it.

    Returns:
        float32 `(channels, samples)`, finite, never empty, at most 64 channels; and the rate in Hz (1 kHz to 768 kHz).

    Raises:
        AudioDecodeError: the source cannot be read, or what it holds is not usable audio.
        ValueError: `backend` is unknown.
    """
    _check_choice("backend", backend, _BACKENDS)
    label = name or describe_source(source)
    part = _Part.checked(offset_s, duration_s, max_duration_s, label)
    fallback_rate = None if source_sampling_rate is None else _check_rate(source_sampling_rate, label, "the given rate")
    try:
        waveform, rate = _decode(source, fallback_rate, backend, part, label)
        return _check_waveform(waveform, rate, part, label), rate
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
    _check_choice("method", method, _RESAMPLERS)
    orig = _check_rate(orig_rate, "<waveform>", "orig_rate")
    new = _check_rate(new_rate, "<waveform>", "new_rate")
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim not in (1, 2) or not samples.size:
        raise AudioDecodeError("<waveform>", f"has shape {samples.shape}, expected (samples,) or (channels, samples)")
    if orig == new:
        return samples
    rows = np.atleast_2d(samples)
    resampled = _resample_soxr(rows, orig, new) if method == "soxr" else _resample_sinc(rows, orig, new)
    return resampled if samples.ndim == 2 else resampled[0]


# ---------------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------------


def _check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
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


def _check_rate(value: Any, label: str, argument: str) -> int:
    rate = _check_number(value, label, argument)
    if rate != int(rate) or not MIN_RATE <= rate <= MAX_RATE:
        expected = f"expected a whole number of Hz from {MIN_RATE} to {MAX_RATE}"
        hint = "Rates are in Hz, not kHz: 44100, not 44.1." if MIN_RATE <= rate * 1000 <= MAX_RATE else None
        raise AudioDecodeError(label, f"{argument} is {rate:g} Hz, {expected}", hint)
    return int(rate)


def _check_channels(count: int, label: str) -> None:
    if not 1 <= count <= MAX_CHANNELS:
        raise AudioDecodeError(label, f"has {count} channels, expected 1 to {MAX_CHANNELS}")


@dataclass(frozen=True)
class _Part:
    """Which seconds of a source are wanted, and how many are too many."""

    offset_s: float
    duration_s: float | None
    max_duration_s: float | None

    @classmethod
    def checked(cls, offset_s: Any, duration_s: Any, max_duration_s: Any, label: str) -> "_Part":
        offset = _check_number(offset_s, label, "offset_s")
        if offset < 0:
            raise AudioDecodeError(label, f"offset_s is {offset:g}, expected 0 or more seconds")
        return cls(
            min(offset, _FOREVER_S),
            cls._seconds(duration_s, label, "duration_s"),
            cls._seconds(max_duration_s, label, "max_duration_s"),
        )

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
        quota = MAX_VALUES // channels + 1
        if self.max_duration_s is not None:
            quota = min(quota, int(self.max_duration_s * rate) + 1)
        if self.duration_s is not None:
            quota = min(quota, max(1, round(self.duration_s * rate)))
        return quota

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


def _check_waveform(waveform: Waveform, rate: int, part: _Part, label: str) -> Waveform:
    """Refuse what no feature extractor can use; `waveform` is (channels, samples)."""
    _check_rate(rate, label, "its sampling rate")
    if not waveform.size:
        where = f"no samples from {part.offset_s:g} s on" if part.offset_s else "no samples"
        raise AudioDecodeError(label, f"holds {where}", "It is shorter than expected, cut off, or was never filled.")
    _check_channels(waveform.shape[0], label)
    if part.max_duration_s is not None and waveform.shape[1] > part.max_duration_s * rate:
        hint = "Read a part of it with offset_s and duration_s, or raise max_duration_s."
        raise AudioDecodeError(label, f"is longer than max_duration_s = {part.max_duration_s:g} s", hint)
    if waveform.size > MAX_VALUES:
        hint = "Read it in parts with offset_s and duration_s."
        raise AudioDecodeError(label, f"holds more than {MAX_VALUES} values ({waveform.shape[0]} channels)", hint)
    _check_values(waveform, rate, label)
    return waveform


def _check_values(waveform: Waveform, rate: int, label: str) -> None:
    peak = float(np.maximum(waveform.max(), -waveform.min()))  # NaN and infinity come through both
    if not math.isfinite(peak):
        bad = ~np.isfinite(waveform)
        first = int(bad.any(axis=0).argmax())
        reason = f"{int(bad.sum())} of {waveform.size} values are NaN or infinite, the first at {first / rate:.3f} s"
        raise AudioDecodeError(label, reason, "Mend the file; np.nan_to_num turns such samples into numbers.")
    if peak > MAX_PEAK:
        hint = "Integer PCM held as floats? Divide int16 values by 32768."
        raise AudioDecodeError(label, f"peaks at {peak:g}, expected at most {MAX_PEAK:g} (full scale is 1)", hint)


# ---------------------------------------------------------------------------------------------------------------------
# From a source to samples or to an encoded file
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Encoded:
    """An audio file: its path, or its bytes. `name` is for messages."""

    content: str | bytes
    name: str

    def open(self) -> BinaryIO:
        return open(self.content, "rb") if isinstance(self.content, str) else io.BytesIO(self.content)

    def read(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        with self.open() as file:
            return _read_all(file, MAX_BYTES, self.name)

    @functools.cached_property
    def head(self) -> bytes:
        """The first bytes, by which a format is told."""
        try:
            with self.open() as file:
                return file.read(64)
        except OSError as error:
            raise AudioDecodeError(self.name, f"cannot be read: {error.strerror or error}") from error

    @contextlib.contextmanager
    def on_disk(self) -> Iterator[str]:
        """A path, for programs that read nothing else."""
        if isinstance(self.content, str):
            yield os.path.abspath(self.content)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "audio")
            with open(path, "wb") as file:
                file.write(self.content)
            yield path


def _decode(source: Any, fallback_rate: int | None, backend: str, part: _Part, label: str) -> tuple[Waveform, int]:
    """Source of any kind -> (channels, samples) and rate."""
    if isinstance(source, Mapping):
        return _decode_mapping(source, fallback_rate, backend, part, label)
    if isinstance(source, (torch.Tensor, list, tuple)) or hasattr(source, "__array__"):
        if fallback_rate is None:
            hint = "Pass source_sampling_rate, or {'array': samples, 'sampling_rate': rate}."
            raise AudioDecodeError(label, "samples came without a sampling rate", hint)
        return part.cut(_from_samples(source, label), fallback_rate), fallback_rate
    if callable(getattr(source, "get_all_samples", None)):
        return _from_decoder(source, part, label)
    return _decode_file(_encoded(source, label), backend, part)


def _decode_mapping(
    source: Mapping[str, Any], fallback_rate: int | None, backend: str, part: _Part, label: str
) -> tuple[Waveform, int]:
    for key in ("array", "raw"):
        if source.get(key) is not None:
            given = source.get("sampling_rate")
            rate = fallback_rate if given is None else _check_rate(given, label, "its 'sampling_rate'")
            return _decode(source[key], rate, backend, part, label)
    for key in ("bytes", "path"):
        if source.get(key) is not None:
            return _decode_file(_encoded(source[key], label), backend, part)
    keys = ", ".join(repr(key) for key in list(source)[:8]) or "none"
    hint = "Pass {'array': samples, 'sampling_rate': rate} or {'path': ..., 'bytes': ...}."
    raise AudioDecodeError(label, f"a mapping without audio (its keys: {keys})", hint)


def _from_decoder(decoder: Any, part: _Part, label: str) -> tuple[Waveform, int]:
    """Decoder of datasets or torchcodec -> (channels, samples) and rate."""
    end = part.end_s()
    ranged = getattr(decoder, "get_samples_played_in_range", None)
    only_a_part = callable(ranged) and (part.offset_s > 0 or end is not None)
    try:
        samples = ranged(part.offset_s, end) if only_a_part and ranged else decoder.get_all_samples()
        data, given = samples.data, samples.sample_rate
    except Exception as error:  # whatever the decoder raises means one thing: this audio cannot be had
        raise AudioDecodeError(label, f"its decoder failed: {_one_line(error)}") from error
    rate = _check_rate(given, label, "its sampling rate")
    waveform = _as_float32(data, label)
    waveform = waveform[None] if waveform.ndim == 1 else waveform
    rest = _Part(0.0, part.duration_s, part.max_duration_s) if only_a_part else part
    return rest.cut(waveform, rate), rate


def _encoded(source: Any, label: str) -> _Encoded:
    """Path, URL, bytes or file object -> a file that has at least one byte."""
    if isinstance(source, str) and "://" in source:
        return _from_url(source, label)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(source, label)
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
    elif callable(getattr(source, "read", None)):
        content = _from_file_object(source, label)
    else:
        expected = "expected a path, URL, bytes, binary file, array, tensor, list of floats, mapping or audio decoder"
        raise AudioDecodeError(label, f"came as {type(source).__name__}, {expected}")
    if not content:
        hint = "A file object is read from where it stands: seek(0) first." if hasattr(source, "seek") else None
        raise AudioDecodeError(label, "is empty (0 bytes)", hint)
    return _Encoded(content, label)


def _from_path(source: str | os.PathLike[str], label: str) -> _Encoded:
    path = os.fspath(source)
    path = os.fsdecode(path) if isinstance(path, bytes) else path
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        hint = None if os.path.isabs(path) else f"The path is relative to {os.getcwd()}."
        raise AudioDecodeError(label, "no such file", hint) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise AudioDecodeError(label, f"cannot be read: {_one_line(error)}") from error
    if os.path.isdir(path):
        raise AudioDecodeError(label, "is a folder, expected a file", "Pass the files in it one by one.")
    if not os.path.isfile(path):
        raise AudioDecodeError(label, "is no regular file (a device or pipe?)", "Pass its content as bytes.")
    if not size:
        raise AudioDecodeError(label, "is empty (0 bytes)")
    return _Encoded(path, label)


def _from_file_object(file: Any, label: str) -> bytes:
    try:
        return _read_all(file, MAX_BYTES, label)
    except (OSError, ValueError, TypeError, HTTPException) as error:
        if isinstance(error, AudioDecodeError):
            raise
        raise AudioDecodeError(label, f"cannot be read: {_one_line(error)}") from error


def _read_all(file: Any, limit: int, label: str, deadline: float = math.inf) -> bytes:
    """Everything up to `limit` bytes; more than that, or time after `deadline` (monotonic), is an error."""
    chunks: list[bytes] = []
    size = 0
    read = getattr(file, "read1", file.read)  # read1 gives what is there, so that a slow sender meets the deadline
    while True:
        chunk = read(_CHUNK_BYTES)
        if not isinstance(chunk, bytes):
            hint = "Open it with mode 'rb'." if isinstance(chunk, str) else None
            raise AudioDecodeError(label, f"reading it gives {type(chunk).__name__}, expected bytes", hint)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise AudioDecodeError(label, f"is larger than {limit} bytes", "Save it to disk and pass its path.")
        if time.monotonic() > deadline:
            raise AudioDecodeError(label, f"did not arrive in time ({size} bytes so far)", "Download it beforehand.")


def _from_url(url: str, label: str) -> _Encoded:
    try:
        address = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise AudioDecodeError(label, f"is no valid URL: {error}") from None
    if address.scheme == "file" and address.netloc in ("", "localhost"):
        return _from_path(urllib.request.url2pathname(address.path), label)
    if address.scheme in ("http", "https"):
        return _Encoded(_download(url, label), label)
    hint = "Pass http(s):// or file:// URLs; for others open the file (with fsspec, for one) and pass the file object."
    raise AudioDecodeError(label, f"URL scheme {address.scheme!r} is not supported", hint)


def _download(url: str, label: str) -> bytes:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise AudioDecodeError(label, "is a URL, and HF_HUB_OFFLINE is set", "Unset it, or pass a local file.")
    deadline = time.monotonic() + DOWNLOAD_TIMEOUT_S
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "afm-hf"})  # some hosts refuse urllib's own name
        with urllib.request.urlopen(request, timeout=min(20.0, DOWNLOAD_TIMEOUT_S)) as response:
            content = _read_all(response, MAX_DOWNLOAD_BYTES, label, deadline)
    except AudioDecodeError:
        raise
    except urllib.error.HTTPError as error:
        raise AudioDecodeError(label, f"the server answered {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = _one_line(getattr(error, "reason", error))
        raise AudioDecodeError(label, f"download failed: {reason}", "Offline? Pass a local file.") from None
    if not content:
        raise AudioDecodeError(label, "the server sent 0 bytes")
    return content


# ---------------------------------------------------------------------------------------------------------------------
# Samples in memory
# ---------------------------------------------------------------------------------------------------------------------


def _from_samples(samples: Any, label: str) -> Waveform:
    """Array, tensor or list -> float32 (channels, samples)."""
    waveform = _as_float32(samples, label)
    if waveform.ndim not in (1, 2):
        hint = "Pass one clip at a time, without a batch axis."
        raise AudioDecodeError(label, f"has shape {waveform.shape}, expected (samples,) or (channels, samples)", hint)
    waveform = waveform[None] if waveform.ndim == 1 else waveform  # (samples,) -> (1, samples)
    rows, columns = waveform.shape
    if not waveform.size:
        raise AudioDecodeError(label, f"is empty: shape {np.shape(samples)}")
    if rows > columns or rows > MAX_CHANNELS:
        # Taking (samples, channels) for (channels, samples) would average over time without any sign of it.
        hint = "If this is (samples, channels), transpose it: array.T."
        reason = f"has shape {waveform.shape}: {rows} channels of {columns} samples; expected (channels, samples)"
        raise AudioDecodeError(label, f"{reason} with at most {MAX_CHANNELS} channels", hint)
    return waveform


def _as_float32(samples: Any, label: str) -> Waveform:
    """Numbers of any shape -> float32; int16, int32 and uint8 are PCM and scaled to [-1, 1)."""
    array = _as_array(samples, label)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused later
            return array.astype(np.float32)  # a copy: callers may change what they get
    full_scale = _FULL_SCALE.get(f"{array.dtype.kind}{array.dtype.itemsize}")
    if full_scale is None:
        hint = "Convert to float32 with full scale 1 (for integers divide by their full scale)."
        raise AudioDecodeError(
            label, f"has dtype {array.dtype}, expected floats, or PCM as int16, int32 or uint8", hint
        )
    centred = array.astype(np.float32) - (full_scale if array.dtype.kind == "u" else 0.0)
    return (centred / full_scale).astype(np.float32)


def _as_array(samples: Any, label: str) -> npt.NDArray[Any]:
    try:
        if isinstance(samples, torch.Tensor):
            tensor = samples.detach().cpu()
            return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor.resolve_conj()).numpy()
        return np.asarray(samples)
    except Exception as error:  # ragged lists, sparse or meta tensors, broken __array__
        hint = "With a rate pass {'array': samples, 'sampling_rate': rate}." if isinstance(samples, tuple) else None
        raise AudioDecodeError(label, f"is no rectangular array of numbers: {_one_line(error)}", hint) from error


# ---------------------------------------------------------------------------------------------------------------------
# Decoders of files
# ---------------------------------------------------------------------------------------------------------------------


def _decode_file(file: _Encoded, backend: str, part: _Part) -> tuple[Waveform, int]:
    if backend == "auto":
        return _decode_auto(file, part)
    decoders: dict[str, Callable[[_Encoded, _Part], tuple[Waveform, int]]] = {
        "soundfile": _decode_soundfile,
        "torchcodec": _decode_torchcodec,
        "torchaudio": _decode_torchaudio,
        "ffmpeg": _decode_ffmpeg,
    }
    try:
        return decoders[backend](file, part)
    except _UnknownFormatError as refusal:
        raise AudioDecodeError(file.name, f"soundfile cannot read it ({refusal})", _format_hint(file.head)) from None
    except _UnavailableError as why:
        raise AudioDecodeError(file.name, f"backend {backend!r} cannot be used: {why}") from None


def _decode_auto(file: _Encoded, part: _Part) -> tuple[Waveform, int]:
    """soundfile; for containers that it does not know, the first other decoder that works."""
    try:
        return _decode_soundfile(file, part)
    except _UnknownFormatError as refusal:
        container = _container(file.head)
        if container is None:
            # Only known containers go on: ffmpeg would decode text as pictures and follow playlists to other files.
            reason = f"not an audio file that libsndfile reads ({refusal})"
            raise AudioDecodeError(file.name, reason, _format_hint(file.head)) from None
    except _UnavailableError as why:
        raise AudioDecodeError(file.name, f"soundfile cannot be used: {why}") from None
    failures = []
    for decoder in (_decode_torchcodec, _decode_ffmpeg):
        try:
            return decoder(file, part)
        except _UnavailableError as why:
            failures.append(str(why))
    reason = f"soundfile cannot read {container[0]}, and nothing else can be used ({'; '.join(failures)})"
    raise AudioDecodeError(file.name, reason, _CODEC_HINT)


def _container(head: bytes) -> tuple[str, str] | None:
    """(name, ffmpeg's demuxer) of a format that ffmpeg reads and libsndfile does not."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "MP4/M4A", "mov"
    magics = {
        b"\x1aE\xdf\xa3": ("WebM/Matroska", "matroska"),
        b"\xff\xf1": ("raw AAC", "aac"),
        b"\xff\xf9": ("raw AAC", "aac"),
        b"0&\xb2u": ("WMA", "asf"),
        b"#!AMR": ("AMR", "amr"),
        b"wvpk": ("WavPack", "wv"),
        b"MAC ": ("Monkey's Audio", "ape"),
        b"FLV\x01": ("Flash video", "flv"),
    }
    return next((found for magic, found in magics.items() if head.startswith(magic)), None)


def _format_hint(head: bytes) -> str:
    if _container(head):
        return _CODEC_HINT
    if head.startswith(b"version https://git-lfs"):
        return "It is a Git LFS pointer, not the audio: run `git lfs pull`."
    if head.startswith((b"RIFF", b"RF64", b"FORM", b"OggS", b"fLaC", b"ID3", b".snd")):
        return "The beginning is that of an audio file, the rest is damaged or cut off: fetch it again."
    if head.lstrip()[:1] in (b"<", b"{"):
        return "It is a text (HTML, XML or JSON), perhaps a failed download."
    return (
        f"It begins with {head[:8]!r}. Headerless PCM must come as samples: "
        "{'array': np.fromfile(path, dtype='<i2'), 'sampling_rate': rate}."
    )


@functools.cache
def _probe(module: str) -> tuple[Any, str]:
    """(module, "") or (None, why it cannot be used). Once per process: a broken library costs its import time."""
    try:
        return importlib.import_module(module), ""
    except Exception as error:  # wheels built for other hardware raise OSError or RuntimeError, not only ImportError
        return None, f"{module.split('.')[0]} does not import: {_one_line(error)}"


def _optional(module: str) -> Any:
    found, why = _probe(module)
    if found is None:
        raise _UnavailableError(why)
    return found


def _decode_soundfile(file: _Encoded, part: _Part) -> tuple[Waveform, int]:
    soundfile = _optional("soundfile")
    with _open_soundfile(soundfile, file) as sound:
        rate = _check_rate(sound.samplerate, file.name, "its sampling rate")
        _check_channels(sound.channels, file.name)
        quota = part.quota(rate, sound.channels)
        blocks: list[npt.NDArray[np.float32]] = []
        try:
            _skip(sound, part.start(rate))
            promised = min(quota, _promised_samples(sound) - part.start(rate))
            blocks.extend(_blocks(sound, quota))
        except Exception as error:  # libsndfile's own error, and soundfile's asserts and TypeErrors
            reason = f"is damaged: {_sndfile_reason(error)}"
            raise AudioDecodeError(file.name, reason, "duration_s may still read the part before it.") from error
        waveform = np.concatenate(blocks).T if blocks else np.zeros((sound.channels, 0), np.float32)
        is_mpeg = sound.format in ("MPEG", "MP3")
    samples = waveform.shape[1]
    if is_mpeg and samples < quota:
        _check_mpeg(file, (part.start(rate) + samples) / rate)
    _check_promise(samples, promised, rate, file.name)
    return np.ascontiguousarray(waveform), rate  # (samples, channels) -> (channels, samples)


def _open_soundfile(soundfile: Any, file: _Encoded) -> Any:
    target: Any = file.content
    if isinstance(target, bytes):
        target = io.BytesIO(target)
    elif target.lower().endswith(".raw"):  # soundfile would not look into a file of that name
        target = io.BytesIO(file.read())
    try:
        return soundfile.SoundFile(target)
    except Exception as error:
        _ = file.head  # a file that cannot be opened at all says so here
        raise _UnknownFormatError(_sndfile_reason(error)) from error


def _sndfile_reason(error: Exception) -> str:
    reason = _one_line(getattr(error, "error_string", error)).rstrip(".")
    # libsndfile says this of a file that exists when its name ends in .mp3 and its content is something else.
    return "Format not recognised" if "not a regular file" in reason else reason


def _skip(sound: Any, start: int) -> None:
    """Go to sample `start`, or to the end if it lies beyond."""
    if not start:
        return
    if sound.seekable() and sound.subtype != "VORBIS":  # libsndfile 1.2.2 seeks to wrong places in Ogg Vorbis
        sound.seek(min(start, sound.frames))
    else:
        for _ in _blocks(sound, start):
            pass


def _blocks(sound: Any, quota: int) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks of (samples, channels), `quota` samples in all or up to the end."""
    size = max(1, _BLOCK_VALUES // sound.channels)
    while quota > 0:
        block = sound.read(min(size, quota), dtype="float32", always_2d=True)
        if not len(block):
            return
        quota -= len(block)
        yield block


def _promised_samples(sound: Any) -> int:
    """Length by the header. libsndfile corrects it for a WAV file that is cut off, and tells so only in its log."""
    found = re.search(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if not found:
        return int(sound.frames)
    said, real = int(found[1]), int(found[2])
    if said >= 0x7FFF0000 or not 0 < real < said:  # programs that write to a pipe put a huge number or 0
        return int(sound.frames)
    return int(sound.frames * said / real)


def _check_promise(got: int, promised: int, rate: int, label: str) -> None:
    if promised <= 0 or got >= promised * (1 - _MISSING_SHARE):
        return
    if not got:
        raise AudioDecodeError(label, f"its header promises {promised} samples, but it holds none: it is cut off")
    warnings.warn(
        f"{label} is cut off: its header promises {promised / rate:.2f} s, it holds {got / rate:.2f} s; using these",
        stacklevel=2,
    )


def _check_mpeg(file: _Encoded, seconds: float) -> None:
    """Refuse what libsndfile takes for MPEG audio by its first bytes alone, as headerless PCM that starts with -1."""
    size = len(file.content) if isinstance(file.content, bytes) else os.path.getsize(file.content)
    if not file.head.startswith(b"ID3") and 8 * size > _MAX_MPEG_BITS_PER_S * (seconds + 1):
        reason = f"holds {seconds:.2f} s of MPEG audio in {size} bytes: damaged, or no MPEG audio at all"
        raise AudioDecodeError(file.name, reason, _format_hint(file.head))


def _decode_torchcodec(file: _Encoded, part: _Part) -> tuple[Waveform, int]:
    decoder_class = _optional("torchcodec.decoders").AudioDecoder
    try:
        decoder = decoder_class(file.content)
    except Exception as error:
        text = _one_line(error)
        reason = "it has no audio stream" if "audio stream is unknown" in text else f"torchcodec cannot read it: {text}"
        raise AudioDecodeError(file.name, reason) from error
    return _from_decoder(decoder, part, file.name)


def _decode_torchaudio(file: _Encoded, part: _Part) -> tuple[Waveform, int]:
    torchaudio = _optional("torchaudio")
    try:
        data, given = torchaudio.load(file.content if isinstance(file.content, str) else io.BytesIO(file.content))
    except Exception as error:
        raise AudioDecodeError(file.name, f"torchaudio cannot read it: {_one_line(error)}") from error
    rate = _check_rate(given, file.name, "its sampling rate")
    return part.cut(_as_float32(data, file.name), rate), rate


def _decode_ffmpeg(file: _Encoded, part: _Part) -> tuple[Waveform, int]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise _UnavailableError("there is no ffmpeg program on PATH")
    with file.on_disk() as path:
        output, complaint = _run_ffmpeg(_ffmpeg_command(program, path, _container(file.head), part), file.name)
    # The au format: magic, data offset, size, encoding (6 is float32), rate, channels; all big endian.
    magic, start, _, encoding, rate, channels = struct.unpack(">4s5I", output[:24].ljust(24, b"\0"))
    if magic != b".snd" or encoding != 6 or not channels:
        reason = "holds no audio stream" if "matches no streams" in complaint else f"ffmpeg cannot read it: {complaint}"
        raise AudioDecodeError(file.name, reason)
    frames = (len(output) - start) // (4 * channels)
    samples = np.frombuffer(output, ">f4", max(0, frames) * channels, min(start, len(output)))
    if complaint:
        warnings.warn(f"{file.name}: ffmpeg used what it could read and says: {complaint}", stacklevel=2)
    rest = _Part(0.0, part.duration_s, part.max_duration_s)  # ffmpeg has applied the offset
    return rest.cut(np.ascontiguousarray(samples.reshape(-1, channels).T, np.float32), rate), int(rate)


def _ffmpeg_command(program: str, path: str, container: tuple[str, str] | None, part: _Part) -> list[str]:
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]  # never the network
    if container is not None:
        command += ["-f", container[1]]
    end = part.end_s()
    command += ["-i", f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32be"]
    if part.offset_s:
        command += ["-ss", f"{part.offset_s:.6f}"]  # after the input: before it, ffmpeg jumps, and misses by a packet
    if end is not None:
        command += ["-t", f"{end - part.offset_s:.6f}"]
    return [*command, "-f", "au", "pipe:1"]


def _run_ffmpeg(command: list[str], label: str) -> tuple[bytes, str]:
    """(standard output, last lines of standard error on one line); killed when it takes too long or writes too much."""
    with tempfile.TemporaryFile() as errors:  # a file, since a full pipe that nobody reads would block ffmpeg
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        except OSError as error:
            raise AudioDecodeError(label, f"ffmpeg does not start: {_one_line(error)}") from error
        deadline = threading.Timer(FFMPEG_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            output = _read_all(process.stdout, 4 * MAX_VALUES + _CHUNK_BYTES, label)
        finally:
            timed_out = not deadline.is_alive()
            deadline.cancel()
            process.kill()  # nothing is lost: its output is at an end, or too long
            process.communicate()
        if timed_out:
            raise AudioDecodeError(label, f"ffmpeg took longer than {FFMPEG_TIMEOUT_S:g} s")
        errors.seek(0)
        return output, _one_line(errors.read(2000).decode("utf-8", "replace"))


# ---------------------------------------------------------------------------------------------------------------------
# Resampling
# ---------------------------------------------------------------------------------------------------------------------


def _resample_soxr(waveform: Waveform, orig: int, new: int) -> Waveform:
    try:
        soxr = _optional("soxr")
    except _UnavailableError as why:
        raise AudioDecodeError("<waveform>", f"soxr cannot be used: {why}", "Run `pip install soxr`.") from None
    resampled = soxr.resample(waveform.T, orig, new, quality="HQ").T  # soxr wants (samples, channels)
    length = -(-waveform.shape[1] * new // orig)
    resampled = resampled[:, :length]  # soxr rounds the length; this rounds it up, as the other method does
    missing = length - resampled.shape[1]
    return np.ascontiguousarray(np.pad(resampled, ((0, 0), (0, missing))), np.float32)


def _resample_sinc(waveform: Waveform, orig: int, new: int) -> Waveform:
    """(channels, samples) by windowed sinc: output `k * new + p` is a dot product around input `k * orig`.

    A plain strided convolution has `2 * width + orig` taps for each of `new` phases, nearly all of them zero: gigabytes
    for 7999 Hz -> 44100 Hz. Here every phase keeps the `2 * width + 2` taps that can differ from zero.
    """
    divisor = math.gcd(orig, new)
    orig, new = orig // divisor, new // divisor
    kernel, first, width = _sinc_kernel(orig, new)
    taps = kernel.shape[1]
    samples = waveform.shape[1]
    blocks = samples // orig + 1
    resampled = np.empty((waveform.shape[0], -(-samples * new // orig)), np.float32)
    for channel, row in enumerate(waveform):
        padded = np.pad(row, (width, blocks * orig + taps - samples))
        # (samples,) -> (blocks, orig + taps), neighbours overlapping by `taps`
        windows = np.lib.stride_tricks.sliding_window_view(padded, orig + taps)[: blocks * orig : orig]
        total = np.zeros((blocks, new), np.float32)
        for tap in range(taps):
            total += windows[:, first + tap] * kernel[:, tap]
        resampled[channel] = total.reshape(-1)[: resampled.shape[1]]
    return resampled


@functools.lru_cache(maxsize=16)
def _sinc_kernel(orig: int, new: int) -> tuple[Waveform, npt.NDArray[np.int64], int]:
    """For coprime rates: taps (new, 2 * width + 2), first input sample of each phase (new,), and width."""
    crossings, rolloff = 6, 0.99
    base = min(orig, new) * rolloff
    width = math.ceil(crossings * orig / base)
    phase = np.arange(new)
    first = phase * orig // new
    inputs = (first[:, None] + np.arange(2 * width + 2) - width) / orig  # (new, taps)
    # Parity: torchaudio rounds the phases to float32 and computes all else in float64 (8e-6 off without the rounding).
    outputs = phase.astype(np.float32) / np.float32(new)
    t = np.clip((inputs - outputs.astype(np.float64)[:, None]) * base, -crossings, crossings)
    kernel = np.sinc(t) * np.cos(t * math.pi / crossings / 2) ** 2 * (base / orig)
    return kernel.astype(np.float32), first, width


# ---------------------------------------------------------------------------------------------------------------------
# Words for messages
# ---------------------------------------------------------------------------------------------------------------------


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


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or (type(error).__name__ if isinstance(error, Exception) else "")
    return text if len(text) <= 300 else f"{text[:297]}..."
