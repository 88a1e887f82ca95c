"""`afm-hf report`: what evaluations gave, as a page to read."""

from pathlib import Path
from typing import Annotated

import typer

from .common import errors_for_users


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_FOLDER...", help="Output folders of `afm-hf evaluate`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for report.html and report.md.")],
    title: Annotated[str, typer.Option(help="Of the report.")] = "Evaluation report",
) -> None:
    """Write a report of evaluations: tables, plots, failures, settings.

    report.html is one file that needs nothing else; report.md has its plots beside it. A folder of several runs gives
    all of them.
    """
    with errors_for_users():
        from ..evaluation.report.writing import read_results, write_report
        from ..models.common.writing_afm import check_folder

        check_folder(output, "the report")
        results = read_results(runs)
        page = write_report(results, output, title=title)
        typer.echo(
            f"{len(results)} result{'s' if len(results) > 1 else ''} in {page} and {page.with_suffix('.md').name}"
        )
