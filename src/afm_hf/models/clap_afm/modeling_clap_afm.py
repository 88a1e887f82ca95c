"""Microsoft's CLAP: an audio and a text encoder, projected into one space and compared by cosine similarity.

Elizalde, Deshmukh et al., "CLAP: Learning Audio Concepts from Natural Language Supervision" (ICASSP 2023, arXiv
2206.04769) and "Natural Language Supervision for General-Purpose Audio Representations" (ICASSP 2024, arXiv
2309.05767). Differences to the released msclap code: captions are pooled at their true last token, several windows of a
long clip are averaged, padding is as long as the longest caption, and a loss exists.
"""

import functools
import inspect
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple

from ..common.batch_norms_afm import StillBatchNorms
from ..common.int8_afm import check_can_be_saved, quantize_audio_encoder
from ..common.modeling_afm_common import (
    AfmProjection,
    AfmProjectionLinear,
    average_windows,
    encode_windows,
    flatten_windows,
    with_config_defaults,
)
from ..common.repo_code_afm import OwnCode
from ..encoders.modeling_afm_encoders import build_audio_encoder
from .configuration_clap_afm import ClapAfmAudioConfig, ClapAfmConfig, ClapAfmTextConfig, check_problem_type
from .losses_clap_afm import (
    classification_loss,
    contrastive_loss,
    problem_type_of,
    same_texts,
    say_if_nothing_is_learned,
)
from .texts_clap_afm import check_places, places_of

RETURN_LOSS_PLACE = 8  # of `return_loss` among the arguments of `ClapAfmModel.forward`, counted from 1


@dataclass
class ClapAfmOutput(ModelOutput):
    """Output of [`ClapAfmModel`].

    Args:
        loss (`torch.Tensor` of shape `(1,)`, *optional*): Symmetric cross-entropy of as many audios as texts.
        logits_per_audio (`torch.Tensor` of shape `(audios, texts)`): Scaled cosine similarities, fp32.
        logits_per_text (`torch.Tensor` of shape `(texts, audios)`): Their transpose.
        text_embeds (`torch.Tensor` of shape `(texts, projection_dim)`): L2-normalised.
        audio_embeds (`torch.Tensor` of shape `(audios, projection_dim)`): L2-normalised.
        text_model_output, audio_model_output ([`BaseModelOutputWithPooling`]): Outputs of the towers.
    """

    loss: torch.Tensor | None = None
    logits_per_audio: torch.Tensor | None = None
    logits_per_text: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    audio_embeds: torch.Tensor | None = None
    text_model_output: BaseModelOutputWithPooling | None = None
    audio_model_output: BaseModelOutputWithPooling | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        towers = ("text_model_output", "audio_model_output")
        return tuple(getattr(self, key).to_tuple() if key in towers else self[key] for key in self.keys())


@dataclass
class ClapAfmAudioModelOutput(ModelOutput):
    """Output of [`ClapAfmAudioModelWithProjection`].

    Args:
        audio_embeds (`torch.Tensor` of shape `(batch, projection_dim)`): Not normalised, as msclap returns them.
        last_hidden_state, hidden_states, attentions: Those of the encoder; of all windows, if there are several.
    """

    audio_embeds: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class ClapAfmTextModelOutput(ModelOutput):
    """Output of [`ClapAfmTextModelWithProjection`].

    Args:
        text_embeds (`torch.Tensor` of shape `(batch, projection_dim)`): Not normalised, as msclap returns them.
        last_hidden_state, hidden_states, attentions: Those of the encoder.
    """

    text_embeds: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


