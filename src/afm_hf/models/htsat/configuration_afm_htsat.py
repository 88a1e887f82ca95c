"""Configuration of HTSAT, the Swin transformer on log-mel images that CLAP 2023, Pengi, ADIFF and Mellow stand on.

Chen et al., "HTS-AT: A Hierarchical Token-Semantic Audio Transformer" (ICASSP 2022); the defaults are the sizes of the
official CLAP 2023 checkpoint (31 M parameters).
"""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict

from ..common.configuration_afm_common import AfmConfig


@strict
class AfmHtsatConfig(AfmConfig):
    r"""Configuration of an [`AfmHtsatModel`].

    Args:
        spec_size (`int`, *optional*, defaults to 256):
            Side of the square image (in log-mel bins) into which a spectrogram is folded. Spectrograms are stretched to
            `spec_size * spec_size // num_mel_bins` frames, the time quarters are then stacked along frequency.
        num_mel_bins (`int`, *optional*, defaults to 64):
            Mel bands of the input.
        patch_size (`int`, *optional*, defaults to 4):
            Side and stride of a patch, in bins of the folded image.
        embed_dim (`int`, *optional*, defaults to 96):
            Width of the first stage; every stage doubles it.
        depths (`list[int]`, *optional*, defaults to `[2, 2, 6, 2]`):
            Blocks per stage.
        num_attention_heads (`list[int]`, *optional*, defaults to `[4, 8, 16, 32]`):
            Attention heads per stage.
        window_size (`int`, *optional*, defaults to 8):
            Side of an attention window, in patches.
        mlp_ratio (`float`, *optional*, defaults to 4.0):
            Width of a block's MLP relative to its stage.
        qkv_bias (`bool`, *optional*, defaults to `True`):
            Whether queries, keys and values have a bias.
        hidden_act (`str`, *optional*, defaults to `"gelu"`):
            Activation of the MLPs.
        drop_path_rate (`float`, *optional*, defaults to 0.1):
            Stochastic depth of the last block; it grows linearly from 0. Both branches of a block are dropped.
        attention_dropout (`float`, *optional*, defaults to 0.0):
            Dropout of the attention weights.
        layer_norm_eps (`float`, *optional*, defaults to 1e-5):
            Epsilon of all layer norms.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the truncated normal initialisation.
        apply_spec_augment (`bool`, *optional*, defaults to `True`):
            Mask stripes of time and frequency in training mode (never in evaluation mode).
        mask_time_width, mask_time_stripes (`int`, *optional*, default to 64 and 2):
            Largest width, in frames, and number of the time stripes.
        mask_feature_width, mask_feature_stripes (`int`, *optional*, default to 8 and 2):
            Largest width, in mel bins, and number of the frequency stripes.
        use_framewise_head (`bool`, *optional*, defaults to `False`):
            Whether the token-semantic head (`tscam_conv`) exists, which gives frame-wise and clip-wise AudioSet
            probabilities. Mellow needs it; for the others it would only be unused parameters.
        num_classes (`int`, *optional*, defaults to 527):
            Classes of that head (AudioSet's 527).
        long_input (`str`, *optional*, defaults to `"cover"`):
            What happens in evaluation to more frames than the image holds (1024): `"cover"` averages the outputs over
            windows of `long_window_frames` every `long_window_hop` frames, and a last one that ends with the input;
            `"official"` uses the authors' windows, which drop the tail; `"error"` refuses. In training mode one random
            crop is taken, as the authors do.
        long_window_frames, long_window_hop (`int`, *optional*):
            Length and hop of those windows, in frames. By default the authors' share of the image: 689 and 344 of 1024.
    """

    model_type = "afm_htsat"
    base_config_key = "encoder_config"

    spec_size: int = 256
    num_mel_bins: int = 64
    patch_size: int = 4
    embed_dim: int = 96
    depths: list[int] | tuple[int, ...] = (2, 2, 6, 2)
    num_attention_heads: list[int] | tuple[int, ...] = (4, 8, 16, 32)
    window_size: int = 8
    mlp_ratio: float | int = 4.0
    qkv_bias: bool = True
    hidden_act: str = "gelu"
    drop_path_rate: float | int = 0.1
    attention_dropout: float | int = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    apply_spec_augment: bool = True
    mask_time_width: int = 64
    mask_time_stripes: int = 2
    mask_feature_width: int = 8
    mask_feature_stripes: int = 2
    use_framewise_head: bool = False
    num_classes: int = 527
    # Parity: the authors' windows drop the tail; "official" is what a converted checkpoint uses.
    long_input: Literal["cover", "official", "error"] = "cover"
    long_window_frames: int | None = None
    long_window_hop: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if len(self.depths) != len(self.num_attention_heads):
            raise ValueError(
                f"`depths` and `num_attention_heads` name one value per stage, but have {len(self.depths)} and "
                f"{len(self.num_attention_heads)} entries."
            )
        if self.spec_size % self.num_mel_bins:
            raise ValueError(
                f"`spec_size` ({self.spec_size}) must be a multiple of `num_mel_bins` ({self.num_mel_bins}): the "
                "image is made of whole time quarters stacked along frequency."
            )
        smallest = self.patch_size * 2 ** (len(self.depths) - 1)
        if self.num_mel_bins % self.patch_size or self.spec_size % smallest:
            raise ValueError(
                f"`spec_size` ({self.spec_size}) must be a multiple of patch_size x 2^(stages - 1) = {smallest}, and "
                f"`num_mel_bins` ({self.num_mel_bins}) of `patch_size` ({self.patch_size})."
            )
        resolutions = [self.spec_size // self.patch_size // 2**stage for stage in range(len(self.depths))]
        for resolution in resolutions:
            if resolution % min(self.window_size, resolution):
                raise ValueError(
                    f"The stages have images of {resolutions} patches a side, and {resolution} cannot be divided into "
                    f"windows of `window_size` = {self.window_size}."
                )
        if self.use_framewise_head and resolutions[-1] % self.freq_ratio:
            raise ValueError(
                f"`use_framewise_head` unfolds the {self.freq_ratio} time quarters (`spec_size` / `num_mel_bins`) of "
                f"the last stage, but that has only {resolutions[-1]} rows of patches."
            )
        if self.long_window_frames is None:
            self.long_window_frames = self.max_frames * 689 // 1024
        if self.long_window_hop is None:
            self.long_window_hop = self.max_frames * 344 // 1024
        if not (0 < self.long_window_frames <= self.max_frames and self.long_window_hop > 0):
            raise ValueError(
                f"A window of a long input has 1 to {self.max_frames} frames (what the image holds) and a hop of at "
                f"least 1, but `long_window_frames` is {self.long_window_frames} and `long_window_hop` is "
                f"{self.long_window_hop}."
            )

    @property
    def hidden_size(self) -> int:
        """Width of the last stage, and of the pooled embedding."""
        return self.embed_dim * 2 ** (len(self.depths) - 1)

    @property
    def num_hidden_layers(self) -> int:
        """Number of stages."""
        return len(self.depths)

    @property
    def freq_ratio(self) -> int:
        """Time quarters that are stacked along frequency (4 for 64 bins in a 256 x 256 image)."""
        return self.spec_size // self.num_mel_bins

    @property
    def max_frames(self) -> int:
        """Frames that the folded image holds (1024)."""
        return self.spec_size * self.freq_ratio


__all__ = ["AfmHtsatConfig"]
