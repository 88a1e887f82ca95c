"""Configuration of ADIFF."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict

from ..prefix_lm.configuration_afm_prefix_lm import AfmPrefixLMConfig


@strict
class AdiffConfig(AfmPrefixLMConfig):
    r"""
    Configuration of an [`AdiffForConditionalGeneration`]; see [`AfmPrefixLMConfig`] for the parts not named here.

    The paper's naive baseline is `AdiffConfig(use_separator=False, use_cross_projection=False)`.

    Args:
        projection_dim (`int`, *optional*, defaults to 1024): Width of the audio embeddings that are mapped.
        projection_dropout (`float`, *optional*, defaults to 0.5): Dropout of the projection.
        prefix_length (`int`, *optional*, defaults to 40): Vectors of each clip, and of the prompt.
        mapper (`str`, *optional*, defaults to `"transformer"`):
            How clips and prompt become prefix vectors: `"transformer"` (the released one) or `"linear"`.
        mapper_layers, mapper_heads (`int`, *optional*, default to 4 and 8): Of the three transformers.
        mapper_mlp_ratio (`float`, *optional*, defaults to 2.0): Width of the MLPs, also in the cross-projection.
        use_separator (`bool`, *optional*, defaults to `True`): Whether a word's vector stands between the clips.
        separator_token_id (`int`, *optional*): That word; the one before the placeholder (`<|endoftext|>`) by default.
        use_cross_projection (`bool`, *optional*, defaults to `True`): Whether a transformer runs over the prefix.
        cross_layers, cross_heads (`int`, *optional*, default to 4 and 4): Of that transformer.
    """

    model_type = "afm_adiff"

    projection_dim: int = 1024
    projection_dropout: float | int = 0.5
    prefix_length: int = 40
    mapper: Literal["transformer", "linear"] = "transformer"
    mapper_layers: int = 4
    mapper_heads: int = 8
    mapper_mlp_ratio: float | int = 2.0
    use_separator: bool = True
    separator_token_id: int | None = None
    use_cross_projection: bool = True
    cross_layers: int = 4
    cross_heads: int = 4

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.separator_token_id is None:
            self.separator_token_id = max(0, (self.audio_token_id or 0) - 1)

    def _part_lengths(self) -> dict[str, int]:
        separator = {"separator": 1} if self.use_separator else {}
        length = self.prefix_length
        return {"first audio": length, **separator, "second audio": length, "prompt": length}


__all__ = ["AdiffConfig"]
