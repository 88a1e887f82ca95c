"""The bundled models that answer in words: they load offline, hear, and keep to their forms of answer."""

import numpy as np
import pytest
from transformers import AutoModelForMultimodalLM, AutoProcessor, pipeline

import afm_hf
from afm_hf.hub.bundled import ASSETS

NAMES = ["pengi-small", "adiff-small", "mellow-small"]
CLIPS = [str(clip) for clip in afm_hf.bundled_audio()]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_load_as_ordinary_checkpoints(name):
    folder = afm_hf.bundled_model(name)
    own = [file for file in (ASSETS / name).rglob("*") if file.is_file()]  # without the ears, which all share
    assert sum(file.stat().st_size for file in own) < 5e6
    model, processor = AutoModelForMultimodalLM.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert model.config.num_placeholders == processor.prefix_length
    assert model.dtype.is_floating_point and model.dtype.itemsize == 4
    assert "Limits" in (folder / "README.md").read_text()


def test_the_default_captioner_hears():
    caption = pipeline("audio-captioning")
    said = [result[0]["generated_text"] for result in caption(CLIPS, batch_size=16)]
    assert all(said)
    assert len(set(said)) >= 10  # different clips, different captions


@pytest.mark.parametrize("name", [None, "pengi-small"])  # None is the default, mellow-small
def test_the_answerers_keep_to_their_forms(name):
    ask = pipeline("audio-question-answering", model=str(afm_hf.bundled_model(name)) if name else None)
    yes_or_no = ask(CLIPS[:4], question="is there rain in the audio?", choices=["yes", "no"], batch_size=4)
    assert {result["generated_text"] for result in yes_or_no} <= {"yes", "no"}
    high_or_low = ask(CLIPS[:4], question="is the sound high or low?", batch_size=4)
    assert {result["answer"] for result in high_or_low} <= {"high", "low"}
    chosen = ask(CLIPS[4], question="what is the sound?", choices=["rain", "cow mooing", "bell ringing"])
    assert abs(sum(entry["score"] for entry in chosen["scores"]) - 1) < 1e-5
    assert ask(CLIPS[4], question="Who is speaking?")["answer"] == "i cannot tell"  # capitals do not matter


def test_the_default_answerer_hears_what_comes_first():
    ask = pipeline("audio-question-answering")
    rate = ask.processor.feature_extractor.sampling_rate
    cow, applause = (afm_hf.load_audio(CLIPS[i], rate)[: int(1.25 * rate)] for i in (4, 0))
    for order, first in (((cow, applause), "cow mooing"), ((applause, cow), "applause")):
        clip = {"array": np.concatenate(order), "sampling_rate": rate}
        assert ask(clip, question="which sound comes first?", choices=["applause", "cow mooing"])["answer"] == first


def test_the_default_explainer_tells_the_clips_apart_and_the_tiers():
    explain = pipeline("audio-difference")
    pair = (CLIPS[0], CLIPS[2])
    concise, detailed = (explain(pair, tier=tier)[0]["generated_text"] for tier in ("concise", "detailed"))
    assert len(detailed) > len(concise)
    backwards = explain(pair[::-1], tier="concise")[0]["generated_text"]
    assert "the second is birds singing" in concise and "the first is birds singing" in backwards
