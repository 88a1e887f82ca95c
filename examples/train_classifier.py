"""A classifier on CLAP's audio encoder with `Trainer`: the papers' linear probe, three-layer probe and fine-tuning.

    python examples/train_classifier.py --data examples/sounds --output_dir probe --num_train_epochs 30
    python examples/train_classifier.py --data examples/sounds --output_dir tuned --freeze false --learning_rate 1e-4
    python examples/train_classifier.py --dataset esc50 --data ESC-50-master --eval_split 1 --split 2,3,4,5

`--layers 1` and `3` with a frozen encoder are `Freeze_L1` and `Freeze_L3` of the first CLAP paper (arXiv 2206.04769,
section 3.3: Adam, 1e-3, 30 epochs), `--freeze false` is fine-tuning (1e-4). The data has `label`, or `labels` where
clips have several; `--dataset` and what goes with it is in recipes.py. Labels that are nowhere in training are left out
of evaluation, and labels of a single clip of both. All arguments of `TrainingArguments` work; a run that was stopped
goes on from its newest complete checkpoint. Settings may also come from a file: `train_classifier.py settings.yaml`.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from recipes import DataArguments, parse, read_parts, train_and_report
from transformers import AutoFeatureExtractor, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import EvalPrediction

from afm_hf import ClapAfmForAudioClassification
from afm_hf.hub.loading import resolve_model
from afm_hf.training.collators import LabelCollator


@dataclass
class ProbeArguments:
    """What is trained."""

    model: str = field(default="clap-small", metadata={"help": "folder, Hub id, or a bundled model's name"})
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


def usable(train: Any, evaluation: Any) -> tuple[Any, Any, list[str]]:
    """The parts without the labels that cannot be both learned and tested, and all labels in order."""
    names = [name for name in ("label", "labels") if name in train.column_names]
    if not names:
        raise ValueError(f"The data set has the columns {', '.join(train.column_names)}, but no labels.")
    if any(value is None for part in (train, evaluation) for value in part[names[0]]):
        raise ValueError(f"Some clips have no `{names[0]}`: data sets with one label and with several cannot be mixed.")
    parts = [[[one] if isinstance(one, str) else one for one in part[names[0]]] for part in (train, evaluation)]
    counts = Counter(label for row in parts[0] for label in row)
    tested = {label for row in parts[1] for label in row}
    learned = {label for label, count in counts.items() if count > 1 or label in tested}
    kept = []
    for part, rows in zip((train, evaluation), parts, strict=True):
        kept.append(part.select([index for index, row in enumerate(rows) if set(row) <= learned]))
        if left_out := len(part) - len(kept[-1]):
            print(f"{left_out} of {len(part)} clips left out: a label of theirs has a single clip or is not learned")
    if len(learned) < 2:
        raise ValueError(f"The clips have {len(learned)} labels that can be learned and tested; expected 2 or more.")
    return *kept, sorted(learned)


def metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Top-1 accuracy, over clips and as a mean over labels; of clips with several labels, how often the top is one."""
    top, truth = prediction.predictions.argmax(-1), prediction.label_ids
    if truth.ndim == 2:
        return {"top_is_right": float(truth[np.arange(len(top)), top].mean())}
    macro = [(top == truth)[truth == label].mean() for label in np.unique(truth)]
    return {"accuracy": float((top == truth).mean()), "macro_accuracy": float(np.mean(macro))}


def main() -> None:
    settings, source, arguments = parse(ProbeArguments, DataArguments, ProbeTrainingArguments)
    folder = resolve_model(settings.model)
    if any(name.partition("=")[0] == "shards" for name in source.dataset):
        raise ValueError("The classifier looks at all labels before it learns, and cannot train on shards.")
    train, evaluation, labels = usable(*read_parts(source, arguments.seed))
    print(f"{len(train)} clips for training, {len(evaluation)} for evaluation, {len(labels)} labels")

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    set_seed(arguments.seed)  # before the model is made: its classifier starts from random weights
    several = {"problem_type": "multi_label_classification"} if "labels" in train.column_names else {}
    model = ClapAfmForAudioClassification.from_pretrained(
        folder,
        classifier_layers=settings.layers,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        **several,
    )
    if settings.freeze:
        model.freeze_audio_encoder()
    trainer = Trainer(
        model,
        arguments,
        LabelCollator(extractor, labels, seed=arguments.seed),
        train_dataset=train,
        eval_dataset=evaluation,
        processing_class=extractor,
        compute_metrics=metrics,
    )
    train_and_report(trainer)


if __name__ == "__main__":
    main()
