"""YAMNet: a MobileNet over log-mel patches of 0.96 s, trained by Google on AudioSet's 521 sounds.

Plakal and Ellis, tensorflow/models, `research/audioset/yamnet` (Apache-2.0); the network is MobileNet v1 (Howard and
others, 2017). Differences to the official code: the front-end lives in the feature extractor, patches are cut here, the
padding that TensorFlow calls SAME is written out.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ..common.batch_norms_afm import StillBatchNorms
from ..common.modeling_afm_common import average_windows, cut_frames, flatten_windows
from .configuration_afm_yamnet import AfmYamnetConfig


@dataclass
class AfmYamnetModelOutput(ModelOutput):
    """Output of [`AfmYamnetModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, patches, hidden_size)`): The embedding of every patch.
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`): Their mean.
        patch_scores (`torch.Tensor` of shape `(batch, patches, num_classes)`, *optional*):
            Probabilities of the classes in every patch, each by itself, if `config.use_class_head`.
        hidden_states (`tuple(torch.Tensor)`, *optional*):
            Input and output of every block, `(batch * patches, channels, frames, mels)`.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    patch_scores: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None

    @property
    def framewise_output(self) -> torch.Tensor | None:
        """`patch_scores`, under the name that they have with HTSAT."""
        return self.patch_scores


@dataclass
class AfmYamnetClassifierOutput(ModelOutput):
    """Output of [`AfmYamnetForAudioClassification`].

    Args:
        loss (`torch.Tensor`, *optional*): Binary cross-entropy of the classes, if labels were given.
        logits (`torch.Tensor` of shape `(batch, num_classes)`): Their sigmoid is the mean probability over the patches.
        hidden_states (`tuple(torch.Tensor)`, *optional*): Those of the model.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class AfmYamnetConvolution(nn.Module):
    """A convolution of 3 x 3 or 1 x 1 with batch norm and ReLU, padded as TensorFlow's SAME does."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, groups: int, eps: float) -> None:
        super().__init__()
        # SAME pads what is missing: with stride 2 and an even input one row behind, with stride 1 one all around.
        self.pad = (0, 0, 0, 0) if size == 1 else (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, groups=groups, bias=False)
        self.batch_norm = nn.BatchNorm2d(outputs, eps=eps)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return F.relu_(self.batch_norm(self.convolution(F.pad(hidden_states, self.pad))))


class AfmYamnetBlock(GradientCheckpointingLayer):
    """A depthwise separable convolution: 3 x 3 within each channel, then 1 x 1 across them."""

    def __init__(self, inputs: int, outputs: int, stride: int, eps: float) -> None:
        super().__init__()
        self.depthwise = AfmYamnetConvolution(inputs, inputs, 3, stride, inputs, eps)
        self.pointwise = AfmYamnetConvolution(inputs, outputs, 1, 1, 1, eps)

    def forward(self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        return self.pointwise(self.depthwise(hidden_states))


class AfmYamnetPreTrainedModel(StillBatchNorms, PreTrainedModel):
    config: AfmYamnetConfig
    base_model_prefix = "yamnet"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True  # there is no attention in it: a whole model's choice must not be refused here
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmYamnetBlock"]
    _can_record_outputs = {"hidden_states": AfmYamnetBlock}
    accepts_loss_kwargs = False


class AfmYamnetModel(AfmYamnetPreTrainedModel):
    """The YAMNet encoder: log-mel `input_features` `(batch, 1, frames, mels)` -> an embedding per patch, their mean.

    Example:
    ```python
    >>> import torch
    >>> from afm_hf import AfmYamnetConfig, AfmYamnetModel

    >>> model = AfmYamnetModel(AfmYamnetConfig(channels=[8, 16], strides=[2, 2], stem_channels=4)).eval()
    >>> with torch.no_grad():
    ...     outputs = model(torch.zeros(1, 1, 240, 64))
    >>> outputs.last_hidden_state.shape, outputs.patch_scores.shape
    (torch.Size([1, 4, 16]), torch.Size([1, 4, 521]))

    ```
    """

    def __init__(self, config: AfmYamnetConfig) -> None:
        super().__init__(config)
        eps = config.batch_norm_eps
        self.stem = AfmYamnetConvolution(1, config.stem_channels, 3, 2, 1, eps)
        channels = [config.stem_channels, *config.channels]
        self.blocks = nn.ModuleList(
            AfmYamnetBlock(channels[i], channels[i + 1], stride, eps) for i, stride in enumerate(config.strides)
        )
        if config.use_class_head:
            self.classifier = nn.Linear(config.hidden_size, config.num_classes)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.stem.convolution

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.stem.add_module("convolution", value)

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, ...] | AfmYamnetModelOutput:
        r"""Encodes log-mel spectrograms.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 1, frames, num_mel_bins)`):
                From [`AfmYamnetFeatureExtractor`]. Patches of `config.patch_frames` are cut every `config.patch_hop`;
                frames behind the last whole patch are not heard.

        Raises:
            ValueError: on another shape, or on fewer frames than a patch has.
        """
        config = self.config
        size, hop, mels = config.patch_frames, config.patch_hop, config.num_mel_bins
        patches = cut_frames(input_features, mels, size, hop, "patches", type(self).__name__)
        batch, count = patches.shape[:2]
        hidden_states = self.stem(patches.flatten(0, 1).unsqueeze(1).to(self.stem.convolution.weight.dtype))
        for block in self.blocks:
            hidden_states = block(hidden_states, **kwargs)
        embeddings = hidden_states.mean(dim=(2, 3)).view(batch, count, -1)  # -> (batch, patches, hidden_size)
        scores = torch.sigmoid(self.classifier(embeddings)) if self.config.use_class_head else None
        return AfmYamnetModelOutput(
            last_hidden_state=embeddings, pooler_output=embeddings.mean(dim=1), patch_scores=scores
        )


class AfmYamnetForAudioClassification(AfmYamnetPreTrainedModel):
    """YAMNet as a classifier of clips: the mean probability over all patches, class by class."""

    def __init__(self, config: AfmYamnetConfig) -> None:
        super().__init__(config)
        if not config.use_class_head:
            raise ValueError("A classifier needs `use_class_head=True` in its config.")
        self.yamnet = AfmYamnetModel._from_config(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.yamnet.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.yamnet.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | AfmYamnetClassifierOutput:
        r"""Classifies clips.

        Args:
            input_features (`torch.Tensor`):
                `(batch, 1, frames, mels)`, or `(batch, windows, 1, frames, mels)` for clips cut into windows.
            input_features_mask (`torch.Tensor` of shape `(batch, windows)`, *optional*): 1 for real windows.
            labels (`torch.Tensor` of shape `(batch, num_classes)`, *optional*): Ones and zeros, or probabilities.
        """
        features, owners = flatten_windows(input_features, input_features_mask)
        parts = [features] if isinstance(features, torch.Tensor) else features
        outputs = [self.yamnet(part.to(self.device), **kwargs) for part in parts]
        windows = torch.cat([output.patch_scores.mean(dim=1) for output in outputs])  # (windows, num_classes)
        scores = average_windows(windows, owners)  # (batch, num_classes)
        logits = torch.logit(scores.float(), eps=1e-7)
        loss = None if labels is None else F.binary_cross_entropy_with_logits(logits, labels.float())
        hidden_states = outputs[0].hidden_states if isinstance(features, torch.Tensor) else None
        return AfmYamnetClassifierOutput(loss=loss, logits=logits, hidden_states=hidden_states)


__all__ = [
    "AfmYamnetClassifierOutput",
    "AfmYamnetForAudioClassification",
    "AfmYamnetModel",
    "AfmYamnetModelOutput",
    "AfmYamnetPreTrainedModel",
]
