"""
CLAPCAP: captions from CLAP's audio embedding.

Elizalde, Deshmukh, Wang, "Natural Language Supervision for General-Purpose Audio Representations" (ICASSP 2024),
section 3.3, as released in msclap. CLAP's embedding, of length 1, becomes 40 prefix vectors for a frozen GPT-2; only
the mapper is trained. Differences to the released code: the KV cache, batches of clips, and several windows of a long
clip.
"""

from typing import Any

import torch
from torch import nn

from .configuration_clap_afm_captioning import ClapAfmCaptioningConfig
from .modeling_afm_common import AfmProjection, AfmTransformerMapper, average_windows, flatten_windows
from .modeling_afm_prefix_lm import AfmPrefixLMForConditionalGeneration, AfmPrefixLMModel, normalised


class ClapAfmCaptioningModel(AfmPrefixLMModel):
    """CLAPCAP without its language head."""

    config: ClapAfmCaptioningConfig

    def __init__(self, config: ClapAfmCaptioningConfig) -> None:
        super().__init__(config)
        self.audio_projection = AfmProjection(
            config.audio_config.hidden_size, config.projection_dim, config.projection_dropout
        )
        self.audio_mapper: nn.Module
        if config.mapper == "transformer":
            self.audio_mapper = AfmTransformerMapper(
                config.hidden_size,
                config.projection_dim,
                config.prefix_length,
                config.mapper_layers,
                config.mapper_heads,
                config.mapper_mlp_ratio,
            )
        else:
            self.audio_mapper = nn.Sequential(
                nn.Linear(config.projection_dim, config.prefix_length * config.hidden_size),
                nn.Unflatten(-1, (config.prefix_length, config.hidden_size)),
            )
        self.post_init()

    def get_prefix(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """
        The prefix of each clip.

        Args:
            input_features (`torch.Tensor`):
                Log-mel of shape `(batch, 1, frames, mels)` or `(batch, windows, 1, frames, mels)`.
            input_features_mask (`torch.Tensor` of shape `(batch, windows)`, *optional*): 1 for real windows.

        Returns:
            `torch.Tensor` of shape `(batch, prefix_length, hidden_size)`.
        """
        features, rows = flatten_windows(input_features, input_features_mask)
        pooled = self.audio_tower(features).pooler_output  # (windows, 768)
        embedding = average_windows(self.audio_projection(pooled), rows)  # (batch, 1024)
        return self.map_embedding(normalised(embedding))

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


__all__ = ["ClapAfmCaptioningModel", "ClapAfmForConditionalGeneration"]
