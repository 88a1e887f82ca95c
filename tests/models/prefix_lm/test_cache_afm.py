"""The cache with room behind its last token: at every moment it holds what transformers' own holds."""

import copy

import pytest
import torch
from transformers import DynamicCache

from afm_hf.models.prefix_lm.cache_afm import ROOM, AfmGrowingLayer, give_room

LAYERS, HEADS, WIDTH = 2, 2, 4


def states(rows, tokens):
    return torch.randn(rows, HEADS, tokens, WIDTH), torch.randn(rows, HEADS, tokens, WIDTH)


def caches(examples=2, repeats=3, tokens=5):
    """Ours and the stock one after the same prompt."""
    ours, stock = DynamicCache(), DynamicCache()
    for layer in range(LAYERS):
        keys, values = states(examples, tokens)
        ours.update(keys, values, layer)
        stock.update(keys, values, layer)
    give_room(ours, repeats)
    stock.batch_repeat_interleave(repeats)
    assert all(type(layer) is AfmGrowingLayer for layer in ours.layers)
    return ours, stock


def grow(*both, tokens=1):
    for layer in range(LAYERS):
        new = states(len(both[0].layers[0].keys), tokens)
        returned = [cache.update(*new, layer) for cache in both]
        assert all(torch.equal(*pair) for pair in zip(*returned, strict=True))


def equal(ours, stock):
    assert ours.get_seq_length() == stock.get_seq_length()
    for mine, theirs in zip(ours.layers, stock.layers, strict=True):
        assert torch.equal(mine.keys, theirs.keys) and torch.equal(mine.values, theirs.values)


OPERATIONS = {
    "beams change": lambda cache: cache.reorder_cache(torch.tensor([1, 1, 0, 5, 3, 5])),
    "beams are copied": lambda cache: cache.reorder_cache(torch.tensor([0, 0, 2, 5, 5, 5])),
    "beams change back": lambda cache: cache.reorder_cache(torch.tensor([2, 0, 1, 3, 4, 5])),
    "examples mix": lambda cache: cache.reorder_cache(torch.tensor([3, 1, 0, 2, 4, 5])),
    "drafts are refused": lambda cache: cache.crop(-2),
    "the prompt is cut": lambda cache: cache.crop(-(cache.get_seq_length() - 2)),
    "rows go": lambda cache: cache.batch_select_indices(torch.tensor([5, 0, 1, 2, 3, 4])),
    "many tokens come": lambda cache: None,
}


@pytest.mark.parametrize("seed", range(8))
@torch.no_grad()
def test_it_holds_what_the_stock_cache_holds(seed):
    """Any sequence of what decoding does to a cache."""
    generator = torch.Generator().manual_seed(seed)
    ours, stock = caches()
    for _ in range(25):
        name = list(OPERATIONS)[int(torch.randint(len(OPERATIONS), (), generator=generator))]
        for cache in (ours, stock):
            OPERATIONS[name](cache)
        equal(ours, stock)
        grow(ours, stock, tokens=ROOM // 2 if name == "many tokens come" else 3)
        equal(ours, stock)


@torch.no_grad()
def test_tokens_are_appended_without_copying_the_others():
    ours, stock = caches()
    grow(ours, stock)
    places = [layer.keys.data_ptr() for layer in ours.layers]
    for _ in range(ROOM - 1):
        grow(ours, stock)
        ours.reorder_cache(torch.tensor([1, 0, 0, 3, 5, 5]))
        stock.reorder_cache(torch.tensor([1, 0, 0, 3, 5, 5]))
    assert places == [layer.keys.data_ptr() for layer in ours.layers]
    equal(ours, stock)


@torch.no_grad()
def test_a_copy_goes_its_own_way():
    ours, stock = caches()
    grow(ours, stock)
    other, expected = copy.deepcopy(ours), copy.deepcopy(stock)
    grow(other, expected)
    grow(ours, stock)
    equal(ours, stock)
    equal(other, expected)


def test_what_inference_mode_made_may_be_used_outside():
    with torch.inference_mode():
        ours, stock = caches()
        grow(ours, stock)
    with torch.no_grad():
        for cache in (ours, stock):
            cache.reorder_cache(torch.tensor([1, 0, 0, 3, 5, 5]))
        grow(ours, stock)
        equal(ours, stock)


def test_gradients_flow_through_it():
    ours, _ = caches()
    keys, values = (state.requires_grad_() for state in states(6, 1))
    for _ in range(2):
        returned, _ = ours.update(keys, values, 0)
    returned.sum().backward()
    assert torch.equal(keys.grad, torch.full_like(keys, 2.0))
