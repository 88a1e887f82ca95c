"""From a source of any kind to samples: soundfile, and for what it cannot read torchcodec, torchaudio or ffmpeg."""

import array
import io
import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .audio_checks import (
    MAX_VALUES,
    AudioDecodeError,
    Part,
    UnavailableError,
    Waveform,
    check_channels,
    check_rate,
    one_line,
    optional,
)
from .audio_samples import (
    SAMPLES_KEYS,
    as_float32,
    from_audio_samples,
    from_samples,
    holds_samples,
    is_audio_samples,
    own_rate,
    rate_of,
)
from .audio_sources import CHUNK_BYTES, EncodedAudio, encoded, read_all

FFMPEG_TIMEOUT_S = 120.0

_BLOCK_VALUES = 2**20  # values decoded at a time: a header that promises too much never sizes an allocation
_MISSING_SHARE = 0.05  # share of the promised samples whose absence is worth a warning
_MAX_MPEG_BITS_PER_S = 448_000  # of MPEG-1 layer I; MP3 ends at 320,000
_CODEC_HINT = "Install torchcodec (`pip install torchcodec`) or the ffmpeg program, or convert the file to WAV."


class _UnknownFormatError(Exception):
    """soundfile does not know the format; another decoder may."""


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
        return _from_decoder(source, part, label)
    if is_audio_samples(source):
        waveform, rate = from_audio_samples(source, label)
        return part.cut(waveform, rate), rate
    return _decode_file(encoded(source, label), backend, part)


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
            return _decode_file(encoded(source[key], label), backend, part)
    keys = ", ".join(repr(key) for key in list(source)[:8]) or "none"
    hint = "Pass {'array': samples, 'sampling_rate': rate} or {'path': ..., 'bytes': ...}."
    raise AudioDecodeError(label, f"a mapping without audio (its keys: {keys})", hint)


def _from_decoder(decoder: Any, part: Part, label: str) -> tuple[Waveform, int]:
    """Decoder of datasets or torchcodec -> (channels, samples) and rate."""
    end = part.end_s()
    ranged = getattr(decoder, "get_samples_played_in_range", None)
    only_a_part = callable(ranged) and (part.offset_s > 0 or end is not None)
    try:
        samples = ranged(part.offset_s, end) if only_a_part and ranged else decoder.get_all_samples()
        _ = samples.data, samples.sample_rate
    except Exception as error:  # whatever the decoder raises means one thing: this audio cannot be had
        raise AudioDecodeError(label, f"its decoder failed: {one_line(error)}") from error
    waveform, rate = from_audio_samples(samples, label)
    rest = Part(0.0, part.duration_s, part.max_duration_s) if only_a_part else part
    return rest.cut(waveform, rate), rate


def _decode_file(file: EncodedAudio, backend: str, part: Part) -> tuple[Waveform, int]:
    if backend == "auto":
        return _decode_auto(file, part)
    decoders: dict[str, Callable[[EncodedAudio, Part], tuple[Waveform, int]]] = {
        "soundfile": _decode_soundfile,
        "torchcodec": _decode_torchcodec,
        "torchaudio": _decode_torchaudio,
        "ffmpeg": _decode_ffmpeg,
    }
    try:
        return decoders[backend](file, part)
    except _UnknownFormatError as refusal:
        raise AudioDecodeError(file.name, f"soundfile cannot read it ({refusal})", _format_hint(file.head)) from None
    except UnavailableError as why:
        raise AudioDecodeError(file.name, f"backend {backend!r} cannot be used: {why}") from None


