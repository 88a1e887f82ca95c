"""What libsndfile lacks is called by its name, and is no damage."""

import struct
import sys

import pytest
from sounds import RATE, chirp, written

from afm_hf.audio import audio_checks
from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio
from afm_hf.audio.containers.audio_formats import identify


@pytest.fixture(autouse=True)
def no_other_decoder(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for module in ("torchcodec", "torchcodec.decoders", "torchaudio"):
        monkeypatch.setitem(sys.modules, module, None)
    audio_checks._probe.cache_clear()
    yield
    audio_checks._probe.cache_clear()


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(tag: int, bits: int = 0, extra: bytes = b"") -> bytes:
    format_ = struct.pack("<HHIIHH", tag, 1, 44_100, 12_000, 1, bits) + extra
    return chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", format_) + chunk(b"data", b"\x0bw" * 3_000))


def extensible(guid: str) -> bytes:
    return wav(0xFFFE, 16, struct.pack("<HHI", 22, 16, 4) + bytes.fromhex(guid))


def aiff_c(encoding: bytes) -> bytes:
    common = struct.pack(">HIH", 1, 1_000, 16) + bytes.fromhex("400eac44000000000000") + encoding + b"\0\0"
    return chunk(b"FORM", b"AIFC" + chunk(b"COMM", common, ">") + chunk(b"SSND", bytes(3_000), ">"), ">")


def caf(mark: bytes) -> bytes:
    described = struct.pack(">d4sIIIII", 44_100.0, mark, 0, 0, 1024, 2, 0)
    sound = struct.pack(">4sq", b"data", 1_004) + bytes(1_004)
    return b"caff\0\1\0\0" + struct.pack(">4sq", b"desc", len(described)) + described + sound


def box(name: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + name + b"".join(content)


def mp4(mark: bytes, more: bytes = b"", handler: bytes = b"soun") -> bytes:
    entry = struct.pack(">I4s", 36 + len(more), mark) + bytes(28) + more
    table = box(b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), entry))
    media = box(b"mdia", box(b"hdlr", bytes(8), handler, bytes(12)), box(b"minf", table))
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"mdat", bytes(500)) + box(b"moov", box(b"trak", media))


def mp4a(object_type: int) -> bytes:
    decoder = b"\x04\x80\x80\x80\x0d" + bytes([object_type]) + bytes(12)
    return mp4(b"mp4a", box(b"esds", bytes(4), b"\x03\x80\x80\x80\x20", bytes(3), decoder))


def element(mark: str, content: bytes) -> bytes:
    return bytes.fromhex(mark) + struct.pack(">Q", len(content) | 1 << 56) + content


def matroska(codec: bytes, kind: int = 2) -> bytes:
    entry = element("ae", element("83", bytes([kind])) + element("86", codec))
    return element("1a45dfa3", element("4282", b"webm")) + element("18538067", element("1654ae6b", entry) + bytes(99))


def asf(tag: int) -> bytes:
    media = "409e69f84d5bcf11a8fd00805f5c442b"
    stream = bytes.fromhex(media) + bytes(16 + 22) + struct.pack("<H", tag) + bytes(16)
    properties = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365") + struct.pack("<Q", 24 + len(stream)) + stream
    return bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QIH", 500, 1, 258) + properties


def au(encoding: int) -> bytes:
    return struct.pack(">4s5I", b".snd", 24, 1_000, encoding, 8_000, 1) + bytes(1_000)


def ogg(first: bytes) -> bytes:
    head = struct.pack("<4sBBqIII", b"OggS", 0, 2, 0, 1, 0, 0) + bytes([1, len(first)])
    return head + first + struct.pack("<4sBBqIII", b"OggS", 0, 4, 0, 1, 1, 0) + bytes([1, 9]) + bytes(9)


