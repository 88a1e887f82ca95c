"""
Labels that a CLAP can hardly tell apart, found before anything is heard.

Two labels are told apart by a clip only as far as their texts lie apart: where their embeddings are alike, so are their
scores for every clip. How alike is too alike differs from model to model; so a pair is measured against all pairs of
111 everyday sounds in the same sentences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch

from ..models.clap_afm.background_clap_afm import EVERYDAY_SOUNDS
from ..models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE, as_labels, as_templates, embed_labels
from ..models.common.results_afm import AfmResult

SHARE = 0.005  # of the pairs of everyday sounds that are as alike as a pair that is warned of
SAME_WORDS, ALIKE = "the same words", "hardly told apart"
_ARTICLES = {"a", "an", "the"}


@dataclass(kw_only=True)
class LabelPair(AfmResult):
    """
    Two labels that will be taken for each other.

    Args:
        first, second (`str`): The labels.
        similarity (`float`): Cosine of their embeddings.
        bar (`float`): That of everyday sounds which only one pair in two hundred reaches.
        reason (`str`): `"the same words"` (but for case, articles, hyphens or plural), or `"hardly told apart"`.
    """

    first: str
    second: str
    similarity: float
    bar: float
    reason: str

    def __str__(self) -> str:
        figures = f"similarity {self.similarity:.2f}, bar {self.bar:.2f}"
        return f"{self.first!r} and {self.second!r}: {self.reason} ({figures})"


@torch.no_grad()
def check_labels(
    model: Any,
    tokenizer: Any,
    labels: str | Sequence[str],
    hypothesis_template: str | Sequence[str] = DEFAULT_TEMPLATE,
) -> list[LabelPair]:
    """
    The pairs of labels that a model can hardly tell apart, the most alike first.

    Args:
        model ([`ClapAfmModel`]): The model.
        tokenizer: Its tokenizer.
        labels (`list[str]` or `str`): The labels.
        hypothesis_template (`str` or `list[str]`): The sentences that they will be put into.

    Raises:
        ValueError: there are no labels, or one comes twice.

    Example:
    ```python
    >>> import afm_hf
    >>> from transformers import AutoModel, AutoTokenizer

    >>> folder = afm_hf.bundled_model("clap-small")
    >>> model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    >>> [(pair.first, pair.second) for pair in check_labels(model, tokenizer, ["dog", "Dogs", "violin"])]
    [('dog', 'Dogs')]

    ```
    """
    names, templates = as_labels(labels), as_templates(hypothesis_template)
    likeness = _cosines(embed_labels(model, tokenizer, names, templates))
    sounds = _cosines(embed_labels(model, tokenizer, EVERYDAY_SOUNDS, templates))
    rows, columns = torch.triu_indices(len(sounds), len(sounds), offset=1)
    bar = float(sounds[rows, columns].quantile(1 - SHARE))
    found = []
    for first, second in combinations(range(len(names)), 2):
        same = _plain(names[first]) == _plain(names[second])
        similarity = float(likeness[first, second])
        if same or similarity >= bar:
            reason = SAME_WORDS if same else ALIKE
            pair = LabelPair(first=names[first], second=names[second], similarity=similarity, bar=bar, reason=reason)
            found.append(pair)
    return sorted(found, key=lambda pair: -pair.similarity)


def _cosines(embeddings: torch.Tensor) -> torch.Tensor:
    return (embeddings @ embeddings.t()).cpu()


def _plain(label: str) -> tuple[str, ...]:
    """Its words without case, articles, hyphens and the s of a plural."""
    words = re.sub(r"[\W_]+", " ", label.casefold()).split()
    return tuple(_singular(word) for word in words if word not in _ARTICLES) or tuple(words)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


__all__ = ["LabelPair", "check_labels"]
