"""
Detectors of sentences that are no good English, for the penalty of MACE (and FENSE).

A detector is any callable that turns sentences into probabilities of an error. `TextClassifierErrorDetector` makes one
of a sequence classification checkpoint, `FenseErrorDetector` of the released detectors of FENSE (Zhou et al., "Can
Audio Captions Be Evaluated with Image Caption Metrics?", ICASSP 2022, arXiv 2110.04684): a BERT, a linear layer on its
first token and a sigmoid for each kind of error, the last of which is "error".
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ErrorDetector = Callable[[list[str]], Sequence[float]]

MAX_LENGTH = 64  # tokens, as in the released code
ERRORS = ("add_tail", "repeat_event", "repeat_adv", "remove_conj", "remove_verb", "error")


def clean(text: str) -> str:
    """
    A sentence as detectors see it: no punctuation, lower case.

    Example:
    ```python
    >>> clean("A dog barks, then -- it's quiet!")
    'a dog barks then  its quiet'

    ```
    """
    return re.sub(r"[^\w\s]", "", text).lower()


def error_probabilities(detector: ErrorDetector, sentences: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """
    The checked answers of a detector on the cleaned sentences, float64 `(sentences,)`.

    Raises:
        ValueError: it gives another number of values, or values that are no probabilities.
    """
    if not sentences:
        return np.zeros(0)
    found = np.asarray(detector([clean(sentence) for sentence in sentences]), np.float64)
    if found.shape != (len(sentences),):
        raise ValueError(
            f"The error detector gave values of shape {found.shape} for {len(sentences)} sentences; expected one each."
        )
    if not ((found >= 0) & (found <= 1)).all():
        place = int(np.argmin((found >= 0) & (found <= 1)))
        raise ValueError(f"The error detector gave {found[place]} for {sentences[place]!r}; expected a probability.")
    return found


class _BatchedDetector:
    """Goes through sentences in batches."""

    tokenizer: Any
    batch_size: int
    max_length: int

    def __call__(self, sentences: list[str]) -> list[float]:
        """Probabilities of an error, one for each sentence."""
        found: list[float] = []
        for start in range(0, len(sentences), self.batch_size):
            batch = sentences[start : start + self.batch_size]
            options = {"padding": True, "truncation": True, "max_length": self.max_length, "return_tensors": "pt"}
            with torch.no_grad():
                found += self.probabilities(self.tokenizer(batch, **options)).double().cpu().tolist()
        return found

    def probabilities(self, tokens: Any) -> torch.Tensor:
        """Tokens of a batch -> `(batch,)`."""
        raise NotImplementedError


class TextClassifierErrorDetector(_BatchedDetector):
    """
    A detector made of a sequence classification checkpoint.

    Args:
        model: Folder or Hub id, or the model itself (then `tokenizer` has to be given).
        tokenizer (*optional*): Its tokenizer.
        label: Name or number of the class that means an error; the only one, or else the one that is called "error".
        batch_size, max_length: Sentences per forward pass; tokens of a sentence.

    Raises:
        ValueError: the model has no such class.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        label: str | int | None = None,
        batch_size: int = 32,
        max_length: int = MAX_LENGTH,
    ) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if isinstance(model, str | os.PathLike):
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(model)
            model = AutoModelForSequenceClassification.from_pretrained(model)
        if tokenizer is None:
            raise ValueError("Give the model's `tokenizer` too.")
        self.model, self.tokenizer = model.eval(), tokenizer
        self.batch_size, self.max_length = batch_size, max_length
        self.index = _class_index(dict(model.config.id2label), label)

    def probabilities(self, tokens: Any) -> torch.Tensor:
        """A sigmoid for one class or independent classes, a softmax otherwise."""
        logits = self.model(**tokens.to(self.model.device)).logits.float()  # (batch, classes)
        independent = self.model.config.problem_type == "multi_label_classification" or logits.shape[1] == 1
        return (logits.sigmoid() if independent else logits.softmax(dim=1))[:, self.index]


class FenseErrorDetector(_BatchedDetector):
    """
    A detector in FENSE's layout: encoder, a linear layer on its first token, a sigmoid; the last class is "error".

    Untried with the released weights, which could not be had here; the layout is that of the released code.

    Args:
        encoder: A model such as BERT.
        classifier: `hidden size -> kinds of errors`.
        tokenizer: Of the encoder.
        batch_size, max_length: Sentences per forward pass; tokens of a sentence.
    """

    def __init__(
        self, encoder: Any, classifier: nn.Linear, tokenizer: Any, *, batch_size: int = 32, max_length: int = MAX_LENGTH
    ) -> None:
        self.encoder, self.classifier, self.tokenizer = encoder.eval(), classifier.eval(), tokenizer
        self.batch_size, self.max_length = batch_size, max_length

    @classmethod
    def from_checkpoint(
        cls, checkpoint: str | os.PathLike[str], encoder: str | os.PathLike[str] | None = None, **kwargs: Any
    ) -> "FenseErrorDetector":
        """
        Loads a released file, as `echecker_clotho_audiocaps_base.ckpt`.

        Args:
            checkpoint: The file: `model_type`, `num_classes` and a `state_dict` of `encoder.*` and `clf.*`.
            encoder: Folder or Hub id with config and tokenizer of the encoder; the file's `model_type` if not given.
            kwargs (*optional*): `batch_size` and `max_length`.

        Raises:
            ValueError: the file is not in that layout.
        """
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        try:
            saved = torch.load(Path(checkpoint), map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{checkpoint} cannot be read: {error}") from error
        missing = {"model_type", "num_classes", "state_dict"} - set(saved if isinstance(saved, dict) else ())
        if missing:
            raise ValueError(f"{checkpoint} has no {sorted(missing)}; it is not a detector of FENSE.")
        source = encoder if encoder is not None else saved["model_type"]
        model = AutoModel.from_config(AutoConfig.from_pretrained(source))
        classifier = nn.Linear(model.config.hidden_size, saved["num_classes"])
        weights = dict(saved["state_dict"])
        weights.pop("encoder.embeddings.position_ids", None)  # a constant that older releases of transformers saved
        both = nn.ModuleDict({"encoder": model, "clf": classifier})
        try:
            both.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{checkpoint} does not fit the encoder {str(source)!r}: {error}") from error
        return cls(model, classifier, AutoTokenizer.from_pretrained(source), **kwargs)

    def probabilities(self, tokens: Any) -> torch.Tensor:
        """The sigmoid of the last class."""
        states = self.encoder(**tokens.to(self.encoder.device)).last_hidden_state  # (batch, tokens, hidden)
        return self.classifier(states[:, 0]).float().sigmoid()[:, -1]


def _class_index(names: dict[int, str], label: str | int | None) -> int:
    if isinstance(label, int) and 0 <= label < len(names):
        return label
    if label is None and len(names) == 1:
        return 0
    wanted = "error" if label is None else label
    for index, name in names.items():
        if name.lower() == str(wanted).lower():
            return int(index)
    raise ValueError(f"The model has no class {wanted!r}; it has {list(names.values())}. Name one by `label`.")
