"""What a FLAC file holds: how many samples there really are, and whether another file follows the first.

The header states a number of samples, 0 if the encoder could not go back to fill it in. The truth stands in the last
frame, for every frame says which one it is; what follows the last whole frame is cut off.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from .audio_pieces import Contents, Piece, bytes_at, end_of_id3, size_of

_ANOTHER = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # the magic, and the header of 34 bytes that must follow it
_MAX_TAIL = 2**22  # more than the largest possible frame
_MAX_TRIES = 100_000
_BLOCK_BYTES = 2**24
_HEADER = 42  # bytes up to the end of the first block of metadata


@dataclass(frozen=True)
class _Frame:
    start: int  # in the bytes that were searched
    first_sample: int
    samples: int


@dataclass(frozen=True)
class _Header:
    data: bytes

    @property
    def block(self) -> int:
        """Samples of every frame but the last, where all are of one size."""
        return int.from_bytes(self.data[10:12], "big")

    @property
    def rate(self) -> int:
        return int.from_bytes(self.data[18:21], "big") >> 4

    @property
    def samples(self) -> int:
        return int.from_bytes(self.data[21:26], "big") & (2**36 - 1)

    def with_samples(self, samples: int) -> bytes:
        kept = int.from_bytes(self.data[18:26], "big") >> 36 << 36
        return self.data[:18] + (kept | samples).to_bytes(8, "big") + self.data[26:]


def flac_contents(file: BinaryIO, at: int) -> Contents:
    """The sounds of one FLAC file, or of several one after another."""
    size = size_of(file)
    starts = [at, *_others(file, at + _HEADER, size)]
    found = [_piece(file, start, stop) for start, stop in zip(starts, [*starts[1:], size], strict=True)]
    return Contents(tuple(piece for piece, _ in found), found[-1][1])


def _others(file: BinaryIO, at: int, end: int) -> list[int]:
    """Where other FLAC files begin."""
    starts = []
    while at < end:
        block = bytes_at(file, at, _BLOCK_BYTES + 7)
        starts += [at + found.start() for found in _ANOTHER.finditer(block)]
        at += _BLOCK_BYTES
    return starts


def _piece(file: BinaryIO, start: int, stop: int) -> tuple[Piece, str]:
    """One of the files, and what is wrong with it."""
    header = _Header(bytes_at(file, start, _HEADER))
    audio = _after_metadata(file, start, stop)
    tail_at = max(audio, stop - _MAX_TAIL)
    tail = bytes_at(file, tail_at, stop - tail_at)
    last = _last_frame(tail, header)
    if last is None or len(header.data) < _HEADER:
        return Piece((range(start, stop),)), ""
    complaint = ""
    whole = next((end for end in _ends(tail) if end > last.start and not _crc16(tail[last.start : end])), None)
    if whole is None:
        samples, end = last.first_sample, tail_at + last.start
        complaint = "it is cut off in the middle of a frame, and how long it was is not known"
    else:
        samples, end = last.first_sample + last.samples, tail_at + whole
    if samples == header.samples or not samples:
        return Piece((range(start, end if samples else stop),)), complaint
    patched = (header.with_samples(samples), range(start + _HEADER, end))
    return Piece(patched, max(1.0, header.samples / samples)), complaint


def _after_metadata(file: BinaryIO, at: int, end: int) -> int:
    """Where the first frame begins."""
    at += 4
    for _ in range(1000):
        head = bytes_at(file, at, 4)
        if len(head) < 4:
            break
        at += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 0x80:
            break
    return min(at, end)


def _ends(tail: bytes) -> Iterator[int]:
    """Where the sound may end: before padding, before tags of another kind, at the end."""
    end = len(tail) - 128 if tail[-128:-125] == b"TAG" else len(tail)
    tag = tail.rfind(b"ID3", 0, end)
    if tag >= 0 and end_of_id3(BytesIO(tail[tag:end])) == end - tag:
        end = tag
    bare = len(tail[:end].rstrip(b"\0"))
    # The sum is the last two bytes of a frame, so up to two zeros may be its own; it cannot tell them from zeros behind
    # it. One too many does no harm, one too few costs the frame.
    yield from range(min(end, bare + 2), bare - 1, -1)
    yield len(tail)


def _last_frame(tail: bytes, header: _Header) -> _Frame | None:
    """The last place at which a frame begins, whole or not."""
    at = len(tail)
    for _ in range(_MAX_TRIES):
        at = max(tail.rfind(b"\xff\xf8", 0, at), tail.rfind(b"\xff\xf9", 0, at))
        if at < 0:
            break
        if frame := _frame_at(tail, at, header):
            return frame
        at += 1  # what is found next must end before this, so begin at least a byte earlier
    return None


def _frame_at(data: bytes, at: int, header: _Header) -> _Frame | None:
    head = data[at : at + 16]
    if len(head) < 6 or head[3] & 1 or head[3] >> 4 > 10 or head[2] & 15 == 15 or not head[2] >> 4:
        return None
    number, end = _coded_number(head)
    if number < 0:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    samples = _BLOCKS[size_code]
    if size_code in (6, 7):
        samples = int.from_bytes(head[end : end + size_code - 5], "big") + 1
        end += size_code - 5
    end += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if end >= len(head) or _crc8(head[:end]) != head[end]:
        return None
    return _Frame(at, number if head[1] & 1 else number * header.block, samples)


# Samples of a frame by the four bits that speak of them; 6 and 7 mean that the number follows.
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def _coded_number(head: bytes) -> tuple[int, int]:
    """(number, where it ends) of the number of a frame or sample, written as UTF-8 would; -1 if it is none."""
    first = head[4]
    more = next((bits - 1 for bits in range(8) if not first >> (7 - bits) & 1), 7)  # bytes that follow
    if more == 0 or more == 7:
        return -1, 5
    if more < 0:
        return first, 5
    rest = head[5 : 5 + more]
    if len(rest) < more or any(byte >> 6 != 2 for byte in rest):
        return -1, 5
    number = first & (0x3F >> more)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, 5 + more


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << (bits - 8)
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc >> (bits - 1) else crc << 1) & ((1 << bits) - 1)
        table.append(crc)
    return table


_CRC8 = _crc_table(0x07, 8)
_CRC16 = _crc_table(0x8005, 16)


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    """0 for a whole frame, which ends with its own sum."""
    crc = 0
    for byte in data:
        crc = (crc << 8 ^ _CRC16[crc >> 8 ^ byte]) & 0xFFFF
    return crc


__all__ = ["flac_contents"]
