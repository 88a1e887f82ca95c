"""`afm-hf evaluate`: a model on a benchmark, beside what the papers report."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    FAILED,
    BatchOption,
    DeviceOption,
    DtypeOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    csv_text,
    dtype_for,
    errors_for_users,
    is_quiet,
)
from .matching.labels import TEMPLATE_HELP, read_templates

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.runner import EvaluationResult
    from ..evaluation.task import Item, Task


class TaskName(str, Enum):
    """What can be evaluated; as `afm_hf.evaluation.tasks_by_name.RECIPES`, which would import torch."""

    ZERO_SHOT = "zero-shot"
    LINEAR_PROBE = "linear-probe"
    FINE_TUNE = "fine-tune"
    RETRIEVAL = "retrieval"
    CAPTIONING = "captioning"
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"
    MMAU = "mmau"
    CLOTHO_AQA = "clotho-aqa"
    CLOSED = "closed"
    DIFFERENCE = "difference"
    ENTAILMENT = "entailment"
    ENTAILMENT_PROBE = "entailment-probe"
    QUALITY = "quality"
    ADAPTATION = "adaptation"


class Control(str, Enum):
    """What stands in place of the clips; as `CONTROLS` of the runner."""

    NOISE = "noise"
    SILENCE = "silence"
    SWAPPED = "swapped"


class Scoring(str, Enum):
    """How closed tasks are scored; as `SCORINGS` of the task."""

    MATCHING = "matching"
    LIKELIHOOD = "likelihood"
    BOTH = "both"


def evaluate(
    task: Annotated[TaskName, typer.Option(help="What is evaluated.")],
    dataset: Annotated[
        str, typer.Option(help="esc50, clotho, mmau, ..., folder, label-folders; a wrong name lists them all.")
    ],
    data_dir: Annotated[Path, typer.Option(help="The dataset's folder, as downloaded.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for predictions and result.")],
    model: Annotated[
        str | None,
        typer.Option(help="A bundled model, a folder, or a Hub id.", show_default="the bundled one that fits"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the dataset.", show_default="the papers'")] = None,
    template: Annotated[list[str] | None, typer.Option(help=TEMPLATE_HELP, show_default="the papers'")] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="For closed: what is asked.", show_default="Pengi's own for the dataset, or the model's"),
    ] = None,
    scoring: Annotated[
        Scoring | None,
        typer.Option(
            help="For closed: how labels are found; likelihood for entailment, too.",
            show_default="matching, as the papers",
        ),
    ] = None,
    similarity_model: Annotated[
        str | None,
        typer.Option(help="For closed: the CLAP that matches answers with labels.", show_default="the bundled one"),
    ] = None,
    adapt_clips: Annotated[
        int | None,
        typer.Option(
            min=0, help="For adaptation: clips of the domain to learn from, 0 for each clip alone.", show_default="1"
        ),
    ] = None,
    adapt_draws: Annotated[
        int | None, typer.Option(min=1, help="For adaptation: draws of such clips.", show_default="5")
    ] = None,
    captioner: Annotated[
        str | None, typer.Option(help="For entailment-probe: a model that captions every clip first.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="For fine-tune: of each training.", show_default="30")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="For fine-tune: of all weights.", show_default="0.0001")
    ] = None,
    control: Annotated[
        Control | None, typer.Option(help="What the model hears in place of the clips: is listening needed?")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of the first rows.")] = None,
    draws: Annotated[int, typer.Option(min=0, help="Bootstrap draws for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap, and of a control.")] = 0,
    truncation: TruncationOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
    output_format: Annotated[
        OutputFormat, typer.Option("--format", help="How figures are written to stdout.")
    ] = OutputFormat.TABLE,
) -> None:
    """Evaluate a model on a benchmark and print its figures, the papers', and the difference.

    Figures on a part of a benchmark (--limit, missing labels or clips, another split) are called partial, and no
    figures of papers stand beside them. Labels that the benchmark does not have are refused.
    Stopped at any moment, the same command goes on. Clips that cannot be used are listed and in no figure; the exit
    code is then 1. --control asks the same with Gaussian noise (as long and as loud), next to silence, or the clips of
    other items in place of the clips: what is still right is not heard.
    With `torchrun --no-python --nproc_per_node 2 afm-hf evaluate ...` processes share the clips.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from ..evaluation.benchmark import split_in_papers
        from ..evaluation.controls import controlled_items
        from ..evaluation.runner import run
        from ..evaluation.tasks_by_name import items_for
        from ..hub.loading import pick_device
        from ..models.common.writing_afm import check_folder

        check_folder(output, "the evaluation")
        items, benchmark, report = items_for(task.value, dataset, str(data_dir), split, limit)
        if report.skipped or report.notes:
            typer.echo(str(report), err=True)
        options: dict[str, Any] = {"batch_size": batch_size, "num_workers": num_workers}
        options |= {"epochs": epochs, "learning_rate": learning_rate, "folder": output / "classifiers"}
        if truncation:
            options["truncation"] = truncation.value
        options |= {"prompt": prompt, "scoring": scoring and scoring.value, "similarity_model": similarity_model}
        options |= {"clips": adapt_clips, "draws": adapt_draws}
        options |= {"captioner": captioner, "premise": "both"} if captioner else {}
        if dtype:
            options["dtype"] = dtype_for(dtype, pick_device(device))
        made = _task(task, items, benchmark, str(data_dir), model, read_templates(template), device, options)
        if control:
            show = not is_quiet()
            items = controlled_items(task.value, items, control.value, output, seed=seed, progress=show)
        result = run(
            made,
            items,
            output,
            dataset=dataset,
            overwrite=overwrite,
            draws=draws,
            seed=seed,
            progress=not is_quiet(),
            partial=benchmark.partial,
            split=split_in_papers(benchmark, task.value, split),
            skipped=report.skipped,
            notes=benchmark.notes,
            control=control.value if control else "",
        )
        if result is None:  # another process has it
            return
        typer.echo(_shown(result, output_format))
        for name, reason in result.failures.items():
            typer.echo(f"skipped {name}: {reason}", err=True)
        if result.failures or report.skipped:
            raise typer.Exit(FAILED)


