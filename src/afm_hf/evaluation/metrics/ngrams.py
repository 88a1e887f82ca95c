"""
Counts of n-grams in many sentences at once.

Words get numbers; an n-gram is the pair of the (n-1)-gram that begins it and its last word, numbered in turn. So all
sentences are counted by a few sorts of numpy, whose order is that of the rows: by sentence, then by n-gram.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .pairs import CaptionPairs, Words

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NgramCounts:
    """
    How often which n-gram stands in which sentence; one row for each pair that occurs, sorted by sentence, then n-gram.

    Attributes:
        sentence, ngram, count: int64 `(rows,)`.
        kinds: Number of different n-grams of the whole list of sentences.
    """

    sentence: Integers
    ngram: Integers
    count: Integers
    kinds: int

    def key(self, group: Integers) -> Integers:
        """One number for each row's pair of `group[sentence]` and n-gram."""
        return group[self.sentence] * self.kinds + self.ngram


def count_ngrams(sentences: list[Words], longest: int) -> Iterator[NgramCounts]:
    """
    Counts n-grams of length 1, 2, ..., `longest`.

    Args:
        sentences: Words of each.
        longest: Of the n-grams.
    """
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(word, len(numbers)) for words in sentences for word in words], dtype=np.int64)
    owner = np.repeat(np.arange(len(sentences)), [len(words) for words in sentences])  # the sentence of each word
    grams, kinds = words, len(numbers)
    for order in range(1, longest + 1):
        if order > 1:  # an n-gram stands where it begins: (words - n + 1,)
            last = words[order - 1 :]
            inside = owner[: len(last)] == owner[order - 1 :]
            unique, grams = np.unique(grams[: len(last)] * len(numbers) + last, return_inverse=True)
            kinds = len(unique)
        else:
            inside = np.ones(len(words), dtype=bool)
        starts = owner[: len(grams)]
        pairs, count = np.unique(starts[inside] * max(kinds, 1) + grams[inside], return_counts=True)
        yield NgramCounts(pairs // max(kinds, 1), pairs % max(kinds, 1), count, max(kinds, 1))


def split_counts(pairs: CaptionPairs, longest: int) -> Iterator[tuple[NgramCounts, NgramCounts]]:
    """
    Counts of the candidates (a sentence is a clip) and of the references (all clips' in one list), n by n.

    Both share the numbers of the n-grams.
    """
    references = [words for clip in pairs.references for words in clip]
    for counts in count_ngrams([*pairs.candidates, *references], longest):
        cut = int(np.searchsorted(counts.sentence, len(pairs)))
        yield (
            NgramCounts(counts.sentence[:cut], counts.ngram[:cut], counts.count[:cut], counts.kinds),
            NgramCounts(counts.sentence[cut:] - len(pairs), counts.ngram[cut:], counts.count[cut:], counts.kinds),
        )


def look_up(wanted: Integers, keys: Integers, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """For each wanted key its value, float64, or 0 where it is not among the (sorted) keys."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0).astype(np.float64)


__all__ = ["NgramCounts", "count_ngrams", "look_up", "split_counts"]
