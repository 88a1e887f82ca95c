"""Losses of CLAP and of the classifier on its audio encoder; which one of the latter's three, the labels say."""

from typing import Any

import torch
from torch.nn import functional as F
from transformers.utils import logging

from .configuration_clap_afm import PROBLEM_TYPES, check_problem_type

logger = logging.get_logger(__name__)

REGRESSION, ONE_LABEL, SEVERAL_LABELS = PROBLEM_TYPES
IGNORED = -100  # as everywhere in torch: no class


def contrastive_loss(
    logits_per_audio: torch.Tensor, num_pairs: int | None = None, same: torch.Tensor | None = None
) -> torch.Tensor:
    """Symmetric cross-entropy over similarities whose diagonal holds the pairs (P22, section 2.1).

    Args:
        logits_per_audio (`torch.Tensor` of shape `(audios, texts)`): Scaled similarities.
        num_pairs (`int`, *optional*):
            How many audios and texts, from the first on, are pairs. Those behind them are negatives of all pairs, and
            of nothing else. If not given, all are pairs.
        same (`torch.Tensor` of shape `(texts, texts)`, *optional*):
            Where texts are the same. A negative that is a pair's own text is none for that pair.

    Raises:
        ValueError: if there are not as many audios as texts, or fewer than pairs.
    """
    audios, texts = logits_per_audio.shape
    if num_pairs is not None:
        check_num_pairs(num_pairs, audios, texts)
        target = torch.arange(num_pairs, device=logits_per_audio.device)
        of_audio = logits_per_audio[:num_pairs]
        if same is not None:
            of_audio = without_own_texts(of_audio, num_pairs, same[:num_pairs, num_pairs:])
        of_text = logits_per_audio.t()[:num_pairs]
        return (F.cross_entropy(of_audio, target) + F.cross_entropy(of_text, target)) / 2
    if audios != texts:
        raise ValueError(
            f"The contrastive loss pairs each audio with the text at its place, but was given {audios} audios and "
            f"{texts} texts."
        )
    target = torch.arange(audios, device=logits_per_audio.device)
    return (F.cross_entropy(logits_per_audio, target) + F.cross_entropy(logits_per_audio.t(), target)) / 2


def without_own_texts(logits: torch.Tensor, pairs: int, same: torch.Tensor) -> torch.Tensor:
    """
    Logits in which negatives that say the same as a pair's own text have no weight for that pair.

    Args:
        logits (`torch.Tensor` of shape `(rows, pairs + negatives)`): Of audios with texts.
        pairs (`int`): Columns of pairs, which stay as they are.
        same (`torch.Tensor` of shape `(rows, negatives)`): Where a negative is the row's own text.
    """
    return torch.cat([logits[:, :pairs], logits[:, pairs:].masked_fill(same, -torch.inf)], dim=1)


