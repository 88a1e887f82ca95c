"""
What the processors of CLAPCAP, Pengi, ADIFF and Mellow have in common: placeholders, prompts, labels, padding.

A row of `input_ids` is what the model was trained on: the prefix as placeholders, a prompt where the model reads one,
and, for training, the answer with its end. Subclasses say what stands in front of the answer.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging

from ...audio.audio_loading import AudioDecodeError
from ..common.batch_afm import AfmBatchFeature
from ..common.feature_extraction_afm import IN_WINDOWS, as_clips
from ..common.processing_afm import merged_arguments, pad, row_length, shortened
from ..common.repo_code_afm import OwnCode
from .inputs_afm import IGNORED

logger = logging.get_logger(__name__)

AUDIO_TOKEN = "<|audio|>"


class AfmPrefixLMProcessor(OwnCode, ProcessorMixin):
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
        *,
        add_text: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        r"""
        Makes the inputs of a model.

        Args:
            audio: One example or a list of examples. For models with two audios an example is a pair.
            text (`str` or `list[str]`, *optional*): Prompt of all examples, or one each.
            add_text (`str` or `list[str]`, *optional*): What all answers begin with, or each; no loss is taken on it.
            kwargs (*optional*):
                `text_target` (`str` or `list[str]`): Answers, for training: they are appended, and `labels` are made,
                -100 on everything else.
                `sampling_rate` (`int`): Rate in Hz of bare arrays; see the feature extractor.
                `return_tensors`: `"pt"`, which is the default here, `"np"`, or `None` for lists of tokens.
                `padding_side`: `"left"` for generation, `"right"` for training, if not said otherwise.
                `padding`, `max_length`, `truncation`, `pad_to_multiple_of`, `return_attention_mask`: Of the rows of
                tokens, placeholders counted, as a tokenizer takes them; rows are padded to the longest if nothing is
                said, and the placeholders are never cut.
                `truncation` and `padding`, if they are words that only the feature extractor knows (`"windows"`,
                `"zero"`, ...), and `max_length_s`, `channels`, `resampler`, `generator`, `device`: For that.
                `many_texts` (`bool`): Of a single example, a list of texts are several questions about it: a row of
                tokens for each, and `input_features` once; see [`heard_once`].
                `text_kwargs`, `audio_kwargs`, `common_kwargs`: The same as dictionaries, for one side or both.

        Returns:
            [`BatchFeature`] with `input_ids` and `attention_mask` `(batch, tokens)`, the feature extractor's
            `input_features`, `labels` if there are answers, and what else the model reads.

        Raises:
            AudioDecodeError: (a `ValueError`) for audio that cannot be used; it names the clip.
            ValueError: if there is no audio, a text is no string, numbers of clips, prompts and answers do not fit, a
                setting is given twice, or rows of unequal length are to become tensors without padding.
        """
        if audio is None:
            raise ValueError(f"{type(self).__name__} needs `audio`.")
        for name in ("images", "videos"):  # transformers' pipelines name them to every processor
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"{type(self).__name__} takes audio and text, but `{name}` were given.")
        text_target = kwargs.pop("text_target", None)
        many_texts = kwargs.pop("many_texts", False)
        row_settings, audio_settings = merged_arguments(self, kwargs)
        inputs = self.audio_inputs(audio, **audio_settings)
        examples = len(inputs["input_features"])
        if many_texts and examples != 1:
            raise ValueError(f"`many_texts` is for questions about one example, but there are {examples}.")
        if many_texts and isinstance(text, list | tuple):
            examples = len(text)
        prompts = one_each("text", text, examples)
        beginnings = one_each("add_text", add_text, examples)
        fronts = [
            self.front_ids(prompt) + (self.encode(beginning) if beginning else [])
            for prompt, beginning in zip(prompts, beginnings, strict=True)
        ]
        answers: list[list[int]] | None = None
        if text_target is not None:
            answers = [self.answer_ids(answer) for answer in one_each("text_target", text_target, examples)]
        rows = self._rows(fronts, answers, row_settings)
        inputs.update(self.prompt_inputs(prompts))
        return _as_batch(rows, inputs, row_settings["return_tensors"])

    def _rows(
        self, fronts: list[list[int]], answers: list[list[int]] | None, settings: dict[str, Any]
    ) -> dict[str, list[list[int]]]:
        """`input_ids`, `attention_mask` and, where there are answers, `labels`; padded unless that is switched off."""
        side = settings["padding_side"] or ("left" if answers is None else "right")
        whole = [front + answer for front, answer in zip(fronts, answers or [[]] * len(fronts), strict=True)]
        ids = [shortened(row, self.audio_token_id, settings) for row in whole]
        rows = {"input_ids": (ids, self.pad_id), "attention_mask": ([[1] * len(row) for row in ids], 0)}
        if answers is not None:
            labels = [
                ([IGNORED] * len(front) + row[len(front) :])[: len(row)] for front, row in zip(fronts, ids, strict=True)
            ]
            rows["labels"] = (labels, IGNORED)
        if settings.get("return_attention_mask") is False:
            del rows["attention_mask"]
        length = row_length([len(row) for row in ids], settings, self.tokenizer.model_max_length)
        if length is None:
            return {name: filled for name, (filled, _) in rows.items()}
        return {name: pad(filled, value, side, length).tolist() for name, (filled, value) in rows.items()}

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

    def cut_prompt(self, ids: list[int], length: int) -> list[int]:
        """The first `length` ids of a prompt, as in the released code; warns once if that is not all of them."""
        if len(ids) > length:
            logger.warning_once(
                f"A prompt has {len(ids)} tokens, but the model reads {length} (`prompt_length`): the rest is cut off, "
                "as in the authors' code. Make it shorter."
            )
        return ids[:length]

    @property
    def stop_token_ids(self) -> list[int]:
        """What ends an answer: the end token, and the first token of `answer_suffix`, at which the authors stop."""
        ends = [self.tokenizer.eos_token_id, *self.encode(self.answer_suffix)[:1]]
        return [token for token in dict.fromkeys(ends) if token is not None]

    def decode_answers(self, sequences: Any, input_ids: Any, stop_token_ids: Sequence[int] | None = None) -> list[str]:
        """
        The generated text behind the prompt, up to its end.

        Where a real word is the pad token (`!`), only the padding behind the end is left out: "look out!" keeps its
        last word.

        In `compute_metrics` of a `Seq2SeqTrainer` with `include_for_metrics=["inputs"]` they are `predictions` and
        `inputs`, arrays in which batches of unequal width are filled up with -100.

        Args:
            sequences (`torch.Tensor` of shape `(batch * sequences, tokens)`): What `generate` returned.
            input_ids (`torch.Tensor` of shape `(batch, tokens)`): What it was given, with or without the answers.
            stop_token_ids (`list[int]`, *optional*):
                The `eos_token_id`s that `generate` was given. Without it an answer that the limit of its length cut
                right behind a `!` loses that, too: it looks like padding.

        Returns:
            `list[str]`: One text for each sequence, without spaces around it.
        """
        ends = set(self.stop_token_ids if stop_token_ids is None else stop_token_ids)
        cuts = {self.tokenizer.eos_token_id} if stop_token_ids is None else ends
        answers = []
        for row in _behind(sequences, input_ids):
            words = _without_run(row, self.pad_id)
            # Without a known end before it, a run of pad tokens may be words, or padding behind another end.
            is_padding = stop_token_ids is None or bool(words and words[-1] in ends)
            kept = words if is_padding else row
            end = next((place for place, token in enumerate(kept) if token in cuts), len(kept))
            answers.append(self._to_text(kept[:end]).strip())
        return answers

    def _to_text(self, ids: list[int]) -> str:
        """Text of token ids, without special tokens; the pad token counts as the word that it is."""
        special = set(self.tokenizer.all_special_ids) - {self.tokenizer.pad_token_id} | {self.audio_token_id}
        if self.tokenizer.pad_token_id == self.tokenizer.eos_token_id:
            special.add(self.tokenizer.eos_token_id)
        return self.tokenizer.decode([token for token in ids if token not in special])

    def post_process_multimodal_output(
        self,
        generated_outputs: Any,
        skip_special_tokens: bool = True,
        generation_mode: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """For transformers' pipelines: the stock one, but a pad token in the text is a word; see `decode_answers`."""
        if generation_mode not in (None, "text") or not skip_special_tokens:
            return super().post_process_multimodal_output(
                generated_outputs, skip_special_tokens=skip_special_tokens, generation_mode=generation_mode, **kwargs
            )
        rows = torch.atleast_2d(torch.as_tensor(generated_outputs)).tolist()
        return [self._to_text(_without_padding(row, self.pad_id, set(self.stop_token_ids))) for row in rows]

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", *self.feature_extractor.model_input_names]


