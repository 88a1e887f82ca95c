"""
CIDEr-D (Vedantam et al., 2015), as pycocoevalcap computes it; caption papers call it CIDEr.

Each sentence is a vector of its n-grams, weighted by how rare they are among the clips; CIDEr is the mean cosine of the
candidate with the references, n = 1 to 4, with clipped counts and a penalty for another length, times 10. How rare an
n-gram is depends on the data set: figures of different sets, or of parts of one, cannot be compared.
"""

import numpy as np
import numpy.typing as npt

from .ngrams import NgramCounts, look_up, split_counts
from .pairs import CaptionPairs, Scores

Floats = npt.NDArray[np.float64]


def cider_d(pairs: CaptionPairs, orders: int = 4, sigma: float = 6.0) -> Scores:
    """
    CIDEr-D, 0 to 10.

    Args:
        pairs: Candidates and references.
        orders: The longest n-grams.
        sigma: Width of the penalty for another length, in words.

    Raises:
        ValueError: there is one clip only: nothing is rare then, and every figure would be 0.

    Example:
    ```python
    >>> pairs = CaptionPairs.from_texts(["a dog barks", "rain falls"], [["the dog barks"], ["rain falls on a roof"]])
    >>> [round(score, 3) for score in cider_d(pairs).per_clip.tolist()]
    [2.917, 2.498]

    ```
    """
    if len(pairs) < 2:
        raise ValueError(f"CIDEr-D weighs words by how rare they are among the clips: {len(pairs)} clip is too few.")
    owner = pairs.reference_clips
    lengths = _bigrams(pairs.candidates)[owner] - _bigrams([words for clip in pairs.references for words in clip])
    penalty = np.exp(-(lengths**2) / (2 * sigma**2))  # (references,)
    total = np.zeros(len(owner))
    for candidate, reference in split_counts(pairs, orders):
        total += _cosines(candidate, reference, owner, len(pairs)) * penalty
    per_clip = 10 * np.bincount(owner, total / orders, len(pairs)) / np.bincount(owner, minlength=len(pairs))
    return Scores(float(per_clip.mean()), per_clip)


def _cosines(
    candidate: NgramCounts, reference: NgramCounts, owner: npt.NDArray[np.int64], clips: int
) -> npt.NDArray[np.float64]:
    """Clipped cosine of each reference with its clip's candidate, `(references,)`."""
    with_ngram = np.unique(reference.key(owner)) % reference.kinds  # an n-gram once for each clip that has it
    rarity = np.log(clips) - np.log(np.maximum(1, np.bincount(with_ngram, minlength=reference.kinds)))
    candidate_weight = candidate.count * rarity[candidate.ngram]
    weight = reference.count * rarity[reference.ngram]

    own = look_up(reference.key(owner), candidate.key(np.arange(clips)), candidate_weight)
    dots = np.bincount(reference.sentence, np.minimum(own, weight) * weight, len(owner))
    norms = np.sqrt(np.bincount(reference.sentence, weight**2, len(owner)))
    norms *= np.sqrt(np.bincount(candidate.sentence, candidate_weight**2, clips))[owner]
    return np.divide(dots, norms, out=np.zeros(len(owner)), where=norms > 0)


def _bigrams(sentences: list[list[str]]) -> Floats:
    """Parity: pycocoevalcap's length of a sentence is its number of bigrams."""
    return np.array([max(0, len(words) - 1) for words in sentences], dtype=np.float64)


__all__ = ["cider_d"]
