"""Which file holds what: finds out the container and asks the one who knows it for its pieces."""

from typing import BinaryIO

from .audio_aiff import aiff_contents, au_contents, caf_contents
from .audio_flac import flac_contents
from .audio_formats import OGG_FROM_THE_MIDDLE, container_of
from .audio_mpeg import mpeg_contents
from .audio_ogg import ogg_contents
from .audio_pieces import Contents, Piece, bytes_at, end_of_id3, size_of
from .audio_wav import is_wav, wav_contents

_SMALL = 2**21  # bytes up to which a file is looked at as a whole even if only its beginning is wanted


def contents_of(file: BinaryIO, end_s: float | None = None) -> Contents:
    """The pieces of a file. With `end_s`, of a large one only what may be wanted up to then is looked at."""
    size = size_of(file)
    at = end_of_id3(file)
    if at >= size:
        return _as_it_is(0, size)
    head = bytes_at(file, at, 16)
    glance = end_s if size > _SMALL else None
    if is_wav(head):
        found = wav_contents(file, at)
    elif head[:4] == b"FORM":
        found = aiff_contents(file, at)
    elif head[:4] == b"caff":
        found = caf_contents(file, at)
    elif head[:4] in (b".snd", b"dns."):
        found = au_contents(file, at)
    elif head[:4] in (b"fLaC", b"OggS"):
        if glance is not None:
            return _as_it_is(at, size, is_glance=True)
        found = flac_contents(file, at) if head[:4] == b"fLaC" else ogg_contents(file, at)
    elif head[:7] == b"NIST_1A":
        found = _nist_contents(file, size)
    elif at or head[:1] == b"\xff":
        found = mpeg_contents(file, 0, size, glance)
    else:
        found = None if _is_other(head) else _without_head(file, size, glance)
    if found is None and head[:1] == b"\xff" and head[1:2] >= b"\xe0":
        # libsndfile would take these few bits for MPEG audio, and go through all of it byte by byte.
        return Contents((), "it begins like MPEG audio, but no frames follow each other in it")
    return found or _as_it_is(at if head[:4] in (b"fLaC", b"OggS") else 0, size)


def _without_head(file: BinaryIO, size: int, end_s: float | None) -> Contents | None:
    """The pieces of a file that is known, if at all, by what stands in its middle."""
    known = container_of(file)
    if known is OGG_FROM_THE_MIDDLE:
        return ogg_contents(file, 0)
    return None if known else mpeg_contents(file, 0, size, end_s)


def _as_it_is(start: int, size: int, is_glance: bool = False) -> Contents:
    return Contents((Piece((range(start, size),)),), is_glance=is_glance)


def _nist_contents(file: BinaryIO, size: int) -> Contents | None:
    """NIST SPHERE: libsndfile does not look at the number of samples that its header, a text, states."""
    lines = bytes_at(file, 0, 1024).decode("latin1").splitlines()
    fields = {line.split(" ")[0]: line.split(" ", 2)[-1].strip() for line in lines}
    try:
        stated, channels, width = (
            int(fields.get(name, default))
            for name, default in (("sample_count", ""), ("channel_count", "1"), ("sample_n_bytes", "2"))
        )
        real = size - int(lines[1])
    except (ValueError, IndexError):
        return None
    share = max(1.0, stated * channels * width / real) if real > 0 else 1.0
    return Contents((Piece((range(0, size),), share),))


# Beginnings of files that libsndfile reads and that state no length which it could be wrong about, or a true one.
_OTHERS = (
    *(b" paf", b"fap ", b"NIST", b"Creative", b"MATLAB 5", b"PVF1", b"Extended Ins", b"ALawSoun", b"2BIT"),
    *(b"\x64\xa3", b"\xf0\x7e", b"\x01\x04", b"\0\0\x03\xe8", b"\0\0\0\0\x01\0\0\0"),
)


def _is_other(head: bytes) -> bool:
    return head.startswith(_OTHERS) or head[2:4] == b"\xa3\x64"


__all__ = ["contents_of"]
