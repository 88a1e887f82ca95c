"""
What CLAPCAP, Pengi, ADIFF and Mellow have in common: audio becomes prefix vectors, a causal language model goes on.

The processor writes an audio placeholder token for every prefix vector; the model replaces the placeholders' embeddings
and otherwise is an ordinary decoder. So the KV cache, beams, sampling, streaming and padding are transformers' own. The
placeholder is one row added to the vocabulary, whose logit is masked: it can never be generated, and the softmax over
the real words is exactly that of the language model without it.
"""

import inspect
import os
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from ..common.batch_norms_afm import StillBatchNorms
from ..common.cache_names_afm import CACHE, takes_cache
from ..common.few_rows_afm import AfmVocabularyHead
from ..common.int8_afm import check_can_be_saved, has_vnni, is_int8, quantize_encoder_layers
from ..common.int8_text_afm import quantize_text_side
from ..common.modeling_afm_common import AfmProjectionLinear, AfmTransformerMapper, with_config_defaults
from ..common.repo_code_afm import OwnCode
from ..encoders.modeling_afm_encoders import build_audio_encoder
from .configuration_afm_prefix_lm import AfmPrefixLMConfig
from .generate_afm import AfmGenerationMixin
from .inputs_afm import cached_tokens, check_heard, check_places, check_text, positions_of
from .outputs_afm import AfmPrefixLMModelOutput, AfmPrefixLMOutput


class AfmPrefixLMPreTrainedModel(OwnCode, StillBatchNorms, PreTrainedModel):
    config: AfmPrefixLMConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities: tuple[str, ...] = ("audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _no_split_modules = ["AfmHtsatBlock", "AfmCnn14Block", "AfmMapperLayer"]
    _skip_keys_device_placement = ["past_key_values", "cache"]

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Module:
        """
        As the stock one: new words come behind the placeholder, which keeps its id.

        Raises:
            ValueError: if the placeholder would be cut off, or the model is in eight bits.
        """
        placeholder = self.config.audio_token_id
        if new_num_tokens is not None and is_int8(self):
            raise ValueError("A model in eight bits takes no new words: load it with dtype='float32' for that.")
        if new_num_tokens is not None and placeholder is not None and new_num_tokens <= placeholder:
            raise ValueError(
                f"A vocabulary of {new_num_tokens} words leaves out the audio placeholder, token {placeholder}; resize "
                f"to {placeholder + 1} or more. (The length of the language model's own tokenizer does not count it; "
                "take that of the processor's.)"
            )
        return super().resize_token_embeddings(new_num_tokens, *args, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """As everywhere in transformers.

        Raises:
            ValueError: (besides what transformers raises) the model is in eight bits, which files do not hold.
        """
        check_can_be_saved(self)
        super().save_pretrained(save_directory, **kwargs)

    def put_in_int8(self) -> None:
        """
        Rounds the linear layers of language model, mappers and head, in place; with VNNI those of the encoder, too.

        See [`quantize_text_side`] and [`quantize_encoder_layers`].

        Raises:
            ValueError: torch has no kernels for this processor, or the model is not on a CPU.
        """
        tower = self.base_model.audio_tower
        self.to(torch.float32)
        quantize_text_side(self, but=(tower,))
        if has_vnni():
            quantize_encoder_layers(tower)
        self._tied_weights_keys: Any = None
        self.all_tied_weights_keys: dict[str, str] = {}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AfmProjectionLinear):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, AfmTransformerMapper):
            init.normal_(module.prefix_const)


