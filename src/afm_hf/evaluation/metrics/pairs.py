"""Candidates beside their references, as words: what every caption metric takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .by_clip import by_clip, one_text, several_texts
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
        candidates: Iterable[str] | Mapping[Any, Any],
        references: Iterable[str | Sequence[str]] | Mapping[Any, Any],
        words: Callable[[str], Words] = ptb_words,
    ) -> "CaptionPairs":
        """
        Cuts texts into words.

        Args:
            candidates: One text for each clip.
            references: For each clip a text, or several. Both may be dictionaries by clip, as pycocoevalcap takes them:
                `{clip: [text]}`, `{clip: [{"caption": text}]}`; the clips stay in the order of the candidates.
            words: How a text is cut; by default as pycocoevalcap does it.

        Raises:
            ValueError: there are no clips, another number of references than of candidates, or other clips; a clip
                without references, a reference without words, or something that is no text.
        """
        is_dictionary = isinstance(candidates, Mapping)
        given = by_clip(candidates=candidates, references=references)
        said, true = given["candidates"], given["references"]
        if len(said) != len(true) or not said:
            raise ValueError(
                f"Got {len(said)} candidates and references of {len(true)} clips; expected one candidate per clip."
            )
        if not is_dictionary and any(isinstance(entry, Mapping) for entry in said):
            raise ValueError(
                "The candidates are a list of dictionaries, of which it is open whose clips they are; pass "
                "`{clip: [text]}`, and the references alike."
            )
        cut = [words(one_text(text, f"The candidate of clip {index}")) for index, text in enumerate(said)]
        return cls(cut, [_cut_references(index, texts, words) for index, texts in enumerate(true)])

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


def _cut_references(index: int, texts: object, words: Callable[[str], Words]) -> list[Words]:
    several = several_texts(texts, f"A reference of clip {index}")
    cut = [words(text) for text in several]
    if not cut or not all(cut):
        raise ValueError(
            f"Clip {index} has the references {several!r}; expected one or more, each with a word in it. Leave empty "
            "references out."
        )
    return cut


__all__ = ["CaptionPairs", "Scores", "Words"]
