"""Candidates beside their references, as words: what every caption metric takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .tokenizer import ptb_words

Words = list[str]


class Scores(NamedTuple):
    """
    A metric's figures.

    Attributes:
        corpus: The figure of the whole data set.
        per_clip: One figure for each clip, float64 `(clips,)`.
    """

    corpus: float
    per_clip: npt.NDArray[np.float64]


@dataclass(frozen=True)
class CaptionPairs:
    """
    One candidate and one or more references for each clip, as words.

    Attributes:
        candidates: The words of each candidate; a candidate may have none, and then scores 0.
        references: For each clip the words of each of its references.
    """

    candidates: list[Words]
    references: list[list[Words]]

    @classmethod
    def from_texts(
        cls,
        candidates: Sequence[str],
        references: Sequence[str | Sequence[str]],
        words: Callable[[str], Words] = ptb_words,
    ) -> "CaptionPairs":
        """
        Cuts texts into words.

        Args:
            candidates: One text for each clip.
            references: For each clip a text, or several.
            words: How a text is cut; by default as pycocoevalcap does it.

        Raises:
            ValueError: there are no clips, another number of references than of candidates, a clip without
                references, a reference without words, or something that is no text.
        """
        if isinstance(candidates, str) or len(candidates) != len(references) or not len(candidates):
            given = "one text" if isinstance(candidates, str) else f"{len(candidates)} candidates"
            raise ValueError(f"Got {given} and references of {len(references)} clips; expected one candidate per clip.")
        cut = [words(_text(text, f"The candidate of clip {index}")) for index, text in enumerate(candidates)]
        return cls(cut, [_cut_references(index, texts, words) for index, texts in enumerate(references)])

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def references_per_clip(self) -> float:
        """Mean number of references of a clip."""
        return sum(map(len, self.references)) / len(self)

    @property
    def reference_clips(self) -> npt.NDArray[np.int64]:
        """The clip of each reference, where the references of all clips stand in one list."""
        return np.repeat(np.arange(len(self)), [len(references) for references in self.references])


def _text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{what} is {text!r}; expected a text. For a clip without an answer give '', or leave it out.")
    return text


def _cut_references(index: int, texts: str | Sequence[str], words: Callable[[str], Words]) -> list[Words]:
    several = [texts] if isinstance(texts, str) else list(texts)
    cut = [words(_text(text, f"A reference of clip {index}")) for text in several]
    if not cut or not all(cut):
        raise ValueError(
            f"Clip {index} has the references {several!r}; expected one or more, each with a word in it. Leave empty "
            "references out."
        )
    return cut


__all__ = ["CaptionPairs", "Scores", "Words"]
