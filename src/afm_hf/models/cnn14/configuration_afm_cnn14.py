"""Configuration of Cnn14 (PANNs), the audio encoder of CLAP 2022 and of a Mellow ablation.

Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks" (2020); the defaults are the official sizes.
"""

from typing import Any

from huggingface_hub.dataclasses import strict

from ..common.configuration_afm_common import AfmConfig


@strict
class AfmCnn14Config(AfmConfig):
    r"""Configuration of an [`AfmCnn14Model`].

    Args:
        num_mel_bins (`int`, *optional*, defaults to 64):
            Mel bands of the input.
        block_channels (`list[int]`, *optional*, defaults to `[64, 128, 256, 512, 1024, 2048]`):
            Channels of each convolutional block (two 3 x 3 convolutions).
        pool_sizes (`list[int]`, *optional*, defaults to `[2, 2, 2, 2, 2, 1]`):
            Average pooling (time and frequency) after each block.
        hidden_size (`int`, *optional*, defaults to 2048):
            Width of the pooled embedding.
        conv_dropout (`float`, *optional*, defaults to 0.2):
            Dropout after every block.
        dropout (`float`, *optional*, defaults to 0.5):
            Dropout before and after the last linear layer.
        use_clipwise_head (`bool`, *optional*, defaults to `False`):
            Whether the AudioSet classifier (`fc_audioset`) exists, which gives the classes' probabilities for the whole
            clip. Mellow needs it; for CLAP it would only be unused parameters.
        num_classes (`int`, *optional*, defaults to 527):
            Classes of that head (AudioSet's 527).
        apply_spec_augment (`bool`, *optional*, defaults to `False`):
            Mask stripes of time and frequency in training mode.
        mask_time_width, mask_time_stripes (`int`, *optional*, default to 64 and 2):
            Largest width, in frames, and number of the time stripes.
        mask_feature_width, mask_feature_stripes (`int`, *optional*, default to 8 and 2):
            Largest width, in mel bins, and number of the frequency stripes.
    """

    model_type = "afm_cnn14"
    base_config_key = "encoder_config"

    num_mel_bins: int = 64
    block_channels: list[int] | tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    pool_sizes: list[int] | tuple[int, ...] = (2, 2, 2, 2, 2, 1)
    hidden_size: int = 2048
    conv_dropout: float | int = 0.2
    dropout: float | int = 0.5
    use_clipwise_head: bool = False
    num_classes: int = 527
    apply_spec_augment: bool = False
    mask_time_width: int = 64
    mask_time_stripes: int = 2
    mask_feature_width: int = 8
    mask_feature_stripes: int = 2

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if len(self.block_channels) != len(self.pool_sizes):
            raise ValueError(
                f"`block_channels` and `pool_sizes` name one value per block, but have {len(self.block_channels)} and "
                f"{len(self.pool_sizes)} entries."
            )

    @property
    def num_hidden_layers(self) -> int:
        """Number of convolutional blocks."""
        return len(self.block_channels)

    @property
    def min_frames(self) -> int:
        """Frames below which pooling would leave nothing (32 for the official sizes)."""
        product = 1
        for size in self.pool_sizes:
            product *= size
        return product

    def num_steps(self, frames: int) -> int:
        """Steps of the last feature map for a spectrogram of `frames` (31 for 10 s at 32 kHz)."""
        for size in self.pool_sizes:
            frames //= size
        return frames


__all__ = ["AfmCnn14Config"]
