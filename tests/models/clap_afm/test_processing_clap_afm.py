"""Processor: each argument reaches its side, and what it makes feeds the model."""

import json

import numpy as np
import pytest
import torch
from tiny_models import CLIP_S, RATE, clap_2022_config, clap_parts, tiny_clap, tone
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer
from transformers.pipelines.zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

from afm_hf import ClapAfmConfig, ClapAfmFeatureExtractor, ClapAfmModel, ClapAfmProcessor

TEXTS = ["a dog", "rain falls on the roof of a car"]


@pytest.fixture(scope="module")
def processor():
    _, tokenizer, extractor = clap_parts()
    return ClapAfmProcessor(extractor, tokenizer)


def audio(count=2, seconds=CLIP_S):
    return {"audio": [tone(300 * (index + 1), seconds) for index in range(count)], "sampling_rate": RATE}


def features(processor, **kwargs):
    return processor(**{**audio(1, 2 * CLIP_S), **kwargs}, return_tensors="pt")["input_features"]


def test_both_sides_are_those_of_the_parts(processor):
    batch = processor(text=TEXTS, **audio(), padding=True, return_tensors="pt")
    want = processor.tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], want["input_ids"])
    assert torch.equal(batch["attention_mask"], want["attention_mask"])
    given = audio()
    alone = processor.feature_extractor(given["audio"], sampling_rate=RATE, return_tensors="pt")
    torch.testing.assert_close(batch["input_features"], alone["input_features"], atol=1e-5, rtol=1e-4)
    assert set(batch) == {"input_ids", "attention_mask", "input_features"} <= set(processor.model_input_names)


def test_one_side_alone(processor):
    assert set(processor(text=TEXTS, padding=True)) == {"input_ids", "attention_mask"}
    assert set(processor(**audio())) == {"input_features"}
    with pytest.raises(ValueError, match="at least one input"):
        processor()


@pytest.mark.parametrize("padding", [True, "max_length"])
def test_what_is_meant_for_the_tokenizer_does_not_disturb_audio(processor, padding):
    batch = processor(
        text=TEXTS,
        **audio(),
        padding=padding,
        truncation=True,
        max_length=16,
        pad_to_multiple_of=8,
        return_tensors="pt",
    )
    assert batch["input_ids"].shape == (2, 16)
    torch.testing.assert_close(
        batch["input_features"], processor(**audio(), return_tensors="pt")["input_features"], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"max_length_s": 0.25},
        {"channels": "first"},
        {"padding": "zero"},
        {"truncation": "center"},
        {"truncation": "windows"},
        {"resampler": "torchaudio", "sampling_rate": 11025},
    ],
    ids=str,
)
def test_audio_settings_reach_the_feature_extractor(processor, settings):
    clips = [np.stack([tone(300, 0.3), tone(900, 0.3)]), np.stack([tone(500, 1.3), tone(700, 1.3)])]
    given = {"sampling_rate": RATE, **settings}
    want = processor.feature_extractor(clips, return_tensors="pt", **given)
    rate = given.pop("sampling_rate")
    flat = processor(
        text=TEXTS, audio=clips, sampling_rate=rate, text_kwargs={"padding": True}, return_tensors="pt", **given
    )
    nested = processor(audio=clips, sampling_rate=rate, audio_kwargs=given, return_tensors="pt")
    for name in want:
        for got in (flat, nested):
            torch.testing.assert_close(got[name], want[name], atol=1e-4, rtol=1e-4)
    plain = processor.feature_extractor(clips, return_tensors="pt", sampling_rate=RATE)["input_features"]
    assert plain.shape != want["input_features"].shape or not torch.equal(plain, want["input_features"])


def test_a_generator_makes_crops_that_can_be_repeated_and_moves_on(processor):
    def crops(generator):
        return [features(processor, truncation="random", generator=generator) for _ in range(2)]

    first, second = crops(torch.Generator().manual_seed(0))
    again, _ = crops(torch.Generator().manual_seed(0))
    torch.testing.assert_close(first, again, atol=1e-4, rtol=1e-4)
    assert (first - second).abs().max() > 0.1
    generator = torch.Generator().manual_seed(0)
    nested = features(processor, audio_kwargs={"truncation": "random", "generator": generator})
    torch.testing.assert_close(nested, first, atol=1e-5, rtol=1e-4)


def test_a_device_can_be_chosen(processor):
    assert features(processor, device="cpu").device.type == "cpu"
    assert processor(**audio(), device="meta", return_tensors="pt")["input_features"].is_meta


def test_a_setting_given_twice_is_refused(processor):
    with pytest.raises(ValueError, match="channels"):
        processor(**audio(), channels="first", audio_kwargs={"channels": "mean"})


def test_paths_go_through_our_own_loader(processor, tmp_path):
    with pytest.raises(ValueError, match=r"missing\.wav"):
        processor(audio=str(tmp_path / "missing.wav"))


def test_files_round_trip(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    assert "feature_extractor" in json.loads((tmp_path / "processor_config.json").read_text())
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is ClapAfmProcessor and type(again.feature_extractor) is ClapAfmFeatureExtractor
    assert again.feature_extractor.to_dict() == processor.feature_extractor.to_dict()
    for name, value in again(text=TEXTS, **audio(), padding=True, return_tensors="pt").items():
        torch.testing.assert_close(
            value, processor(text=TEXTS, **audio(), padding=True, return_tensors="pt")[name], atol=1e-5, rtol=1e-4
        )


def test_auto_classes_find_the_parts_of_a_checkpoint(tmp_path):
    folder = tiny_clap(tmp_path)
    assert type(AutoProcessor.from_pretrained(folder)) is ClapAfmProcessor
    assert type(AutoFeatureExtractor.from_pretrained(folder)) is ClapAfmFeatureExtractor
    assert len(AutoTokenizer.from_pretrained(folder)) == 257


def test_decoding_is_that_of_the_tokenizer(processor):
    ids = processor(text=TEXTS)["input_ids"]
    assert processor.batch_decode(ids) == TEXTS and processor.decode(ids[0]) == TEXTS[0]


@pytest.mark.parametrize("settings", [{}, {"truncation": "windows"}], ids=str)
def test_the_output_feeds_the_model(processor, settings):
    model = clap_parts()[0]
    given = audio(3, 1.2)
    output = model(**processor(text=TEXTS, **given, padding=True, return_tensors="pt", **settings))
    assert output.logits_per_audio.shape == (3, 2) and torch.isfinite(output.logits_per_audio).all()


@pytest.mark.parametrize("config", [None, clap_2022_config], ids=["HTSAT and GPT-2", "Cnn14 and BERT"])
def test_the_stock_zero_shot_pipeline_works(config, processor):
    torch.manual_seed(0)
    model: ClapAfmModel = clap_parts()[0] if config is None else ClapAfmModel(config()).eval()
    assert isinstance(model.config, ClapAfmConfig)
    pipe = ZeroShotAudioClassificationPipeline(
        model=model, tokenizer=processor.tokenizer, feature_extractor=processor.feature_extractor, device="cpu"
    )
    clip = tone(440)
    result = pipe(clip, candidate_labels=TEXTS, hypothesis_template="{}")
    with torch.no_grad():
        inputs = processor(text=TEXTS, audio=clip, sampling_rate=RATE, padding=True, return_tensors="pt")
        want = model(**inputs).logits_per_audio[0].softmax(-1)
    assert {entry["label"]: entry["score"] for entry in result} == pytest.approx(
        dict(zip(TEXTS, want.tolist(), strict=True)), abs=1e-5
    )
