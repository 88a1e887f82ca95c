"""Decoders that are used where they are installed: torchcodec, torchaudio and the ffmpeg program."""

import io
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .audio_checks import (
    MAX_CHANNELS,
    AudioDecodeError,
    Part,
    UnavailableError,
    Waveform,
    check_rate,
    one_line,
    optional,
)
from .audio_samples import as_float32, from_audio_samples
from .audio_sources import CHUNK_BYTES, EncodedAudio
from .containers.audio_formats import Format

FFMPEG_TIMEOUT_S = 120.0

_MISSING_SHARE = 0.05  # of the length in the header, which codecs with padding and clocks round
_AU_HEAD = 24  # bytes: magic, data offset, size, encoding (6 is float32), rate, channels; all big endian


def from_decoder(decoder: Any, part: Part, label: str) -> tuple[Waveform, int]:
    """Decoder of datasets or torchcodec -> (channels, samples) and rate."""
    end = _end_s(decoder, part)
    ranged = getattr(decoder, "get_samples_played_in_range", None)
    only_a_part = callable(ranged) and (part.offset_s > 0 or end is not None)
    try:
        samples = ranged(part.offset_s, end) if only_a_part and ranged else decoder.get_all_samples()
        _ = samples.data, samples.sample_rate
    except Exception as error:  # whatever the decoder raises means one thing: this audio cannot be had
        raise AudioDecodeError(label, f"its decoder failed: {one_line(error)}") from error
    waveform, rate = from_audio_samples(samples, label)
    rest = part.from_its_start() if only_a_part else part
    return rest.cut(waveform, rate), rate


def _end_s(decoder: Any, part: Part) -> float | None:
    """Where to stop, at the latest where more would not be allowed."""
    end = part.end_s()
    metadata = getattr(decoder, "metadata", None)
    rate, channels = (getattr(metadata, name, None) for name in ("sample_rate", "num_channels"))
    if not isinstance(rate, int) or not isinstance(channels, int) or rate <= 0 or channels <= 0:
        return end
    duration = getattr(metadata, "duration_seconds", None)
    limit = part.offset_s + part.quota(rate, channels) / rate
    if end is None and isinstance(duration, (int, float)) and duration <= limit:
        return None
    return limit if end is None else min(end, limit)


def decode_torchcodec(file: EncodedAudio, part: Part, known: Format | None) -> tuple[Waveform, int]:
    decoder_class = optional("torchcodec.decoders").AudioDecoder
    try:
        decoder = decoder_class(file.content)
    except Exception as error:
        text = one_line(error)
        reason = "has no audio stream" if "audio stream is unknown" in text else f"torchcodec cannot read it: {text}"
        raise AudioDecodeError(file.name, reason) from error
    waveform, rate = from_decoder(decoder, part, file.name)
    _check_length(
        waveform, rate, getattr(getattr(decoder, "metadata", None), "duration_seconds", None), part, file.name
    )
    return waveform, rate


def _check_length(waveform: Waveform, rate: int, promised_s: Any, part: Part, label: str) -> None:
    got = waveform.shape[1] / rate
    if not isinstance(promised_s, (int, float)) or waveform.shape[1] >= part.quota(rate, waveform.shape[0]):
        return
    missing = promised_s - part.offset_s - got
    if missing > max(0.1, _MISSING_SHARE * promised_s):
        text = f"{label} is cut off: its header promises {promised_s:.2f} s, and {part.offset_s + got:.2f} s were read"
        warnings.warn(text, stacklevel=2)


def decode_torchaudio(file: EncodedAudio, part: Part, known: Format | None) -> tuple[Waveform, int]:
    torchaudio = optional("torchaudio")
    try:
        data, given = torchaudio.load(file.content if isinstance(file.content, str) else io.BytesIO(file.content))
    except Exception as error:
        raise AudioDecodeError(file.name, f"torchaudio cannot read it: {one_line(error)}") from error
    rate = check_rate(given, file.name, "its sampling rate")
    return part.cut(as_float32(data, file.name), rate), rate


# ---------------------------------------------------------------------------------------------------------------------
# ffmpeg
# ---------------------------------------------------------------------------------------------------------------------


def decode_ffmpeg(file: EncodedAudio, part: Part, known: Format | None) -> tuple[Waveform, int]:
    parts = list(stream_ffmpeg(file, part, known))
    return np.concatenate([waveform for waveform, _ in parts], axis=1), parts[0][1]


