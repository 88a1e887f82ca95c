"""Contrastive training of CLAP on a folder of clips with captions, with `Trainer`.

    python examples/train_clap.py --sounds examples/sounds --output_dir clap --max_steps 40
    python examples/train_clap.py --sounds examples/sounds --output_dir clap --freeze text --cached_chunk 8
    python examples/train_clap.py examples/configs/clap.yaml
    torchrun --nproc_per_node 2 examples/train_clap.py --sounds examples/sounds --output_dir clap --use_cpu

The folder holds `metadata.csv` (`file_name`, `caption`, and `label` if clips are to be held out label by label). Losses
and retrieval on held-out clips are computed before, during and after training. All arguments of `TrainingArguments`
work, among them `--report_to`, `--bf16` and `--gradient_checkpointing`; settings may come from a YAML or JSON file. A
run that was stopped at whatever moment goes on from its newest complete checkpoint when it is started again.
"""

import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluate_tiny_clap import read_metadata
from transformers import AutoModel, AutoProcessor, HfArgumentParser, TrainingArguments

from afm_hf import bundled_model
from afm_hf.training.checkpoints import CompleteCheckpoints, train_or_resume
from afm_hf.training.collators import ClapCollator
from afm_hf.training.contrastive_trainer import ContrastiveTrainer, retrieval_metrics
from afm_hf.training.freezing import freeze, freeze_batch_norms


@dataclass
class ClapArguments:
    """What is trained, on what."""

    sounds: str = field(metadata={"help": "folder with metadata.csv (file_name, caption)"})
    model: str = field(default="clap-tiny", metadata={"help": "folder, Hub id, or clap-tiny"})
    from_scratch: bool = field(default=False, metadata={"help": "only the model's sizes, with random weights"})
    freeze: str = field(default="none", metadata={"help": "tower that stands still: none, audio or text"})
    cached_chunk: int | None = field(
        default=None, metadata={"help": "pairs embedded at a time, for batches beyond memory; fixes batch norms"}
    )
    held_out: float = field(default=0.25, metadata={"help": "share of the clips for evaluation"})
    random_crops: bool = field(default=True, metadata={"help": "a random part of clips that are too long"})


@dataclass
class ClapTrainingArguments(TrainingArguments):
    """Settings for a small set in place of the usual ones; the papers say Adam, 1e-3, batches of 1536."""

    output_dir: str = "clap"
    learning_rate: float = 1e-4
    num_train_epochs: float = 20
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 32
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    save_total_limit: int | None = 2
    logging_steps: float = 5
    remove_unused_columns: bool = False
    report_to: str = "none"


def hold_out(rows: list[dict[str, Any]], share: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Rows for training and for evaluation; the latter have the mix of labels of the former."""
    by_label = defaultdict(list)
    for row in rows:
        by_label[row.get("label", "")].append(row)
    train: list[dict] = []
    evaluation: list[dict] = []
    generator = random.Random(seed)
    for _, clips in sorted(by_label.items()):
        generator.shuffle(clips)
        count = round(share * len(clips)) or int(len(clips) > 1)
        evaluation += clips[:count]
        train += clips[count:]
    return train, evaluation


def parse(*classes: type) -> tuple[Any, ...]:
    """Arguments from the command line, or from one YAML or JSON file."""
    parser = HfArgumentParser(classes, description=sys.modules["__main__"].__doc__)
    if len(sys.argv) == 2 and sys.argv[1].endswith((".yaml", ".yml", ".json")):
        read = parser.parse_json_file if sys.argv[1].endswith(".json") else parser.parse_yaml_file
        return read(sys.argv[1])
    return parser.parse_args_into_dataclasses()


def train_and_report(trainer: Any) -> None:
    """Evaluates, trains from the newest complete checkpoint on, saves, evaluates and prints both evaluations."""
    trainer.add_callback(CompleteCheckpoints())
    before = trainer.evaluate()
    train_or_resume(trainer)
    after = trainer.evaluate()
    trainer.save_model()
    if trainer.is_world_process_zero():
        for name in before:
            if not name.endswith(("runtime", "per_second", "_time", "epoch")):
                print(f"{name}: {before[name]:.3f} -> {after[name]:.3f}")


def main() -> None:
    settings, arguments = parse(ClapArguments, ClapTrainingArguments)
    folder = bundled_model(settings.model) if settings.model == "clap-tiny" else settings.model
    sounds = Path(settings.sounds)
    rows = [{**row, "audio": str(sounds / row["file_name"])} for row in read_metadata(sounds)]
    train, evaluation = hold_out(rows, settings.held_out, arguments.seed)
    print(f"{len(train)} clips for training, {len(evaluation)} for evaluation")

    processor, model = AutoProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder)
    if settings.from_scratch:
        model = AutoModel.from_config(model.config)
    if settings.freeze not in ("none", "audio", "text"):
        raise ValueError(f"`--freeze` is {settings.freeze!r}; expected none, audio or text.")
    if settings.freeze != "none":
        freeze(getattr(model, f"{settings.freeze}_model"))
    if settings.cached_chunk:
        print(f"{freeze_batch_norms(model)} batch norms keep their statistics, because of `cached_chunk`")
    crop = {"truncation": "random"} if settings.random_crops else {}
    trainer = ContrastiveTrainer(
        model,
        arguments,
        ClapCollator(processor, seed=arguments.seed, **crop),
        train_dataset=train,
        eval_dataset=evaluation,
        processing_class=processor,
        compute_metrics=retrieval_metrics,
        cached_chunk=settings.cached_chunk,
    )
    train_and_report(trainer)


if __name__ == "__main__":
    main()
