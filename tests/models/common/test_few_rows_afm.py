"""Products of few rows are those of torch, of the weights as they are now, and stay out of the way of training."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaModel
from transformers.pytorch_utils import Conv1D

from afm_hf.models.common import few_rows_afm
from afm_hf.models.common.few_rows_afm import (
    MOST_ROWS,
    AfmVocabularyHead,
    FewRowsConv1D,
    FewRowsLinear,
    prepare_for_few_rows,
)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    made = nn.Sequential(Conv1D(40, 24))
    nn.init.normal_(made[0].bias)
    prepare_for_few_rows(made)
    assert type(made[0]) is FewRowsConv1D
    return made[0]


def plainly(layer, inputs):
    return F.linear(inputs, layer.weight.t(), layer.bias)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, MOST_ROWS, MOST_ROWS + 1])
@torch.no_grad()
def test_any_number_of_rows_is_multiplied_as_torch_does_it(layer, rows, monkeypatch):
    for least in (2, 4):  # what is taken depends on the processor
        monkeypatch.setattr(few_rows_afm, "LEAST_ROWS", least)
        inputs = torch.randn(rows, 1, 24)
        torch.testing.assert_close(layer(inputs), plainly(layer, inputs))
        torch.testing.assert_close(layer(inputs[:, 0]), plainly(layer, inputs[:, 0]))
        for bias in (True, False):
            dense = nn.Sequential(nn.Linear(24, 40, bias))
            prepare_for_few_rows(dense)
            assert type(dense[0]) is FewRowsLinear
            found = dense(inputs)
            torch.testing.assert_close(found, F.linear(inputs, dense[0].weight, dense[0].bias))
            assert found.is_contiguous()


def test_changed_weights_count_at_once(layer):
    inputs = torch.randn(5, 24)
    with torch.no_grad():
        for change in (lambda: layer.weight.mul_(2), lambda: layer.load_state_dict(Conv1D(40, 24).state_dict())):
            layer(inputs)
            change()
            torch.testing.assert_close(layer(inputs), plainly(layer, inputs))
        layer.weight = nn.Parameter(torch.randn(24, 40))
        torch.testing.assert_close(layer(inputs), plainly(layer, inputs))
    with torch.inference_mode():
        made_there = nn.Sequential(Conv1D(40, 24))
        prepare_for_few_rows(made_there)
        torch.testing.assert_close(made_there(inputs), plainly(made_there[0], inputs))


def test_layers_train_copy_pickle_and_change_format_as_before(layer):
    inputs = torch.randn(5, 24)
    assert layer(inputs).requires_grad
    with torch.no_grad():
        expected = layer(inputs)
        for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            torch.testing.assert_close(again(inputs), expected)
        half = copy.deepcopy(layer).to(torch.bfloat16)
        assert half(inputs.bfloat16()).dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(inputs).dtype == torch.bfloat16


def test_only_layers_of_torch_and_gpt2_are_prepared():
    class Own(nn.Linear):
        """Might do more."""

    whole = nn.Sequential(Own(4, 4), AfmVocabularyHead(4, 9, bias=False))
    prepare_for_few_rows(whole)
    assert [type(layer) for layer in whole] == [Own, AfmVocabularyHead]


@pytest.mark.parametrize("rows", [1, 2, 5])
@torch.no_grad()
def test_language_models_give_the_same_when_they_are_prepared(rows):
    torch.manual_seed(0)
    sizes = {"vocab_size": 61, "num_attention_heads": 2, "num_hidden_layers": 2, "hidden_size": 32}
    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=32, n_head=2, n_layer=2, vocab_size=61)).transformer
    for model in (gpt2, LlamaModel(LlamaConfig(**sizes, intermediate_size=48))):
        ids = torch.randint(0, 61, (rows, 3))
        expected = model.eval()(ids).last_hidden_state
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        prepare_for_few_rows(model)
        torch.testing.assert_close(model(ids).last_hidden_state, expected, atol=1e-5, rtol=1e-4)
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
