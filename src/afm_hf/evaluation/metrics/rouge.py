"""
ROUGE-L (Lin, 2004) as pycocoevalcap computes it: F with beta 1.2 of the best precision and the best recall.

The two best may come from different references; parity needs that. The longest common subsequence is computed for all
words of a sentence at once, as bits of one whole number (Hyyrö, 2004).
"""

import numpy as np

from .pairs import CaptionPairs, Scores, Words

BETA = 1.2


def rouge_l(pairs: CaptionPairs) -> Scores:
    """
    ROUGE-L, 0 to 1; that of a corpus is the mean over its clips.

    Example:
    ```python
    >>> pairs = CaptionPairs.from_texts(["a dog barks loudly"], [["a big dog barks", "dogs"]])
    >>> round(rouge_l(pairs).corpus, 3)
    0.75

    ```
    """
    per_clip = np.array([_f_score(*pair) for pair in zip(pairs.candidates, pairs.references, strict=True)])
    return Scores(float(per_clip.mean()), per_clip)


def _f_score(candidate: Words, references: list[Words]) -> float:
    common = [common_length(candidate, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_length(first: Words, second: Words) -> int:
    """Length of the longest common subsequence of two lists of words."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    all_places = (1 << len(first)) - 1
    row = all_places  # a bit is 0 where the subsequence grows by one
    for word in second:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & all_places
    return len(first) - row.bit_count()


__all__ = ["common_length", "rouge_l"]
