"""The encoder of aiSFX: four pairs of convolutions over blocks of 2.3 s, trained to index sound-effect libraries.

Ma and Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries" (ISMIR 2022). Only the
embedding network is here; the heads of the libraries' own categories are not. Blocks are cut here, the front-end lives
in the feature extractor.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from ..common.batch_norms_afm import StillBatchNorms
from ..common.modeling_afm_common import cut_frames
from .configuration_afm_effects_cnn import AfmEffectsCnnConfig


class AfmEffectsCnnBlock(GradientCheckpointingLayer):
    """Two 3 x 3 convolutions with batch norm and ReLU, then the maximum over `pool_size` x `pool_size`."""

    def __init__(self, inputs: int, outputs: int, pool_size: int) -> None:
        super().__init__()
        self.pool_size = pool_size
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        hidden_states = F.relu_(self.bn1(self.conv1(hidden_states)))
        hidden_states = F.relu_(self.bn2(self.conv2(hidden_states)))
        return F.max_pool2d(hidden_states, self.pool_size) if self.pool_size > 1 else hidden_states


class AfmEffectsCnnPreTrainedModel(StillBatchNorms, PreTrainedModel):
    config: AfmEffectsCnnConfig
    base_model_prefix = "encoder"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True  # there is no attention in it: a whole model's choice must not be refused here
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmEffectsCnnBlock"]
    _can_record_outputs = {"hidden_states": AfmEffectsCnnBlock}


class AfmEffectsCnnModel(AfmEffectsCnnPreTrainedModel):
    """aiSFX's encoder: log-mel `input_features` `(batch, 1, frames, mels)` -> an embedding per block, and their mean.

    Example:
    ```python
    >>> import torch
    >>> from afm_hf import AfmEffectsCnnConfig, AfmEffectsCnnModel

    >>> model = AfmEffectsCnnModel(AfmEffectsCnnConfig(channels=[4, 8])).eval()
    >>> with torch.no_grad():
    ...     outputs = model(torch.zeros(1, 1, 150, 96))
    >>> outputs.last_hidden_state.shape, outputs.pooler_output.shape
    (torch.Size([1, 2, 8]), torch.Size([1, 8]))

    ```
    """

    def __init__(self, config: AfmEffectsCnnConfig) -> None:
        super().__init__(config)
        channels = [1, *config.channels]
        last = len(config.channels) - 1
        self.blocks = nn.ModuleList(
            AfmEffectsCnnBlock(channels[i], channels[i + 1], 1 if i == last else 2) for i in range(last + 1)
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.blocks.get_submodule("0.conv1")

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.blocks[0].conv1 = value

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        r"""Encodes log-mel spectrograms.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 1, frames, num_mel_bins)`):
                From [`AfmEffectsCnnFeatureExtractor`]. Blocks of `config.block_frames` are cut every
                `config.block_hop`; frames behind the last whole block are not heard.

        Returns:
            [`BaseModelOutputWithPooling`] with `last_hidden_state` `(batch, blocks, hidden_size)`, for each block the
            maximum over time of the mean over frequency, and `pooler_output` `(batch, hidden_size)`, their mean.

        Raises:
            ValueError: on another shape, or on fewer frames than a block has.
        """
        config = self.config
        size, hop, mels = config.block_frames, config.block_hop, config.num_mel_bins
        blocks = cut_frames(input_features, mels, size, hop, "blocks", type(self).__name__)
        batch, count = blocks.shape[:2]  # (batch, blocks, frames, mels)
        hidden_states = blocks.flatten(0, 1).unsqueeze(1).to(self.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, **kwargs)
        embeddings = hidden_states.mean(dim=3).amax(dim=2).view(batch, count, -1)  # -> (batch, blocks, hidden_size)
        return BaseModelOutputWithPooling(last_hidden_state=embeddings, pooler_output=embeddings.mean(dim=1))


__all__ = ["AfmEffectsCnnModel", "AfmEffectsCnnPreTrainedModel"]
