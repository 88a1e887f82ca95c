"""WAV and its relatives are read to the end of what is there, whatever sizes their headers hold."""

import struct

import numpy as np
import pytest
from sounds import RATE, chirp, read, whole, written

from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio

LIST = b"LIST" + struct.pack("<I", 18) + b"INFOISFT" + struct.pack("<I", 6) + b"tests\0"


def wav(seconds: float = 2, **options) -> bytes:
    return written(chirp(seconds), **options)


def with_sizes(data: bytes, riff: int, sound: int, order: str = "<") -> bytes:
    at = data.index(b"data") + 4
    return data[:4] + struct.pack(f"{order}I", riff) + data[8:at] + struct.pack(f"{order}I", sound) + data[at + 4 :]


@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF, 36])
@pytest.mark.parametrize("sound", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x80000000, 0x7FFFF000])
def test_sizes_that_were_never_filled_in(riff: int, sound: int) -> None:
    np.testing.assert_array_equal(whole(with_sizes(wav(), riff, sound)), whole(wav()))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_every_codec_of_unknown_size(subtype: str) -> None:
    data = wav(subtype=subtype)
    waveform = whole(with_sizes(data, 0, 0))
    np.testing.assert_array_equal(waveform[:, : 2 * RATE], whole(data)[:, : waveform.shape[1]][:, : 2 * RATE])


def test_big_endian_and_extensible_wav_of_unknown_size() -> None:
    np.testing.assert_array_equal(whole(with_sizes(wav(endian="BIG"), 0, 0, ">")), whole(wav()))
    np.testing.assert_array_equal(whole(with_sizes(wav(format="WAVEX"), 0, 0)), whole(wav()))


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_rf64_and_w64_whose_large_sizes_were_never_filled_in(filler: bytes) -> None:
    rf64 = wav(format="RF64")
    at = rf64.index(b"ds64") + 8
    for data in (rf64, rf64[:at] + 24 * filler + rf64[at + 24 :], b"BW64" + rf64[4:]):
        np.testing.assert_array_equal(whole(data), whole(wav()))
    w64 = wav(format="W64")
    at = w64.index(b"data\xf3\xac") + 16
    np.testing.assert_array_equal(whole(w64[:at] + 8 * filler + w64[at + 8 :]), whole(wav()))


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.98])
def test_cut_file_says_both_lengths(container: str, share: float) -> None:
    data = wav(format=container)
    waveform, told = read(data[: int(share * len(data))])
    np.testing.assert_array_equal(waveform, whole(data)[:, : waveform.shape[1]])
    assert f"promises 2.00 s, it holds {waveform.shape[1] / RATE:.2f} s" in told


def test_sloppy_sizes_are_no_loss() -> None:
    for more in (-2, 2, 36, 44):  # many programs count a header in, or stop short of the last sample
        assert whole(with_sizes(wav(), 0, 4 * RATE + more)).shape[1] == pytest.approx(2 * RATE, abs=1)


def test_what_the_header_does_not_count_is_told() -> None:
    waveform, told = read(with_sizes(wav(), 36 + RATE, RATE))
    assert waveform.shape == (1, RATE // 2)
    assert "says 0.50 s" in told and "1.50 s more" in told


@pytest.mark.parametrize("sizes", [None, (0, 0), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_joined_files_are_read_one_after_another(sizes: tuple[int, int] | None) -> None:
    first, second = (data if sizes is None else with_sizes(data, *sizes) for data in (wav(2), wav(1)))
    expected = np.concatenate([whole(wav(2)), whole(wav(1))], axis=1)
    np.testing.assert_array_equal(whole(first + second), expected)
    np.testing.assert_array_equal(whole(first + LIST + second) if sizes is None else expected, expected)


def test_two_chunks_of_sound_are_both_read() -> None:
    first, second = wav(2), wav(1)
    data = first + second[second.index(b"data") :]
    np.testing.assert_array_equal(whole(data), np.concatenate([whole(first), whole(second)], axis=1))


def test_other_chunks_are_no_sound() -> None:
    data = wav()
    expected = whole(data)
    for changed in (data[:12] + LIST + data[12:], data + LIST, data + b"TAG" + bytes(125), data + bytes(64)):
        np.testing.assert_array_equal(whole(changed), expected)
    odd = wav(0.1, subtype="PCM_U8")[:-1]
    odd = with_sizes(odd, 0, len(odd) - odd.index(b"data") - 8)
    for padding in (b"", b"\0"):
        assert whole(odd + padding + LIST).shape == (1, 1_599)
    with pytest.raises(AudioDecodeError, match="no samples"):
        decode_audio(with_sizes(data[:44], 36 + len(LIST), 0) + LIST)
