"""HTSAT: a Swin transformer over a log-mel spectrogram that was folded into a square image.

Chen et al., "HTS-AT: A Hierarchical Token-Semantic Audio Transformer" (ICASSP 2022), as released with CLAP 2023, Pengi,
ADIFF and Mellow. Differences to the official code: the front-end lives in the feature extractor; all windows of a long
input go through one batched forward; batch norm and the bicubic stretch stay in fp32 whatever the model's dtype; the
token-semantic head exists only where it is used. In evaluation mode the outputs are the official ones.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ..common.batch_norms_afm import StillBatchNorms
from ..common.fused_linear_afm import is_undisturbed, linear
from ..common.modeling_afm_common import MelBatchNorm, SpecAugment, check_log_mel
from .configuration_afm_htsat import AfmHtsatConfig

# A batch whose activations are larger than this goes through a stage in parts on a CPU.
CPU_CACHE_BYTES = 8 * 2**20


@dataclass
class AfmHtsatModelOutput(ModelOutput):
    """Output of [`AfmHtsatModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, tokens, hidden_size)`):
            Patch tokens after the last norm, row by row of the folded image (64 tokens, 8 x 8, at the official size).
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`):
            Mean over the tokens: the official `latent_output`.
        framewise_output (`torch.Tensor` of shape `(batch, max_frames, num_classes)`, *optional*):
            Class probabilities per frame, if the config has `use_framewise_head`. Neighbouring frames repeat: 32 of
            the 1024 rows are distinct at the official size.
        clipwise_output (`torch.Tensor` of shape `(batch, num_classes)`, *optional*):
            Class probabilities of the clip, if the config has `use_framewise_head`.
        hidden_states (`tuple(torch.Tensor)`, *optional*): Patch embeddings and the output of every stage.
        attentions (`tuple(torch.Tensor)`, *optional*): `(batch * windows, heads, patches, patches)` of every block.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    framewise_output: torch.Tensor | None = None
    clipwise_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain softmax attention: the readable twin of the SDPA path, and the one that returns the weights."""
    scores = torch.matmul(query, key.transpose(-1, -2)) * scaling  # (windows, heads, patches, patches)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def split_windows(image: torch.Tensor, size: int) -> torch.Tensor:
    """`(batch, height, width, channels)` -> `(batch * windows, size * size, channels)`."""
    batch, height, width, channels = image.shape
    image = image.view(batch, height // size, size, width // size, size, channels)
    return image.transpose(2, 3).reshape(-1, size * size, channels)


def join_windows(windows: torch.Tensor, size: int, height: int, width: int) -> torch.Tensor:
    """`(batch * windows, size * size, channels)` -> `(batch, height, width, channels)`."""
    channels = windows.shape[-1]
    windows = windows.view(-1, height // size, width // size, size, size, channels)
    return windows.transpose(2, 3).reshape(-1, height, width, channels)


class AfmHtsatAttention(nn.Module):
    """Multi-head self-attention inside one window, with a learned bias per relative position of two patches."""

    relative_position_index: torch.Tensor

    def __init__(self, config: AfmHtsatConfig, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"A stage of width {dim} cannot be divided into {num_heads} attention heads.")
        self.config = config
        self.window_size = window_size
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False
        self.qkv = nn.Linear(dim, 3 * dim, bias=config.qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window_size - 1) ** 2, num_heads))
        self.register_buffer("relative_position_index", self.make_relative_position_index(), persistent=False)

    def make_relative_position_index(self) -> torch.Tensor:
        """Row of the bias table for each pair of patches, `(patches * patches,)`."""
        size = self.window_size
        rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        rows, columns = rows.flatten(), columns.flatten()
        row_offset = rows[:, None] - rows[None, :] + size - 1
        column_offset = columns[:, None] - columns[None, :] + size - 1
        return (row_offset * (2 * size - 1) + column_offset).flatten()

    def position_bias(self) -> torch.Tensor:
        """`(1, heads, patches, patches)`."""
        patches = self.window_size**2
        bias = self.relative_position_bias_table[self.relative_position_index]  # (patches * patches, heads)
        return bias.view(patches, patches, self.num_heads).permute(2, 0, 1)[None]

    def forward(
        self, windows: torch.Tensor, mask: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attends within windows `(count, patches, dim)`; `mask` is `(count or 1, heads, patches, patches)`."""
        count, patches, dim = windows.shape
        qkv = linear(self.qkv, windows).view(count, patches, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # 3 x (count, heads, patches, head_dim)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, weights = attention(
            self,
            query,
            key,
            value,
            mask.to(query.dtype),
            scaling=self.scaling,
            dropout=self.attention_dropout if self.training else 0.0,
            **kwargs,
        )
        return linear(self.proj, output.reshape(count, patches, dim)), weights


class AfmHtsatMLP(nn.Module):
    def __init__(self, config: AfmHtsatConfig, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, int(dim * config.mlp_ratio))
        self.act = ACT2FN[config.hidden_act]
        self.is_gelu = config.hidden_act == "gelu"
        self.fc2 = nn.Linear(int(dim * config.mlp_ratio), dim)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if self.is_gelu:
            return linear(self.fc2, linear(self.fc1, hidden_states, gelu=True))
        return self.fc2(self.act(self.fc1(hidden_states)))


class AfmHtsatDropPath(nn.Module):
    """Stochastic depth: drops a whole residual branch for some examples of the batch, in training mode."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        if self.rate == 0.0 or not self.training:
            return branch
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        kept = (torch.rand(shape, device=branch.device) >= self.rate).to(branch.dtype)
        return branch * kept / (1.0 - self.rate)


class AfmHtsatBlock(GradientCheckpointingLayer):
    """Window attention and MLP, pre-norm; every second block shifts the windows by half a window."""

    def __init__(
        self, config: AfmHtsatConfig, dim: int, num_heads: int, resolution: int, shifted: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.window_size = min(config.window_size, resolution)
        # One window covers the whole image: nothing to shift.
        self.shift = config.window_size // 2 if shifted and resolution > config.window_size else 0
        self.norm1 = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.attn = AfmHtsatAttention(config, dim, num_heads, self.window_size)
        self.norm2 = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.mlp = AfmHtsatMLP(config, dim)
        self.drop_path = AfmHtsatDropPath(drop_path)
        self.register_buffer("shift_mask", self.make_shift_mask() if self.shift else None, persistent=False)

    def make_shift_mask(self) -> torch.Tensor:
        """`(windows, 1, patches, patches)`: -100 between patches that the cyclic shift made neighbours."""
        size, shift = self.window_size, self.shift
        band = torch.zeros(self.resolution)
        band[-size:-shift] = 1
        band[-shift:] = 2
        region = 3 * band[:, None] + band[None, :]
        region = split_windows(region[None, :, :, None], size).squeeze(-1)  # (windows, patches)
        differs = region[:, :, None] != region[:, None, :]
        return torch.zeros(differs.shape).masked_fill(differs, -100.0)[:, None]

    def forward(self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        batch = hidden_states.shape[0]
        windows = self._split(self.norm1(hidden_states))  # (batch * windows, patches, dim)
        attended, _ = self.attn(windows, self._mask(batch), **kwargs)
        hidden_states = hidden_states + self.drop_path(self._join(attended, batch))
        return hidden_states + self.drop_path(self.mlp(self.norm2(hidden_states)))

    def _split(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(batch, length, dim)` -> `(batch * windows, patches, dim)`, shifted."""
        batch, _, dim = hidden_states.shape
        if self.shift and is_undisturbed(hidden_states):  # one copy instead of two
            order = self._window_order()
            return hidden_states.index_select(1, order).view(-1, self.window_size**2, dim)
        image = hidden_states.view(batch, self.resolution, self.resolution, dim)
        if self.shift:
            image = torch.roll(image, shifts=(-self.shift, -self.shift), dims=(1, 2))
        return split_windows(image, self.window_size)

    def _join(self, windows: torch.Tensor, batch: int) -> torch.Tensor:
        """`(batch * windows, patches, dim)` -> `(batch, length, dim)`: undoes `_split`."""
        length, dim = self.resolution**2, windows.shape[-1]
        if self.shift and is_undisturbed(windows):
            return windows.new_empty(batch, length, dim).index_copy_(
                1, self._window_order(), windows.view(batch, length, dim)
            )
        image = join_windows(windows, self.window_size, self.resolution, self.resolution)
        if self.shift:
            image = torch.roll(image, shifts=(self.shift, self.shift), dims=(1, 2))
        return image.view(batch, length, dim)

    def _window_order(self) -> torch.Tensor:
        """Which patches the shifted windows hold, one window after the other: `(length,)`, on the CPU."""
        image = torch.arange(self.resolution**2).view(1, self.resolution, self.resolution, 1)
        image = torch.roll(image, shifts=(-self.shift, -self.shift), dims=(1, 2))
        return split_windows(image, self.window_size).flatten()

    def _mask(self, batch: int) -> torch.Tensor:
        """What is added to the scores, `(1 or batch * windows, heads, patches, patches)`."""
        mask = self.attn.position_bias()
        if self.shift_mask is None:
            return mask
        return (mask + self.shift_mask).expand(batch, -1, -1, -1, -1).flatten(0, 1)


class AfmHtsatPatchMerging(nn.Module):
    """Halves the resolution and doubles the width: each 2 x 2 neighbourhood becomes one token."""

    def __init__(self, config: AfmHtsatConfig, dim: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.norm = nn.LayerNorm(4 * dim, eps=config.layer_norm_eps)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, _, dim = hidden_states.shape
        half = self.resolution // 2
        image = hidden_states.view(batch, half, 2, half, 2, dim)  # rows and columns, each split into (half, even/odd)
        # The official order of the four neighbours: the row's parity changes fastest.
        merged = image.permute(0, 1, 3, 4, 2, 5).reshape(batch, half * half, 4 * dim)
        return linear(self.reduction, self.norm(merged))  # (batch, length / 4, 4 * dim) -> (batch, length / 4, 2 * dim)


class AfmHtsatStage(nn.Module):
    """Blocks of one resolution, then a merging of patches (but for the last stage)."""

    def __init__(self, config: AfmHtsatConfig, index: int, resolution: int, drop_paths: list[float]) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim * 2**index
        self.blocks = nn.ModuleList(
            AfmHtsatBlock(config, dim, config.num_attention_heads[index], resolution, bool(i % 2), drop_path)
            for i, drop_path in enumerate(drop_paths)
        )
        is_last = index == len(config.depths) - 1
        self.downsample = None if is_last else AfmHtsatPatchMerging(config, dim, resolution)

    def forward(self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        clips = self._clips_in_cache(hidden_states)
        if clips is None or clips >= hidden_states.shape[0]:
            return self._run(hidden_states, **kwargs)
        return torch.cat([self._run(chunk, **kwargs) for chunk in hidden_states.split(clips)])

    def _run(self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        for block in self.blocks:
            hidden_states = block(hidden_states, **kwargs)
        return hidden_states if self.downsample is None else self.downsample(hidden_states)

    def _clips_in_cache(self, hidden_states: torch.Tensor) -> int | None:
        """
        How many clips to take at a time: on a CPU, without gradients, only as many as its caches hold; None for all.

        With eager attention, which can be asked for its weights, the batch stays whole.
        """
        _, tokens, dim = hidden_states.shape
        if not is_undisturbed(hidden_states) or self.config._attn_implementation == "eager":
            return None
        largest = int(tokens * dim * self.config.mlp_ratio) * hidden_states.element_size()  # of the MLP, per clip
        return max(1, CPU_CACHE_BYTES // largest)


class AfmHtsatPatchEmbedding(nn.Module):
    def __init__(self, config: AfmHtsatConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.embed_dim, kernel_size=config.patch_size, stride=config.patch_size)
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = image.to(self.proj.weight.dtype)
        if is_undisturbed(image) and type(self.proj) is nn.Conv2d and not self.proj._forward_hooks:
            return self.norm(self._product(image))
        patches = self.proj(image)  # (batch, 1, 256, 256) -> (batch, 96, 64, 64)
        return self.norm(patches.flatten(2).transpose(1, 2))  # -> (batch, 4096, 96)

    def _product(self, image: torch.Tensor) -> torch.Tensor:
        """The convolution as a matrix product, for patches do not overlap: `(batch, 4096, 96)`, tokens last."""
        size = self.proj.weight.shape[-1]
        rows, columns = image.shape[2] // size, image.shape[3] // size
        patches = image.view(-1, rows, size, columns, size).transpose(2, 3).reshape(-1, rows * columns, size * size)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class AfmHtsatPreTrainedModel(StillBatchNorms, PreTrainedModel):
    config: AfmHtsatConfig
    base_model_prefix = "encoder"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = False  # an additive position bias is needed
    _supports_flex_attn = False
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmHtsatBlock"]
    _keep_in_fp32_modules_strict = ["bn0"]
    _can_record_outputs = {"hidden_states": AfmHtsatStage, "attentions": AfmHtsatAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, AfmHtsatAttention):
            init.trunc_normal_(module.relative_position_bias_table, std=self.config.initializer_range)
            init.copy_(module.relative_position_index, module.make_relative_position_index())
        elif isinstance(module, AfmHtsatBlock) and module.shift_mask is not None:
            init.copy_(module.shift_mask, module.make_shift_mask())


class AfmHtsatModel(AfmHtsatPreTrainedModel):
    """The HTSAT encoder: log-mel `input_features` `(batch, 1, frames, mels)` in dB -> one embedding per clip.

    Example:
    ```python
    >>> import torch
    >>> from afm_hf import AfmHtsatConfig, AfmHtsatModel

    >>> model = AfmHtsatModel(AfmHtsatConfig()).eval()
    >>> log_mel = torch.full((1, 1, 965, 64), -30.0)  # 7 s at 44.1 kHz
    >>> with torch.no_grad():
    ...     model(log_mel).pooler_output.shape
    torch.Size([1, 768])

    ```
    """

    def __init__(self, config: AfmHtsatConfig) -> None:
        super().__init__(config)
        resolution = config.spec_size // config.patch_size
        drop_paths = torch.linspace(0, config.drop_path_rate, sum(config.depths), device="cpu").tolist()
        self.bn0 = MelBatchNorm(config.num_mel_bins)
        self.spec_augment = SpecAugment(
            config.mask_time_width, config.mask_time_stripes, config.mask_feature_width, config.mask_feature_stripes
        )
        self.patch_embed = AfmHtsatPatchEmbedding(config)
        self.layers = nn.ModuleList()
        for index, depth in enumerate(config.depths):
            first = sum(config.depths[:index])
            self.layers.append(AfmHtsatStage(config, index, resolution // 2**index, drop_paths[first : first + depth]))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if config.use_framewise_head:
            quarter_rows = self._final_resolution() // config.freq_ratio
            self.tscam_conv = nn.Conv2d(config.hidden_size, config.num_classes, (quarter_rows, 3), padding=(0, 1))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.patch_embed.proj

    def set_input_embeddings(self, value: nn.Conv2d) -> None:
        self.patch_embed.proj = value

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, ...] | AfmHtsatModelOutput:
        r"""Encodes log-mel spectrograms.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 1, frames, num_mel_bins)`):
                Log-mel in dB, from the feature extractor. More than `config.max_frames` frames are treated as
                `config.long_input` says.

        Raises:
            ValueError: on another shape, or on a long input if `config.long_input` is `"error"`.
        """
        check_log_mel(input_features, self.config.num_mel_bins, type(self).__name__)
        spectra, windows = self._cut_windows(input_features)  # (batch * windows, 1, frames <= 1024, 64)
        spectra = self.bn0(spectra)
        if self.config.apply_spec_augment:
            spectra = self.spec_augment(spectra)
        hidden_states = self.patch_embed(self._fold(spectra))
        for stage in self.layers:
            hidden_states = stage(hidden_states, **kwargs)
        hidden_states = self.norm(hidden_states)  # (batch * windows, 64, 768)
        framewise, clipwise = self._token_semantic(hidden_states) if self.config.use_framewise_head else (None, None)
        hidden_states = mean_over_windows(hidden_states, windows)
        return AfmHtsatModelOutput(
            last_hidden_state=hidden_states,
            pooler_output=hidden_states.mean(dim=1),
            framewise_output=None if framewise is None else mean_over_windows(framewise, windows),
            clipwise_output=None if clipwise is None else mean_over_windows(clipwise, windows),
        )

    def _final_resolution(self) -> int:
        """Rows (and columns) of the image in the last stage: 8 at the official size."""
        return self.config.spec_size // self.config.patch_size // 2 ** (len(self.config.depths) - 1)

    def _cut_windows(self, spectra: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Long spectra as windows in the batch dimension, and how many windows each clip has.

        `(batch, 1, frames, mels)` -> `(batch * windows, 1, window_frames, mels)`; shorter ones stay as they are.
        """
        frames, limit = spectra.shape[2], self.config.max_frames
        if frames <= limit:
            return spectra, 1
        if self.config.long_input == "error":
            raise ValueError(
                f"{type(self).__name__} holds {limit} frames, but was given {frames}. Cut the audio in the feature "
                "extractor (`truncation`), or set `config.long_input` to 'cover' or 'official'."
            )
        if self.training:
            start = int(torch.randint(frames - limit + 1, ()))
            return spectra[:, :, start : start + limit], 1
        starts = long_window_starts(self.config, frames)
        length = self.config.long_window_frames or limit
        windows = torch.stack([spectra[:, :, start : start + length] for start in starts], dim=1)
        return windows.flatten(0, 1), len(starts)

    def _fold(self, spectra: torch.Tensor) -> torch.Tensor:
        """Stretches time to 1024 frames, then stacks its quarters along frequency, in fp32."""
        config = self.config
        if spectra.shape[2] < config.max_frames:
            size = (config.max_frames, config.num_mel_bins)
            spectra = F.interpolate(spectra, size, mode="bicubic", align_corners=True)  # (batch, 1, 1024, 64)
        quarter = config.max_frames // config.freq_ratio
        spectra = spectra.view(-1, config.freq_ratio, quarter, config.num_mel_bins)  # (batch, 4, 256, 64)
        return spectra.transpose(2, 3).reshape(-1, 1, config.spec_size, quarter)  # (batch, 1, 4 * 64, 256)

    def _token_semantic(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frame-wise `(batch, 1024, classes)` and clip-wise `(batch, classes)` probabilities."""
        size, ratio = self._final_resolution(), self.config.freq_ratio
        grid = hidden_states.transpose(1, 2).reshape(-1, self.config.hidden_size, ratio, size // ratio, size)
        # Unfold the quarters: (batch, 768, 4 quarters, 2, 8) -> (batch, 768, 2, 4 * 8 time steps)
        grid = grid.transpose(2, 3).reshape(-1, self.config.hidden_size, size // ratio, ratio * size)
        logits = self.tscam_conv(grid).squeeze(2)  # (batch, classes, 32)
        repeats = self.config.max_frames // logits.shape[-1]
        framewise = torch.sigmoid(logits).repeat_interleave(repeats, dim=-1).transpose(1, 2)
        return framewise, torch.sigmoid(logits.mean(dim=-1))


def long_window_starts(config: AfmHtsatConfig, frames: int) -> list[int]:
    """First frame of each window of a long input; see `long_input` in [`AfmHtsatConfig`]."""
    length, hop = config.long_window_frames or config.max_frames, config.long_window_hop or config.max_frames
    # Parity: the official loop runs `while start < frames - length - 1`, so the last frames may never be seen.
    starts = list(range(0, frames - length - 1, hop)) or [0]
    if config.long_input == "cover" and starts[-1] + length < frames:
        starts.append(frames - length)
    return starts


def mean_over_windows(values: torch.Tensor, windows: int) -> torch.Tensor:
    """`(batch * windows, ...)` -> `(batch, ...)`."""
    return values if windows == 1 else values.unflatten(0, (-1, windows)).mean(dim=1)


__all__ = ["AfmHtsatModel", "AfmHtsatModelOutput", "AfmHtsatPreTrainedModel"]
