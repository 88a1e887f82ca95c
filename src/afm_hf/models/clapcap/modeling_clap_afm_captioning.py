"""
CLAPCAP: captions from CLAP's audio embedding.

Elizalde, Deshmukh, Wang, "Natural Language Supervision for General-Purpose Audio Representations" (ICASSP 2024),
section 3.3, as released in msclap. CLAP's embedding, of length 1, becomes 40 prefix vectors for a frozen GPT-2; only
the mapper is trained. Differences to the released code: the KV cache, batches of clips, and several windows of a long
clip.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..common.cache_names_afm import CACHE, takes_cache
from ..common.modeling_afm_common import AfmProjection, average_windows, build_mapper, encode_windows, flatten_windows
from ..prefix_lm.hearing_afm import heard, normalised
from ..prefix_lm.modeling_afm_prefix_lm import (
    AfmPrefixLMForConditionalGeneration,
    AfmPrefixLMModel,
    AfmPrefixLMModelOutput,
    AfmPrefixLMOutput,
)
from .configuration_clap_afm_captioning import ClapAfmCaptioningConfig


class ClapAfmCaptioningModel(AfmPrefixLMModel):
    """CLAPCAP without its language head."""

    config: ClapAfmCaptioningConfig

    def __init__(self, config: ClapAfmCaptioningConfig) -> None:
        super().__init__(config)
        self.audio_projection = AfmProjection(
            config.audio_config.hidden_size, config.projection_dim, config.projection_dropout
        )
        self.audio_mapper = build_mapper(config, config.projection_dim)
        self.post_init()

    def hear(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """
        The encoder's output, with the prefix of each clip, `(batch, prefix_length, hidden_size)`, as `pooler_output`.

        Args:
            input_features (`torch.Tensor`):
                Log-mel of shape `(batch, 1, frames, mels)` or `(batch, windows, 1, frames, mels)`.
            input_features_mask (`torch.Tensor` of shape `(batch, windows)`, *optional*): What part of each is heard.
            kwargs: For the encoder.
        """
        features, owners = flatten_windows(input_features, input_features_mask)
        outputs = encode_windows(self.audio_tower, features, owners, return_dict=True, **kwargs)
        embedding = average_windows(self.audio_projection(outputs.pooler_output), owners)  # (batch, projection_dim)
        return heard(outputs, self.map_embedding(normalised(embedding)))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        prefix_inputs: dict[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMModelOutput:
        """
        Runs the language model over prefix and caption.

        Args:
            input_ids, attention_mask (`torch.Tensor` of shape `(batch, tokens)`): Placeholders, then the caption.
            input_features, input_features_mask: See `hear`.
            prefix_inputs (`dict`, *optional*): The same under their names.
            **kwargs: See [`AfmPrefixLMModel`].
        """
        return super().forward(
            input_ids=input_ids,
            input_features=input_features,
            attention_mask=attention_mask,
            prefix_inputs={"input_features_mask": input_features_mask, **(prefix_inputs or {})},
            **kwargs,
        )

    def map_embedding(self, embedding: torch.Tensor) -> torch.Tensor:
        """CLAP embeddings of length 1, `(batch, projection_dim)` -> `(batch, prefix_length, hidden_size)`."""
        return self.audio_mapper(embedding)


class ClapAfmForConditionalGeneration(AfmPrefixLMForConditionalGeneration):
    """
    CLAPCAP: audio captioning with `generate()`.

    `input_ids` are `config.prefix_length` placeholders, and whatever the caption should begin with; the processor makes
    them.
    """

    config: ClapAfmCaptioningConfig
    model_class = ClapAfmCaptioningModel
    prefix_input_names = ("input_features_mask",)

    @takes_cache
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        input_features_mask: torch.Tensor | None = None,
        audio_vectors: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMOutput:
        """
        Predicts the next token at every place.

        Args:
            input_features_mask: See [`~ClapAfmCaptioningModel.hear`].
            input_ids, input_features, audio_vectors, labels, ...: See [`AfmPrefixLMForConditionalGeneration`].
        """
        return super().forward(
            input_ids=input_ids,
            input_features=input_features,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE: past_key_values},
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            audio_vectors=audio_vectors,
            input_features_mask=input_features_mask,
            **kwargs,
        )


__all__ = ["ClapAfmCaptioningModel", "ClapAfmForConditionalGeneration"]
