"""Log-mel front-end: values against transformers' own spectrogram; lengths and channels with clips of a few samples."""

import copy
import json
import pickle

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_models import CLIP_S, RATE, clap_parts, tone
from torch.utils.data import DataLoader
from transformers import AutoFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from afm_hf import AfmFeatureExtractor, AudioDecodeError, ClapAfmFeatureExtractor
from afm_hf.audio import audio_soundfile
from afm_hf.audio.log_mel import log_mel
from afm_hf.models.common import feature_extraction_afm, window_streams_afm


def micro(**kwargs):
    """Clips of 8 samples at 1 kHz, so that expected waveforms can be written down."""
    sizes = {"feature_size": 2, "sampling_rate": 1000, "n_fft": 8, "hop_length": 2, "fmin": 0.0, "fmax": 500.0}
    return AfmFeatureExtractor(**{**sizes, "max_length_s": 0.008, **kwargs})


def small(**kwargs):
    extractor = clap_parts()[2]
    return ClapAfmFeatureExtractor(**{**extractor.to_dict(), **kwargs})


@pytest.fixture
def waveforms(monkeypatch):
    """The waveforms that reach the STFT, in place of their spectrograms."""
    seen = []
    log_mel = AfmFeatureExtractor.log_mel

    def record(self, waveforms, device="cpu"):
        seen.extend(waveforms.tolist())
        return log_mel(self, waveforms, device)

    monkeypatch.setattr(AfmFeatureExtractor, "log_mel", record)
    return seen


def cut(waveforms, samples, rate=1000, **kwargs):
    """What is left of `samples` under the settings, as lists of numbers; they are heard as 64ths of full scale."""
    waveforms.clear()
    constructed = {name: kwargs.pop(name) for name in ("window_hop_s",) if name in kwargs}
    micro(**constructed)([np.asarray(samples, np.float32) / 64], sampling_rate=rate, **kwargs)
    return [[round(64 * value, 5) for value in row] for row in waveforms]


# -- values -----------------------------------------------------------------------------------------------------------


