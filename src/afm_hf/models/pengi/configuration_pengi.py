"""Configuration of Pengi."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from ..encoders.configuration_afm_encoders import EncoderConfigSpec
from ..prefix_lm.configuration_afm_prefix_lm import AfmPrefixLMConfig


@strict
class PengiConfig(AfmPrefixLMConfig):
    r"""
    Configuration of a [`PengiForConditionalGeneration`]; see [`AfmPrefixLMConfig`] for the parts not named here.

    Args:
        text_encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            Encoder of the prompt: a `clip_text_model` in the released `base`. Without it (`base_no_text_enc`) the
            prompt is embedded by the language model's own word table.
        projection_dim (`int`, *optional*, defaults to 1024): Width of the embeddings that are mapped.
        projection_dropout (`float`, *optional*, defaults to 0.5): Dropout in the projections.
        prefix_length (`int`, *optional*, defaults to 40): Prefix vectors of the audio, and as many of the prompt.
        mapper (`str`, *optional*, defaults to `"transformer"`):
            How audio and prompt become prefix vectors: `"transformer"` (the released one) or `"linear"`.
        mapper_layers, mapper_heads (`int`, *optional*, default to 4 and 8): Layers and heads of both transformers.
        mapper_mlp_ratio (`float`, *optional*, defaults to 2.0): Width of their MLPs.
        normalize_prompt (`bool`, *optional*, defaults to `True`):
            Whether the text encoder's embedding gets length 1 before it is mapped. The released training code does
            that; the released wrapper, with which the paper's answers are made, does not. Without text encoder it has
            no effect.

    Example:
    ```python
    >>> from transformers import CLIPTextConfig
    >>> from afm_hf import PengiConfig

    >>> base = PengiConfig(text_encoder_config=CLIPTextConfig())
    >>> base_no_text_enc = PengiConfig()

    ```
    """

    model_type = "afm_pengi"
    sub_configs_defaults = {
        "audio_config": EncoderConfigSpec(config_class=AutoConfig, model_type="afm_htsat"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="gpt2", init_kwargs={"vocab_size": 50258}),
        "text_encoder_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_text_model", optional=True),
    }

    text_encoder_config: Any = None
    projection_dim: int = 1024
    projection_dropout: float | int = 0.5
    prefix_length: int = 40
    mapper: Literal["transformer", "linear"] = "transformer"
    mapper_layers: int = 4
    mapper_heads: int = 8
    mapper_mlp_ratio: float | int = 2.0
    # Parity: the released wrapper answers with False.
    normalize_prompt: bool = True

    def _part_lengths(self) -> dict[str, int]:
        return {"audio": self.prefix_length, "prompt": self.prefix_length}


__all__ = ["PengiConfig"]
