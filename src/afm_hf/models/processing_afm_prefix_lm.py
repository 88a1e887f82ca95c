"""
What the processors of CLAPCAP, Pengi, ADIFF and Mellow have in common: placeholders, prompts, labels, padding.

A row of `input_ids` is what the model was trained on: the prefix as placeholders, a prompt where the model reads one,
and, for training, the answer with its end. Subclasses say what stands in front of the answer.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .feature_extraction_afm import as_clips

AUDIO_TOKEN = "<|audio|>"
IGNORED = -100


class AfmPrefixLMProcessor(ProcessorMixin):
    r"""
    Joins a feature extractor and the language model's tokenizer, which has the placeholder `<|audio|>` as a token.

    Args:
        feature_extractor ([`AfmFeatureExtractor`]): Audio side.
        tokenizer: Of the language model.
        prefix_length (`int`, *optional*, defaults to 40): Vectors that the model makes of the audio (and of a prompt
            that does not go through `input_ids`).
        answer_suffix (`str`, *optional*, defaults to `" <|endoftext|>"`): What follows every answer in training.
    """

    #: Clips of one example: 1, or 2 for the models that compare.
    clips_per_example = 1

    def __init__(
        self,
        feature_extractor: Any,
        tokenizer: Any,
        prefix_length: int = 40,
        answer_suffix: str = " <|endoftext|>",
        chat_template: str | None = None,
    ) -> None:
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template)
        self._set_up(tokenizer, prefix_length, answer_suffix)

    def _set_up(self, tokenizer: Any, prefix_length: int, answer_suffix: str) -> None:
        """What the subclasses with other sub-processors share of `__init__`."""
        self.prefix_length = prefix_length
        self.answer_suffix = answer_suffix
        self.audio_token = AUDIO_TOKEN
        self.audio_token_id = tokenizer.convert_tokens_to_ids(AUDIO_TOKEN)
        if self.audio_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(
                f"The tokenizer does not know the placeholder {AUDIO_TOKEN!r}. Add it with "
                f"`tokenizer.add_special_tokens({{'extra_special_tokens': [{AUDIO_TOKEN!r}]}})`."
            )

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
        r"""
        Makes the inputs of a model.

        Args:
            audio: One example or a list of examples. For models with two audios an example is a pair.
            text (`str` or `list[str]`, *optional*): Prompt of all examples, or one each.
            text_target (`str` or `list[str]`, *optional*):
                Answers, for training: they are appended, and `labels` are made, -100 on everything else.
            add_text (`str` or `list[str]`, *optional*): What all answers begin with, or each; no loss is taken on it.
            sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; see the feature extractor.
            return_tensors (`str`, *optional*, defaults to `"pt"`): `"pt"` or `"np"`.
            padding_side (`str`, *optional*): `"left"` for generation, `"right"` for training, if not said otherwise.
            **audio_kwargs: Further arguments of the feature extractor (`truncation`, `channels`, `device`, ...).

        Returns:
            [`BatchFeature`] with `input_ids` and `attention_mask` `(batch, tokens)`, the feature extractor's
            `input_features`, `labels` if there are answers, and what else the model reads.

        Raises:
            ValueError: if there is no audio, or if numbers of clips, prompts and answers do not fit.
        """
        if audio is None:
            raise ValueError(f"{type(self).__name__} needs `audio`.")
        inputs = self.audio_inputs(audio, sampling_rate=sampling_rate, return_tensors="pt", **audio_kwargs)
        examples = len(inputs["input_features"])
        prompts = one_each("text", text, examples)
        beginnings = one_each("add_text", add_text, examples)
        fronts = [
            self.front_ids(prompt) + (self.encode(beginning) if beginning else [])
            for prompt, beginning in zip(prompts, beginnings, strict=True)
        ]
        answers: list[list[int]] = [[]] * examples
        if text_target is not None:
            answers = [self.answer_ids(answer) for answer in one_each("text_target", text_target, examples)]
        side = padding_side or ("right" if text_target is not None else "left")
        rows = [front + answer for front, answer in zip(fronts, answers, strict=True)]
        inputs["input_ids"] = pad(rows, self.pad_id, side)
        inputs["attention_mask"] = pad([[1] * len(row) for row in rows], 0, side)
        if text_target is not None:
            labels = [[IGNORED] * len(front) + answer for front, answer in zip(fronts, answers, strict=True)]
            inputs["labels"] = pad(labels, IGNORED, side)
        inputs.update(self.prompt_inputs(prompts))
        return BatchFeature(inputs) if return_tensors == "pt" else BatchFeature(inputs, tensor_type=return_tensors)

    @property
    def pad_id(self) -> int:
        """Id that fills rows of unequal length."""
        pad_id = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad_id is None else pad_id

    def audio_inputs(self, audio: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """`input_features` of the examples."""
        return dict(self.feature_extractor(audio, **kwargs))

    def front_ids(self, prompt: str | None) -> list[int]:
        """What stands before the answer: here the placeholders, and the prompt as the beginning of the answer."""
        prefix = [self.audio_token_id] * self.prefix_length
        return prefix + (self.encode(prompt) if prompt else [])

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer and its end."""
        return self.encode(answer + self.answer_suffix)

    def prompt_inputs(self, prompts: list[str | None]) -> dict[str, torch.Tensor]:
        """What the model reads beside `input_ids`; nothing here."""
        return {}

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, with nothing added."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode_answers(self, sequences: torch.Tensor, input_ids: torch.Tensor) -> list[str]:
        """
        The generated text behind the prompt.

        Args:
            sequences (`torch.Tensor` of shape `(batch * sequences, tokens)`): What `generate` returned.
            input_ids (`torch.Tensor` of shape `(batch, tokens)`): What it was given.
        """
        new = sequences[:, input_ids.shape[1] :]
        return [text.strip() for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "input_features", "input_features_mask"]


