"""`afm-hf generalization`: what adapting on one benchmark does to the others."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..common import BatchOption, DeviceOption, FormatOption, OutputFormat, WorkersOption, csv_text, errors_for_users
from .common import folders_of

if TYPE_CHECKING:
    from ...evaluation.test_time_study import GeneralizationReport


def generalization(
    dataset: Annotated[
        list[str], typer.Option(help="NAME=FOLDER, as esc50=ESC-50-master; repeat it, two or more times.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A CLAP: a bundled model, a folder, or a Hub id.", show_default="the bundled one"),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips to adapt to at a time.")] = 1,
    draws: Annotated[int, typer.Option(min=1, help="Draws of such clips from every data set.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimiser.")] = 10,
    views: Annotated[int, typer.Option(min=1, help="Views of every clip that is adapted to.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many of the first rows of each.")] = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    num_workers: WorkersOption = 0,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Adapt on each data set to a few clips without labels, and measure on it and on all others.

    Gains are percentage points over the data set's own prompt. The clips that are adapted to are left out of their own
    data set's test. What a vector does to the others is what generality it costs.
    """
    with errors_for_users():
        from ...evaluation.generalization import generalization_on_benchmarks
        from ...hub.loading import check_model, pick_device, resolve_model

        folders = folders_of(dataset)
        check_model("test-time-adaptation", model or "clap-small")
        from transformers import pipeline

        folder = resolve_model(model or "clap-small")
        adapter = pipeline("test-time-adaptation", model=folder, device=pick_device(device))
        found, said = generalization_on_benchmarks(
            adapter,
            folders,
            clips=clips,
            draws=draws,
            seed=seed,
            limit=limit,
            batch_size=batch_size,
            num_workers=num_workers,
            steps=steps,
            views=views,
        )
        for words in said:
            typer.echo(words, err=True)
        typer.echo(_shown(found, output_format))


def _shown(report: "GeneralizationReport", output_format: OutputFormat) -> str:
    rows = [
        [name, report.zero_shot[name], gains[name], _others(gains, name)]
        for name, gains in sorted(report.gains.items())
    ]
    if output_format is OutputFormat.CSV:
        return csv_text(["adapted_on", "zero_shot", "gain", "gain_on_others"], rows)
    if output_format is not OutputFormat.TABLE:
        return report.to_json(indent=1 if output_format is OutputFormat.JSON else None)
    width = max(len("adapted on"), *map(len, report.gains))
    lines = [f"{'adapted on':{width}s}  zero-shot %  gain on it  gain on the others"]
    lines += [f"{name:{width}s}  {plain:11.2f}  {own:+10.2f}  {others:+18.2f}" for name, plain, own, others in rows]
    for words, (mean, low, high) in (("on the one adapted to", report.own), ("on the others", report.others)):
        lines.append(f"mean gain {words}: {mean:+.2f} points [{low:+.2f}, {high:+.2f}]")
    return "\n".join(lines)


def _others(gains: dict[str, float], name: str) -> float:
    rest = [gain for other, gain in gains.items() if other != name]
    return sum(rest) / len(rest)
