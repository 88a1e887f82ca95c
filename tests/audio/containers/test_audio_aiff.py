"""AIFF, CAF, AU and the rarer containers are read to the end of what is there; what is cut off is told."""

import numpy as np
import pytest
import soundfile
from sounds import RATE, chirp, read, whole, written

UNKNOWN = [0, 0xFFFFFFFF]


def with_number(data: bytes, after: bytes, number: int, offset: int = 0, size: int = 4, order: str = "big") -> bytes:
    at = data.index(after) + len(after) + offset
    return data[:at] + number.to_bytes(size, order) + data[at + size :]


@pytest.mark.parametrize("number", UNKNOWN)
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_aiff_whose_sizes_were_never_filled_in(subtype: str, number: int) -> None:
    data = written(chirp(2), format="AIFF", subtype=subtype)
    unfilled = with_number(with_number(data, b"SSND", number), b"COMM", number, offset=6)
    np.testing.assert_array_equal(whole(unfilled), whole(data))


def test_aiff_whose_numbers_contradict_each_other_is_told() -> None:
    waveform, told = read(with_number(written(chirp(2), format="AIFF"), b"COMM", 100, offset=6))
    assert waveform.shape == (1, 2 * RATE)
    assert "100 samples and another 32000" in told


@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
@pytest.mark.parametrize("number", UNKNOWN)
def test_au_whose_size_was_never_filled_in(number: int, endian: str) -> None:
    data = written(chirp(2), format="AU", endian=endian)
    np.testing.assert_array_equal(whole(data[:8] + number.to_bytes(4, "big") + data[12:]), whole(data))


@pytest.mark.parametrize("number", [0, 2**64 - 1])
@pytest.mark.parametrize("subtype", ["PCM_16", "ALAC_16", "FLOAT"])
def test_caf_whose_size_was_never_filled_in(subtype: str, number: int) -> None:
    data = written(chirp(2), format="CAF", subtype=subtype)
    np.testing.assert_array_equal(whole(with_number(data, b"data", number, size=8)), whole(data))


@pytest.mark.parametrize("container", ["AIFF", "AU", "CAF"])
def test_joined_files_are_read_one_after_another(container: str) -> None:
    first, second = (written(chirp(seconds), format=container) for seconds in (2, 1))
    np.testing.assert_array_equal(whole(first + second), np.concatenate([whole(first), whole(second)], axis=1))


def test_bytes_that_nobody_counts_are_told() -> None:
    data = written(chirp(2), format="AU")
    waveform, told = read(data[:8] + (2 * RATE).to_bytes(4, "big") + data[12:])
    assert waveform.shape == (1, RATE)
    assert "speaks of the first 32024 of its 64024 bytes only" in told


# These state no length (PAF, PVF, IRCAM), or are refused when cut (HTK), or hold one by their own rules (XI).
NO_LENGTH = {"PAF", "PVF", "IRCAM", "HTK", "XI", "RAW", "SD2", "OGG", "MP3", "FLAC"}


@pytest.mark.parametrize("container", sorted(set(soundfile.available_formats()) - NO_LENGTH))
def test_every_container_tells_what_is_cut_off(container: str) -> None:
    subtype = "ALAW" if container == "WVE" else "PCM_16"
    data = written(chirp(2, 8_000), 8_000, format=container, subtype=subtype)
    assert whole(data).shape == (1, 16_000)
    waveform, told = read(data[: int(0.6 * len(data))])
    assert 8_000 < waveform.shape[1] < 9_800
    np.testing.assert_allclose(waveform, whole(data)[:, : waveform.shape[1]], atol=0.5 if container == "SDS" else 0)
    assert f"promises 2.00 s, it holds {waveform.shape[1] / 8_000:.2f} s" in told


@pytest.mark.parametrize(("container", "subtype"), [("AIFF", "DWVW_16"), ("SDS", "PCM_16"), ("XI", "DPCM_16")])
def test_formats_in_which_libsndfile_cannot_seek_are_read(container: str, subtype: str) -> None:
    sound = chirp(1)
    waveform = whole(written(sound, format=container, subtype=subtype))
    np.testing.assert_allclose(waveform[:, : sound.shape[1]], sound, atol=1e-3)