def stream_ffmpeg(file: EncodedAudio, part: Part, known: Format | None) -> Iterator[tuple[Waveform, int]]:
    """As [`decode_ffmpeg`], some seconds at a time, while the program goes on decoding."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise UnavailableError("there is no ffmpeg program on PATH")
    if known is None or not known.demuxer:
        # ffmpeg would decode text as pictures and follow playlists to other files.
        raise AudioDecodeError(file.name, f"ffmpeg is not asked about {known or 'a file that is not known as audio'}")
    with file.on_disk() as path:
        output = _Output()
        rest = part.from_its_start()  # ffmpeg applies the offset
        for body in _run_ffmpeg(_ffmpeg_command(program, path, known.demuxer, part), part, file.name, output):
            samples = np.frombuffer(body, ">f4").reshape(-1, output.channels)
            output.samples += len(samples)
            yield rest.cut(np.ascontiguousarray(samples.T, np.float32), output.rate), output.rate
    complaint = output.complaint
    if not output.is_au or output.encoding != 6:
        reason = "holds no audio stream" if "matches no streams" in complaint else f"ffmpeg cannot read it: {complaint}"
        raise AudioDecodeError(file.name, reason)
    if not output.samples:
        if not part.offset_s:
            raise AudioDecodeError(file.name, f"ffmpeg finds no sound in {known}: {complaint or 'it says nothing'}")
        yield rest.cut(np.zeros((output.channels, 0), np.float32), output.rate), output.rate
    if complaint:
        seconds = output.samples / output.rate
        warnings.warn(f"{file.name}: ffmpeg read {seconds:.2f} s and says: {complaint}", stacklevel=2)


@dataclass
class _Output:
    """What the program has written: an AU stream, and words."""

    head: bytes = b""
    samples: int = 0
    complaint: str = ""

    @property
    def is_au(self) -> bool:
        return self.head[:4] == b".snd" and 0 < self.channels <= MAX_CHANNELS and self.rate > 0

    @property
    def encoding(self) -> int:
        return self._number(3)

    @property
    def rate(self) -> int:
        return self._number(4)

    @property
    def channels(self) -> int:
        return self._number(5)

    def _number(self, place: int) -> int:
        return int.from_bytes(self.head[4 * place : 4 * place + 4], "big")


def _ffmpeg_command(program: str, path: str, demuxer: str, part: Part) -> list[str]:
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]  # never the network
    end = part.end_s()
    command += ["-f", demuxer, "-i", f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32be"]
    if part.offset_s:
        command += ["-ss", f"{part.offset_s:.6f}"]  # after the input: before it, ffmpeg jumps, and misses by a packet
    if end is not None:
        command += ["-t", f"{end - part.offset_s:.6f}"]
    return [*command, "-f", "au", "pipe:1"]


def _run_ffmpeg(command: list[str], part: Part, label: str, output: _Output) -> Iterator[bytes]:
    """The samples, some at a time; header and last lines of standard error, on one line, are noted in `output`."""
    with tempfile.TemporaryFile() as errors:  # a file, since a full pipe that nobody reads would block ffmpeg
        with _running(command, errors, label) as read:
            yield from _read_au(read, part, output)
        errors.seek(0)
        output.complaint = one_line(errors.read(2000).decode("utf-8", "replace"))


@contextmanager
def _running(command: list[str], errors: Any, label: str) -> Iterator[Callable[[int], bytes]]:
    """What reads bytes of the program's output; the program is killed when they take too long to come."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    except OSError as error:
        raise AudioDecodeError(label, f"ffmpeg does not start: {one_line(error)}") from error
    left_s = FFMPEG_TIMEOUT_S  # of waiting for it; it may wait for us as long as it likes

    def read(count: int) -> bytes:
        nonlocal left_s
        deadline = threading.Timer(max(0.0, left_s), process.kill)
        deadline.start()
        begun = time.monotonic()
        try:
            return process.stdout.read(count) if process.stdout else b""
        finally:
            left_s -= time.monotonic() - begun
            deadline.cancel()

    try:
        yield read
    finally:
        process.kill()  # nothing is lost: its output is at an end, or too long
        process.communicate()
    if left_s <= 0:
        raise AudioDecodeError(label, f"ffmpeg took longer than {FFMPEG_TIMEOUT_S:g} s")


def _read_au(read: Callable[[int], bytes], part: Part, output: _Output) -> Iterator[bytes]:
    """Whole samples of an AU stream, some at a time; no more of them than are wanted or allowed."""
    output.head = read(_AU_HEAD)
    if not output.is_au:
        return
    start = int.from_bytes(output.head[4:8], "big")
    read(min(max(0, start - _AU_HEAD), CHUNK_BYTES))
    size = 4 * output.channels
    left = size * part.quota(output.rate, output.channels)
    chunk = CHUNK_BYTES // size * size
    while left > 0 and (body := read(min(chunk, left))):
        left -= len(body)
        if whole := len(body) // size * size:  # less at the end of what was cut off
            yield body[:whole]


__all__ = ["decode_ffmpeg", "decode_torchaudio", "decode_torchcodec", "from_decoder", "stream_ffmpeg"]
