"""Builds the audio encoder that a config names, and lets several hear together."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple

from ..cnn14.modeling_afm_cnn14 import AfmCnn14Model
from ..common.batch_norms_afm import StillBatchNorms
from ..common.modeling_afm_common import AfmProjection, AfmProjectionLinear, with_config_defaults
from ..effects_cnn.modeling_afm_effects_cnn import AfmEffectsCnnModel
from ..htsat.modeling_afm_htsat import AfmHtsatModel
from ..speech_encoder.modeling_afm_speech_encoder import AfmSpeechEncoderModel
from ..yamnet.modeling_afm_yamnet import AfmYamnetModel
from .configuration_afm_encoders import STEPPING, AfmEarsConfig

SINGLE_ENCODERS: dict[str, type[PreTrainedModel]] = {
    model.config_class.model_type: model
    for model in (AfmHtsatModel, AfmCnn14Model, AfmSpeechEncoderModel, AfmYamnetModel, AfmEffectsCnnModel)
}


@dataclass
class AfmEarsModelOutput(ModelOutput):
    """Output of [`AfmEarsModel`].

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, steps, hidden_size)`):
            The embeddings at every step of the ear that has the most steps; what an ear with fewer steps hears stays
            until its next.
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`): The embedding of the clip.
        framewise_output (`torch.Tensor` of shape `(batch, steps, num_classes)`, *optional*):
            Probabilities of the classes at every step, which sum up to 1, if `config.use_framewise_head`.
        clipwise_output (`torch.Tensor` of shape `(batch, num_classes)`, *optional*): Those of the clip.
        hidden_states (`tuple(torch.Tensor)`, *optional*): Those of the ears, one ear's after another's.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    framewise_output: torch.Tensor | None = None
    clipwise_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor | None, ...] | None = None


