"""When in a clip what is heard: times that are those of the file, and scores that are those of the windows there."""

import io

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import CLIP_S, RATE, byte_tokenizer, clap_2022_config, clap_parts, stock_clap_parts, tone
from transformers.pipelines import pipeline

from afm_hf import (
    AfmEarsConfig,
    AfmEarsFeatureExtractor,
    AfmEffectsCnnConfig,
    AfmEffectsCnnFeatureExtractor,
    AfmYamnetConfig,
    AfmYamnetFeatureExtractor,
    AudioDecodeError,
    ClapAfmAudioConfig,
    ClapAfmModel,
    ZeroShotAudioClassificationPipeline,
    bundled_audio,
    find_events,
)
from afm_hf.audio.audio_loading import load_audio
from afm_hf.models.clap_afm import timeline_clap_afm
from afm_hf.models.clap_afm.timeline_clap_afm import plan_timeline

LABELS = ["a dog", "rain", "an engine that idles"]
HOP = CLIP_S / 4


def make(parts, **kwargs):
    model, tokenizer, extractor = parts
    return ZeroShotAudioClassificationPipeline(
        model=model, tokenizer=tokenizer, feature_extractor=extractor, device="cpu", candidate_labels=LABELS, **kwargs
    )


def ears_parts(ears=("yamnet", "effects")):
    """(model, tokenizer, feature extractor) of a tiny CLAP that hears step by step."""
    torch.manual_seed(0)
    yamnet = AfmYamnetConfig(channels=[8, 12], strides=[1, 2], stem_channels=4, use_class_head=False)
    kinds = {
        "yamnet": (yamnet, AfmYamnetFeatureExtractor()),
        "effects": (AfmEffectsCnnConfig(channels=[4, 8, 6]), AfmEffectsCnnFeatureExtractor()),
    }
    extractor = AfmEarsFeatureExtractor(ears=[kinds[ear][1] for ear in ears])
    encoder = AfmEarsConfig(ears=[kinds[ear][0] for ear in ears], frames=extractor.frames())
    config = clap_2022_config()
    config.audio_config = ClapAfmAudioConfig(encoder_config=encoder, projection_dim=12)
    model = ClapAfmModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model, byte_tokenizer(), extractor


def clip(samples, rate=RATE):
    return {"array": samples, "sampling_rate": rate}


def scores_of(chunks):
    return np.array([[chunk["scores"][label] for label in LABELS] for chunk in chunks])


def assert_same(got, wanted):
    assert [chunk["timestamp"] for chunk in got["chunks"]] == [chunk["timestamp"] for chunk in wanted["chunks"]]
    np.testing.assert_allclose(scores_of(got["chunks"]), scores_of(wanted["chunks"]), atol=1e-5)
    assert [entry["label"] for entry in got["labels"]] == [entry["label"] for entry in wanted["labels"]]


def assert_covers(chunks, seconds):
    """From the beginning to the end, without gap or overlap; each within what was heard for it."""
    edges = [chunk["timestamp"] for chunk in chunks]
    assert edges[0][0] == 0 and edges[-1][1] == pytest.approx(seconds, abs=0.001) and edges[-1][1] <= seconds
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
    for chunk in chunks:
        (start, end), (first, last) = chunk["timestamp"], chunk["heard"]
        assert first - 0.001 <= start < end <= last + 0.001 and last <= seconds


@pytest.fixture(scope="module")
def pipe():
    return make(clap_parts())


@pytest.fixture(scope="module")
def long():
    return np.concatenate([tone(300, 2.2 * CLIP_S), tone(900, 1.9 * CLIP_S, seed=1)])


# -- what the rows say ------------------------------------------------------------------------------------------------


