"""
CSV, JSON Lines and JSON files as rows that know where they came from.

What does not fit is an error that names the file, the line and what was expected; nothing is guessed or filled in.
"""

import ast
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class TableRow:
    """
    One row of a file.

    Attributes:
        fields: value by column; strings, and what JSON has.
        source: `name.csv:12`: the line of a CSV or JSON Lines file where the row starts, the number of an entry (from
            1) of a JSON list.
    """

    fields: dict[str, Any]
    source: str

    def text(self, column: str) -> str:
        """
        The stripped text of a column, empty if there is none.

        Raises:
            ValueError: if it holds something else than text.
        """
        value = self.fields.get(column)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ValueError(f"{self.source}: `{column}` is {value!r}; expected text.")
        return value.strip()

    def needed(self, column: str) -> str:
        """
        The text of a column that has to be filled.

        Raises:
            ValueError: if it is empty.
        """
        text = self.text(column)
        if not text:
            raise ValueError(f"{self.source}: `{column}` is empty; expected text. Fill it in or delete the row.")
        return text

    def number(self, column: str) -> int:
        """
        A whole number.

        Raises:
            ValueError: if the column holds no such number.
        """
        value = self.fields.get(column)
        try:
            return int(str(value).strip())
        except ValueError:
            raise ValueError(f"{self.source}: `{column}` is {value!r}; expected a whole number.") from None

    def texts(self, column: str) -> list[str]:
        """
        A list of texts: of JSON, or as Python writes it into a CSV (`"['a', 'b']"`), or a single text.

        Raises:
            ValueError: for a list that cannot be read, is empty or holds blanks or anything else than texts.
        """
        value = self.fields.get(column)
        if isinstance(value, str) and value.strip().startswith("["):
            try:
                value = ast.literal_eval(value.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                raise ValueError(f"{self.source}: `{column}` starts as a list but is none: {value[:80]!r}.") from None
        if isinstance(value, list):
            if not value or not all(isinstance(text, str) and text.strip() for text in value):
                raise ValueError(f"{self.source}: `{column}` is {str(value)[:80]}; expected a list of texts.")
            return [text.strip() for text in value]
        return [self.needed(column)]


def read_rows(path: Path, columns: Sequence[str] = (), origin: str = "") -> Iterator[TableRow]:
    """
    The rows of a `.csv`, `.jsonl` or `.json` file (a list of objects), lazily.

    Args:
        path: The file, in UTF-8 (with or without a byte order mark).
        columns: Columns that have to be there.
        origin: Where the file is to be had; part of the errors.

    Raises:
        ValueError: if the file or a column is missing, a row does not fit, or the file is not what its name says.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".json": _read_json}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} ends in {path.suffix!r}; expected one of {', '.join(readers)}.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}.{_get_it(origin)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for source, fields in readers[path.suffix.lower()](file, path.name):
                absent = [column for column in columns if column not in fields]
                if absent:
                    raise ValueError(
                        f"{source}: no column {_names(absent)}. The file has {_names(fields)}; expected "
                        f"{_names(columns)}.{_get_it(origin)}"
                    )
                yield TableRow(fields, source)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8.") from None


def header(path: Path) -> list[str]:
    """The columns of the first row (of all rows, of a CSV), in order; empty for a file without rows."""
    return next((list(row.fields) for row in read_rows(path)), [])


def _read_csv(file: TextIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(file)
    try:
        columns = [column.strip() for column in next(reader, [])]
        if len(set(columns)) < len(columns):
            raise ValueError(f"{name} has two columns of one name: {_names(columns)}.")
        start = reader.line_num + 1
        for values in reader:
            if values:  # not a blank line
                if len(values) != len(columns):
                    raise ValueError(
                        f"{name}:{start} has {len(values)} values, but there are {len(columns)} columns: "
                        f"{_names(columns)}. Are there commas without quotation marks?"
                    )
                yield f"{name}:{start}", dict(zip(columns, values, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{name}:{reader.line_num} is no CSV: {error}.") from None


def _read_jsonl(file: TextIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{name}:{number} is no JSON: {error}.") from None
            yield f"{name}:{number}", _object(fields, f"{name}:{number}")


def _read_json(file: TextIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        rows = json.load(file)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise ValueError(f"{name} is no JSON: {error}.") from None
    if not isinstance(rows, list):
        raise ValueError(f"{name} holds one {type(rows).__name__}; expected a list of objects.")
    for number, fields in enumerate(rows, start=1):
        yield f"{name}:{number}", _object(fields, f"{name}:{number}")


def _object(fields: Any, source: str) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        raise ValueError(f"{source} is {str(fields)[:80]!r}; expected an object with columns.")
    return dict(fields)


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns) or "none"


def _get_it(origin: str) -> str:
    return f" Get it from {origin}." if origin else ""
