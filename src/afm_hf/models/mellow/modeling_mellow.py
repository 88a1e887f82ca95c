"""
Mellow: a small audio language model that reasons about one or two clips.

Deshmukh, Dixit, Singh, Raj, "Mellow: a small audio language model for reasoning" (NeurIPS 2025, arXiv 2503.08540), as
released in soham97/mellow (`models/mellow.py`, `models/decoder.py`, `models/htsat.py`, `models/cnn14.py`). Each clip
becomes 129 vectors, or 32 with Cnn14; separators and the prompt are ordinary tokens of the language model. Differences
to the released code: the KV cache, working `labels`.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..common.modeling_afm_common import AfmMapperTransformer, AfmProjection, AfmProjectionLinear, encode_clips
from ..prefix_lm.hearing_afm import heard, paired, unpaired
from ..prefix_lm.modeling_afm_prefix_lm import AfmPrefixLMForConditionalGeneration, AfmPrefixLMModel
from .configuration_mellow import MellowConfig


class MellowModel(AfmPrefixLMModel):
    """Mellow without its language head."""

    config: MellowConfig

    def __init__(self, config: MellowConfig) -> None:
        super().__init__(config)
        heard, width = config.encoder_width, config.hidden_size
        class_projection = nn.Linear(config.audio_config.num_classes, heard)  # the authors' `c2l`
        if config.hears_framewise:
            self.frame_projection = class_projection
        else:
            self.clip_projection = class_projection
        self.audio_projection: nn.Module
        if config.projection == "mlp":
            self.audio_projection = AfmProjection(heard, width, config.projection_dropout)
        else:
            self.audio_projection = AfmProjectionLinear(heard, width)
        if config.projection == "transformer":
            self.audio_mapper = AfmMapperTransformer(width, config.projection_layers, config.projection_heads)
        self.post_init()

    def get_audio_tokens(self, input_features: torch.Tensor) -> torch.Tensor:
        """Log-mels `(clips, 1, frames, mels)` -> `(clips, 1 + frames, hidden_size)`: the clip, then its frames."""
        return self._tokens_of(encode_clips(self.audio_tower, input_features, return_dict=True))

    def _tokens_of(self, outputs: Any) -> torch.Tensor:
        """
        HTSAT's frames are class probabilities, made as wide as its embedding of the clip; so are those of YAMNet and of
        several ears. Cnn14's are its last feature map, and what is made as wide as they are is the class probabilities
        of the clip.
        """
        dtype = next(self.audio_projection.parameters()).dtype
        if self.config.hears_framewise:
            frames = self.frame_projection(outputs.framewise_output.to(dtype))
            clip = outputs.pooler_output if self.config.clip_vector == "embedding" else frames.mean(dim=1)
        else:
            clip, frames = self.clip_projection(outputs.clipwise_output.to(dtype)), outputs.last_hidden_state
        return self.audio_projection(torch.cat([clip[:, None].to(dtype), frames.to(dtype)], dim=1))

    def pool(self, audio_tokens: torch.Tensor) -> torch.Tensor:
        """`(clips, 1 + frames, hidden_size)` -> `(clips, audio_length, hidden_size)`: frames are averaged.

        Raises:
            ValueError: if the clips are not as long as `config.clip_frames` says (Cnn14 and YAMNet).
        """
        if audio_tokens.shape[1] != 1 + self.config.encoder_frames:
            raise ValueError(
                f"The encoder gives {audio_tokens.shape[1] - 1} vectors for these clips, but the config says "
                f"{self.config.encoder_frames}, for clips of {self.config.clip_frames} log-mel frames. Set "
                "`clip_frames` to what the feature extractor makes."
            )
        downsampling = self.config.downsampling or 1
        frames = F.avg_pool1d(audio_tokens[:, 1:].transpose(1, 2), downsampling).transpose(1, 2)
        return torch.cat([audio_tokens[:, :1], frames], dim=1)

    def hear(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """
        The encoder's output, with the vectors of both clips as `pooler_output`.

        They are `(batch, 2 * audio_length, hidden_size)`.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 2, 1, frames, mels)`): Log-mels.
            input_features_mask: Not for pairs, which have no windows.
            kwargs: For the encoder.

        Raises:
            ValueError: if the clips are not in pairs.
        """
        features = paired(input_features, "Mellow", "MellowProcessor")
        outputs = encode_clips(self.audio_tower, features, return_dict=True, **kwargs)
        tokens = self.pool(self._tokens_of(outputs))
        if self.config.projection == "transformer":
            tokens = self.audio_mapper(tokens)
        return heard(outputs, unpaired(tokens).flatten(1, 2), unpaired)


class MellowForCausalLM(AfmPrefixLMForConditionalGeneration):
    """
    Mellow with its language head.

    `input_ids` are the placeholders of the first clip, a separator (the end token), those of the second, a separator,
    the prompt and the answer. [`MellowProcessor`] makes them.
    """

    config: MellowConfig
    model: MellowModel
    model_class = MellowModel


__all__ = ["MellowForCausalLM", "MellowModel"]
