"""Invariants of audio loading: what decodes is right, and everything else is one typed error that says what to do."""

import contextlib
import functools
import http.server
import io
import json
import math
import os
import pickle
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from afm_hf.audio import audio_checks as audio_common_afm
from afm_hf.audio import audio_download, audio_optional, audio_soundfile
from afm_hf.audio import audio_loading as audio_utils
from afm_hf.audio import audio_resampling as audio_resampling_afm
from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio, load_audio, resample

FIXTURES = Path(__file__).parent.parent / "fixtures"
NASTY = FIXTURES / "nasty"
RATE = 32_000


@functools.cache
def clip() -> np.ndarray:
    """The clip that most fixtures hold, (58143,) float32 at 32 kHz."""
    return soundfile.read(NASTY / "flac.flac", dtype="float32")[0]


def tone(samples: int = 8_000, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)


def encode(samples: np.ndarray, rate: int = 16_000, **options: Any) -> bytes:
    """(samples,) or (channels, samples) -> the bytes of a file, WAV unless told."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, rate, **{"format": "WAV", "subtype": "FLOAT", **options})
    return buffer.getvalue()


def assert_usable(waveform: np.ndarray) -> None:
    assert waveform.dtype == np.float32
    assert waveform.size > 0
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max() <= audio_common_afm.MAX_PEAK


@pytest.fixture
def no_other_decoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No torchcodec, torchaudio or ffmpeg, whatever this machine has."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for module in ("torchcodec", "torchcodec.decoders", "torchaudio"):
        monkeypatch.setitem(sys.modules, module, None)
    audio_common_afm._probe.cache_clear()
    yield
    audio_common_afm._probe.cache_clear()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "least_correlation"),
    [
        ("flac.flac", 0.9999),
        ("pcm_u8.wav", 0.99),
        ("ima_adpcm.wav", 0.99),
        ("lossy.mp3", 0.97),
        ("vorbis.ogg", 0.97),
        ("opus.opus", 0.9),
        ("ulaw_8k.wav", 0.97),
        ("rate_11025.wav", 0.99),
        ("rate_7999_prime.wav", 0.97),
    ],
)
def test_every_format_gives_the_same_clip(file: str, least_correlation: float) -> None:
    waveform = load_audio(NASTY / file, RATE)
    assert_usable(waveform)
    assert abs(len(waveform) - len(clip())) <= 512
    samples = min(len(waveform), len(clip()))
    assert np.corrcoef(waveform[:samples], clip()[:samples])[0, 1] > least_correlation


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAVEX", "PCM_24"),
        ("WAV", "ALAW"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_24"),
        ("RF64", "PCM_16"),
    ],
)
def test_every_depth_gives_the_same_samples(container: str, subtype: str) -> None:
    waveform = load_audio(encode(clip(), RATE, format=container, subtype=subtype), RATE)
    np.testing.assert_allclose(waveform, clip(), atol=0.03 if subtype == "ALAW" else 1e-4)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("zero_bytes.wav", "0 bytes"),
        ("half_header.wav", "damaged or cut off"),
        ("header_only.wav", "no samples"),
        ("no_samples.wav", "no samples"),
        ("truncated.ogg", "no samples"),
        ("text_renamed.wav", "begins with b'this is '"),
        ("png_renamed.mp3", "not an audio file"),
    ],
)
def test_what_holds_no_audio_is_refused_by_name(file: str, reason: str) -> None:
    with pytest.raises(AudioDecodeError) as caught:
        load_audio(NASTY / file, RATE)
    assert caught.value.source.endswith(file)
    assert file in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("file", "samples"), [("truncated.wav", 10_000), ("truncated.mp3", 18_479), ("truncated.flac", 4_608)]
)
def test_truncated_file_is_used_as_far_as_it_goes_with_a_warning(file: str, samples: int) -> None:
    with pytest.warns(UserWarning, match=f"{file} is cut off.*1.82 s"):
        waveform, _ = decode_audio(NASTY / file)
    assert abs(waveform.shape[1] - samples) <= 2_304  # mp3 frames, by version of libsndfile
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode_audio(NASTY / file, duration_s=0.1)  # the wanted part is there


def test_length_of_a_streamed_wav_is_not_called_truncated() -> None:
    data = bytearray(encode(tone(), subtype="PCM_16"))
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"  # as programs write that cannot seek back
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_audio(bytes(data), 16_000)) == 8_000


@pytest.mark.parametrize("file", ["one_sample.wav", "ten_ms.wav"])
@pytest.mark.parametrize("resampler", ["soxr", "torchaudio"])
@pytest.mark.parametrize("rate", [1_000, 16_000, 44_100])
def test_very_short_clips_stay_non_empty(file: str, resampler: str, rate: int) -> None:
    waveform = load_audio(NASTY / file, rate, resampler=resampler)
    assert_usable(waveform)
    assert len(waveform) == math.ceil(decode_audio(NASTY / file)[0].shape[1] * rate / RATE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_refused(bad: float) -> None:
    samples = tone()
    samples[1_600] = bad
    with pytest.raises(AudioDecodeError, match=r"1 of 8000 values are NaN or infinite, the first at 0\.100 s"):
        load_audio(encode(samples), 16_000)


def test_loud_is_allowed_and_absurd_is_refused() -> None:
    assert load_audio(encode(80 * tone()), 16_000).max() == pytest.approx(40, abs=0.01)
    with pytest.raises(AudioDecodeError, match=r"peaks at 16384.*Divide"):
        load_audio(tone(1_000, hertz=4_000) * 32_768, 16_000)


def test_denormals_and_silence_pass() -> None:
    assert_usable(load_audio(np.full(100, 1e-40, np.float32), 16_000))
    assert not load_audio(np.zeros(100, np.float32), 16_000).any()


@pytest.mark.parametrize(
    "name", ["lossy.wav", "spaces & ünïcödé (日本).ogg", "clip", "clip.raw", "-i.wav", "a#b?c%20.wav"]
)
def test_content_not_name_tells_the_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((NASTY / "lossy.mp3").read_bytes())
    np.testing.assert_array_equal(load_audio(path, RATE), load_audio(NASTY / "lossy.mp3", RATE))


def test_headerless_pcm_says_how_to_pass_samples(tmp_path: Path) -> None:
    path = tmp_path / "clip.raw"
    path.write_bytes((clip() * 32_767).astype("<i2").tobytes())
    with pytest.raises(AudioDecodeError, match=r"clip\.raw.*np\.fromfile"):
        load_audio(path, RATE)


def test_pcm_that_begins_like_mpeg_is_not_decoded_as_mpeg() -> None:
    samples = (clip() * 32_767).astype("<i2")
    samples[:4] = np.frombuffer(bytes.fromhex("fffb90c400000000"), "<i2")
    for part in ({}, {"duration_s": 1.5}):
        with pytest.raises(AudioDecodeError):
            decode_audio(samples.tobytes(), **part)


def test_git_lfs_pointer_and_web_page_are_named() -> None:
    with pytest.raises(AudioDecodeError, match="git lfs pull"):
        load_audio(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", RATE)
    with pytest.raises(AudioDecodeError, match="failed download"):
        load_audio(b"<!DOCTYPE html><html><body>404</body></html>", RATE)


def test_missing_file_folder_device_and_bad_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioDecodeError, match=r"gone\.wav: no such file.*relative to"):
        load_audio("gone.wav", RATE)
    with pytest.raises(AudioDecodeError, match="is a folder"):
        load_audio(tmp_path, RATE)
    with pytest.raises(AudioDecodeError, match="cannot be read"):
        load_audio("null\0byte.wav", RATE)
    with pytest.raises(AudioDecodeError, match="cannot be read"):
        load_audio("x" * 5_000, RATE)
    with pytest.raises(AudioDecodeError, match=r"no such file|cannot be read"):
        load_audio("", RATE)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        with pytest.raises(AudioDecodeError, match="no regular file"):
            load_audio(tmp_path / "pipe.wav", RATE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(encode(tone()))
    path.chmod(0)
    with pytest.raises(AudioDecodeError, match="Permission denied"):
        load_audio(path, RATE)


# --- kinds of source --------------------------------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same_samples(tmp_path: Path) -> None:
    samples, data = tone(), encode(tone())
    path = tmp_path / "tone.wav"
    path.write_bytes(data)
    pair = SimpleNamespace(data=torch.from_numpy(samples)[None], sample_rate=16_000)
    sources: list[Any] = [
        str(path),
        path,
        path.as_uri(),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        samples,
        samples[None],
        samples.astype(np.float64),
        samples.astype(">f4"),
        torch.from_numpy(samples),
        torch.from_numpy(samples)[None].double().requires_grad_(),
        samples.tolist(),
        tuple(samples.tolist()),
        {"array": samples, "sampling_rate": 16_000},
        {"array": samples.tolist(), "sampling_rate": 16_000, "path": None},
        {"raw": torch.from_numpy(samples), "sampling_rate": torch.tensor(16_000)},
        {"path": str(path), "bytes": None},
        {"path": "elsewhere.wav", "bytes": data},
        {"bytes": data},
        SimpleNamespace(get_all_samples=lambda: pair),
    ]
    for source in sources:
        waveform = load_audio(source, 16_000)
        assert waveform.dtype == np.float32
        np.testing.assert_array_equal(waveform, samples)
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_audio(file, 16_000), samples)


def test_stream_that_cannot_seek_is_read() -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.rest = encode(tone())

        def read(self, size: int = -1) -> bytes:  # gives less than asked for, as sockets do
            piece, self.rest = self.rest[:1_000], self.rest[1_000:]
            return piece

    np.testing.assert_array_equal(load_audio(Stream(), 16_000), tone())


def test_file_object_that_does_not_give_bytes_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_text("text")
    with path.open() as file, pytest.raises(AudioDecodeError, match=r"tone\.wav.*str, expected bytes.*'rb'"):
        load_audio(file, RATE)
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(AudioDecodeError, match="closed file"):
        load_audio(closed, RATE)


def test_integer_pcm_is_scaled_by_its_full_scale() -> None:
    expected = np.array([-1.0, 0.0, 0.5], np.float32)
    for dtype, full_scale, zero in (("<i2", 2**15, 0), (">i2", 2**15, 0), ("i4", 2**31, 0), ("u1", 2**7, 2**7)):
        samples = (expected.astype(np.float64) * full_scale + zero).astype(dtype)
        np.testing.assert_array_equal(load_audio(samples, 16_000), expected)
    np.testing.assert_array_equal(load_audio(torch.tensor([-32_768, 0, 16_384], dtype=torch.int16), 16_000), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_dtype_is_taken(dtype: torch.dtype) -> None:
    waveform = load_audio(torch.tensor([0.5, -0.25], dtype=dtype), 16_000)
    np.testing.assert_array_equal(waveform, np.array([0.5, -0.25], np.float32))


def test_result_never_shares_memory_with_the_source() -> None:
    samples = tone()
    for source in (samples, samples[None], torch.from_numpy(samples)):
        for channels in ("mean", "first", "concat"):
            load_audio(source, 16_000, channels=channels)[:] = 7
    np.testing.assert_array_equal(samples, tone())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "NoneType"),
        (3.5, "came as float"),
        (object(), "came as object"),
        (np.float32(1), "shape ()"),
        (np.array(0.5), "shape ()"),
        ([], "empty"),
        (np.zeros((2, 0), np.float32), "empty"),
        (np.zeros((0, 2), np.float32), "empty"),
        (torch.zeros(0), "empty"),
        (np.zeros((1, 1, 100), np.float32), "one clip at a time"),
        (np.zeros((100, 2), np.float32), "transpose"),
        (np.zeros((16_000, 1), np.float32), "transpose"),
        (np.zeros((65, 100), np.float32), "at most 64 channels"),
        (np.zeros(10, bool), "dtype bool"),
        (np.zeros(10, np.int64), "dtype int64"),
        (np.zeros(10, np.int8), "dtype int8"),
        (np.zeros(10, np.uint16), "dtype uint16"),
        (np.zeros(10, complex), "dtype complex128"),
        (np.array([None, 1.0]), "dtype object"),
        (np.array(["a.wav"]), "dtype <U5"),
        (["a.wav", "b.wav"], "dtype <U5"),
        ([0, 1, 0], "dtype int64"),
        ([[0.1, 0.2], [0.3]], "no rectangular array"),
        ((np.zeros(10), 16_000), "'sampling_rate': rate"),
        (torch.zeros(10, dtype=torch.complex64), "dtype complex64"),
        (torch.zeros(10, device="meta"), "no rectangular array"),
        (torch.zeros(10, 10).to_sparse(), "no rectangular array"),
        ({}, "its keys: none"),
        ({"audio": 1}, "its keys: 'audio'"),
        ({"path": None, "bytes": None}, "mapping without audio"),
        ({"bytes": b""}, "0 bytes"),
        ({"array": np.zeros(10, np.float32), "sampling_rate": 0}, "0 Hz"),
        ({"array": np.zeros(10, np.float32), "sampling_rate": "16000"}, "'16000', expected a number"),
        (np.full(10, 1e300), "NaN or infinite"),
        (b"\x00" * 100, "not an audio file"),
        ("s3://bucket/a.wav", "scheme 's3'"),
        ("http://[bad", "no valid URL"),
    ],
)
def test_abuse_is_refused_with_what_came(source: Any, reason: str) -> None:
    with pytest.raises(AudioDecodeError) as caught:
        load_audio(source, 16_000)
    assert reason in str(caught.value)


@pytest.mark.parametrize("rate", [0, -16_000, 44_100.5, float("nan"), float("inf"), "44100", True, [1, 2], 44, 10**6])
def test_wrong_rates_are_refused(rate: Any) -> None:
    calls = [
        lambda: load_audio(tone(), rate),
        lambda: load_audio(tone(), 16_000, source_sampling_rate=rate),
        lambda: resample(tone(), rate, 16_000),
        lambda: resample(tone(), 16_000, rate),
    ]
    for call in calls:
        with pytest.raises(AudioDecodeError, match="expected"):
            call()


def test_whole_floats_are_rates_and_kilohertz_are_explained() -> None:
    assert len(load_audio(tone(), 44_100.0, source_sampling_rate=np.int64(22_050))) == 16_000  # type: ignore[arg-type]
    with pytest.raises(AudioDecodeError, match="not kHz"):
        load_audio(tone(), 44.1)  # type: ignore[arg-type]


def test_rate_of_samples_is_carried_or_given_or_assumed() -> None:
    assert len(load_audio(tone(), 8_000)) == 8_000  # assumed: already at the wanted rate
    assert len(load_audio(tone(), 8_000, source_sampling_rate=16_000)) == 4_000
    carried = {"array": tone(), "sampling_rate": 32_000}
    assert len(load_audio(carried, 8_000, source_sampling_rate=16_000)) == 2_000
    assert len(load_audio({"array": tone()}, 8_000, source_sampling_rate=16_000)) == 4_000
    assert len(load_audio(encode(tone()), 8_000, source_sampling_rate=48_000)) == 4_000
    assert len(load_audio(encode(tone()), None)) == 8_000
    for call in (lambda: load_audio(tone(), None), lambda: decode_audio(tone())):
        with pytest.raises(AudioDecodeError, match="without a sampling rate"):
            call()


@pytest.mark.parametrize("option", ["channels", "resampler", "backend"])
def test_unknown_options_are_plain_value_errors(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 'left'") as caught:
        load_audio(tone(), 16_000, **{option: "left"})
    assert not isinstance(caught.value, AudioDecodeError)  # a mistake of the caller, not of the file


def test_decoder_objects_are_read_in_part_and_their_errors_wrapped() -> None:
    class Decoder:
        def get_all_samples(self) -> Any:
            raise RuntimeError("could not decode")

        def get_samples_played_in_range(self, start: float, stop: float | None) -> Any:
            assert (start, stop) == (0.1, pytest.approx(0.2))
            return SimpleNamespace(data=torch.zeros(2, 1_600), sample_rate=16_000)

    assert decode_audio(Decoder(), offset_s=0.1, duration_s=0.1)[0].shape == (2, 1_600)
    with pytest.raises(AudioDecodeError, match="its decoder failed: could not decode"):
        load_audio(Decoder(), 16_000)


# --- channels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 6])
def test_channel_policies(count: int) -> None:
    samples = np.stack([tone(hertz=200.0 * (i + 1)) / (i + 1) for i in range(count)])  # (channels, samples)
    data = encode(samples)
    np.testing.assert_allclose(load_audio(data, 16_000), samples.mean(0), atol=1e-6)
    np.testing.assert_array_equal(load_audio(data, 16_000, channels="first"), samples[0])
    np.testing.assert_array_equal(load_audio(data, 16_000, channels="concat"), samples.reshape(-1))
    # resampled channel by channel, so nothing leaks over the seam
    each = np.concatenate([load_audio(row, 22_050, source_sampling_rate=16_000) for row in samples])
    np.testing.assert_allclose(load_audio(data, 22_050, channels="concat"), each, atol=1e-6)


def test_decode_audio_keeps_channels_and_rate() -> None:
    waveform, rate = decode_audio(encode(np.stack([tone(), -tone()])))
    assert (waveform.shape, rate, waveform.dtype) == ((2, 8_000), 16_000, np.float32)
    assert waveform.flags.c_contiguous


@pytest.mark.parametrize(("channels", "rate", "reason"), [(100, 16_000, "100 channels"), (1, 900_000, "900000 Hz")])
def test_absurd_headers_are_refused(channels: int, rate: int, reason: str) -> None:
    data = encode(np.zeros((channels, 10), np.float32), rate, subtype="PCM_16")
    with pytest.raises(AudioDecodeError, match=reason):
        decode_audio(data)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_that_libsndfile_mixes_up_are_refused(channels: int) -> None:
    sound = np.random.default_rng(0).normal(scale=0.1, size=(channels, 1_000)).astype(np.float32)
    data = encode(sound, 16_000, format="PAF", subtype="PCM_24")
    if channels > 2:
        with pytest.raises(AudioDecodeError, match="24 bits with 3 channels"):
            decode_audio(data)
    else:
        np.testing.assert_allclose(decode_audio(data)[0], sound, atol=1e-6)


# --- parts of a file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["flac.flac", "lossy.mp3", "vorbis.ogg", "opus.opus", "ima_adpcm.wav", "pcm_u8.wav"])
@pytest.mark.parametrize("offset_s", [0.0, 0.3, 1.01, 1.7])
def test_part_equals_the_same_part_of_the_whole(file: str, offset_s: float) -> None:
    whole, rate = decode_audio(NASTY / file)
    part, _ = decode_audio(NASTY / file, offset_s=offset_s, duration_s=0.05)
    start = round(offset_s * rate)
    expected = whole[:, start : start + round(0.05 * rate)]
    # opus starts with empty prediction after a jump and has converged but for this much
    np.testing.assert_allclose(part, expected, atol=5e-3 if file == "opus.opus" else 1e-6)


def test_part_of_samples_in_memory() -> None:
    np.testing.assert_array_equal(load_audio(tone(), 16_000, offset_s=0.1, duration_s=0.2), tone()[1_600:4_800])
    np.testing.assert_array_equal(load_audio(tone(), 16_000, offset_s=0.4, duration_s=9), tone()[6_400:])


def test_part_that_lies_beyond_the_end_is_refused() -> None:
    for source in (encode(tone()), tone(), (NASTY / "vorbis.ogg").read_bytes()):
        with pytest.raises(AudioDecodeError, match="no samples from 5 s on"):
            load_audio(source, 16_000, offset_s=5)


@pytest.mark.parametrize("options", [{"offset_s": -1}, {"offset_s": "1"}, {"duration_s": 0}, {"max_duration_s": -1}])
def test_wrong_times_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AudioDecodeError, match=next(iter(options))):
        load_audio(tone(), 16_000, **options)
    with pytest.raises(AudioDecodeError, match="finite"):
        load_audio(tone(), 16_000, **{next(iter(options)): math.nan})


def test_endless_times_mean_all_of_it() -> None:
    for source in (tone(), encode(tone())):
        assert len(load_audio(source, 16_000, duration_s=1e308, max_duration_s=1e308)) == 8_000
        with pytest.raises(AudioDecodeError, match="no samples from"):
            load_audio(source, 16_000, offset_s=1e308)


def test_intact_part_of_a_damaged_file_can_be_read() -> None:
    part, rate = decode_audio(NASTY / "truncated.flac", duration_s=0.1)
    np.testing.assert_array_equal(part[0], clip()[: rate // 10])


def test_max_duration_refuses_what_is_longer_and_only_that() -> None:
    for source in (tone(), encode(tone()), encode(tone(), format="FLAC", subtype="PCM_16")):
        assert len(load_audio(source, 16_000, max_duration_s=0.5)) == 8_000
        assert len(load_audio(source, 16_000, max_duration_s=0.2, duration_s=0.1)) == 1_600
        with pytest.raises(AudioDecodeError, match=r"longer than max_duration_s = 0\.4 s"):
            load_audio(source, 16_000, max_duration_s=0.4)


def test_a_part_of_a_long_file_is_read_without_decoding_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.opus"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="OGG", subtype="OPUS") as file:
        for _ in range(6):
            file.write(tone(8_000 * 20, 8_000, 300.0))  # two minutes
    decoded = []
    blocks = audio_soundfile._blocks
    monkeypatch.setattr(audio_soundfile, "_blocks", lambda *a: (decoded.append(len(b)) or b for b in blocks(*a)))
    started = time.perf_counter()
    waveform = load_audio(path, 16_000, offset_s=100, duration_s=7)
    assert time.perf_counter() - started < 2
    assert sum(decoded) == 7 * 8_000
    assert len(waveform) == 7 * 16_000
    assert np.abs(waveform).max() > 0.3
    with pytest.raises(AudioDecodeError, match="longer than"):
        load_audio(path, 16_000, max_duration_s=60)


def test_bombs_stop_at_the_limit_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encode(np.zeros(3_000_000, np.float32), 8_000, format="FLAC", subtype="PCM_16")
    assert len(bomb) < 50_000  # 12 MB when unpacked
    with pytest.raises(AudioDecodeError, match=r"more than 1000000 values.*duration_s.*max_values"):
        load_audio(bomb, 8_000, max_values=1_000_000)
    assert len(load_audio(bomb, 8_000, max_values=1_000_000, duration_s=10)) == 80_000
    assert len(load_audio(bomb, 8_000, max_values=3_000_000)) == 3_000_000
    monkeypatch.setattr(audio_common_afm, "MAX_VALUES", 1_000_000)
    with pytest.raises(AudioDecodeError, match="more than 1000000 values"):
        load_audio(bomb, 8_000)


def test_want_of_memory_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(audio_utils, "decode_source", fail)
    with pytest.raises(AudioDecodeError, match="memory"):
        decode_audio(encode(tone()))


# --- resampling -------------------------------------------------------------------------------------------------------

# Formula clips and, from the official loaders: their samples after loading, resampling, concatenation of channels and
# tiling or cropping (at `start`) to the model's clip length, every 2503rd.
SPECS: dict[str, dict[str, Any]] = json.loads("""{
 "sweep_16k_0p3": {"sr": 16000, "n": 4800, "parts": [["sweep", 100, 6000, 0.5], ["noise", 17, 0.03]],
                   "channels": [[0, 1]]},
 "pulses_22k_3p1": {"sr": 22050, "n": 68355, "parts": [["pulses", 0.37, 900, 18, 0.7], ["noise", 11, 0.01]],
                    "channels": [[0, 1]]},
 "sweep_32k_10": {"sr": 32000, "n": 320000, "parts": [["sweep", 40, 15000, 0.4], ["noise", 3, 0.02]],
                  "channels": [[0, 1]]},
 "mix_48k_12": {"sr": 48000, "n": 576000, "channels": [[0, 1, 2]],
                "parts": [["sweep", 8000, 60, 0.25], ["pulses", 0.81, 2200, 9, 0.4], ["noise", 21, 0.03]]},
 "stereo_48k_4": {"sr": 48000, "n": 192000, "channels": [[0, 2], [1, 2]],
                  "parts": [["sweep", 300, 3000, 0.4], ["pulses", 0.5, 1500, 12, 0.6], ["noise", 42, 0.01]]}
}""")
GOLDEN = [
    ("sweep_16k_0p3", 44_100, None),
    ("pulses_22k_3p1", 44_100, None),
    ("sweep_32k_10", 44_100, 90_864),
    ("mix_48k_12", 44_100, 8_446),
    ("stereo_48k_4", 44_100, 11_809),
    ("sweep_16k_0p3", 32_000, None),
    ("stereo_48k_4", 32_000, None),
    ("mix_48k_12", 32_000, 27_598),
]


def hashed_noise(samples: int, seed: int) -> np.ndarray:
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(samples, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed)) & mask
    for factor in (0x7FEB352D, 0x846CA68B):
        h = ((h ^ (h >> np.uint64(16))) * np.uint64(factor)) & mask
    return (h ^ (h >> np.uint64(15))).astype(np.float64) / 2147483648.0 - 1.0


def formula_part(kind: str, arguments: list[float], t: np.ndarray, length_s: float) -> np.ndarray:
    if kind == "sweep":
        f0, f1, level = arguments
        return level * np.sin(2 * np.pi * (f0 * t + (f1 - f0) * t * t / (2 * length_s)))
    if kind == "pulses":
        period, hertz, decay, level = arguments
        u = np.mod(t, period)
        return level * np.exp(-decay * u) * np.sin(2 * np.pi * hertz * u)
    seed, level = arguments
    return level * hashed_noise(len(t), int(seed))


def formula_clip(name: str) -> np.ndarray:
    """(channels, samples) int16."""
    spec = SPECS[name]
    t = np.arange(spec["n"], dtype=np.float64) / spec["sr"]
    parts = [formula_part(kind, args, t, spec["n"] / spec["sr"]) for kind, *args in spec["parts"]]
    mixed = np.stack([sum(parts[i] for i in which) for which in spec["channels"]])
    return np.rint(np.clip(mixed, -1, 1) * 32767).astype(np.int16)


@pytest.mark.parametrize(("name", "rate", "start"), GOLDEN)
def test_official_resampling_is_reproduced(name: str, rate: int, start: int | None) -> None:
    source = {"array": formula_clip(name), "sampling_rate": SPECS[name]["sr"]}
    waveform = load_audio(source, rate, channels="concat", resampler="torchaudio")
    length = {44_100: 308_700, 32_000: 320_000}[rate]
    waveform = waveform[start:] if start else np.tile(waveform, math.ceil(length / len(waveform)))
    with np.load(FIXTURES / "resample_golden.npz") as golden:
        np.testing.assert_allclose(waveform[:length:2503], golden[f"{rate}_{name}"], rtol=0, atol=5e-7)


def naive_sinc(samples: np.ndarray, orig: int, new: int) -> np.ndarray:
    """The published form: one strided convolution with `new` dense kernels."""
    orig, new = orig // math.gcd(orig, new), new // math.gcd(orig, new)
    base = min(orig, new) * 0.99
    width = math.ceil(6 * orig / base)
    t = torch.arange(0, -new, -1)[:, None, None] / new + torch.arange(-width, width + orig, dtype=torch.float64) / orig
    t = (t * base).clamp(-6, 6)
    kernels = (torch.sinc(t) * torch.cos(t * math.pi / 12) ** 2 * base / orig).float()
    padded = torch.nn.functional.pad(torch.from_numpy(samples)[None, None], (width, width + orig))
    out = torch.nn.functional.conv1d(padded, kernels, stride=orig)  # (1, new, blocks)
    return out.transpose(1, 2).reshape(-1)[: math.ceil(new * len(samples) / orig)].numpy()


@pytest.mark.parametrize(
    ("orig", "new"),
    [(16_000, 44_100), (44_100, 32_000), (48_000, 16_000), (8_000, 96_000), (96_000, 8_000), (11_025, 8_000)],
)
@pytest.mark.parametrize("samples", [1, 2, 159, 160, 161, 5_000])
def test_sparse_kernels_equal_the_dense_convolution(orig: int, new: int, samples: int) -> None:
    x = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    np.testing.assert_allclose(resample(x, orig, new, "torchaudio"), naive_sinc(x, orig, new), rtol=0, atol=1e-6)


def test_coprime_rates_need_little_memory() -> None:
    assert len(resample(tone(7_999, 7_999), 7_999, 44_100, "torchaudio")) == 44_100
    kernel, _, _ = audio_resampling_afm._sinc_kernel(7_999, 44_100)
    assert kernel.nbytes < 5e6  # the dense kernels are 1.4 GB


@pytest.mark.parametrize("method", ["soxr", "torchaudio"])
@pytest.mark.parametrize(("orig", "new"), [(16_000, 44_100), (48_000, 44_100), (44_100, 32_000), (22_050, 16_000)])
def test_resampling_keeps_a_tone_its_shape_and_its_length(method: str, orig: int, new: int) -> None:
    x = np.stack([tone(orig, orig), tone(orig, orig, 1_000.0)])
    y = resample(x, orig, new, method)
    assert (y.shape, y.dtype) == ((2, new), np.float32)
    expected = np.stack([tone(new, new), tone(new, new, 1_000.0)])
    np.testing.assert_allclose(y[:, 500:-500], expected[:, 500:-500], atol=5e-3)
    np.testing.assert_allclose(resample(x[1], orig, new, method), y[1], atol=1e-6)
    assert resample(x[0, :1_001], orig, new, method).shape == (math.ceil(1_001 * new / orig),)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1, 5)])
def test_resample_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioDecodeError, match="expected \\(samples,\\)"):
        resample(np.zeros(shape, np.float32), 8_000, 16_000)


def test_resample_refuses_unknown_methods() -> None:
    with pytest.raises(ValueError, match="'soxr', 'torchaudio'"):
        resample(tone(), 8_000, 16_000, "linear")


# --- errors -----------------------------------------------------------------------------------------------------------


def test_error_survives_pickling() -> None:
    error = AudioDecodeError("a.wav", "is empty", "Fill it.")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (AudioDecodeError, str(error))
    assert (copy.source, copy.reason, copy.hint) == ("a.wav", "is empty", "Fill it.")
    assert str(AudioDecodeError("a.wav", "is empty")) == "cannot load audio from a.wav: is empty"
    assert isinstance(error, ValueError)
    assert str(pickle.loads(pickle.dumps(AudioDecodeError("one message")))) == "one message"


class _Files(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> np.ndarray:
        return load_audio(NASTY / "zero_bytes.wav", RATE)


def test_error_comes_through_worker_processes() -> None:
    with pytest.raises(AudioDecodeError, match=r"zero_bytes\.wav: is empty"):
        next(iter(torch.utils.data.DataLoader(_Files(), num_workers=1)))


def test_given_name_is_used_and_secrets_of_urls_are_not_shown() -> None:
    with pytest.raises(AudioDecodeError, match="row 7 of train"):
        load_audio(b"junk", RATE, name="row 7 of train")
    with pytest.raises(AudioDecodeError) as caught:
        load_audio("ftp://user:pw@host/a.wav?token=abc#x", RATE)
    assert caught.value.source == "ftp://host/a.wav"


# --- optional decoders ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_other_decoder")
@pytest.mark.parametrize("file", ["aac.m4a", "video_with_audio.mp4", "webm_opus.webm"])
def test_what_to_install_is_said_when_nothing_reads_a_container(file: str) -> None:
    with pytest.raises(AudioDecodeError, match=r"pip install torchcodec.*ffmpeg"):
        load_audio(NASTY / file, RATE)
    with pytest.raises(AudioDecodeError, match=r"soundfile cannot read it.*pip install torchcodec"):
        load_audio(NASTY / file, RATE, backend="soundfile")


@pytest.mark.usefixtures("no_other_decoder")
@pytest.mark.parametrize("backend", ["torchcodec", "torchaudio", "ffmpeg"])
def test_backend_that_is_asked_for_and_missing_is_named(backend: str) -> None:
    with pytest.raises(AudioDecodeError, match=f"backend '{backend}' cannot be used.*{backend}"):
        load_audio(encode(tone()), RATE, backend=backend)


@pytest.mark.parametrize(
    "error", ["OSError('libnvrtc.so.13')", "RuntimeError('no ops')", "ImportError('x')", "KeyError('x')"]
)
def test_broken_optional_packages_do_no_harm(tmp_path: Path, error: str) -> None:
    for package in ("torchcodec", "torchaudio"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"print('probed')\nraise {error}\n")
    program = f"""
        from afm_hf.models import audio_utils
        print(len(audio_utils.load_audio({str(NASTY / "flac.flac")!r}, 32000, resampler="torchaudio")))
        for _ in range(2):
            try:
                audio_utils.load_audio({str(NASTY / "aac.m4a")!r}, 32000)
            except audio_utils.AudioDecodeError as error:
                print("torchcodec does not import" in str(error))
    """
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["58143", "probed", "True", "True"], done.stderr  # probed late and once


def fake_module(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    for parent in (name.split(".")[0], name):
        monkeypatch.setitem(sys.modules, parent, SimpleNamespace(**attributes))  # type: ignore[misc]


@pytest.mark.usefixtures("no_other_decoder")
def test_torchcodec_reads_what_soundfile_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    class AudioDecoder:
        def __init__(self, source: Any) -> None:
            if isinstance(source, bytes):
                raise RuntimeError("no stream")

        def get_all_samples(self) -> Any:
            return SimpleNamespace(data=torch.zeros(2, 100), sample_rate=48_000)

    fake_module(monkeypatch, "torchcodec.decoders", AudioDecoder=AudioDecoder)
    assert decode_audio(NASTY / "aac.m4a")[0].shape == (2, 100)
    assert decode_audio(NASTY / "flac.flac")[0].shape == (1, 58_143)  # soundfile comes first
    assert decode_audio(NASTY / "flac.flac", backend="torchcodec")[0].shape == (2, 100)
    with pytest.raises(AudioDecodeError, match="torchcodec cannot read it: no stream"):
        decode_audio((NASTY / "aac.m4a").read_bytes())


def test_the_real_torchcodec() -> None:
    try:
        from torchcodec.decoders import AudioDecoder
    except Exception:  # its wheel may be there and not import
        pytest.skip("torchcodec does not import")
    for name in ("aac.m4a", "video_with_audio.mp4", "webm_opus.webm"):
        waveform = load_audio(NASTY / name, 16_000)
        assert 29_000 < len(waveform) < 29_200 and 0.6 < np.abs(waveform).max() < 0.7, name
    with pytest.raises(AudioDecodeError, match="has no audio stream"):
        load_audio(NASTY / "video_without_audio.mp4", 16_000)
    np.testing.assert_array_equal(
        load_audio(AudioDecoder(str(NASTY / "flac.flac")), 16_000), load_audio(NASTY / "flac.flac", 16_000)
    )


@pytest.mark.usefixtures("no_other_decoder")
def test_torchaudio_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(source: Any) -> tuple[torch.Tensor, int]:
        if not isinstance(source, str):
            raise RuntimeError("no backend")
        return torch.zeros(2, 16_000), 16_000

    fake_module(monkeypatch, "torchaudio", load=load)
    assert decode_audio(NASTY / "flac.flac", backend="torchaudio", offset_s=0.9)[0].shape == (2, 1_600)
    with pytest.raises(AudioDecodeError, match="torchaudio cannot read it: no backend"):
        decode_audio((NASTY / "flac.flac").read_bytes(), backend="torchaudio")


def fake_ffmpeg(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A program named ffmpeg on PATH that runs `script` with its arguments in `sys.argv`."""
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport json, struct, sys, time\n{textwrap.dedent(script)}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


