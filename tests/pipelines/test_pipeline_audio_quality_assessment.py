"""PAM: segments, prompts, batches, and that a score is what it says."""

import json

import numpy as np
import pytest
import torch
from tiny_models import CLIP_S, RATE, clap_parts
from transformers import pipeline

import afm_hf
from afm_hf.pipelines import pipeline_audio_quality_assessment
from afm_hf.pipelines.pipeline_audio_inputs import collate_features
from afm_hf.pipelines.pipeline_audio_quality_assessment import PROMPTS


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def assess():
    model, tokenizer, extractor = clap_parts()
    return pipeline("audio-quality-assessment", model=model, feature_extractor=extractor, tokenizer=tokenizer)


@torch.no_grad()
def plain(assess, clip, prompts=PROMPTS):
    """One segment at a time."""
    samples = round(CLIP_S * RATE)
    starts = [*range(0, max(1, len(clip) - samples), samples)]
    if len(clip) > samples:
        starts.append(len(clip) - samples)
    text = assess.model.get_text_features(
        **assess.tokenizer(list(prompts), padding=True, return_tensors="pt")
    ).pooler_output
    scores = []
    for start in starts:
        piece = clip[start : start + samples]
        features = assess.feature_extractor([piece], sampling_rate=RATE, return_tensors="pt")
        audio = assess.model.get_audio_features(**features).pooler_output
        scores.append((assess.model.logit_scale.exp() * audio @ text.T).softmax(-1)[0, 0].item())
    return scores


@pytest.mark.parametrize("seconds", [0.2, CLIP_S, 2 * CLIP_S, 1.3])
def test_the_segments_are_the_papers_and_the_score_is_their_mean(assess, seconds):
    clip = noise(seconds)
    expected = plain(assess, clip)
    result = assess(clip, sampling_rate=RATE)
    np.testing.assert_allclose(result["segment_scores"], expected, atol=1e-5)
    assert result["score"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert assess(clip, sampling_rate=RATE, segments="first")["segment_scores"] == pytest.approx(expected[:1], abs=1e-5)


def test_a_batch_gives_what_single_clips_give(assess):
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.2, 1.3, 0.5, 2.1))]
    single = [assess(clip, sampling_rate=RATE) for clip in clips]
    for batch_size in (1, 3, 4):
        for one, other in zip(single, assess(clips, sampling_rate=RATE, batch_size=batch_size), strict=True):
            np.testing.assert_allclose(other["segment_scores"], one["segment_scores"], atol=1e-5)


def test_opposite_prompts_give_opposite_scores(assess):
    clip = noise(CLIP_S)
    score = assess(clip, sampling_rate=RATE)["score"]
    assert assess(clip, sampling_rate=RATE, prompts=PROMPTS[::-1])["score"] == pytest.approx(1 - score, abs=1e-5)
    other = assess(clip, sampling_rate=RATE, prompts=("a clear voice", "a muffled voice"))
    assert other["segment_scores"] == pytest.approx(plain(assess, clip, ("a clear voice", "a muffled voice")), abs=1e-5)


def test_of_several_pairs_of_prompts_the_mean_is_taken(assess):
    clip, pairs = noise(1.3), [PROMPTS, ("a clear voice", "a muffled voice"), ("good", "bad")]
    expected = np.mean([plain(assess, clip, pair) for pair in pairs], axis=0)
    result = assess(clip, sampling_rate=RATE, prompts=pairs)
    np.testing.assert_allclose(result.segment_scores, expected, atol=1e-5)
    same = assess(clip, sampling_rate=RATE, prompts=[PROMPTS, PROMPTS])
    assert same.score == pytest.approx(assess(clip, sampling_rate=RATE).score, abs=1e-6)


def test_a_result_says_what_made_it(assess):
    result = assess(noise(1.3), sampling_rate=RATE, segments="first", prompts=("good", "bad"))
    assert result.settings["prompts"] == [["good", "bad"]]
    assert (result.settings["segments"], result.settings["segment_s"]) == ("first", CLIP_S)
    assert result.settings["model"]
    assert assess(noise(1.3), sampling_rate=RATE).settings["segments"] == "all"
    assert json.loads(result.to_json()) == dict(result)


def test_many_segments_go_through_in_parts(assess, monkeypatch):
    clip = noise(4)
    whole = assess(clip, sampling_rate=RATE)
    monkeypatch.setattr(pipeline_audio_quality_assessment, "SEGMENTS_PER_FORWARD", 3)
    np.testing.assert_allclose(assess(clip, sampling_rate=RATE).segment_scores, whole.segment_scores, atol=1e-6)


@pytest.mark.parametrize("segments", ["all", "first"])
def test_features_that_are_made_elsewhere_get_the_same_scores(assess, segments):
    clips = [noise(0.2), noise(1.3, 1)]
    items = [assess.preprocess(clip, RATE, segments) for clip in clips]
    got = list(assess.score_features(collate_features(items), segments=segments))
    for one, other in zip(got, assess(clips, sampling_rate=RATE, segments=segments), strict=True):
        assert one.settings == other.settings
        np.testing.assert_allclose(one.segment_scores, other.segment_scores, atol=1e-5)


def test_arguments_of_the_constructor_hold_until_a_call_has_others(assess):
    model, tokenizer, extractor = clap_parts()
    other = pipeline(
        "audio-quality-assessment",
        model=model,
        feature_extractor=extractor,
        tokenizer=tokenizer,
        prompts=("good", "bad"),
        segments="first",
    )
    clip = noise(1.3)
    kept = other(clip, sampling_rate=RATE)
    assert len(kept.segment_scores) == 1 and kept.settings["prompts"] == [["good", "bad"]]
    changed = other(clip, sampling_rate=RATE, prompts=PROMPTS, segments="all")
    assert changed.score == pytest.approx(assess(clip, sampling_rate=RATE).score, abs=1e-6)


def test_mistakes_are_named(assess):
    for wrong in (("good",), ("good", " "), "good", [], [("good", "bad"), ("good",)], ("good", "bad", "ugly")):
        with pytest.raises(ValueError, match="expected two texts"):
            assess(noise(0.5), prompts=wrong)
    with pytest.raises(ValueError, match="`segments` is 'last'"):
        assess(noise(0.5), segments="last")
    with pytest.raises(ValueError, match=r"Unknown arguments.*'labels'"):
        assess(noise(0.5), labels=["a"])
    with pytest.raises(afm_hf.AudioDecodeError, match=r"audios\[1\]"):
        assess([noise(0.5), noise(0.5) * np.nan], sampling_rate=RATE)


def test_files_and_the_default_model():
    assess = pipeline("audio-quality-assessment")
    result = assess(str(afm_hf.bundled_audio()[0]))
    assert 0 <= result["score"] <= 1
