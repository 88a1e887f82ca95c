"""A stream gives what the whole gives: the same samples, the same warnings, the same errors."""

import array
import io
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import afm_hf
from afm_hf import AudioDecodeError, load_audio
from afm_hf.audio import audio_soundfile
from afm_hf.audio.audio_resampling import resample_parts, resample_soxr
from afm_hf.audio.audio_streaming import stream_audio

RATE = 16_000
NASTY = Path(__file__).parents[1] / "fixtures" / "nasty"


def noise(seconds, rate=RATE, channels=1, seed=0):
    samples = np.random.default_rng(seed).normal(scale=0.1, size=(channels, round(seconds * rate)))
    return samples.astype(np.float32)


def encode(samples, rate=RATE, **how):
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, **{"format": "WAV", "subtype": "FLOAT", **how})
    return file.getvalue()


def outcome(make):
    """The samples or the error, and what was warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            made = np.asarray(make())
        except AudioDecodeError as error:
            made = _without_addresses(error)
    return made, [_without_addresses(warning.message) for warning in told]


def _without_addresses(message):
    return re.sub(r"0x[0-9a-f]+|file:\S+", "", str(message))


def assert_streamed(source, rate=RATE, again=lambda source: source, **how):
    whole, told = outcome(lambda: load_audio(again(source), rate, **how))
    streamed, streamed_told = outcome(lambda: np.concatenate(list(stream_audio(again(source), rate, **how))))
    assert type(whole) is type(streamed), (whole, streamed)
    if isinstance(whole, str):
        assert streamed == whole
    else:
        np.testing.assert_allclose(streamed, whole, atol=1e-6, rtol=0)
        assert streamed.dtype == np.float32
    assert streamed_told == told


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(audio_soundfile, "_BLOCK_VALUES", 5_000)


@pytest.mark.parametrize("rate", [RATE, 44_100, 8_000])
@pytest.mark.parametrize("channels", ["mean", "first", "concat"])
@pytest.mark.parametrize("resampler", ["soxr", "torchaudio"])
def test_files_are_streamed_to_the_same_samples(rate, channels, resampler):
    for count in (1, 3):
        assert_streamed(encode(noise(1.3, channels=count)), rate, channels=channels, resampler=resampler)


SAMPLES = noise(12, 48_000, channels=2)
SOURCES = {
    "array": SAMPLES[0],
    "stereo": SAMPLES,
    "int16": (SAMPLES * 30_000).astype(np.int16),
    "tensor": torch.from_numpy(SAMPLES),
    "list": SAMPLES[0, :500].tolist(),
    "buffer": array.array("f", SAMPLES[0, :500].tolist()),
    "mapping": {"array": SAMPLES, "sample_rate": 44_100},
    "nested": {"array": {"array": SAMPLES, "sr": 44_100}},
    "decoded": SimpleNamespace(data=torch.from_numpy(SAMPLES), sample_rate=44_100),
    "decoder": SimpleNamespace(
        get_all_samples=lambda: SimpleNamespace(data=torch.from_numpy(SAMPLES), sample_rate=44_100)
    ),
    "path": afm_hf.bundled_audio()[0],
    "item": {"path": str(afm_hf.bundled_audio()[1]), "bytes": None},
    "bytes": {"bytes": afm_hf.bundled_audio()[2].read_bytes()},
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_sources_of_every_kind_are_streamed(source):
    assert_streamed(source, source_sampling_rate=48_000)


def test_a_file_object_is_read_once():
    content = encode(noise(1))
    assert_streamed(content, again=io.BytesIO)
    assert_streamed(b"no audio at all", again=io.BytesIO)


@pytest.mark.parametrize("file", sorted(path for path in NASTY.iterdir() if path.is_file()), ids=lambda path: path.name)
def test_nasty_files_are_streamed_alike_or_refused_alike(file):
    assert_streamed(file)
    assert_streamed(file.read_bytes()[: file.stat().st_size * 2 // 3])


BAD = {
    "NaN late": lambda: encode(np.concatenate([noise(1), np.full((1, 3), np.nan, np.float32)], axis=1)),
    "loud late": lambda: encode(np.concatenate([noise(1), np.full((1, 3), 2e3, np.float32)], axis=1)),
    "empty": lambda: encode(noise(0)),
    "cut off": lambda: encode(noise(2))[:50_000],
    "none": lambda: {},
    "no such file": lambda: "no such file.wav",
    "shape": lambda: np.zeros((1, 2, 300), np.float32),
    "integers": lambda: [1, 2, 3],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_is_refused_as_a_whole_is_refused_as_a_stream(bad):
    whole, told = outcome(lambda: load_audio(bad(), RATE, source_sampling_rate=RATE))
    streamed, streamed_told = outcome(
        lambda: np.concatenate(list(stream_audio(bad(), RATE, source_sampling_rate=RATE)))
    )
    if isinstance(whole, str):
        place = whole.split(" values")[-1]  # of NaN: how many values were looked at differs, where they are does not
        assert isinstance(streamed, str) and place in streamed
    else:
        np.testing.assert_allclose(streamed, whole, atol=1e-6)
    assert streamed_told == told


def test_a_clip_of_too_many_values_is_refused_before_it_is_read_to_its_end(monkeypatch):
    content = encode(noise(3))
    message = outcome(lambda: load_audio(content, RATE, max_values=RATE))[0]
    assert "more than 16000 values" in message
    read = []
    with pytest.raises(AudioDecodeError) as caught:
        for part in stream_audio(content, RATE, max_values=RATE):
            read.append(len(part))
    assert str(caught.value) == message and sum(read) <= RATE + 5_000


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5_000),
    st.sampled_from([(8_000, 8_000), (44_100, 16_000), (16_000, 44_100), (48_000, 44_100), (11_025, 32_000)]),
    st.lists(st.integers(1, 999), min_size=1, max_size=6),
)
def test_resampling_part_by_part_gives_the_numbers_of_the_whole(samples, rates, sizes):
    clip = np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32)
    cuts = [*np.cumsum(sizes)]
    parts = [part for part in np.split(clip, [cut for cut in cuts if cut < samples]) if len(part)]
    made = np.concatenate(list(resample_parts(parts, *rates)))
    want = resample_soxr(clip[None], *rates)[0] if rates[0] != rates[1] else clip
    np.testing.assert_allclose(made, want, atol=1e-6, rtol=0)
