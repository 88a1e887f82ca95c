"""
BLEU (Papineni et al., 2002) as caption papers report it: that of pycocoevalcap, with the closest reference length.

The figure of a corpus comes from the sums over all clips, not from a mean over the figures of the clips. The small
constants, which keep a longer n-gram without a match above 0, are pycocoevalcap's: parity needs them. Texts without a
word in common score 0 here, where it has up to 6e-9.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ngrams import look_up, split_counts
from .pairs import CaptionPairs, Scores

Floats = npt.NDArray[np.float64]
_TINY, _SMALL = 1e-15, 1e-9  # Parity: added to the matches, and to what they are divided by


@dataclass(frozen=True)
class BleuCounts:
    """
    What BLEU is made of. Rows may be added up: BLEU of the sum is that of the corpus.

    Attributes:
        matches: n-grams of the candidate that a reference has too, as often as it has them, float64 `(clips, orders)`.
        ngrams: n-grams of the candidate, float64 `(clips, orders)`.
        candidate_words, reference_words: float64 `(clips,)`; of the references the one closest in length, the shorter
            one of two.
    """

    matches: Floats
    ngrams: Floats
    candidate_words: Floats
    reference_words: Floats

    def table(self) -> Floats:
        """All in one array, float64 `(clips, 2 orders + 2)`, for [`bleu_of_sums`]."""
        return np.column_stack([self.matches, self.ngrams, self.candidate_words, self.reference_words])


def bleu_counts(pairs: CaptionPairs, orders: int = 4) -> BleuCounts:
    """Counts for BLEU-1 to BLEU-`orders` of each clip."""
    clips = np.arange(len(pairs))
    matches = []
    for candidate, reference in split_counts(pairs, orders):
        keys, most = _most_in_one(reference.key(pairs.reference_clips), reference.count)
        matched = np.minimum(candidate.count, look_up(candidate.key(clips), keys, most))
        matches.append(np.bincount(candidate.sentence, matched, len(pairs)))
    words = np.array([len(candidate) for candidate in pairs.candidates], dtype=np.float64)
    ngrams = np.stack([np.maximum(words - order, 0) for order in range(orders)], axis=1)
    closest = [
        min((abs(len(reference) - len(candidate)), len(reference)) for reference in references)[1]
        for candidate, references in zip(pairs.candidates, pairs.references, strict=True)
    ]
    return BleuCounts(np.stack(matches, axis=1), ngrams, words, np.array(closest, dtype=np.float64))


def bleu_of_sums(sums: Floats) -> Floats:
    """
    BLEU-1, BLEU-2, ... of sums over clips of [`BleuCounts.table`].

    Args:
        sums: float64 `(..., 2 orders + 2)`.

    Returns:
        float64 `(..., orders)`.
    """
    orders = (sums.shape[-1] - 2) // 2
    matches, ngrams = sums[..., :orders], sums[..., orders : 2 * orders]
    candidate, reference = sums[..., -2:-1], sums[..., -1:]
    product = np.cumprod((matches + _TINY) / (ngrams + _SMALL), axis=-1)
    ratio = (candidate + _TINY) / (reference + _SMALL)
    brevity = np.exp(np.minimum(0, 1 - 1 / ratio))
    return np.where(matches[..., :1] > 0, product ** (1 / np.arange(1, orders + 1)) * brevity, 0.0)


def bleu(pairs: CaptionPairs, orders: int = 4) -> list[Scores]:
    """
    BLEU-1 to BLEU-`orders`, 0 to 1.

    Args:
        pairs: Candidates and references.
        orders: The longest n-grams.

    Example:
    ```python
    >>> pairs = CaptionPairs.from_texts(["a dog barks loudly"], [["a dog barks", "the dog is barking loudly"]])
    >>> [round(scores.corpus, 3) for scores in bleu(pairs)]
    [1.0, 0.816, 0.693, 0.0]

    ```
    """
    table = bleu_counts(pairs, orders).table()
    corpus, per_clip = bleu_of_sums(table.sum(0)), bleu_of_sums(table)
    return [Scores(float(corpus[order]), per_clip[:, order]) for order in range(orders)]


def _most_in_one(keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Floats]:
    """The different keys, sorted, and the largest count of each."""
    unique, inverse = np.unique(keys, return_inverse=True)
    most = np.zeros(len(unique))
    np.maximum.at(most, inverse, counts)
    return unique, most


__all__ = ["BleuCounts", "bleu", "bleu_counts", "bleu_of_sums"]