def _task(
    task: TaskName,
    items: "list[Item]",
    benchmark: "Benchmark",
    data_dir: str,
    model: str | None,
    templates: list[str] | None,
    device: str | None,
    options: dict[str, Any],
) -> "Task":
    """The task with its model."""
    from ..evaluation.tasks_by_name import build_task
    from ..hub.loading import resolve_model

    others = {name: options[name] for name in ("similarity_model", "captioner") if options.get(name)}
    options = {**options, **{name: resolve_model(other) for name, other in others.items()}}
    return build_task(task.value, items, benchmark, data_dir, model, device, templates=templates, **options)


def _shown(result: "EvaluationResult", output_format: OutputFormat) -> str:
    if output_format is OutputFormat.TABLE:
        return _table(result)
    if output_format is OutputFormat.CSV:
        return _csv(result)
    return result.to_json(indent=1 if output_format is OutputFormat.JSON else None)


def _csv(result: "EvaluationResult") -> str:
    """A line for each figure: of what, how much, and its interval where it has one."""
    from ..evaluation.provenance import left_out

    columns = ["task", "dataset", "split", "model", "revision", "asked", "metric", "value", "low", "high"]
    columns += ["clips", "left_out", "partial"]
    made = [str(result.settings.get(name) or "") for name in ("model", "revision")]
    made = [result.task, result.dataset, result.split, *made, " / ".join(result.asked)]
    counts = (result.count, left_out(result), "; ".join(result.partial))
    rows = (
        [*made, name, value, *(result.intervals.get(name) or ("", "")), *counts]
        for name, value in result.metrics.items()
    )
    return csv_text(columns, rows)


def _table(result: "EvaluationResult") -> str:
    """Figures with their intervals, and the papers' figures of the same task, dataset, split and metric."""
    from ..evaluation.paper.reported import notes_in_words, partial_in_words, reported
    from ..evaluation.provenance import left_out, provenance

    papers = reported(result)
    part = " (partial)" if result.partial else ""
    lines = [f"{result.task} on {result.dataset}{part}: {result.count} clips, {left_out(result)} left out"]
    lines += [f"  {provenance(result)}", *(f"  {words}" for words in notes_in_words(result))]
    lines += [f"  {partial_in_words(result)}"] if result.partial else []
    for name, value in result.metrics.items():
        interval = result.intervals.get(name)
        spread = f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
        lines.append(f"  {name:28s} {value:.4f}{spread}")
        lines += [f"    {row}" for row in papers.get(name, [])]
    for name, figures in result.details.get("baselines", {}).items():
        lines.append(f"  without listening, {name}: " + ", ".join(f"{key} {each:.4f}" for key, each in figures.items()))
    lines += [f"  {name} left out: {why}" for name, why in result.details.get("left_out", {}).items()]
    return "\n".join(lines)
