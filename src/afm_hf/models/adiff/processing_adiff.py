"""Processor of ADIFF: two clips and a prompt, which goes to the prefix network."""

from typing import Any

import torch

from ..common.processing_afm import pad
from ..prefix_lm.processing_afm_prefix_lm import AfmPairProcessor
from ..prefix_lm.prompts_afm import DIFFERENCE_PROMPTS


class AdiffProcessor(AfmPairProcessor):
    r"""
    Joins an [`AdiffFeatureExtractor`] and GPT-2's tokenizer.

    Args:
        feature_extractor ([`AdiffFeatureExtractor`]): Audio side.
        tokenizer: Of the language model, with the placeholder `<|audio|>`.
        prefix_length (`int`, *optional*, defaults to 121): Vectors that the model makes of clips and prompt.
        answer_suffix (`str`, *optional*, defaults to `" <|endoftext|>"`): What follows every answer in training.
        prompt_length (`int`, *optional*, defaults to 40): Tokens to which a prompt is cut or filled up with `!`.
        prompt_suffix (`str`, *optional*, defaults to `" <|endoftext|>"`): What follows every prompt.
    """

    #: Prompts of the three tiers of explanation, from the `input` column of the authors' data files.
    tier_prompts = DIFFERENCE_PROMPTS["afm_adiff"]

    def __init__(
        self,
        feature_extractor: Any,
        tokenizer: Any,
        prefix_length: int = 121,
        answer_suffix: str = " <|endoftext|>",
        prompt_length: int = 40,
        prompt_suffix: str = " <|endoftext|>",
        chat_template: str | None = None,
    ) -> None:
        super().__init__(feature_extractor, tokenizer, prefix_length, answer_suffix, chat_template)
        self.prompt_length = prompt_length
        self.prompt_suffix = prompt_suffix

    def front_ids(self, prompt: str | None) -> list[int]:
        """The placeholders; the prompt itself goes into `prompt_input_ids`."""
        return [self.audio_token_id] * self.prefix_length

    def prompt_inputs(self, prompts: list[str | None]) -> dict[str, torch.Tensor]:
        """
        `prompt_input_ids` `(batch, prompt_length)`; padding is part of the prompt, as in the released code.

        Raises:
            ValueError: if a prompt is missing or empty.
        """
        rows = []
        for index, prompt in enumerate(prompts):
            if not prompt:
                raise ValueError(
                    f"`text` of example {index} is {prompt!r}, but ADIFF needs a prompt, "
                    f"for example {self.tier_prompts[0]!r}."
                )
            rows.append(self.cut_prompt(self.encode(prompt + self.prompt_suffix), self.prompt_length))
        rows.append([self.pad_id] * self.prompt_length)  # sets the length, and is taken away again
        return {"prompt_input_ids": pad(rows, self.pad_id, "right")[:-1]}

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "prompt_input_ids"]


__all__ = ["AdiffProcessor"]
