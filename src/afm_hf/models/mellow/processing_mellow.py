"""Processor of Mellow: two clips and a prompt in one row of tokens."""

from collections.abc import Sequence
from typing import Any

from transformers.feature_extraction_utils import BatchFeature

from ..prefix_lm.processing_afm_prefix_lm import AfmPairProcessor
from .chat_mellow import CHAT_TEMPLATE, NO_CHAT_OPTIONS, read_chat


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
            What follows the prompt where there is an answer.
        prompt_suffix (`str`, *optional*, defaults to `""`):
            What follows the prompt where there is none: nothing with SmolLM2, `" <|endoftext|>"` with GPT-2, as in the
            authors' inference.
        chat_template (`str`, *optional*): How messages become a prompt; by default their texts alone.
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
        prompt_suffix: str = "",
        chat_template: str | None = None,
    ) -> None:
        super().__init__(feature_extractor, tokenizer, prefix_length, answer_suffix, chat_template or CHAT_TEMPLATE)
        self.prompt_length = prompt_length
        self.pad_prompt = pad_prompt
        self.train_lower_case = train_lower_case
        self.train_prompt_suffix = train_prompt_suffix
        self.prompt_suffix = prompt_suffix

    def __call__(
        self,
        audio: Any = None,
        text: str | Sequence[str] | None = None,
        *,
        add_text: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """See [`AfmPrefixLMProcessor`]; every example needs a prompt."""
        if kwargs.get("text_target") is not None:
            text = _each(text, lambda prompt: self._trained(prompt) + self.train_prompt_suffix)
            kwargs["text_target"] = _each(kwargs["text_target"], self._trained)
        elif self.prompt_suffix:
            text = _each(text, lambda prompt: prompt + self.prompt_suffix)
        return super().__call__(audio=audio, text=text, add_text=add_text, **kwargs)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = False,
        return_tensors: Any = "pt",
        return_dict: bool = False,
        processor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        r"""
        Makes the inputs of a model from chat messages, exactly as a call with `audio` and `text` does.

        Mellow was trained on single questions. So it is asked the last question of a conversation, about the clips of
        that message or, if it has none, those that were given last; there are one or two. A system message goes in
        front of the question. What was asked and answered before is left out, with a warning. With
        `continue_final_message=True` the beginning of the answer follows, as an assistant's message.

        Args:
            conversation (`list[dict]` or `list[list[dict]]`): Messages, or a batch of such lists. `content` is a list
                of `{"type": "audio", "audio": path, URL, array, ...}` (or `"path"`, `"url"`; also a `data:` URL) and
                `{"type": "text", "text": ...}`.
            chat_template (`str`, *optional*): Instead of the processor's own.
            add_generation_prompt (`bool`, *optional*): Mellow has none, so it changes nothing.
            continue_final_message (`bool`, *optional*, defaults to `False`): See above.
            tokenize (`bool`, *optional*, defaults to `False`): Whether to make inputs, or only the prompt's text.
            return_tensors (`str`, *optional*, defaults to `"pt"`): `"pt"` or `"np"`.
            return_dict (`bool`, *optional*, defaults to `False`): Whether to return all inputs, or `input_ids` alone.
            processor_kwargs (`dict`, *optional*): For the call: `sampling_rate`, `truncation`, ...; also as **kwargs.

        Returns:
            `str` or `list[str]`, `torch.Tensor`, or [`BatchFeature`], as `tokenize` and `return_dict` say.

        Raises:
            ValueError: for other roles or content than these, a conversation without a question or without a clip, or
                more than two clips in a message.
        """
        if unusable := sorted(name for name in NO_CHAT_OPTIONS if kwargs.pop(name, None)):
            raise ValueError(f"Mellow's chats know no {', '.join(unusable)}; leave it out.")
        is_batch = bool(conversation) and isinstance(conversation[0], list | tuple)
        conversations = conversation if is_batch else [conversation]
        turns = [read_chat(messages, bool(continue_final_message)) for messages in conversations]
        rendered = [[{"role": "user", "content": turn.content}] for turn in turns]
        prompts = super().apply_chat_template(rendered, chat_template=chat_template, tokenize=False)
        if not tokenize:
            texts = [prompt + (turn.beginning or "") for prompt, turn in zip(prompts, turns, strict=True)]
            return texts if is_batch else texts[0]
        settings = {**(processor_kwargs or {}), **kwargs}
        if any(turn.beginning for turn in turns):
            settings["add_text"] = [turn.beginning for turn in turns]
        inputs = self(
            audio=[turn.clips for turn in turns],
            text=prompts,
            return_tensors="np" if return_tensors == "np" else "pt",
            **settings,
        )
        return inputs if return_dict else inputs["input_ids"]

    @property
    def stop_token_ids(self) -> list[int]:
        """The end token alone: SmolLM2 also writes the lone space within an answer, before digits."""
        return [self.tokenizer.eos_token_id]

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
        ids = self.cut_prompt(self.encode(prompt), self.prompt_length)
        if self.pad_prompt:
            ids = ids + [self.pad_id] * (self.prompt_length - len(ids))
        clip = [self.audio_token_id] * (self.prefix_length // 2) + [self.tokenizer.eos_token_id]
        return clip + clip + ids


def _each(texts: Any, change: Any) -> Any:
    if texts is None or isinstance(texts, str):
        return change(texts) if texts else texts
    if not isinstance(texts, list | tuple):
        return texts  # refused later, by name
    return [change(text) if text and isinstance(text, str) else text for text in texts]


__all__ = ["MellowProcessor"]