def test_without_timestamps_nothing_changes_and_with_them_the_whole_clip_is_scored_in_windows(pipe, long):
    plain = pipe(clip(long))
    assert [sorted(entry) for entry in plain] == [["label", "score"]] * len(LABELS)
    assert pipe(clip(long), timestamps=False) == plain
    told = pipe(clip(long), timestamps=True)
    assert told["labels"] == pipe(clip(long), truncation="windows")
    assert pipe(clip(long), timestamps=True, truncation="first")["labels"] == plain
    assert make(clap_parts(), timestamps=True)(clip(long))["chunks"] == told["chunks"]


def test_each_row_has_the_scores_of_the_window_that_was_heard_for_it(pipe, long):
    chunks = pipe(clip(long), timestamps=True)["chunks"]
    assert_covers(chunks, len(long) / RATE)
    assert [chunk["heard"][0] for chunk in chunks[:3]] == [0, HOP, 2 * HOP]
    for chunk in chunks:
        first = round(chunk["heard"][0] * RATE)
        window = pipe(clip(long[first : first + round(CLIP_S * RATE)]))
        for entry in window:
            # The last window begins at a sample that is not a whole millisecond.
            assert chunk["scores"][entry["label"]] == pytest.approx(
                entry["score"], abs=1e-5 if first % 8 == 0 else 0.02
            )


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_batch_says_what_each_clip_alone_says(pipe, long, multi_label):
    clips = [clip(long), clip(long[:1500]), clip(long[::-1].copy())]
    how = {"timestamps": True, "multi_label": multi_label}
    for workers in (0, 1):
        for got, one in zip(pipe(clips, batch_size=2, num_workers=workers, **how), clips, strict=True):
            assert_same(got, pipe(one, **how))


def test_times_are_those_of_a_file_at_another_rate(pipe, long, tmp_path):
    """Also of one whose channels the extractor would put one after the other."""
    soundfile.write(tmp_path / "a.wav", np.stack([np.repeat(long, 2)] * 2, axis=1), 2 * RATE)
    model, tokenizer, extractor = clap_parts()
    extractor.channels = "concat"
    for pipe_now in (pipe, make((model, tokenizer, extractor))):
        chunks = pipe_now(str(tmp_path / "a.wav"), timestamps=True)["chunks"]
        assert_covers(chunks, len(long) / RATE)


def test_a_short_clip_has_no_rows_behind_its_end(pipe):
    short = tone(400, 0.3 * CLIP_S)
    (chunk,) = pipe(clip(short), timestamps=True)["chunks"]
    assert chunk["timestamp"] == chunk["heard"] == (0, pytest.approx(0.3 * CLIP_S, abs=1e-3))
    assert scores_of([chunk])[0] == pytest.approx([scores_of_whole(pipe, short)[label] for label in LABELS], abs=1e-5)


def scores_of_whole(pipe, samples):
    return {entry["label"]: entry["score"] for entry in pipe(clip(samples))}


