"""Is MACE's text mode a sensible metric? Human captions of one clip against those of other clips, no audio needed.

    python examples/mace_sanity.py --captions clotho_entailment_evaluation.csv

The table is of Audio Entailment: a row for each clip of Clotho, five captions in its column `Caption`. Of each clip the
first caption is the candidate, the others are the references. Printed are: how often the clip's own references score
higher than those of another clip (all pairs; words in common as a baseline), where the own ones rank among all, and how
often the caption is preferred to one of another clip (HI) and to itself with its words shuffled.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from afm_hf.data.tables import read_rows
from afm_hf.evaluation.metrics.correlation import bootstrap_mean
from afm_hf.evaluation.metrics.mace import Mace
from afm_hf.evaluation.metrics.pairwise import pairwise_accuracy


def word_overlap(candidates: list[str], references: list[list[str]]) -> np.ndarray:
    """The plain baseline, `(candidates, clips)`: mean Jaccard index of a caption's words and each reference's."""
    flat = [text for group in references for text in group]
    words = [set(re.findall(r"\w+", text.lower())) for text in (*candidates, *flat)]
    columns = {word: place for place, word in enumerate(sorted(set().union(*words)))}
    has = np.zeros((len(words), len(columns)), np.float32)  # which text has which word
    for row, group in enumerate(words):
        has[row, [columns[word] for word in group]] = 1
    mine, theirs = has[: len(candidates)], has[len(candidates) :]
    common = mine @ theirs.T
    jaccard = common / (mine.sum(1)[:, None] + theirs.sum(1) - common)
    counts = np.array([len(group) for group in references])
    return np.add.reduceat(jaccard, np.cumsum([0, *counts[:-1]]), axis=1) / counts


def report(name: str, scores: np.ndarray) -> None:
    """Figures of `(candidates, clips)` scores whose diagonal is right."""
    own = np.diag(scores)[:, None]
    others = len(scores) - 1
    beaten = ((scores < own).sum(1) + 0.5 * ((scores == own).sum(1) - 1)) / others  # of each candidate, ties half
    rank = (scores > own).sum(1) + 1
    low, high = bootstrap_mean(beaten)
    print(
        f"{name}: own clip above another {100 * beaten.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]; "
        f"first of {len(scores)}: {100 * np.mean(rank == 1):.1f} %; in the first ten: "
        f"{100 * np.mean(rank <= 10):.1f} %; median rank {np.median(rank):g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--model", default="clap-small")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    groups = [row.texts("Caption") for row in read_rows(args.captions, ["Caption"])]
    groups = [group for group in groups if len(group) > 1]
    candidates, references = [group[0] for group in groups], [group[1:] for group in groups]
    metric = Mace(args.model, mode="text")
    print(f"{args.captions.name}: {len(groups)} clips, {sum(map(len, references))} references; model {args.model}")

    targets = metric.embed_targets(references)
    own = np.array(metric.score(candidates, targets).scores)
    # All candidates against all clips: the mean of cosines is the cosine with the mean embedding.
    texts = metric.embedder.embed_text(candidates)
    starts = np.cumsum([0, *targets.counts[:-1]])
    means = np.add.reduceat(targets.references, starts) / np.array(targets.counts)[:, None]
    scores = texts @ means.T
    np.testing.assert_allclose(np.diag(scores), own, atol=1e-5)
    report("MACE, text", scores)
    report("word overlap", word_overlap(candidates, references))

    order = np.random.default_rng(args.seed).permutation(len(groups))
    order = np.where(order == np.arange(len(groups)), np.roll(order, 1), order)  # never the clip itself
    wrong = metric.score([candidates[place] for place in order], targets)
    agreement = pairwise_accuracy(own, wrong.scores, [1] * len(groups), ["HI"] * len(groups))
    print(
        f"own caption over one of another clip (HI): {100 * agreement.accuracy:.1f} %; mean score {own.mean():.3f} "
        f"against {wrong.score:.3f}"
    )
    shuffled = metric.score([_shuffle(text, args.seed) for text in candidates], targets)
    agreement = pairwise_accuracy(own, shuffled.scores, [1] * len(groups), ["shuffled"] * len(groups))
    print(
        f"own caption over itself with its words shuffled: {100 * agreement.accuracy:.1f} %; mean score "
        f"{shuffled.score:.3f}"
    )


def _shuffle(text: str, seed: int) -> str:
    words = text.split()
    return " ".join(words[place] for place in np.random.default_rng(seed).permutation(len(words)))


if __name__ == "__main__":
    main()
