"""FLAC is read to its last whole frame, whatever its header says, and so is what follows it."""

import numpy as np
import pytest
from sounds import RATE, chirp, read, whole, written

from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio
from afm_hf.audio.containers import audio_flac

ID3 = b"ID3\x04\0\0\0\0\x02\0" + bytes(256)


def flac(seconds: float, **options) -> bytes:
    return written(chirp(seconds), **{"format": "FLAC", **options})


def with_total(data: bytes, samples: int) -> bytes:
    """The same, whose header states that number of samples."""
    kept = int.from_bytes(data[18:26], "big") >> 36 << 36
    return data[:18] + (kept | samples).to_bytes(8, "big") + data[26:]


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("total", [0, 1_000])
def test_number_of_samples_is_what_the_frames_say(subtype: str, total: int) -> None:
    data = flac(3, subtype=subtype)
    np.testing.assert_array_equal(whole(with_total(data, total)), whole(data))
    part = whole(with_total(data, total), offset_s=2.5, duration_s=0.2)
    np.testing.assert_array_equal(part[0], whole(data)[0, int(2.5 * RATE) :][: RATE // 5])


def test_too_large_a_number_is_told_with_both_lengths() -> None:
    waveform, told = read(with_total(flac(3), 10 * RATE))
    assert waveform.shape == (1, 3 * RATE)
    assert "promises 10.00 s, it holds 3.00 s" in told


@pytest.mark.parametrize("between", [b"", ID3])
@pytest.mark.parametrize("total", [None, 0])
def test_joined_files_are_read_one_after_another(between: bytes, total: int | None) -> None:
    first, second = (data if total is None else with_total(data, total) for data in (flac(2), flac(1)))
    waveform = whole(ID3 + first + between + second)
    np.testing.assert_array_equal(waveform, np.concatenate([whole(flac(2)), whole(flac(1))], axis=1))


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_cut_file_gives_all_whole_frames_and_both_lengths(share: float) -> None:
    data = flac(3)
    waveform, told = read(data[: int(share * len(data))])
    np.testing.assert_array_equal(waveform, whole(data)[:, : waveform.shape[1]])
    assert waveform.shape[1] > share * 3 * RATE - 2 * 4096
    assert f"promises 3.00 s, it holds {waveform.shape[1] / RATE:.2f} s" in told


def test_cut_file_of_unknown_length_is_told() -> None:
    data = with_total(flac(3), 0)
    assert "cut off in the middle of a frame" in read(data[:-50])[1]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125), ID3, ID3 + b"TAG" + bytes(125), bytes(1_000)])
def test_what_follows_the_last_frame_is_no_damage(level: float, after: bytes) -> None:
    assert whole(with_total(flac(2, compression_level=level), 0) + after).shape == (1, 2 * RATE)


def test_one_frame_and_none() -> None:
    assert whole(with_total(flac(0.01), 0)).shape == (1, 160)
    with pytest.raises(AudioDecodeError):
        decode_audio(flac(1)[:60])


def test_sums_are_those_of_the_format() -> None:
    """Every frame that an encoder writes has both."""
    data = flac(1)
    header = audio_flac._Header(data[:42])
    last = audio_flac._last_frame(data, header)
    assert last is not None and last.first_sample + last.samples == RATE
    assert not audio_flac._crc16(data[last.start :])
    assert audio_flac._crc16(data[last.start : -1])


@pytest.mark.parametrize("padding", [0, 1, 2, 3, 500])
def test_the_last_frame_may_end_with_zeros(padding: int) -> None:
    """Its sum is any number: one file in 256 ends with a zero that belongs to it."""
    rng = np.random.default_rng(0)
    files = {}
    while len(files) < 3:
        sound = rng.normal(scale=0.1, size=(1, int(rng.integers(200, 6_000)))).astype(np.float32)
        data = written(sound, RATE, format="FLAC", subtype="PCM_16")
        if not data[-1]:
            files[data] = sound.shape
    for data, shape in files.items():
        assert whole(data + bytes(padding)).shape == shape