class AfmEarsClassifier(nn.Module):
    """Class probabilities of what the ears hear, as a CLAP gives them: by the angle to a vector of each class.

    Args:
        hidden_size (`int`): Width of the ears' embeddings.
        dim (`int`): Width of the vectors.
        num_classes (`int`): Classes.
    """

    def __init__(self, hidden_size: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.projection = AfmProjection(hidden_size, dim, dropout=0.0)
        # A table, and no linear layer: what quantises those must leave vectors alone whose angles count.
        self.classes = nn.Embedding(num_classes, dim)
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """`(..., hidden_size)` -> `(..., num_classes)`, which sum up to 1."""
        heard = F.normalize(self.projection(embeddings), dim=-1)
        classes = F.normalize(self.classes.weight, dim=-1)
        return torch.softmax(self.logit_scale.exp() * heard @ classes.t(), dim=-1)


class AfmEarsModel(StillBatchNorms, PreTrainedModel):
    """Several encoders that hear the same clip; their embeddings are put one after the other, and standardised.

    `mean` and `std` `(hidden_size,)` are those of the embeddings of the training clips (0 and 1 at first): the ears
    were trained apart, and the loudest would drown the others. They are not learned; see `standardize`.

    `input_features` is `(batch, 1, frames, mels)`, as [`AfmEarsFeatureExtractor`] makes it: the features of the ears
    lie side by side, those of fewer frames filled up with zeros, which are cut off here.
    """

    config: AfmEarsConfig
    mean: torch.Tensor
    std: torch.Tensor
    base_model_prefix = "encoder"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmHtsatBlock", "AfmCnn14Block", "AfmYamnetBlock", "AfmEffectsCnnBlock"]

    def __init__(self, config: AfmEarsConfig) -> None:
        super().__init__(config)
        # The number format that the whole is loaded in, which transformers does not pass on to lists of configs.
        shared = {"attn_implementation": config._attn_implementation, "dtype": torch.get_default_dtype()}
        self.ears = nn.ModuleList(
            SINGLE_ENCODERS[ear.model_type]._from_config(ear, **shared) for ear in config.configs()
        )
        # transformers collects these names from the parts of a model, but not from lists of them.
        kept: list[Any] = [ear._keep_in_fp32_modules_strict for ear in self.ears]
        self._keep_in_fp32_modules_strict = set().union(*kept)
        self.mels, self.steps = config.mels, config.num_steps()
        self.register_buffer("mean", torch.zeros(config.hidden_size))
        self.register_buffer("std", torch.ones(config.hidden_size))
        if config.use_framewise_head:
            self.classifier = AfmEarsClassifier(config.hidden_size, config.head_dim, config.num_classes)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AfmEarsModel):
            init.zeros_(module.mean)
            init.ones_(module.std)
        elif isinstance(module, AfmEarsClassifier):
            init.constant_(module.logit_scale, 3.0)
        elif isinstance(module, AfmProjectionLinear):
            init.xavier_uniform_(module.weight)

    @torch.no_grad()
    def standardize(self, embeddings: torch.Tensor) -> None:
        """Takes `mean` and `std` from `(clips, hidden_size)` embeddings that were not standardised."""
        self.mean.copy_(embeddings.float().mean(dim=0))
        self.std.copy_(embeddings.float().std(dim=0).clamp(min=1e-6))

    def get_input_embeddings(self) -> nn.Module:
        return self._first().get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self._first().set_input_embeddings(value)

    def _first(self) -> PreTrainedModel:
        first: Any = self.ears[0]
        return first

    @can_return_tuple
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, ...] | AfmEarsModelOutput:
        """Encodes clips with every ear.

        Returns:
            [`AfmEarsModelOutput`], standardised by `mean` and `std`.

        Raises:
            ValueError: on another shape than the ears' features side by side have.
        """
        frames, mels = max(self.config.frames), sum(self.mels)
        if input_features.ndim != 4 or tuple(input_features.shape[1:]) != (1, frames, mels):
            raise ValueError(
                f"{type(self).__name__} reads the features of {len(self.mels)} ears side by side, of shape "
                f"(batch, 1, {frames}, {mels}), but was given {tuple(input_features.shape)}. Make them with the "
                "`AfmEarsFeatureExtractor` that came with the model."
            )
        wanted = with_config_defaults(dict(kwargs), self.config)
        chosen = wanted.get("output_hidden_states")
        if isinstance(chosen, list | tuple):  # places in the list of all ears' states
            wanted["output_hidden_states"] = True
        pooled, steps = [], []
        hidden_states: tuple[torch.Tensor, ...] = ()
        for ear, length, features in zip(
            self.ears, self.config.frames, input_features.split(self.mels, dim=3), strict=True
        ):
            outputs = ear(features[:, :, :length], **wanted)
            pooled.append(outputs.pooler_output)
            config: Any = ear.config
            own = outputs.last_hidden_state if config.model_type in STEPPING else outputs.pooler_output[:, None]
            steps.append(own[:, torch.arange(self.steps, device=own.device) * own.shape[1] // self.steps])
            hidden_states += outputs.hidden_states or ()
        clip, in_time = self._standardized(torch.cat(pooled, dim=-1)), self._standardized(torch.cat(steps, dim=-1))
        has_head = self.config.use_framewise_head
        return AfmEarsModelOutput(
            last_hidden_state=in_time,
            pooler_output=clip,
            framewise_output=self.classifier(in_time) if has_head else None,
            clipwise_output=self.classifier(clip) if has_head else None,
            hidden_states=_only(hidden_states, chosen) or None,
        )

    def _standardized(self, embeddings: torch.Tensor) -> torch.Tensor:
        return (embeddings - self.mean.to(embeddings.dtype)) / self.std.to(embeddings.dtype)


def _only(states: tuple[torch.Tensor, ...], chosen: Any) -> tuple[torch.Tensor | None, ...]:
    """Hidden states, None in the place of those that a list of places (negative ones from the end) leaves out."""
    if not isinstance(chosen, list | tuple):
        return states
    kept = {place % len(states) for place in chosen}
    return tuple(state if place in kept else None for place, state in enumerate(states))


OWN_ENCODERS: dict[str, type[PreTrainedModel]] = {**SINGLE_ENCODERS, AfmEarsConfig.model_type: AfmEarsModel}


def build_audio_encoder(config: Any) -> PreTrainedModel:
    """
    The encoder of a config, with random weights.

    The package's own ones are built directly: `AutoModel` would need them registered, which they are not where the code
    was loaded from a Hub repo.
    """
    own = OWN_ENCODERS.get(config.model_type)
    return own._from_config(config) if own else AutoModel.from_config(config)


__all__ = ["AfmEarsModel", "AfmEarsModelOutput", "build_audio_encoder"]
