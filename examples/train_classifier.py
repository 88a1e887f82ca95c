"""A classifier on CLAP's audio encoder with `Trainer`: the papers' linear probe, three-layer probe and fine-tuning.

    python examples/train_classifier.py --sounds examples/sounds --output_dir probe --num_train_epochs 30
    python examples/train_classifier.py --sounds examples/sounds --output_dir tuned --freeze false --learning_rate 1e-4

`--layers 1` and `3` with a frozen encoder are `Freeze_L1` and `Freeze_L3` of the first CLAP paper (arXiv 2206.04769,
section 3.3: Adam, 1e-3, 30 epochs), `--freeze false` is fine-tuning (1e-4). The folder holds `metadata.csv`
(`file_name`, `label`); of every label with at least two clips one in four, and at least one, is for evaluation. All
arguments of `TrainingArguments` work; a run that was stopped goes on from its last checkpoint. Settings may also come
from a file: `python examples/train_classifier.py settings.yaml`.
"""

import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from evaluate_tiny_clap import read_metadata
from transformers import AutoFeatureExtractor, HfArgumentParser, Trainer, TrainingArguments
from transformers.trainer_utils import EvalPrediction, get_last_checkpoint

from afm_hf import ClapAfmForAudioClassification, bundled_model


@dataclass
class ProbeArguments:
    """What is trained, on what."""

    sounds: str = field(metadata={"help": "folder with metadata.csv (file_name, label)"})
    model: str = field(default="clap-tiny", metadata={"help": "folder, Hub id, or clap-tiny"})
    layers: int = field(default=1, metadata={"help": "layers of the classifier: 1 or 3"})
    freeze: bool = field(default=True, metadata={"help": "whether the encoder stays as it is"})


@dataclass
class ProbeTrainingArguments(TrainingArguments):
    """The first CLAP paper's settings, as far as they are known, in place of the usual ones."""

    output_dir: str = "probe"
    learning_rate: float = 1e-3
    num_train_epochs: float = 30
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    save_total_limit: int | None = 2
    remove_unused_columns: bool = False
    report_to: str = "none"


def split(rows: list[dict], seed: int) -> tuple[list[dict], list[dict]]:
    """Rows for training and for evaluation; labels with a single clip are left out."""
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    train: list[dict] = []
    evaluation: list[dict] = []
    generator = random.Random(seed)
    for _, clips in sorted(by_label.items()):
        if len(clips) < 2:
            continue
        generator.shuffle(clips)
        held = max(1, len(clips) // 4)
        evaluation += clips[:held]
        train += clips[held:]
    return train, evaluation


def metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Top-1 accuracy, over clips and as a mean over labels."""
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    macro = [right[prediction.label_ids == label].mean() for label in np.unique(prediction.label_ids)]
    return {"accuracy": float(right.mean()), "macro_accuracy": float(np.mean(macro))}


def main() -> None:
    parser = HfArgumentParser((ProbeArguments, ProbeTrainingArguments), description=__doc__)
    if len(sys.argv) == 2 and sys.argv[1].endswith((".yaml", ".yml")):
        probe, arguments = parser.parse_yaml_file(sys.argv[1])
    else:
        probe, arguments = parser.parse_args_into_dataclasses()
    folder = bundled_model(probe.model) if probe.model == "clap-tiny" else probe.model
    train, evaluation = split(read_metadata(Path(probe.sounds)), arguments.seed)
    labels = sorted({row["label"] for row in train})
    print(f"{len(train)} clips for training, {len(evaluation)} for evaluation, {len(labels)} labels")

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    model = ClapAfmForAudioClassification.from_pretrained(
        folder,
        classifier_layers=probe.layers,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    if probe.freeze:
        model.freeze_audio_encoder()

    def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
        features = extractor([Path(probe.sounds) / row["file_name"] for row in rows], return_tensors="pt")
        return {**features, "labels": torch.tensor([labels.index(row["label"]) for row in rows])}

    trainer = Trainer(
        model,
        arguments,
        train_dataset=train,
        eval_dataset=evaluation,
        data_collator=collate,
        processing_class=extractor,
        compute_metrics=metrics,
    )
    before = trainer.evaluate()
    last = get_last_checkpoint(arguments.output_dir) if Path(arguments.output_dir).is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    after = trainer.evaluate()
    trainer.save_model()
    for name in ("eval_loss", "eval_accuracy", "eval_macro_accuracy"):
        print(f"{name}: {before[name]:.3f} -> {after[name]:.3f}")


if __name__ == "__main__":
    main()