def test_dead_air_has_no_rows(pipe):
    pause = np.zeros(round(3 * CLIP_S * RATE), np.float32)
    samples = np.concatenate([pause, tone(300, 2 * CLIP_S), pause, tone(900, CLIP_S)])
    chunks = pipe(clip(samples), timestamps=True)["chunks"]
    for chunk in chunks:
        start, end = (round(second * RATE) for second in chunk["timestamp"])
        assert np.abs(samples[start : end + RATE // 1000]).max() > 1e-4
    seconds = sum(end - start for start, end in (chunk["timestamp"] for chunk in chunks))
    assert 3 * CLIP_S <= seconds <= 3 * CLIP_S + 4 * HOP
    first = chunks[0]["timestamp"][0]
    assert 3 * CLIP_S - HOP <= first <= 3 * CLIP_S
    events = find_events(chunks, threshold=0.0)
    assert len([event for event in events if event["label"] == LABELS[0]]) == 2  # none goes on through the pause


def test_the_step_can_be_chosen_and_the_best_labels_of_each_row_come_first(pipe, long):
    chunks = pipe(clip(long), timestamps=True, timestamp_hop_s=CLIP_S, top_k=2)["chunks"]
    assert_covers(chunks, len(long) / RATE)
    assert [chunk["heard"][0] for chunk in chunks[:3]] == [0, CLIP_S, 2 * CLIP_S]
    every = pipe(clip(long), timestamps=True, timestamp_hop_s=CLIP_S)["chunks"]
    for chunk, whole in zip(chunks, every, strict=True):
        assert list(chunk["scores"].items()) == list(whole["scores"].items())[:2]
        assert list(whole["scores"].values()) == sorted(whole["scores"].values(), reverse=True)


# -- steps of the encoder ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_ears_give_a_row_for_each_of_their_steps():
    model, tokenizer, extractor = ears_parts()
    pipe = make((model, tokenizer, extractor))
    samples = np.random.default_rng(0).normal(scale=0.1, size=round(2.415 * 44100)).astype(np.float32)
    chunks = pipe(clip(samples, 44100), timestamps=True)["chunks"]
    assert [chunk["heard"] for chunk in chunks] == [
        pytest.approx((0.48 * step, 0.48 * step + 0.975), abs=2e-3) for step in range(4)
    ]
    features = extractor([samples], sampling_rate=44100, return_tensors="pt")["input_features"]
    hidden = model.audio_model(features).last_hidden_state[0]  # (4, hidden)
    audio = torch.nn.functional.normalize(model.audio_projection(hidden), dim=-1)
    texts = pipe.label_embeddings(tuple(LABELS), ("This is a sound of {}.",))
    expected = (model.logit_scale.exp() * audio @ texts.T).softmax(dim=-1)
    np.testing.assert_allclose(scores_of(chunks), expected, atol=1e-5)


@pytest.mark.parametrize("ears", [("yamnet",), ("yamnet", "effects"), ("effects",)])
def test_a_long_clip_has_steps_at_equal_distances_and_a_short_one_none_behind_its_end(ears):
    pipe = make(ears_parts(ears))
    noise = np.random.default_rng(0).normal(scale=0.1, size=9 * pipe.feature_extractor.sampling_rate)
    chunks = pipe(clip(noise, pipe.feature_extractor.sampling_rate), timestamps=True)["chunks"]
    assert_covers(chunks, 9)
    hop = 0.48 if "yamnet" in ears else 2.415 / 4
    steps = np.diff([chunk["heard"][0] for chunk in chunks])
    assert len(steps) > 10 and steps[:10] == pytest.approx([hop] * 10, abs=2e-3)
    second = noise[: pipe.feature_extractor.sampling_rate]
    short = pipe(clip(second, pipe.feature_extractor.sampling_rate), timestamps=True)["chunks"]
    assert_covers(short, 1)
    assert len(short) == (2 if "yamnet" in ears else 1)


def test_yamnet_alone_steps_as_its_extractor_does():
    config = clap_2022_config()
    encoder = AfmYamnetConfig(channels=[8, 12], strides=[1, 2], stem_channels=4)
    config.audio_config = ClapAfmAudioConfig(encoder_config=encoder, projection_dim=12)
    pipe = make((ClapAfmModel(config).eval(), byte_tokenizer(), AfmYamnetFeatureExtractor()))
    chunks = pipe(clip(tone(300, 3.0), RATE), timestamps=True)["chunks"]
    assert_covers(chunks, 3)
    assert chunks[1]["heard"] == (0.48, 1.455)


# -- clips of any length ----------------------------------------------------------------------------------------------


def test_a_long_file_is_streamed_to_the_same_rows(pipe, monkeypatch, tmp_path):
    samples = np.concatenate([tone(200 + 40 * index, CLIP_S, seed=index) for index in range(20)])
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    whole = pipe(str(tmp_path / "long.wav"), timestamps=True)
    assert_covers(whole["chunks"], 20 * CLIP_S)
    held = []
    monkeypatch.setattr(timeline_clap_afm, "WINDOWS_AT_A_TIME", 2)
    features = type(pipe.model).get_audio_features

    def counted(self, input_features, *args, **kwargs):
        held.append(input_features.ndim == 4 and len(input_features))
        return features(self, input_features, *args, **kwargs)

    monkeypatch.setattr(type(pipe.model), "get_audio_features", counted)
    assert_same(pipe(str(tmp_path / "long.wav"), timestamps=True), whole)
    assert held.count(2) > 30
    assert_same(pipe(io.BytesIO((tmp_path / "long.wav").read_bytes()), timestamps=True), whole)


def test_a_clip_that_breaks_off_is_named_also_where_only_its_beginning_is_classified(pipe, monkeypatch):
    samples = tone(300, 40 * CLIP_S)
    samples[-1] = np.nan
    with pytest.raises(AudioDecodeError, match=r"audios\[1\].*NaN"):
        pipe([clip(samples[:9000]), clip(samples)], timestamps=True, truncation="first")


def test_what_cannot_be_timed_is_told(pipe, long):
    for hop in (0, -1, CLIP_S * 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"`timestamp_hop_s` is .*at most 0\.5 s"):
            pipe(clip(long), timestamps=True, timestamp_hop_s=hop)
    with pytest.raises(ValueError, match="give `timestamps=True`, too"):
        pipe(clip(long), timestamp_hop_s=0.1)
    with pytest.raises(ValueError, match=r"a ClapModel and a ClapFeatureExtractor\. Leave `timestamps` out"):
        make(stock_clap_parts())(clip(long), timestamps=True)
    model, _, extractor = clap_parts()
    assert plan_timeline(model, extractor).by_encoder is False  # HTSAT's steps have attended to the whole clip


# -- events -----------------------------------------------------------------------------------------------------------


def test_consecutive_chunks_above_the_threshold_are_one_event():
    chunks = [
        {"timestamp": (0.0, 1.0), "scores": {"a": 0.9, "b": 0.6}},
        {"timestamp": (1.0, 2.0), "scores": {"a": 0.5, "b": 0.2}},
        {"timestamp": (2.0, 3.0), "scores": {"a": 0.4, "b": 0.7}},
        {"timestamp": (5.0, 6.0), "scores": {"a": 0.1, "b": 0.8}},
    ]
    assert find_events({"labels": [], "chunks": chunks}, 0.5) == [
        {"label": "a", "start": 0.0, "end": 2.0, "score": 0.9},
        {"label": "b", "start": 0.0, "end": 1.0, "score": 0.6},
        {"label": "b", "start": 2.0, "end": 3.0, "score": 0.7},
        {"label": "b", "start": 5.0, "end": 6.0, "score": 0.8},
    ]
    assert find_events(chunks, 0.95) == []
    for wrong, message in (((chunks, 1.5), "`threshold` is 1.5"), (([{"label": "a", "score": 1.0}],), "no timeline")):
        with pytest.raises(ValueError, match=message):
            find_events(*wrong)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_bundled_model_hears_one_sound_after_the_other(multi_label):
    rate = 16000
    rain, cow = (
        load_audio(str(next(path for path in bundled_audio() if path.name.startswith(name))), rate)
        for name in ("rain", "cow")
    )
    samples = np.concatenate([np.resize(rain, 6 * rate), np.resize(cow, 6 * rate)])
    classify = pipeline("zero-shot-audio-classification", device="cpu")
    result = classify(
        clip(samples, rate), candidate_labels=["cow mooing", "rain"], timestamps=True, multi_label=multi_label
    )
    events = find_events(result)
    first, *others = events  # the cow draws breath
    assert first["label"] == "rain" and {event["label"] for event in others} == {"cow mooing"}
    assert first["start"] == 0 and others[-1]["end"] == pytest.approx(12, abs=1)
    assert first["end"] == pytest.approx(6, abs=1) and others[0]["start"] == pytest.approx(6, abs=1)
