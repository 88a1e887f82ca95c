"""`afm-hf suite`: all tasks on a folder of labelled clips, and the report."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .common import FAILED, DeviceOption, DtypeOption, dtype_for, errors_for_users, note


def suite(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for predictions, results and the report.")],
    sounds: Annotated[
        Path | None,
        typer.Option(help="A folder with metadata.csv: file_name, label, caption.", show_default="the bundled clips"),
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="One of its tasks; repeat it.", show_default="all")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="TASK=MODEL; repeat it.", show_default="the bundled models")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, help="Bootstrap draws for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of questions, pairs and bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips per forward pass.")] = 16,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
) -> None:
    """Run zero-shot, retrieval, captioning, questions, differences, entailment, quality and adaptation on clips.

    Questions and pairs are made of the labels. Beside each figure stand a trivial answer and the same model with the
    audio of other clips. Stopped at any moment, the same command goes on. In the end report.html and report.md are
    written. Tasks that the clips are not fit for are named and left out. The exit code is 1 if that was a task asked
    for, or clips could not be used.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from ..evaluation.report.writing import main_metric, write_report
        from ..evaluation.suite.running import run_suite
        from ..hub.loading import pick_device
        from ..models.common.writing_afm import check_folder

        check_folder(output, "the suite")
        words = ["afm-hf", "suite", "--output", _shown(output), *(["--sounds", _shown(sounds)] if sounds else [])]
        words += [word for name in task or [] for word in ("--task", name)]
        words += [word for name in model or [] for word in ("--model", name)]
        words += ["--dtype", dtype.value] if dtype else []
        words += ["--seed", str(seed)] if seed else []
        found = run_suite(
            output,
            sounds,
            task or None,
            _models(model or []),
            batch_size=batch_size,
            device=device,
            dtype=dtype_for(dtype, pick_device(device)),
            overwrite=overwrite,
            draws=draws,
            seed=seed,
            command=shlex.join(words),
        )
        if not found.results:  # another process has them
            return
        few = (
            "" if found.clips >= 100 else " These are few: the intervals are wide, and small differences mean nothing."
        )
        introduction = (
            f"The suite of afm-hf on {found.clips} clips ({found.sounds}). Questions, pairs and controls are made of "
            f"their labels; the models were not told.{few} {found.left_out}"
        )
        for name, why in found.skipped.items():
            introduction += f" Left out was {name}: {why}"
        page = write_report(found.results, output, title="Evaluation suite", introduction=introduction)
        if few:
            note(f"{found.clips} clips.{few}")
        for result in found.results:
            name = main_metric(result)
            baselines = result.details["baselines"].items()
            others = ", ".join(f"{base} {figures[name]:.3f}" for base, figures in baselines if name in figures)
            typer.echo(f"{result.task:22s} {name:24s} {result.metrics[name]:.3f}   ({others})")
        typer.echo(str(page))
        if found.left_out:
            typer.echo(found.left_out, err=True)
        failures = {f"{r.task} {clip}": why for r in found.results for clip, why in r.failures.items()}
        for name, why in {**found.skipped, **failures}.items():
            typer.echo(f"skipped {name}: {why}", err=True)
        if (found.skipped and task) or found.left_out or failures:
            raise typer.Exit(FAILED)


def _shown(path: Path) -> str:
    """A path without the folders of one's machine."""
    return path.name if path.is_absolute() else str(path)


def _models(given: list[str]) -> dict[str, str]:
    """`TASK=MODEL` as a dictionary."""
    wrong = [each for each in given if "=" not in each]
    if wrong:
        raise ValueError(f"--model is {wrong[0]!r}; expected TASK=MODEL, as captioning=mellow-small.")
    return {name: model for name, _, model in (each.partition("=") for each in given)}
