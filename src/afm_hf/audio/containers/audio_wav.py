"""What a WAV file holds, whatever its header says about sizes: RIFF, RIFX, RF64, BW64 and Sony's W64.

Recorders that are switched off, and programs that write to a pipe, leave sizes of 0 or of all ones; others write what
they had planned. What libsndfile is given has the format of the file and the size of what is there.
"""

import re
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from .audio_chunks import RIFF, RIFX, W64, Layout, are_chunks, chunk_at, is_plausible
from .audio_mpeg import mpeg_contents
from .audio_pieces import Contents, Piece, bytes_at, size_of

W64_MAGIC = b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\x00\x00"

_MAGICS = {b"RIFF": RIFF, b"RF64": RIFF, b"BW64": RIFF, b"RIFX": RIFX}
_ANOTHER_WAV = re.compile(rb"(?:RIFF|RIFX|RF64|BW64)....WAVE(?:fmt |JUNK|ds64|bext|LIST)", re.DOTALL)
_UNKNOWN_64 = 2**62  # and above: a size of 64 bits that was never filled in
_MAX_32 = 0xFFFF_FFFF
_MPEG_TAGS = (0x50, 0x55)
_SEARCH_BYTES = 2**24
_ANOTHER_WAV_BYTES = 16


@dataclass
class _Form:
    """One WAV file of perhaps several in a file."""

    layout: Layout
    format: bytes = b""
    data: list[range] = field(default_factory=list)
    said: int = 0  # bytes of sound by the header
    end: int = 0
    uncounted: int = 0  # bytes after the end that are neither chunks nor another WAV file

    @property
    def order(self) -> Literal["little", "big"]:
        return self.layout.order

    @property
    def bytes_per_s(self) -> int:
        return int.from_bytes(self.format[8:12], self.order)


def is_wav(head: bytes) -> bool:
    return (head[:4] in _MAGICS and head[8:12] == b"WAVE") or head[:16] == W64_MAGIC


def wav_contents(file: BinaryIO, at: int) -> Contents | None:
    """The sounds of one WAV file, or of several one after another; None if there is nothing to make sense of."""
    size = size_of(file)
    forms: list[_Form] = []
    while is_wav(bytes_at(file, at, 16)) and at < size:
        form = _read_form(file, at, size)
        if len(form.format) < 14 or not form.data:
            break
        forms.append(form)
        at = form.end
    if not forms:
        return None
    if len(forms) == 1 and int.from_bytes(forms[0].format[:2], forms[0].order) in _MPEG_TAGS:
        span = forms[0].data[0]
        return mpeg_contents(file, span.start, span.stop)
    pieces = tuple(piece for form in forms for piece in _pieces(form))
    return Contents(pieces, _complaint(forms[-1]))


def _read_form(file: BinaryIO, at: int, end: int) -> _Form:
    head = bytes_at(file, at, 16)
    form = _Form(W64 if head == W64_MAGIC else _MAGICS[head[:4]])
    sizes_64 = b""
    at += 40 if form.layout is W64 else 12
    while (chunk := chunk_at(file, form.layout, at, end)) and not is_wav(bytes_at(file, at, 16)):
        if not is_plausible(chunk, end):
            at = _after_odd(file, form, at, end)
            if at == end:
                break
            continue
        name, at = chunk.name[:4], chunk.after
        if name == b"ds64":
            sizes_64 = bytes_at(file, chunk.start, 16)
        elif name == b"fmt " and not form.format:
            form.format = bytes_at(file, chunk.start, min(chunk.said, 4096))
        elif name == b"data":
            in_64 = chunk.said == _MAX_32 and len(sizes_64) == 16
            said = int.from_bytes(sizes_64[8:], "little") if in_64 else chunk.said
            at = _add_data(file, form, chunk.start, said, end)
    form.end = min(at, end)
    return form


def _add_data(file: BinaryIO, form: _Form, start: int, said: int, end: int) -> int:
    """Notes where the samples lie that begin at `start`; returns where the next chunk begins."""
    rest = end - start
    if said == 0 and (not rest or are_chunks(file, form.layout, start, end)):
        stop = start  # it is empty indeed
    elif _is_unknown(said, rest):
        stop = _next_wav(file, start, end)
        said = stop - start
    else:
        stop = start + min(said, rest)
    form.data.append(range(start, stop))
    form.said += said
    return stop + -said % form.layout.align


def _is_unknown(said: int, rest: int) -> bool:
    """Whether a size was never filled in: 0, all ones, or the largest of 31 bits, perhaps less the header."""
    return (
        said == 0 or said >= _UNKNOWN_64 or 0 <= _MAX_32 - said <= 2**16 or (rest < said and abs(said - 2**31) <= 2**16)
    )


def _next_wav(file: BinaryIO, at: int, end: int) -> int:
    """Where another WAV file begins, or the end."""
    while end - at > _ANOTHER_WAV_BYTES:
        block = bytes_at(file, at, min(_SEARCH_BYTES, end - at))
        if found := _ANOTHER_WAV.search(block):
            return at + found.start()
        at += max(1, len(block) - _ANOTHER_WAV_BYTES)
    return end


def _after_odd(file: BinaryIO, form: _Form, at: int, end: int) -> int:
    """Where to go on at a place where a chunk should begin and does not; the end if there is nothing more to find."""
    before = chunk_at(file, form.layout, at - 1, end)
    if before and is_plausible(before, end):
        return at - 1  # the padding of an odd size was forgotten
    rest = bytes_at(file, at, 2**16)
    if rest[:3] != b"TAG" and rest.strip(b"\0"):
        form.uncounted = end - at
    return end


def _pieces(form: _Form) -> list[Piece]:
    real = sum(map(len, form.data))
    share = max(1.0, form.said / real) if real else 1.0
    return [Piece((_header(form, len(span)), span), share) for span in form.data]


def _header(form: _Form, size: int) -> bytes:
    """The beginning of a plain WAV file with that much sound."""
    magic = b"RIFX" if form.layout is RIFX else b"RIFF"
    chunk = b"fmt " + len(form.format).to_bytes(4, form.order) + form.format + b"\0" * (len(form.format) % 2)
    # libsndfile takes a size that is too large for the rest of the file.
    whole = min(4 + len(chunk) + 8 + size, _MAX_32)
    return b"".join(
        (magic, whole.to_bytes(4, form.order), b"WAVE", chunk, b"data", min(size, _MAX_32).to_bytes(4, form.order))
    )


def _complaint(form: _Form) -> str:
    seconds = form.uncounted / form.bytes_per_s if form.bytes_per_s else 0.0
    if seconds < 0.01:
        return ""
    said = form.said / form.bytes_per_s
    return f"its header says {said:.2f} s, and {form.uncounted} bytes follow, which would be {seconds:.2f} s more"


__all__ = ["W64_MAGIC", "is_wav", "wav_contents"]
