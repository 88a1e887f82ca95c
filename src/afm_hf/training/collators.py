"""
From rows of a data set to what the models are trained on.

All that is random here (which of several captions, which second clip, which crop) is drawn from the seed and the texts
of the batch, not from a global generator: it changes from epoch to epoch as the batches do, is the same however many
workers load the data, and a run that is resumed sees what it would have seen.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.utils import logging

from ..audio.audio_loading import AudioDecodeError, describe_source
from ..audio.audio_samples import is_many, rate_of, with_rate
from ..models.clap_afm.texts_clap_afm import UNLIMITED, longer_than
from .class_labels import Classes

logger = logging.get_logger(__name__)

ON_BAD_AUDIO = ("skip", "raise")
TEXTS = ("text", "caption", "captions")
ANSWERS = ("answer", *TEXTS)
NEGATIVE_TEXT, NEGATIVE_AUDIO = "negative_text", "negative_audio"


class _Collator:
    """What the collators share: reading of rows, broken clips, random draws."""

    clips_per_example = 1

    def __init__(
        self, processor: Any, on_bad_audio: str, seed: int, sampling_rate: int | None, audio_kwargs: dict[str, Any]
    ) -> None:
        if on_bad_audio not in ON_BAD_AUDIO:
            raise ValueError(f"`on_bad_audio` is {on_bad_audio!r}; expected one of {ON_BAD_AUDIO}.")
        self.processor = processor
        self.feature_extractor = getattr(processor, "feature_extractor", processor)
        self.on_bad_audio = on_bad_audio
        self.seed = seed
        self.sampling_rate = sampling_rate
        self.audio_kwargs = audio_kwargs
        #: Rows left out so far because of their audio (in this process: each data loader worker counts its own).
        self.left_out = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        One batch.

        Raises:
            ValueError: for rows without the columns that are needed, or if no clip of the batch can be used.
            AudioDecodeError: (a `ValueError`) for a clip that cannot be used, with `on_bad_audio="raise"`.
        """
        if not rows:
            raise ValueError("The batch has no rows.")
        kept = list(rows)
        try:
            return self._join(kept)
        except AudioDecodeError:
            if self.on_bad_audio == "raise":
                raise
        kept = [row for row in rows if self._is_usable(row)]
        self.left_out += len(rows) - len(kept)
        if not kept:
            raise ValueError(
                f"None of the {len(rows)} clips of the batch can be used; the warnings above say why. Are the paths "
                "right?"
            )
        return self._join(kept)

    def _join(self, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
        raise NotImplementedError

    def _is_usable(self, row: Mapping[str, Any]) -> bool:
        clips = [(name, row[name], _clip(row, name)) for name in ("audio", "audio2") if _is_given(row.get(name))]
        clips += [(NEGATIVE_AUDIO, clip, clip) for clip in _negative_clips(row)]
        for name, source, clip in clips:
            try:
                self.feature_extractor([clip], **self._audio_settings())
            except AudioDecodeError as error:
                said = describe_source(source) if isinstance(source, str) else error.source
                logger.warning(f"A row is left out of training: its `{name}`, {said}, cannot be used: {error}")
                return False
        return True

    def _audio_settings(self, generator: random.Random | None = None) -> dict[str, Any]:
        settings = dict(self.audio_kwargs)
        if self.sampling_rate is not None:
            settings["sampling_rate"] = self.sampling_rate
        if generator is not None and "random" in (settings.get("truncation"), self._extractor_truncation()):
            settings["generator"] = torch.Generator().manual_seed(generator.getrandbits(63))
        return settings

    def _extractor_truncation(self) -> str:
        return getattr(self.feature_extractor, "truncation", "first")

    def _generator(self, texts: Sequence[Any]) -> random.Random:
        """Of the seed and the batch."""
        digest = hashlib.sha256(repr((self.seed, list(texts))).encode()).digest()
        return random.Random(int.from_bytes(digest[:8], "big"))


class ClapCollator(_Collator):
    r"""
    Batches for [`ClapAfmModel`] with `Trainer` or [`ContrastiveTrainer`].

    Args:
        processor ([`ClapAfmProcessor`]): The model's processor.
        on_bad_audio (`str`, *optional*, defaults to `"skip"`):
            `"skip"` leaves a row out whose clip cannot be used, with a warning that names it; `"raise"` stops. A clip
            is never replaced by another one, whose text would be wrong.
        seed (`int`, *optional*, defaults to 0): Of random crops, and of the choice among several captions.
        sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; see the feature extractor.
        **audio_kwargs: Further arguments of the feature extractor, for example `truncation="random"`.

    A row has `audio` (path, array, item of `datasets`, ...; beside bare arrays also `sampling_rate`) and `text` or
    `caption`; a list of captions stands for one of them, drawn anew for every batch.

    It may have negatives of your own, that is texts that do not fit its clip, `negative_text`, and clips that its text
    does not fit, `negative_audio`: one or a list of them, all taken, or none where the column is empty. They stand
    behind the pairs, and `num_pairs` says where they begin. They are negatives of every pair of the batch, but not of
    one whose own text says the same; a clip that is another pair's own is not known again.
    """

    def __init__(
        self,
        processor: Any,
        on_bad_audio: str = "skip",
        seed: int = 0,
        sampling_rate: int | None = None,
        **audio_kwargs: Any,
    ) -> None:
        super().__init__(processor, on_bad_audio, seed, sampling_rate, audio_kwargs)
        self._longest = processor.tokenizer.model_max_length
        # A tokenizer that knows no longest text would warn at every batch.
        self._text_kwargs = {"padding": True, "truncation": self._longest < UNLIMITED}

    def _join(self, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
        given = [_column(row, TEXTS) for row in rows]
        generator = self._generator(given)
        texts = [_one_of(text, generator) for text in given]
        texts += [_one_of(text, generator) for row in rows for text in _several(row.get(NEGATIVE_TEXT))]
        batch = self.processor(
            audio=[*(_clip(row) for row in rows), *(clip for row in rows for clip in _negative_clips(row))],
            text=texts,
            text_kwargs=self._text_kwargs,
            audio_kwargs=self._audio_settings(generator),
            return_tensors="pt",
        )
        if batch["input_ids"].shape[1] >= self._longest and longer_than(self.processor.tokenizer, texts, self._longest):
            logger.warning_once(
                f"Captions of more than {self._longest} tokens (the tokenizer's `model_max_length`) are cut there; "
                "what is said behind it is not learned."
            )
        has_negatives = any(name in row for row in rows for name in (NEGATIVE_TEXT, NEGATIVE_AUDIO))
        return {**batch, "return_loss": True, **({"num_pairs": len(rows)} if has_negatives else {})}


class PrefixLMCollator(_Collator):
    r"""
    Batches with labels for CLAPCAP, Pengi, Mellow and ADIFF; labels stand on the answers and their ends alone.

    Args:
        processor ([`AfmPrefixLMProcessor`]): The model's processor.
        on_bad_audio (`str`, *optional*, defaults to `"skip"`): See [`ClapCollator`].
        random_second_audio (`bool` or `list`, *optional*, defaults to `False`):
            For models with two clips, and rows without `audio2`: another clip of the batch in the second place, as in
            Mellow's training, or one of the clips of a list. Otherwise such a row's clip is heard twice.
        seed (`int`, *optional*, defaults to 0): Of these draws, of random crops and of the choice among answers.
        sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; see the feature extractor.
        **audio_kwargs: Further arguments of the feature extractor, for example `truncation="random"`.

    A row has `audio`, `answer` (or `text`, or `caption`; a list stands for one of them), a `prompt` for the models that
    read one, and `audio2` for those that hear two clips.

    Raises:
        ValueError: if a second clip is asked for from a model with one.
    """

    def __init__(
        self,
        processor: Any,
        on_bad_audio: str = "skip",
        random_second_audio: bool | Sequence[Any] = False,
        seed: int = 0,
        sampling_rate: int | None = None,
        **audio_kwargs: Any,
    ) -> None:
        super().__init__(processor, on_bad_audio, seed, sampling_rate, audio_kwargs)
        self.clips_per_example = processor.clips_per_example
        self.random_second_audio = random_second_audio
        if random_second_audio and self.clips_per_example != 2:
            raise ValueError(
                f"`random_second_audio` is for models with two clips, but {type(processor).__name__} takes "
                f"{self.clips_per_example}."
            )

    def _join(self, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
        given = [_column(row, ANSWERS) for row in rows]
        prompts = [row.get("prompt") for row in rows]
        generator = self._generator([given, prompts])
        return dict(
            self.processor(
                audio=self._examples(rows, generator),
                text=prompts if any(prompts) else None,
                text_target=[_one_of(answer, generator) for answer in given],
                return_tensors="pt",
                **self._audio_settings(generator),
            )
        )

    def _examples(self, rows: list[Mapping[str, Any]], generator: random.Random) -> list[Any]:
        """Clips, or pairs of clips."""
        clips = [_clip(row) for row in rows]
        seconds = [_clip(row, "audio2") if _is_given(row.get("audio2")) else None for row in rows]
        if self.clips_per_example == 1:
            if any(second is not None for second in seconds):
                raise ValueError(f"A row has `audio2`, but {type(self.processor).__name__} takes one clip a row.")
            return clips
        pairs = []
        for index, (clip, second) in enumerate(zip(clips, seconds, strict=True)):
            if second is not None:
                pairs.append([clip, second])
                continue
            others = clips[:index] + clips[index + 1 :]
            if not isinstance(self.random_second_audio, bool):
                others = list(self.random_second_audio)
            drawn = generator.choice(others) if self.random_second_audio and others else clip
            pairs.append([clip, drawn])
        return pairs


class LabelCollator(_Collator):
    r"""
    Batches for [`ClapAfmForAudioClassification`].

    Args:
        feature_extractor ([`AfmFeatureExtractor`]): The model's feature extractor, or its processor.
        labels (`list[str]` or `ClassLabel`): All labels, in the order of the model's classes.
        on_bad_audio (`str`, *optional*, defaults to `"skip"`): See [`ClapCollator`].
        seed (`int`, *optional*, defaults to 0): Of random crops.
        sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; see the feature extractor.
        **audio_kwargs: Further arguments of the feature extractor, for example `truncation="random"`.

    A row has `audio`, and `label` (one; `labels` of the batch are then class numbers, int64, `(batch,)`) or `labels` (a
    list; then zeros and ones, fp32, `(batch, classes)`). A label is a name or a class number, as a `ClassLabel` column
    of `datasets` has them; a list may also hold a zero or one for each class.

    Raises:
        ValueError: if a label is there twice.
    """

    def __init__(
        self,
        feature_extractor: Any,
        labels: Any,
        on_bad_audio: str = "skip",
        seed: int = 0,
        sampling_rate: int | None = None,
        **audio_kwargs: Any,
    ) -> None:
        super().__init__(feature_extractor, on_bad_audio, seed, sampling_rate, audio_kwargs)
        self._labels = Classes(labels)
        self.classes = self._labels.numbers

    def _join(self, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
        given = [_column(row, ("label", "labels")) for row in rows]
        labels = self._labels.read(given)
        clips = [_clip(row) for row in rows]
        settings = self._audio_settings(self._generator(given))
        return {**self.feature_extractor(clips, return_tensors="pt", **settings), "labels": labels}


def _is_given(clip: Any) -> bool:
    """The official files write an empty path where there is no second clip."""
    return clip is not None and not (isinstance(clip, str) and not clip)


def _clip(row: Mapping[str, Any], name: str = "audio") -> Any:
    """A clip of a row, with the rate of the row's own column if it has none itself."""
    return with_rate(_column(row, (name,)), rate_of(row, "a row", is_row=True))


def _several(value: Any) -> list[Any]:
    """One or several things of a column; none of an empty one."""
    if not _is_given(value):
        return []
    return list(value) if is_many(value) else [value]


def _negative_clips(row: Mapping[str, Any]) -> list[Any]:
    """The clips of a row that its text does not fit, with the row's rate where they have none."""
    rate = rate_of(row, "a row", is_row=True)
    return [with_rate(clip, rate) for clip in _several(row.get(NEGATIVE_AUDIO))]


def _column(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    hint = ""
    if "audio" not in row:  # rows as they were read have one
        hint = (
            " `Trainer` drops columns that are no arguments of the model: pass `remove_unused_columns=False` in its "
            "TrainingArguments."
        )
    raise ValueError(f"A row has the columns {sorted(row)}, but none of {list(names)} is filled.{hint}")


def _one_of(text: Any, generator: random.Random) -> str:
    """One of several texts, or the one there is; blanks are refused, as they would be learned."""
    chosen = generator.choice(list(text)) if isinstance(text, list | tuple) and text else text
    if not isinstance(chosen, str) or not chosen.strip():
        raise ValueError(f"The text of a row is {chosen!r}; expected words.")
    return chosen


__all__ = ["ClapCollator", "LabelCollator", "PrefixLMCollator"]