def _loss_where_counts_allow(forward: Any) -> Any:
    """
    Of `return_loss`, whose default in the signature is True because `Trainer` looks for that, makes None where it is
    not given: a loss where there are as many audios as texts. Of bare tuples the places must not depend on counts, so
    that in evaluation they hold a loss only if it was asked for.
    """

    @functools.wraps(forward)
    def call(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        if len(args) < RETURN_LOSS_PLACE and "return_loss" not in kwargs:
            bare = kwargs.get("return_dict", getattr(self.config, "return_dict", True)) is False
            kwargs["return_loss"] = False if bare and not self.training else None
        return forward(self, *args, **kwargs)

    return call


class ClapAfmPreTrainedModel(OwnCode, StillBatchNorms, PreTrainedModel):
    config: ClapAfmConfig
    base_model_prefix = "clap"
    input_modalities: tuple[str, ...] = ("audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmHtsatBlock", "AfmCnn14Block"]
    accepts_loss_kwargs = False
    model_tags = ["audio", "clap", "zero-shot-audio-classification", "afm-hf"]

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """As everywhere in transformers.

        Raises:
            ValueError: (besides what transformers raises) the audio encoder is in eight bits, which files do not hold.
        """
        check_can_be_saved(self)
        super().save_pretrained(save_directory, **kwargs)

    def put_in_int8(self) -> None:
        """Rounds the weights of the audio encoder, in place; see [`quantize_audio_encoder`]."""
        quantize_audio_encoder(self)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AfmProjectionLinear):
            # As in the official code: uniform in the width of the layer (PyTorch's default would be narrower).
            init.xavier_uniform_(module.weight)
        elif isinstance(module, ClapAfmModel):
            init.constant_(module.logit_scale, float(self.config.logit_scale_init_value))


class ClapAfmAudioModel(ClapAfmPreTrainedModel):
    """The audio encoder alone: log-mel `input_features` -> one embedding per clip, before the projection.

    `input_features` is `(batch, 1, frames, mels)`, or `(batch, windows, 1, frames, mels)` for clips cut into windows,
    whose embeddings are averaged over the windows that `input_features_mask` `(batch, windows)` keeps.
    """

    config: ClapAfmAudioConfig
    base_model_prefix = "audio_model"  # where its weights stand in the checkpoint of a whole model
    main_input_name = "input_features"
    input_modalities = ("audio",)
    _keys_to_ignore_on_load_unexpected = [r"^text_", r"^audio_projection", r"^logit_scale$"]

    def __init__(self, config: ClapAfmAudioConfig) -> None:
        super().__init__(config)
        self.encoder = build_audio_encoder(config.encoder_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """Encodes clips; `pooler_output` is `(batch, hidden_size)`."""
        features, owners = flatten_windows(input_features, input_features_mask)
        wanted = with_config_defaults(dict(kwargs), self.config)
        outputs = encode_windows(self.encoder, features, owners, **wanted)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=average_windows(outputs.pooler_output, owners),
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )


class ClapAfmTextModel(ClapAfmPreTrainedModel):
    """The text encoder alone: token ids -> one embedding per text (see `config.pooling`), before the projection."""

    config: ClapAfmTextConfig
    base_model_prefix = "text_model"
    main_input_name = "input_ids"
    input_modalities = ("text",)
    _keys_to_ignore_on_load_unexpected = [r"^audio_", r"^text_projection", r"^logit_scale$"]

    def __init__(self, config: ClapAfmTextConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder_config, **_without_pooler(config.encoder_config))
        self._encoder_arguments = frozenset(inspect.signature(self.encoder.forward).parameters)
        self._places = places_of(self.encoder)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """Encodes texts; `pooler_output` is `(batch, hidden_size)`.

        Args:
            input_ids (`torch.Tensor` of shape `(batch, tokens)`): Token ids, padded on either side.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, 0 for padding.
            position_ids (`torch.Tensor` of shape `(batch, tokens)`, *optional*): Made from the mask if not given.
            inputs_embeds (`torch.Tensor` of shape `(batch, tokens, hidden)`, *optional*): In place of `input_ids`.
            token_type_ids (`torch.Tensor` of shape `(batch, tokens)`, *optional*): For encoders that know them.

        Raises:
            ValueError: if not exactly one of `input_ids` and `inputs_embeds` is given, or a text is too long.
        """
        tokens = input_ids if input_ids is not None else inputs_embeds
        if tokens is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("Give exactly one of `input_ids` and `inputs_embeds` to the text model.")
        if attention_mask is None:
            attention_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        if position_ids is None and self.config.pooling.startswith("last"):
            # A causal tower: positions count the real tokens, so that left padding changes nothing.
            position_ids = (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)
        optional = {"position_ids": position_ids, "token_type_ids": token_type_ids, "use_cache": False}
        known = {
            name: value for name, value in optional.items() if name in self._encoder_arguments and value is not None
        }
        check_places(position_ids if "position_ids" in known else None, tokens.shape[1], self._places)
        outputs = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            **known,
            **with_config_defaults(dict(kwargs), self.config),
        )
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=self._pool(outputs.last_hidden_state, input_ids, attention_mask),
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )

    def _pool(self, states: torch.Tensor, input_ids: torch.Tensor | None, attention_mask: torch.Tensor) -> torch.Tensor:
        """`(batch, tokens, hidden)` -> `(batch, hidden)`."""
        pooling = self.config.pooling
        if pooling == "cls":
            return states[:, 0]
        if pooling == "mean":
            weights = attention_mask[:, :, None].to(states.dtype)
            return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        if pooling == "last_nonzero_token" and input_ids is not None:
            index = (input_ids.ne(0).sum(dim=-1) - 1) % input_ids.shape[-1]
        else:
            position = torch.arange(attention_mask.shape[-1], device=states.device)
            index = (attention_mask.to(states.device).ne(0) * position).argmax(dim=-1)
        return states[
            torch.arange(states.shape[0], device=states.device), index
        ]  # len() would fix the batch of exports


