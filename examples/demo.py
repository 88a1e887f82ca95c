"""Tells real sounds apart: the bundled small CLAP on the bundled clips, offline. This is what `make demo` runs.

Prints a table and writes a picture of the first clips: waveform, log-mel, label probabilities.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from transformers import pipeline
from transformers.utils import logging

import afm_hf
from afm_hf.demo.pictures import drawn_front_end

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PICTURED = 4


def read_labels(folder: Path) -> dict[str, str]:
    """File name -> label, from the clips' `metadata.csv`."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return {row["file_name"]: row["label"] for row in csv.DictReader(file)}


def print_table(clips: list[Path], truth: dict[str, str], results: list[list[dict[str, Any]]]) -> None:
    """One line a clip: what it is, what the model says, and whether that is right."""
    width = max(len(label) for label in truth.values())
    print(f"{'clip is':{width}}   {'model says':{width}}   score   next guess")
    right = 0
    for clip, result in zip(clips, results, strict=True):
        label, best, second = truth[clip.name], result[0], result[1]
        right += best["label"] == label
        mark = "+" if best["label"] == label else " "
        print(f"{label:{width}} {mark} {best['label']:{width}}   {best['score']:5.2f}   {second['label']}")
    print(f"\n{right} of {len(clips)} right among {len(set(truth.values()))} labels (chance: about 1).")


def draw(clips: list[Path], results: list[list[dict[str, Any]]], feature_extractor: Any, path: Path) -> None:
    """Waveform, log-mel and the five likeliest labels of each clip."""
    figure, axes = plt.subplots(len(clips), 3, figsize=(13, 2.4 * len(clips)), layout="constrained", squeeze=False)
    rate, ear = feature_extractor.sampling_rate, drawn_front_end(feature_extractor)
    for row, clip, result in zip(axes, clips, results, strict=True):
        waveform = afm_hf.load_audio(clip, rate)
        row[0].plot(np.arange(len(waveform)) / rate, waveform, linewidth=0.5)
        row[0].set(title=clip.stem.replace("_", " "), xlabel="time (s)", ylabel="amplitude", ylim=(-1, 1))
        features = ear([waveform], rate, return_tensors="np", padding="repeat", truncation="first")
        log_mel = features["input_features"][0, 0]
        seconds = len(log_mel) * ear.hop_length / ear.sampling_rate
        image = row[1].imshow(log_mel.T, origin="lower", aspect="auto", extent=(0, seconds, 0, log_mel.shape[1]))
        row[1].set(title="log-mel (repeated to the window's length)", xlabel="time (s)", ylabel="mel band")
        figure.colorbar(image, ax=row[1], label="log-mel")
        best = result[:5][::-1]
        row[2].barh([guess["label"] for guess in best], [guess["score"] for guess in best])
        row[2].set(title="label probabilities", xlim=(0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the picture")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    clips = afm_hf.bundled_audio()
    truth = read_labels(clips[0].parent)
    classify = pipeline("zero-shot-audio-classification", model=afm_hf.bundled_model("clap-small"))
    results = classify([str(clip) for clip in clips], candidate_labels=sorted(set(truth.values())), batch_size=8)
    print_table(clips, truth, results)
    picture = arguments.output / "demo.png"
    draw(clips[:PICTURED], results[:PICTURED], classify.feature_extractor, picture)
    print(f"Picture: {picture}")


if __name__ == "__main__":
    main()
