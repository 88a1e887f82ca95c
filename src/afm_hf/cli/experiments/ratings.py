"""`afm-hf experiment rating-sheet` and `rating-agreement`: what people say of the texts."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..common import FAILED, FormatOption, OutputFormat, errors_for_users
from .common import DatasetOption, DrawsOption, LimitOption, OutputOption, SeedOption, SplitOption, data_of, show

COLUMNS = {
    "criterion": "criterion",
    "system": "system",
    "items": "items",
    "ratings": "ratings",
    "value": "mean",
    "change": "more than the first",
    "alpha": "alpha",
}


class Rated(str, Enum):
    """What people can rate."""

    DIFFERENCE = "difference"
    CAPTIONING = "captioning"
    QUESTION_ANSWERING = "question-answering"


class Level(str, Enum):
    """What ratings are; as `LEVELS` of the metric."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"


def rating_sheet(
    system: Annotated[
        list[str], typer.Option(help="NAME=RUN, the output folder of `afm-hf evaluate` of a system; repeat it.")
    ],
    dataset: DatasetOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for sheet.html, sheet.csv and key.csv.")],
    task: Annotated[Rated, typer.Option(help="What the runs evaluated.")] = Rated.DIFFERENCE,
    items: Annotated[int, typer.Option(min=1, help="How many items are drawn.")] = 20,
    reference: Annotated[bool, typer.Option("--reference", help="Put the reference among the systems.")] = False,
    title: Annotated[str, typer.Option(help="Of the page.")] = "How good are these texts?",
    split: SplitOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write a blind, shuffled sheet on which people rate what systems said: a page that works offline, and a CSV.

    Raters open sheet.html, listen, rate with mouse or keys, and save a CSV; or they fill in sheet.csv. key.csv tells
    which system wrote what: keep it to yourself. `afm-hf experiment rating-agreement` reads what comes back.
    """
    with errors_for_users():
        from ...evaluation.experiments.rating_sheet import rating_sheet as write_sheet
        from .common import folders_of

        (data,) = data_of([dataset], split, limit)
        made = write_sheet(
            task.value,
            data,
            folders_of(system, "--system"),
            output,
            items=items,
            reference=reference,
            seed=seed,
            title=title,
        )
        typer.echo(f"{made.texts} texts about {made.items} items: {made.page}, or {made.table}")
        typer.echo(f"which system wrote what: {made.key} (not for raters)")
        for name, reason in made.left_out.items():
            typer.echo(f"skipped {name}: {reason}", err=True)
        if made.left_out:
            raise typer.Exit(FAILED)


def rating_agreement(
    sheets: Annotated[list[Path], typer.Argument(metavar="CSV...", help="The filled sheets, one for each rater.")],
    key: Annotated[Path, typer.Option(help="key.csv of the sheet.")],
    output: OutputOption,
    level: Annotated[Level, typer.Option(help="What ratings are, for Krippendorff's alpha.")] = Level.ORDINAL,
    bootstrap: DrawsOption = 1000,
    seed: SeedOption = 0,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Read filled sheets: how far raters agree, and the mean rating of each system with its interval.

    Krippendorff's alpha is 1 where all agree and 0 where they agree as chance would. Means and differences of systems
    have bootstrap intervals over the items.
    """
    with errors_for_users():
        from ...evaluation.experiments.rating_agreement import rating_agreement as read_sheets

        found = read_sheets(sheets, key, output, level=level.value, draws=bootstrap, seed=seed)
        show(found, output_format, COLUMNS, output)