WRITE_AU = """
    json.dump(sys.argv[1:], open(__file__ + ".json", "w"))
    assert open(sys.argv[sys.argv.index("-i") + 1].removeprefix("file:"), "rb").read(8)[4:] == b"ftyp"
    sys.stdout.buffer.write(struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 6, 48000, 2))
    sys.stdout.buffer.write(struct.pack(">6f", 0.5, -0.5, 0.25, -0.25, 0, 0) + b"rest")
"""
posix_only = pytest.mark.skipif(os.name != "posix", reason="the stand-in for ffmpeg is a script")


@posix_only
@pytest.mark.usefixtures("no_other_decoder")
@pytest.mark.parametrize("as_bytes", [False, True])
def test_ffmpeg_reads_what_soundfile_cannot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, as_bytes: bool) -> None:
    fake_ffmpeg(monkeypatch, tmp_path, WRITE_AU)
    source = (NASTY / "aac.m4a").read_bytes() if as_bytes else NASTY / "aac.m4a"
    waveform, rate = decode_audio(source, offset_s=1.5, duration_s=2)
    assert rate == 48_000
    np.testing.assert_array_equal(waveform, np.array([[0.5, 0.25, 0], [-0.5, -0.25, 0]], np.float32))
    arguments = " ".join(json.loads((tmp_path / "ffmpeg.json").read_text()))
    for expected in ("-protocol_whitelist file,pipe", "-f mov -i file:", "-ss 1.5", "-t 2.0", "-map 0:a:0"):
        assert expected in arguments  # no network, no guessing of formats, no more than the wanted part


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize("file", ["aac.m4a", "video_with_audio.mp4", "webm_opus.webm"])
def test_real_ffmpeg_decodes_the_clip(file: str) -> None:
    waveform = load_audio(NASTY / file, RATE, backend="ffmpeg")
    assert abs(len(waveform) - len(clip())) <= 1_024
    level = np.sqrt(np.mean(clip() ** 2))
    assert np.sqrt(np.mean(waveform**2)) == pytest.approx(level, rel=0.2)
    part = load_audio(NASTY / file, RATE, backend="ffmpeg", offset_s=1.0, duration_s=0.5)
    assert len(part) == 16_000
    if not file.endswith(".webm"):  # its clock starts 7 ms before its first sample
        np.testing.assert_allclose(part[4_000:12_000], waveform[36_000:44_000], atol=0.02)
    with pytest.raises(AudioDecodeError, match="longer than"):
        load_audio(NASTY / file, RATE, backend="ffmpeg", max_duration_s=0.5)
    with pytest.raises(AudioDecodeError, match="no audio stream"):
        load_audio(NASTY / "video_without_audio.mp4", RATE, backend="ffmpeg")


