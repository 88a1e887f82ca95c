"""What AIFF, CAF and AU files hold, whatever their headers say about sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

from .audio_chunks import CAF, RIFX, Layout, are_chunks, chunk_at, is_plausible
from .audio_pieces import Contents, Piece, Segment, bytes_at, size_of

_NEVER_FILLED_IN = (0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 2**63 - 1, 2**64 - 1)
_WIDTHS = {  # bytes of a sample, where the header's number of bits does not tell
    **dict.fromkeys((b"ulaw", b"ULAW", b"alaw", b"ALAW", b"raw "), 1),
    **dict.fromkeys((b"in24", b"ni24", b"42ni"), 3),
    **dict.fromkeys((b"in32", b"ni32", b"23ni", b"fl32", b"FL32"), 4),
    **dict.fromkeys((b"fl64", b"FL64"), 8),
}
_WORTH_A_WORD = 512  # bytes
_BY_BITS = (b"NONE", b"twos", b"sowt")


@dataclass
class _Sound:
    """One file of perhaps several in a file."""

    segments: tuple[Segment, ...]
    share: float
    end: int
    complaint: str = ""


def aiff_contents(file: BinaryIO, at: int) -> Contents | None:
    return _one_after_another(file, at, _is_aiff, _aiff)


def caf_contents(file: BinaryIO, at: int) -> Contents | None:
    return _one_after_another(file, at, _is_caf, _caf)


def au_contents(file: BinaryIO, at: int) -> Contents | None:
    return _one_after_another(file, at, _is_au, _au)


def _is_aiff(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def _is_caf(head: bytes) -> bool:
    return head[:4] == b"caff" and head[8:12] == b"desc"


def _is_au(head: bytes) -> bool:
    return head[:4] in (b".snd", b"dns.")


def _one_after_another(
    file: BinaryIO, at: int, is_one: Callable[[bytes], bool], read: Callable[[BinaryIO, int, int], _Sound | None]
) -> Contents | None:
    size = size_of(file)
    sounds: list[_Sound] = []
    while at < size and is_one(bytes_at(file, at, 12)):
        sound = read(file, at, size)
        if sound is None or sound.end <= at:
            break
        sounds.append(sound)
        at = sound.end
    if not sounds:
        return None
    complaint = sounds[-1].complaint or _complaint(file, at, size)
    return Contents(tuple(Piece(sound.segments, sound.share) for sound in sounds), complaint)


def _complaint(file: BinaryIO, at: int, end: int) -> str:
    rest = bytes_at(file, at, 2**16)
    if end - at < _WORTH_A_WORD or rest[:3] == b"TAG" or not rest.strip(b"\0"):
        return ""
    return f"its header speaks of the first {at} of its {end} bytes only, and the others were left out"


def _real_size(file: BinaryIO, layout: Layout, start: int, said: int, end: int) -> int:
    """Bytes of a chunk of samples that are there."""
    rest = end - start
    if said in _NEVER_FILLED_IN and (said == 0 or said > rest):
        return 0 if said == 0 and are_chunks(file, layout, start, end) else rest
    return min(said, rest)


# ---------------------------------------------------------------------------------------------------------------------
# AIFF
# ---------------------------------------------------------------------------------------------------------------------


def _aiff(file: BinaryIO, at: int, end: int) -> _Sound | None:
    kind, common, data, said = bytes_at(file, at + 8, 4), b"", None, 0
    place = at + 12
    while (chunk := chunk_at(file, RIFX, place, end)) and is_plausible(chunk, end) and chunk.name != b"FORM":
        place = chunk.after
        if chunk.name == b"COMM":
            common = bytes_at(file, chunk.start, min(chunk.said, 1024))
        elif chunk.name == b"SSND" and data is None:
            real = _real_size(file, RIFX, chunk.start, chunk.said, end)
            said = real if chunk.said in _NEVER_FILLED_IN else chunk.said
            data = range(chunk.start, chunk.start + real)
            place = chunk.start + real + chunk.said % 2
    if data is None or len(common) < 18 or len(data) <= 8:
        return None
    stated = int.from_bytes(common[2:6], "big")
    width = _aiff_width(kind, common)
    frames = (len(data) - 8) // width if width else stated
    head = _aiff_head(kind, common[:2] + frames.to_bytes(4, "big") + common[6:], len(data))
    share = max(1.0, (said - 8) / (len(data) - 8))
    complaint = ""
    if width and stated not in (0, 0xFFFF_FFFF) and stated < frames:
        complaint = f"one of its headers says {stated} samples and another {frames}; all of them were read"
    return _Sound((head, data), share, min(place, end), complaint)


def _aiff_width(kind: bytes, common: bytes) -> int:
    """Bytes of a sample of all channels; 0 where they are packed."""
    channels, bits = int.from_bytes(common[:2], "big"), int.from_bytes(common[6:8], "big")
    encoding = common[18:22] if kind == b"AIFC" else b"NONE"
    return channels * (-(-bits // 8) if encoding in _BY_BITS else _WIDTHS.get(encoding, 0))


def _aiff_head(kind: bytes, common: bytes, size: int) -> bytes:
    common += b"\0" * (len(common) % 2)
    content = kind + b"COMM" + len(common).to_bytes(4, "big") + common + b"SSND" + size.to_bytes(4, "big")
    return b"FORM" + min(len(content) + size, 0xFFFF_FFFF).to_bytes(4, "big") + content


# ---------------------------------------------------------------------------------------------------------------------
# CAF
# ---------------------------------------------------------------------------------------------------------------------


def _caf(file: BinaryIO, at: int, end: int) -> _Sound | None:
    place, data, share = at + 8, None, 1.0
    segments: tuple[Segment, ...] = ()
    while (chunk := chunk_at(file, CAF, place, end)) and chunk.name != b"caff":
        if chunk.name == b"data" and data is None:
            real = _real_size(file, CAF, chunk.start, chunk.said, end)
            data = range(chunk.start, chunk.start + real)
            if chunk.said not in _NEVER_FILLED_IN and real > 4:
                share = max(1.0, (chunk.said - 4) / (real - 4))  # four bytes count edits
            segments = (range(at, chunk.start - 8), real.to_bytes(8, "big"))
            place = data.stop
        elif is_plausible(chunk, end):
            place = chunk.after
        else:
            break
    place = min(place, end)
    return None if data is None else _Sound((*segments, range(data.start, place)), share, place)


# ---------------------------------------------------------------------------------------------------------------------
# AU
# ---------------------------------------------------------------------------------------------------------------------


def _au(file: BinaryIO, at: int, end: int) -> _Sound | None:
    head = bytes_at(file, at, 24)
    order: Literal["little", "big"] = "big" if head[:4] == b".snd" else "little"
    start, said = at + int.from_bytes(head[4:8], order), int.from_bytes(head[8:12], order)
    if len(head) < 24 or not at + 24 <= start < end:
        return None
    real = _real_size(file, RIFX, start, said, end)
    share = 1.0 if said in _NEVER_FILLED_IN else max(1.0, said / real) if real else 1.0
    segments = (head[:8], min(real, 0xFFFF_FFFF).to_bytes(4, order), range(at + 12, start + real))
    return _Sound(segments, share, start + real)


__all__ = ["aiff_contents", "au_contents", "caf_contents"]
