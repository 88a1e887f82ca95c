"""
ADIFF: explains the difference between two audio clips.

Deshmukh, Han, Singh, Raj, "ADIFF: Explaining audio difference using natural language" (ICLR 2025, arXiv 2502.04476), as
released in soham97/ADIFF. Two clips and a prompt become 121 prefix vectors for GPT-2. Differences to the released code:
the KV cache, batches, working `labels`.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..common.cache_names_afm import CACHE, takes_cache
from ..common.modeling_afm_common import AfmMapperTransformer, AfmProjection, build_mapper, encode_clips
from ..prefix_lm.hearing_afm import checked_prompts, heard, normalised, paired, unpaired
from ..prefix_lm.modeling_afm_prefix_lm import (
    AfmPrefixLMForConditionalGeneration,
    AfmPrefixLMModel,
    AfmPrefixLMModelOutput,
    AfmPrefixLMOutput,
)
from .configuration_adiff import AdiffConfig


class AdiffModel(AfmPrefixLMModel):
    """ADIFF without its language head."""

    config: AdiffConfig

    def __init__(self, config: AdiffConfig) -> None:
        super().__init__(config)
        self.audio_projection = AfmProjection(
            config.audio_config.hidden_size, config.projection_dim, config.projection_dropout
        )
        self.first_mapper = build_mapper(config, config.projection_dim)
        self.second_mapper = build_mapper(config, config.projection_dim)
        self.prompt_mapper = build_mapper(config, None)
        if config.use_cross_projection:
            self.cross_projection = AfmMapperTransformer(
                config.hidden_size, config.cross_layers, config.cross_heads, config.mapper_mlp_ratio
            )
        self.post_init()

    def get_audio_embeddings(self, input_features: torch.Tensor) -> torch.Tensor:
        """Log-mels `(clips, 1, frames, mels)` -> `(clips, projection_dim)`, not normalised."""
        return self.audio_projection(encode_clips(self.audio_tower, input_features, return_dict=True).pooler_output)

    def hear(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """
        The encoder's output, with the vectors of both clips, the first one's first, as `pooler_output`.

        They are `(batch, 2 * prefix_length, hidden_size)`, before the cross-projection, which runs over the prompt too.

        Args:
            input_features (`torch.Tensor` of shape `(batch, 2, 1, frames, mels)`): Log-mels.
            input_features_mask: Not for pairs, which have no windows.
            kwargs: For the encoder.

        Raises:
            ValueError: if the clips are not in pairs.
        """
        features = paired(input_features, "ADIFF", "AdiffProcessor")
        outputs = encode_clips(self.audio_tower, features, return_dict=True, **kwargs)
        embeddings = unpaired(normalised(self.audio_projection(outputs.pooler_output)))  # (batch, 2, projection_dim)
        vectors = [self.first_mapper(embeddings[:, 0]), self.second_mapper(embeddings[:, 1])]
        return heard(outputs, torch.cat(vectors, dim=1), unpaired)

    def join_prompt(
        self, audio: torch.Tensor, prompt_input_ids: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """
        The prefix of each example: first clip, separator, second clip, prompt.

        Args:
            audio (`torch.Tensor` of shape `(batch, 2 * prefix_length, hidden_size)`): The clips' vectors.
            prompt_input_ids (`torch.Tensor` of shape `(batch, prompt tokens)`): The language model's ids of the prompt.

        Returns:
            `torch.Tensor` of shape `(batch, num_placeholders, hidden_size)`.

        Raises:
            ValueError: if there is not one prompt for every pair.
        """
        prompts = checked_prompts(prompt_input_ids, len(audio), "ADIFF", "explain the difference in few words")
        words = self.get_input_embeddings()
        first, second = audio.chunk(2, dim=1)
        parts = [first]
        if self.config.use_separator:
            separator = prompts.new_full((len(prompts), 1), self.config.separator_token_id or 0)
            parts.append(words(separator))
        parts += [second, self.prompt_mapper(words(prompts))]
        prefix = torch.cat([part.to(audio.dtype) for part in parts], dim=1)
        return self.cross_projection(prefix) if self.config.use_cross_projection else prefix

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prefix_inputs: dict[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMModelOutput:
        """
        Runs the language model over prefix and text.

        Args:
            input_ids, attention_mask (`torch.Tensor` of shape `(batch, tokens)`):
                `num_placeholders` placeholders, then the beginning of the answer.
            input_features: See `hear`.
            prompt_input_ids: See `join_prompt`.
            prefix_inputs (`dict`, *optional*): The prompt under its name.
            **kwargs: See [`AfmPrefixLMModel`].
        """
        given = {} if prompt_input_ids is None else {"prompt_input_ids": prompt_input_ids}
        return super().forward(
            input_ids=input_ids,
            input_features=input_features,
            attention_mask=attention_mask,
            prefix_inputs={**given, **(prefix_inputs or {})},
            **kwargs,
        )


class AdiffForConditionalGeneration(AfmPrefixLMForConditionalGeneration):
    """
    ADIFF with its language head.

    `input_ids` are `config.num_placeholders` placeholders and whatever the answer should begin with; the prompt goes
    into `prompt_input_ids`. [`AdiffProcessor`] makes both.
    """

    config: AdiffConfig
    model: AdiffModel
    model_class = AdiffModel
    prefix_input_names = ("prompt_input_ids",)

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
        prompt_input_ids: torch.Tensor | None = None,
        audio_vectors: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, ...] | AfmPrefixLMOutput:
        """
        Predicts the next token at every place.

        Args:
            prompt_input_ids: See [`~AdiffModel.join_prompt`].
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
            prompt_input_ids=prompt_input_ids,
            **kwargs,
        )


__all__ = ["AdiffForConditionalGeneration", "AdiffModel"]