def reference(extractor, samples):
    """transformers' NumPy spectrogram with the same settings, (frames, mels) in dB."""
    bank = mel_filter_bank(
        extractor.n_fft // 2 + 1,
        extractor.feature_size,
        extractor.fmin,
        extractor.fmax,
        extractor.mel_sampling_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    window = window_function(extractor.n_fft, "hann")
    options = {"power": 2.0, "center": True, "pad_mode": "reflect", "mel_filters": bank, "log_mel": "dB"}
    return spectrogram(samples, window, extractor.n_fft, extractor.hop_length, **options).T


SETTINGS = {
    "CLAP 2023": lambda: ClapAfmFeatureExtractor(),
    "CLAP 2022": lambda: ClapAfmFeatureExtractor(mel_sampling_rate=44100, max_length_s=5.0),
    "ADIFF and Mellow": lambda: AfmFeatureExtractor(sampling_rate=32000, max_length_s=10.0),
    "tiny": small,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_the_spectrogram_of_transformers(name):
    extractor = SETTINGS[name]()
    samples = tone(440, extractor.max_length_s, extractor.sampling_rate)
    samples[: len(samples) // 4] = 0  # silence: the floor of -100 dB
    got = extractor([samples], sampling_rate=extractor.sampling_rate, return_tensors="np")["input_features"]
    want = reference(extractor, samples)
    assert got.dtype == np.float32 and got.shape == (1, 1, 1 + len(samples) // extractor.hop_length, want.shape[1])
    np.testing.assert_allclose(got[0, 0], want, atol=1e-3, rtol=0)
    assert got.min() == -100


def test_the_official_frame_counts():
    frames = lambda extractor: 1 + extractor.clip_samples(extractor.max_length_s) // extractor.hop_length  # noqa: E731
    assert [frames(make()) for make in SETTINGS.values()] == [965, 690, 1001, 101]


def test_the_rate_of_the_mel_bank_is_apart_from_the_sampling_rate():
    official = ClapAfmFeatureExtractor()
    assert (official.sampling_rate, official.mel_sampling_rate) == (44100, 32000)
    assert AfmFeatureExtractor(sampling_rate=32000).mel_sampling_rate == 32000
    assert torch.equal(official.mel_bank(), AfmFeatureExtractor(sampling_rate=32000).mel_bank())
    assert not torch.equal(official.mel_bank(), AfmFeatureExtractor(sampling_rate=44100).mel_bank())


def test_a_batch_equals_its_clips_bit_for_bit():
    extractor = small()
    clips = [tone(300 * (index + 1), seconds, seed=index) for index, seconds in enumerate([0.5, 0.2, 0.9, 0.5])]
    together = extractor(clips, sampling_rate=RATE, return_tensors="pt")["input_features"]
    for clip, row in zip(clips, together, strict=True):
        torch.testing.assert_close(
            extractor(clip, sampling_rate=RATE, return_tensors="pt")["input_features"][0], row, atol=1e-5, rtol=1e-4
        )


def test_a_chosen_device_gives_the_same():
    """Off the CPU the STFT is batched; the `meta` device shows the path, plain CPU tensors its numbers."""
    extractor = small()
    waveforms = torch.from_numpy(np.stack([tone(300), tone(800, seed=1)]))
    batched = log_mel(waveforms, extractor.n_fft, extractor.hop_length, extractor.mel_bank())
    torch.testing.assert_close(batched, extractor.log_mel(waveforms), atol=1e-3, rtol=0)
    assert extractor.log_mel(waveforms, "meta").shape == (2, 101, 16)


def test_the_number_of_loader_workers_changes_nothing():
    extractor = small()
    clips = [tone(100 * (index + 1), 0.3, seed=index) for index in range(4)]

    def collate(batch):
        return extractor(batch, sampling_rate=RATE, return_tensors="pt")["input_features"]

    batches = [list(DataLoader(clips, 2, num_workers=n, collate_fn=collate)) for n in (0, 1, 2)]
    for other in batches[1:]:
        for mine, theirs in zip(batches[0], other, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)  # dB; a worker has one thread


# -- lengths ----------------------------------------------------------------------------------------------------------

LONG = list(range(1, 20))  # 19 samples


def test_a_clip_of_the_right_length_is_left_alone(waveforms):
    assert cut(waveforms, range(8)) == [list(range(8))]


@pytest.mark.parametrize(
    ("padding", "expected"),
    [("repeat", [1, 2, 3, 1, 2, 3, 1, 2]), ("zero", [1, 2, 3, 0, 0, 0, 0, 0]), (True, [1, 2, 3, 1, 2, 3, 1, 2])],
)
def test_short_clips(waveforms, padding, expected):
    assert cut(waveforms, [1, 2, 3], padding=padding) == [expected]


@pytest.mark.parametrize(("truncation", "first"), [("first", 1), ("center", 6), (True, 1), ("longest_first", 1)])
def test_long_clips(waveforms, truncation, first):
    assert cut(waveforms, LONG, truncation=truncation) == [list(range(first, first + 8))]


@pytest.mark.parametrize(
    ("length", "hop_s", "starts"),
    [(19, None, [0, 8, 11]), (16, None, [0, 8]), (17, None, [0, 8, 9]), (12, 0.002, [0, 2, 4]), (13, 0.003, [0, 3, 5])],
)
def test_windows_cover_a_long_clip_and_end_with_it(waveforms, length, hop_s, starts):
    samples = list(range(1, length + 1))
    expected = [samples[start : start + 8] for start in starts]
    assert cut(waveforms, samples, truncation="windows", window_hop_s=hop_s) == expected


def test_windows_of_a_batch_are_filled_up_and_masked():
    extractor = micro(truncation="windows")
    clips = [np.ones(length, np.float32) for length in (19, 3, 16)]
    batch = extractor(clips, sampling_rate=1000, return_tensors="pt")
    assert batch["input_features"].shape == (3, 3, 1, 5, 2)
    assert batch["input_features_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert not batch["input_features"][1, 1:].any() and not batch["input_features"][2, 2].any()


def test_random_crops_follow_their_generator(waveforms):
    def crop(seed):
        return cut(waveforms, LONG, truncation="random", generator=torch.Generator().manual_seed(seed))[0]

    crops = [crop(seed) for seed in range(60)]
    assert crop(0) == crops[0]
    assert {row[0] for row in crops} == set(range(1, 13))  # every start that leaves 8 of 19 samples
    assert all(row == list(range(int(row[0]), int(row[0]) + 8)) for row in crops)


def test_a_generator_moves_on():
    extractor, generator = micro(), torch.Generator().manual_seed(0)
    clip = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    first, second = (
        extractor([clip], sampling_rate=1000, truncation="random", generator=generator)["input_features"]
        for _ in range(2)
    )
    assert not np.array_equal(first, second)


def test_the_length_of_one_call(waveforms):
    assert cut(waveforms, LONG, max_length_s=0.005) == [[1, 2, 3, 4, 5]]


def test_only_the_head_of_a_file_is_decoded_where_only_the_head_is_used(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(300, 60), RATE)
    asked = []
    original = feature_extraction_afm.load_audio

    def load(*args, **kwargs):
        asked.append(original(*args, **kwargs))
        return asked[-1]

    monkeypatch.setattr(feature_extraction_afm, "load_audio", load)
    extractor = small()
    head = extractor(str(path))["input_features"]
    assert len(asked[0]) < 2 * RATE
    whole, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(head, extractor(whole, sampling_rate=RATE)["input_features"], atol=1e-3)


@pytest.mark.parametrize(
    ("truncation", "channels"), [("center", "mean"), ("random", "mean"), ("random", "concat"), ("first", "concat")]
)
def test_of_a_long_file_a_part_is_taken_without_holding_the_whole(tmp_path, monkeypatch, truncation, channels):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.stack([tone(300, 30), tone(500, 30)], axis=1), 2 * RATE)
    extractor = small()

    def features():
        generator = torch.Generator().manual_seed(3)
        return extractor(str(path), truncation=truncation, channels=channels, generator=generator)["input_features"]

    whole = features()  # of 15 s, which are held
    held = []
    monkeypatch.setattr(feature_extraction_afm, "HELD_S", 1.0)
    monkeypatch.setattr(audio_soundfile, "_BLOCK_VALUES", RATE)
    take = feature_extraction_afm._taken
    monkeypatch.setattr(feature_extraction_afm, "_taken", lambda parts, *more: take(noted(parts, held), *more))
    np.testing.assert_allclose(features(), whole, atol=1e-3)
    assert max(held) <= RATE, "all of it was held"


def noted(parts, lengths):
    """The parts, one by one, and how long each is."""
    for part in parts:
        lengths.append(len(part))
        yield part


# -- channels and rates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ("mean", [2, 3, 4, 2, 3, 4, 2, 3]),
        ("first", [1, 2, 3, 1, 2, 3, 1, 2]),
        ("concat", [1, 2, 3, 3, 4, 5, 1, 2]),
    ],
)
def test_channels(waveforms, channels, expected):
    stereo = np.array([[1, 2, 3], [3, 4, 5]])
    assert cut(waveforms, stereo, channels=channels) == [expected]


def test_a_bare_matrix_is_a_batch_of_mono_clips():
    extractor = small()
    clips = np.stack([tone(300), tone(500)])
    batch = extractor(clips, sampling_rate=RATE)["input_features"]
    assert batch.shape == (2, 1, 101, 16)
    np.testing.assert_allclose(batch, extractor(list(clips), sampling_rate=RATE)["input_features"], atol=1e-3)
    tensors = extractor(torch.from_numpy(clips), sampling_rate=RATE)["input_features"]
    np.testing.assert_allclose(batch, tensors, atol=1e-3)


def test_rates_given_by_the_call_and_by_the_clip_agree():
    extractor = small()
    clip = tone(300, 0.5, 16000)
    by_call = extractor([clip], sampling_rate=16000)["input_features"]
    by_clip = extractor([{"array": clip, "sampling_rate": 16000}])["input_features"]
    np.testing.assert_allclose(by_call, by_clip, atol=1e-3)
    at_rate = extractor([tone(300, 0.5, 8000)], sampling_rate=8000)["input_features"]
    assert by_call.shape == at_rate.shape
    loud = at_rate > at_rate.max() - 20  # where the tone is
    assert np.median(np.abs(by_call[loud] - at_rate[loud])) < 1


def test_contradicting_rates_are_refused():
    with pytest.raises(ValueError, match=r"audio\[1\].*16000.*sampling_rate=8000"):
        small()([tone(300), {"array": tone(300), "sampling_rate": 16000}], sampling_rate=8000)


def test_files_know_their_rate(tmp_path):
    path = tmp_path / "a.wav"
    clip = tone(300, 0.5, 16000)
    soundfile.write(path, clip, 16000, subtype="FLOAT")
    extractor = small()
    want = extractor([clip], sampling_rate=16000)["input_features"]
    for source in (path, str(path), path.read_bytes(), [path], {"path": str(path), "bytes": None}):
        np.testing.assert_allclose(extractor(source)["input_features"], want, atol=1e-3)


def test_lists_of_numbers_are_one_clip():
    clip = tone(300)
    extractor = small()
    want = extractor(clip, sampling_rate=RATE)["input_features"]
    np.testing.assert_allclose(extractor(clip.tolist(), sampling_rate=RATE)["input_features"], want, atol=1e-3)
    np.testing.assert_allclose(extractor([clip.tolist()], sampling_rate=RATE)["input_features"], want, atol=1e-3)


# -- what comes back --------------------------------------------------------------------------------------------------


def test_types_of_the_output():
    extractor = small()
    assert isinstance(extractor(tone(3), sampling_rate=RATE)["input_features"], np.ndarray)
    assert isinstance(extractor(tone(3), sampling_rate=RATE, return_tensors="np")["input_features"], np.ndarray)
    batch = extractor(tone(3), sampling_rate=RATE, return_tensors="pt")
    assert list(batch) == extractor.model_input_names == ["input_features"]
    assert batch["input_features"].dtype == torch.float32
    assert batch.to(torch.bfloat16)["input_features"].dtype == torch.float32  # half of the digits would be lost


def test_settings_survive_a_file(tmp_path):
    extractor = small(padding="zero", truncation="windows", channels="concat", window_hop_s=0.1, resampler="torchaudio")
    extractor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["feature_extractor_type"] == "ClapAfmFeatureExtractor" and saved["mel_sampling_rate"] == RATE
    assert not any(isinstance(value, list) for value in saved.values())  # no mel bank in the file
    for again in (
        AutoFeatureExtractor.from_pretrained(tmp_path),
        ClapAfmFeatureExtractor.from_pretrained(tmp_path),
        AfmFeatureExtractor.from_pretrained(tmp_path),
        copy.deepcopy(extractor),
        pickle.loads(pickle.dumps(extractor)),
    ):
        assert {**again.to_dict(), "feature_extractor_type": ""} == {
            **extractor.to_dict(),
            "feature_extractor_type": "",
        }
        clip = tone(300, 0.8)
        got, want = again(clip, sampling_rate=RATE), extractor(clip, sampling_rate=RATE)
        np.testing.assert_allclose(got["input_features"], want["input_features"], atol=1e-3)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ([], "empty"),
        (np.zeros((0, 8)), "empty"),
        (np.zeros(0), r"audio\[0\]"),
        ([tone(3), np.zeros(0)], r"audio\[1\]"),
        (np.array(1.0), r"audio\[0\]"),
        (np.zeros((2, 3, 8)), r"\(2, 3, 8\)"),
        ([np.zeros((2, 3, 8))], r"audio\[0\]"),
        ([tone(3), np.array([0, np.nan])], r"audio\[1\]"),
        (np.array([0, np.inf]), r"audio\[0\]"),
        (["no such file.wav"], "no such file"),
        (np.array(["a", "b"]), r"audio\[0\]"),
        (None, r"audio\[0\]"),
        ({"sampling_rate": 8000}, r"audio\[0\]"),
    ],
    ids=repr,
)
def test_bad_audio_is_named(audio, message):
    with pytest.raises(ValueError, match=message):
        small()(audio, sampling_rate=RATE)


