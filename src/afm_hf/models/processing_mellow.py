"""Processor of Mellow: two clips and a prompt in one row of tokens."""

from collections.abc import Sequence
from typing import Any

from transformers.feature_extraction_utils import BatchFeature

from .processing_afm_prefix_lm import AfmPairProcessor


class MellowProcessor(AfmPairProcessor):
    r"""
    Joins a [`MellowFeatureExtractor`] and SmolLM2's tokenizer.

    A row is `[placeholders of the first clip, separator, placeholders of the second, separator, prompt]`.

    Args:
        feature_extractor ([`MellowFeatureExtractor`]): Audio side.
        tokenizer: Of the language model, with the placeholder `<|audio|>`.
        prefix_length (`int`, *optional*, defaults to 258): Vectors of both clips.
        answer_suffix (`str`, *optional*, defaults to `" <|endoftext|>"`): What follows every answer in training.
        prompt_length (`int`, *optional*, defaults to 129): Tokens to which a prompt is cut or filled up.
        pad_prompt (`bool`, *optional*, defaults to `True`):
            Whether prompts are filled up with the pad token `!`, which the model attends to: it was trained so.
        train_lower_case (`bool`, *optional*, defaults to `True`):
            Whether prompt and answer are lower-cased where there is an answer, as in the authors' training.
        train_prompt_suffix (`str`, *optional*, defaults to `" <|endoftext|>"`):
            What follows the prompt where there is an answer. The authors' inference leaves it out.
    """

    def __init__(
        self,
        feature_extractor: Any,
        tokenizer: Any,
        prefix_length: int = 258,
        answer_suffix: str = " <|endoftext|>",
        prompt_length: int = 129,
        pad_prompt: bool = True,
        train_lower_case: bool = True,
        train_prompt_suffix: str = " <|endoftext|>",
        chat_template: str | None = None,
    ) -> None:
        super().__init__(feature_extractor, tokenizer, prefix_length, answer_suffix, chat_template)
        self.prompt_length = prompt_length
        self.pad_prompt = pad_prompt
        self.train_lower_case = train_lower_case
        self.train_prompt_suffix = train_prompt_suffix

    def __call__(
        self,
        audio: Any = None,
        text: str | Sequence[str] | None = None,
        text_target: str | Sequence[str] | None = None,
        add_text: str | Sequence[str] | None = None,
        sampling_rate: int | None = None,
        return_tensors: str | None = "pt",
        padding_side: str | None = None,
        **audio_kwargs: Any,
    ) -> BatchFeature:
        """See [`AfmPrefixLMProcessor`]; every example needs a prompt."""
        if text_target is not None:
            text = _each(text, lambda prompt: self._trained(prompt) + self.train_prompt_suffix)
            text_target = _each(text_target, self._trained)
        return super().__call__(
            audio=audio,
            text=text,
            text_target=text_target,
            add_text=add_text,
            sampling_rate=sampling_rate,
            return_tensors=return_tensors,
            padding_side=padding_side,
            **audio_kwargs,
        )

    def _trained(self, text: str) -> str:
        return text.lower() if self.train_lower_case else text

    def front_ids(self, prompt: str | None) -> list[int]:
        """
        Both clips' placeholders, each followed by the separator, and the prompt.

        Raises:
            ValueError: if there is no prompt.
        """
        if not prompt:
            raise ValueError(f"`text` is {prompt!r}, but Mellow needs a prompt, for example 'caption the audio.'.")
        ids = self.encode(prompt)[: self.prompt_length]
        if self.pad_prompt:
            ids = ids + [self.pad_id] * (self.prompt_length - len(ids))
        clip = [self.audio_token_id] * (self.prefix_length // 2) + [self.tokenizer.eos_token_id]
        return clip + clip + ids


def _each(texts: Any, change: Any) -> Any:
    if texts is None or isinstance(texts, str):
        return change(texts) if texts else texts
    return [change(text) if text else text for text in texts]


__all__ = ["MellowProcessor"]
