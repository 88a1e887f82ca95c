"""Texts to tokens for a text tower, and what to do with those that are longer than it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.utils import logging

from ..common.text_side_afm import text_side_modules

logger = logging.get_logger(__name__)

UNLIMITED = 10**9  # a tokenizer that knows no longest text says 1e30


def places_of(tower: nn.Module) -> int | None:
    """
    Tokens that a text tower has places for; None if it has no end, as with rotary positions.

    RoBERTa and its kin count places from behind the padding id, OPT from 2.
    """
    rooms = []
    for name, module in text_side_modules(tower):
        if isinstance(module, nn.Embedding) and ("position" in name.rpartition(".")[2] or name.endswith("wpe")):
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            rooms.append(module.num_embeddings - max(skipped, getattr(module, "offset", 0)))
    return min(rooms, default=None)


def longest_text(model: Any, tokenizer: Any) -> int | None:
    """Most tokens of a text: the tokenizer's own limit, which holds in training, or the tower's, if that is lower."""
    limits = (getattr(tokenizer, "model_max_length", None), places_of(model))
    return min((int(limit) for limit in limits if limit is not None and limit < UNLIMITED), default=None)


class Tokens:
    """
    Texts as a text tower takes them, padded to the longest; those beyond `limit` are cut, and remembered.

    Args:
        tokenizer: The tokenizer.
        limit (`int`, *optional*): Most tokens of a text.
    """

    def __init__(self, tokenizer: Any, limit: int | None) -> None:
        self.tokenizer, self.limit = tokenizer, limit
        self.cut: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Any:
        """`input_ids` `(texts, tokens)` and what else the tokenizer gives, as tensors."""
        cutting = {} if self.limit is None else {"truncation": True, "max_length": self.limit}
        tokens = self.tokenizer(list(texts), return_tensors="pt", padding=True, **cutting)
        if self.limit is not None and tokens["input_ids"].shape[1] >= self.limit:
            self.cut += longer_than(self.tokenizer, texts, self.limit)
        return tokens

    def say_what_was_cut(self, texts: int) -> None:
        """One warning about all calls so far, if there is anything to say; not again for the same texts."""
        if self.cut:
            verb = "is" if len(self.cut) == 1 else "are"
            logger.warning_once(
                f"{len(self.cut)} of {texts} texts {verb} longer than the {self.limit} tokens of the text side, and "
                f"cut there, as in training; the rest has no effect. The first begins {self.cut[0][:60]!r}."
            )


def longer_than(tokenizer: Any, texts: Sequence[str], limit: int) -> list[str]:
    """Those of the texts that have more than `limit` tokens."""
    whole = tokenizer(list(texts), verbose=False)["input_ids"]  # or it would warn of what is not done
    return [text for text, ids in zip(texts, whole, strict=True) if len(ids) > limit]


def check_places(positions: torch.Tensor | None, tokens: int, places: int | None) -> None:
    """
    Raises a `ValueError` if a text has more tokens than its tower has places.

    Args:
        positions (`torch.Tensor` of shape `(batch, tokens)`, *optional*): Places of the tokens; counted if not given.
        tokens (`int`): Tokens of the longest text, with padding.
        places (`int`, *optional*): Places of the tower.
    """
    if places is None or torch.compiler.is_compiling() or tokens <= places:
        return
    needed = tokens if positions is None else int(positions.max()) + 1  # padding may lie beyond the last place
    if needed > places:
        raise ValueError(
            f"A text has {needed} tokens, but the text tower has places for {places}. Cut it when it is tokenised, "
            f"with `truncation=True, max_length={places}`; or set the tokenizer's `model_max_length`, which holds in "
            "pipelines and in training."
        )


__all__ = ["Tokens", "check_places", "longer_than", "longest_text", "places_of"]
