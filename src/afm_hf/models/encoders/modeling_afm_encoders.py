"""Builds the audio encoder that a config names."""

from typing import Any

from transformers import AutoModel, PreTrainedModel

from ..cnn14.modeling_afm_cnn14 import AfmCnn14Model
from ..htsat.modeling_afm_htsat import AfmHtsatModel
from ..speech_encoder.modeling_afm_speech_encoder import AfmSpeechEncoderModel

OWN_ENCODERS = {model.config_class.model_type: model for model in (AfmHtsatModel, AfmCnn14Model, AfmSpeechEncoderModel)}


def build_audio_encoder(config: Any) -> PreTrainedModel:
    """
    The encoder of a config, with random weights.

    The package's own ones are built directly: `AutoModel` would need them registered, which they are not where the code
    was loaded from a Hub repo.
    """
    own = OWN_ENCODERS.get(config.model_type)
    return own._from_config(config) if own else AutoModel.from_config(config)


__all__ = ["build_audio_encoder"]
