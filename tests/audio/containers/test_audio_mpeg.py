"""MPEG audio is read frame by frame, whatever its header says, from any beginning and in any wrapper."""

import io
import struct

import numpy as np
import pytest
from sounds import chirp, mp3, read, whole, written

from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio

RATE = 32_000
ID3 = b"ID3\x04\0\0\0\0\x02\0" + bytes(256)
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + struct.pack("<4I", 2000, 32 + 40, 1, 0) + bytes(8 + 72)


def noisy_then_calm(seconds: float = 6.0, channels: int = 1) -> np.ndarray:
    """Frames of many sizes: the first are large, and a guess by them is far too short."""
    sound = chirp(seconds, RATE, channels)
    sound[:, :RATE] += 0.3 * np.random.default_rng(0).standard_normal((channels, RATE)).astype(np.float32)
    return sound


def info_frame_bytes(data: bytes) -> int:
    """Bytes of the first frame of an MPEG-1 layer III file at 32 kHz."""
    kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[data[2] >> 4]
    return 144_000 * kbits // RATE + (data[2] >> 1 & 1)


def bare(data: bytes) -> bytes:
    """Without the frame that tells the number of frames."""
    return data[info_frame_bytes(data) :]


def with_count(data: bytes, frames: int) -> bytes:
    at = data.index(b"Xing") + 8
    return data[:at] + frames.to_bytes(4, "big") + data[at + 4 :]


def assert_same_sound(waveform: np.ndarray, sound: np.ndarray) -> None:
    """Nearly as long, and the same once the delay of the encoder is found."""
    assert 0 <= waveform.shape[1] - sound.shape[1] < 3_000
    spectrum = np.fft.rfft(waveform[0], 2**19) * np.conj(np.fft.rfft(sound[0], 2**19))
    delay = int(np.fft.irfft(spectrum)[:3_000].argmax())
    aligned = waveform[0, delay : delay + sound.shape[1]]
    assert np.corrcoef(aligned[RATE:], sound[0, RATE : len(aligned)])[0, 1] > 0.98


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_are_counted_where_no_header_counts_them(channels: int) -> None:
    sound = noisy_then_calm(channels=channels)
    assert_same_sound(whole(bare(mp3(sound, RATE))), sound)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000])
def test_every_version_and_rate(rate: int) -> None:
    sound = chirp(3, rate)
    data = mp3(sound, rate)
    np.testing.assert_allclose(whole(data).shape, sound.shape, atol=2)
    flags = data.index(b"Xing") + 7
    uncounted = whole(data[:flags] + b"\0" + data[flags + 1 :])
    assert 0 <= uncounted.shape[1] - sound.shape[1] < 3_000


@pytest.mark.parametrize("stated", [0, 20])
def test_header_that_says_too_little_is_not_believed(stated: int) -> None:
    sound = noisy_then_calm()
    assert_same_sound(whole(with_count(mp3(sound, RATE), stated)), sound)


def test_header_that_says_too_much_is_answered_with_both_lengths() -> None:
    waveform, told = read(with_count(mp3(chirp(2, RATE), RATE), 2_000))
    assert 2 * RATE <= waveform.shape[1] < 2.1 * RATE
    assert "promises 71." in told and "2.0" in told


@pytest.mark.parametrize("between", [b"", ID3, ID3V1 + ID3, APE, bytes(1_000)])
def test_joined_files_are_read_one_after_another(between: bytes) -> None:
    first, second = mp3(noisy_then_calm(2), RATE), mp3(chirp(1, RATE), RATE)
    expected = np.concatenate([whole(first), whole(second)], axis=1)
    np.testing.assert_array_equal(whole(ID3 + first + between + second + ID3V1), expected)


def test_joined_files_without_headers_are_one_stream() -> None:
    first, second = noisy_then_calm(2), chirp(1, RATE)
    waveform = whole(bare(mp3(first, RATE)) + bare(mp3(second, RATE)))
    assert 0 <= waveform.shape[1] - first.shape[1] - second.shape[1] < 6_000


def test_joined_files_of_another_rate_are_named_with_both_lengths() -> None:
    waveform, told = read(mp3(chirp(2, RATE), RATE) + mp3(chirp(1, 44_100), 44_100))
    assert waveform.shape[1] == 2 * RATE
    assert "goes on with 1.00 s or more at 44100 Hz" in told and "2.00 s of it were read" in told


