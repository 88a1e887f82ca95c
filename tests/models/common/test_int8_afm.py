"""Audio encoders in eight bits stay close to fp32, hear each clip by itself, and refuse what they cannot do."""

import copy

import pytest
import torch
from tiny_models import clap_2022_config, clap_parts, perturb, tiny_clap
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel

from afm_hf import ClapAfmModel
from afm_hf.models.common import int8_afm
from afm_hf.models.common.fused_linear_afm import linear
from afm_hf.models.common.int8_afm import Int8Conv2d, Int8Linear, has_vnni, is_int8, quantize_audio_encoder, rounded

needs_vnni = pytest.mark.skipif(not has_vnni(), reason="this processor has no VNNI instructions")


def relative_error(found, exact):
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_rounded_numbers_are_within_half_a_step(shift):
    values = torch.randn(50, 40) + shift
    numbers, step, zero = rounded(values)
    assert numbers.dtype == torch.uint8 and 0 <= zero <= 255
    assert ((numbers.float() - zero) * step - values).abs().max() <= 0.51 * step


def test_zeros_stay_zeros_and_what_is_no_number_is_refused():
    numbers, step, zero = rounded(torch.zeros(3, 4))
    assert ((numbers.float() - zero) * step == 0).all()
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="infinite or no number"):
            rounded(torch.tensor([1.0, wrong]))


@needs_vnni
@torch.no_grad()
def test_layers_in_eight_bits_give_nearly_the_same():
    torch.manual_seed(0)
    dense, inputs = nn.Linear(48, 32), torch.randn(2, 9, 48)
    assert relative_error(Int8Linear(dense).eval()(inputs), dense(inputs)) < 0.02
    assert relative_error(linear(Int8Linear(dense).eval(), inputs, gelu=True), F.gelu(dense(inputs))) < 0.03
    for kernel, stride, padding in ((3, 1, 1), (1, 1, 0), (3, 2, 0)):
        convolution = nn.Conv2d(16, 24, kernel, stride, padding, bias=kernel == 1)
        layer = Int8Conv2d(convolution).eval()
        for scale in (1.0, 5.0):  # the step and zero of the first inputs are not those of the next
            image = torch.randn(2, 16, 11, 13) * scale + scale
            assert relative_error(layer(image), convolution(image)) < 0.02


@needs_vnni
@pytest.mark.parametrize("make", [lambda: clap_parts()[0], lambda: ClapAfmModel(clap_2022_config())])
@torch.no_grad()
def test_a_clap_in_eight_bits_hears_nearly_the_same_and_each_clip_by_itself(make):
    model = perturb(make()).eval()
    small = quantize_audio_encoder(copy.deepcopy(model))
    assert is_int8(small) and not is_int8(model)
    mels = model.config.audio_config.encoder_config.num_mel_bins
    features = torch.randn(3, 1, 64, mels) * 10 - 30
    exact, found = (each.get_audio_features(features).pooler_output for each in (model, small))
    assert F.cosine_similarity(exact, found).min() > 0.98
    loud = torch.cat([features[:1], features[1:] * 5])
    assert torch.equal(small.get_audio_features(loud).pooler_output[0], found[0])


@needs_vnni
def test_eight_bits_are_asked_for_by_name_and_neither_saved_nor_trained(tmp_path):
    folder = tiny_clap(tmp_path / "model")
    for dtype in ("int8", torch.int8):
        model = AutoModel.from_pretrained(folder, dtype=dtype)
        assert is_int8(model) and model.dtype == torch.float32
    with pytest.raises(ValueError, match="cannot be saved"):
        model.save_pretrained(tmp_path / "again")
    model.to(torch.bfloat16)
    steps = [module.step for module in model.modules() if isinstance(module, Int8Linear)]
    assert steps and all(step.dtype == torch.float32 for step in steps)
    with pytest.raises(ValueError, match="cannot be trained"):
        model.float().train().get_audio_features(torch.zeros(1, 1, 64, 16))


def test_what_cannot_be_in_eight_bits_says_so(monkeypatch):
    monkeypatch.setattr(int8_afm, "has_vnni", lambda: True)
    with pytest.raises(ValueError, match="is for the audio encoder of a CLAP of this package; a Linear has none"):
        quantize_audio_encoder(nn.Linear(2, 2))
    model = clap_parts()[0]
    model.audio_model.encoder = nn.Identity()
    with pytest.raises(ValueError, match="no linear layer and no dense convolution"):
        quantize_audio_encoder(model)
    monkeypatch.setattr(int8_afm, "has_vnni", lambda: False)
    with pytest.raises(ValueError, match="VNNI"):
        quantize_audio_encoder(clap_parts()[0])
