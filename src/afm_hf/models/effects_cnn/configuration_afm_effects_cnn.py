"""Configuration of aiSFX's encoder, trained on professional libraries of sound effects."""

from typing import Any

from huggingface_hub.dataclasses import strict

from ..common.configuration_afm_common import AfmConfig


@strict
class AfmEffectsCnnConfig(AfmConfig):
    r"""Configuration of an [`AfmEffectsCnnModel`]; the defaults are the official sizes.

    Ma and Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries" (ISMIR 2022); weights
    under CC BY 4.0.

    Args:
        num_mel_bins (`int`, *optional*, defaults to 96): Mel bands of the input.
        block_frames (`int`, *optional*, defaults to 100):
            Frames of a block, of which the network makes one embedding (2.3 s at the official hop of 23 ms).
        block_hop (`int`, *optional*, defaults to 50): Frames from one block to the next.
        channels (`list[int]`, *optional*, defaults to `[64, 128, 256, 512]`):
            Channels of each pair of 3 x 3 convolutions; all but the last are followed by a maximum over 2 x 2.

    Raises:
        ValueError: a block has fewer frames than the pooling needs.
    """

    model_type = "afm_effects_cnn"
    base_config_key = "encoder_config"

    num_mel_bins: int = 96
    block_frames: int = 100
    block_hop: int = 50
    channels: list[int] | tuple[int, ...] = (64, 128, 256, 512)

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        least = 2 ** (len(self.channels) - 1)
        if min(self.block_frames, self.num_mel_bins) < least:
            raise ValueError(
                f"{len(self.channels)} blocks pool {least} frames and mel bands into one, but `block_frames` is "
                f"{self.block_frames} and `num_mel_bins` {self.num_mel_bins}."
            )

    @property
    def step_frames(self) -> tuple[int, int]:
        """Frames of a step in time, and from the beginning of one to that of the next."""
        return self.block_frames, self.block_hop

    def num_steps(self, frames: int) -> int:
        """Blocks of `frames` log-mel frames."""
        return max(0, 1 + (frames - self.block_frames) // self.block_hop)

    @property
    def hidden_size(self) -> int:
        """Width of the embedding."""
        return int(self.channels[-1])

    @property
    def num_hidden_layers(self) -> int:
        """Number of pairs of convolutions."""
        return len(self.channels)


__all__ = ["AfmEffectsCnnConfig"]