@posix_only
@pytest.mark.usefixtures("no_other_decoder")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit('Stream map 0:a:0 matches no streams.')", "holds no audio stream"),
        ("sys.exit('moov atom not found')", "ffmpeg cannot read it: moov atom not found"),
        ("sys.stdout.write('junk')", "ffmpeg cannot read it"),
        ("time.sleep(60)", "ffmpeg took longer than 1 s"),
        ("while True: sys.stdout.buffer.write(b'x' * 2**20)", "ffmpeg cannot read it"),
    ],
)
def test_ffmpeg_failures_are_decode_errors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str
) -> None:
    fake_ffmpeg(monkeypatch, tmp_path, script)
    monkeypatch.setattr(audio_optional, "FFMPEG_TIMEOUT_S", 1.0)
    with pytest.raises(AudioDecodeError, match=reason):
        decode_audio(NASTY / "aac.m4a")


# --- URLs -------------------------------------------------------------------------------------------------------------


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        if self.path.startswith("/tone"):
            self.wfile.write(encode(tone()))
        elif self.path.startswith("/slow"):
            with contextlib.suppress(OSError):
                for _ in range(50):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()


def test_url_is_downloaded(server: str) -> None:
    np.testing.assert_array_equal(load_audio(f"{server}/tone.wav?token=1", 16_000), tone())


