"""What the processors share: arguments that reach the side they mean, and rows of tokens of the length asked for."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin
from transformers.utils import logging

from ...audio.audio_samples import refuse_misnamed_rate
from .feature_extraction_afm import PADDINGS, TRUNCATIONS

logger = logging.get_logger(__name__)

AUDIO_SETTINGS = ("max_length_s", "channels", "resampler", "generator", "device", "stream_windows")
NESTED = ("audio_kwargs", "text_kwargs", "common_kwargs")
ROW_SETTINGS = {
    *("padding", "max_length", "truncation", "pad_to_multiple_of"),
    *("padding_side", "return_attention_mask", "return_tensors"),
}


def with_audio_apart(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """
    Arguments of a processor's call, those that can only mean audio in `audio_kwargs`; and the generator among them.

    transformers merges by copying, and a copied generator repeats itself: so it goes by itself.

    Raises:
        ValueError: an argument is given twice, or the sampling rate under another name.
    """
    flat = {name: value for name, value in kwargs.items() if value is not None or name == "return_tensors"}
    nested = {name: dict(flat.pop(name, None) or {}) for name in NESTED}
    for names in (flat, *nested.values()):
        refuse_misnamed_rate(names)
    audio = nested["audio_kwargs"]
    for name in list(flat):
        words = {"padding": PADDINGS, "truncation": TRUNCATIONS}.get(name, ())
        if name in AUDIO_SETTINGS or flat[name] in words:
            if name in audio:
                raise ValueError(f"`{name}` was given twice: in `audio_kwargs` and by itself.")
            audio[name] = flat.pop(name)
    generator = audio.pop("generator", None)
    return {**flat, **{name: given for name, given in nested.items() if given}}, generator


def merged_arguments(processor: ProcessorMixin, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Arguments for the rows of tokens and for the feature extractor, of a call's flat and nested ones.

    The tokenizer's own settings are the defaults, as everywhere in transformers; but for its `padding_side`, which the
    processors choose, and `return_tensors`, which is `"pt"` if nobody says otherwise.

    Raises:
        ValueError: as [`with_audio_apart`].
    """
    given, generator = with_audio_apart(kwargs)
    tokenizer = processor.tokenizer
    merged = processor._merge_kwargs(ProcessingKwargs, tokenizer_init_kwargs=tokenizer.init_kwargs, **given)
    text, audio = merged["text_kwargs"], merged["audio_kwargs"]
    if generator is not None:
        audio["generator"] = generator
    said = {**given.get("common_kwargs", {}), **given.get("text_kwargs", {}), **given}
    text["padding_side"] = said.get("padding_side")
    tensors = [side["return_tensors"] for side in (text, audio) if "return_tensors" in side]
    text["return_tensors"] = tensors[0] if tensors else "pt"
    audio["return_tensors"] = "pt"
    if unknown := sorted(given.get("text_kwargs", {}).keys() - ROW_SETTINGS):
        logger.warning_once(f"{type(processor).__name__} does not know {', '.join(unknown)}, and does without.")
    return text, audio


def shortened(row: list[int], placeholder: int, settings: Mapping[str, Any]) -> list[int]:
    """
    A row of tokens, cut off at `max_length` where `truncation` is on. The placeholders of audio are never cut.

    Raises:
        ValueError: if `max_length` is too short for the placeholders.
    """
    length, truncation = settings.get("max_length"), settings.get("truncation")
    if length is None or truncation in (None, False, "do_not_truncate") or len(row) <= length:
        return row
    needed = len(row) - row[::-1].index(placeholder) if placeholder in row else 0
    if length < needed:
        raise ValueError(
            f"`max_length` is {length}, but the audio alone takes {needed} tokens. Raise it, or leave `truncation` out."
        )
    return row[:length]


def row_length(lengths: list[int], settings: Mapping[str, Any], longest_text: int) -> int | None:
    """
    How long padded rows are; None where they are not to be padded.

    Args:
        lengths: Of the rows.
        settings: `padding`, `max_length` and `pad_to_multiple_of`, as a tokenizer takes them; `padding=None` pads.
        longest_text: The tokenizer's `model_max_length`, for `padding="max_length"` without a length.

    Raises:
        ValueError: `padding` is unknown.
    """
    padding = settings.get("padding")
    if padding in (False, "do_not_pad"):
        return None
    longest = max(lengths)
    if padding == "max_length":
        wanted = settings.get("max_length") or longest_text
        longest = max(longest, wanted if wanted < 10**9 else 0)
    elif padding not in (None, True, "longest"):
        raise ValueError(f"`padding` is {padding!r}; expected True, False, 'longest' or 'max_length'.")
    multiple = settings.get("pad_to_multiple_of") or 1
    return -(-longest // multiple) * multiple


def pad(rows: list[list[int]], value: int, side: str, length: int | None = None) -> torch.Tensor:
    """Rows of unequal length -> int64 `(batch, longest)`, or `(batch, length)`."""
    longest = max(map(len, rows)) if length is None else length
    filled = [
        [value] * (longest - len(row)) + row if side == "left" else row + [value] * (longest - len(row)) for row in rows
    ]
    return torch.tensor(filled, dtype=torch.long)


__all__ = ["merged_arguments", "pad", "row_length", "shortened", "with_audio_apart"]
