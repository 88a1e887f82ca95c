"""`afm-hf paper`: the numbers that the papers report."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from .common import errors_for_users

if TYPE_CHECKING:
    from ..evaluation.paper.figures import PaperFigure


class PaperFormat(str, Enum):
    """How reported numbers are written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def paper(
    system: Annotated[str | None, typer.Argument(help='A model, as "clap 23" or mellow.', show_default="all")] = None,
    task: Annotated[str | None, typer.Option(help="As zero-shot, captioning, mcq, difference.")] = None,
    dataset: Annotated[str | None, typer.Option(help="As esc50, audiocaps, mmau.")] = None,
    metric: Annotated[str | None, typer.Option(help="As accuracy, mAP, SPIDEr.")] = None,
    how: Annotated[
        bool, typer.Option("--how", help="For each the command that measures it, or why there is none.")
    ] = False,
    output_format: Annotated[
        PaperFormat, typer.Option("--format", help="How they are written to stdout.")
    ] = PaperFormat.TABLE,
) -> None:
    """Print the numbers that the papers report, with where they stand and what is doubtful about them."""
    with errors_for_users():
        from ..evaluation.paper import tables as paper_tables
        from ..evaluation.paper.figures import find

        found = find(system=system, task=task, dataset=dataset, metric=metric)
        if not found:
            names = {"system": system, "task": task, "dataset": dataset, "metric": metric}
            given = ", ".join(f"{name} {value!r}" for name, value in names.items() if value)
            raise ValueError(f"No reported figure has {given} together. Leave one out to see what there is.")
        if how:
            typer.echo("\n".join(_how(figure) for figure in found))
            return
        write = {
            PaperFormat.TABLE: paper_tables.as_text,
            PaperFormat.MARKDOWN: paper_tables.as_markdown,
            PaperFormat.JSON: paper_tables.as_json,
            PaperFormat.JSONL: paper_tables.as_jsonl,
            PaperFormat.CSV: paper_tables.as_csv,
        }[output_format]
        typer.echo(write(found))


def _how(figure: "PaperFigure") -> str:
    """A figure's name, and the command that measures it, or the reason why there is none."""
    from ..evaluation.paper.commands import way_to

    way = way_to(figure)
    command = f"afm-hf {way.command}" if way.command else "no command"
    return f"{figure.id}: {command}" + (f"  ({way.note})" if way.note else "")
