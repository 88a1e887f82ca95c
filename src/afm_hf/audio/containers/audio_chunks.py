"""Files made of chunks, each with a name and a size: WAV, RF64, W64, AIFF, CAF and their relatives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple

from .audio_pieces import bytes_at

MAX_CHUNKS = 4096  # a file with more of them is no recording

# Chunks that follow the samples in honest files. One of another name may as well be sound that nobody counted.
_KNOWN_NAMES = frozenset(
    b"fmt data fact LIST INFO cue smpl inst bext iXML ID3 id3 JUNK junk PAD PEAK acid DISP cart _PMX afsp FLLR chna "
    b"axml levl strc plst umid minf elm1 regn SAUR MD5 wavl slnt bwbn link free NAME AUTH (c) ANNO COMT COMM SSND FVER "
    b"MARK INST MIDI AESD APPL CHAN basc trns chan info pakt kuki desc uuid mark strg ovvw edct midi cues ds64".split()
)


@dataclass(frozen=True)
class Layout:
    """How a chunk begins: the bytes of its name and of its size, their order, and to what chunks are aligned."""

    order: Literal["little", "big"]
    name_bytes: int = 4
    size_bytes: int = 4
    align: int = 2
    size_counts_head: bool = False

    @property
    def head(self) -> int:
        return self.name_bytes + self.size_bytes


RIFF = Layout("little")
RIFX = Layout("big")
CAF = Layout("big", size_bytes=8, align=1)
W64 = Layout("little", name_bytes=16, size_bytes=8, align=8, size_counts_head=True)


class Chunk(NamedTuple):
    """`start` is where its content begins, `said` the size of that by its header, `after` where the next one begins."""

    name: bytes
    start: int
    said: int
    after: int


def chunk_at(file: BinaryIO, layout: Layout, at: int, end: int) -> Chunk | None:
    """The chunk that begins at `at`, whatever its size; None if not even its header fits."""
    head = bytes_at(file, at, layout.head)
    if at + layout.head > end or len(head) < layout.head:
        return None
    said = int.from_bytes(head[layout.name_bytes :], layout.order)
    if layout.size_counts_head:
        said = max(0, said - layout.head)
    start = at + layout.head
    return Chunk(head[: layout.name_bytes], start, said, start + said + -said % layout.align)


def chunks(file: BinaryIO, layout: Layout, at: int, end: int) -> Iterator[Chunk]:
    """Chunk after chunk; the last may be said to reach beyond the end."""
    for _ in range(MAX_CHUNKS):
        chunk = chunk_at(file, layout, at, end)
        if chunk is None:
            return
        yield chunk
        at = chunk.after


def first_chunk(file: BinaryIO, layout: Layout, name: bytes, at: int, end: int, limit: int = 4096) -> bytes | None:
    """The content of the first chunk of that name, up to `limit` bytes of it."""
    for chunk in chunks(file, layout, at, end):
        if chunk.name[: len(name)] == name:
            return bytes_at(file, chunk.start, min(chunk.said, limit))
    return None


def are_chunks(file: BinaryIO, layout: Layout, at: int, end: int) -> bool:
    """Whether what stands between two places is chunks, and no more than padding after the last of them."""
    found = False
    while (chunk := chunk_at(file, layout, at, end)) and is_plausible(chunk, end):
        found, at = True, chunk.after
    return found and end - at < layout.align


def is_plausible(chunk: Chunk, end: int) -> bool:
    """A chunk of a known name may be cut off; one of another must at least have a name and fit."""
    name = chunk.name[:4]
    return name.rstrip() in _KNOWN_NAMES or (
        chunk.start + chunk.said <= end and all(32 <= letter < 127 for letter in name)
    )


__all__ = [
    "CAF",
    "RIFF",
    "RIFX",
    "W64",
    "Chunk",
    "Layout",
    "are_chunks",
    "chunk_at",
    "chunks",
    "first_chunk",
    "is_plausible",
]
