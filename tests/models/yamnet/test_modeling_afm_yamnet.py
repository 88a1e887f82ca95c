"""YAMNet: patches, padding, class scores, saving; its front-end against TensorFlow's golden numbers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification

from afm_hf import (
    AfmYamnetConfig,
    AfmYamnetFeatureExtractor,
    AfmYamnetForAudioClassification,
    AfmYamnetModel,
)

# Made with TensorFlow from Google's SavedModel: waves at 16 kHz, log-mels, and each patch's embedding and scores.
GOLDEN = np.load(Path(__file__).parents[2] / "fixtures" / "yamnet" / "golden.npz")
NAMES = sorted({key.split("|")[0] for key in GOLDEN})


def tiny(cls=AfmYamnetModel, **kwargs):
    torch.manual_seed(0)
    config = AfmYamnetConfig(channels=[8, 12], strides=[1, 2], stem_channels=4, num_classes=5, **kwargs)
    return cls(config).eval()


def log_mel(batch=2, frames=240):
    return torch.randn(batch, 1, frames, 64, generator=torch.Generator().manual_seed(1))


def golden_patches(name):
    frames = GOLDEN[f"{name}|log_mel"]
    return np.stack([frames[start : start + 96] for start in range(0, len(frames) - 95, 48)])


@pytest.mark.parametrize("name", NAMES)
def test_log_mels_are_tensorflow_s(name):
    extractor = AfmYamnetFeatureExtractor()
    features = extractor(GOLDEN[f"{name}|wave"], sampling_rate=16000, return_tensors="np")["input_features"]
    wanted = golden_patches(name)
    assert features.shape == (1, len(wanted), 1, 96, 64)
    np.testing.assert_allclose(features[0, :, 0], wanted, atol=5e-3)


@pytest.mark.skipif("AFM_HF_YAMNET" not in os.environ, reason="AFM_HF_YAMNET names no converted YAMNet")
@pytest.mark.parametrize("name", NAMES)
def test_embeddings_and_scores_are_tensorflow_s(name):
    folder = os.environ["AFM_HF_YAMNET"]
    model, extractor = AutoModel.from_pretrained(folder).eval(), AutoFeatureExtractor.from_pretrained(folder)
    features = extractor(GOLDEN[f"{name}|wave"], sampling_rate=16000, return_tensors="pt")["input_features"]
    with torch.no_grad():
        outputs = model(features[0])
    embeddings, scores = GOLDEN[f"{name}|embeddings"], GOLDEN[f"{name}|scores"]
    np.testing.assert_allclose(outputs.last_hidden_state[:, 0], embeddings, atol=1e-3 * np.abs(embeddings).max())
    np.testing.assert_allclose(outputs.patch_scores[:, 0], scores, atol=1e-3)
    assert (outputs.patch_scores[:, 0].numpy().argmax(1) == scores.argmax(1)).all()


@torch.no_grad()
def test_patches_are_heard_one_by_one():
    model, features = tiny(), log_mel()
    outputs = model(features)
    assert outputs.last_hidden_state.shape == (2, 4, 12) and outputs.patch_scores.shape == (2, 4, 5)
    for patch in range(4):
        alone = model(features[:, :, 48 * patch : 48 * patch + 96])
        torch.testing.assert_close(alone.last_hidden_state[:, 0], outputs.last_hidden_state[:, patch])
        torch.testing.assert_close(alone.patch_scores[:, 0], outputs.patch_scores[:, patch])
    torch.testing.assert_close(outputs.pooler_output, outputs.last_hidden_state.mean(1))


@torch.no_grad()
def test_a_batch_gives_what_single_clips_give():
    model, features = tiny(), log_mel(3)
    together = model(features).pooler_output
    for row, clip in zip(together, features, strict=True):
        torch.testing.assert_close(model(clip[None]).pooler_output[0], row)


def same_padded(x, weight, stride):
    """TensorFlow's rule for SAME, written out: the output has ceil(size / stride) rows; more is padded behind."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 else 1)


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_convolutions_pad_as_tensorflow_s_same_does(stride):
    convolution = tiny().blocks[stride - 1].depthwise
    convolution.batch_norm = torch.nn.Identity()
    x = torch.rand(1, convolution.convolution.in_channels, 48, 32)
    convolution.convolution.weight.abs_()  # so that ReLU changes nothing
    torch.testing.assert_close(convolution(x), same_padded(x, convolution.convolution.weight, stride))


@torch.no_grad()
def test_the_classifier_averages_probabilities_over_real_windows():
    model = tiny(AfmYamnetForAudioClassification)
    windows = log_mel(6, 96).view(2, 3, 1, 96, 64)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    probabilities = model(windows, mask).logits.sigmoid()
    first = model.yamnet(windows[0]).patch_scores[:, 0].mean(0)
    torch.testing.assert_close(probabilities[0], first, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(probabilities[1], model.yamnet(windows[1, :1]).patch_scores[0, 0], atol=1e-5, rtol=1e-4)
    labels = torch.tensor([[1.0, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
    loss = model(windows, mask, labels=labels).loss
    torch.testing.assert_close(loss, F.binary_cross_entropy(probabilities, labels))


@torch.no_grad()
def test_saved_models_are_found_by_the_auto_classes(tmp_path):
    for cls, auto in ((AfmYamnetModel, AutoModel), (AfmYamnetForAudioClassification, AutoModelForAudioClassification)):
        model = tiny(cls)
        model.save_pretrained(tmp_path)
        AfmYamnetFeatureExtractor().save_pretrained(tmp_path)
        again = auto.from_pretrained(tmp_path).eval()
        assert type(again) is cls and AutoConfig.from_pretrained(tmp_path).hidden_size == 12
        torch.testing.assert_close(again(log_mel())[0], model(log_mel())[0])
        assert isinstance(AutoFeatureExtractor.from_pretrained(tmp_path), AfmYamnetFeatureExtractor)


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="patches of 96 frames, but was given only 95"):
        tiny()(log_mel(frames=95))
    with pytest.raises(ValueError, match="64"):
        tiny()(torch.zeros(1, 1, 96, 32))
    with pytest.raises(ValueError, match="2 and 3 entries"):
        AfmYamnetConfig(channels=[8, 8], strides=[1, 1, 1])
    with pytest.raises(ValueError, match="use_class_head"):
        tiny(AfmYamnetForAudioClassification, use_class_head=False)
    assert tiny(use_class_head=False)(log_mel()).patch_scores is None


def test_every_weight_learns():
    model = tiny(AfmYamnetForAudioClassification).train()
    model(log_mel(), labels=torch.zeros(2, 5)).loss.backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None]


def test_the_end_of_a_long_clip_is_filled_with_silence_to_a_whole_window():
    extractor = AfmYamnetFeatureExtractor()
    long, short = (np.random.default_rng(0).normal(size=size).astype(np.float32) / 10 for size in (32000, 8000))
    batch = extractor([long, short], sampling_rate=16000, return_tensors="np")
    assert batch["input_features"].shape == (2, 4, 1, 96, 64)
    assert batch["input_features_mask"].astype(bool).sum(1).tolist() == [4, 1]
    assert batch["input_features"][0, 3, 0, -1].max() < np.log(0.0011)  # the end is silence