def test_silence_is_an_error_where_nothing_is_heard():
    silence, sound = np.zeros(4 * RATE, np.float32), tone(1)
    with pytest.raises(
        AudioDecodeError, match=r"audio\[1\].*the part that is heard \('first'\) is silent.*windows.*allow_silence"
    ):
        small()([sound, silence], sampling_rate=RATE)
    late = np.concatenate([silence, sound])
    with pytest.raises(AudioDecodeError, match="'first'"):
        small()(late, sampling_rate=RATE)
    heard = small()([late], sampling_rate=RATE, truncation="windows")["input_features"]
    np.testing.assert_array_equal(heard[:, 0], small()(sound, sampling_rate=RATE)["input_features"])
    with pytest.raises(AudioDecodeError, match="it is silent"):
        small()([silence], sampling_rate=RATE, truncation="windows")
    allowed = small(allow_silence=True)
    assert (allowed(silence, sampling_rate=RATE)["input_features"] == -100).all()
    whole = allowed([late], sampling_rate=RATE, truncation="windows")
    assert whole["input_features"].shape[1] == 9 and (whole["input_features_mask"] == 1).all()
    assert (small()(silence, sampling_rate=RATE, allow_silence=True)["input_features"] == -100).all()
    assert AfmFeatureExtractor.from_dict(allowed.to_dict()).allow_silence


