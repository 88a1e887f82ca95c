"""Which decoder reads a file, whole or in parts: soundfile, and what it cannot torchcodec or ffmpeg; or a named one."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from .audio_checks import AudioDecodeError, Part, UnavailableError, Waveform
from .audio_optional import decode_ffmpeg, decode_torchaudio, decode_torchcodec, stream_ffmpeg
from .audio_soundfile import UnknownFormatError, decode_soundfile, stream_soundfile
from .audio_sources import EncodedAudio
from .containers.audio_formats import Format, identify, no_sound

Samples = tuple[Waveform, int]  # (channels, samples), and their rate in Hz
Decoder = Callable[[EncodedAudio, Part, Format | None], Samples]
T = TypeVar("T")

_OTHERS: dict[str, Decoder] = {
    "torchcodec": decode_torchcodec,
    "torchaudio": decode_torchaudio,
    "ffmpeg": decode_ffmpeg,
}
_CODEC_HINT = "Install torchcodec (`pip install torchcodec`) or the ffmpeg program, or convert the file to WAV."
# What libsndfile says of a format that it does not know, or that it was built without.
_LACKING = ("not recognised", "unimplemented", "unsupported encoding", "Unsupported encoding")


def decode_file(file: EncodedAudio, backend: str, part: Part) -> tuple[Waveform, int]:
    """The wanted part of a file, (channels, samples), and its rate."""
    if backend == "auto":
        return _decode_auto(file, part)
    try:
        if backend == "soundfile":
            return decode_soundfile(file, part)
        return _OTHERS[backend](file, part, _identified(file))
    except UnknownFormatError as refusal:
        raise _refused(file, _identified(file), str(refusal)) from None
    except UnavailableError as why:
        raise AudioDecodeError(file.name, f"backend {backend!r} cannot be used: {why}") from None


def _decode_auto(file: EncodedAudio, part: Part) -> tuple[Waveform, int]:
    """soundfile; for what it lacks, the first other decoder that works."""
    try:
        return decode_soundfile(file, part)
    except UnknownFormatError as refusal:
        why = str(refusal)
    except UnavailableError as missing:
        raise AudioDecodeError(file.name, f"soundfile cannot be used: {missing}") from None
    found, known = _by_others(file, why, ("torchcodec", "ffmpeg"), lambda name, known: _OTHERS[name](file, part, known))
    waveform, rate = found
    _tell(known.complaint, waveform.shape, rate, part, file.name)
    return waveform, rate


def stream_file(file: EncodedAudio, part: Part) -> Iterator[Samples]:
    """The wanted part of a file, some seconds at a time: (channels, samples), and the rate."""
    blocks = stream_soundfile(file, part)
    try:
        first = next(blocks, None)
    except UnknownFormatError as refusal:
        yield from _stream_by_others(file, part, str(refusal))
        return
    except UnavailableError:
        first = None
    if first is None:
        yield decode_file(file, "auto", part)  # says why there is nothing
        return
    yield first
    yield from blocks


def _stream_by_others(file: EncodedAudio, part: Part, why: str) -> Iterator[Samples]:
    """Where the ffmpeg program is, by that: torchcodec begins anew for each part."""

    def begun(name: str, known: Format) -> tuple[Samples, Iterator[Samples]]:
        """The first samples, and the others: whether a decoder works shows when it begins."""
        parts = stream_ffmpeg(file, part, known) if name == "ffmpeg" else iter([_OTHERS[name](file, part, known)])
        return next(parts), parts

    names = ("ffmpeg", "torchcodec") if shutil.which("ffmpeg") else ("torchcodec", "ffmpeg")
    (first, others), known = _by_others(file, why, names, begun)
    (channels, samples), rate = first[0].shape, first[1]
    yield first
    for waveform, _ in others:
        samples += waveform.shape[1]
        yield waveform, rate
    _tell(known.complaint, (channels, samples), rate, part, file.name)


def _by_others(
    file: EncodedAudio, why: str, names: tuple[str, ...], decode: Callable[[str, Format], T]
) -> tuple[T, Format]:
    """What the first decoder that works makes of a file that soundfile cannot read, and what the file is."""
    known = _identified(file)
    # Only what is known goes on: ffmpeg would decode text as pictures.
    if known is None or not known.has_sound or not _is_lacking(known, why):
        raise _refused(file, known, why)
    if known.is_encrypted:
        raise AudioDecodeError(file.name, f"is {known}, which no decoder reads", "Take a copy without protection.")
    failures = []
    for name in names:
        try:
            return decode(name, known), known
        except UnavailableError as missing:
            failures.append(str(missing))
        except AudioDecodeError as error:
            if error.hint or not known.complaint:
                raise
            raise AudioDecodeError(file.name, f"{error.reason}; {known.complaint}") from error
    reason = f"is {known}, which soundfile cannot read, and nothing else can be used ({'; '.join(failures)})"
    raise AudioDecodeError(file.name, reason, _CODEC_HINT)


def _tell(complaint: str, shape: tuple[int, ...], rate: int, part: Part, label: str) -> None:
    channels, samples = shape
    if complaint and 0 < samples < part.quota(rate, channels):
        seconds = part.offset_s + samples / rate
        warnings.warn(f"{label}: {complaint}; {seconds:.2f} s of it were read", stacklevel=2)


def _identified(file: EncodedAudio) -> Format | None:
    with file.opened() as stream:
        return identify(stream)


def _is_lacking(known: Format, why: str) -> bool:
    """Whether libsndfile lacks this codec, by what we know of it or by what it says itself."""
    return not known.is_read_by_soundfile or (bool(known.demuxer) and any(text in why for text in _LACKING))


def _refused(file: EncodedAudio, known: Format | None, why: str) -> AudioDecodeError:
    """The error for a file that soundfile cannot read, and that no other decoder shall try."""
    if known is None:
        return AudioDecodeError(file.name, f"is not an audio file that libsndfile reads ({why})", _hint(file.head))
    if not known.has_sound:
        return AudioDecodeError(file.name, f"is {known} and has no audio stream")
    if _is_lacking(known, why):
        return AudioDecodeError(file.name, f"is {known}, and soundfile cannot read it ({why})", _CODEC_HINT)
    reason = f"is {known}, and soundfile cannot read it ({why})"
    return AudioDecodeError(file.name, reason, "Its header is damaged or cut off: fetch it again.")


def _hint(head: bytes) -> str:
    if found := no_sound(head):
        name, remedy = found
        return f"It is {name}. {remedy}" if remedy else f"It is {name}."
    if head.lstrip()[:1] in (b"<", b"{"):
        return "It is a text (HTML, XML or JSON), perhaps a failed download."
    return (
        f"It begins with {head[:8]!r}. Headerless PCM must come as samples: "
        "{'array': np.fromfile(path, dtype='<i2'), 'sampling_rate': rate}."
    )


__all__ = ["decode_file", "stream_file"]
