"""What a decoder is given of a file: its pieces, each a file of its own, read one after another.

Most files are one piece, as they are. A file that holds several sounds (links of Ogg, files put one after another) is
several, and one whose header does not tell the truth about its length gets a header that does: libsndfile reads no
further than a header says.
"""

import io
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO

Segment = bytes | range  # these bytes, or those of the file from `start` to `stop`


@dataclass(frozen=True)
class Piece:
    """A file made of bytes and parts of another.

    Attributes:
        segments: what it consists of.
        share: its length by its header, divided by the length of what is there; above 1, something is cut off.
        samples: how many samples a channel it holds, where it must not be read to its end.
    """

    segments: tuple[Segment, ...]
    share: float = 1.0
    samples: int | None = None

    def open(self, file: BinaryIO) -> BinaryIO:
        if len(self.segments) == 1 and isinstance(self.segments[0], bytes):
            return io.BytesIO(self.segments[0])
        return Spliced(file, self.segments)  # type: ignore[return-value]


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        pieces: to be decoded one after another; none if no decoder should try.
        complaint: what is wrong with the file although it can be read, for a warning: "it ...", or empty.
        is_glance: whether only the beginning was looked at.
    """

    pieces: tuple[Piece, ...]
    complaint: str = ""
    is_glance: bool = False


class Spliced(io.RawIOBase):
    """Bytes and parts of a file, read as one file."""

    def __init__(self, file: BinaryIO, segments: tuple[Segment, ...]) -> None:
        super().__init__()
        self._file = file
        self._segments = segments
        self._ends = list(accumulate(len(segment) for segment in segments))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            part = self._next(len(view) - done)
            if not part:
                break
            view[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def _next(self, size: int) -> bytes:
        """Up to `size` bytes of the segment in which the position lies; none at the end."""
        index = bisect_right(self._ends, self._at)
        if index == len(self._ends):
            return b""
        segment = self._segments[index]
        at = self._at - self._ends[index] + len(segment)
        if isinstance(segment, bytes):
            return segment[at : at + size]
        self._file.seek(segment.start + at)
        return self._file.read(min(size, len(segment) - at))


def bytes_at(file: BinaryIO, at: int, size: int) -> bytes:
    """`size` bytes from `at` on, fewer where the file ends."""
    if at < 0 or size <= 0:
        return b""
    file.seek(at)
    return file.read(size)


def size_of(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def end_of_id3(file: BinaryIO, at: int = 0) -> int:
    """Where the ID3v2 tags that begin at `at` end; `at` if there are none."""
    while (head := bytes_at(file, at, 10))[:3] == b"ID3" and len(head) == 10 and max(head[6:10]) < 128:
        size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        at += 10 + size + (10 if head[5] & 0x10 else 0)  # the flag announces a footer
    return at


__all__ = ["Contents", "Piece", "Segment", "Spliced", "bytes_at", "end_of_id3", "size_of"]
