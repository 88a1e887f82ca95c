"""aiSFX's encoder: blocks, pooling, front-end, saving."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoFeatureExtractor, AutoModel

from afm_hf import AfmEffectsCnnConfig, AfmEffectsCnnFeatureExtractor, AfmEffectsCnnModel


def tiny(**kwargs):
    torch.manual_seed(0)
    return AfmEffectsCnnModel(AfmEffectsCnnConfig(channels=[4, 8, 6], **kwargs)).eval()


def log_mel(batch=2, frames=150):
    return torch.rand(batch, 1, frames, 96, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_blocks_are_heard_one_by_one_and_averaged():
    model, features = tiny(), log_mel()
    outputs = model(features)
    assert outputs.last_hidden_state.shape == (2, 2, 6)
    for block in range(2):
        alone = model(features[:, :, 50 * block : 50 * block + 100]).pooler_output
        torch.testing.assert_close(alone, outputs.last_hidden_state[:, block])
    torch.testing.assert_close(outputs.pooler_output, outputs.last_hidden_state.mean(1))


@torch.no_grad()
def test_an_embedding_is_the_maximum_over_time_of_the_mean_over_frequency():
    model, x = tiny(), log_mel(1, 100)
    for index, block in enumerate(model.blocks):
        x = F.relu(block.bn1(F.conv2d(x if index else log_mel(1, 100), block.conv1.weight, padding=1)))
        x = F.relu(block.bn2(F.conv2d(x, block.conv2.weight, padding=1)))
        if index < 2:
            x = F.max_pool2d(x, 2)
    torch.testing.assert_close(model(log_mel(1, 100)).pooler_output, x.mean(3).max(2).values)


def test_the_front_end_is_the_authors_formula():
    extractor = AfmEffectsCnnFeatureExtractor()
    wave = np.random.default_rng(0).normal(size=3 * 44100).astype(np.float32) / 20
    features = extractor([wave], sampling_rate=44100, return_tensors="np")["input_features"]
    assert features.shape == (1, 1, 100, 96)
    bank = extractor.mel_bank().numpy()
    np.testing.assert_allclose(bank.sum(0), 1, atol=1e-5)
    used = wave[: extractor.clip_samples(extractor.max_length_s)]
    frame = (used / np.abs(used).max())[5 * 1024 : 5 * 1024 + 2048] * (
        0.5 - 0.5 * np.cos(np.arange(2048) / 1024 * np.pi)
    )
    mel = np.abs(np.fft.rfft(frame)) ** 2 @ bank
    np.testing.assert_allclose(features[0, 0, 5], np.log10(1e4 * mel + 1) / 9.457798957824707, atol=1e-4)


def test_loudness_does_not_matter():
    extractor = AfmEffectsCnnFeatureExtractor()
    wave = np.random.default_rng(0).normal(size=44100).astype(np.float32) / 20
    loud, quiet = extractor([wave, wave / 8], sampling_rate=44100, return_tensors="np")["input_features"]
    np.testing.assert_allclose(loud, quiet, atol=1e-5)


@torch.no_grad()
def test_saved_models_are_found_by_the_auto_classes(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    AfmEffectsCnnFeatureExtractor().save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert type(again) is AfmEffectsCnnModel
    torch.testing.assert_close(again(log_mel()).pooler_output, model(log_mel()).pooler_output)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).to_dict() == AfmEffectsCnnFeatureExtractor().to_dict()


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="blocks of 100 frames, but was given only 99"):
        tiny()(log_mel(frames=99))
    with pytest.raises(ValueError, match="3 blocks pool 4 frames"):
        tiny(block_frames=3)