@pytest.mark.parametrize("truncation", ["first", "center", "windows", "segments"])
def test_noise_of_the_last_bit_is_silence(truncation):
    noise = np.random.default_rng(0).integers(-1, 2, 4 * RATE).astype(np.int16)
    assert np.abs(noise).max() / 2**15 == pytest.approx(3e-5, abs=1e-6)
    for clip in (noise, noise.astype(np.float32) / 2**15):
        with pytest.raises(AudioDecodeError, match=r"silent \(no sample reaches 0.0001 of full scale\)"):
            small()([clip], sampling_rate=RATE, truncation=truncation)
    quiet = (3e-4 * tone(300, 4.0)).astype(np.float32)
    assert small()([quiet], sampling_rate=RATE, truncation=truncation)["input_features"].max() > -100


def test_windows_leave_out_dead_air_and_count_by_what_is_heard(waveforms):
    extractor = micro(truncation="windows")
    sound, silence = np.arange(1, 9) / 64, np.zeros(24)
    batch = extractor([np.concatenate([silence, sound, silence, sound[:2], silence])], sampling_rate=1000)
    assert [[round(64 * value) for value in row] for row in waveforms] == [[*range(1, 9)], [0] * 6 + [1, 2]]
    assert batch["input_features_mask"].tolist() == [[1, 1]]
    seconds = small(truncation="windows")
    clip = np.concatenate([tone(300, 0.6), np.zeros(RATE, np.float32), tone(300, 0.6)])
    shares = seconds([clip], sampling_rate=RATE)["input_features_mask"]
    np.testing.assert_allclose(shares, [[1, 0.2, 0.8, 1]], atol=0.03)


