"""What the experiments' commands share: options, folders of benchmarks, how tables are shown."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common import (
    FAILED,
    BatchOption,
    DeviceOption,
    FormatOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    declared,
    is_quiet,
    note,
)

if TYPE_CHECKING:
    from ...evaluation.experiments.measuring import Data
    from ...evaluation.experiments.results import ExperimentResult

DatasetsOption = Annotated[
    list[str], typer.Option("--dataset", help="NAME=FOLDER, as esc50=ESC-50-master or folder=my-clips; repeat it.")
]
DatasetOption = Annotated[
    str, typer.Option("--dataset", help="NAME=FOLDER, as clotho=clotho or folder=my-clips; a wrong name lists them.")
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="A folder for the table (JSON, CSV), the picture and the runs.")
]
ClapOption = Annotated[
    str | None,
    typer.Option("--model", help="A CLAP: a bundled model, a folder, or a Hub id.", show_default="clap-small"),
]
SplitOption = Annotated[str | None, typer.Option("--split", help="Of the dataset.", show_default="the papers'")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only so many of the first rows of each.")]
DrawsOption = Annotated[int, typer.Option("--bootstrap", min=0, help="Draws for the intervals.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of all that is drawn.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")]
EpochsOption = Annotated[
    float | None, typer.Option(min=0.01, help="For fine-tune: of each training.", show_default="30")
]
LearningRateOption = Annotated[
    float | None, typer.Option(min=1e-9, help="For fine-tune: of all weights.", show_default="0.0001")
]
GOES_ON = "Interrupted. The same command (without --overwrite) goes on from here."


def folders_of(given: Sequence[str], option: str = "--dataset") -> dict[str, str]:
    """
    `NAME=FOLDER` as a dictionary.

    Raises:
        ValueError: a word has another form, names a folder that is not there, or a name comes twice.
    """
    folders: dict[str, str] = {}
    for word in given:
        name, sign, folder = word.partition("=")
        if not sign or not name or not Path(folder).is_dir():
            raise ValueError(f"`{option}` is {word!r}; expected NAME=FOLDER with a folder that is there.")
        if name in folders:
            raise ValueError(f"`{option}` names {name!r} twice.")
        folders[name] = folder
    return folders


def data_of(given: Sequence[str], split: str | None = None, limit: int | None = None) -> "list[Data]":
    """The benchmarks that a command names."""
    from ...evaluation.experiments.measuring import Data

    return [Data(name, folder, split, limit) for name, folder in folders_of(given).items()]


@dataclass(frozen=True)
class Running:
    """How an experiment runs: the options that all of them have, each a field with the default of the option."""

    split: SplitOption = None
    limit: LimitOption = None
    bootstrap: DrawsOption = 1000
    seed: SeedOption = 0
    truncation: TruncationOption = None
    batch_size: BatchOption = 8
    device: DeviceOption = None
    num_workers: WorkersOption = 0
    overwrite: OverwriteOption = False
    output_format: FormatOption = OutputFormat.TABLE

    def data(self, given: Sequence[str]) -> "list[Data]":
        """The benchmarks that a command names, the part of them that is asked for."""
        return data_of(given, self.split, self.limit)

    def options(self, **own: Any) -> dict[str, Any]:
        """Arguments that the function of every experiment takes, and those of `own` that are given."""
        shared = {
            "draws": self.bootstrap,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "device": self.device,
            "num_workers": self.num_workers,
            "overwrite": self.overwrite,
            "progress": not is_quiet(),
        }
        given = {"truncation": self.truncation and self.truncation.value, **own}
        return {**shared, **{name: value for name, value in given.items() if value is not None}}

    def show(self, result: "ExperimentResult", columns: Mapping[str, str], folder: Path) -> None:
        """Prints the table as `--format` says, see [`show`]."""
        show(result, self.output_format, columns, folder)


def with_running(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of [`Running`], which reach it as its argument `running`."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        shared = {field.name: kwargs.pop(field.name) for field in fields(Running)}
        command(*args, running=Running(**shared), **kwargs)

    options = {field.name: (field.type, field.default) for field in fields(Running)}
    return declared(run, command, options, in_place_of="running")


def show(result: "ExperimentResult", output_format: OutputFormat, columns: Mapping[str, str], folder: Path) -> None:
    """
    Prints the table, what it shows, and where the files are; the exit code is 1 where clips were left out.

    Args:
        result: Of an experiment.
        output_format: How.
        columns: Which columns the table for people has, and how each is called there.
        folder: Where the files are.
    """
    from ...evaluation.experiments.results import as_csv

    if output_format is OutputFormat.TABLE:
        typer.echo("\n".join(table_lines(result.rows, columns)))
        for words in result.said:
            typer.echo(words)
    elif output_format is OutputFormat.CSV:
        typer.echo(as_csv(result.rows))
    elif output_format is OutputFormat.JSONL:
        typer.echo("\n".join(json.dumps(row, ensure_ascii=False) for row in result.to_dict()["rows"]))
    else:
        typer.echo(result.to_json(indent=1))
    partial = dict.fromkeys(f"{row['dataset']}: {row['partial']}" for row in result.rows if row.get("partial"))
    for words in partial:
        note(f"partial: {words}")
    for words in result.notes:
        note(f"note: {words}")
    note(f"{result.experiment}.json, .csv, .png and .svg are in {folder}")
    if lost := max((int(row.get("left_out") or 0) for row in result.rows), default=0):
        typer.echo(f"{lost} clips were left out; the results in {folder} name them.", err=True)
        raise typer.Exit(FAILED)


def table_lines(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[str]:
    """A table for people: numbers with their intervals, words to the left."""
    cells = [list(columns.values()), *([_cell(row, name) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    is_number = [any(isinstance(row.get(name), int | float) for row in rows) for name in columns]
    return [
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in cells
    ]


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if name == "value":
        low, high = row.get("low"), row.get("high")
        spread = "" if low is None or high is None else f" [{low:.4f}, {high:.4f}]"
        return f"{value:.4f}{spread}"
    if name in ("change", "gap"):
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        spread = "" if low is None or high is None else f" [{low:+.2f}, {high:+.2f}]"
        return f"{value:+.2f}{spread}"
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.4g}"
