"""Do the ears' own steps say when a sound is heard better than windows do?

    python examples/timeline_steps.py --sounds examples/sounds

Two clips of different labels, each of 3 s (short ones repeated), follow each other, and a timeline is made of the
labels of the folder: from the steps of the ears (0.975 s heard, every 0.48 s), and from windows of the clip length at
the same distance (`timestamp_hop_s`). Of every 50 ms it is asked whether the chunk's best label is that of the sound
that is playing; "the label or the other" counts both sounds, so that what is lost by mixing them up shows. "one label"
is the best label of the whole recording at every time. The interval is a bootstrap over pairs.
"""

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
from evaluate_small_clap import read_metadata
from transformers import pipeline

import afm_hf
from afm_hf.evaluation.bootstrap import bootstrap_interval

SECONDS, GRID_S = 3.0, 0.05


def glued(files: list[Path], rate: int) -> dict[str, Any]:
    """One sound after another, each of `SECONDS`, at the same loudness."""
    parts = [np.resize(afm_hf.load_audio(str(file), rate), round(SECONDS * rate)) for file in files]
    parts = [part * (0.1 / max(1e-6, float(np.sqrt(np.mean(part**2))))) for part in parts]
    return {"array": np.clip(np.concatenate(parts), -1, 1).astype(np.float32), "sampling_rate": rate}


def best_at(times: np.ndarray, chunks: list[dict[str, Any]]) -> list[str | None]:
    """The best label of the chunk at each time; None where there is no chunk (dead air)."""
    found: list[str | None] = [None] * len(times)
    for chunk in chunks:
        start, end = chunk["timestamp"]
        best = max(chunk["scores"], key=chunk["scores"].get)
        for i in np.flatnonzero((times >= start) & (times < end)):
            found[i] = best
    return found


def told(name: str, right: list[float], either: list[float]) -> None:
    """One line: per cent of the time, with an interval."""
    found = bootstrap_interval(right)
    print(
        f"{name:28s} the label {100 * found.value:5.1f} % of the time [{100 * found.low:.1f}, {100 * found.high:.1f}]",
        end="",
    )
    print(f"   the label or the other {100 * np.mean(either):5.1f} %", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv (file_name, label)")
    parser.add_argument("--model", default=str(afm_hf.bundled_model("clap-small")))
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    classify = pipeline("zero-shot-audio-classification", model=args.model)
    rows = read_metadata(args.sounds)
    labels = sorted({row["label"] for row in rows})
    generator = random.Random(args.seed)
    times = np.arange(0, 2 * SECONDS, GRID_S) + GRID_S / 2
    ways: dict[str, dict[str, Any]] = {
        "the ears' own steps": {},
        "windows, every 0.48 s": {"timestamp_hop_s": 0.48},
        "one label": {},
    }
    right: dict[str, list[float]] = {name: [] for name in ways}
    either: dict[str, list[float]] = {name: [] for name in ways}
    while len(right["one label"]) < args.pairs:
        pair = generator.sample(rows, 2)
        names = [row["label"] for row in pair]
        if names[0] == names[1]:
            continue
        rate = classify.feature_extractor.sampling_rate
        clip = glued([args.sounds / row["file_name"] for row in pair], rate)
        truth = [names[int(time >= SECONDS)] for time in times]
        for name, how in ways.items():
            result = classify(clip, candidate_labels=labels, timestamps=True, **how)
            found = best_at(times, result["chunks"])
            if name == "one label":
                found = [result["labels"][0]["label"]] * len(times)
            right[name].append(float(np.mean([a == b for a, b in zip(found, truth, strict=True)])))
            either[name].append(float(np.mean([a in names for a in found])))
    print(f"{args.pairs} pairs, {len(labels)} labels")
    for name in ways:
        told(name, right[name], either[name])


if __name__ == "__main__":
    main()
