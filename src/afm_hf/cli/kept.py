"""`--output FILE.jsonl`: results kept line by line, so that the same command goes on where it was stopped."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import note

KeptOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write to this *.jsonl file, line by line; stopped at any moment, the same command goes on.",
        show_default="stdout, which begins anew",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="With --output: start anew, whatever there is.")]
STATE = "state"  # size and time of change of the files of a line, when they were heard
PATHS = ("file", "first", "second")
Row = Mapping[str, str]


class KeptResults:
    """
    A file of results, one line for each input: its paths, the result, and the state of the files that were heard.

    `FILE.jsonl.settings.json` beside it says what made them: results of another model, or of other options, are never
    mixed in. An input whose files have changed since is done again.

    Args:
        path: The file, `*.jsonl`.
        overwrite: Start anew.
        output_format: Of stdout, which must not have been chosen.
    """

    def __init__(self, path: Path, overwrite: bool, output_format: Enum) -> None:
        from ..models.common.writing_afm import check_file

        if path.suffix.lower() != ".jsonl":
            raise ValueError(f"--output is {str(path)!r}, but results are kept as JSON Lines: name a file *.jsonl.")
        if output_format.value not in ("jsonl", "table", "text"):  # the latter are what is taken if nothing is chosen
            raise ValueError(f"--output writes JSON Lines, but --format asks for {output_format.value}. Leave one out.")
        self.path = check_file(path, "the results")
        self.mark = path.with_name(path.name + ".settings.json")
        self.done: dict[tuple[str, ...], Any] = {}
        self.overwrite = overwrite
        has_results = path.exists() and path.stat().st_size
        if has_results and not overwrite and not self.mark.exists():
            raise ValueError(
                f"{path} is there already, without {self.mark.name}, which would say what made it. Choose another "
                "name, or start anew with --overwrite."
            )

    def claim(self, made_by: Mapping[str, Any]) -> None:
        """
        Begin the file, or see that it is of the same settings and read it.

        Raises:
            ValueError: it holds results of other settings.
            WriteError: (an `OSError`) it cannot be written.
        """
        from ..models.common.writing_afm import AGAIN, read_json_lines, write_text

        if self.overwrite:
            self.path.unlink(missing_ok=True)
        rows = [row for row in read_json_lines(self.path) if isinstance(row, dict) and STATE in row]
        written = json.loads(json.dumps(made_by, default=_told))
        if rows:
            self._check(written)
        else:
            write_text(self.mark, json.dumps(written, indent=1) + "\n", "what makes the results", AGAIN)
        self.done = {_key(row): row[STATE] for row in rows}

    def _check(self, settings: dict[str, Any]) -> None:
        try:
            before = dict(json.loads(self.mark.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{self.mark} cannot be read ({error}). Start anew with --overwrite.") from None
        for name in sorted(before.keys() | settings.keys()):
            if before.get(name) != settings.get(name):
                raise ValueError(
                    f"{self.path} holds results of other settings: {name} was {before.get(name)!r}, now it is "
                    f"{settings.get(name)!r}. Choose another name, or start anew with --overwrite."
                )

    def left(self, rows: Iterable[Row]) -> list[dict[str, str]]:
        """Inputs without a result, each once, with absolute paths."""
        named = ({name: os.path.abspath(row[name]) if name in PATHS else row[name] for name in row} for row in rows)
        once = {_key(row): row for row in named}
        return [row for key, row in once.items() if key not in self.done or self.done[key] != _state(row)]

    def fill(self, inputs: list[dict[str, str]], results: Iterable[tuple[Row, Mapping[str, Any]]]) -> None:
        """
        Add a line for each result, at once.

        Args:
            inputs: Of [`left`].
            results: Input and result, as they come; inputs that could not be used are absent.
        """
        from ..models.common.writing_afm import JsonLines

        states = {_key(row): _state(row) for row in inputs}  # before they are heard
        count = 0
        with JsonLines(self.path, "the results") as lines:
            for row, result in results:
                lines.write({**row, **result, STATE: states[_key(row)]})
                count += 1
        self._forget_changed()
        note(f"{count} results in {self.path}, beside {len(self.done)} that were there.")

    def _forget_changed(self) -> None:
        """Of several lines of one input only the last is kept."""
        from ..models.common.writing_afm import read_json_lines, replaced

        rows = read_json_lines(self.path)
        newest = {_key(row): row for row in rows}
        if len(newest) < len(rows):
            with replaced(self.path, "the results") as unfinished, unfinished.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in newest.values())


def kept_results(path: Path | None, overwrite: bool, output_format: Enum) -> KeptResults | None:
    """The file of `--output`, if it was given."""
    if path is None:
        if overwrite:
            raise ValueError("--overwrite is for the file of --output: give both.")
        return None
    return KeptResults(path, overwrite, output_format)


def interrupted(output: Path | None) -> str:
    """What is said after Ctrl-C."""
    return "Interrupted. The same command (without --overwrite) goes on from here." if output else "Interrupted."


def _told(value: Any) -> str:
    """A file by its content, which may change; anything else as it is printed."""
    if isinstance(value, Path) and value.is_file():
        return f"{value.name}, sha256 {hashlib.sha256(value.read_bytes()).hexdigest()[:12]}"
    return str(value)


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What an input is known by."""
    return tuple(str(row[name]) for name in (*PATHS, "hypothesis") if name in row)


def _state(row: Row) -> list[list[int]]:
    """Size and time of change of the files of an input; nothing for one that is not there."""
    states = []
    for path in (row[name] for name in PATHS if name in row):
        with contextlib.suppress(OSError):
            found = os.stat(path)
            states.append([found.st_size, found.st_mtime_ns])
    return states
