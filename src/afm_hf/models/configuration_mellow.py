"""Configuration of Mellow."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_afm_encoders import EncoderConfigSpec
from .configuration_afm_prefix_lm import AfmPrefixLMConfig

# SmolLM2-135M, and one row for the placeholder.
SMOLLM2 = {
    "vocab_size": 49153,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@strict
class MellowConfig(AfmPrefixLMConfig):
    r"""
    Configuration of a [`MellowForCausalLM`]; see [`AfmPrefixLMConfig`] for the parts not named here.

    Args:
        audio_config (`dict` or `PreTrainedConfig`, *optional*): HTSAT with `use_framewise_head`.
        text_config (`dict` or `PreTrainedConfig`, *optional*): SmolLM2-135M by default.
        projection (`str`, *optional*, defaults to `"mlp"`):
            How audio vectors get the width of the language model: `"mlp"` as released ([`AfmProjection`]), `"linear"`,
            or `"transformer"`, which lets a transformer run over the pooled vectors of a clip after a linear layer.
        projection_dropout (`float`, *optional*, defaults to 0.5): Dropout of the `"mlp"`.
        projection_layers, projection_heads (`int`, *optional*, default to 4 and 8): Of the `"transformer"`.
        downsampling (`int`, *optional*, defaults to 8): Frame vectors that are averaged to one.

    Raises:
        ValueError: if the encoder has no frame-wise head, or `downsampling` leaves no vector.
    """

    model_type = "afm_mellow"
    sub_configs_defaults = {
        "audio_config": EncoderConfigSpec(
            config_class=AutoConfig, model_type="afm_htsat", init_kwargs={"use_framewise_head": True}
        ),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama", init_kwargs=SMOLLM2),
    }

    projection: Literal["mlp", "linear", "transformer"] = "mlp"
    projection_dropout: float | int = 0.5
    projection_layers: int = 4
    projection_heads: int = 8
    downsampling: int = 8

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if not getattr(self.audio_config, "use_framewise_head", False):
            raise ValueError(
                "Mellow hears the frames' class probabilities, but its `audio_config` (model type "
                f"{self.audio_config.model_type!r}) has no frame-wise head; use "
                "`AfmHtsatConfig(use_framewise_head=True)`."
            )
        if not 0 < self.downsampling <= self.audio_config.max_frames:
            raise ValueError(
                f"`downsampling` is {self.downsampling}; it must be between 1 and the encoder's "
                f"{self.audio_config.max_frames} frames."
            )

    @property
    def audio_length(self) -> int:
        """Vectors of one clip: one for the whole, and the pooled frames."""
        return 1 + int(self.audio_config.max_frames) // self.downsampling

    @property
    def num_placeholders(self) -> int:
        """Vectors of both clips."""
        return 2 * self.audio_length


__all__ = ["MellowConfig"]
