"""Builds the audio encoder that a config names, and lets several hear together."""

from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from ..cnn14.modeling_afm_cnn14 import AfmCnn14Model
from ..effects_cnn.modeling_afm_effects_cnn import AfmEffectsCnnModel
from ..htsat.modeling_afm_htsat import AfmHtsatModel
from ..speech_encoder.modeling_afm_speech_encoder import AfmSpeechEncoderModel
from ..yamnet.modeling_afm_yamnet import AfmYamnetModel
from .configuration_afm_encoders import AfmEarsConfig

SINGLE_ENCODERS: dict[str, type[PreTrainedModel]] = {
    model.config_class.model_type: model
    for model in (AfmHtsatModel, AfmCnn14Model, AfmSpeechEncoderModel, AfmYamnetModel, AfmEffectsCnnModel)
}


class AfmEarsModel(PreTrainedModel):
    """Several encoders that hear the same clip; their embeddings are put one after the other, and standardised.

    `mean` and `std` `(hidden_size,)` are those of the embeddings of the training clips (0 and 1 at first): the ears
    were trained apart, and the loudest would drown the others. They are not learned; see `standardize`.

    `input_features` is `(batch, 1, frames, mels)`, as [`AfmEarsFeatureExtractor`] makes it: the features of the ears
    lie side by side, those of fewer frames filled up with zeros, which are cut off here.
    """

    config: AfmEarsConfig
    mean: torch.Tensor
    std: torch.Tensor
    base_model_prefix = "encoder"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["AfmHtsatBlock", "AfmCnn14Block", "AfmYamnetBlock", "AfmEffectsCnnBlock"]
    _keep_in_fp32_modules_strict = ["bn0"]

    def __init__(self, config: AfmEarsConfig) -> None:
        super().__init__(config)
        self.ears = nn.ModuleList(SINGLE_ENCODERS[ear.model_type]._from_config(ear) for ear in config.configs())
        self.mels = config.mels
        self.register_buffer("mean", torch.zeros(config.hidden_size))
        self.register_buffer("std", torch.ones(config.hidden_size))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AfmEarsModel):
            init.zeros_(module.mean)
            init.ones_(module.std)

    @torch.no_grad()
    def standardize(self, embeddings: torch.Tensor) -> None:
        """Takes `mean` and `std` from `(clips, hidden_size)` embeddings that were not standardised."""
        self.mean.copy_(embeddings.float().mean(dim=0))
        self.std.copy_(embeddings.float().std(dim=0).clamp(min=1e-6))

    def get_input_embeddings(self) -> nn.Module:
        return self._first().get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self._first().set_input_embeddings(value)

    def _first(self) -> PreTrainedModel:
        first: Any = self.ears[0]
        return first

    @can_return_tuple
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """Encodes clips with every ear.

        Returns:
            [`BaseModelOutputWithPooling`] with `pooler_output` `(batch, hidden_size)` and `last_hidden_state`
            `(batch, 1, hidden_size)`, the same: the ears' own steps in time differ.

        Raises:
            ValueError: on another shape than the ears' features side by side have.
        """
        frames, mels = max(self.config.frames), sum(self.mels)
        if input_features.ndim != 4 or tuple(input_features.shape[1:]) != (1, frames, mels):
            raise ValueError(
                f"{type(self).__name__} reads the features of {len(self.mels)} ears side by side, of shape "
                f"(batch, 1, {frames}, {mels}), but was given {tuple(input_features.shape)}. Make them with the "
                "`AfmEarsFeatureExtractor` that came with the model."
            )
        pooled = []
        for ear, length, features in zip(
            self.ears, self.config.frames, input_features.split(self.mels, dim=3), strict=True
        ):
            pooled.append(ear(features[:, :, :length], **kwargs).pooler_output)
        together = torch.cat(pooled, dim=-1)  # (batch, hidden_size)
        together = (together - self.mean.to(together.dtype)) / self.std.to(together.dtype)
        return BaseModelOutputWithPooling(last_hidden_state=together[:, None], pooler_output=together)


OWN_ENCODERS: dict[str, type[PreTrainedModel]] = {**SINGLE_ENCODERS, AfmEarsConfig.model_type: AfmEarsModel}


def build_audio_encoder(config: Any) -> PreTrainedModel:
    """
    The encoder of a config, with random weights.

    The package's own ones are built directly: `AutoModel` would need them registered, which they are not where the code
    was loaded from a Hub repo.
    """
    own = OWN_ENCODERS.get(config.model_type)
    return own._from_config(config) if own else AutoModel.from_config(config)


__all__ = ["AfmEarsModel", "build_audio_encoder"]
