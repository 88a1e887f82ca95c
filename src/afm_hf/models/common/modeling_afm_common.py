"""Parts that several models share: projection, mappers to prefixes, batch norm over mel bands, SpecAugment."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .int8_afm import is_int8
from .window_streams_afm import StreamedWindows, WindowRun

WINDOWS_PER_FORWARD = 32
ONE_AT_A_TIME = "An encoder in eight bits gives hidden states and attentions of one clip at a time only."


class AfmProjectionLinear(nn.Linear):
    """A linear layer of [`AfmProjection`]. A class of its own because it starts differently (`xavier_uniform_`), and
    transformers asks `_init_weights` only about modules that own parameters.
    """


class AfmProjection(nn.Module):
    """The projection head of every system of the thesis: `LayerNorm(e1 + dropout(W2 gelu(e1)))` with `e1 = W1 x`.

    The papers call it a linear projection; the released code (`Projection` in msclap, Pengi, Mellow and ADIFF) is this
    non-linear one. Both matrices have no bias.

    Args:
        in_features (`int`): Width of the input.
        out_features (`int`): Width of the shared space.
        dropout (`float`): Dropout probability of the second branch.
        layer_norm_eps (`float`): Epsilon of the layer norm.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.5, layer_norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.linear1 = AfmProjectionLinear(in_features, out_features, bias=False)
        self.linear2 = AfmProjectionLinear(out_features, out_features, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.layer_norm = nn.LayerNorm(out_features, eps=layer_norm_eps)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        first = self.linear1(hidden_states)  # (..., in_features) -> (..., out_features)
        second = self.dropout(self.linear2(F.gelu(first)))
        return self.layer_norm(first + second)


class MelBatchNorm(nn.BatchNorm1d):
    """Batch norm over the mel bands of `(batch, 1, frames, mels)`, always computed and returned in fp32.

    Log-mels span some 100 dB, so half precision would lose the quiet parts before the encoder sees them.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, num_mel_bins: int) -> None:
        super().__init__(num_mel_bins, dtype=torch.float32)  # whatever the others are made in

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        log_mel = log_mel.float()
        if self.training:
            mels_first = log_mel.squeeze(1).transpose(1, 2)  # (batch, 1, frames, mels) -> (batch, mels, frames)
            return self._normalize_by_batch(mels_first).transpose(1, 2).unsqueeze(1)
        # A fixed affine map per band: no need to bring the bands to dimension 1 as batch_norm wants them.
        scale = self.weight.float() * torch.rsqrt(self.running_var.float() + self.eps)
        shift = self.bias.float() - self.running_mean.float() * scale
        return log_mel * scale + shift

    def _normalize_by_batch(self, mels_first: torch.Tensor) -> torch.Tensor:
        """The training mode of `nn.BatchNorm1d`, in fp32 even where `model.to(torch.bfloat16)` turned the weights."""
        if self.running_mean.dtype == torch.float32:
            return super().forward(mels_first)
        mean, variance = self.running_mean.float(), self.running_var.float()
        normalized = F.batch_norm(
            mels_first, mean, variance, self.weight.float(), self.bias.float(), True, self.momentum or 0.0, self.eps
        )
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return normalized


class SpecAugment(nn.Module):
    """Zeroes random stripes of time and of frequency, separately for each example, in training mode only.

    Park et al. (2019), in the form of torchlibrosa's `SpecAugmentation` that HTSAT uses: the width of a stripe is
    uniform in [0, width), its start uniform over the positions where it fits.

    Args:
        time_width, time_stripes (`int`): Largest width in frames, number of stripes.
        feature_width, feature_stripes (`int`): Largest width in mel bands, number of stripes.
    """

    def __init__(self, time_width: int, time_stripes: int, feature_width: int, feature_stripes: int) -> None:
        super().__init__()
        self.time_width, self.time_stripes = time_width, time_stripes
        self.feature_width, self.feature_stripes = feature_width, feature_stripes

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return log_mel
        batch, _, frames, mels = log_mel.shape
        hidden = self._stripes(batch, frames, self.time_width, self.time_stripes, log_mel.device)[:, None, :, None]
        hidden = (
            hidden | self._stripes(batch, mels, self.feature_width, self.feature_stripes, log_mel.device)[:, None, None]
        )
        return log_mel.masked_fill(hidden, 0.0)

    @staticmethod
    def _stripes(batch: int, size: int, width: int, count: int, device: torch.device) -> torch.Tensor:
        """Boolean mask `(batch, size)` that is true inside one of `count` random stripes."""
        widths = (torch.rand(batch, count, 1, device=device) * min(width, size)).long()
        starts = (torch.rand(batch, count, 1, device=device) * (size - widths)).long()
        position = torch.arange(size, device=device)
        return ((position >= starts) & (position < starts + widths)).any(dim=1)


def with_config_defaults(kwargs: dict[str, Any], *configs: PreTrainedConfig) -> dict[str, Any]:
    """The arguments of a call, and what any of the configs wants to be returned where the call says nothing of it."""
    names = ("output_hidden_states", "output_attentions")
    wanted = {name: True for name in names if any(getattr(config, name) for config in configs)}
    return {**wanted, **{name: value for name, value in kwargs.items() if value is not None or name not in wanted}}


def cut_frames(
    input_features: torch.Tensor, num_mel_bins: int, size: int, hop: int, what: str, model_name: str
) -> torch.Tensor:
    """`(batch, 1, frames, mels)` -> `(batch, parts, size, mels)`; frames behind the last whole part are left out.

    Args:
        input_features (`torch.Tensor`): What the encoder was given.
        num_mel_bins (`int`): Mel bands that it was built for.
        size, hop (`int`): Frames of a part, and from the beginning of one to that of the next.
        what, model_name (`str`): What the parts are called, and the encoder, in messages.

    Raises:
        ValueError: for another shape, or fewer frames than a part has.
    """
    check_log_mel(input_features, num_mel_bins, model_name)
    frames = input_features.shape[2]
    if frames < size:
        raise ValueError(
            f"{model_name} reads {what} of {size} frames, but was given only {frames}. Fill up the audio in the "
            "feature extractor."
        )
    return input_features[:, 0].unfold(1, size, hop).transpose(2, 3)


def check_log_mel(input_features: torch.Tensor, num_mel_bins: int, model_name: str) -> None:
    """Raises a `ValueError` unless `input_features` is `(batch, 1, frames, num_mel_bins)`.

    Args:
        input_features (`torch.Tensor`): What the encoder was given.
        num_mel_bins (`int`): Mel bands that the encoder was built for.
        model_name (`str`): Named in the message.
    """
    if input_features.ndim != 4 or input_features.shape[1] != 1 or input_features.shape[3] != num_mel_bins:
        raise ValueError(
            f"{model_name} expects log-mel `input_features` of shape (batch, 1, frames, {num_mel_bins}), but was given "
            f"{tuple(input_features.shape)}. Make them with the model's feature extractor."
        )
    if input_features.shape[2] == 0:
        raise ValueError(f"{model_name} was given `input_features` of no frames: {tuple(input_features.shape)}.")


class WindowOwners(NamedTuple):
    """The clip of each window, `rows` `(windows,)`, and what part of the window is heard, `shares` `(windows,)`."""

    rows: torch.Tensor
    shares: torch.Tensor


def flatten_windows(
    input_features: torch.Tensor | StreamedWindows, input_features_mask: torch.Tensor | None
) -> tuple[torch.Tensor | WindowRun, WindowOwners | WindowRun | None]:
    """The windows of a batch in which something is heard, and the clip that each belongs to.

    `(batch, windows, 1, frames, mels)` -> `(heard windows, 1, frames, mels)` and their owners; features that are not
    cut into windows are returned as they are, without owners. Of windows that are yet to be made, the run through them,
    which knows the owners once it is at its end.

    Raises:
        ValueError: if a clip has no window, or the mask is not `(batch, windows)` or has other values than 0 to 1.
    """
    if isinstance(input_features, StreamedWindows):
        run = input_features.begin()
        return run, run
    if input_features.ndim != 5:
        return input_features, None
    batch, windows = input_features.shape[:2]
    if input_features_mask is None:
        shares = torch.ones(batch, windows, device=input_features.device)
    else:
        shares = input_features_mask.to(input_features.device).float()
    if shares.shape != (batch, windows):
        raise ValueError(
            f"`input_features` hold {batch} clips of {windows} windows, but `input_features_mask` has shape "
            f"{tuple(shares.shape)}; expected {(batch, windows)}."
        )
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise ValueError("`input_features_mask` says what part of each window is heard: expected numbers from 0 to 1.")
    heard = shares > 0
    if not bool(heard.any(dim=1).all()):
        raise ValueError(f"`input_features_mask` leaves no window to clip {int(heard.any(dim=1).long().argmin())}.")
    rows = torch.arange(batch, device=input_features.device).repeat_interleave(heard.sum(dim=1))
    return input_features[heard], WindowOwners(rows, shares[heard])


def encode_clips(encoder: nn.Module, features: torch.Tensor, **kwargs: Any) -> Any:
    """
    `encoder(features, **kwargs)`, for log-mels `(clips, 1, frames, mels)`.

    An encoder in eight bits hears one clip at a time, as its steps follow from what is heard: what it makes of a clip
    does not depend on the others.

    Raises:
        ValueError: hidden states or attentions are asked for of several clips by an encoder in eight bits.
    """
    if len(features) == 1 or not is_int8(encoder):
        return encoder(features, **kwargs)
    if kwargs.get("output_hidden_states") or kwargs.get("output_attentions"):
        raise ValueError(ONE_AT_A_TIME)
    parts = [encoder(part, **kwargs) for part in features.split(1)]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return type(parts[0])(**joined)


def encode_windows(
    encoder: Callable[..., Any],
    features: torch.Tensor | WindowRun,
    owners: WindowOwners | WindowRun | None,
    **kwargs: Any,
) -> Any:
    """
    The encoder's output for what [`flatten_windows`] gives; of many windows, some at a time.

    An hour then needs no more memory than a minute, but for `last_hidden_state`, which those that are made on the way
    have none of. In training, and where all hidden states or attentions are asked for, the windows stay together. An
    encoder in eight bits hears one at a time: its steps follow from what is heard.

    Raises:
        ValueError: hidden states or attentions are asked for of windows that are made on the way, or of several by an
            encoder in eight bits.
    """
    asked = kwargs.get("output_hidden_states") or kwargs.get("output_attentions")
    alone = isinstance(encoder, nn.Module) and is_int8(encoder)
    if isinstance(features, WindowRun):
        if asked:
            raise ValueError(
                "Hidden states and attentions of long clips in windows are not kept. Make the features without "
                "`stream_windows`."
            )
        device = next(encoder.parameters()).device  # type: ignore[attr-defined]
        pieces = (piece for part in features for piece in (part.split(1) if alone else (part,)))
        return BaseModelOutputWithPooling(
            pooler_output=torch.cat([encoder(piece.to(device), **kwargs).pooler_output for piece in pieces])
        )
    in_one = not alone and (owners is None or torch.is_grad_enabled() or asked)
    together = 1 if alone else WINDOWS_PER_FORWARD
    if in_one or len(features) <= together:  # in this order: an export keeps the length of a batch free
        return encoder(features, **kwargs)
    if asked:
        raise ValueError(ONE_AT_A_TIME)
    parts = [encoder(part, **kwargs) for part in features.split(together)]
    return BaseModelOutputWithPooling(
        last_hidden_state=torch.cat([part.last_hidden_state for part in parts]),
        pooler_output=torch.cat([part.pooler_output for part in parts]),
    )


def average_windows(embeddings: torch.Tensor, owners: WindowOwners | WindowRun | None) -> torch.Tensor:
    """Mean of the windows of each clip, by what part of them is heard: `(windows, dim)` -> `(batch, dim)`."""
    if owners is None:
        return embeddings
    shares, rows = owners.shares.to(embeddings), owners.rows.to(embeddings.device)
    clips = int(rows[-1]) + 1
    total = embeddings.new_zeros(clips, embeddings.shape[-1]).index_add_(0, rows, embeddings * shares[:, None])
    return total / shares.new_zeros(clips).index_add_(0, rows, shares)[:, None]


class AfmMapperAttention(nn.Module):
    """Self-attention of the mappers: queries, keys and values without bias, output with bias."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"A mapper of width {dim} cannot be divided into {num_heads} attention heads.")
        self.num_heads = num_heads
        self.to_queries = nn.Linear(dim, dim, bias=False)
        self.to_keys_values = nn.Linear(dim, 2 * dim, bias=False)
        self.project = nn.Linear(dim, dim)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, length, dim = hidden_states.shape
        shape = (batch, length, self.num_heads, dim // self.num_heads)
        query = self.to_queries(hidden_states).view(shape).transpose(1, 2)  # (batch, heads, length, head_dim)
        key, value = (
            half.reshape(shape).transpose(1, 2) for half in self.to_keys_values(hidden_states).chunk(2, dim=-1)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.project(attended.transpose(1, 2).reshape(batch, length, dim))


class AfmMapperMLP(nn.Module):
    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, int(dim * mlp_ratio))
        self.fc2 = nn.Linear(int(dim * mlp_ratio), dim)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.relu(self.fc1(hidden_states)))


class AfmMapperLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = AfmMapperAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = AfmMapperMLP(dim, mlp_ratio)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = hidden_states + self.attn(self.norm1(hidden_states))
        return hidden_states + self.mlp(self.norm2(hidden_states))


class AfmMapperTransformer(nn.Module):
    """
    Pre-norm transformer with full self-attention, `(batch, length, dim)` to the same; ADIFF's cross-projection.

    Args:
        dim (`int`): Width.
        num_layers, num_heads (`int`): Layers, attention heads.
        mlp_ratio (`float`): Width of the ReLU MLPs relative to `dim`.
    """

    def __init__(self, dim: int, num_layers: int, num_heads: int = 8, mlp_ratio: float = 2.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AfmMapperLayer(dim, num_heads, mlp_ratio) for _ in range(num_layers))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


class AfmTransformerMapper(nn.Module):
    """
    Turns an embedding, or a sequence of embeddings, into prefix vectors for a language model.

    ClipCap's mapper (Mokady et al., 2021) as CLAPCAP, Pengi and ADIFF use it: the input becomes `prefix_length`
    vectors, as many learned constants are appended, a transformer runs over both, and what it puts in the constants'
    places is the prefix.

    Args:
        dim (`int`): Width of the language model.
        input_dim (`int`, *optional*): Width of a single input embedding; without it the input is a sequence already.
        prefix_length (`int`): Vectors of the prefix.
        num_layers, num_heads, mlp_ratio: See [`AfmMapperTransformer`].
    """

    def __init__(
        self,
        dim: int,
        input_dim: int | None,
        prefix_length: int = 40,
        num_layers: int = 8,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        self.prefix_length = prefix_length
        self.linear = None if input_dim is None else nn.Linear(input_dim, prefix_length * dim)
        self.prefix_const = nn.Parameter(torch.randn(prefix_length, dim))
        self.transformer = AfmMapperTransformer(dim, num_layers, num_heads, mlp_ratio)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """`(batch, input_dim)`, or `(batch, length, dim)` without a linear layer -> `(batch, prefix_length, dim)`."""
        if self.linear is not None:
            embeddings = self.linear(embeddings).view(len(embeddings), self.prefix_length, -1)
        constants = self.prefix_const.expand(len(embeddings), -1, -1)
        mapped = self.transformer(torch.cat([embeddings, constants], dim=1))
        return mapped[:, -self.prefix_length :]


class AfmLinearMapper(nn.Module):
    """
    The papers' simplest way from an embedding to a prefix: one linear layer.

    Args:
        dim (`int`): Width of the language model.
        input_dim (`int`, *optional*): Width of a single input embedding; without it the input is a sequence already,
            and each of its vectors is mapped by itself.
        prefix_length (`int`): Vectors of the prefix.
    """

    def __init__(self, dim: int, input_dim: int | None, prefix_length: int = 40) -> None:
        super().__init__()
        self.prefix_length = prefix_length
        self.is_sequence = input_dim is None
        self.linear = nn.Linear(dim, dim) if input_dim is None else nn.Linear(input_dim, prefix_length * dim)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """
        `(batch, input_dim)`, or `(batch, prefix_length, dim)` for sequences -> `(batch, prefix_length, dim)`.

        Raises:
            ValueError: if a sequence is not as long as the prefix.
        """
        if not self.is_sequence:
            return self.linear(embeddings).unflatten(-1, (self.prefix_length, -1))
        if embeddings.shape[1] != self.prefix_length:
            raise ValueError(
                f"The prompt has {embeddings.shape[1]} tokens, but a linear mapper makes one of the prefix's "
                f"{self.prefix_length} vectors of each. Set the processor's `prompt_length` to {self.prefix_length}."
            )
        return self.linear(embeddings)


def build_mapper(config: Any, input_dim: int | None) -> nn.Module:
    """
    The mapper that a model's config describes, `"transformer"` or `"linear"`.

    Args:
        config: With `mapper`, `hidden_size`, `prefix_length`, `mapper_layers`, `mapper_heads`, `mapper_mlp_ratio`.
        input_dim (`int`, *optional*): Width of a single input embedding; `None` for a sequence of words' vectors.
    """
    if config.mapper == "linear":
        return AfmLinearMapper(config.hidden_size, input_dim, config.prefix_length)
    return AfmTransformerMapper(
        config.hidden_size,
        input_dim,
        config.prefix_length,
        config.mapper_layers,
        config.mapper_heads,
        config.mapper_mlp_ratio,
    )