def same_texts(input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """Where texts of one batch have the same tokens, bool `(texts, texts)`."""
    ids = input_ids if attention_mask is None else input_ids.masked_fill(attention_mask == 0, -1)
    return (ids[:, None] == ids[None]).all(dim=-1)


def check_num_pairs(num_pairs: int, audios: int, texts: int) -> None:
    """Raises a `ValueError` unless there are so many audios and texts."""
    if not 1 <= num_pairs <= min(audios, texts):
        raise ValueError(
            f"`num_pairs` is {num_pairs}, but there are {audios} audios and {texts} texts; the pairs come first in "
            "both, and negatives behind them."
        )


def say_if_nothing_is_learned(pairs: int, input_ids: torch.Tensor | None = None) -> None:
    """A warning, once, where a batch in training holds no wrong text to tell the right one from.

    Args:
        pairs (`int`): Pairs of the batch, those of other processes included where they are negatives.
        input_ids (`torch.Tensor` of shape `(pairs, tokens)`, *optional*): Their texts.
    """
    if torch.compiler.is_compiling():
        return
    if pairs == 1:
        logger.warning_once(
            "A batch of one pair has no negatives: its contrastive loss is zero, and nothing is learned from it. Give "
            "two pairs or more a batch; gradient accumulation adds none, but `ContrastiveTrainer(cached_chunk=...)` "
            "makes large batches in little memory. (A last batch that is short is left out by "
            "`dataloader_drop_last=True`.)"
        )
    elif input_ids is not None and input_ids.ndim == 2 and bool((input_ids == input_ids[:1]).all()):
        logger.warning_once(
            f"All {pairs} texts of a batch are the same: none of them is a negative, and clips cannot be told apart by "
            "them. Shuffle the data, or give larger batches, so that texts differ."
        )


def problem_type_of(config: Any, labels: torch.Tensor) -> str:
    """
    What `config.problem_type` says; where it says nothing, what the labels are.

    Args:
        config: With `problem_type` and `num_labels`.
        labels (`torch.Tensor`): `(batch,)` or `(batch, num_labels)`.

    Raises:
        ValueError: if the type is unknown, or the labels fit none.
    """
    check_problem_type(config.problem_type)
    if config.problem_type is not None:
        return str(config.problem_type)
    if config.num_labels == 1:
        return REGRESSION
    if labels.ndim == 2 and labels.shape[1] == config.num_labels:
        return SEVERAL_LABELS
    if labels.ndim == 1 and _counts(labels):
        return ONE_LABEL
    raise ValueError(
        f"The labels are {labels.dtype} of shape {tuple(labels.shape)}; expected class numbers, int64 of shape "
        f"(batch,), or zeros and ones of shape (batch, {config.num_labels})."
    )


def classification_loss(logits: torch.Tensor, labels: torch.Tensor, problem_type: str) -> torch.Tensor:
    """
    Cross-entropy, binary cross-entropy or squared error, fp32.

    Args:
        logits (`torch.Tensor` of shape `(batch, num_labels)`): What the classifier gives.
        labels (`torch.Tensor`): As the problem type wants them.
        problem_type (`str`): One of `PROBLEM_TYPES`.

    Raises:
        ValueError: if the labels are of another shape, kind or range.
    """
    batch, classes = logits.shape
    if problem_type == ONE_LABEL:
        _check(labels, _counts(labels) and labels.shape == (batch,), problem_type, f"class numbers of shape ({batch},)")
        _check_range(labels[labels != IGNORED], classes - 1, problem_type)
        return F.cross_entropy(logits.float(), labels.long(), ignore_index=IGNORED)
    fits = labels.shape == logits.shape or (problem_type == REGRESSION and classes == 1 and labels.shape == (batch,))
    if problem_type == SEVERAL_LABELS:
        _check(labels, fits, problem_type, f"zeros and ones of shape {(batch, classes)}")
        _check_range(labels, 1, problem_type)
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    _check(labels, fits, problem_type, f"numbers of shape {(batch, classes)}")
    return F.mse_loss(logits.float(), labels.float().reshape(logits.shape))


def _counts(labels: torch.Tensor) -> bool:
    """Whether they are integers, which count classes."""
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)


def _check(labels: torch.Tensor, fits: bool, problem_type: str, expected: str) -> None:
    if not fits:
        raise ValueError(
            f"With `problem_type={problem_type!r}` labels are {expected}, but these are {labels.dtype} of shape "
            f"{tuple(labels.shape)}. Another type is set with `model.config.problem_type`; `None` lets the labels say."
        )


def _check_range(labels: torch.Tensor, highest: int, problem_type: str) -> None:
    """Raises a `ValueError` for labels outside 0 ... `highest`: on a GPU they would end the whole process."""
    if torch.compiler.is_compiling() or not labels.numel():
        return
    lowest, largest = labels.min().item(), labels.max().item()
    if lowest < 0 or largest > highest:
        raise ValueError(
            f"With `problem_type={problem_type!r}` and this model labels are from 0 to {highest}, but these go from "
            f"{lowest:g} to {largest:g}."
        )


__all__ = [
    "check_num_pairs",
    "classification_loss",
    "contrastive_loss",
    "problem_type_of",
    "same_texts",
    "say_if_nothing_is_learned",
    "without_own_texts",
]
