"""
All caption metrics of the papers in one call: BLEU-1 to 4, ROUGE-L, CIDEr-D, METEOR, SPICE and SPIDEr.

Captions are cut as pycocoevalcap cuts them ([`ptb_words`]). METEOR and SPICE need Java; where they cannot be computed
the others are given all the same, and the result says why these are left out.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult
from .bleu import bleu
from .cider import cider_d
from .java_captions import MetricUnavailableError, meteor, spice
from .pairs import CaptionPairs, Scores
from .rouge import rouge_l

CAPTION_METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d", "meteor", "spice", "spider")
WITHOUT_JAVA = CAPTION_METRICS[:6]


@dataclasses.dataclass(kw_only=True)
class CaptionScores(AfmResult):
    """
    How close captions come to their references.

    Args:
        scores (`dict[str, float]`): Figures of the whole data set by metric, 0 to 1 (CIDEr-D to 10, SPIDEr to 5.5).
        per_clip (`dict[str, np.ndarray]`): Figures of each clip by metric, float64 `(clips,)`, in the given order.
        left_out (`dict[str, str]`): Metrics that could not be computed, and why.
        clips (`int`): Number of clips.
        references_per_clip (`float`): Their mean number of references.
        empty (`int`): Candidates without a word, which score 0.
    """

    scores: dict[str, float]
    per_clip: dict[str, npt.NDArray[np.float64]]
    left_out: dict[str, str]
    clips: int
    references_per_clip: float
    empty: int


def caption_scores(
    candidates: Iterable[str] | Mapping[Any, Any],
    references: Iterable[str | Sequence[str]] | Mapping[Any, Any],
    metrics: Iterable[str] = CAPTION_METRICS,
    **settings: object,
) -> CaptionScores:
    """
    Compares one caption for each clip with the references of the clip.

    Args:
        candidates: One caption for each clip; `""` is none, and scores 0.
        references: For each clip one caption or several; clips may have different numbers of them. Both may be
            dictionaries by clip, as pycocoevalcap takes them; `per_clip` is then in the order of the candidates.
        metrics: Names out of `CAPTION_METRICS`.
        settings: What else made the captions, for the result.

    Raises:
        ValueError: there is no such metric, or the texts do not fit together (see [`CaptionPairs.from_texts`]).

    Example:
    ```python
    >>> result = caption_scores(
    ...     ["A dog barks twice.", "Rain falls."],
    ...     [["A dog barks.", "A dog is barking twice."], ["Rain falls on a roof."]],
    ...     metrics=["bleu_1", "rouge_l"],
    ... )
    >>> {name: round(score, 3) for name, score in result.scores.items()}
    {'bleu_1': 0.717, 'rouge_l': 0.705}

    ```
    """
    asked = {metrics} if isinstance(metrics, str) else set(metrics)
    wanted, unknown = [name for name in CAPTION_METRICS if name in asked], asked - set(CAPTION_METRICS)
    if unknown or not wanted:
        raise ValueError(f"Unknown caption metrics {sorted(unknown)}; expected some of {', '.join(CAPTION_METRICS)}.")
    pairs = CaptionPairs.from_texts(candidates, references)
    found, left_out = _compute(pairs, set(wanted))
    return CaptionScores(
        scores={name: found[name].corpus for name in wanted if name in found},
        per_clip={name: found[name].per_clip for name in wanted if name in found},
        left_out={name: left_out[name] for name in wanted if name in left_out},
        clips=len(pairs),
        references_per_clip=pairs.references_per_clip,
        empty=sum(not words for words in pairs.candidates),
        settings={"words": "ptb", "metrics": wanted, **settings},
    )


def _compute(pairs: CaptionPairs, wanted: set[str]) -> tuple[dict[str, Scores], dict[str, str]]:
    """The wanted figures, those which others are made of, and why some are not there."""
    programs: dict[str, Callable[[CaptionPairs], Scores]] = {
        "rouge_l": rouge_l, "cider_d": cider_d, "meteor": meteor, "spice": spice
    }  # fmt: skip
    found: dict[str, Scores] = {}
    left_out: dict[str, str] = {}
    if any(name.startswith("bleu") for name in wanted):
        found.update((f"bleu_{order}", scores) for order, scores in enumerate(bleu(pairs), 1))
    parts = wanted | ({"cider_d", "spice"} if "spider" in wanted else set())
    for name in parts & programs.keys():
        try:
            found[name] = programs[name](pairs)
        except (MetricUnavailableError, ValueError) as error:
            left_out[name] = str(error)
    if "spider" in wanted:
        missing = [left_out[name] for name in ("cider_d", "spice") if name in left_out]
        if missing:
            left_out["spider"] = f"SPIDEr is the mean of CIDEr-D and SPICE. {missing[0]}"
        else:
            found["spider"] = _mean(found["cider_d"], found["spice"])
    return found, left_out


def _mean(first: Scores, second: Scores) -> Scores:
    return Scores((first.corpus + second.corpus) / 2, (first.per_clip + second.per_clip) / 2)


__all__ = ["CAPTION_METRICS", "WITHOUT_JAVA", "CaptionScores", "caption_scores"]
