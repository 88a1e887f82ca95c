"""Packed linear layers are the plain ones, and never those of weights that have changed."""

import copy
import pickle

import pytest
import torch
from tiny_models import htsat_config, perturb
from torch import nn
from torch.nn import functional as F

from afm_hf import AfmHtsatModel
from afm_hf.models.common.fused_linear_afm import linear, pack_linear_layers


@pytest.fixture
def layer():
    torch.manual_seed(0)
    made = nn.Linear(24, 40)
    pack_linear_layers(made)
    return made


INPUTS = torch.randn(3, 7, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("gelu", [False, True])
def test_packed_layers_give_what_plain_ones_give(layer, gelu):
    plain = F.linear(INPUTS, layer.weight, layer.bias)
    with torch.no_grad():
        found = linear(layer, INPUTS, gelu)
    torch.testing.assert_close(found, F.gelu(plain) if gelu else plain)
    torch.testing.assert_close(linear(layer, INPUTS, gelu), found)  # with gradients: not packed


def test_changed_weights_count_at_once(layer):
    with torch.no_grad():
        linear(layer, INPUTS)
        layer.weight.mul_(2)
        torch.testing.assert_close(linear(layer, INPUTS), layer(INPUTS))
        layer.weight = nn.Parameter(torch.ones(40, 24))
        torch.testing.assert_close(linear(layer, INPUTS), layer(INPUTS))
        layer.load_state_dict({name: -value for name, value in layer.state_dict().items()})
        torch.testing.assert_close(linear(layer, INPUTS), layer(INPUTS))


@torch.no_grad()
def test_hooks_and_copies_work_as_before(layer):
    before = linear(layer, INPUTS)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(linear(copied, INPUTS), before)
    layer.register_forward_hook(lambda module, inputs, output: output + 1)
    torch.testing.assert_close(linear(layer, INPUTS), before + 1)


def test_htsat_without_gradients_gives_what_it_gives_with_them():
    """Shifted windows, patches and linear layers go other ways there."""
    model = perturb(AfmHtsatModel(htsat_config())).eval()
    features = torch.randn(3, 1, 200, 16)
    plain = model(features).last_hidden_state
    pack_linear_layers(model)
    with torch.no_grad():
        torch.testing.assert_close(model(features).last_hidden_state, plain, atol=2e-5, rtol=1e-4)