class AfmPairProcessor(AfmPrefixLMProcessor):
    r"""[`AfmPrefixLMProcessor`] of the models that hear two clips (ADIFF, Mellow): an example is a pair."""

    clips_per_example = 2

    @property
    def model_input_names(self) -> list[str]:
        return [name for name in super().model_input_names if name != "input_features_mask"]  # pairs have no windows

    def audio_inputs(self, audio: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """`input_features` `(batch, 2, 1, frames, mels)`, batch first because beam search repeats along it."""
        for truncation in (kwargs.get("truncation"), self.feature_extractor.truncation):
            if truncation in IN_WINDOWS:
                raise ValueError(
                    f'`truncation="{truncation}"` is not for models with two audios: choose one part of each clip.'
                )
        pairs = as_pairs(audio)
        try:
            made = self.feature_extractor([clip for pair in pairs for clip in pair], **kwargs)
        except AudioDecodeError as error:  # the extractor counts clips, the user counts pairs
            raise AudioDecodeError(_in_pair(error.source), error.reason, error.hint) from error
        return {"input_features": made["input_features"].unflatten(0, (len(pairs), 2))}


def _as_batch(
    rows: dict[str, list[list[int]]], others: dict[str, torch.Tensor], return_tensors: str | None
) -> BatchFeature:
    """Rows of tokens and the other inputs as tensors, NumPy arrays, or, of rows, lists."""
    if return_tensors is None:
        arrays = {name: value.cpu().numpy() for name, value in others.items()}
        return BatchFeature({**arrays, **rows})
    if len({len(row) for row in rows["input_ids"]}) > 1:
        raise ValueError(
            "Rows of unequal length cannot become tensors: leave `padding=False` out, or `return_tensors`."
        )
    tensors = {name: torch.tensor(row, dtype=torch.long) for name, row in rows.items()}
    made = {**others, **tensors}
    return AfmBatchFeature(made) if return_tensors == "pt" else BatchFeature(made, tensor_type=return_tensors)


def _in_pair(source: str) -> str:
    """The name of clip 2 i + j, as the extractor gives it, with the place in its pair: `audio[i][j]`."""
    place = re.match(r"audio\[(\d+)\]", source)
    if place is None:
        return source
    example, clip = divmod(int(place[1]), 2)
    return f"audio[{example}][{clip}]{source[place.end() :]}"


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
        ValueError: if their numbers differ, or one is no string; a single string (or `None`) is for all.
    """
    if texts is None or isinstance(texts, str):
        return [texts] * examples
    if not isinstance(texts, list | tuple):
        raise ValueError(f"`{name}` is {texts!r}, a {type(texts).__name__}; expected a string or a list of strings.")
    for index, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise ValueError(f"`{name}[{index}]` is {text!r}, a {type(text).__name__}; expected a string.")
    if len(texts) != examples:
        raise ValueError(
            f"`{name}` has {len(texts)} entries for {examples} examples of audio; give one each, or one string for all."
        )
    return list(texts)


def _behind(sequences: Any, input_ids: Any) -> list[list[int]]:
    """What follows each prompt, whose width is that of its own batch: -100 fills up those of other batches."""
    rows, prompts = torch.as_tensor(sequences), torch.as_tensor(input_ids)
    widths = (prompts != IGNORED).sum(dim=-1).repeat_interleave(len(rows) // max(1, len(prompts)))
    behind = (row[width:] for row, width in zip(rows, widths.tolist(), strict=True))
    return [row[row != IGNORED].tolist() for row in behind]


def _without_padding(row: list[int], pad_id: int, ends: set[int]) -> list[int]:
    """`row` without the padding that stands directly behind an end token."""
    kept, is_behind = [], False
    for token in row:
        is_behind = token in ends or (is_behind and token == pad_id)
        if not is_behind or token != pad_id:
            kept.append(token)
    return kept


def _without_run(row: list[int], value: int) -> list[int]:
    """`row` without the `value`s at its end."""
    end = len(row)
    while end and row[end - 1] == value:
        end -= 1
    return row[:end]


__all__ = ["AfmPairProcessor", "AfmPrefixLMProcessor"]
