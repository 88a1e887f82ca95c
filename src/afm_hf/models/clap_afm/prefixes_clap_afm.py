"""A causal text tower (GPT-2) on texts that begin alike: the beginning is run once, its keys and values serve all."""

import itertools
from typing import Any

import torch
from transformers import DynamicCache

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
        past_key_values=cache,
        use_cache=True,
    )
    return outputs.last_hidden_state, [(layer.keys, layer.values) for layer in cache.layers]


class SharedPrefix:
    """
    The beginning that all of some texts have in common, run once.

    Args:
        model ([`ClapAfmModel`]): With a causal text tower.
        ids (`list[int]`): The tokens of the beginning.
    """

    def __init__(self, model: Any, ids: list[int]) -> None:
        self.model, self.length = model, len(ids)
        tokens = torch.tensor([ids], device=model.device)
        words, places = model.get_input_embeddings()(tokens), torch.arange(self.length, device=model.device)
        _, self.past = run_causal(model, words, torch.ones_like(tokens), places, [])

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Embeddings of whole texts that have this beginning, `(texts, dim)`, not normalised.

        Args:
            ids, mask (`torch.Tensor` of shape `(texts, tokens)`): Padded on the right, on the model's device.
        """
        rows = len(ids)
        past = [(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in self.past]
        words = self.model.get_input_embeddings()(ids[:, self.length :])
        places = torch.arange(self.length, ids.shape[1], device=ids.device)
        states, _ = run_causal(self.model, words, mask, places, past)
        last = last_places(self.model, ids, mask) - self.length
        return self.model.text_projection(states[torch.arange(rows, device=ids.device), last])


def last_places(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The place of the token at which each text is pooled, `(texts,)`, as the text model's `pooling` says."""
    if model.config.text_config.pooling == "last_nonzero_token":
        return (ids.ne(0).sum(dim=-1) - 1) % ids.shape[-1]
    return (mask.ne(0) * torch.arange(mask.shape[-1], device=mask.device)).argmax(dim=-1)


def common_beginning(model: Any, rows: list[list[int]]) -> list[int]:
    """
    The tokens with which all texts begin, if their tower can make use of it and at least one is left of each.

    Args:
        model: Any CLAP.
        rows (`list[list[int]]`): The tokens of the texts, without padding.
    """
    if len(rows) < 2 or not is_causal(model) or not _is_plain(model):
        return []
    columns = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*rows, strict=False))
    beginning = [tokens[0] for tokens in columns][: min(map(len, rows)) - 1]
    if model.config.text_config.pooling == "last_nonzero_token":  # which may lie in the beginning, if 0 is a word
        return [] if any(0 in row for row in rows) else beginning
    return beginning


def _is_plain(model: Any) -> bool:
    """
    Whether the way of texts through the model is its own: nobody looks on, no adapter adds tokens of its own. In
    float32 only: with fewer bits the two ways would differ by more than anyone expects.
    """
    text = getattr(model, "text_model", None)
    if "get_text_features" in vars(model) or model.dtype != torch.float32:
        return False
    hooked = text is not None and bool(text._forward_hooks or text._forward_pre_hooks or "forward" in vars(text))
    return hasattr(model, "text_projection") and not hooked and not getattr(model, "prompt_encoder", None)


__all__ = ["SharedPrefix", "States", "common_beginning", "is_causal", "run_causal"]
