"""
What the bundled models that answer in words lose in other number formats: their texts beside those of float32.

    python benchmarks/precision_answers.py [--sounds examples/sounds] [--dtype int8 bfloat16]

The folder holds `metadata.csv` (`file_name`, `label`). pengi-small and mellow-small describe every clip, adiff-small
the difference of every clip and one of another label, drawn with a seed. For each format: the clips whose text is word
for word that of float32, and those whose text names the label (of a pair: both, each in its place). The models are
tiny, a million numbers or so, and say little about the size of those that their papers describe.
"""

import argparse
import csv
import random
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from afm_hf import bundled_model
from afm_hf.hub.loading import load_pipeline

TASKS = {"pengi-small": "audio-captioning", "mellow-small": "audio-captioning", "adiff-small": "audio-difference"}


def pairs_of(labels: list[str]) -> list[tuple[int, int]]:
    """Each clip, and one of another label."""
    rng = random.Random(0)
    return [(i, rng.choice([j for j, other in enumerate(labels) if other != mine])) for i, mine in enumerate(labels)]


def named(text: str, labels: tuple[str, ...]) -> bool:
    """Whether a text names the label, or both labels, each in the sentence of its clip."""
    parts = text.split(", the second is") if len(labels) > 1 else [text]
    return len(parts) == len(labels) and all(label in part for label, part in zip(labels, parts, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, default=Path("examples/sounds"))
    parser.add_argument("--dtype", nargs="+", default=["int8"])
    parser.add_argument("--model", nargs="+", choices=list(TASKS), default=list(TASKS))
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    with (arguments.sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths, labels = [str(arguments.sounds / row["file_name"]) for row in rows], [row["label"] for row in rows]
    print(f"{len(rows)} clips, {len(set(labels))} labels")
    for name in arguments.model:
        inputs: list[Any] = list(paths)
        truth: list[tuple[str, ...]] = [(label,) for label in labels]
        if TASKS[name] == "audio-difference":
            drawn = pairs_of(labels)
            inputs = [(paths[i], paths[j]) for i, j in drawn]
            truth = [(labels[i], labels[j]) for i, j in drawn]
        exact: list[str] = []
        for dtype in ("float32", *arguments.dtype):
            pipe = load_pipeline(TASKS[name], bundled_model(name), "cpu", dtype)
            how = {"tier": "concise"} if TASKS[name] == "audio-difference" else {}
            texts = [result[0]["generated_text"] for result in pipe(inputs, batch_size=16, **how)]
            exact = exact or texts
            same = sum(text == first for text, first in zip(texts, exact, strict=True)) / len(texts)
            right = sum(map(named, texts, truth)) / len(texts)
            print(f"{name:13s} {dtype:9s} same text {same:6.1%}   names the label {right:6.1%}", flush=True)


if __name__ == "__main__":
    main()
