"""Which container and codec a file is, by its header: so that what cannot be read is called by its name.

A codec that libsndfile lacks is no damage. Whoever knows its name knows what to install.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from .audio_chunks import CAF, RIFF, RIFX, W64, Layout, first_chunk
from .audio_format_names import (
    AIFC_TYPES,
    AU_ENCODINGS,
    MAGICS,
    NO_SOUND,
    OGG_STREAMS,
    SNDFILE_AIFC_TYPES,
    SNDFILE_AU_ENCODINGS,
    SNDFILE_CAF_FORMATS,
    SNDFILE_WAV_TAGS,
    WAV_GUIDS,
    WAV_TAGS,
)
from .audio_mpeg import mpeg_contents
from .audio_ogg import Pages, ogg_contents
from .audio_pieces import bytes_at, end_of_id3, size_of
from .audio_tracks import (
    asf_codecs,
    fourcc,
    matroska_codecs,
    matroska_said_bytes,
    mp4_codecs,
    mp4_said_bytes,
)
from .audio_wav import W64_MAGIC, is_wav, wav_contents

_OGG_PAGES = 64  # among which all streams of the first link have begun


@dataclass(frozen=True)
class Format:
    """What a file is.

    Attributes:
        container: its name.
        codec: name of the codec in it; empty: not known, or the container's own.
        demuxer: what ffmpeg calls the container; empty: it does not read it.
        is_read_by_soundfile: whether libsndfile knows this codec in this container.
        has_sound: whether the header speaks of sound at all.
        has_beginning: whether it is known by its first bytes, and not by something in its middle.
        complaint: what is wrong with the file although it may be readable, for a warning: "it ...", or empty.
    """

    container: str
    codec: str = ""
    demuxer: str = ""
    is_read_by_soundfile: bool = False
    has_sound: bool = True
    has_beginning: bool = True
    complaint: str = ""

    @property
    def is_encrypted(self) -> bool:
        return "encrypted" in self.codec

    def __str__(self) -> str:
        return f"{self.codec} in {self.container}" if self.codec else self.container


OGG_FROM_THE_MIDDLE = Format("Ogg without its beginning", is_read_by_soundfile=True, has_beginning=False)


def identify(file: BinaryIO) -> Format | None:
    """What a file is by its header; None for what is not known as audio."""
    known = container_of(file)
    if known is None and mpeg_contents(file):
        return Format("MPEG audio (MP3, MP2)", demuxer="mp3", is_read_by_soundfile=True)
    return known


def container_of(file: BinaryIO) -> Format | None:
    """The same, without a search for frames of MPEG audio."""
    at = end_of_id3(file)
    head = bytes_at(file, at, 64)
    for matches, describe in _CONTAINERS:
        if matches(head):
            return describe(file, at, head)
    for magic, name, demuxer in MAGICS:
        if head.startswith(magic):
            return Format(name, demuxer=demuxer)
    return _stream_by_sync(file, at, head)


def no_sound(head: bytes) -> tuple[str, str | None] | None:
    """(what it is, what to do) for a file that is certainly no audio."""
    return next(((name, hint) for magic, name, hint in NO_SOUND if head.startswith(magic)), None)


# ---------------------------------------------------------------------------------------------------------------------
# Containers
# ---------------------------------------------------------------------------------------------------------------------


def _wav(file: BinaryIO, at: int, head: bytes) -> Format:
    is_64 = head[:16] == W64_MAGIC
    layout = W64 if is_64 else RIFX if head[:4] == b"RIFX" else RIFF
    format_ = first_chunk(file, layout, b"fmt ", at + (40 if is_64 else 12), size_of(file)) or b""
    codec, is_read = _wav_codec(format_, layout)
    contents = None if is_read else wav_contents(file, at)
    share = contents.pieces[0].share if contents else 1.0
    complaint = _cut(file, int(share * size_of(file)))
    return Format("W64" if is_64 else "WAV", codec, "w64" if is_64 else "wav", is_read, complaint=complaint)


def _cut(file: BinaryIO, said: int) -> str:
    size = size_of(file)
    return f"it is cut off: its header promises {said} bytes, and {size} are there" if said > size else ""


def _wav_codec(format_: bytes, layout: Layout) -> tuple[str, bool]:
    if len(format_) < 2:
        return "", True
    tag = int.from_bytes(format_[:2], layout.order)
    if tag == 0xFFFE and len(format_) >= 40:
        guid = format_[24:40]
        if guid in WAV_GUIDS:
            return WAV_GUIDS[guid], False
        tag = int.from_bytes(guid[:2], layout.order)
    bits = int.from_bytes(format_[14:16], layout.order)
    if tag == 1 and bits > 32:
        return f"PCM of {bits} bits", False
    return WAV_TAGS.get(tag, f"an unknown codec (format tag {tag:#06x})"), tag in SNDFILE_WAV_TAGS


def _avi(file: BinaryIO, at: int, head: bytes) -> Format:
    kind = head[8:12].decode("latin1").strip()
    if kind != "AVI":
        known = {"XWMA": ("xWMA", "xwma"), "RMID": ("MIDI in RIFF", ""), "WEBP": ("a WebP picture", "")}
        name, demuxer = known.get(kind, (f"RIFF of type {kind!r}", ""))
        return Format(name, demuxer=demuxer, has_sound=kind not in ("RMID", "WEBP"))
    header = bytes_at(file, at, 2**16)
    start = header.find(b"strf", max(0, header.find(b"auds")))
    if b"auds" not in header or start < 0:
        return Format("AVI", demuxer="avi", has_sound=b"auds" in header)
    return Format("AVI", _wav_codec(header[start + 8 : start + 48], RIFF)[0], "avi")


def _aiff(file: BinaryIO, at: int, head: bytes) -> Format:
    kind = head[8:12]
    if kind not in (b"AIFF", b"AIFC"):
        return Format(f"IFF of type {kind.decode('latin1')!r}", demuxer="iff", is_read_by_soundfile=True)
    common = first_chunk(file, RIFX, b"COMM", at + 12, size_of(file)) or b""
    encoding = common[18:22] if kind == b"AIFC" else b"NONE"
    known = len(encoding) == 4
    codec = AIFC_TYPES.get(encoding, f"an unknown codec ({encoding.decode('latin1')!r})") if known else ""
    return Format("AIFF-C" if kind == b"AIFC" else "AIFF", codec, "aiff", not known or encoding in SNDFILE_AIFC_TYPES)


def _caf(file: BinaryIO, at: int, head: bytes) -> Format:
    described = first_chunk(file, CAF, b"desc", at + 8, size_of(file)) or b""
    if len(described) < 12:
        return Format("CAF", demuxer="caf", is_read_by_soundfile=True)
    mark = described[8:12]
    return Format("CAF", fourcc(mark), "caf", mark in SNDFILE_CAF_FORMATS)


def _au(file: BinaryIO, at: int, head: bytes) -> Format:
    encoding = int.from_bytes(head[12:16], "big" if head[:1] == b"." else "little")
    codec = AU_ENCODINGS.get(encoding, f"an unknown codec (encoding {encoding})")
    return Format("AU", codec, "au", encoding in SNDFILE_AU_ENCODINGS)


def _flac(file: BinaryIO, at: int, head: bytes) -> Format:
    bits = (int.from_bytes(head[20:22], "big") >> 4 & 31) + 1
    is_read = len(head) < 26 or bits in (8, 16, 24)
    return Format("FLAC", "" if is_read else f"samples of {bits} bits", "flac", is_read)


def _ogg(file: BinaryIO, at: int, head: bytes) -> Format:
    streams = []
    for _, page in zip(range(_OGG_PAGES), Pages(file, at), strict=False):
        if page.is_first:
            first = bytes_at(file, page.body, 16)
            streams += [stream for stream in OGG_STREAMS if first.startswith(stream[0])] or [(b"", "", True, False)]
    sounds = [stream for stream in streams if stream[2]] or streams
    if not sounds:
        return OGG_FROM_THE_MIDDLE if any(True for _ in Pages(file, at)) else Format("Ogg", is_read_by_soundfile=True)
    _, name, is_sound, is_read = sounds[0]
    contents = None if is_read else ogg_contents(file, at)
    complaint = contents.complaint if contents else ""
    return Format("Ogg", name or "an unknown codec", "ogg", is_read, is_sound, complaint=complaint)


def _mp4(file: BinaryIO, at: int, head: bytes) -> Format:
    return _of_tracks("MP4/M4A", "mov", mp4_codecs(file, at), _cut(file, mp4_said_bytes(file, at)))


def _matroska(file: BinaryIO, at: int, head: bytes) -> Format:
    return _of_tracks("WebM/Matroska", "matroska", matroska_codecs(file, at), _cut(file, matroska_said_bytes(file, at)))


def _asf(file: BinaryIO, at: int, head: bytes) -> Format:
    tags = asf_codecs(file, at)
    found = None if tags is None else [_wav_codec(tag.to_bytes(2, "little"), RIFF)[0] for tag in tags]
    return _of_tracks("WMA/ASF", "asf", found)


def _of_tracks(container: str, demuxer: str, codecs: list[str] | None, complaint: str = "") -> Format:
    """`codecs` of the tracks with sound; None if the list of tracks was not found."""
    if codecs is None:
        return Format(container, demuxer=demuxer, complaint=complaint)
    return Format(container, codecs[0] if codecs else "", demuxer, has_sound=bool(codecs), complaint=complaint)


def _nist(file: BinaryIO, at: int, head: bytes) -> Format:
    header = bytes_at(file, at, 1024)
    is_shortened = b"embedded-shorten" in header
    return Format(
        "NIST SPHERE", "Shorten" if is_shortened else "", "" if is_shortened else "nistsphere", not is_shortened
    )


def _as_named(name: str, demuxer: str) -> Callable[[BinaryIO, int, bytes], Format]:
    return lambda file, at, head: Format(name, demuxer=demuxer, is_read_by_soundfile=True)


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


_CONTAINERS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int, bytes], Format]], ...] = (
    (lambda head: is_wav(head), _wav),
    (_begins(b"RIFF", b"RIFX", b"RF64", b"BW64"), _avi),
    (_begins(b"FORM"), _aiff),
    (_begins(b"caff"), _caf),
    (_begins(b".snd", b"dns."), _au),
    (_begins(b"fLaC"), _flac),
    (_begins(b"OggS"), _ogg),
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"), _mp4),
    (_begins(b"\x1aE\xdf\xa3"), _matroska),
    (_begins(b"0&\xb2u"), _asf),
    (_begins(b"NIST_1A"), _nist),
    (_begins(b"Creative Voice File"), _as_named("VOC", "voc")),
    (_begins(b" paf", b"fap "), _as_named("PAF", "")),
    (_begins(b"2BIT"), _as_named("AVR", "avr")),
)


# ---------------------------------------------------------------------------------------------------------------------
# Streams without a container, by the bits with which every frame begins
# ---------------------------------------------------------------------------------------------------------------------


def _stream_by_sync(file: BinaryIO, at: int, head: bytes) -> Format | None:
    data = bytes_at(file, at, 2**15)
    if _follow_each_other(data, _adts_bytes):
        return Format("raw AAC", demuxer="aac")
    if _follow_each_other(data, _loas_bytes):
        return Format("raw AAC (LATM)", demuxer="loas")
    if head[:2] in (b"\x0bw", b"w\x0b"):
        is_enhanced = len(head) > 5 and head[5] >> 3 > 10
        return Format("raw E-AC-3" if is_enhanced else "raw AC-3", demuxer="eac3" if is_enhanced else "ac3")
    if data[::188][:4] == b"GGGG" and len(data) > 564:
        return Format("MPEG transport stream", demuxer="mpegts")
    if b"OggS\0" in data:
        return OGG_FROM_THE_MIDDLE
    return None


def _follow_each_other(data: bytes, size_at: Callable[[bytes, int], int]) -> bool:
    """Whether three frames follow each other, or fewer up to the end."""
    at = 0
    for count in range(3):
        size = size_at(data, at)
        if not size:
            return count > 0 and at >= len(data)
        at += size
    return True


def _adts_bytes(data: bytes, at: int) -> int:
    head = data[at : at + 6]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    size = int.from_bytes(head[3:6], "big") >> 5 & 0x1FFF
    return size if size >= 7 else 0


def _loas_bytes(data: bytes, at: int) -> int:
    head = int.from_bytes(data[at : at + 3].ljust(3, b"\0"), "big")
    return (head & 0x1FFF) + 3 if head >> 13 == 0x2B7 and head & 0x1FFF else 0


__all__ = ["OGG_FROM_THE_MIDDLE", "Format", "container_of", "identify", "no_sound"]
