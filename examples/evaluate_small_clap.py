"""Figures of a CLAP checkpoint on a folder of labelled sounds; by default the bundled one.

    python examples/evaluate_small_clap.py --sounds examples/sounds

The folder holds `metadata.csv` (`file_name`, `label`, `source`). Scores are macro averages over the labels that occur,
in per cent: top-1 and top-5 against all labels of the folder, and 5-way accuracy (the true label against four others).
Clips from soundfont packages are notes rendered from samples, so the rows "recorded" leave them out. "swapped" is the
control: each clip's label with the audio of a clip of another label, which a model that hears must not name.

`--everyday` prints a table of thirty everyday labels: how many of their clips are named among the thirty.
`--yamnet FOLDER` adds the baseline that needs no training: YAMNet's probabilities of AudioSet's classes, mapped to the
labels by the likeness of their names in the checkpoint's text space.
`--multi-label` prints how the pipeline's scores of single labels (`multi_label=True`) tell present from absent ones.
"""

import argparse
import csv
import json
import math
import random
from math import comb
from pathlib import Path

import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoProcessor, pipeline

from afm_hf import ClapAfmModel, ClapAfmProcessor, bundled_model

TEMPLATE = "This is a sound of {}."  # the default of transformers' zero-shot-audio-classification pipeline


EVERYDAY = (
    "person speaking",
    "people laughing",
    "person screaming",
    "applause",
    "crowd of people talking",
    "music",
    "guitar",
    "piano",
    "violin",
    "drum kit",
    "dog barking",
    "cat meowing",
    "cow mooing",
    "horse neighing",
    "sheep or goat bleating",
    "rooster crowing",
    "birds singing",
    "rain",
    "thunder",
    "wind",
    "stream of running water",
    "fire crackling",
    "footsteps",
    "door opening or closing",
    "glass breaking",
    "car engine",
    "train",
    "helicopter",
    "bell ringing",
    "telephone ringing",
)


def scores(similarity: torch.Tensor, truth: list[int]) -> dict[str, float]:
    """Figures of `(clips, labels)` similarities, in per cent.

    Args:
        similarity (`torch.Tensor`): One row per clip, one column per candidate label.
        truth (`list[int]`): Column of the true label of each clip.
    """
    labels = torch.tensor(truth)
    own = similarity.gather(1, labels[:, None])
    below = (similarity < own).sum(1)  # how many labels the true one beats
    rank = similarity.shape[1] - 1 - below
    others = similarity.shape[1] - 1
    # Expectation over all choices of 4 others; there may not be so many.
    five_way = torch.tensor([comb(int(b), 4) / comb(others, 4) if others >= 4 else math.nan for b in below])

    def macro(values: torch.Tensor) -> float:
        return 100 * torch.stack([values[labels == label].float().mean() for label in labels.unique()]).mean().item()

    return {
        "clips": len(truth),
        "labels": len(set(truth)),
        "macro top-1": macro(rank < 1),
        "top-1": 100 * (rank < 1).float().mean().item(),
        "macro top-5": macro(rank < 5),
        "5-way": macro(five_way),
    }


