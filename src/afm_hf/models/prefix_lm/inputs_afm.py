"""
What CLAPCAP, Pengi, ADIFF and Mellow are given: is the audio there, and has each token its place?

A decoder does not ask. Without audio it goes on from the placeholder's own vector as if something had been heard, a row
that is filled up on the left is read at wrong places, and one longer than the table of places ends in an index error.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache

IGNORED = -100  # no loss is taken on such a label


def cached_tokens(past_key_values: Cache | None) -> int:
    """How many tokens have been read already."""
    return 0 if past_key_values is None else int(past_key_values.get_seq_length())


def check_text(input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> None:
    """
    Tokens or their vectors.

    Raises:
        ValueError: if there are both or neither.
    """
    if (input_ids is None) == (inputs_embeds is None):
        both = "both" if input_ids is not None else "neither"
        raise ValueError(f"Give either `input_ids` or `inputs_embeds`; there are {both}.")


def check_heard(places: torch.Tensor, placeholder: int | None) -> None:
    """
    For text that comes without audio.

    Args:
        places (`torch.Tensor` of shape `(batch, tokens)`, bool): Where placeholders stand.
        placeholder (`int`): Their id, for the message.

    Raises:
        ValueError: if there are any.
    """
    counts = places.sum(dim=-1)
    if bool(counts.any()):
        raise ValueError(
            f"The text holds {counts.tolist()} audio placeholders (token {placeholder}), but there are no "
            "`input_features`: the model would answer without having heard anything. Pass all that the processor made, "
            "as in `model.generate(**inputs)`; only where a cache holds the audio already, it is not needed again."
        )


def positions_of(attention_mask: Any, width: int) -> torch.Tensor | None:
    """
    Places of the last `width` tokens, `(batch, width)`, counting real ones alone.

    Args:
        attention_mask (`torch.Tensor` of shape `(batch, cached tokens + width)`): Of another shape, nothing is known.
        width (`int`): Tokens that are read now.
    """
    if not isinstance(attention_mask, torch.Tensor) or attention_mask.ndim != 2 or attention_mask.shape[1] < width:
        return None
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -width:]


def check_places(places: int | None, tokens: int, position_ids: torch.Tensor | None) -> None:
    """
    Whether a language model has a place for every token.

    Args:
        places (`int`, *optional*): How many it has.
        tokens (`int`): How many there are, padding counted.
        position_ids (`torch.Tensor` of shape `(batch, tokens)`, *optional*): Where they stand; else one after another.

    Raises:
        ValueError: if not; it names the longest row.
    """
    if places is None or tokens <= places:
        return
    row, longest = 0, tokens
    if position_ids is not None:
        ends = position_ids.reshape(-1, position_ids.shape[-1]).amax(dim=-1) + 1
        row, longest = int(ends.argmax()), int(ends.max())
    if longest > places:
        raise ValueError(
            f"Row {row} of the batch has {longest} tokens, placeholders, prompt and answer together, but the language "
            f"model has places for {places} (`text_config.max_position_embeddings`). Shorten its answer or its prompt "
            f"by {longest - places} tokens, or leave the row out."
        )


def prompt_tokens(
    input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None, attention_mask: Any
) -> int | None:
    """Real tokens of the longest prompt of a batch, if it can be known."""
    if isinstance(attention_mask, torch.Tensor) and attention_mask.ndim == 2:
        return int(attention_mask.sum(dim=-1).max())
    given = input_ids if inputs_embeds is None else inputs_embeds
    return None if given is None else given.shape[1]


def without_answers(
    input_ids: torch.Tensor, labels: torch.Tensor, attention_mask: torch.Tensor | None, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The prompts of rows that hold their answers, too, as in training: all real tokens before the first label.

    Returns:
        Prompts, filled up on the left, and their attention mask, both `(batch, longest prompt)`.

    Raises:
        ValueError: if the labels are not of the shape of the tokens.
    """
    if labels.shape != input_ids.shape:
        raise ValueError(
            f"`labels` have the shape {tuple(labels.shape)} and `input_ids` {tuple(input_ids.shape)}, so it cannot be "
            "seen where the answers begin. Leave `labels` out: `generate` needs none."
        )
    before = (labels != IGNORED).long().cumsum(dim=-1) == 0  # (batch, tokens)
    if attention_mask is not None:
        before = before & attention_mask.bool()
    lengths = before.sum(dim=-1)  # (batch,)
    longest = int(lengths.max())
    # A stable sort of false before true moves each prompt, in its order, to the right end of its row.
    order = before.long().argsort(dim=-1, stable=True)[:, input_ids.shape[1] - longest :]
    mask = torch.arange(longest, device=input_ids.device) >= longest - lengths[:, None]
    return input_ids.gather(1, order).masked_fill(~mask, pad_id), mask.long()


__all__ = [
    "IGNORED",
    "cached_tokens",
    "check_heard",
    "check_places",
    "check_text",
    "positions_of",
    "prompt_tokens",
    "without_answers",
]
