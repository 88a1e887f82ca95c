"""The same sound, however written and wrapped, gives the same samples or an error, and no more than is allowed."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sounds import chirp, whole, written

from afm_hf import AfmFeatureExtractor
from afm_hf.audio import audio_soundfile
from afm_hf.audio.audio_loading import AudioDecodeError, load_audio
from afm_hf.audio.audio_streaming import stream_audio

# How far samples may be off by rounding; None: the codec is lossy, and its sound is compared.
ROUNDING = {
    "PCM_S8": 2**-7,
    "PCM_U8": 2**-7,
    "PCM_16": 2**-15,
    "PCM_24": 2**-23,
    "PCM_32": 2**-24,
    "FLOAT": 0.0,
    "DOUBLE": 0.0,
    "ALAC_16": 2**-15,
    "ALAC_24": 2**-23,
    "ULAW": None,
    "ALAW": None,
    "MS_ADPCM": None,
    "IMA_ADPCM": None,
    "VORBIS": None,
    "OPUS": None,
    "MPEG_LAYER_III": None,
}
RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000)
# These keep the rate in a table or as a period, or hold one channel.
ONE_RATE = {"SVX", "VOC", "WVE", "XI", "HTK", "SDS", "MPC2K", "SD2", "RAW"}
FORMATS = [
    (container, subtype)
    for container in soundfile.available_formats()
    if container not in ONE_RATE
    for subtype in soundfile.available_subtypes(container)
    if subtype in ROUNDING and (container, subtype) != ("PAF", "PCM_24")  # it holds tens of samples
]
WRAPPERS = ["path", "bytes", "bytearray", "memoryview", "file", "file at its end", "mapping", "uint8 mapping path"]
DTYPES = [np.float64, np.float32, np.int16, np.int32, np.uint8]


def is_possible(container: str, subtype: str, rate: int) -> bool:
    if subtype == "OPUS" and rate not in (8_000, 16_000, 24_000, 48_000):
        return False
    return bool(soundfile.check_format(container, subtype))


def wrapped(data: bytes, wrapper: str, folder: Path):
    path = folder / "sound"
    path.write_bytes(data)
    if wrapper == "file at its end":
        file = io.BytesIO()
        file.write(data)
        return file
    return {
        "path": path,
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "file": io.BytesIO(data),
        "mapping": {"bytes": data, "path": "elsewhere"},
        "uint8 mapping path": {"path": str(path), "bytes": None},
    }[wrapper]


def assert_same(waveform: np.ndarray, sound: np.ndarray, rounding: float | None) -> None:
    if rounding is not None:
        assert waveform.shape == sound.shape
        np.testing.assert_allclose(waveform, sound, atol=rounding + 1e-7)
        return
    assert 0 <= waveform.shape[1] - sound.shape[1] < 4_100  # ADPCM is written in blocks
    for mine, theirs in zip(waveform, sound, strict=True):
        assert np.corrcoef(mine[1_000 : len(theirs)], theirs[1_000:])[0, 1] > 0.9


def check_file(kind: tuple[str, str], rate: int, channels: int, wrapper: str, endian: str, seconds: float) -> None:
    container, subtype = kind
    if not is_possible(container, subtype, rate):
        return
    sound = chirp(seconds, rate, channels)
    try:
        data = written(sound, rate, format=container, subtype=subtype, endian=endian)
    except (soundfile.LibsndfileError, ValueError):  # it does not write this
        return
    with tempfile.TemporaryDirectory() as folder:
        assert_same(whole(wrapped(data, wrapper, Path(folder))), sound, ROUNDING[subtype])


FILES = (
    st.sampled_from(FORMATS),
    st.sampled_from(RATES),
    st.sampled_from([1, 2]),
    st.sampled_from(WRAPPERS),
    st.sampled_from(["FILE", "LITTLE", "BIG"]),
    st.sampled_from(
        [0.32, 0.48, 0.64]
    ),  # an even number of samples: libsndfile pads odd ones of 8 bits, and counts that
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(*FILES)
def test_same_sound_from_every_file(kind, rate, channels, wrapper, endian, seconds) -> None:
    check_file(kind, rate, channels, wrapper, endian, seconds)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(*FILES)
def test_same_sound_from_very_many_files(kind, rate, channels, wrapper, endian, seconds) -> None:
    check_file(kind, rate, channels, wrapper, endian, seconds)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DTYPES), st.sampled_from(["array", "tensor", "mapping", "list"]), st.integers(1, 3))
def test_same_sound_from_every_kind_of_samples(dtype, wrapper: str, channels: int) -> None:
    sound, rounding = chirp(0.2, 16_000, channels), 1e-7
    samples = sound.astype(dtype)
    if np.issubdtype(dtype, np.integer):
        full_scale = {np.int16: 2**15, np.int32: 2**31, np.uint8: 2**7}[dtype]
        samples = np.rint(sound.astype(np.float64) * full_scale + (full_scale if dtype is np.uint8 else 0)).astype(
            dtype
        )
        rounding = 1 / full_scale + 1e-7
    source = {
        "array": samples,
        "tensor": torch.from_numpy(samples),
        "mapping": {"array": samples, "sampling_rate": 16_000},
        "list": samples.tolist(),
    }[wrapper]
    if wrapper == "list" and np.issubdtype(dtype, np.integer):
        with pytest.raises(AudioDecodeError, match="int64"):
            load_audio(source, 16_000, source_sampling_rate=16_000)
        return
    waveform = load_audio(source, 16_000, source_sampling_rate=16_000)
    np.testing.assert_allclose(waveform, sound.mean(axis=0), atol=rounding)


# --- one limit of values, at the higher of both rates -----------------------------------------------------------------


def bomb() -> bytes:
    """Ten minutes of silence at 1 kHz in a few kilobytes."""
    data = written(np.zeros((1, 600_000), np.float32), 1_000, format="FLAC", subtype="PCM_16")
    assert len(data) < 10_000
    return data


def test_what_resampling_would_make_counts() -> None:
    for read in (load_audio, lambda *given, **how: list(stream_audio(*given, **how))):
        with pytest.raises(AudioDecodeError, match=r"is longer than 22\.7 s.*1000000 values at 44100 Hz.*max_values"):
            read(bomb(), 44_100, max_values=1_000_000)
    assert len(load_audio(bomb(), 44_100, max_values=30_000_000)) == 26_460_000
    assert len(load_audio(bomb(), 1_000, max_values=600_000)) == 600_000
    with pytest.raises(AudioDecodeError, match="values"):
        load_audio(np.zeros(600_000, np.float32), 44_100, source_sampling_rate=1_000, max_values=1_000_000)


def test_no_more_is_decoded_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, blocks = [], audio_soundfile._blocks
    monkeypatch.setattr(audio_soundfile, "_blocks", lambda *a: (decoded.append(len(b)) or b for b in blocks(*a)))
    with pytest.raises(AudioDecodeError, match="values"):
        load_audio(bomb(), 44_100, max_values=1_000_000)
    assert sum(decoded) <= 1_000_000 * 1_000 // 44_100 + 1


def test_channels_count() -> None:
    stereo = written(chirp(1, 16_000, 2))
    assert len(load_audio(stereo, 16_000, max_values=32_000)) == 16_000
    with pytest.raises(AudioDecodeError, match="2 channels"):
        load_audio(stereo, 16_000, max_values=31_999)


@pytest.mark.parametrize("wrong", [0, -1, "many", float("nan"), True])
def test_a_limit_that_is_none_is_refused(wrong) -> None:
    with pytest.raises(AudioDecodeError, match="max_values"):
        load_audio(written(chirp(0.1)), 16_000, max_values=wrong)


def test_feature_extractors_keep_and_pass_the_limit_on() -> None:
    extractor = AfmFeatureExtractor(sampling_rate=16_000, fmax=8_000.0, max_length_s=1.0, max_values=20_000)
    clip = written(chirp(2))
    for truncation in ("windows", "center"):
        with pytest.raises(AudioDecodeError, match="20000 values"):
            extractor(clip, truncation=truncation)
    assert extractor(clip, truncation="first")["input_features"][0].size  # only the head is read
    assert AfmFeatureExtractor.from_dict(extractor.to_dict()).max_values == 20_000
    extractor.max_values = 40_000
    assert extractor(clip, truncation="windows")["input_features"][0].size
