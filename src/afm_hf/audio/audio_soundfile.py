"""Decoding with libsndfile: piece after piece of a file, to the end, with a word where less is there than promised."""

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .audio_checks import AudioDecodeError, Part, Waveform, check_channels, check_rate, one_line, optional
from .audio_sources import EncodedAudio
from .containers.audio_contents import contents_of
from .containers.audio_pieces import Contents, Piece

_BLOCK_VALUES = 2**20  # values decoded at a time: a header that promises too much never sizes an allocation
_MISSING_S = 0.01  # seconds whose absence is worth a warning; less is careless arithmetic of whoever wrote the header
_MPEG_FRAMES = 2304  # samples that decoders of MPEG audio disagree about
_MPEG_RUN_UP = 16 * 1152  # samples
_UNKNOWN_LENGTH = 2**60


class UnknownFormatError(Exception):
    """soundfile does not know the format; another decoder may."""


_Block = npt.NDArray[np.float32]  # (samples, channels)


@dataclass
class _Reading:
    """What has been read of a file, and what should have been."""

    rate: int = 0  # in Hz; 0 before anything is read
    channels: int = 0
    samples: int = 0  # read, and those before the wanted part
    got: int = 0  # samples of the wanted part
    wanted: int = 0  # samples up to the end of the wanted part
    promised: int = 0
    slack: int = 0
    complaint: str = ""

    @property
    def is_full(self) -> bool:
        return self.samples >= self.wanted


