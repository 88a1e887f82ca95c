"""What CLAPCAP, Pengi, ADIFF and Mellow share between the audio encoder and the prefix: pairs, prompts, length 1."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling


def heard(
    outputs: Any, vectors: torch.Tensor, arrange: Callable[[Any], Any] | None = None
) -> BaseModelOutputWithPooling:
    """
    An encoder's output with the vectors for the language model in the place of its own embedding.

    Args:
        outputs: What the encoder gave.
        vectors (`torch.Tensor` of shape `(batch, vectors, hidden_size)`): For the language model.
        arrange (`Callable`, *optional*):
            Brings the encoder's states into the order of the batch, as [`unpaired`]. Attentions stay as they are: HTSAT
            has one for each window of its image.
    """
    states = {name: outputs.get(name) for name in ("last_hidden_state", "hidden_states")}
    if arrange is not None:
        states = {name: arrange(value) for name, value in states.items()}
    return BaseModelOutputWithPooling(pooler_output=vectors, attentions=outputs.get("attentions"), **states)


def paired(input_features: torch.Tensor, name: str, processor: str) -> torch.Tensor:
    """
    Log-mels of pairs, `(batch, 2, 1, frames, mels)` -> `(batch * 2, 1, frames, mels)`.

    Raises:
        ValueError: if the clips are not in pairs; `name` and `processor` are named in it.
    """
    if input_features.ndim != 5 or input_features.shape[1] != 2:
        raise ValueError(
            f"{name} expects `input_features` of shape (batch, 2, 1, frames, mels), but was given "
            f"{tuple(input_features.shape)}. Make them with `{processor}`, which also takes single clips."
        )
    return input_features.flatten(0, 1)


def unpaired(value: Any) -> Any:
    """Tensors `(batch * 2, ...)`, also in tuples, -> `(batch, 2, ...)`."""
    if isinstance(value, torch.Tensor):
        return value.unflatten(0, (-1, 2))
    return tuple(unpaired(part) for part in value) if isinstance(value, tuple) else value


def normalised(embeddings: torch.Tensor) -> torch.Tensor:
    """Of Euclidean length 1, as CLAPCAP, Pengi and ADIFF want their audio embeddings."""
    return F.normalize(embeddings, dim=-1, eps=1e-12)


def checked_prompts(prompt_input_ids: torch.Tensor | None, examples: int, name: str, example: str) -> torch.Tensor:
    """
    The prompts of a model that cannot do without.

    Raises:
        ValueError: if there are none, or not one for every example; the model's `name` and an `example` are in it.
    """
    if prompt_input_ids is None:
        raise ValueError(
            f"{name} needs a prompt: pass `prompt_input_ids`, or make the inputs with the model's processor and "
            f'`text="{example}"`.'
        )
    if len(prompt_input_ids) != examples:
        raise ValueError(
            f"`prompt_input_ids` has {len(prompt_input_ids)} prompts for {examples} examples in `input_features`; give "
            "one prompt for each."
        )
    return prompt_input_ids


__all__ = ["checked_prompts", "heard", "normalised", "paired", "unpaired"]
