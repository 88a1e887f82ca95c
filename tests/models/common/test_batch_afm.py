"""Half precision: log-mels stay in fp32 up to the batch norm, and a model's dtype is that of its language model."""

import numpy as np
import pytest
import torch
from conformity_models import BATCH, every_generating_row, make_row
from pair_models import tiny_pair_model
from prefix_models import RATE, clips, tiny_processor
from transformers import pipeline

from afm_hf import AudioCaptioningPipeline, ClapAfmModel
from afm_hf.models.common.batch_afm import AfmBatchFeature


@pytest.fixture
def row(request):
    return make_row(request.param)


def test_a_batch_is_moved_but_its_log_mels_are_not_cast():
    log_mels = torch.randn(2, 1, 9, 4) * 20 - 60
    batch = AfmBatchFeature({"input_features": log_mels, "views": log_mels, "other": log_mels, "ids": torch.ones(2, 3)})
    moved = batch.to("cpu", torch.bfloat16)
    assert moved is batch and type(moved) is AfmBatchFeature
    assert torch.equal(batch["input_features"], log_mels) and torch.equal(batch["views"], log_mels)
    assert batch["other"].dtype == torch.bfloat16
    assert batch.to(dtype=torch.float16)["input_features"].dtype == torch.float32
    assert batch.to("meta")["input_features"].device.type == "meta"
    assert isinstance(AfmBatchFeature({"input_features": np.zeros(3)}).to("cpu")["input_features"], np.ndarray)


@pytest.mark.parametrize("kind", ["clap", "pengi", "mellow"])
def test_what_processors_make_is_brought_to_half_precision_without_loss(kind):
    makers = {"clap": lambda: make_row("clap").processor, "mellow": lambda: tiny_pair_model("mellow")[1]}
    processor = makers.get(kind, lambda: tiny_processor(kind))()
    made = processor(audio=clips(2), text="what is it", sampling_rate=RATE, return_tensors="pt")
    expected = made["input_features"].clone()
    assert torch.equal(made.to("cpu", torch.bfloat16)["input_features"], expected)


@every_generating_row()
@torch.no_grad()
def test_the_dtype_is_that_of_the_language_model(row, tmp_path):
    row.model.save_pretrained(tmp_path)
    half = type(row.model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == half.model.dtype == torch.bfloat16
    assert half.model.audio_tower.bn0.weight.dtype == torch.float32
    assert row.model.dtype == torch.float32 and row.model.to(torch.float64).dtype == torch.float64


@every_generating_row()
@torch.no_grad()
def test_pipelines_hear_in_half_precision_what_the_model_hears(row):
    """Their log-mels are those of fp32; in bf16 a step of a quiet band is half a decibel."""
    pipe = AudioCaptioningPipeline(model=row.model.to(torch.bfloat16), processor=row.processor, device="cpu")
    made = pipe.preprocess(clips(1)[0], sampling_rate=RATE)["inputs"]
    expected = row.processor(audio=[clips(1)[0]], text=row.prompts[:1] or None, sampling_rate=RATE)
    assert torch.equal(made["input_features"], expected["input_features"])
    assert len(row.model.generate(**made, max_new_tokens=2)) == 1


def test_transformers_own_pipeline_casts_no_log_mels(tmp_path):
    model, processor = tiny_pair_model("mellow")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    try:
        pipe = pipeline("any-to-any", model=str(tmp_path), dtype=torch.bfloat16)
    except ImportError as error:
        pytest.skip(f"this transformers cannot make the pipeline here: {error}")
    heard = []
    pipe.model.model.audio_tower.register_forward_pre_hook(lambda module, args: heard.append(args[0]))
    content = [{"type": "audio", "audio": clips(1)[0]}, {"type": "text", "text": "what is it"}]
    pipe([{"role": "user", "content": content}], generate_kwargs={"max_new_tokens": 2})
    assert pipe.dtype == torch.bfloat16 and heard[0].dtype == torch.float32


@pytest.mark.parametrize("name", ["clap", "clap_2022"])
def test_towers_that_read_texts_keep_nothing_in_fp32(name):
    model = make_row(name).model
    assert isinstance(model, ClapAfmModel)
    assert not model.text_model._keep_in_fp32_modules_strict
    assert model._keep_in_fp32_modules_strict == model.audio_model._keep_in_fp32_modules_strict == {"bn0"}


@every_generating_row()
def test_processors_name_what_they_return_and_nothing_else(row):
    for truncation in ["first"] if row.processor.clips_per_example == 2 else ["first", "windows"]:
        row.processor.feature_extractor.truncation = truncation
        made = row.processor(audio=row.audio, text=row.prompts or None, sampling_rate=RATE)
        assert sorted(row.processor.model_input_names) == sorted(made)
        assert ("input_features_mask" in made) == (truncation == "windows")
        assert len(made["input_ids"]) == BATCH
