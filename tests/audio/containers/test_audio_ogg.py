"""All links of an Ogg file are read, whatever stands between them and beside the sound."""

import struct

import numpy as np
import pytest
from sounds import RATE, chirp, read, whole, written

from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio

SUBTYPES = ["VORBIS", "OPUS"]


def ogg(seconds: float, subtype: str = "VORBIS", channels: int = 1, rate: int = RATE) -> bytes:
    return written(chirp(seconds, rate, channels), rate, format="OGG", subtype=subtype)


def checksum(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def page(body: bytes, serial: int, number: int = 0, flags: int = 0, position: int = 0) -> bytes:
    segments = [255] * (len(body) // 255) + [len(body) % 255]
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, position, serial, number, 0) + bytes([len(segments), *segments])
    crc = checksum(head + body)
    return head[:22] + struct.pack("<I", crc) + head[26:] + body


def pages(data: bytes) -> list[bytes]:
    starts = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    return [data[start:stop] for start, stop in zip(starts, [*starts[1:], len(data)], strict=True)]


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_links_are_read_one_after_another(subtype: str) -> None:
    first, second = ogg(2, subtype), ogg(1, subtype)
    expected = np.concatenate([whole(first), whole(second), whole(first)], axis=1)
    np.testing.assert_array_equal(whole(first + second + first), expected)


def test_links_of_different_codecs_are_read() -> None:
    assert whole(ogg(2) + ogg(1, "OPUS")).shape == (1, 3 * RATE)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_part_may_lie_in_a_later_link(subtype: str) -> None:
    data = ogg(1, subtype) + ogg(2, subtype)
    for start in (0.5, 0.9, 1.5):
        part = whole(data, offset_s=start, duration_s=0.3)
        expected = whole(data)[:, int(start * RATE) :][:, : int(0.3 * RATE)]
        np.testing.assert_allclose(part, expected, atol=1e-6)
    with pytest.raises(AudioDecodeError, match="no samples from 5 s on"):
        decode_audio(data, offset_s=5)
    with pytest.raises(AudioDecodeError, match="longer than"):
        decode_audio(data, max_duration_s=2)


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 2), (24_000, 1)])
def test_links_that_do_not_fit_are_named_with_both_lengths(rate: int, channels: int) -> None:
    waveform, told = read(ogg(2) + ogg(1, "VORBIS", channels, rate))
    assert waveform.shape == (1, 2 * RATE)
    assert f"1.00 s or more at {rate} Hz with {channels} channels" in told and "2.00 s of it were read" in told


def test_other_streams_beside_the_sound_do_no_harm() -> None:
    first, *rest = pages(ogg(2))
    picture = page(b"\x80theora" + bytes(34), 77, flags=2)
    skeleton = page(b"fishead\0" + bytes(56), 78, flags=2)
    mixed = skeleton + picture + first
    for number, sound in enumerate(rest):
        mixed += page(bytes(300), 77, number + 1) + sound
    np.testing.assert_array_equal(whole(mixed), whole(ogg(2)))


def test_two_streams_of_sound_at_once_are_told() -> None:
    first, second = pages(ogg(2)), pages(ogg(1, "OPUS"))
    waveform, told = read(first[0] + second[0] + b"".join(first[1:] + second[1:]))
    np.testing.assert_array_equal(waveform, whole(ogg(2)))
    assert "2 streams of sound" in told


def test_sound_that_is_missing_at_the_end_is_told() -> None:
    data = ogg(3, "OPUS")
    assert "ends in the middle of a page" in read(data[:-100])[1]
    assert "not marked as the last" in read(b"".join(pages(data)[:-1]))[1]


def test_damage_between_pages_is_told_and_small_gaps_are_not() -> None:
    data = ogg(1, "OPUS") + b"\r\n" * 50 + ogg(1, "OPUS")
    assert whole(data).shape == (1, 2 * RATE)
    assert "9000 of its" in read(ogg(1) + bytes(9_000) + ogg(1))[1]


def test_what_is_not_sound_or_not_known_is_named() -> None:
    theora = page(b"\x80theora" + bytes(34), 77, flags=2) + page(bytes(200), 77, 1)
    with pytest.raises(AudioDecodeError, match="Theora in Ogg and has no audio stream"):
        decode_audio(theora)
    with pytest.raises(AudioDecodeError, match="Ogg without its beginning"):
        decode_audio(b"".join(pages(ogg(3, "OPUS"))[2:]))


def test_what_begins_in_the_middle_is_read_from_the_next_link_on() -> None:
    tail = b"".join(pages(ogg(3, "OPUS"))[2:])
    waveform, told = read(tail[100:] + ogg(2))
    np.testing.assert_array_equal(waveform, whole(ogg(2)))
    assert "begins in the middle of a stream" in told
    np.testing.assert_array_equal(whole(b"HTTP/1.1 200 OK\r\n\r\n" + ogg(2)), whole(ogg(2)))


def test_flac_in_ogg_is_read() -> None:
    sound = chirp(2)
    flac = written(sound, format="FLAC")
    first = b"\x7fFLAC\x01\0\0\0" + flac[:4] + bytes([flac[4] | 0x80]) + flac[5:42]
    frames = flac[after_metadata(flac) :]
    bodies = [frames[at : at + 5_000] for at in range(0, len(frames), 5_000)]
    data = page(first, 5, flags=2)
    for number, body in enumerate(bodies):
        data += page(body, 5, number + 1, flags=4 * (number == len(bodies) - 1), position=1)
    np.testing.assert_array_equal(whole(data), whole(flac))


def after_metadata(flac: bytes) -> int:
    at, last = 4, False
    while not last:
        last = bool(flac[at] & 0x80)
        at += 4 + int.from_bytes(flac[at + 1 : at + 4], "big")
    return at
