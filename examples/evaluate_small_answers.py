"""Figures of pengi-small, adiff-small and mellow-small on labelled sounds, beside a control and trivial answers.

    python examples/evaluate_small_answers.py --sounds examples/sounds

The folder holds `metadata.csv` (`file_name`, `label`, `source`). All figures are per cent of right answers:

* right: with the clip's own audio; swapped: the same questions with the audio of a clip of another label, where a model
  that hears must fall (in "is it there?" that clip has the other label asked for, so a perfect ear gets 0); trivial:
  the best answer that does not listen.
* Facts (high or low, loud or quiet, ...) are measured on the log-mel, with the thresholds of training; clips in between
  are not asked about.

Questions and wrong answers are drawn with a seed. Notes of soundfonts are left out with `--recorded`.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers_facts import FACTS, judge, measure
from answers_tasks import BEFORE, EVENT, FIRST, IS_THERE, LAST, NOT_HEARD, NOT_HEARD_ASIDE, UNKNOWN, WHAT
from evaluate_small_clap import read_metadata
from small_clap_features import decibels, feature_extractor, loudest
from transformers import pipeline
from transformers.utils import logging

import afm_hf

PARTS = {"batch_size": 16}


def share(hits: Sequence[bool]) -> float:
    """Per cent."""
    return 100 * sum(hits) / max(1, len(hits))


def same(said: Sequence[Any], truth: Sequence[Any]) -> float:
    """Per cent of equal ones."""
    return share([a == b for a, b in zip(said, truth, strict=True)])


def commonest(truth: Sequence[str]) -> float:
    """Per cent of the commonest answer."""
    return 100 * max(Counter(truth).values()) / max(1, len(truth))


def show(task: str, n: int, right: float, swapped: float | None, trivial: float) -> None:
    """One line."""
    control = "     -" if swapped is None else f"{swapped:6.1f}"
    print(f"{task:52s} n {n:4d}   right {right:5.1f}   swapped {control}   trivial {trivial:5.1f}", flush=True)


class Sounds:
    """Labelled clips, and for each one of another label.

    Args:
        files (`list[str]`): Paths.
        labels (`list[str]`): Their labels.
    """

    def __init__(self, files: list[str], labels: list[str]) -> None:
        self.files, self.labels, self.names = files, labels, sorted(set(labels))
        self.rng = random.Random(0)
        self.others = [self.rng.choice([j for j, other in enumerate(labels) if other != label]) for label in labels]

    def facts(self, folder: Path) -> np.ndarray:
        """-1, 0 or 1 for each clip and fact, by the thresholds of training."""
        thresholds = torch.tensor(json.loads((folder / "training.json").read_text())["thresholds"]).T
        extractor = feature_extractor(truncation="first")
        frames, mels = extractor.frames()[0], extractor.front_ends()[0].feature_size
        features = extractor(self.files, return_tensors="pt")["input_features"][:, :, :frames, :mels]
        return judge(measure(decibels(features[:, :, ::2])), thresholds)


def labels_in_text(sounds: Sounds, task: str, results: list[Any]) -> None:
    """Whether the text names the label of the clip."""
    said = [result[0]["generated_text"] for result in results]
    right = share([label in text for label, text in zip(sounds.labels, said, strict=True)])
    swapped = share([label in said[other] for label, other in zip(sounds.labels, sounds.others, strict=True)])
    show(task, len(said), right, swapped, commonest(sounds.labels))


def likeliest_label(sounds: Sounds, generate: Any) -> None:
    """The likeliest of all labels, and CLAP's."""
    clap = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))
    ranked = generate.classify(sounds.files, candidate_labels=sounds.names, **PARTS)
    best = [row[0]["label"] for row in ranked]
    swapped = same([best[i] for i in sounds.others], sounds.labels)
    trivial = commonest(sounds.labels)
    show(f"likeliest of {len(sounds.names)} labels", len(best), same(best, sounds.labels), swapped, trivial)
    zero_shot = [row[0]["label"] for row in clap(sounds.files, candidate_labels=sounds.names, **PARTS)]
    show("   the same by clap-small", len(best), same(zero_shot, sounds.labels), None, trivial)


