"""
Pengi: audio tasks as text generation from an audio clip and a prompt.

Deshmukh, Elizalde, Singh, Wang, "Pengi: An Audio Language Model for Audio Tasks" (NeurIPS 2023), as released in
microsoft/Pengi (`models/pengi.py`, `models/decoder.py`, `configs/base.yml`, `configs/base_no_text_enc.yml`). Audio and
prompt become 40 prefix vectors each for a frozen GPT-2. Differences to the released code: the KV cache, batches of
clips, several windows of a long clip, and working `labels`.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..common.cache_names_afm import CACHE, takes_cache
from ..common.modeling_afm_common import AfmProjection, average_windows, build_mapper, encode_windows, flatten_windows
from ..prefix_lm.hearing_afm import checked_prompts, heard, normalised
from ..prefix_lm.modeling_afm_prefix_lm import (
    AfmPrefixLMForConditionalGeneration,
    AfmPrefixLMModel,
    AfmPrefixLMModelOutput,
    AfmPrefixLMOutput,
)
from .configuration_pengi import PengiConfig


class PengiModel(AfmPrefixLMModel):
    """Pengi without its language head."""

    config: PengiConfig

    def __init__(self, config: PengiConfig) -> None:
        super().__init__(config)
        self.audio_projection = AfmProjection(
            config.audio_config.hidden_size, config.projection_dim, config.projection_dropout
        )
        self.audio_mapper = build_mapper(config, config.projection_dim)
        encoder = config.text_encoder_config
        self.prompt_mapper = build_mapper(config, None if encoder is None else config.projection_dim)
        if encoder is not None:
            self.prompt_encoder = AutoModel.from_config(encoder)
            self.prompt_text_projection = nn.Linear(encoder.hidden_size, encoder.projection_dim, bias=False)
            self.prompt_projection = AfmProjection(
                encoder.projection_dim, config.projection_dim, config.projection_dropout
            )
        self.post_init()

    def freeze_text_encoder(self) -> None:
        """No gradients for the encoder of the prompt, as in the released training; nothing to do without one."""
        if self.config.text_encoder_config is not None:
            self.prompt_encoder.requires_grad_(False)
            self.prompt_text_projection.requires_grad_(False)

    def hear(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """
        The encoder's output, with the vectors of each clip, `(batch, prefix_length, hidden_size)`, as `pooler_output`.

        Args:
            input_features (`torch.Tensor`):
                Log-mel of shape `(batch, 1, frames, mels)` or `(batch, windows, 1, frames, mels)`.
            input_features_mask (`torch.Tensor` of shape `(batch, windows)`, *optional*): What part of each is heard.
            kwargs: For the encoder.
        """
        features, owners = flatten_windows(input_features, input_features_mask)
        outputs = encode_windows(self.audio_tower, features, owners, return_dict=True, **kwargs)
        embedding = average_windows(self.audio_projection(outputs.pooler_output), owners)  # (batch, projection_dim)
        return heard(outputs, self.audio_mapper(normalised(embedding)))

    def join_prompt(
        self,
        audio: torch.Tensor,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """
        The prefix of each example: that of its audio, then that of its prompt.

        Args:
            audio (`torch.Tensor` of shape `(batch, prefix_length, hidden_size)`): The audio's vectors.
            prompt_input_ids (`torch.Tensor` of shape `(batch, prompt tokens)`): The prompt, in the tokens of its
                encoder, or in the language model's.
            prompt_attention_mask (`torch.Tensor` of shape `(batch, prompt tokens)`, *optional*):
                0 for padding. Unused without text encoder, where padding is part of the prompt as in the released code.

        Returns:
            `torch.Tensor` of shape `(batch, 2 * prefix_length, hidden_size)`.

        Raises:
            ValueError: if there is no prompt, or not one for every clip.
        """
        prompts = checked_prompts(prompt_input_ids, len(audio), "Pengi", "generate audio caption")
        return torch.cat([audio, self.get_prompt_prefix(prompts, prompt_attention_mask)], dim=1)

    def get_audio_prefix(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Log-mels -> `(batch, prefix_length, hidden_size)`; see `hear`."""
        return self.hear(input_features, input_features_mask).pooler_output

    def get_prompt_prefix(
        self, prompt_input_ids: torch.Tensor, prompt_attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Prompt `(batch, prompt tokens)` -> `(batch, prefix_length, hidden_size)`; see `join_prompt`."""
        if self.config.text_encoder_config is None:
            return self.prompt_mapper(self.get_input_embeddings()(prompt_input_ids))
        embedding = self.get_prompt_embedding(prompt_input_ids, prompt_attention_mask)
        return self.prompt_mapper(normalised(embedding) if self.config.normalize_prompt else embedding)

    def get_prompt_embedding(
        self, prompt_input_ids: torch.Tensor, prompt_attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        What the text encoder makes of a prompt, `(batch, projection_dim)`, not normalised.

        It is pooled at the first token of the highest id, which is CLIP's end token.
        """
        states = self.prompt_encoder(
            input_ids=prompt_input_ids, attention_mask=prompt_attention_mask
        ).last_hidden_state  # (batch, prompt tokens, 512)
        end = prompt_input_ids.argmax(dim=-1)
        pooled = states[torch.arange(len(states), device=states.device), end.to(states.device)]
        return self.prompt_projection(self.prompt_text_projection(pooled))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        prefix_inputs: dict[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMModelOutput:
        """
        Runs the language model over prefix and text.

        Args:
            input_ids, attention_mask (`torch.Tensor` of shape `(batch, tokens)`):
                `2 * prefix_length` placeholders, then the beginning of the answer.
            input_features, input_features_mask: See `hear`.
            prompt_input_ids, prompt_attention_mask: See `join_prompt`.
            prefix_inputs (`dict`, *optional*): The same under their names.
            **kwargs: See [`AfmPrefixLMModel`].
        """
        given = {
            "input_features_mask": input_features_mask,
            "prompt_input_ids": prompt_input_ids,
            "prompt_attention_mask": prompt_attention_mask,
        }
        return super().forward(
            input_ids=input_ids,
            input_features=input_features,
            attention_mask=attention_mask,
            prefix_inputs={**given, **(prefix_inputs or {})},
            **kwargs,
        )


class PengiForConditionalGeneration(AfmPrefixLMForConditionalGeneration):
    """
    Pengi with its language head: any audio task as text generation with `generate()`.

    `input_ids` are `config.num_placeholders` placeholders, and whatever the answer should begin with; the prompt goes
    into `prompt_input_ids`. [`PengiProcessor`] makes both.
    """

    config: PengiConfig
    model: PengiModel
    model_class = PengiModel
    prefix_input_names = ("input_features_mask", "prompt_input_ids", "prompt_attention_mask")

    def freeze_text_encoder(self) -> None:
        """See [`~PengiModel.freeze_text_encoder`]."""
        self.model.freeze_text_encoder()

    @takes_cache
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
        input_features_mask: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        audio_vectors: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMOutput:
        """
        Predicts the next token at every place.

        Args:
            input_features_mask: See [`~PengiModel.hear`].
            prompt_input_ids, prompt_attention_mask: See [`~PengiModel.join_prompt`].
            input_ids, input_features, audio_vectors, labels, ...: See [`AfmPrefixLMForConditionalGeneration`].
        """
        return super().forward(
            input_ids=input_ids,
            input_features=input_features,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE: past_key_values},
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            audio_vectors=audio_vectors,
            input_features_mask=input_features_mask,
            prompt_input_ids=prompt_input_ids,
            prompt_attention_mask=prompt_attention_mask,
            **kwargs,
        )


__all__ = ["PengiForConditionalGeneration", "PengiModel"]
