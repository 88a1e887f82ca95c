"""What an Ogg file holds: links that follow each other (recorded web radio, files glued together), each with streams.

libsndfile reads the first stream of the first link only, and does not say so. So the pages are gone through here, and
each link with sound in it becomes a file of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from .audio_format_names import OGG_STREAMS
from .audio_pieces import Contents, Piece, bytes_at, size_of

_HEAD = 27  # bytes of a page before its table of segments
_MAX_PAGE = 65_307
_BLOCK_BYTES = 2**22
_FLAC_MAPPING = 9  # bytes: mark, version and number of headers


class Page(NamedTuple):
    start: int
    stop: int
    flags: int  # 1: goes on with a packet, 2: first of its stream, 4: last
    serial: int
    body: int  # where its content begins

    @property
    def is_first(self) -> bool:
        return bool(self.flags & 2)


@dataclass
class _Stream:
    beginning: bytes  # of its first packet
    pages: list[range] = field(default_factory=list)
    bodies: list[range] = field(default_factory=list)  # of pages, where these are needed
    has_end: bool = False

    @property
    def is_flac(self) -> bool:
        return self.beginning.startswith(b"\x7fFLAC")

    @property
    def is_sound(self) -> bool:
        return any(self.beginning.startswith(magic) and sound for magic, _, sound, _ in OGG_STREAMS)


@dataclass
class _Link:
    streams: dict[int, _Stream] = field(default_factory=dict)
    has_content: bool = False  # whether pages other than first ones came

    def sounds(self) -> list[_Stream]:
        return [stream for stream in self.streams.values() if stream.is_sound]


class Pages:
    """The pages of an Ogg file, in order."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self.file = file
        self.at = at
        self.size = size_of(file)
        self.is_cut = False  # the last page is not all there
        self.junk = 0  # bytes between pages
        self.orphans = 0  # pages of a stream whose beginning is missing

    def __iter__(self) -> Iterator[Page]:
        while self.at < self.size:
            page = self._page_at(self.at)
            if page is None:
                self._resynchronise()
                continue
            if page.stop > self.size:
                self.is_cut = True
                return
            self.at = page.stop
            yield page

    def _page_at(self, at: int) -> Page | None:
        head = bytes_at(self.file, at, _HEAD + 255)
        if head[:4] != b"OggS" or head[4:5] not in (b"\0", b""):
            return None
        table = head[_HEAD : _HEAD + head[26]] if len(head) > 26 else b""
        if len(head) < _HEAD or len(table) < head[26]:
            return Page(at, self.size + 1, 0, 0, at)  # its beginning is all that is left
        body = at + _HEAD + len(table)
        return Page(at, body + sum(table), head[5], int.from_bytes(head[14:18], "little"), body)

    def _resynchronise(self) -> None:
        start = self.at
        self.at += 1
        while self.at < self.size:
            block = bytes_at(self.file, self.at, _BLOCK_BYTES)
            found = block.find(b"OggS")
            if found >= 0:
                self.at += found
                break
            self.at += max(1, len(block) - 3) if len(block) > 3 else len(block) or self.size
        self.junk += min(self.at, self.size) - start


def ogg_contents(file: BinaryIO, at: int) -> Contents | None:
    """The sounds of an Ogg file; None if there is nothing to make sense of."""
    pages = Pages(file, at)
    links = [link for link in _links(file, pages) if link.sounds()]
    if not links:
        return None
    pieces = tuple(Piece(_segments(link.sounds()[0])) for link in links)
    return Contents(pieces, _complaint(pages, links))


def _links(file: BinaryIO, pages: Pages) -> list[_Link]:
    links: list[_Link] = []
    for page in pages:
        if page.is_first and (not links or links[-1].has_content or page.serial in links[-1].streams):
            links.append(_Link())
        if not links:
            pages.orphans += 1
            continue
        link = links[-1]
        if page.is_first:
            link.streams[page.serial] = _Stream(bytes_at(file, page.body, min(16, page.stop - page.body)))
        else:
            link.has_content = True
        if stream := link.streams.get(page.serial):
            _append(stream.pages, range(page.start, page.stop))
            if stream.is_flac:
                stream.bodies.append(range(page.body, page.stop))
            stream.has_end = stream.has_end or bool(page.flags & 4)
    return links


def _append(ranges: list[range], new: range) -> None:
    if ranges and ranges[-1].stop == new.start:
        ranges[-1] = range(ranges[-1].start, new.stop)
    else:
        ranges.append(new)


def _segments(stream: _Stream) -> tuple[range, ...]:
    if not stream.is_flac:
        return tuple(stream.pages)
    # Not every libsndfile reads FLAC in Ogg. Without the heads of pages, and its mark, it is a FLAC file.
    bodies = list(stream.bodies)
    bodies[0] = bodies[0][_FLAC_MAPPING:]
    return tuple(bodies)


def _complaint(pages: Pages, links: list[_Link]) -> str:
    several = max(len(link.sounds()) for link in links)
    if pages.orphans:
        return f"it begins in the middle of a stream, and its first {pages.orphans} pages cannot be read"
    if pages.junk > _MAX_PAGE // 16:
        return f"{pages.junk} of its {pages.size} bytes are no Ogg pages: it is damaged"
    if pages.is_cut:
        return "it ends in the middle of a page: it is cut off, and how long it was is not known"
    if not links[-1].sounds()[0].has_end:
        return "its last page is not marked as the last: it may be cut off, and how long it was is not known"
    if several > 1:
        return f"it holds {several} streams of sound at the same time, and the first is read"
    return ""


__all__ = ["Page", "Pages", "ogg_contents"]