LACKING = {
    "AC-3 in WAV": wav(0x2000),
    "ATRAC3 in WAV": wav(0x0270, 16),
    "WMA 2 in WAV": wav(0x0161, 16),
    "OKI ADPCM in WAV": wav(0x0010, 4),
    "G.726 ADPCM in WAV": wav(0x0045, 4),
    "PCM of 64 bits in WAV": wav(1, 64),
    "an unknown codec (format tag 0x1234) in WAV": wav(0x1234, 16),
    "ATRAC3plus in WAV": extensible("bfaa23e958cb7144a119fffa01e4ce62"),
    "DTS in WAV": extensible("08000000000010008000 00aa00389b71"),
    "MACE 3:1 in AIFF-C": aiff_c(b"MAC3"),
    "QDesign 2 in AIFF-C": aiff_c(b"QDM2"),
    "an unknown codec ('zzzz') in AIFF-C": aiff_c(b"zzzz"),
    "AAC in CAF": caf(b"aac "),
    "Opus in CAF": caf(b"opus"),
    "AC-3 in CAF": caf(b"ac-3"),
    "ALAC in MP4/M4A": mp4(b"alac"),
    "E-AC-3 in MP4/M4A": mp4(b"ec-3"),
    "AMR in MP4/M4A": mp4(b"samr"),
    "AAC in MP4/M4A": mp4a(0x40),
    "MP3 in MP4/M4A": mp4a(0x6B),
    "Opus in WebM/Matroska": matroska(b"A_OPUS"),
    "AAC in WebM/Matroska": matroska(b"A_AAC/MPEG4/LC"),
    "AC-3 in WebM/Matroska": matroska(b"A_AC3"),
    "WMA 2 in WMA/ASF": asf(0x161),
    "G.722 in AU": au(24),
    "Speex in Ogg": ogg(b"Speex   1.2rc1\0\0"),
    "CELT in Ogg": ogg(b"CELT    "),
    "raw AAC": b"\xff\xf1\x50\x80\x02\x1f\xfc".ljust(16, b"\0") * 9,
    "raw AC-3": b"\x0bw\0\0\x10\x40" + bytes(500),
    "raw E-AC-3": b"\x0bw\0\0\x10\x80" + bytes(500),
    "AMR-WB": b"#!AMR-WB\n" + bytes(100),
    "AMR": b"#!AMR\n" + bytes(100),
    "WavPack": b"wvpk" + bytes(100),
    "Monkey's Audio": b"MAC " + bytes(100),
    "MPEG transport stream": (b"G".ljust(188, b"\xff")) * 9,
    "Shorten in NIST SPHERE": b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n".ljust(
        1_024
    )
    + bytes(500),
}


@pytest.mark.parametrize("name", LACKING)
def test_what_libsndfile_lacks_is_named_and_what_to_install(name: str) -> None:
    for given in (LACKING[name], b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + LACKING[name]):
        with pytest.raises(AudioDecodeError) as caught:
            decode_audio(given)
        assert f"is {name}, which soundfile cannot read" in caught.value.reason
        assert "pip install torchcodec" in caught.value.hint
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (mp4(b"avc1", handler=b"vide"), "MP4/M4A and has no audio stream"),
        (matroska(b"V_VP9", kind=1), "WebM/Matroska and has no audio stream"),
        (ogg(b"\x80theora\x03\x02\x01"), "Theora in Ogg and has no audio stream"),
        (chunk(b"RIFF", b"WEBP" + bytes(50)), "a WebP picture and has no audio stream"),
    ],
)
def test_files_without_sound_say_so(data: bytes, name: str) -> None:
    with pytest.raises(AudioDecodeError, match=name):
        decode_audio(data)


@pytest.mark.parametrize("mark", [b"drms", b"enca"])
def test_encrypted_sound_is_named_and_nothing_is_to_be_installed(mark: bytes) -> None:
    with pytest.raises(AudioDecodeError, match=r"encrypted.*no decoder reads.*without protection") as caught:
        decode_audio(mp4(mark))
    assert "install" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"\x1f\x8b\x08" + bytes(50), "gzip file. Unpack it first"),
        (b"PK\x03\x04" + bytes(50), "ZIP archive. Unpack it first"),
        (b"MThd\0\0\0\x06" + bytes(50), "MIDI file. It holds notes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG picture"),
        (b"\x93NUMPY\x01\0" + bytes(50), "np.load"),
    ],
)
def test_what_is_no_audio_at_all_is_named_too(data: bytes, advice: str) -> None:
    with pytest.raises(AudioDecodeError) as caught:
        decode_audio(data)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    "name", ["AC-3 in WAV", "ALAC in MP4/M4A", "Opus in WebM/Matroska", "AAC in CAF", "Speex in Ogg"]
)
def test_headers_cut_anywhere_are_refused_without_a_crash(name: str) -> None:
    data = LACKING[name]
    for size in [*range(1, 120), *range(120, len(data), 97)]:
        with pytest.raises(AudioDecodeError):
            decode_audio(data[:size])


def test_header_of_what_libsndfile_reads_is_called_damaged() -> None:
    for options in ({}, {"format": "AIFF"}, {"format": "OGG"}):
        with pytest.raises(AudioDecodeError, match="damaged or cut off: fetch it again"):
            decode_audio(written(chirp(1), **options)[:30])


def test_a_file_is_known_by_its_content() -> None:
    def name(data: bytes) -> str:
        import io

        return str(identify(io.BytesIO(data)))

    sound = chirp(0.5)
    assert name(written(sound)) == "PCM in WAV"
    assert name(written(sound, subtype="FLOAT")) == "float PCM in WAV"
    assert name(written(sound, format="WAVEX", subtype="ULAW")) == "mu-law in WAV"
    assert name(written(sound, format="W64")) == "PCM in W64"
    assert name(written(sound, format="AIFF", subtype="ALAW")) == "A-law in AIFF-C"
    assert name(written(sound, format="CAF", subtype="ALAC_16")) == "ALAC in CAF"
    assert name(written(sound, format="OGG", subtype="OPUS")) == "Opus in Ogg"
    assert name(written(sound, format="FLAC")) == "FLAC"
    assert name(written(sound, RATE, format="MP3")) == "MPEG audio (MP3, MP2)"
    assert name(bytes(500)) == "None"