class AfmPrefixLMModel(AfmPrefixLMPreTrainedModel):
    """
    Audio encoder, what turns its output into a prefix, and a language model without its head.

    Subclasses build the middle in `__init__` (and then call `post_init`), and say in `hear` and `join_prompt` what the
    prefix is.
    """

    def __init__(self, config: AfmPrefixLMConfig) -> None:
        super().__init__(config)
        config.check_placeholder()
        self.audio_tower = build_audio_encoder(config.audio_config)
        self.language_model = AutoModel.from_config(config.text_config)
        self._reads_positions = "position_ids" in inspect.signature(self.language_model.forward).parameters
        self._audio_tower_is_frozen = False

    @property
    def dtype(self) -> torch.dtype:
        """That of the language model: the batch norm over log-mels, the first of all weights, stays in fp32."""
        return self.language_model.dtype

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def hear(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """
        The encoder's output, with the vectors that stand for the audio alone as `pooler_output`.

        Args:
            input_features (`torch.Tensor`): Log-mels, as the model's feature extractor makes them.
            input_features_mask (`torch.Tensor` of shape `(batch, windows)`, *optional*): 1 for real windows.
            kwargs: `output_hidden_states` and the like, for the encoder.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it hears.")

    def join_prompt(self, audio: torch.Tensor, **prompt: Any) -> torch.Tensor:
        """The whole prefix of the audio's vectors, `(batch, vectors, hidden_size)`, and the prompt, if it reads one."""
        return audio

    def get_prefix(self, input_features: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """
        The vectors that take the placeholders' places.

        Args:
            input_features (`torch.Tensor`): See `hear`.
            kwargs: `input_features_mask` of `hear`, and what `join_prompt` wants.

        Returns:
            `torch.Tensor` of shape `(batch, num_placeholders, hidden_size)`.
        """
        heard = self.hear(input_features, kwargs.pop("input_features_mask", None))
        return self.join_prompt(heard.pooler_output, **kwargs)

    @can_return_tuple
    def get_audio_features(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """
        What the model hears.

        Args:
            input_features, input_features_mask: See `hear`.
            kwargs: `output_hidden_states`, `output_attentions`; and, for the models that read one, a prompt.

        Returns:
            [`BaseModelOutputWithPooling`]: `last_hidden_state` and `hidden_states` of the audio encoder (of real
            windows, if there are several; for pairs `(batch, 2, ...)`), its `attentions` as it gives them, and as
            `pooler_output` the vectors for the language model, `(batch, vectors, hidden_size)`: those of the audio, or
            with a prompt all, as `get_prefix` gives them.
        """
        prompt = {name: kwargs.pop(name) for name in list(kwargs) if name.startswith("prompt_")}
        wanted = with_config_defaults(kwargs, self.config, self.config.audio_config)
        heard = self.hear(input_features, input_features_mask, **wanted)
        if any(value is not None for value in prompt.values()):
            heard.pooler_output = self.join_prompt(heard.pooler_output, **prompt)
        return heard

    def freeze_audio_tower(self) -> None:
        """No gradients for the encoder, and evaluation mode: no SpecAugment, no dropout, fixed batch norms."""
        self.audio_tower.requires_grad_(False)
        self._audio_tower_is_frozen = True
        self.train(self.training)

    def freeze_language_model(self) -> None:
        """No gradients for the language model (prefix tuning); dropout in it stays as `train()` and `eval()` say."""
        self.language_model.requires_grad_(False)

    def train(self, mode: bool = True) -> "AfmPrefixLMModel":
        super().train(mode)
        if self._audio_tower_is_frozen:
            self.audio_tower.eval()
        return self

    def find_placeholders(self, input_ids: torch.Tensor | None, inputs_embeds: Any) -> torch.Tensor:
        """Where placeholders stand, bool `(batch, tokens)`: in ids, or in vectors as the word table gives them."""
        placeholder = self.config.audio_token_id or 0
        if input_ids is not None:
            return torch.eq(input_ids, placeholder)
        vector = self.get_input_embeddings()(torch.tensor(placeholder, device=inputs_embeds.device))
        return (inputs_embeds == vector.to(inputs_embeds.dtype)).all(dim=-1)

    def insert_prefix(
        self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor, prefix: torch.Tensor
    ) -> torch.Tensor:
        """
        The words' vectors with the prefix in the placeholders' places.

        Args:
            input_ids (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                Says where placeholders stand; if it is not there, their own vectors among the others do.
            inputs_embeds (`torch.Tensor` of shape `(batch, tokens, hidden_size)`): From the word table.
            prefix (`torch.Tensor` of shape `(batch, vectors, hidden_size)`): See `get_prefix`.

        Returns:
            `torch.Tensor` of the shape of `inputs_embeds`.

        Raises:
            ValueError: if the numbers of placeholders and prefix vectors differ.
        """
        places = self.find_placeholders(input_ids, inputs_embeds)
        if not torch.compiler.is_compiling():
            counts = places.sum(dim=1)
            if len(prefix) != len(places) or bool((counts != prefix.shape[1]).any()):
                given, remedy = "`input_ids`", "Make the inputs with the model's processor, and do not truncate them."
                if input_ids is None:
                    given, remedy = "`inputs_embeds`", "If the audio is in them already, leave `input_features` out."
                raise ValueError(
                    f"The audio of {len(prefix)} examples gives {prefix.shape[1]} vectors each, but {given} has "
                    f"{counts.tolist()} placeholders (token {self.config.audio_token_id}) in {len(places)} rows. "
                    f"{remedy}"
                )
        places = places[:, :, None].expand_as(inputs_embeds)
        return inputs_embeds.masked_scatter(places, prefix.to(inputs_embeds.device, inputs_embeds.dtype))

    @takes_cache
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        prefix_inputs: dict[str, torch.Tensor] | None = None,
        audio_vectors: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMModelOutput:
        """
        Runs the language model over text with audio in it.

        Args:
            input_ids (`torch.Tensor` of shape `(batch, tokens)`): Token ids with audio placeholders.
            input_features (`torch.Tensor`): Log-mels, as the model's feature extractor makes them.
            attention_mask, past_key_values, use_cache: As in every decoder.
            inputs_embeds (`torch.Tensor` of shape `(batch, tokens, hidden_size)`, *optional*):
                In place of `input_ids`, what the word table makes of them; the placeholders are known by their vector.
            position_ids (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                By default the places among the real tokens of `attention_mask`, whichever side is filled up.
            prefix_inputs (`dict`, *optional*): Further arguments of `get_prefix`.
            audio_vectors (`torch.Tensor` of shape `(batch, vectors, hidden_size)`, *optional*):
                In place of `input_features`, what `get_audio_features` made of them (`pooler_output`, without a
                prompt): a clip that is asked about more than once is heard once.

        Raises:
            ValueError: if both `input_features` and `audio_vectors` are given; if there are placeholders without audio
                (unless a cache holds it), audio without placeholders,
                or a row that is longer than the language model has places for.
        """
        check_text(input_ids, inputs_embeds)
        if position_ids is None and self._reads_positions:
            width = (inputs_embeds if input_ids is None else input_ids).shape[1]  # type: ignore[union-attr]
            position_ids = positions_of(attention_mask, width)
        if not torch.compiler.is_compiling():
            heard = input_features if audio_vectors is None else audio_vectors
            self._check_tokens(input_ids, inputs_embeds, heard, position_ids, past_key_values)
            if input_features is not None and audio_vectors is not None:
                raise ValueError("Give either `input_features` or `audio_vectors`; there are both.")
        prefix = None
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if audio_vectors is not None:
            prompt = {name: value for name, value in (prefix_inputs or {}).items() if name.startswith("prompt_")}
            prefix = self.join_prompt(audio_vectors, **prompt)
        elif input_features is not None:
            prefix = self.get_prefix(input_features, **(prefix_inputs or {}))
        if prefix is not None:
            inputs_embeds = self.insert_prefix(input_ids, inputs_embeds, prefix)
        places = {} if position_ids is None else {"position_ids": position_ids}
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            use_cache=use_cache,
            return_dict=True,
            **{CACHE: past_key_values},
            **places,
            **with_config_defaults(dict(kwargs), self.config, self.config.text_config),
        )
        return AfmPrefixLMModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            **{CACHE: getattr(outputs, CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            audio_hidden_states=prefix,
        )

    def _check_tokens(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        input_features: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        past_key_values: Cache | None,
    ) -> None:
        """Before the work: is the audio there, and is there a place for each token?"""
        known = cached_tokens(past_key_values)
        if input_features is None and not known:
            check_heard(self.find_placeholders(input_ids, inputs_embeds), self.config.audio_token_id)
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        if tokens is not None:
            check_places(self.config.max_position_embeddings, known + tokens.shape[1], position_ids)


class AfmPrefixLMForConditionalGeneration(AfmPrefixLMPreTrainedModel, AfmGenerationMixin):
    """
    A prefix model with its language head.

    Subclasses set `model_class`, and `prefix_input_names` if their prefix needs more than `input_features`.
    """

    model_class: type[AfmPrefixLMModel]
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: AfmPrefixLMConfig) -> None:
        super().__init__(config)
        self.model = self.model_class(config)
        self.lm_head = AfmVocabularyHead(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        # GPT-2 calls its word table `wte`, Llama `embed_tokens`.
        table = self.model.get_input_embeddings()
        name = next(name for name, module in self.model.named_modules() if module is table)
        self._tied_weights_keys = {"lm_head.weight": f"model.{name}.weight"}
        self.post_init()
        if config.tie_word_embeddings:
            # The head's rows lie on several devices; so must those of the table, which are the same. GPT-2 has no rule.
            self._tp_plan = {f"model.{name}": "embedding_rowwise", **(self._tp_plan or {})}

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def freeze_audio_tower(self) -> None:
        """See [`~AfmPrefixLMModel.freeze_audio_tower`]."""
        self.model.freeze_audio_tower()

    def freeze_language_model(self) -> None:
        """See [`~AfmPrefixLMModel.freeze_language_model`]; a tied head stands still with it."""
        self.model.freeze_language_model()
        self.lm_head.requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """See [`~AfmPrefixLMModel.dtype`]."""
        return self.model.dtype

    def get_prefix(self, input_features: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """See [`~AfmPrefixLMModel.get_prefix`]."""
        return self.model.get_prefix(input_features, **kwargs)

    def get_audio_features(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, ...] | BaseModelOutputWithPooling:
        """See [`~AfmPrefixLMModel.get_audio_features`]."""
        return self.model.get_audio_features(input_features, input_features_mask, **kwargs)

    @takes_cache
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        audio_vectors: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMOutput:
        """
        Predicts the next token at every place.

        Args:
            input_ids, input_features, audio_vectors, attention_mask, position_ids, past_key_values, inputs_embeds,
            use_cache:
                See [`AfmPrefixLMModel`].
            labels (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                Token ids, -100 where no loss is wanted: on placeholders, prompt and padding. The processors make them.
            logits_to_keep (`int` or `torch.Tensor`, *optional*, defaults to 0):
                Compute the last so many logits only, or those at the given places; 0 for all.
        """
        prefix_inputs = {name: kwargs.pop(name) for name in self.prefix_input_names if name in kwargs}
        outputs = self.model(
            input_ids=input_ids,
            input_features=input_features,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE: past_key_values},
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            prefix_inputs=prefix_inputs,
            audio_vectors=audio_vectors,
            return_dict=True,
            **{name: value for name, value in kwargs.items() if name != "num_items_in_batch"},
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])  # (batch, kept tokens, vocab_size)
        logits[..., self.config.audio_token_id] = torch.finfo(logits.dtype).min
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        return AfmPrefixLMOutput(
            loss=loss,
            logits=logits,
            **{CACHE: getattr(outputs, CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            audio_hidden_states=outputs.audio_hidden_states,
        )


__all__ = [
    "AfmPrefixLMForConditionalGeneration",
    "AfmPrefixLMModel",
    "AfmPrefixLMModelOutput",
    "AfmPrefixLMOutput",
    "AfmPrefixLMPreTrainedModel",
    "AfmVocabularyHead",
]