def _decode_auto(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    """soundfile; for containers that it does not know, the first other decoder that works."""
    try:
        return _decode_soundfile(file, part)
    except _UnknownFormatError as refusal:
        container = _container(file.head)
        if container is None:
            # Only known containers go on: ffmpeg would decode text as pictures and follow playlists to other files.
            reason = f"not an audio file that libsndfile reads ({refusal})"
            raise AudioDecodeError(file.name, reason, _format_hint(file.head)) from None
    except UnavailableError as why:
        raise AudioDecodeError(file.name, f"soundfile cannot be used: {why}") from None
    failures = []
    for decoder in (_decode_torchcodec, _decode_ffmpeg):
        try:
            return decoder(file, part)
        except UnavailableError as why:
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


# ---------------------------------------------------------------------------------------------------------------------
# soundfile
# ---------------------------------------------------------------------------------------------------------------------


def _decode_soundfile(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    soundfile = optional("soundfile")
    with _open_soundfile(soundfile, file) as sound:
        rate = check_rate(sound.samplerate, file.name, "its sampling rate")
        check_channels(sound.channels, file.name)
        quota = part.quota(rate, sound.channels)
        blocks: list[npt.NDArray[np.float32]] = []
        try:
            _skip(sound, part.start(rate))
            promised = min(quota, _promised_samples(sound) - part.start(rate))
            blocks.extend(_blocks(sound, quota))
        except Exception as error:  # libsndfile's own error, and soundfile's asserts and TypeErrors
            reason = f"is damaged: {_sndfile_reason(error)}"
            raise AudioDecodeError(file.name, reason, "duration_s may still read the part before it.") from error
        waveform = _joined(blocks, sound.channels)
        is_mpeg = sound.format in ("MPEG", "MP3")
    samples = waveform.shape[1]
    if is_mpeg and samples < quota:
        _check_mpeg(file, (part.start(rate) + samples) / rate)
    _check_promise(samples, promised, rate, file.name)
    return waveform, rate


def _open_soundfile(soundfile: Any, file: EncodedAudio) -> Any:
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
    reason = one_line(getattr(error, "error_string", error)).rstrip(".")
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


def _joined(blocks: list[npt.NDArray[np.float32]], channels: int) -> Waveform:
    """Blocks of (samples, channels) -> (channels, samples). Each is let go once it is copied."""
    waveform = np.empty((channels, sum(map(len, blocks))), np.float32)
    end = waveform.shape[1]
    while blocks:
        block = blocks.pop()
        waveform[:, end - len(block) : end] = block.T
        end -= len(block)
    return waveform


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


def _check_mpeg(file: EncodedAudio, seconds: float) -> None:
    """Refuse what libsndfile takes for MPEG audio by its first bytes alone, as headerless PCM that starts with -1."""
    size = len(file.content) if isinstance(file.content, bytes) else os.path.getsize(file.content)
    if not file.head.startswith(b"ID3") and 8 * size > _MAX_MPEG_BITS_PER_S * (seconds + 1):
        reason = f"holds {seconds:.2f} s of MPEG audio in {size} bytes: damaged, or no MPEG audio at all"
        raise AudioDecodeError(file.name, reason, _format_hint(file.head))


# ---------------------------------------------------------------------------------------------------------------------
# The others
# ---------------------------------------------------------------------------------------------------------------------


def _decode_torchcodec(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    decoder_class = optional("torchcodec.decoders").AudioDecoder
    try:
        decoder = decoder_class(file.content)
    except Exception as error:
        text = one_line(error)
        reason = "it has no audio stream" if "audio stream is unknown" in text else f"torchcodec cannot read it: {text}"
        raise AudioDecodeError(file.name, reason) from error
    return _from_decoder(decoder, part, file.name)


def _decode_torchaudio(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    torchaudio = optional("torchaudio")
    try:
        data, given = torchaudio.load(file.content if isinstance(file.content, str) else io.BytesIO(file.content))
    except Exception as error:
        raise AudioDecodeError(file.name, f"torchaudio cannot read it: {one_line(error)}") from error
    rate = check_rate(given, file.name, "its sampling rate")
    return part.cut(as_float32(data, file.name), rate), rate


def _decode_ffmpeg(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise UnavailableError("there is no ffmpeg program on PATH")
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
    rest = Part(0.0, part.duration_s, part.max_duration_s)  # ffmpeg has applied the offset
    return rest.cut(np.ascontiguousarray(samples.reshape(-1, channels).T, np.float32), rate), int(rate)


def _ffmpeg_command(program: str, path: str, container: tuple[str, str] | None, part: Part) -> list[str]:
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
            raise AudioDecodeError(label, f"ffmpeg does not start: {one_line(error)}") from error
        deadline = threading.Timer(FFMPEG_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            output = read_all(process.stdout, 4 * MAX_VALUES + CHUNK_BYTES, label)
        finally:
            timed_out = not deadline.is_alive()
            deadline.cancel()
            process.kill()  # nothing is lost: its output is at an end, or too long
            process.communicate()
        if timed_out:
            raise AudioDecodeError(label, f"ffmpeg took longer than {FFMPEG_TIMEOUT_S:g} s")
        errors.seek(0)
        return output, one_line(errors.read(2000).decode("utf-8", "replace"))
