"""`afm-hf compare`: two models on the same clips."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    FAILED,
    BatchOption,
    DeviceOption,
    DtypeOption,
    FormatOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    csv_text,
    dtype_for,
    errors_for_users,
)
from .evaluate import TaskName

if TYPE_CHECKING:
    from ..evaluation.comparison import Comparison


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A bundled model, a folder, or a Hub id.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    task: Annotated[TaskName, typer.Option(help="What is evaluated.")],
    dataset: Annotated[str, typer.Option(help="As of afm-hf evaluate.")],
    data_dir: Annotated[Path, typer.Option(help="The dataset's folder, as downloaded.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for predictions and comparison.")],
    split: Annotated[str | None, typer.Option(help="Of the dataset.", show_default="the papers'")] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="Sentence with {} for labels; repeat it.", show_default="the papers'")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of the first rows.")] = None,
    draws: Annotated[int, typer.Option(min=0, help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    truncation: TruncationOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Compare two models on a benchmark: both figures, and the difference with interval and p-value.

    Only clips that both could predict count. The interval is of the paired bootstrap: both models are resampled
    together. Stopped at any moment, the same command goes on.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from ..evaluation.comparison import compare as compare_tasks
        from ..evaluation.tasks_by_name import RECIPES, build_task, items_for
        from ..hub.loading import check_model, pick_device
        from ..models.common.writing_afm import check_folder

        check_folder(output, "the comparison")
        for model in (first, second):
            check_model(RECIPES[task.value].pipeline, model)
        items, benchmark, report = items_for(task.value, dataset, str(data_dir), split, limit)
        if report.skipped:
            typer.echo(str(report), err=True)
        options: dict[str, Any] = {"batch_size": batch_size, "num_workers": num_workers, "templates": template}
        if truncation:
            options["truncation"] = truncation.value
        if dtype:
            options["dtype"] = dtype_for(dtype, pick_device(device))
        one, other = (
            build_task(task.value, items, benchmark, str(data_dir), model, device, **options)
            for model in (first, second)
        )
        options = {"overwrite": overwrite, "draws": draws, "seed": seed, "partial": benchmark.partial}
        result = compare_tasks(one, other, items, output, dataset=dataset, **options)
        if result is None:  # another process has it
            return
        typer.echo(_shown(result, output_format))
        for name, reason in result.left_out.items():
            typer.echo(f"skipped {name}: {reason}", err=True)
        if result.left_out or report.skipped:
            raise typer.Exit(FAILED)


def _shown(result: "Comparison", output_format: OutputFormat) -> str:
    if output_format is OutputFormat.TABLE:
        return _table(result)
    if output_format is not OutputFormat.CSV:
        return result.to_json(indent=1 if output_format is OutputFormat.JSON else None)
    columns = ("first", "second", "difference", "low", "high", "p_value")
    return csv_text(
        ["metric", *columns], ([name, *(row.get(c, "") for c in columns)] for name, row in result.metrics.items())
    )


def _table(result: "Comparison") -> str:
    names = [result.first, result.second]
    if names[0] == names[1]:
        names = ["A", "B"]
    width = max(8, *map(len, names))
    left_out = f", {len(result.left_out)} left out" if result.left_out else ""
    part = " (partial)" if result.partial else ""
    lines = [f"{result.task} on {result.dataset}{part}: {result.count} clips that both could predict{left_out}"]
    lines += [f"  Partial: {'; '.join(result.partial)}."] if result.partial else []
    lines.append(f"  {'':28s} {names[0]:>{width}s} {names[1]:>{width}s} {'A - B':>8s}  95 % interval       p")
    for name, row in result.metrics.items():
        line = f"  {name:28s} {row['first']:{width}.4f} {row['second']:{width}.4f} {row['difference']:+8.4f}"
        if "low" in row:
            line += f"  [{row['low']:+.4f}, {row['high']:+.4f}]  {row['p_value']:.3f}"
        lines.append(line)
    return "\n".join(lines)
