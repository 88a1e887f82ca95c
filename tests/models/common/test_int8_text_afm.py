"""Linear layers of language models in eight bits: activations keep thirteen, rows do not depend on each other."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from afm_hf.models.common import int8_text_afm
from afm_hf.models.common.int8_afm import has_vnni, is_int8
from afm_hf.models.common.int8_text_afm import (
    Int8Joint,
    Int8TextLinear,
    has_fbgemm,
    has_int8_kernels,
    quantize_text_side,
)

WAYS = {"fbgemm": has_fbgemm, "onednn": has_vnni, "both": lambda: has_fbgemm() and has_vnni()}
pytestmark = pytest.mark.skipif(not has_int8_kernels(), reason="torch has no kernels for this processor")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Each of the libraries that multiply, and one for few rows and one for many where there are both."""
    if not WAYS[request.param]():
        pytest.skip(f"no {request.param} on this machine")
    monkeypatch.setattr(int8_text_afm, "has_fbgemm", lambda: request.param != "onednn")
    monkeypatch.setattr(int8_text_afm, "many_rows", lambda: 20 if request.param == "both" else 10**9)
    return request.param


def rows_of_all_sizes(features):
    """`(4, 3, features)`: loud and quiet rows, one of zeros, one with a number far above the others."""
    torch.manual_seed(0)
    inputs = torch.randn(4, 3, features) * torch.logspace(-3, 3, 12).view(4, 3, 1)
    inputs[0, 0] = 0.0
    inputs[2, 1, 5] *= 100
    return inputs


def error_by_row(found, exact):
    return ((found - exact).norm(dim=-1) / exact.norm(dim=-1).clamp(min=1e-20)).max().item()


@pytest.mark.parametrize(("features", "outputs", "bias"), [(48, 32, True), (130, 77, False), (768, 96, True)])
@torch.no_grad()
def test_what_is_lost_is_the_rounding_of_weights(way, features, outputs, bias):
    dense, inputs = nn.Linear(features, outputs, bias), rows_of_all_sizes(features)
    layer = Int8TextLinear(dense.weight, dense.bias).eval()
    rounded = layer.weight.float() * layer.step[:, None]
    assert (rounded - dense.weight).abs().max() <= 0.51 * layer.step.max()
    products = layer(inputs) - (dense.bias if bias else 0)
    assert error_by_row(products, F.linear(inputs, rounded)) < 2e-3
    assert error_by_row(products, F.linear(inputs, dense.weight)) < 0.02


@torch.no_grad()
def test_largest_products_of_all_signs_do_not_overflow(way):
    """Two products of seven and eight bits are added in sixteen where a processor has no VNNI."""
    for sign in (1.0, -1.0):
        layer = Int8TextLinear(torch.full((16, 64), sign), None).eval()
        for inputs in (torch.ones(1, 64), -torch.ones(1, 64)):
            torch.testing.assert_close(layer(inputs), F.linear(inputs, torch.full((16, 64), sign)))


@torch.no_grad()
def test_a_row_does_not_depend_on_the_others(way):
    layer, inputs = Int8TextLinear(torch.randn(24, 48), torch.randn(24)).eval(), rows_of_all_sizes(48)
    together = layer(inputs)
    assert torch.equal(layer(inputs[2:3]), together[2:3])
    assert torch.equal(together[0, 0], layer.bias)  # of a row of zeros
    inputs[0, 1, 7], inputs[0, 2, 7] = float("nan"), float("inf")
    spoilt = layer(inputs)
    assert not spoilt[0, 1:].isfinite().any()
    assert torch.equal(spoilt[1:], together[1:])


@torch.no_grad()
def test_layers_copy_pickle_and_take_half_precision(way):
    layer, inputs = Int8TextLinear(torch.randn(24, 48), torch.randn(24)).eval(), torch.randn(2, 48)
    expected = layer(inputs)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(inputs), expected)
    half = layer.to(torch.bfloat16)(inputs.bfloat16())
    assert half.dtype == torch.bfloat16 and layer.step.dtype == torch.float32
    torch.testing.assert_close(half.float(), expected, atol=0.3, rtol=0.05)


@torch.no_grad()
def test_layers_that_read_the_same_are_multiplied_once(monkeypatch):
    layers = [nn.Linear(48, 8), nn.Linear(48, 16, bias=False), nn.Linear(48, 8)]
    joint, calls = Int8Joint(layers).eval(), []
    multiply = Int8TextLinear._multiply
    monkeypatch.setattr(Int8TextLinear, "_multiply", lambda self, x: (calls.append(len(x)), multiply(self, x))[1])
    inputs = torch.randn(1, 3, 48)
    for _ in range(2):
        for index, layer in enumerate(layers):
            torch.testing.assert_close(joint(inputs, index), layer(inputs), atol=0.05, rtol=0.05)
    assert calls == [6, 6]
    assert joint._kept is None  # nothing is held when all have asked
    other = torch.randn(1, 3, 48)
    joint(inputs, 0)
    torch.testing.assert_close(joint(other, 1), layers[1](other), atol=0.05, rtol=0.05)
    assert torch.equal(copy.deepcopy(joint)(other, 2), joint(other, 2))


def language_models():
    torch.manual_seed(0)
    gpt2 = GPT2Config(vocab_size=61, n_positions=32, n_embd=32, n_layer=2, n_head=2)
    llama = LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    return [GPT2LMHeadModel(gpt2).eval(), LlamaForCausalLM(llama).eval()]


@pytest.mark.parametrize("index", [0, 1])
@torch.no_grad()
def test_all_linear_layers_of_a_language_model_are_in_eight_bits_and_its_table_is_not(way, index):
    model = language_models()[index]
    small, ids = copy.deepcopy(model), torch.randint(0, 61, (2, 9))
    quantize_text_side(small)
    assert not [module for module in small.modules() if isinstance(module, nn.Linear | Conv1D)]
    assert torch.equal(small.get_input_embeddings().weight, model.get_input_embeddings().weight)
    exact, found = model(ids).logits, small(ids).logits
    assert torch.cosine_similarity(exact.flatten(), found.flatten(), dim=0) > 0.999
    made = small.generate(ids[:1, :3], max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert made.shape == (1, 7)


def test_what_eight_bits_cannot_do_they_say(monkeypatch):
    layer = Int8TextLinear(torch.randn(8, 16), None).eval()
    with pytest.raises(ValueError, match="cannot be trained"):
        layer.train()(torch.randn(1, 16))
    with pytest.raises(ValueError, match="No gradients go through"):
        layer.eval()(torch.randn(1, 16, requires_grad=True))
    with pytest.raises(ValueError, match="is for CPUs, but the model is on meta"):
        layer.to("meta")
    with pytest.raises(ValueError, match="LayerNorm has no linear layers"):
        quantize_text_side(nn.LayerNorm(4))
    with pytest.raises(ValueError, match="is for CPUs, but the model is on meta"):
        quantize_text_side(nn.Sequential(nn.Linear(2, 2, device="meta")))
    whole = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4)))
    quantize_text_side(whole, but=(whole[1],))
    assert is_int8(whole) and not is_int8(whole[1])
    for name in ("has_fbgemm", "has_vnni"):
        monkeypatch.setattr(int8_text_afm, name, lambda: False)
    with pytest.raises(ValueError, match="needs a processor of the x86 family with AVX2"):
        quantize_text_side(nn.Sequential(nn.Linear(2, 2)))
