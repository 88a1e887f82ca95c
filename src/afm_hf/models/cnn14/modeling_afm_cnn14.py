"""Cnn14 (PANNs): the convolutional audio encoder of CLAP 2022.

Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition" (2020). Differences to
the official code: the front-end lives in the feature extractor, the batch norm over mel bands stays in fp32, the
AudioSet classifier is there only where it is used (Mellow's ablation), and the sizes are a config.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ..common.batch_norms_afm import StillBatchNorms
from ..common.modeling_afm_common import MelBatchNorm, SpecAugment, check_log_mel
from .configuration_afm_cnn14 import AfmCnn14Config


@dataclass
class AfmCnn14ModelOutput(ModelOutput):
    """Output of [`AfmCnn14Model`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, steps, channels)`):
            Last feature map, averaged over frequency; one step is `prod(pool_sizes)` frames (32 officially).
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`):
            Maximum plus mean over time, through `fc1` and ReLU: the official `embedding`.
        clipwise_output (`torch.Tensor` of shape `(batch, num_classes)`, *optional*):
            Probabilities of the AudioSet classes, if `config.use_clipwise_head`.
        hidden_states (`tuple(torch.Tensor)`, *optional*):
            Input and output of every block, `(batch, channels, frames, mels)`.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    clipwise_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class AfmCnn14Block(GradientCheckpointingLayer):
    """Two 3 x 3 convolutions with batch norm and ReLU, then average pooling and dropout."""

    def __init__(self, in_channels: int, out_channels: int, pool_size: int, dropout: float) -> None:
        super().__init__()
        self.pool_size = pool_size
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        hidden_states = F.relu_(self.bn1(self.conv1(hidden_states)))
        hidden_states = F.relu_(self.bn2(self.conv2(hidden_states)))
        if self.pool_size > 1:
            hidden_states = F.avg_pool2d(hidden_states, self.pool_size)
        return self.dropout(hidden_states)


class AfmCnn14PreTrainedModel(StillBatchNorms, PreTrainedModel):
    config: AfmCnn14Config
    base_model_prefix = "encoder"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True  # there is no attention in it: a whole model's choice must not be refused here
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmCnn14Block"]
    _keep_in_fp32_modules_strict = ["bn0"]
    _can_record_outputs = {"hidden_states": AfmCnn14Block}


class AfmCnn14Model(AfmCnn14PreTrainedModel):
    """The Cnn14 encoder: log-mel `input_features` `(batch, 1, frames, mels)` in dB -> one embedding per clip.

    Example:
    ```python
    >>> import torch
    >>> from afm_hf import AfmCnn14Config, AfmCnn14Model

    >>> model = AfmCnn14Model(AfmCnn14Config(block_channels=[8, 16], pool_sizes=[2, 2], hidden_size=32)).eval()
    >>> with torch.no_grad():
    ...     model(torch.full((1, 1, 690, 64), -30.0)).pooler_output.shape
    torch.Size([1, 32])

    ```
    """

    def __init__(self, config: AfmCnn14Config) -> None:
        super().__init__(config)
        self.bn0 = MelBatchNorm(config.num_mel_bins)
        self.spec_augment = SpecAugment(
            config.mask_time_width, config.mask_time_stripes, config.mask_feature_width, config.mask_feature_stripes
        )
        channels = [1, *config.block_channels]
        self.blocks = nn.ModuleList(
            AfmCnn14Block(channels[i], channels[i + 1], pool_size, config.conv_dropout)
            for i, pool_size in enumerate(config.pool_sizes)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.fc1 = nn.Linear(channels[-1], config.hidden_size)
        if config.use_clipwise_head:
            self.fc_audioset = nn.Linear(config.hidden_size, config.num_classes)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.blocks.get_submodule("0.conv1")

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.blocks[0].conv1 = value

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, ...] | AfmCnn14ModelOutput:
        r"""Encodes log-mel spectrograms.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 1, frames, num_mel_bins)`):
                Log-mel in dB, from the feature extractor. Any number of frames from `config.min_frames` on.

        Raises:
            ValueError: on another shape, or on fewer frames than the pooling needs.
        """
        check_log_mel(input_features, self.config.num_mel_bins, type(self).__name__)
        if input_features.shape[2] < self.config.min_frames:
            raise ValueError(
                f"{type(self).__name__} pools {self.config.min_frames} frames into one, but was given only "
                f"{input_features.shape[2]}. Pad the audio in the feature extractor (`padding='repeat'`)."
            )
        spectra = self.bn0(input_features)
        if self.config.apply_spec_augment:
            spectra = self.spec_augment(spectra)
        hidden_states = spectra.to(self.blocks.get_submodule("0.conv1").weight.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, **kwargs)
        steps = hidden_states.mean(dim=3).transpose(1, 2)  # (batch, 2048, frames / 32, 2) -> (batch, frames / 32, 2048)
        pooled = steps.amax(dim=1) + steps.mean(dim=1)  # (batch, 2048)
        latent = F.relu(self.fc1(self.dropout(pooled)))
        clipwise = torch.sigmoid(self.fc_audioset(latent)) if self.config.use_clipwise_head else None
        return AfmCnn14ModelOutput(
            last_hidden_state=steps, pooler_output=self.dropout(latent), clipwise_output=clipwise
        )


__all__ = ["AfmCnn14Model", "AfmCnn14ModelOutput", "AfmCnn14PreTrainedModel"]
