"""A causal text tower (GPT-2) on what comes behind a beginning whose keys and values are known."""

from typing import Any

import torch
from transformers import DynamicCache

from ..common.cache_names_afm import CACHE

CAUSAL_TOWERS = ("gpt2",)
States = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of every layer


def is_causal(model: Any) -> bool:
    """Whether a model is a CLAP of this package in which no token of a text sees those behind it."""
    config = getattr(getattr(model, "config", None), "text_config", None)
    tower = getattr(getattr(config, "encoder_config", None), "model_type", None)
    return tower in CAUSAL_TOWERS and str(getattr(config, "pooling", "")).startswith("last")


def run_causal(
    model: Any, embeds: torch.Tensor, mask: torch.Tensor, place: torch.Tensor, past: States
) -> tuple[torch.Tensor, States]:
    """
    States `(rows, tokens, hidden)` of tokens, and keys and values of these and all before them.

    Args:
        model ([`ClapAfmModel`]): With a causal text tower.
        embeds (`torch.Tensor` of shape `(rows, tokens, hidden)`): Word embeddings of the tokens.
        mask (`torch.Tensor` of shape `(rows, past + tokens)`): 1 for tokens, 0 for padding.
        place (`torch.Tensor` of shape `(tokens,)` or `(rows, tokens)`): The tokens' places in their texts.
        past: Keys and values of what comes before; empty where nothing does.
    """
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(past):
        cache.update(keys, values, layer)
    place = place.expand(len(embeds), -1) if place.ndim == 2 else place[None].expand(len(embeds), -1)
    # Places of padding lie behind the real ones; they must only exist.
    outputs = model.text_model.encoder(
        inputs_embeds=embeds,
        attention_mask=mask,
        position_ids=place.clamp(max=model.config.text_config.encoder_config.max_position_embeddings - 1),
        use_cache=True,
        **{CACHE: cache},
    )
    return outputs.last_hidden_state, [(layer.keys, layer.values) for layer in cache.layers]


__all__ = ["States", "is_causal", "run_causal"]
