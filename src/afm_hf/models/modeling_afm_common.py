"""Parts that all audio encoders and heads of this package share: projection, spectrogram batch norm, SpecAugment."""

import torch
from torch import nn
from torch.nn import functional as F


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
        self.linear1 = nn.Linear(in_features, out_features, bias=False)
        self.linear2 = nn.Linear(out_features, out_features, bias=False)
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

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        log_mel = log_mel.float()
        if self.training:
            mels_first = log_mel.squeeze(1).transpose(1, 2)  # (batch, 1, frames, mels) -> (batch, mels, frames)
            return super().forward(mels_first).transpose(1, 2).unsqueeze(1)
        # A fixed affine map per band: no need to bring the bands to dimension 1 as batch_norm wants them.
        scale = self.weight.float() * torch.rsqrt(self.running_var.float() + self.eps)
        shift = self.bias.float() - self.running_mean.float() * scale
        return log_mel * scale + shift


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
