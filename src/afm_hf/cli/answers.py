"""What the commands of the models that answer in words share: options, tables of pairs, answers, output."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import FAILED, Dtype, dtype_for, progress_bar, short_path
from .kept import PATHS, KeptResults

PAIR = ("first", "second")


class TextFormat(str, Enum):
    """How answers are written."""

    TEXT = "text"
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files, or folders of them.")]
AnswererOption = Annotated[
    str | None,
    typer.Option("--model", help="A bundled model, a folder, or a Hub id.", show_default="a small bundled model"),
]
LengthOption = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="Tokens at most.", show_default="the model's own")
]
TextFormatOption = Annotated[TextFormat, typer.Option("--format", help="How answers are written to stdout.")]


def find_files(files: list[Path]) -> list[str]:
    from ..pipelines.audio_files import find_audio

    paths = find_audio(files)
    if not paths:
        raise ValueError("There are no audio files in the folders given.")
    return paths


def given(truncation: Any = None, **options: Any) -> dict[str, Any]:
    """What was given of a pipeline's options."""
    if truncation is not None:
        options["truncation"] = truncation.value
    return {name: value for name, value in options.items() if value is not None}


class Answers:
    """Answers of a pipeline, file by file; what cannot be used is named on stderr and counted."""

    def __init__(
        self,
        task: str,
        model: str | None,
        device: str | None,
        dtype: Dtype | None,
        options: dict[str, Any],
        batch_size: int,
        num_workers: int,
    ) -> None:
        from transformers.pipelines import PIPELINE_REGISTRY

        from ..hub.loading import check_model, load_pipeline, pick_device, resolve_model

        default = None if model else PIPELINE_REGISTRY.check_task(task)[1]["default"]["model"][0]
        source = default or resolve_model(str(model))
        place = pick_device(device)
        if model:
            check_model(task, model)
        picked = dtype_for(dtype, place)
        try:
            self.pipe: Any = load_pipeline(task, source, place, picked, **options)
        except OSError as error:
            raise OSError(f"The model {model!r} cannot be loaded: {error}") from error
        self.made_by = {"task": task, **options}
        self.how = {"batch_size": batch_size, "num_workers": num_workers, "on_error": "return"}
        self.failed = self.total = 0

    def write(
        self,
        rows: list[dict[str, str]],
        names: dict[str, str],
        output_format: TextFormat,
        answer: str,
        kept: KeptResults | None,
    ) -> None:
        """Answer, to stdout or to a file that is kept. Exit code 1 if anything was skipped.

        Args:
            rows: What the answers are about.
            names: What the parts of a result are called.
            output_format, answer: Of [`write_answers`].
            kept: The file, if there is one.
        """
        if kept is None:
            write_answers(self.of(rows, names), output_format, answer)
        else:
            from ..evaluation.digests import weights_digest

            kept.claim({**self.made_by, "names": names, "weights of the model": weights_digest(self.pipe.model)})
            left = kept.left(rows)
            kept.fill(left, self.results(left, names))
        self.end()

    def of(self, rows: list[dict[str, str]], names: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Each row with its answer, in one dictionary, with short paths."""
        for row, answer in self.results(rows, names):
            yield {**_with_short_paths(row), **answer}

    def results(
        self, rows: list[dict[str, str]], names: dict[str, str]
    ) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        """Each row and its answer; `names` says what the parts of a result are called."""
        from ..pipelines.pipeline_audio_inputs import Inputs

        self.total = len(rows)
        results = self.pipe(Inputs(self.inputs_of(rows)), **self.how)
        bar = progress_bar(zip(rows, results, strict=True), len(rows), leave=False)
        for row, result in bar:
            if isinstance(result, Exception):
                self.failed += 1
                what = " and ".join(_with_short_paths(row).values())
                bar.write(f"skipped {what}: {_reason(result)}", file=sys.stderr)
                continue
            result = result[0] if isinstance(result, list) else result
            yield row, {name: result[key] for name, key in names.items()}

    def inputs_of(self, rows: list[dict[str, str]]) -> list[Any]:
        """What the pipeline gets: a file, or a pair of files."""
        return [tuple(row.values()) if len(row) > 1 else row["file"] for row in rows]

    def end(self) -> None:
        """Exit code 1 if anything was skipped."""
        if self.failed:
            typer.echo(f"{self.failed} of {self.total} inputs could not be used.", err=True)
            raise typer.Exit(FAILED)


def _with_short_paths(row: dict[str, str]) -> dict[str, str]:
    return {name: short_path(value) if name in PATHS else value for name, value in row.items()}


def _reason(error: Exception) -> str:
    """What is wrong with a file, whose name is told already; of a pair also with which."""
    reason, hint = getattr(error, "reason", str(error)), getattr(error, "hint", None)
    source = getattr(error, "source", "")
    which = next((f"the {place} clip: " for place in PAIR if f"the {place} clip" in source), "")
    return f"{which}{reason}. {hint}" if hint else f"{which}{reason}"


# ---------------------------------------------------------------------------------------------------------------------
# Output
# ---------------------------------------------------------------------------------------------------------------------


def write_answers(rows: Iterable[dict[str, Any]], output_format: TextFormat, answer: str) -> None:
    """Write rows to stdout; all formats but `table` and `json` line by line, as they come."""
    if output_format is TextFormat.TABLE:
        _write_table(rows)
    elif output_format is TextFormat.JSON:
        typer.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
    elif output_format is TextFormat.JSONL:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    elif output_format is TextFormat.CSV:
        _write_csv(rows)
    else:
        for row in rows:
            files = [row[name] for name in PATHS if name in row]
            typer.echo("\t".join([*files, _one_line(row[answer])]))


def _write_csv(rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for index, row in enumerate(rows):
        flat = _flat(row)
        if index == 0:
            writer.writerow(flat)
        writer.writerow(flat.values())


def _write_table(rows: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for index, row in enumerate(rows):
        flat = _flat(row)
        if index == 0:
            for name in flat:
                table.add_column(name, overflow="fold")
        table.add_row(*map(Text, flat.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _flat(row: dict[str, Any]) -> dict[str, str]:
    """A row for tables: without lists, numbers with three digits."""
    return {name: _shown(name, value) for name, value in row.items() if not isinstance(value, list)}


def _shown(name: str, value: Any) -> str:
    if name in PATHS:
        return str(value)
    return f"{value:.3f}" if isinstance(value, float) else _one_line(str(value or ""))


def _one_line(text: str) -> str:
    """Without tabs and line breaks, which would look like other columns and rows."""
    return " ".join(text.split())


def read_pairs(path: Path, columns: Mapping[str, Sequence[str]], files: Sequence[str]) -> list[dict[str, str]]:
    """
    The rows of a table of pairs, under the first of the names that each column may have.

    Args:
        path: The table: `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet`.
        columns: For each column the names it may have in the table, ours first.
        files: The columns that name files; these lie where the table does, unless their paths are absolute.

    Raises:
        ValueError: if the table cannot be read, holds no pairs, lacks a column, or a cell is empty.
    """
    from ..data.tables.rows import read_rows

    rows: list[dict[str, str]] = []
    for row in read_rows(path):
        names = {ours: next((name for name in known if name in row.fields), ours) for ours, known in columns.items()}
        if absent := [name for name in names.values() if name not in row.fields]:
            expected = " and ".join(f"`{known[0]}`" for known in columns.values())
            raise ValueError(
                f"{path} has the columns {list(row.fields)}; expected {expected} ({absent[0]} is missing)."
            )
        texts = {ours: row.needed(name) for ours, name in names.items()}
        rows.append({ours: str(path.parent / text) if ours in files else text for ours, text in texts.items()})
    if not rows:
        raise ValueError(f"{path} holds no pairs.")
    return rows
