"""What an MPEG audio file (MP3, MP2, MP1) holds, frame by frame.

libsndfile reads as many samples as the file says that it has, guesses from the size of the first frame where it says
nothing, and stops at a file that is glued to the first. So the frames are counted here, each stream of them gets a
header with the true number, and what is no frame (tags, damage) is left out. A stream that begins in the middle of a
frame begins with the first whole one.
"""

import re
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from .audio_pieces import Contents, Piece, bytes_at, end_of_id3, size_of

_KBITS = {  # per second, by (is it MPEG 1, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version bits

# libsndfile knows MPEG audio for certain only behind an ID3 tag; without one it goes by a few bits. An empty tag it
# does not take.
_ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
_CHAIN = 3  # so many frames that follow each other are no accident
_FREE_SEARCH = 2**16  # bytes in which a file without a tag or frame at its beginning must show frames
_SEARCH = 2**22  # bytes of damage after which no frames are looked for
_MAX_BYTES_PER_S = 60_000  # 448 kbit/s, and something for tags
_JUNK = 1500  # bytes without frames that are worth a word: more than the rest of a frame


class _Kind(NamedTuple):
    """What does not change within a stream."""

    version: int
    layer: int
    rate: int

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return 384 if self.layer == 1 else 576 if self.layer == 3 and self.version != 3 else 1152

    def frame_bytes(self, kbits: int, padding: int) -> int:
        if self.layer == 1:
            return (12_000 * kbits // self.rate + padding) * 4
        return self.samples // 8 * 1000 * kbits // self.rate + padding

    def side_bytes(self, mono: bool) -> int:
        """Bytes between the head of a layer III frame and where encoders put their header."""
        return (17 if mono else 32) if self.version == 3 else (9 if mono else 17)


def _known_frames() -> dict[int, tuple[int, _Kind]]:
    """(bytes, kind) of a frame by its second and third byte."""
    known = {}
    for bits in range(0xE000, 0x10000):
        version, layer, bitrate, rate = bits >> 11 & 3, 4 - (bits >> 9 & 3), bits >> 4 & 15, bits >> 2 & 3
        if version != 1 and layer != 4 and 0 < bitrate < 15 and rate != 3:
            kind = _Kind(version, layer, _RATES[version][rate])
            known[bits] = kind.frame_bytes(_KBITS[version == 3, layer][bitrate], bits >> 1 & 1), kind
    return known


_FRAMES = _known_frames()
_HEAD = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
_INFO = re.compile(rb"Xing|Info|VBRI")


@dataclass
class _Stream:
    """Frames that one decoder can take one after another."""

    kind: _Kind
    mono: bool
    runs: list[tuple[int, int]] = field(default_factory=list)  # where frames lie without a gap
    frames: int = 0
    info: int | None = None  # where the frame with the encoder's header lies, which holds no sound


class _Scan:
    """All frames of some bytes."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.infos = {found.start() for found in _INFO.finditer(data)}
        self.streams: list[_Stream] = []
        self.junk = 0  # bytes between frames that are neither tags nor silence
        self.is_cut = False  # the last frame ends after the data
        at: int | None = self._skip_tags(start)
        while at is not None and (found := self._find(at)) is not None:
            self._count_junk(at, found)
            end = self._run(found)
            at = None if self.is_cut else self._skip_tags(end)
        if at is not None:
            self._count_junk(at, len(data))

    def _frame(self, at: int) -> tuple[int, _Kind, bool] | None:
        """(bytes, kind, is it mono) of the frame whose head lies at `at`."""
        data = self.data
        if at + 4 > len(data) or data[at] != 0xFF:
            return None
        known = _FRAMES.get(data[at + 1] << 8 | data[at + 2])
        return known and (*known, data[at + 3] >> 6 == 3)

    def _is_chain(self, at: int) -> bool:
        """Whether frames of one kind follow each other from `at` on, to the end if that is near."""
        first = self._frame(at)
        frame, complete = first, 0
        while frame and first and frame[1:] == first[1:]:
            at += frame[0]
            complete += at <= len(self.data)
            if complete == _CHAIN or at + 4 > len(self.data) or self._is_tag(at):
                return complete > 0
            frame = self._frame(at)
        return False

    def _find(self, at: int) -> int | None:
        for found in _HEAD.finditer(self.data, at, min(len(self.data), at + _SEARCH)):
            if self._is_chain(found.start()):
                return found.start()
        return None

    def _run(self, at: int) -> int:
        """Takes in the frames from `at` on; returns where they end."""
        start = at
        while (frame := self._frame(at)) is not None:
            size, kind, mono = frame
            if at + size > len(self.data):
                self.is_cut = True
                break
            stream = self._stream_of(at, kind, mono)
            if stream is None:  # another stream begins here
                if not self._is_chain(at):
                    break
                start = self._close(start, at)
                stream = _Stream(kind, mono, info=at if self._has_info(at, kind, mono) else None)
                self.streams.append(stream)
            stream.frames += at != stream.info
            at += size
        self._close(start, at)
        return at

    def _stream_of(self, at: int, kind: _Kind, mono: bool) -> _Stream | None:
        """The stream that goes on with the frame at `at`."""
        last = self.streams[-1] if self.streams else None
        if last is None or last.kind != kind or last.mono != mono:
            return None
        return None if self.infos and self._has_info(at, kind, mono) else last

    def _has_info(self, at: int, kind: _Kind, mono: bool) -> bool:
        return kind.layer == 3 and bool({at + 4 + kind.side_bytes(mono), at + 36} & self.infos)

    def _close(self, start: int, end: int) -> int:
        if end > start:
            self.streams[-1].runs.append((start, end))
        return end

    def _is_tag(self, at: int) -> bool:
        return self.data.startswith((b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN"), at)

    def _skip_tags(self, at: int) -> int:
        data = self.data
        while True:
            if data.startswith(b"ID3", at) and len(size := data[at + 6 : at + 10]) == 4:
                at += 10 + sum((byte & 127) << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))
            elif data.startswith(b"TAG", at):
                at += 128
            elif data.startswith(b"APETAGEX", at):
                at += 32 + int.from_bytes(data[at + 12 : at + 16], "little")
            elif data.startswith(b"LYRICSBEGIN", at) and (end := data.find(b"LYRICS200", at)) > 0:
                at = end + 9
            else:
                return at

    def _count_junk(self, start: int, end: int) -> None:
        self.junk += len(self.data[start:end].strip(b"\0"))


def mpeg_contents(
    file: BinaryIO, start: int = 0, stop: int | None = None, end_s: float | None = None
) -> Contents | None:
    """The streams of MPEG audio between two places of a file; None if no frames follow each other there.

    With `end_s` only as much is looked at as that many seconds can take.
    """
    stop = size_of(file) if stop is None else stop
    begin = end_of_id3(file, start)
    wanted = stop - begin if end_s is None else int((end_s + 1) * _MAX_BYTES_PER_S) + 2**16
    is_glance = wanted < stop - begin
    data = bytes_at(file, begin, min(wanted, stop - begin))
    has_magic = begin > start or (data[:1] == b"\xff" and _FRAMES.get(int.from_bytes(data[1:3], "big")) is not None)
    if not has_magic and not _Scan(data[:_FREE_SEARCH], 0).streams:
        return None
    scan = _Scan(data, 0)
    if not scan.streams or scan.junk > len(data) // 2:
        return None
    pieces = tuple(_piece(data, stream) for stream in scan.streams)
    return Contents(pieces, "" if is_glance else _complaint(scan), is_glance)


def _complaint(scan: _Scan) -> str:
    if scan.junk > _JUNK:
        return f"{scan.junk} of its {len(scan.data)} bytes are no MPEG audio: it is damaged"
    for stream in scan.streams:
        said = _stated_frames(scan.data, stream)
        if said and said > stream.frames + (not scan.is_cut):  # some count the frame that says it
            seconds = said * stream.kind.samples / stream.kind.rate
            return f"it is cut off: its header promises {seconds:.2f} s, {said - stream.frames} frames are missing"
    if scan.is_cut and not said:
        return "it is cut off in the middle of a frame, and how long it was is not known"
    return ""


def _piece(data: bytes, stream: _Stream) -> Piece:
    runs = [data[start:end] for start, end in stream.runs]
    if stream.kind.layer != 3:
        return _piece_by_size(runs, data, stream)
    said = _stated_frames(data, stream)
    if stream.info is not None and said is not None:
        # One that says too much keeps its number: the end is missing, and with it what the encoder has filled up.
        runs[0] = _with_counts(runs[0], stream, max(said, stream.frames), sum(map(len, runs)))
        return Piece((b"".join((_ID3, *runs)),))
    if stream.info is not None:
        runs[0] = runs[0][_FRAMES[data[stream.info + 1] << 8 | data[stream.info + 2]][0] :]
    return Piece((b"".join((_ID3, _info_frame(data, stream), *runs)),))


def _stated_frames(data: bytes, stream: _Stream) -> int | None:
    """The number of frames that a stream says it has. None: it says nothing."""
    if stream.info is None:
        return None
    at = stream.info + 4 + stream.kind.side_bytes(stream.mono)
    if data[at : at + 4] not in (b"Xing", b"Info") or not data[at + 7] & 1:
        return None
    return int.from_bytes(data[at + 8 : at + 12], "big") or None


def _with_counts(run: bytes, stream: _Stream, frames: int, size: int) -> bytes:
    """The first run of a stream, with these numbers of frames and bytes in the encoder's header."""
    at = 4 + stream.kind.side_bytes(stream.mono) + 8
    counts = frames.to_bytes(4, "big")
    if run[at - 1] & 2:
        counts += size.to_bytes(4, "big")
    return run[:at] + counts + run[at + len(counts) :]


def _info_frame(data: bytes, stream: _Stream) -> bytes:
    """A frame without sound that says how many follow."""
    kind, at = stream.kind, stream.runs[0][0]
    content = bytes(kind.side_bytes(stream.mono)) + b"Info\0\0\0\x01" + stream.frames.to_bytes(4, "big")
    rates = _KBITS[kind.version == 3, 3]
    index = next(i for i in range(1, 15) if kind.frame_bytes(rates[i], 0) >= 4 + len(content))
    head = bytes((0xFF, data[at + 1] | 1, index << 4 | data[at + 2] & 0x0C, data[at + 3]))  # | 1: without a checksum
    return (head + content).ljust(kind.frame_bytes(rates[index], 0), b"\0")


def _piece_by_size(runs: list[bytes], data: bytes, stream: _Stream) -> Piece:
    """Layers I and II know no such header: frames are added until the guess by the first one is high enough."""
    at = stream.runs[0][0]
    first = _FRAMES[data[at + 1] << 8 | data[at + 2]][0]
    whole = b"".join(runs)
    spare = whole[:first] * (max(0, stream.frames - len(whole) // first) + 4)
    return Piece((_ID3 + whole + spare,), samples=stream.frames * stream.kind.samples)


__all__ = ["mpeg_contents"]