def _without_pooler(encoder_config: Any) -> dict[str, bool]:
    """The argument that leaves out BERT's pooler, which CLAP does not use, for the models that have one."""
    model_class = AutoModel._model_mapping[type(encoder_config)]
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(model_class).parameters else {}


class ClapAfmModel(ClapAfmPreTrainedModel):
    """CLAP: how well does each audio fit each text?

    Example:
    ```python
    >>> import torch
    >>> from afm_hf import bundled_model
    >>> from transformers import AutoModel, AutoProcessor

    >>> model = AutoModel.from_pretrained(bundled_model("clap-small"))
    >>> processor = AutoProcessor.from_pretrained(bundled_model("clap-small"))
    >>> noise = torch.randn(16000, generator=torch.Generator().manual_seed(0)) * 0.1
    >>> texts = ["rain", "a dog"]
    >>> inputs = processor(audio=[noise], text=texts, sampling_rate=16000, return_tensors="pt", padding=True)
    >>> with torch.no_grad():
    ...     model(**inputs).logits_per_audio.shape
    torch.Size([1, 2])

    ```
    """

    main_input_name = "input_ids"

    def __init__(self, config: ClapAfmConfig) -> None:
        super().__init__(config)
        audio, text = config.audio_config, config.text_config
        self.audio_model = ClapAfmAudioModel._from_config(audio)
        self.audio_projection = AfmProjection(audio.hidden_size, audio.projection_dim, audio.projection_dropout)
        self.text_model = ClapAfmTextModel._from_config(text)
        self.text_projection = AfmProjection(text.hidden_size, text.projection_dim, text.projection_dropout)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    @can_return_tuple
    def get_audio_features(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        normalize: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """Embeds audio.

        Args:
            input_features (`torch.Tensor`):
                Log-mel of shape `(batch, 1, frames, mels)` or `(batch, windows, 1, frames, mels)`.
            input_features_mask (`torch.Tensor` of shape `(batch, windows)`, *optional*): What part of each is heard.
            normalize (`bool`, *optional*, defaults to `True`): Whether to L2-normalise (msclap does not).

        Returns:
            [`BaseModelOutputWithPooling`] whose `pooler_output` is the embedding, `(batch, projection_dim)`.
        """
        features, owners = flatten_windows(input_features, input_features_mask)
        wanted = with_config_defaults(dict(kwargs), self.config)
        outputs = encode_windows(self.audio_model, features, owners, **wanted)
        embeddings = average_windows(self.audio_projection(outputs.pooler_output), owners)
        outputs.pooler_output = F.normalize(embeddings, dim=-1) if normalize else embeddings
        return outputs

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        normalize: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """Embeds texts; the arguments are those of [`ClapAfmTextModel`].

        Returns:
            [`BaseModelOutputWithPooling`] whose `pooler_output` is the embedding, `(batch, projection_dim)`,
            L2-normalised unless `normalize=False`.
        """
        wanted = with_config_defaults(dict(kwargs), self.config)
        outputs = self.text_model(input_ids, attention_mask, position_ids, inputs_embeds, **wanted)
        embeddings = self.text_projection(outputs.pooler_output)
        outputs.pooler_output = F.normalize(embeddings, dim=-1) if normalize else embeddings
        return outputs

    @_loss_where_counts_allow
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        return_loss: bool | None = True,
        num_pairs: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | ClapAfmOutput:
        """Compares every audio with every text.

        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, token_type_ids: The texts; see [`ClapAfmTextModel`].
            input_features, input_features_mask: The audios; see [`ClapAfmAudioModel`].
            return_loss (`bool`, *optional*):
                Whether to return the contrastive loss, for which the text at each place belongs to the audio at the
                same place. If not given, it is returned where there are as many audios as texts (in evaluation mode
                not with `return_dict=False`).
            num_pairs (`int`, *optional*):
                How many audios and texts, from the first on, belong together; those behind them are negatives of your
                own, see [`ClapCollator`]. If not given, all belong together.

        Raises:
            ValueError: if audio or text is missing, or if a loss is asked for with unequal counts.
        """
        if input_features is None or (input_ids is None and inputs_embeds is None):
            raise ValueError(
                "ClapAfmModel compares audio with text: give `input_features` and `input_ids`. For one of them use "
                "`get_audio_features` or `get_text_features`."
            )
        # `output_hidden_states` and the like are for both towers.
        audio_outputs = self.get_audio_features(input_features, input_features_mask, **kwargs)
        text_outputs = self.get_text_features(
            input_ids, attention_mask, position_ids, inputs_embeds, token_type_ids=token_type_ids, **kwargs
        )
        audio_embeds, text_embeds = audio_outputs.pooler_output, text_outputs.pooler_output
        # fp32: at a scale of up to 100, half precision would swap close labels.
        logits_per_audio = self.logit_scale.float().exp() * audio_embeds.float() @ text_embeds.float().t()
        if return_loss is None:
            return_loss = num_pairs is not None or logits_per_audio.shape[0] == logits_per_audio.shape[1]
        if return_loss and self.training:
            say_if_nothing_is_learned(max(logits_per_audio.shape), input_ids)
        same = None if num_pairs is None or input_ids is None else same_texts(input_ids, attention_mask)
        return ClapAfmOutput(
            loss=contrastive_loss(logits_per_audio, num_pairs, same) if return_loss else None,
            logits_per_audio=logits_per_audio,
            logits_per_text=logits_per_audio.t(),
            text_embeds=text_embeds,
            audio_embeds=audio_embeds,
            text_model_output=text_outputs,
            audio_model_output=audio_outputs,
        )


class ClapAfmAudioModelWithProjection(ClapAfmPreTrainedModel):
    """The audio tower with its projection, as msclap's `get_audio_embeddings` (not normalised)."""

    config: ClapAfmAudioConfig
    main_input_name = "input_features"
    input_modalities = ("audio",)
    _keys_to_ignore_on_load_unexpected = [r"^text_", r"^logit_scale$"]

    def __init__(self, config: ClapAfmAudioConfig) -> None:
        super().__init__(config)
        self.audio_model = ClapAfmAudioModel._from_config(config)
        self.audio_projection = AfmProjection(config.hidden_size, config.projection_dim, config.projection_dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.audio_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.audio_model.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | ClapAfmAudioModelOutput:
        """Embeds clips; the arguments are those of [`ClapAfmAudioModel`]."""
        features, owners = flatten_windows(input_features, input_features_mask)
        outputs = encode_windows(self.audio_model, features, owners, **kwargs)
        return ClapAfmAudioModelOutput(
            audio_embeds=average_windows(self.audio_projection(outputs.pooler_output), owners),
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClapAfmTextModelWithProjection(ClapAfmPreTrainedModel):
    """The text tower with its projection, as msclap's `get_text_embeddings` (not normalised)."""

    config: ClapAfmTextConfig
    main_input_name = "input_ids"
    input_modalities = ("text",)
    _keys_to_ignore_on_load_unexpected = [r"^audio_", r"^logit_scale$"]

    def __init__(self, config: ClapAfmTextConfig) -> None:
        super().__init__(config)
        self.text_model = ClapAfmTextModel._from_config(config)
        self.text_projection = AfmProjection(config.hidden_size, config.projection_dim, config.projection_dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | ClapAfmTextModelOutput:
        """Embeds texts; the arguments are those of [`ClapAfmTextModel`]."""
        outputs = self.text_model(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        return ClapAfmTextModelOutput(
            text_embeds=self.text_projection(outputs.pooler_output),
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class ClapAfmForAudioClassification(ClapAfmPreTrainedModel):
    """CLAP's audio encoder with a classifier: the papers' linear probe (`Freeze_L1`, `Freeze_L3`) and fine-tuning.

    `from_pretrained` takes any [`ClapAfmModel`] checkpoint and leaves its text side unread. For a probe call
    [`~ClapAfmForAudioClassification.freeze_audio_encoder`] before training (P22, section 3.3: Adam, lr 1e-3, 30 epochs;
    fine-tuning: everything, lr 1e-4).
    """

    main_input_name = "input_features"
    input_modalities = ("audio",)
    _keys_to_ignore_on_load_unexpected = [r"^text_", r"^audio_projection", r"^logit_scale$"]

    def __init__(self, config: ClapAfmConfig) -> None:
        super().__init__(config)
        check_problem_type(config.problem_type)
        self.num_labels = config.num_labels
        self.audio_model = ClapAfmAudioModel._from_config(config.audio_config)
        width = config.audio_config.hidden_size
        layers: list[nn.Module] = []
        for _ in range(config.classifier_layers - 1):
            layers += [nn.Dropout(config.classifier_dropout), nn.Linear(width, width), nn.ReLU()]
        layers += [nn.Dropout(config.classifier_dropout), nn.Linear(width, config.num_labels)]
        self.classifier = nn.Sequential(*layers)
        self._audio_encoder_is_frozen = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.audio_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.audio_model.set_input_embeddings(value)

    def freeze_audio_encoder(self) -> None:
        """No gradients for the encoder, and evaluation mode: no SpecAugment, no dropout, fixed batch norms."""
        self.audio_model.requires_grad_(False)
        self._audio_encoder_is_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "ClapAfmForAudioClassification":
        super().train(mode)
        if self._audio_encoder_is_frozen:
            self.audio_model.eval()
        return self

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | SequenceClassifierOutput:
        """Classifies clips.

        Args:
            input_features, input_features_mask: See [`ClapAfmAudioModel`].
            labels (`torch.Tensor`, *optional*):
                What `config.problem_type` says: for `"single_label_classification"` class numbers `(batch,)`, for
                `"multi_label_classification"` zeros and ones `(batch, num_labels)`, for `"regression"` numbers
                `(batch, num_labels)`. Where it says nothing the labels tell which of the first two it is, a model of
                one output regresses, and the config remembers it: a saved model knows how its scores are to be read.

        Raises:
            ValueError: if the labels do not fit, or the problem type is unknown.
        """
        outputs = self.audio_model(input_features, input_features_mask, **kwargs)
        logits = self.classifier(outputs.pooler_output)  # (batch, hidden) -> (batch, num_labels)
        loss = None
        if labels is not None:
            self.config.problem_type = problem_type_of(self.config, labels)
            loss = classification_loss(logits, labels, self.config.problem_type)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


__all__ = [
    "ClapAfmAudioModel",
    "ClapAfmAudioModelOutput",
    "ClapAfmAudioModelWithProjection",
    "ClapAfmForAudioClassification",
    "ClapAfmModel",
    "ClapAfmOutput",
    "ClapAfmPreTrainedModel",
    "ClapAfmTextModel",
    "ClapAfmTextModelOutput",
    "ClapAfmTextModelWithProjection",
]
