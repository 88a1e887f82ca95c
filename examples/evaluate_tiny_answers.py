"""Figures of pengi-tiny and adiff-tiny on a folder of labelled sounds, beside a control and trivial answers.

    python examples/evaluate_tiny_answers.py --sounds examples/sounds

The folder holds `metadata.csv` (`file_name`, `label`, `source`). All figures are per cent of right answers:

* right: with the clip's own audio; swapped: the same questions with the audio of a clip of another label, where a model
  that hears must fall (in "is it there?" that clip has the other label asked for, so a perfect ear gets 0); trivial:
  the best answer that does not listen.
* Facts (high or low, steady or changing) are measured on the log-mel, with the thresholds of training; clips in between
  are not asked about.

Questions and wrong answers are drawn with a seed. Notes of soundfonts are left out with `--recorded`.
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path

import torch
from evaluate_tiny_clap import read_metadata
from tiny_answers_data import BRIGHT, EVENT, IS_THERE, STEADY, Facts, judge, measure
from transformers import pipeline
from transformers.utils import logging

import afm_hf


def share(hits: list[bool]) -> float:
    """Per cent."""
    return 100 * sum(hits) / max(1, len(hits))


def show(task: str, n: int, right: float, swapped: float | None, trivial: float) -> None:
    """One line."""
    control = "     -" if swapped is None else f"{swapped:6.1f}"
    print(f"{task:52s} n {n:4d}   right {right:5.1f}   swapped {control}   trivial {trivial:5.1f}", flush=True)


def other_clip(labels: list[str], generator: random.Random) -> list[int]:
    """For every clip one of another label."""
    return [generator.choice([j for j, other in enumerate(labels) if other != label]) for label in labels]


def measured(extractor: object, files: list[str], folder: Path) -> list[Facts]:
    """Facts of the clips, by the thresholds of training."""
    kept = json.loads((folder / "training.json").read_text())["thresholds"]
    thresholds = torch.tensor([kept["brightness"], kept["steadiness"]]).T
    values = measure(extractor(files, return_tensors="pt")["input_features"])
    return [Facts(*map(int, row)) for row in judge(values, thresholds)]


def pengi(folder: Path, files: list[str], labels: list[str], generator: random.Random) -> None:
    """Captions, sound events, yes and no, multiple choice, facts."""
    parts = {"batch_size": 16}
    generate = pipeline("audio-text-generation", model=str(folder))
    caption = pipeline("audio-captioning", model=str(folder))
    ask = pipeline("audio-question-answering", model=str(folder))
    others = other_clip(labels, generator)
    common = 100 * Counter(labels).most_common(1)[0][1] / len(labels)
    n = len(files)

    for task, results in (
        ("caption names the label", caption(files, **parts)),
        ("'this is a sound of' is the label", generate(files, prompt=EVENT, **parts)),
    ):
        said = [result[0]["generated_text"] for result in results]
        right = share([label in text for label, text in zip(labels, said, strict=True)])
        swapped = share([label in said[other] for label, other in zip(labels, others, strict=True)])
        show(task, n, right, swapped, common)

    names = sorted(set(labels))
    ranked = generate.classify(files, candidate_labels=names, **parts)
    best = [row[0]["label"] for row in ranked]
    hits, wrong = (
        share([best[i] == label for i, label in zip(which, labels, strict=True)]) for which in (range(n), others)
    )
    show(f"likeliest of {len(names)} labels", n, hits, wrong, common)
    clap = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-tiny")))
    zero_shot = [row[0]["label"] for row in clap(files, candidate_labels=names, **parts)]
    show("   the same by clap-tiny", n, share([a == b for a, b in zip(zero_shot, labels, strict=True)]), None, common)

    rows, truth = [], []
    for i, label in enumerate(labels):
        for asked in (label, labels[others[i]]):
            rows.append({"audio": files[i], "question": generator.choice(IS_THERE).format(asked)})
            truth.append("yes" if asked == label else "no")
    answers = [result["answer"] for result in ask(rows, **parts)]
    # With the audio of the clip whose label the second question names, the two answers change places.
    swapped_rows = [{**row, "audio": files[others[k // 2]]} for k, row in enumerate(rows)]
    swapped_answers = [result["answer"] for result in ask(swapped_rows, **parts)]
    show(
        "is it there? yes or no, generated",
        len(rows),
        share([a == b for a, b in zip(answers, truth, strict=True)]),
        share([a == b for a, b in zip(swapped_answers, truth, strict=True)]),
        50.0,
    )

    rows = []
    for i, label in enumerate(labels):
        choices = [label, *generator.sample([name for name in names if name != label], 3)]
        generator.shuffle(choices)
        rows.append({"audio": files[i], "question": "what is the sound?", "choices": choices})
    own = ask(rows, **parts)
    swapped_own = ask([{**row, "audio": files[others[i]]} for i, row in enumerate(rows)], **parts)
    hits, wrong = (
        share([r["answer"] == label for r, label in zip(x, labels, strict=True)]) for x in (own, swapped_own)
    )
    show("multiple choice of 4, by likelihood", n, hits, wrong, 25.0)

    facts = measured(generate.processor.feature_extractor, files, folder)
    for question, name, words in (
        (BRIGHT[0], "bright", ("low", "high")),
        (STEADY[0], "steady", ("changing", "steady")),
    ):
        index = [i for i, fact in enumerate(facts) if getattr(fact, name)]
        truth = [words[getattr(facts[i], name) > 0] for i in index]
        said = [result["answer"] for result in ask([files[i] for i in index], question=question, **parts)]
        shuffled = generator.sample(range(len(index)), len(index))
        hits = share([a == b for a, b in zip(said, truth, strict=True)])
        wrong = share([said[j] == b for j, b in zip(shuffled, truth, strict=True)])
        show(question, len(index), hits, wrong, 100 * max(Counter(truth).values()) / len(truth))


def adiff(folder: Path, files: list[str], labels: list[str], generator: random.Random, pairs: int) -> None:
    """Differences: whether both clips are named, each in its place, and the comparisons right."""
    explain = pipeline("audio-difference", model=str(folder))
    chosen = []
    while len(chosen) < pairs:
        first, second = generator.sample(range(len(files)), 2)
        if labels[first] != labels[second]:
            chosen.append((first, second))
    common = 100 * Counter(labels).most_common(1)[0][1] / len(labels)
    said = {
        order: [
            r[0]["generated_text"]
            for r in explain([(files[a], files[b]) for a, b in how], tier="concise", batch_size=16)
        ]
        for order, how in (("right", chosen), ("swapped", [(b, a) for a, b in chosen]))
    }

    def named(texts: list[str], part: int) -> list[bool]:
        halves = [text.partition(", the second is") for text in texts]
        return [labels[pair[part]] in half[2 * part] for half, pair in zip(halves, chosen, strict=True)]

    for part, place in enumerate(("first", "second")):
        show(
            f"concise: the {place} clip's label",
            pairs,
            share(named(said["right"], part)),
            share(named(said["swapped"], part)),
            common,
        )
    both = {o: share([a and b for a, b in zip(named(t, 0), named(t, 1), strict=True)]) for o, t in said.items()}
    show("concise: both labels, each in its place", pairs, both["right"], both["swapped"], common**2 / 100)

    facts = measured(explain.processor.feature_extractor, files, folder)
    apart = [(a, b) for a, b in chosen if facts[a].bright * facts[b].bright == -1]
    texts = [
        r[0]["generated_text"]
        for r in explain([(files[a], files[b]) for a, b in apart], tier="detailed", batch_size=16)
    ]
    truth = ["first" if facts[a].bright > facts[b].bright else "second" for a, b in apart]
    claims = [next((w for w in ("first", "second") if f"the {w} sounds higher" in text), None) for text in texts]
    hits = share([claim == which for claim, which in zip(claims, truth, strict=True)])  # silence is a miss
    claimed = sum(claim is not None for claim in claims)
    show(f"detailed: which is higher (said of {claimed})", len(apart), hits, None, 50.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv")
    parser.add_argument("--pengi", type=Path, help="default: the bundled one")
    parser.add_argument("--adiff", type=Path, help="default: the bundled one")
    parser.add_argument("--recorded", action="store_true", help="leave out rendered notes")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of clips for the differences")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    rows = [r for r in read_metadata(args.sounds) if not args.recorded or "soundfont" not in r["source"]]
    files, labels = [str(args.sounds / row["file_name"]) for row in rows], [row["label"] for row in rows]
    print(f"{len(files)} clips, {len(set(labels))} labels")
    pengi(args.pengi or afm_hf.bundled_model("pengi-tiny"), files, labels, random.Random(0))
    adiff(args.adiff or afm_hf.bundled_model("adiff-tiny"), files, labels, random.Random(0), args.pairs)


if __name__ == "__main__":
    main()
