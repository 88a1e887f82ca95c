"""Configuration of CLAPCAP, the captioner on top of CLAP."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from ..prefix_lm.configuration_afm_prefix_lm import AfmPrefixLMConfig


@strict
class ClapAfmCaptioningConfig(AfmPrefixLMConfig):
    r"""
    Configuration of a [`ClapAfmForConditionalGeneration`]; see [`AfmPrefixLMConfig`] for the parts not named here.

    Args:
        projection_dim (`int`, *optional*, defaults to 1024): Width of CLAP's shared space.
        projection_dropout (`float`, *optional*, defaults to 0.5): Dropout in CLAP's projection.
        prefix_length (`int`, *optional*, defaults to 40): Vectors in front of the caption.
        mapper (`str`, *optional*, defaults to `"transformer"`):
            How the embedding becomes the prefix: `"transformer"` (the released one) or `"linear"`.
        mapper_layers, mapper_heads (`int`, *optional*, default to 8 and 8): Layers and heads of the transformer.
        mapper_mlp_ratio (`float`, *optional*, defaults to 2.0): Width of its MLPs.
    """

    model_type = "clap_afm_captioning"

    projection_dim: int = 1024
    projection_dropout: float | int = 0.5
    prefix_length: int = 40
    mapper: Literal["transformer", "linear"] = "transformer"
    mapper_layers: int = 8
    mapper_heads: int = 8
    mapper_mlp_ratio: float | int = 2.0

    def _part_lengths(self) -> dict[str, int]:
        return {"audio": self.prefix_length}


__all__ = ["ClapAfmCaptioningConfig"]
