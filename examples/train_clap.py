"""Contrastive training of CLAP on clips with captions, with `Trainer`.

    python examples/train_clap.py --data examples/sounds --output_dir clap --max_steps 40
    python examples/train_clap.py --data examples/sounds --output_dir clap --freeze text --cached_chunk 8
    python examples/train_clap.py --dataset clotho --data clotho --output_dir clap
    python examples/train_clap.py --dataset clotho=0.5 audiocaps=0.3 --data clotho audiocaps --output_dir clap
    python examples/train_clap.py --dataset shards --data shards/clap-2022 --output_dir clap
    python examples/train_clap.py examples/configs/clap.yaml
    torchrun --nproc_per_node 2 examples/train_clap.py --data examples/sounds --output_dir clap --use_cpu

`--dataset` and what goes with it is in recipes.py; of data with labels alone a caption is made. Loss and retrieval on
held-out clips are computed before, during and after training. All arguments of `TrainingArguments` work, among them
`--report_to`, `--bf16` and `--gradient_checkpointing`; settings may come from a YAML or JSON file. A run that was
stopped at whatever moment goes on from its newest complete checkpoint when it is started again.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from recipes import DataArguments, changed, mixed_parts, parse, set_up_streams, size_of, train_and_report
from transformers import AutoModel, AutoProcessor, TrainingArguments, set_seed

import afm_hf  # noqa: F401  (the Auto classes learn of the models)
from afm_hf.data import load_templates
from afm_hf.hub.loading import resolve_model
from afm_hf.training.collators import ClapCollator
from afm_hf.training.contrastive_trainer import ContrastiveTrainer, retrieval_metrics
from afm_hf.training.freezing import freeze, freeze_batch_norms


@dataclass
class ClapArguments:
    """What is trained."""

    model: str = field(default="clap-small", metadata={"help": "folder, Hub id, or a bundled model's name"})
    from_scratch: bool = field(default=False, metadata={"help": "only the model's sizes, with random weights"})
    freeze: str = field(default="none", metadata={"help": "tower that stands still: none, audio or text"})
    cached_chunk: int | None = field(
        default=None, metadata={"help": "pairs embedded at a time, for batches beyond memory; fixes batch norms"}
    )
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


def with_caption(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with the papers' prompt about its labels if it has no captions."""
    if row.get("captions"):
        return row
    labels = [row["label"]] if row.get("label") else row.get("labels")
    if not labels:
        raise ValueError(f"{row['source']}: a row has neither captions nor labels, but {', '.join(row)}.")
    return {**row, "captions": [load_templates("zero_shot")["sound"]["prompt"].format(label) for label in labels]}


def main() -> None:
    settings, source, arguments = parse(ClapArguments, DataArguments, ClapTrainingArguments)
    folder = resolve_model(settings.model)
    train, evaluation = mixed_parts(source, arguments.seed, partial(changed, change=with_caption))
    train, evaluation = set_up_streams(arguments, source, train, evaluation)
    print(f"{size_of(train)} clips for training, {size_of(evaluation)} for evaluation")

    set_seed(arguments.seed)  # before the model is made: with `--from_scratch` its weights are random
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