def decode_soundfile(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    """The wanted part of a file, (channels, samples), and its rate.

    Raises:
        UnknownFormatError: libsndfile does not know what this is.
        AudioDecodeError: it does, but cannot read it.
    """
    soundfile = optional("soundfile")
    with file.opened() as stream:
        reading, blocks = _glance(soundfile, stream, part, file.name) or _gathered(
            soundfile, stream, contents_of(stream), part, file.name
        )
    if not reading.is_full:
        _check_promise(reading, part, file.name)
    return _joined(blocks, reading.channels), reading.rate


def stream_soundfile(file: EncodedAudio, part: Part) -> Iterator[tuple[Waveform, int]]:
    """As [`decode_soundfile`], block by block: (channels, samples), and the rate."""
    soundfile = optional("soundfile")
    reading = _Reading()
    with file.opened() as stream:
        for block in _read(soundfile, stream, contents_of(stream), part, file.name, reading):
            yield np.ascontiguousarray(block.T), reading.rate
    if not reading.is_full:
        _check_promise(reading, part, file.name)


def _glance(soundfile: Any, stream: BinaryIO, part: Part, label: str) -> tuple[_Reading, list[_Block]] | None:
    """The wanted part, if it can be had without going through the whole of a large file."""
    end_s = part.end_s()
    if end_s is None:
        return None
    contents = contents_of(stream, end_s)
    if not contents.is_glance:
        return _gathered(soundfile, stream, contents, part, label)
    with suppress(UnknownFormatError, AudioDecodeError):  # the whole of it may be readable
        reading, blocks = _gathered(soundfile, stream, contents, part, label)
        return (reading, blocks) if reading.is_full else None
    return None


def _gathered(
    soundfile: Any, stream: BinaryIO, contents: Contents, part: Part, label: str
) -> tuple[_Reading, list[_Block]]:
    reading = _Reading()
    blocks = list(_read(soundfile, stream, contents, part, label, reading))
    return reading, blocks


def _read(
    soundfile: Any, stream: BinaryIO, contents: Contents, part: Part, label: str, reading: _Reading
) -> Iterator[_Block]:
    """The blocks of the wanted part; `reading` says what they are, and what should have come."""
    for index, piece in enumerate(contents.pieces):
        with _opened(soundfile, piece.open(stream)) as sound:
            if not reading.rate:
                _begin(reading, sound, part, label)
            elif (sound.samplerate, sound.channels) != (reading.rate, reading.channels):
                reading.complaint = _change(sound, reading)
                break
            yield from _read_piece(sound, piece, reading, part.start(reading.rate), label, jump=index == 0)
        if reading.is_full:
            break
    if not reading.rate:
        raise UnknownFormatError(contents.complaint or "it holds nothing")
    reading.complaint = reading.complaint or contents.complaint


def _begin(reading: _Reading, sound: Any, part: Part, label: str) -> None:
    reading.rate = check_rate(sound.samplerate, label, "its sampling rate")
    check_channels(sound.channels, label)
    if (sound.format, sound.subtype) == ("PAF", "PCM_24") and sound.channels > 2:
        reason = f"is a PARIS file of 24 bits with {sound.channels} channels, whose samples libsndfile mixes up"
        raise AudioDecodeError(label, reason, "Write it in another format, as WAV or FLAC.")
    reading.channels = sound.channels
    reading.slack = max(int(_MISSING_S * reading.rate), _MPEG_FRAMES if _is_mpeg(sound) else 0)
    reading.wanted = part.start(reading.rate) + part.quota(reading.rate, sound.channels)


def _read_piece(sound: Any, piece: Piece, reading: _Reading, start: int, label: str, jump: bool) -> Iterator[_Block]:
    try:
        reading.promised += piece.samples or int(_promised_samples(sound) * piece.share)
        limit = piece.samples or _held_samples(sound)
        begin = reading.samples
        if start > begin:
            reading.samples += _skip(sound, min(start - begin, limit), jump)
        blocks = _blocks(sound, min(reading.wanted, begin + limit) - reading.samples)
        while (block := next(blocks, None)) is not None:
            reading.samples += len(block)
            reading.got += len(block)
            yield block
    except Exception as error:  # libsndfile's own error, and soundfile's asserts and TypeErrors
        reason = f"is damaged: {_sndfile_reason(error)}"
        raise AudioDecodeError(label, reason, "duration_s may still read the part before it.") from error


def _change(sound: Any, reading: _Reading) -> str:
    """What is said of a piece that cannot follow those before it."""
    after = f"{sound.frames / sound.samplerate:.2f} s or more at {sound.samplerate} Hz with {sound.channels} channels"
    return f"it goes on with {after}, unlike its beginning at {reading.rate} Hz with {reading.channels}"


def _opened(soundfile: Any, stream: BinaryIO) -> Any:
    try:
        return soundfile.SoundFile(stream)
    except Exception as error:
        raise UnknownFormatError(_sndfile_reason(error)) from error


def _sndfile_reason(error: Exception) -> str:
    return one_line(getattr(error, "error_string", error)).rstrip(".")


def _is_mpeg(sound: Any) -> bool:
    return sound.format in ("MPEG", "MP3")


def _skip(sound: Any, start: int, jump: bool) -> int:
    """Go to sample `start`, or to the end if it lies beyond; returns where it is."""
    # libsndfile 1.2.2 seeks to wrong places in Ogg Vorbis. Of several pieces only decoding tells the length.
    if jump and sound.seekable() and sound.subtype != "VORBIS" and sound.frames < _UNKNOWN_LENGTH:
        # mpg123 is not quite itself for some frames after a jump.
        before = max(0, start - _MPEG_RUN_UP) if _is_mpeg(sound) else start
        at = int(sound.seek(min(before, sound.frames)))
        return at + sum(len(block) for block in _blocks(sound, start - at))
    return sum(len(block) for block in _blocks(sound, start))


def _blocks(sound: Any, quota: int) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks of (samples, channels), `quota` samples in all or up to the end."""
    # soundfile seeks to where it is after every block, which fails in files of unknown length and in rare formats.
    sound.seekable = bool
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


# ---------------------------------------------------------------------------------------------------------------------
# What a header promises
# ---------------------------------------------------------------------------------------------------------------------

# libsndfile corrects the number of samples of a file that is cut off, and tells so only in its log, if at all.
_SAID_AND_REAL = {
    "SVX": r"BODY : (?P<said>\d+) \(should be (?P<real>\d+)\)",
    "MAT4": r"truncated\. (?P<real>\d+) <--> (?P<said>\d+)",
    "WVE": r"Data length (?P<said>\d+) should be (?P<real>\d+)",
    "VOC": r"Length : (?P<real>\d+)[\s\S]+Extended II : (?P<said>\d+)[\s\S]+truncated",
}
_STATED = {
    "AVR": r"Frames +: (\d+)",
    "MPC2K": r"Frames +: (\d+)",
    "MAT5": r"Rows : \d+ +Cols : (\d+)\s+Type : \d+ +Size : \d+\s+Name : wavedata",
}
_HELD = {"SDS": r"Frames +: (\d+)"}  # here it believes the header, and makes up what is missing


def _promised_samples(sound: Any) -> int:
    """Number of samples by the header; 0 if it does not say."""
    frames = int(sound.frames)
    if frames >= _UNKNOWN_LENGTH:
        return 0
    if found := re.search(_SAID_AND_REAL.get(sound.format, "$^"), sound.extra_info):
        return int(frames * int(found["said"]) / max(1, int(found["real"])))
    return max([frames, *(int(number) for number in _in_log(sound, _STATED))])


def _held_samples(sound: Any) -> int:
    """Number of samples after which libsndfile makes them up, or takes what follows them for damage (FLAC)."""
    if sound.format == "FLAC":
        return int(sound.frames)
    return min([_UNKNOWN_LENGTH, *(int(number) for number in _in_log(sound, _HELD))])


def _in_log(sound: Any, patterns: dict[str, str]) -> list[str]:
    return re.findall(patterns.get(sound.format, "$^"), sound.extra_info)


def _check_promise(reading: _Reading, part: Part, label: str) -> None:
    """Warns of sound that is missing at the end of what was read, or raises if there is none at all."""
    promised = min(reading.promised, reading.wanted)
    is_cut = promised - reading.samples > reading.slack
    if not reading.got:
        if is_cut and promised > part.start(reading.rate):
            raise AudioDecodeError(label, f"its header promises {promised} samples, but it holds none: it is cut off")
        return
    held = f"{reading.samples / reading.rate:.2f} s"
    if is_cut:
        said = f"{reading.promised / reading.rate:.2f} s"
        warnings.warn(f"{label} is cut off: its header promises {said}, it holds {held}; using these", stacklevel=2)
    elif reading.complaint:
        warnings.warn(f"{label}: {reading.complaint}; {held} of it were read", stacklevel=2)