def yes_or_no(sounds: Sounds, ask: Any) -> None:
    """Is it there? Asked for the clip's label and for another's."""
    rows, truth = [], []
    for i, label in enumerate(sounds.labels):
        for asked in (label, sounds.labels[sounds.others[i]]):
            question = sounds.rng.choice(IS_THERE).format(asked)
            rows.append({"audio": sounds.files[i], "question": question, "choices": ["yes", "no"]})
            truth.append("yes" if asked == label else "no")
    answers = [result["generated_text"] for result in ask(rows, **PARTS)]
    # With the audio of the clip whose label the second question names, the two answers change places.
    swapped = [{**row, "audio": sounds.files[sounds.others[k // 2]]} for k, row in enumerate(rows)]
    swapped_answers = [result["generated_text"] for result in ask(swapped, **PARTS)]
    said_yes = share([answer == "yes" for answer in answers])
    task = f"is it there? generated ({said_yes:.0f} % yes)"
    show(task, len(rows), same(answers, truth), same(swapped_answers, truth), 50.0)


def multiple_choice(sounds: Sounds, ask: Any, has_letters: bool) -> None:
    """The label among three others, by likelihood, and the letter that is said."""
    rows, truth = [], []
    for i, label in enumerate(sounds.labels):
        choices = [label, *sounds.rng.sample([name for name in sounds.names if name != label], 3)]
        sounds.rng.shuffle(choices)
        rows.append({"audio": sounds.files[i], "question": WHAT[0], "choices": choices})
        truth.append("abcd"[choices.index(label)])
    own = ask(rows, **PARTS)
    swapped = ask([{**row, "audio": sounds.files[sounds.others[i]]} for i, row in enumerate(rows)], **PARTS)
    for key, how in (("letter", "by likelihood"), ("generated_letter", "the letter said")):
        if key == "letter" or has_letters:
            said, wrong = ([result[key] for result in results] for results in (own, swapped))
            show(f"multiple choice of 4, {how}", len(rows), same(said, truth), same(wrong, truth), commonest(truth))


def facts(sounds: Sounds, ask: Any, folder: Path) -> None:
    """High or low? And the other facts."""
    known = sounds.facts(folder)
    for k, fact in enumerate(FACTS):
        index = [i for i in range(len(known)) if known[i, k]]
        truth = [fact.high if known[i, k] > 0 else fact.low for i in index]
        said = [r["answer"] for r in ask([sounds.files[i] for i in index], question=fact.questions[0], **PARTS)]
        shuffled = sounds.rng.sample(said, len(said))
        show(fact.questions[0], len(index), same(said, truth), same(shuffled, truth), commonest(truth))


def unknown(sounds: Sounds, ask: Any) -> None:
    """What cannot be known is not answered; and the questions that can be are."""
    for name, questions in (("asked in training", NOT_HEARD), ("never asked in training", NOT_HEARD_ASIDE)):
        rows = [{"audio": file, "question": sounds.rng.choice(questions)} for file in sounds.files]
        said = [result["answer"] for result in ask(rows, **PARTS)]
        show(f"'{UNKNOWN}' where it cannot, {name}", len(said), share([s == UNKNOWN for s in said]), None, 0.0)
    said = [result["answer"] for result in ask(sounds.files, question=WHAT[0], **PARTS)]
    show("   the same where it can (should be 0)", len(said), share([s == UNKNOWN for s in said]), None, 0.0)


def order(sounds: Sounds, ask: Any, pairs: int) -> None:
    """One sound after another: which comes first, which last, and is one before the other?"""
    extractor = ask.processor.feature_extractor
    rate, half = extractor.sampling_rate, int(extractor.max_length_s * extractor.sampling_rate / 2)
    rows: dict[str, list[dict[str, Any]]] = {"which": [], "before": []}
    truth: dict[str, list[str]] = {"which": [], "before": []}
    while len(rows["which"]) < pairs:
        first, second = sounds.rng.sample(range(len(sounds.files)), 2)
        labels = (sounds.labels[first], sounds.labels[second])
        if labels[0] == labels[1]:
            continue
        halves = [np.resize(loudest(afm_hf.load_audio(sounds.files[i], rate), half), half) for i in (first, second)]
        audio = {"array": np.concatenate(halves), "sampling_rate": rate}
        is_first = sounds.rng.random() < 0.5
        question = sounds.rng.choice(FIRST if is_first else LAST)
        rows["which"].append({"audio": audio, "question": question, "choices": sounds.rng.sample(labels, 2)})
        truth["which"].append(labels[0] if is_first else labels[1])
        swap = sounds.rng.random() < 0.5
        question = sounds.rng.choice(BEFORE).format(*(labels[::-1] if swap else labels))
        rows["before"].append({"audio": audio, "question": question, "choices": ["yes", "no"]})
        truth["before"].append("no" if swap else "yes")
    for name, task in (("which", "which comes first, last? of the two"), ("before", "does it come before? yes or no")):
        results = ask(rows[name], **PARTS)
        backwards = [
            {**row, "audio": {**row["audio"], "array": np.roll(row["audio"]["array"], half)}} for row in rows[name]
        ]
        said, wrong = ([r["answer"] for r in each] for each in (results, ask(backwards, **PARTS)))
        show(
            task,
            pairs,
            same(said, truth[name]),
            same(wrong, truth[name]),
            commonest(truth[name]) if name == "before" else 50.0,
        )


def differences(sounds: Sounds, explain: Any, folder: Path, pairs: int) -> None:
    """Whether both clips are named, each in its place, and the comparisons right."""
    chosen = []
    while len(chosen) < pairs:
        first, second = sounds.rng.sample(range(len(sounds.files)), 2)
        if sounds.labels[first] != sounds.labels[second]:
            chosen.append((first, second))

    def said(how: list[tuple[int, int]], tier: str) -> list[str]:
        results = explain([(sounds.files[a], sounds.files[b]) for a, b in how], tier=tier, **PARTS)
        return [result[0]["generated_text"] for result in results]

    def named(texts: list[str], part: int) -> list[bool]:
        halves = [text.partition(", the second is") for text in texts]
        return [sounds.labels[pair[part]] in half[2 * part] for half, pair in zip(halves, chosen, strict=True)]

    texts = {"right": said(chosen, "concise"), "swapped": said([pair[::-1] for pair in chosen], "concise")}
    common = commonest(sounds.labels)
    hits = {how: [named(each, 0), named(each, 1)] for how, each in texts.items()}
    for part, place in enumerate(("first", "second")):
        right, swapped = (share(hits[how][part]) for how in ("right", "swapped"))
        show(f"concise: the {place} clip's label", pairs, right, swapped, common)
    both = {how: share([a and b for a, b in zip(*each, strict=True)]) for how, each in hits.items()}
    show("concise: both labels, each in its place", pairs, both["right"], both["swapped"], common**2 / 100)

    known = sounds.facts(folder)
    detailed = said(chosen, "detailed")
    claims, right = 0, 0
    for (a, b), text in zip(chosen, detailed, strict=True):
        for k, fact in enumerate(FACTS):
            for place, sign in (("first", 1), ("second", -1)):
                if f"the {place} {'sounds' if k == 0 else 'is'} {fact.more}" in text and known[a, k] != known[b, k]:
                    claims += 1
                    right += (known[a, k] > known[b, k]) == (sign > 0)
    show(f"detailed: comparisons that are right (of {claims} made)", claims, 100 * right / max(1, claims), None, 50.0)


def pengi(sounds: Sounds, folder: Path) -> None:
    """Captions, sound events, yes and no, multiple choice, facts."""
    generate = pipeline("audio-text-generation", model=str(folder))
    caption = pipeline("audio-captioning", model=str(folder))
    ask = pipeline("audio-question-answering", model=str(folder))
    labels_in_text(sounds, "caption names the label", caption(sounds.files, **PARTS))
    labels_in_text(sounds, "'this is a sound of' is the label", generate(sounds.files, prompt=EVENT, **PARTS))
    likeliest_label(sounds, generate)
    yes_or_no(sounds, ask)
    multiple_choice(sounds, ask, has_letters=False)
    facts(sounds, ask, folder)
    unknown(sounds, ask)


def mellow(sounds: Sounds, folder: Path, pairs: int) -> None:
    """As Pengi, and the order of sounds, lettered choices, and differences."""
    labels_in_text(
        sounds, "caption names the label", pipeline("audio-captioning", model=str(folder))(sounds.files, **PARTS)
    )
    likeliest_label(sounds, pipeline("audio-text-generation", model=str(folder)))
    ask = pipeline("audio-question-answering", model=str(folder))
    yes_or_no(sounds, ask)
    multiple_choice(sounds, ask, has_letters=True)
    facts(sounds, ask, folder)
    unknown(sounds, ask)
    order(sounds, ask, pairs)
    differences(sounds, pipeline("audio-difference", model=str(folder)), folder, pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv")
    for name in ("pengi", "adiff", "mellow"):
        parser.add_argument(f"--{name}", type=Path, help=f"folder; the bundled {name}-small if not given")
    parser.add_argument("--only", choices=["pengi", "adiff", "mellow"], action="append", help="default: all")
    parser.add_argument("--recorded", action="store_true", help="leave out rendered notes")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of clips, where two are needed")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    rows = [r for r in read_metadata(args.sounds) if not args.recorded or "soundfont" not in r["source"]]
    files, labels = [str(args.sounds / row["file_name"]) for row in rows], [row["label"] for row in rows]
    print(f"{len(files)} clips, {len(set(labels))} labels")
    for name in args.only or ("pengi", "adiff", "mellow"):
        folder = getattr(args, name) or afm_hf.bundled_model(f"{name}-small")
        print(f"{name}-small", flush=True)
        sounds = Sounds(files, labels)
        if name == "pengi":
            pengi(sounds, folder)
        elif name == "mellow":
            mellow(sounds, folder, args.pairs)
        else:
            differences(sounds, pipeline("audio-difference", model=str(folder)), folder, args.pairs)


if __name__ == "__main__":
    main()