class AfmPairProcessor(AfmPrefixLMProcessor):
    r"""[`AfmPrefixLMProcessor`] of the models that hear two clips (ADIFF, Mellow): an example is a pair."""

    clips_per_example = 2

    def audio_inputs(self, audio: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """`input_features` `(batch, 2, 1, frames, mels)`, batch first because beam search repeats along it."""
        if kwargs.get("truncation") == "windows" or self.feature_extractor.truncation == "windows":
            raise ValueError('`truncation="windows"` is not for models with two audios: choose one part of each clip.')
        pairs = as_pairs(audio)
        flat = self.feature_extractor([clip for pair in pairs for clip in pair], **kwargs)["input_features"]
        return {"input_features": flat.unflatten(0, (len(pairs), 2))}


def as_pairs(audio: Any) -> list[tuple[Any, Any]]:
    """
    Examples of two clips from one pair or a list of pairs.

    A single clip in place of a pair, for the one-audio tasks, is heard twice: Mellow's training put a random other clip
    in the second slot, which the prompt does not ask about, so its content must not matter.

    Raises:
        ValueError: if an example has no clip or more than two.
    """
    examples = as_clips(audio)
    if isinstance(audio, list | tuple) and len(audio) == 2 and not any(isinstance(e, list | tuple) for e in audio):
        examples = [list(audio)]  # one pair, as in `processor(audio=[first, second], text=prompt)`
    pairs = []
    for index, example in enumerate(examples):
        clips = list(example) if isinstance(example, list | tuple) else [example]
        if len(clips) not in (1, 2):
            raise ValueError(
                f"audio[{index}] has {len(clips)} clips; an example is a pair [first, second] or one clip."
            )
        pairs.append((clips[0], clips[-1]))
    return pairs


def one_each(name: str, texts: str | Sequence[str] | None, examples: int) -> list[Any]:
    """
    One text for every example.

    Raises:
        ValueError: if their numbers differ; a single string (or `None`) is for all.
    """
    if texts is None or isinstance(texts, str):
        return [texts] * examples
    if len(texts) != examples:
        raise ValueError(
            f"`{name}` has {len(texts)} entries for {examples} examples of audio; give one each, or one string for all."
        )
    return list(texts)


def pad(rows: list[list[int]], value: int, side: str) -> torch.Tensor:
    """Rows of unequal length -> int64 `(batch, longest)`."""
    longest = max(map(len, rows))
    filled = [
        [value] * (longest - len(row)) + row if side == "left" else row + [value] * (longest - len(row)) for row in rows
    ]
    return torch.tensor(filled, dtype=torch.long)


__all__ = ["AfmPairProcessor", "AfmPrefixLMProcessor"]
