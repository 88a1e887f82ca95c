"""Ranked results: what the commands with scores share."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from .common import (
    OutputFormat,
    short_path,
)

Results = Iterable[tuple[str, list[dict[str, Any]]]]  # (file or query, its entries with a score, best first)


def write_ranked(
    results: Results,
    output_format: OutputFormat,
    subject: str,
    item: str,
    columns: Sequence[str] = (),
    in_table: Sequence[str] = (),
) -> None:
    """Write results to stdout; all formats but the table line by line, as they come.

    Args:
        results: What is ranked, with the entries of each.
        output_format: How.
        subject, item: What the ranked, and what each of its entries, is called.
        columns: What entries have beside a score; JSON has whatever there is.
        in_table: Those of them that the table shows.
    """
    results = _with_short_paths(results, item)
    if output_format is OutputFormat.TABLE:
        _write_table(results, subject, item, in_table)
    elif output_format is OutputFormat.JSON:
        typer.echo(json.dumps([{subject: name, "results": entries} for name, entries in results], indent=2))
    elif output_format is OutputFormat.JSONL:
        for name, entries in results:
            typer.echo(json.dumps({subject: name, "results": entries}))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([subject, item, "score", *columns])
        for name, entries in results:
            for entry in entries:
                said = (_cell(entry.get(column)) for column in columns)
                writer.writerow([name, entry[item], f"{entry['score']:.6f}", *said])


def _with_short_paths(results: Results, item: str) -> Results:
    for name, entries in results:
        yield short_path(name), [{**entry, item: short_path(entry[item])} for entry in entries]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _write_table(results: Results, subject: str, item: str, columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(subject, overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column(item, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, entries in results:
        for rank, entry in enumerate(entries):
            first = Text("" if rank else name)
            said = (Text("" if entry[column] is None else f"{entry[column]:.2f}") for column in columns)
            table.add_row(first, f"{entry['score']:.3f}", Text(entry[item]), *said)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
