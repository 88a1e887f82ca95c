"""The codecs of the tracks with sound in MP4 and QuickTime, in Matroska and WebM, and in ASF."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from .audio_format_names import FOURCC, MATROSKA_CODECS, MP4_OBJECTS
from .audio_pieces import bytes_at, size_of

_MAX_BOXES = 4096

# ---------------------------------------------------------------------------------------------------------------------
# MP4: boxes in boxes
# ---------------------------------------------------------------------------------------------------------------------


class _Box(NamedTuple):
    """`stop` is where it ends, or the file does; `said` where it ends by its header."""

    name: bytes
    start: int
    stop: int
    said: int


def mp4_codecs(file: BinaryIO, at: int) -> list[str] | None:
    """None if the file holds no list of tracks, as when its end is missing."""
    movie = next((box for box in _boxes(file, at, size_of(file)) if box.name == b"moov"), None)
    if movie is None or movie.stop < movie.said:
        return None
    tracks = [box for box in _boxes(file, movie.start, movie.stop) if box.name == b"trak"]
    found = (_mp4_codec(file, track) for track in tracks)
    return [codec for codec in found if codec]


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[_Box]:
    for _ in range(_MAX_BOXES):
        head = bytes_at(file, at, 16)
        if len(head) < 8 or at >= end:
            return
        size, start = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), at + 16
        said = end if size == 0 else at + size
        if said < start:
            return
        yield _Box(head[4:8], start, min(end, said), said)
        at = said


def mp4_said_bytes(file: BinaryIO, at: int) -> int:
    """How many bytes the file has by the headers of its boxes."""
    return max((box.said for box in _boxes(file, at, size_of(file))), default=0)


def _inner(file: BinaryIO, box: _Box | None, *path: bytes) -> _Box | None:
    for name in path:
        box = box and next((inner for inner in _boxes(file, box.start, box.stop) if inner.name == name), None)
    return box


def _mp4_codec(file: BinaryIO, track: _Box) -> str:
    """The codec of a track; empty if it is no sound."""
    handler = _inner(file, track, b"mdia", b"hdlr")
    if handler is None or bytes_at(file, handler.start + 8, 4) != b"soun":
        return ""
    table = _inner(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    entry = bytes_at(file, table.start + 8, 4096) if table else b""
    mark = entry[4:8]
    if mark == b"mp4a":
        return _mp4_object(entry)
    return fourcc(mark)


def fourcc(mark: bytes) -> str:
    """How the codec of a mark of four letters is called."""
    return FOURCC.get(mark) or f"an unknown codec ({mark.decode('latin1')!r})"


def _mp4_object(entry: bytes) -> str:
    """What an `mp4a` entry holds, by the descriptor in its `esds` box."""
    at = entry.find(b"esds") + 8
    if at < 8:
        return "AAC"
    while at < len(entry) and entry[at] != 4:  # 3: the elementary stream, around 4: the decoder's configuration
        at = _after_length(entry, at + 1) + (3 if entry[at] == 3 else 0)
    at = _after_length(entry, at + 1)
    return MP4_OBJECTS.get(entry[at], f"object type {entry[at]:#04x}") if at < len(entry) else "AAC"


def _after_length(entry: bytes, at: int) -> int:
    """Where a length of up to four bytes ends, each but the last of which has its highest bit set."""
    while at < len(entry) and entry[at] & 0x80:
        at += 1
    return at + 1


# ---------------------------------------------------------------------------------------------------------------------
# Matroska: elements in elements
# ---------------------------------------------------------------------------------------------------------------------

_SEGMENT, _TRACKS, _ENTRY, _CODEC, _TYPE = 0x18538067, 0x1654AE6B, 0xAE, 0x86, 0x83


def matroska_codecs(file: BinaryIO, at: int) -> list[str] | None:
    """None if the file holds no list of tracks."""
    segment = _element(file, at, size_of(file), _SEGMENT)
    tracks = segment and _element(file, segment.start, segment.stop, _TRACKS)
    if not tracks:
        return None
    codecs = []
    for entry in _elements(file, tracks.start, tracks.stop):
        kind = _element(file, entry.start, entry.stop, _TYPE)
        codec = _element(file, entry.start, entry.stop, _CODEC)
        if kind and codec and bytes_at(file, kind.start, 1) == b"\2":
            codecs.append(_matroska_name(bytes_at(file, codec.start, min(64, codec.stop - codec.start))))
    return codecs


def _matroska_name(mark: bytes) -> str:
    text = mark.rstrip(b"\0").decode("latin1")
    while text not in MATROSKA_CODECS and "/" in text:
        text = text.rpartition("/")[0]
    return MATROSKA_CODECS.get(text) or f"an unknown codec ({mark.decode('latin1')!r})"


class _Element(NamedTuple):
    """`stop` is where it ends, or what holds it does; `said` where it ends by its header."""

    mark: int
    start: int
    stop: int
    said: int


def _element(file: BinaryIO, at: int, end: int, mark: int) -> _Element | None:
    return next((element for element in _elements(file, at, end) if element.mark == mark), None)


def _elements(file: BinaryIO, at: int, end: int) -> Iterator[_Element]:
    for _ in range(_MAX_BOXES):
        head = bytes_at(file, at, 12)
        mark_bytes = _vint_bytes(head)
        size_bytes = _vint_bytes(head[mark_bytes:])
        if at >= end or not mark_bytes or not size_bytes:
            return
        size = int.from_bytes(head[mark_bytes : mark_bytes + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
        start = at + mark_bytes + size_bytes
        unknown = size == (1 << 7 * size_bytes) - 1  # all ones: up to the end, as when it is streamed
        said = end if unknown else start + size
        yield _Element(int.from_bytes(head[:mark_bytes], "big"), start, min(end, said), said)
        at = said


def matroska_said_bytes(file: BinaryIO, at: int) -> int:
    """How many bytes the file has by the header of its segment."""
    return max((element.said for element in _elements(file, at, size_of(file))), default=0)


def _vint_bytes(data: bytes) -> int:
    """Bytes of a number by the first of them; 0 if there is none."""
    return 9 - data[0].bit_length() if data and data[0] else 0


# ---------------------------------------------------------------------------------------------------------------------
# ASF: objects
# ---------------------------------------------------------------------------------------------------------------------

_STREAM_PROPERTIES = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_AUDIO_MEDIA = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")


def asf_codecs(file: BinaryIO, at: int) -> list[int] | None:
    """The format tags of the streams with sound; None if no stream is described."""
    header = bytes_at(file, at, 2**16)
    tags, found, place = [], False, header.find(_STREAM_PROPERTIES)
    while place >= 0:
        found = True
        if header[place + 24 : place + 40] == _AUDIO_MEDIA:
            tags.append(int.from_bytes(header[place + 78 : place + 80], "little"))
        place = header.find(_STREAM_PROPERTIES, place + 16)
    return tags if found else None


__all__ = ["asf_codecs", "fourcc", "matroska_codecs", "matroska_said_bytes", "mp4_codecs", "mp4_said_bytes"]
