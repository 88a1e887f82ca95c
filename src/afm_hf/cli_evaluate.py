"""`afm-hf evaluate`: a model on a benchmark, beside what the papers report."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_common import (
    FAILED,
    BatchOption,
    DeviceOption,
    ModelOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    errors_for_users,
)

if TYPE_CHECKING:
    from .evaluation.datasets import Benchmark
    from .evaluation.runner import EvaluationResult
    from .evaluation.task import Item, Task


class TaskName(str, Enum):
    """What can be evaluated."""

    ZERO_SHOT = "zero-shot"
    RETRIEVAL = "retrieval"
    CAPTIONING = "captioning"
    QUESTION_ANSWERING = "question-answering"


def evaluate(
    task: Annotated[TaskName, typer.Option(help="What is evaluated.")],
    dataset: Annotated[
        str, typer.Option(help="esc50, urbansound8k, fsd50k, clotho, audiocaps, folder, label-folders.")
    ],
    data_dir: Annotated[Path, typer.Option(help="The dataset's folder, as downloaded.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for predictions and result.")],
    model: ModelOption = "clap-tiny",
    split: Annotated[str | None, typer.Option(help="Of the dataset.", show_default="the papers'")] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="Sentence with {} for labels; repeat it.", show_default="the papers'")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of the first rows.")] = None,
    draws: Annotated[int, typer.Option(min=0, help="Bootstrap draws for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    truncation: TruncationOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    num_workers: WorkersOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
    output_format: Annotated[OutputFormat, typer.Option("--format", help="table or json.")] = OutputFormat.TABLE,
) -> None:
    """Evaluate a model on a benchmark and print its figures, the papers', and the difference.

    Stopped at any moment, the same command goes on. Clips that cannot be used are listed and in no figure; the exit
    code is then 1. With `torchrun --no-python --nproc_per_node 2 afm-hf evaluate ...` processes share the clips.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from .evaluation.datasets import load_items
        from .evaluation.runner import run

        items, benchmark, report = load_items(dataset, str(data_dir), task.value, split, limit)
        if report.skipped:
            typer.echo(str(report), err=True)
        options: dict[str, Any] = {"batch_size": batch_size, "num_workers": num_workers}
        if truncation:
            options["truncation"] = truncation.value
        made = _task(task, items, benchmark, str(data_dir), model, template, device, options)
        result = run(made, items, output, dataset=dataset, overwrite=overwrite, draws=draws, seed=seed)
        if result is None:  # another process has it
            return
        typer.echo(result.to_json(indent=1) if output_format is OutputFormat.JSON else _table(result, benchmark.paper))
        for name, reason in result.failures.items():
            typer.echo(f"skipped {name}: {reason}", err=True)
        if result.failures or report.skipped:
            raise typer.Exit(FAILED)


def _task(
    task: TaskName,
    items: "list[Item]",
    benchmark: "Benchmark",
    data_dir: str,
    model: str,
    templates: list[str] | None,
    device: str | None,
    options: dict[str, Any],
) -> "Task":
    """The task with its model."""
    from transformers import pipeline

    from .evaluation.answers import CaptionTask, QuestionTask
    from .evaluation.datasets import labels_of
    from .evaluation.retrieval import RetrievalTask
    from .evaluation.zero_shot import ZeroShotTask
    from .retrieval import pick_device, resolve_model

    where, place = resolve_model(model), pick_device(device)
    if task in (TaskName.ZERO_SHOT, TaskName.RETRIEVAL):
        pipe = pipeline("zero-shot-audio-classification", model=where, device=place)
        if task is TaskName.RETRIEVAL:
            return RetrievalTask(pipe, **options)
        labels = labels_of(items, benchmark, data_dir)
        asked = templates or benchmark.templates
        return ZeroShotTask(pipe, labels, asked, multi_label=benchmark.multi_label, **options)
    if task is TaskName.CAPTIONING:
        return CaptionTask(pipeline("audio-captioning", model=where, device=place), **options)
    return QuestionTask(pipeline("audio-question-answering", model=where, device=place), **options)


# Our names of metrics -> task and metric in the papers' figures.
_REPORTED = {
    "bleu_4": ("captioning", "BLEU-4"),
    "meteor": ("captioning", "METEOR"),
    "spice": ("captioning", "SPICE"),
    "spider": ("captioning", "SPIDEr"),
    "audio to text recall@1": ("audio-to-text-retrieval", "R@1"),
    "audio to text map@10": ("audio-to-text-retrieval", "mAP@10"),
    "text to audio recall@1": ("text-to-audio-retrieval", "R@1"),
    "text to audio map@10": ("text-to-audio-retrieval", "mAP@10"),
}


def _table(result: "EvaluationResult", paper_name: str) -> str:
    """Figures with their intervals, and the papers' figures of the same task and dataset."""
    from .evaluation.paper import difference, find

    lines = [f"{result.task} on {result.dataset}: {result.count} clips, {len(result.failures)} left out"]
    for name, value in result.metrics.items():
        interval = result.intervals.get(name)
        spread = f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
        lines.append(f"  {name:28s} {value:.4f}{spread}")
        if paper_name:
            task, metric = _REPORTED.get(name, (result.task, name))
            found = find(task=task, dataset=paper_name, metric=metric, variant="", missing_ok=True)
            lines += [f"    {difference(value, row)}" for row in found]
    lines += [f"  {name} left out: {why}" for name, why in result.details.get("left_out", {}).items()]
    return "\n".join(lines)