def test_segments_are_cut_from_the_first_sample_to_the_last(waveforms):
    clip = np.concatenate([np.zeros(3), np.arange(1, 18) / 64, np.zeros(3), np.zeros(16)])
    batch = micro()([clip], sampling_rate=1000, truncation="segments")
    assert [[round(64 * value) for value in row] for row in waveforms] == [
        [0, 0, 0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11, 12, 13],
        [14, 15, 16, 17, 0, 0, 0, 0],
    ]
    assert batch["input_features"].shape[1] == 3


def test_any_number_of_windows_is_made_some_at_a_time(monkeypatch):
    extractor = small(truncation="windows")
    clip = tone(300, 4 * CLIP_S)
    whole = extractor([clip, clip[:6000]], sampling_rate=RATE)
    monkeypatch.setattr(window_streams_afm, "WINDOWS_AT_A_TIME", 3)
    sizes = []
    log_mel = AfmFeatureExtractor.log_mel

    def counted(self, waveforms, device="cpu"):
        sizes.append(len(waveforms))
        return log_mel(self, waveforms, device)

    monkeypatch.setattr(AfmFeatureExtractor, "log_mel", counted)
    parts = extractor([clip, clip[:6000]], sampling_rate=RATE)
    assert sizes == [3, 1, 2]
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("padding", "repeatpad"), ("truncation", "rand_trunc"), ("channels", "left"), ("resampler", "sinc")],
)
def test_unknown_words_are_refused_with_the_known_ones(name, value):
    for call in (lambda: small(**{name: value}), lambda: small()(tone(3), sampling_rate=RATE, **{name: value})):
        with pytest.raises(ValueError, match=rf"`{name}` must be one of '.*' but is '{value}'|{name}.*{value}"):
            call()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length_s": 0.01}, "`max_length_s` = 0.01 s is 80 samples at 8000 Hz.*256"),
        ({"max_length_s": float("nan")}, "`max_length_s`"),
        ({"max_length_s": -1.0}, "`max_length_s`"),
        ({"window_hop_s": 0.0}, "`window_hop_s`"),
        ({"window_hop_s": -1.0}, "`window_hop_s`"),
        ({"fmin": 5000.0}, "5000"),
        ({"fmax": 5000.0}, "4000.0 Hz, half of"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


@pytest.mark.parametrize("seconds", [0.01, 0, -1, float("inf")])
def test_lengths_of_a_call_that_cannot_work_are_refused(seconds):
    with pytest.raises(ValueError, match="`max_length_s`"):
        small()(tone(3), sampling_rate=RATE, max_length_s=seconds)


@settings(max_examples=40, deadline=None)
@given(
    samples=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.one_of(st.integers(0, 300), st.tuples(st.integers(1, 3), st.integers(0, 300))),
        elements=st.sampled_from([0.0, 0.5, -1.0]),
        fill=st.sampled_from([0.0, 0.25, np.nan, np.inf]),
    ),
    rate=st.sampled_from([1000, 1001, 2000, 44100]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "padding": st.sampled_from(["repeat", "zero"]),
            "truncation": st.sampled_from(["first", "center", "random", "windows", "segments"]),
            "channels": st.sampled_from(["mean", "concat", "first"]),
        },
    ),
)
def test_any_samples_give_finite_features_or_a_named_error(samples, rate, options):
    try:
        batch = micro()([samples], sampling_rate=rate, return_tensors="pt", **options)
    except AudioDecodeError as error:
        assert "audio[0]" in str(error)
        broken = samples.size == 0 or not np.isfinite(samples).all() or samples.shape[-1] * 1000 < rate
        assert broken or "silent" in str(error)
    else:
        assert batch["input_features"].shape[-3:] == (1, 5, 2)
        assert torch.isfinite(batch["input_features"]).all()
