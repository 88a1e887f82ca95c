"""
A speech encoder of transformers in the place of HTSAT: what SELM (Interspeech 2024, arXiv 2407.15300) hears with.

It reads waveforms, which [`AfmSpeechFeatureExtractor`] brings into the shape of the other models' features, and gives
one layer's output and its mean over time.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from ..common.batch_norms_afm import StillBatchNorms
from .configuration_afm_speech_encoder import AfmSpeechEncoderConfig


class AfmSpeechEncoderModel(StillBatchNorms, PreTrainedModel):
    """Wav2Vec2, HuBERT, WavLM, ... up to one layer."""

    config: AfmSpeechEncoderConfig
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: AfmSpeechEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder_config)
        self.post_init()

    @classmethod
    def from_encoder(cls, encoder: PreTrainedModel, layer: int = 4) -> "AfmSpeechEncoderModel":
        """Around a trained encoder, for example `AutoModel.from_pretrained("facebook/wav2vec2-base")`."""
        model = cls(AfmSpeechEncoderConfig(encoder_config=encoder.config, layer=layer))
        model.encoder.load_state_dict(encoder.state_dict())
        return model.to(encoder.device, encoder.dtype).train(encoder.training)

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """
        Encodes waveforms.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 1, samples, 1)`): As the feature extractor makes them.
            output_hidden_states, output_attentions (`bool`, *optional*): Whether to return those of the encoder, too.

        Returns:
            [`BaseModelOutputWithPooling`] with `last_hidden_state` `(batch, frames, hidden_size)`, the output of
            `config.layer`, and `pooler_output` `(batch, hidden_size)`, its mean.

        Raises:
            ValueError: for another shape.
        """
        if input_features.ndim != 4 or input_features.shape[1] != 1 or input_features.shape[3] != 1:
            raise ValueError(
                "The speech encoder reads waveforms of shape (batch, 1, samples, 1), but was given "
                f"{tuple(input_features.shape)}. Make them with `AfmSpeechFeatureExtractor`."
            )
        waveforms = input_features[:, 0, :, 0].to(self.dtype)  # (batch, samples)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        outputs = self.encoder(waveforms, output_hidden_states=True, output_attentions=output_attentions)
        hidden_states = outputs.hidden_states[self.config.layer]  # (batch, frames, hidden_size)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states,
            pooler_output=hidden_states.mean(dim=1),
            hidden_states=outputs.hidden_states if output_hidden_states else None,
            attentions=outputs.attentions if output_attentions else None,
        )


__all__ = ["AfmSpeechEncoderModel"]
