"""What CLAPCAP, Pengi, ADIFF and Mellow return, with and without their language head."""

import torch
from transformers.cache_utils import Cache
from transformers.modeling_outputs import ModelOutput

from ..common.cache_names_afm import output_with_cache


@output_with_cache
class AfmPrefixLMModelOutput(ModelOutput):
    """
    Output of a model without its language head.

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, hidden_size)`): Of the language model.
        cache ([`Cache`], *optional*): For going on; transformers up to 5.23 calls it `past_key_values`.
        hidden_states, attentions (*optional*): Of the language model.
        audio_hidden_states (`torch.Tensor` of shape `(batch, prefix_length, hidden_size)`, *optional*):
            The prefix that took the places of the placeholders.
    """

    last_hidden_state: torch.Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    audio_hidden_states: torch.Tensor | None = None


@output_with_cache
class AfmPrefixLMOutput(ModelOutput):
    """
    Output of a generating model.

    Args:
        loss (`torch.Tensor` of shape `(1,)`, *optional*): Next-token cross-entropy, if `labels` are given.
        logits (`torch.Tensor` of shape `(batch, kept tokens, vocab_size)`): The placeholder's is the lowest number.
        cache, hidden_states, attentions, audio_hidden_states: See [`AfmPrefixLMModelOutput`].
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    audio_hidden_states: torch.Tensor | None = None


__all__ = ["AfmPrefixLMModelOutput", "AfmPrefixLMOutput"]
