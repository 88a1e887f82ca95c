"""Processor of Pengi: a clip, a prompt in the prompt encoder's tokens, and an answer in the language model's."""

from collections.abc import Sequence
from typing import Any

import torch

from ..prefix_lm.processing_afm_prefix_lm import AfmPrefixLMProcessor


class PengiProcessor(AfmPrefixLMProcessor):
    r"""
    Joins a [`PengiFeatureExtractor`] and two tokenizers.

    Prompts of the paper: `generate audio caption`, `generate metadata`, `this is a sound of`, `this emotion is`,
    `question: ...`.

    Args:
        feature_extractor ([`PengiFeatureExtractor`]): Audio side.
        tokenizer: Of the language model, with the placeholder `<|audio|>`.
        prompt_tokenizer: Of the prompt's encoder (CLIP); of the language model where there is no such encoder.
        prefix_length (`int`, *optional*, defaults to 80): Prefix vectors of audio and prompt together.
        answer_suffix (`str`, *optional*, defaults to `" <|endoftext|>"`): What follows every answer in training.
        prompt_length (`int`, *optional*, defaults to 40): Tokens to which a prompt is cut or filled up.
        prompt_suffix (`str`, *optional*, defaults to `""`):
            What follows every prompt: `" <|endoftext|>"` without text encoder. CLIP's tokenizer adds its own end.
    """

    #: What `describe` asks.
    describe_prompts = ("generate audio caption", "generate metadata", "this is a sound of")

    def __init__(
        self,
        feature_extractor: Any,
        tokenizer: Any,
        prompt_tokenizer: Any,
        prefix_length: int = 80,
        answer_suffix: str = " <|endoftext|>",
        prompt_length: int = 40,
        prompt_suffix: str = "",
        chat_template: str | None = None,
    ) -> None:
        # The base class keeps what it is given under the names of `__init__`'s arguments, in their order.
        super(AfmPrefixLMProcessor, self).__init__(
            feature_extractor, tokenizer, prompt_tokenizer, chat_template=chat_template
        )
        self._set_up(tokenizer, prefix_length, answer_suffix)
        self.prompt_length = prompt_length
        self.prompt_suffix = prompt_suffix

    def front_ids(self, prompt: str | None) -> list[int]:
        """The placeholders of audio and prompt; the prompt itself goes into `prompt_input_ids`."""
        return [self.audio_token_id] * self.prefix_length

    def prompt_inputs(self, prompts: list[str | None]) -> dict[str, torch.Tensor]:
        """
        `prompt_input_ids` and `prompt_attention_mask`, each `(batch, prompt_length)`.

        Raises:
            ValueError: if a prompt is missing or empty.
        """
        for index, prompt in enumerate(prompts):
            if not prompt:
                raise ValueError(
                    f"`text` of example {index} is {prompt!r}, but Pengi needs a prompt for every clip, "
                    f"for example {self.describe_prompts[0]!r}."
                )
        texts = [f"{prompt}{self.prompt_suffix}" for prompt in prompts]
        for ids in self.prompt_tokenizer(texts)["input_ids"]:
            self.cut_prompt(ids, self.prompt_length)  # warns
        encoded = self.prompt_tokenizer(
            texts,
            padding="max_length",
            padding_side="right",
            truncation=True,
            max_length=self.prompt_length,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {
            "prompt_input_ids": encoded["input_ids"],
            "prompt_attention_mask": encoded["attention_mask"],
        }

    @torch.no_grad()
    def describe(self, model: Any, audio: Any, sampling_rate: int | None = None, **generate_kwargs: Any) -> list[str]:
        r"""
        The released wrapper's `describe`: caption, metadata and sound events of each clip in one text.

        Args:
            model ([`PengiForConditionalGeneration`]): Pengi.
            audio: One clip or a list of clips.
            sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; see the feature extractor.
            **generate_kwargs: For `model.generate`.

        Returns:
            `list[str]`: `"{caption} {metadata} this audio contains sound events: {events}."` of each clip. The released
            wrapper cuts off the last character of the events, usually the space token that ends an answer; here
            answers are stripped instead.
        """
        answers = []
        for prompt in self.describe_prompts:
            inputs = self(audio=audio, text=prompt, sampling_rate=sampling_rate).to(model.device)
            sequences = model.generate(**inputs, **{**generate_kwargs, "num_return_sequences": 1})
            answers.append(self.decode_answers(sequences, inputs["input_ids"]))
        return [self.join_description(parts) for parts in zip(*answers, strict=True)]

    @staticmethod
    def join_description(answers: Sequence[str]) -> str:
        """One text of the three answers that `describe` asks for."""
        caption, metadata, events = answers
        return f"{caption} {metadata} this audio contains sound events: {events}."

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "prompt_input_ids", "prompt_attention_mask"]


__all__ = ["PengiProcessor"]