def read_metadata(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's metadata.csv."""
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@torch.inference_mode()
def embed_texts(model: ClapAfmModel, processor: ClapAfmProcessor, texts: list[str]) -> torch.Tensor:
    """L2-normalised text embeddings, `(texts, dim)`."""
    return model.get_text_features(**processor.tokenizer(texts, padding=True, return_tensors="pt")).pooler_output


@torch.inference_mode()
def embed_audio(model: ClapAfmModel, processor: ClapAfmProcessor, paths: list[Path]) -> torch.Tensor:
    """L2-normalised audio embeddings, `(clips, dim)`; long clips are averaged over windows."""
    rows = []
    for path in paths:
        inputs = processor.feature_extractor([str(path)], truncation="windows", return_tensors="pt")
        rows.append(model.get_audio_features(**inputs).pooler_output)
    return torch.cat(rows)


def everyday(model: ClapAfmModel, processor: ClapAfmProcessor, audio: torch.Tensor, rows: list[dict[str, str]]) -> None:
    """Print, for each of thirty labels, its hits among the thirty, and what its clips were taken for."""
    text = embed_texts(model, processor, [TEMPLATE.format(label) for label in EVERYDAY])
    mine = [i for i, row in enumerate(rows) if row["label"] in EVERYDAY]
    similarity = audio[mine] @ text.T
    print(f"thirty everyday labels, {len(mine)} clips")
    per_label(similarity, [rows[i] for i in mine], list(EVERYDAY))
    guesses = [EVERYDAY[i] for i in similarity.argmax(1).tolist()]
    hits = sum(guess == rows[i]["label"] for guess, i in zip(guesses, mine, strict=True))
    missing = sorted(set(EVERYDAY) - {row["label"] for row in rows})
    print(f"  together: {hits}/{len(mine)}; no clip: {', '.join(missing) or 'none missing'}")


@torch.inference_mode()
def yamnet_alone(
    folder: Path, model: ClapAfmModel, processor: ClapAfmProcessor, paths: list[Path], bank: list[str]
) -> torch.Tensor:
    """`(clips, labels)`: the probabilities of AudioSet's classes, each given to the labels whose names are like it."""
    yamnet = AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    heard = torch.cat([yamnet(**extractor([str(path)], return_tensors="pt")).logits.sigmoid() for path in paths])
    names = [yamnet.config.id2label[index].lower() for index in range(heard.shape[1])]
    likeness = embed_texts(model, processor, names) @ embed_texts(model, processor, bank).T
    return heard @ torch.softmax(likeness / 0.1, dim=1)


def multi_label(folder: Path, paths: list[Path], truth: list[str], bank: list[str]) -> None:
    """Print the shares of present and of absent labels that are scored above 0.5, and the area under the ROC curve."""
    classify = pipeline("zero-shot-audio-classification", model=str(folder))
    results = classify([str(path) for path in paths], candidate_labels=bank, multi_label=True, batch_size=16)
    pairs = [(row["score"], row["label"] == label) for rows, label in zip(results, truth, strict=True) for row in rows]
    present, absent = (torch.tensor([score for score, is_own in pairs if is_own == which]) for which in (True, False))
    order = (present[:, None] > absent).float() + 0.5 * (present[:, None] == absent).float()
    above = [100 * (scores > 0.5).float().mean() for scores in (present, absent)]
    print(
        f"multi-label: above 0.5 {above[0]:.1f} % of the present labels, {above[1]:.1f} % of the absent; "
        f"AUC {order.mean():.3f}"
    )


def table(audio: torch.Tensor, rows: list[dict[str, str]], bank: list[str], text: torch.Tensor) -> None:
    """Print the figures over all clips and over recorded ones."""
    show(audio @ text.T, rows, bank)


def show(similarity: torch.Tensor, rows: list[dict[str, str]], bank: list[str], name: str = " ") -> None:
    """Print the figures of `(clips, labels)` similarities, over all clips and over recorded ones."""
    recorded = [i for i, row in enumerate(rows) if "soundfont" not in row["source"]]
    for which, chosen in (("all", list(range(len(rows)))), ("recorded", recorded)):
        figures = scores(similarity[chosen], [bank.index(rows[i]["label"]) for i in chosen])
        hit = {rows[i]["label"] for i in chosen if bank[int(similarity[i].argmax())] == rows[i]["label"]}
        figures["labels without a hit"] = len({rows[i]["label"] for i in chosen} - hit)
        print(f"{name} {which:9s}" + "  ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)


def per_label(similarity: torch.Tensor, rows: list[dict[str, str]], bank: list[str]) -> None:
    """Print hits per label, and what the clips were taken for."""
    guesses = similarity.argmax(1).tolist()
    for label in sorted({row["label"] for row in rows}):
        mine = [bank[guess] for guess, row in zip(guesses, rows, strict=True) if row["label"] == label]
        wrong = ", ".join(sorted({guess for guess in mine if guess != label}))
        print(f"  {label}: {mine.count(label)}/{len(mine)}" + (f" (heard: {wrong})" if wrong else ""))


def main() -> None:
    """Evaluate one checkpoint on one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv")
    parser.add_argument("--model", default=None, help="a checkpoint's folder; the bundled model by default")
    parser.add_argument("--everyday", action="store_true", help="also print the table of thirty everyday labels")
    parser.add_argument("--yamnet", type=Path, help="a converted YAMNet: also print the baseline of its classes")
    parser.add_argument("--multi-label", action="store_true", help="also print how single labels are scored")
    parser.add_argument("--per-label", action="store_true", help="also print the hits of each label")
    args = parser.parse_args()

    folder = Path(args.model or bundled_model("clap-small"))
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    rows = read_metadata(args.sounds)
    audio = embed_audio(model, processor, [args.sounds / row["file_name"] for row in rows])
    bank = sorted({row["label"] for row in rows})
    text = embed_texts(model, processor, [TEMPLATE.format(label) for label in bank])
    print(f"{folder.name}: {model.num_parameters()} parameters; {len(rows)} clips; candidates: {len(bank)} labels")
    table(audio, rows, bank, text)
    order = random.Random(0).sample(range(len(rows)), len(rows))
    swapped = [next(j for j in order[k:] + order[:k] if rows[j]["label"] != row["label"]) for k, row in enumerate(rows)]
    print("swapped audio")
    table(audio[swapped], rows, bank, text)
    if args.yamnet:
        print("YAMNet's classes by their names")
        paths = [args.sounds / row["file_name"] for row in rows]
        show(yamnet_alone(args.yamnet, model, processor, paths, bank), rows, bank)
    trained = folder / "training_labels.json"
    if trained.exists():
        known = json.loads(trained.read_text())
        wide = sorted(set(bank) | set(known))
        print(f"candidates: these and all training labels, {len(wide)}")
        table(audio, rows, wide, embed_texts(model, processor, [TEMPLATE.format(label) for label in wide]))
        print("labels without a training clip:", ", ".join(sorted(set(bank) - set(known))) or "none")
    if args.everyday:
        everyday(model, processor, audio, rows)
    if args.multi_label:
        multi_label(folder, [args.sounds / row["file_name"] for row in rows], [row["label"] for row in rows], bank)
    if args.per_label:
        per_label(audio @ text.T, rows, bank)


if __name__ == "__main__":
    main()