def test_a_part_may_lie_in_the_second_of_joined_files() -> None:
    data = mp3(noisy_then_calm(2), RATE) + mp3(chirp(2, RATE), RATE)
    for start in (0.0, 1.9, 2.5):
        part = whole(data, offset_s=start, duration_s=0.5)
        np.testing.assert_allclose(part, whole(data)[:, int(start * RATE) :][:, : RATE // 2], atol=1e-6)


@pytest.mark.parametrize("cut_at", [1, 10, 417, 2_000])
def test_bytes_from_the_middle_of_a_frame_begin_with_the_next(cut_at: int) -> None:
    sound = noisy_then_calm()
    assert whole(bare(mp3(sound, RATE))[cut_at:]).shape[1] > 0.95 * sound.shape[1]


@pytest.mark.parametrize("tag", [b"", ID3])
def test_path_bytes_and_file_object_give_the_same(tmp_path, tag: bytes) -> None:
    for data in (mp3(chirp(1, RATE), RATE), bare(mp3(chirp(1, RATE), RATE)), bare(mp3(chirp(1, RATE), RATE))[100:]):
        path = tmp_path / "it.mp3"
        path.write_bytes(tag + data)
        for source in (tag + data, io.BytesIO(tag + data), {"bytes": tag + data, "path": "other.wav"}):
            np.testing.assert_array_equal(whole(source), whole(path))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.995])
def test_cut_file_says_what_was_promised(share: float) -> None:
    data = mp3(noisy_then_calm(), RATE)
    waveform, told = read(data[: int(share * len(data))])
    assert waveform.shape[1] < 6 * RATE
    assert "promises 6.0" in told and f"{waveform.shape[1] / RATE:.2f} s" in told


def test_cut_file_without_a_count_says_that_it_is_cut() -> None:
    data = bare(mp3(chirp(2, RATE), RATE))
    assert "cut off in the middle of a frame" in read(data[:-20])[1]


def test_damage_in_the_middle_is_told() -> None:
    data = mp3(noisy_then_calm(), RATE)
    junk = np.random.default_rng(0).integers(0, 255, 6_000, dtype=np.uint8).tobytes()
    assert "6000 of its" in read(data[:20_000] + junk + data[20_000:])[1]


def test_mp3_in_wav_is_read_as_mp3() -> None:
    data = mp3(chirp(2, RATE, 2), RATE)
    extra = struct.pack("<HHIHHH", 12, 1, 2, 576, 1, 0)
    format_ = struct.pack("<HHIIHH", 0x55, 2, RATE, 16_000, 1, 0) + extra
    body = b"WAVEfmt " + struct.pack("<I", len(format_)) + format_ + b"data" + struct.pack("<I", len(data)) + data
    np.testing.assert_array_equal(whole(b"RIFF" + struct.pack("<I", len(body)) + body), whole(data))


def layer_2(frames: int) -> bytes:
    """Layer II with empty frames of two sizes, the first the largest."""
    large, small = (b"\xff\xfd" + bytes((index << 4 | 8, 0xC0)) for index in (14, 3))  # 384 and 56 kbit/s at 32 kHz
    return large.ljust(1728, b"\0") + small.ljust(252, b"\0") * (frames - 1)


def test_layer_2_of_changing_size_is_read_whole() -> None:
    assert whole(layer_2(200)).shape == (1, 200 * 1152)


def test_what_only_begins_like_mpeg_is_refused() -> None:
    noise = np.random.default_rng(1).integers(-3_000, 3_000, 50_000, dtype=np.int16).tobytes()
    for begin in (b"\xff\xfb\x90\xc4", b"\xff\xfd\x88\xc0", b"\xff\xff\xff\xff", b""):
        with pytest.raises(AudioDecodeError, match="not an audio file"):
            decode_audio(begin + noise)


def test_head_of_a_long_file_does_not_need_the_rest() -> None:
    data = bare(mp3(noisy_then_calm(), RATE))
    long = data * (2**22 // len(data) + 1)
    head = whole(long, duration_s=1.0)
    np.testing.assert_allclose(head, whole(data)[:, :RATE], atol=1e-6)
    with pytest.raises(AudioDecodeError, match="longer than max_duration_s"):
        decode_audio(long, max_duration_s=60)


def test_other_formats_are_not_taken_for_mpeg() -> None:
    sound = chirp(1, RATE)
    for options in ({"format": "WAV"}, {"format": "FLAC"}, {"format": "AIFF"}, {"format": "OGG"}):
        assert whole(ID3 + written(sound, RATE, **options)).shape == sound.shape
