"""Configuration of a speech encoder of transformers, as SELM stands on."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from ..common.configuration_afm_common import AfmConfig


@strict
class AfmSpeechEncoderConfig(AfmConfig):
    r"""
    Configuration of an [`AfmSpeechEncoderModel`].

    With it as the `audio_config` of a [`PengiConfig`] one has SELM (Interspeech 2024, arXiv 2407.15300) as far as it is
    known: a frozen Wav2Vec2 whose fourth layer is mapped to a prefix of GPT-2, with the emotions as text. SELM maps the
    whole sequence; here its mean over time is mapped.

    Args:
        encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            A speech encoder that reads waveforms: Wav2Vec2 (the default), HuBERT, WavLM, ...
        layer (`int`, *optional*, defaults to 4): The layer whose output is taken; 0 is its input.

    Raises:
        ValueError: if the encoder has no such layer.

    Example:
    ```python
    >>> from transformers import Wav2Vec2Config
    >>> from afm_hf import AfmSpeechEncoderConfig, PengiConfig

    >>> selm = PengiConfig(audio_config=AfmSpeechEncoderConfig(encoder_config=Wav2Vec2Config(), layer=4))

    ```
    """

    model_type = "afm_speech_encoder"
    sub_configs_defaults = {"encoder_config": SubConfigSpec(config_class=AutoConfig, model_type="wav2vec2")}

    encoder_config: Any = None
    layer: int = 4

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if not 0 <= self.layer <= self.encoder_config.num_hidden_layers:
            raise ValueError(
                f"`layer` is {self.layer}, but the encoder ({self.encoder_config.model_type}) has "
                f"{self.encoder_config.num_hidden_layers} layers."
            )

    @property
    def hidden_size(self) -> int:
        """Width of the encoder."""
        return int(self.encoder_config.hidden_size)

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the encoder."""
        return int(self.encoder_config.num_hidden_layers)


__all__ = ["AfmSpeechEncoderConfig"]
