"""
Audio Entailment: does a sentence follow from a clip? Labels, results and rules, apart from any model.

Deshmukh et al., "Audio Entailment: Assessing Deductive Reasoning for Audio Understanding" (AAAI 2025, arXiv
2407.18062). A clip and a sentence (the hypothesis) are in one of three relations: the clip is enough to affirm the
sentence (entailment), refutes it (contradiction), or neither (neutral). A contrastive model decides by one similarity
and two thresholds, a model that answers in words by one of several options. Differences to the released code of Mellow:
a class comes from the words of an option, not from the place of its letter (there the names of b and c are
interchanged), and an answer that names no option has no class (there it counts as entailment).
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from ..models.common.results_afm import AfmResult
from ..models.common.writing_afm import replaced, write_text

ENTAILMENT, NEUTRAL, CONTRADICTION = LABELS = ("entailment", "neutral", "contradiction")
PREMISES = ("audio", "caption", "both")
PROBE_INPUTS = ("audio", "hypothesis", "caption")


@dataclasses.dataclass(kw_only=True)
class AudioEntailmentResult(AfmResult):
    """
    Whether a hypothesis follows from a clip.

    Args:
        label (`str`, *optional*):
            `"entailment"`, `"neutral"` or `"contradiction"`; None if the model's answer names none of them, or if only
            the similarity was asked for.
        hypothesis (`str`): The sentence.
        scores (`dict[str, float]`):
            For each label: shares of 1 (a probe, likelihoods), or how far the similarity is inside the label's range
            (thresholds; negative outside). Empty where there is but a generated answer.
        similarity (`float`, *optional*): Cosine of premise and hypothesis, of contrastive models.
        answer (`str`, *optional*): What the model said or finds likeliest, of models that answer in words.
        caption (`str` or `list[str]`, *optional*): The caption that was used.
    """

    label: str | None
    hypothesis: str
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    similarity: float | None = None
    answer: str | None = None
    caption: str | list[str] | None = None


@dataclasses.dataclass(kw_only=True)
class EntailmentThresholds(AfmResult):
    """
    Two similarities that part the three labels: contradiction below `low`, entailment from `high` on.

    Args:
        low, high (`float`): The thresholds, `low <= high`.

    Example:
    ```python
    >>> thresholds = EntailmentThresholds(low=0.2, high=0.5)
    >>> [thresholds.label(similarity) for similarity in (0.1, 0.2, 0.5)]
    ['contradiction', 'neutral', 'entailment']

    ```
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isinstance(value, int | float) and abs(value) < float("inf") for value in (self.low, self.high)):
            raise ValueError(f"The thresholds are {self.low!r} and {self.high!r}; expected two finite numbers.")
        if self.low > self.high:
            raise ValueError(f"`low` is {self.low}, above `high`, {self.high}. Give the smaller one first.")

    @property
    def premise(self) -> str:
        """What the similarities were of: `"audio"`, `"caption"` or `"both"`."""
        return str(self.settings.get("premise", "audio"))

    def label(self, similarity: float) -> str:
        """The label of a similarity."""
        if similarity < self.low:
            return CONTRADICTION
        return NEUTRAL if similarity < self.high else ENTAILMENT

    def margins(self, similarity: float) -> dict[str, float]:
        """How far a similarity is inside the range of each label; negative outside."""
        neutral = min(similarity - self.low, self.high - similarity)
        return dict(zip(LABELS, (similarity - self.high, neutral, self.low - similarity), strict=True))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes them as JSON."""
        write_text(path, self.to_json(indent=2) + "\n", "the thresholds")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "EntailmentThresholds":
        """
        Reads what [`save`] wrote.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ValueError(f"There is no file {path}. `fit_thresholds(...).save(path)` writes one.") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no thresholds: {error}.") from error


@dataclasses.dataclass
class EntailmentProbe:
    """
    A linear classifier of entailment on frozen embeddings.

    Args:
        weight (`torch.Tensor`): float32 `(3, features)`, in the order of entailment, neutral, contradiction.
        bias (`torch.Tensor`): float32 `(3,)`.
        inputs (`tuple[str, ...]`): The embeddings side by side: of `"audio"`, `"hypothesis"` and `"caption"`.
        product (`bool`): Whether the products of hypothesis and premises, dimension by dimension, are inputs too.
        settings (`dict`): How it was fitted.
    """

    weight: torch.Tensor = dataclasses.field(repr=False)
    bias: torch.Tensor = dataclasses.field(repr=False)
    inputs: tuple[str, ...]
    product: bool = False
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = as_probe_inputs(self.inputs)

    def logits(self, embeddings: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """
        Logits `(pairs, 3)`.

        Args:
            embeddings: By input `(pairs, dim)`.

        Raises:
            ValueError: an input lacks, or the embeddings are of another model.
        """
        features = probe_features(embeddings, self.inputs, self.product)
        if features.shape[1] != self.weight.shape[1]:
            raise ValueError(
                f"The probe was fitted on {self.weight.shape[1]} features, but these embeddings make "
                f"{features.shape[1]}: they are of another model."
            )
        return F.linear(features, self.weight.to(features.device), self.bias.to(features.device))

    def predict(self, embeddings: Mapping[str, torch.Tensor]) -> list[str]:
        """The likeliest label of each pair."""
        return [LABELS[index] for index in self.logits(embeddings).argmax(dim=-1).tolist()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as a `.safetensors` file."""
        about = {"inputs": self.inputs, "product": self.product, "settings": self.settings}
        tensors = {"weight": self.weight.contiguous(), "bias": self.bias.contiguous()}
        with replaced(path, "the probe") as unfinished:
            save_file(tensors, unfinished, metadata={"entailment_probe": json.dumps(about)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "EntailmentProbe":
        """
        Reads what [`save`] wrote.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        if not Path(path).is_file():
            raise ValueError(f"There is no file {path}. `fit_entailment_probe(...).save(path)` writes one.")
        try:
            with safe_open(str(path), "pt") as file:
                about = json.loads((file.metadata() or {})["entailment_probe"])
                return cls(file.get_tensor("weight"), file.get_tensor("bias"), **about)
        except Exception as error:  # what safetensors raises is an `Exception` of its own
            raise ValueError(f"{path} holds no probe: {error}.") from error


def as_probe_inputs(inputs: Sequence[str]) -> tuple[str, ...]:
    """
    Checked inputs of a probe.

    Raises:
        ValueError: one is unknown or there twice, or the hypothesis is missing.
    """
    names = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if set(names) - set(PROBE_INPUTS) or len(set(names)) < len(names) or "hypothesis" not in names:
        raise ValueError(f"`inputs` is {inputs!r}; expected 'hypothesis', and with it 'audio', 'caption' or both.")
    return names


def probe_features(embeddings: Mapping[str, torch.Tensor], inputs: Sequence[str], product: bool) -> torch.Tensor:
    """What a probe reads, float32 `(pairs, features)`: embeddings side by side, then the products if wanted."""
    missing = [name for name in inputs if embeddings.get(name) is None]
    if missing:
        raise ValueError(f"The probe needs embeddings of {list(inputs)}, but there are none of {missing}.")
    parts = [embeddings[name].float() for name in inputs]
    if product:
        hypothesis = embeddings["hypothesis"].float()
        parts += [embeddings[name].float() * hypothesis for name in inputs if name != "hypothesis"]
    return torch.cat(parts, dim=-1)


__all__ = ["AudioEntailmentResult", "EntailmentProbe", "EntailmentThresholds"]
