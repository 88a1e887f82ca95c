"""Configuration of YAMNet, the AudioSet classifier of tensorflow/models (Google, Apache-2.0)."""

from typing import Any

from huggingface_hub.dataclasses import strict

from ..common.configuration_afm_common import AfmConfig


@strict
class AfmYamnetConfig(AfmConfig):
    r"""Configuration of an [`AfmYamnetModel`]; the defaults are the official sizes.

    Args:
        num_mel_bins (`int`, *optional*, defaults to 64): Mel bands of the input.
        patch_frames (`int`, *optional*, defaults to 96):
            Frames of a patch, of which the network makes one embedding (0.96 s at the official hop of 10 ms).
        patch_hop (`int`, *optional*, defaults to 48): Frames from one patch to the next.
        stem_channels (`int`, *optional*, defaults to 32): Channels of the first convolution, whose stride is 2.
        channels (`list[int]`, *optional*): Channels of each depthwise separable convolution.
        strides (`list[int]`, *optional*): Its stride.
        batch_norm_eps (`float`, *optional*, defaults to 1e-4): Epsilon of the batch norms.
        use_class_head (`bool`, *optional*, defaults to `True`):
            Whether the classifier exists, which gives the classes' probabilities of every patch. An ear of a model that
            reads embeddings alone does without.
        num_classes (`int`, *optional*, defaults to 521): Classes of that head.

    Raises:
        ValueError: `channels` and `strides` have different lengths.
    """

    model_type = "afm_yamnet"
    base_config_key = "encoder_config"

    num_mel_bins: int = 64
    patch_frames: int = 96
    patch_hop: int = 48
    stem_channels: int = 32
    channels: list[int] | tuple[int, ...] = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    strides: list[int] | tuple[int, ...] = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    batch_norm_eps: float = 1e-4
    use_class_head: bool = True
    num_classes: int = 521

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if len(self.channels) != len(self.strides):
            raise ValueError(
                "`channels` and `strides` name one value per block, but have "
                f"{len(self.channels)} and {len(self.strides)} entries."
            )

    @property
    def step_frames(self) -> tuple[int, int]:
        """Frames of a step in time, and from the beginning of one to that of the next."""
        return self.patch_frames, self.patch_hop

    def num_steps(self, frames: int) -> int:
        """Patches of `frames` log-mel frames."""
        return max(0, 1 + (frames - self.patch_frames) // self.patch_hop)

    @property
    def use_framewise_head(self) -> bool:
        """As HTSAT calls it: whether there are class probabilities for every step in time."""
        return self.use_class_head

    @property
    def hidden_size(self) -> int:
        """Width of the embedding."""
        return int(self.channels[-1])

    @property
    def num_hidden_layers(self) -> int:
        """Number of depthwise separable convolutions."""
        return len(self.channels)


__all__ = ["AfmYamnetConfig"]
