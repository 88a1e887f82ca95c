"""A few labelled clips against none: linear probe and LoRA on a CLAP, beside zero-shot on the same clips.

    python examples/few_shot.py --sounds examples/sounds

Of every label with enough clips, some are drawn for the fit and the others are for testing; all figures are top-1
accuracies in per cent on the same test clips, as mean and standard deviation over the draws.
"""

import argparse
import statistics
from collections import Counter
from pathlib import Path

import torch
from evaluate_small_clap import read_metadata
from transformers import AutoModel, AutoProcessor, pipeline

from afm_hf import ClapAfmModel, ClapAfmProcessor, bundled_model
from afm_hf.adaptation.few_shot import TEMPLATE, FewShotFit, draw_shots, fit_linear_probe, fit_lora


def accuracy(predictions: list[list[dict]], truth: list[str]) -> float:
    """Top-1 accuracy in per cent."""
    return 100 * sum(p[0]["label"] == label for p, label in zip(predictions, truth, strict=True)) / len(truth)


def test_accuracy(fit: FewShotFit, processor: ClapAfmProcessor, clips: list[str], truth: list[str]) -> float:
    """Accuracy of a probe, or of a model with LoRA, on the test clips."""
    if fit.settings["method"] == "LoRA":
        return zero_shot(fit.model.merge_and_unload(), processor, clips, truth, fit.labels)
    inputs = processor.feature_extractor(clips, return_tensors="pt")
    with torch.no_grad():
        best = fit.model(**inputs).logits.argmax(-1).tolist()
    return accuracy([[{"label": fit.labels[i]}] for i in best], truth)


def zero_shot(
    model: ClapAfmModel, processor: ClapAfmProcessor, clips: list[str], truth: list[str], labels: list[str]
) -> float:
    """Accuracy of the zero-shot pipeline among `labels`."""
    parts = {"feature_extractor": processor.feature_extractor, "tokenizer": processor.tokenizer}
    classify = pipeline("zero-shot-audio-classification", model=model, **parts)
    return accuracy(classify(clips, candidate_labels=labels, hypothesis_template=TEMPLATE, batch_size=16), truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv")
    parser.add_argument("--model", default=str(bundled_model("clap-small")))
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--draws", type=int, default=10)
    arguments = parser.parse_args()

    if min(arguments.shots) < 1 or arguments.draws < 2:
        parser.error("`--shots` are 1 or more, `--draws` 2 or more.")
    model, processor = AutoModel.from_pretrained(arguments.model), AutoProcessor.from_pretrained(arguments.model)
    rows = read_metadata(arguments.sounds)
    counts, most = Counter(row["label"] for row in rows), max(arguments.shots)
    rows = [row for row in rows if counts[row["label"]] > most]
    if len({row["label"] for row in rows}) < 2:
        parser.error(
            f"{arguments.sounds} has not two labels with {most + 1} clips or more, {most} to learn and one to test."
        )
    clips, labels = [str(arguments.sounds / row["file_name"]) for row in rows], [row["label"] for row in rows]
    print(
        f"{len(rows)} clips, {len(set(labels))} labels, {arguments.draws} draws; chance {100 / len(set(labels)):.1f} %"
    )

    for shots in arguments.shots:
        figures: dict[str, list[float]] = {"zero-shot": [], "linear probe": [], "LoRA": []}
        for seed in range(arguments.draws):
            drawn = draw_shots(labels, shots, seed)
            rest = [i for i in range(len(rows)) if i not in drawn]
            few, few_labels = [clips[i] for i in drawn], [labels[i] for i in drawn]
            test, truth = [clips[i] for i in rest], [labels[i] for i in rest]
            figures["zero-shot"].append(zero_shot(model, processor, test, truth, sorted(set(labels))))
            for fit in (
                fit_linear_probe(model, processor, few, few_labels),
                fit_lora(model, processor, few, few_labels, seed=seed),
            ):
                figures[fit.settings["method"]].append(test_accuracy(fit, processor, test, truth))
        cells = (f"{name} {statistics.mean(v):.1f} ± {statistics.stdev(v):.1f}" for name, v in figures.items())
        print(f"{shots} clips of each label: " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