def test_url_failures_are_decode_errors(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AudioDecodeError, match=r"/gone\.wav: the server answered 404"):
        load_audio(f"{server}/gone.wav?token=1", 16_000)
    with pytest.raises(AudioDecodeError, match="0 bytes"):
        load_audio(f"{server}/empty.wav", 16_000)
    monkeypatch.setattr(audio_download, "MAX_DOWNLOAD_BYTES", 100)
    with pytest.raises(AudioDecodeError, match="larger than 100 bytes"):
        load_audio(f"{server}/tone.wav", 16_000)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AudioDecodeError, match="HF_HUB_OFFLINE is set"):
        load_audio(f"{server}/tone.wav", 16_000)


def test_slow_server_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_download, "DOWNLOAD_TIMEOUT_S", 0.3)
    started = time.perf_counter()
    with pytest.raises(AudioDecodeError, match=r"did not arrive in 0\.3 s"):
        load_audio(f"{server}/slow.wav", 16_000)
    assert time.perf_counter() - started < 1.5


def test_unreachable_server_says_offline(server: str) -> None:
    with pytest.raises(AudioDecodeError, match=r"download failed.*Offline\?"):
        load_audio("http://127.0.0.1:9/tone.wav", 16_000)


# --- fuzzing ----------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hnp.arrays(
        dtype=st.one_of(
            hnp.floating_dtypes(),
            hnp.integer_dtypes(),
            hnp.unsigned_integer_dtypes(),
            hnp.boolean_dtypes(),
            hnp.complex_number_dtypes(),
            hnp.unicode_string_dtypes(),
        ),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=70),
    ),
    st.sampled_from([8_000, 16_000, 44_100]),
    st.sampled_from(["mean", "first", "concat"]),
    st.sampled_from(["soxr", "torchaudio"]),
)
def test_any_array_is_loaded_or_refused(samples: np.ndarray, rate: int, channels: str, resampler: str) -> None:
    try:
        waveform = load_audio(samples, rate, source_sampling_rate=16_000, channels=channels, resampler=resampler)
    except AudioDecodeError as error:
        assert error.reason
        return
    assert waveform.ndim == 1
    assert waveform.dtype == np.float32
    assert waveform.size
    assert np.isfinite(waveform).all()


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=50),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["array", "raw", "bytes", "path", "sampling_rate"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(json_like, json_like)
def test_any_object_is_loaded_or_refused(source: Any, rate: Any) -> None:
    try:
        assert_usable(load_audio(source, rate))
    except AudioDecodeError as error:
        assert error.source


SEEDS = {
    "wav": lambda: encode(tone(2_000), subtype="PCM_16"),
    "flac": lambda: encode(tone(2_000), format="FLAC", subtype="PCM_16"),
    "ogg": lambda: encode(tone(4_000), format="OGG", subtype="VORBIS"),
    "mp3": lambda: (NASTY / "lossy.mp3").read_bytes()[:3_000],
}


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Change, cut, repeat or insert bytes; headers are hit more often than the rest."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        at = int(rng.integers(0, 64 if rng.random() < 0.6 else len(changed)))
        kind = rng.random()
        if kind < 0.7:
            changed[at % len(changed)] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
        elif kind < 0.8:
            changed[at:at] = rng.bytes(int(rng.integers(1, 40)))
        elif kind < 0.9:
            del changed[at : at + int(rng.integers(1, 40))]
        else:
            del changed[max(1, int(rng.integers(len(changed)))) :]
    return bytes(changed)


def fuzz(container: str, seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    original = SEEDS[container]()
    for index in range(times):
        data = mutate(original, rng)
        part = {"offset_s": float(rng.random() * 0.2), "duration_s": 0.05} if index % 4 == 0 else {}
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                waveform, rate = decode_audio(data, **part)
        except AudioDecodeError as error:
            assert error.reason
        else:
            assert_usable(waveform)
            assert 1 <= waveform.shape[0] <= audio_common_afm.MAX_CHANNELS
            assert audio_common_afm.MIN_RATE <= rate <= audio_common_afm.MAX_RATE
        assert time.perf_counter() - started < 2


@pytest.mark.usefixtures("no_other_decoder")
@pytest.mark.parametrize("container", SEEDS)
def test_mutated_files_decode_or_are_refused(container: str) -> None:
    fuzz(container, seed=1, times=400)


@pytest.mark.slow
@pytest.mark.usefixtures("no_other_decoder")
@pytest.mark.parametrize("container", SEEDS)
def test_many_mutated_files_decode_or_are_refused(container: str) -> None:
    fuzz(container, seed=2, times=2_000)


# --- promises of the module -------------------------------------------------------------------------------------------


def test_loading_audio_imports_no_optional_package() -> None:
    program = """
        import sys
        from afm_hf.models import audio_utils
        optional = {"soundfile", "soxr", "torchcodec", "torchaudio", "transformers"}
        print(sorted(optional & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
