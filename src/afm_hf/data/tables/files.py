"""
The rows of CSV, TSV, JSON, JSON Lines and Parquet files, as dictionaries that know where they came from.

Columns have one name each, without blanks around it; a missing number (NaN) is None; what does not fit is an error.
"""

import csv
import importlib
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ...audio.audio_folders import AUDIO_SUFFIXES
from .text_files import read_text, text_lines

Rows: TypeAlias = Iterator[tuple[str, dict[str, Any]]]  # where each starts, and its values by column
_SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def csv_rows(path: Path) -> Rows:
    """
    Rows of a CSV whose columns are parted by commas, semicolons or tabs, as the header says.

    Raises:
        ValueError: if the header leaves that open or looks like a row, a row has another number of values, or quotation
            marks do not fit.
    """
    name = path.name
    with text_lines(path) as lines:
        before, head, delimiter = _head(lines, name)
        reader = csv.reader(itertools.chain([head], lines), delimiter=delimiter, strict=True)
        start = before + 1
        try:
            columns = _columns(next(reader, []), name)
            start = before + reader.line_num + 1
            for values in reader:
                if any(value.strip() for value in values):  # neither a blank line nor one of separators alone
                    yield f"{name}:{start}", _fields(columns, values, f"{name}:{start}")
                start = before + reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{name}:{start} is no CSV: {error}. Is a quotation mark not closed, or not doubled inside of a text?"
            ) from None


def jsonl_rows(path: Path) -> Rows:
    """
    Rows of a JSON Lines file, an object a line.

    Raises:
        ValueError: if a line is something else.
    """
    with text_lines(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                source = f"{path.name}:{number}"
                yield source, _object(_parsed(line, source), source)


def json_rows(path: Path) -> Rows:
    """
    Rows of a JSON file, a list of objects.

    Raises:
        ValueError: if it holds something else.
    """
    rows = _parsed(read_text(path), path.name)
    if not isinstance(rows, list):
        raise ValueError(f"{path.name} holds one {type(rows).__name__}; expected a list of objects.")
    for number, fields in enumerate(rows, start=1):
        yield f"{path.name}:{number}", _object(fields, f"{path.name}:{number}")


def parquet_rows(path: Path) -> Rows:
    """
    Rows of a Parquet file, by their numbers.

    Raises:
        ValueError: if it is none.
    """
    parquet, arrow = importlib.import_module("pyarrow.parquet"), importlib.import_module("pyarrow")
    try:
        with parquet.ParquetFile(path) as file:
            columns = _checked(file.schema_arrow.names, path.name)
            number = 0
            for batch in file.iter_batches():
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    fields = dict(zip(columns, map(_known, values), strict=True))
                    yield f"{path.name}:{number}", fields
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is no Parquet file that can be read: {error}") from None


READERS = {
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".jsonl": jsonl_rows,
    ".json": json_rows,
    ".parquet": parquet_rows,
}


def _head(lines: Iterator[str], name: str) -> tuple[int, str, str]:
    """How many lines stand before the header, the header, and the sign between its columns."""
    before, head = 0, next(lines, "")
    while head and not head.strip():
        before, head = before + 1, next(lines, "")
    told = re.fullmatch(r"sep=(.)\s*", head)  # for spreadsheets
    if told:
        return before + 1, next(lines, ""), told[1]
    found = [sign for sign in _SIGNS if len(next(csv.reader([head], delimiter=sign), [])) > 1]
    if len(found) > 1:
        signs = " and ".join(_SIGNS[sign] for sign in found)
        raise ValueError(
            f"{name}: the header has {signs}, {head.strip()[:80]!r}: which part its columns? Write names that hold "
            "one in quotation marks."
        )
    return before, head, found[0] if found else ","


def _columns(values: Sequence[str], name: str) -> list[str]:
    like_row = [value for value in values if value.strip().lower().endswith(AUDIO_SUFFIXES)]
    if like_row:
        raise ValueError(
            f"{name}: the first line is a row ({like_row[0]!r} is a clip); expected the names of the columns there, as "
            "`file_name,caption`."
        )
    return _checked(values, name)


def _checked(names: Iterable[str], name: str) -> list[str]:
    """The names of columns without blanks around them, each once; unnamed ones are sorted out later."""
    columns = [unicodedata.normalize("NFC", column).strip() for column in names]
    named = [column for column in columns if column]
    if len(set(named)) < len(named):
        raise ValueError(f"{name} has two columns of one name: {', '.join(f'`{column}`' for column in columns)}.")
    return columns


def _fields(columns: Sequence[str], values: Sequence[str], source: str) -> dict[str, Any]:
    if len(values) != len(columns):
        shown = ", ".join(f"`{column}`" for column in columns) or "none"
        raise ValueError(
            f"{source} has {len(values)} values, but there are {len(columns)} columns: {shown}. Are there commas "
            "without quotation marks?"
        )
    for column, value in zip(columns, values, strict=True):
        if not column and value.strip() and not value.strip().isdigit():  # not the numbers of rows, as pandas has them
            raise ValueError(f"{source} has {value[:80]!r} in a column without a name. Name it in the header.")
    return {column: value for column, value in zip(columns, values, strict=True) if column}


def _parsed(text: str, source: str) -> Any:
    try:
        parsed = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, source))
        if re.search(r"\\u[dD][89a-fA-F]", text):  # a character in two halves, of which one may lack
            json.dumps(parsed, ensure_ascii=False).encode()
        return parsed
    except _TwiceError as error:
        raise ValueError(str(error)) from None
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{source} holds half a character (a lone surrogate, {error.object[error.start]!a})."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is no JSON: {error}.") from None


class _TwiceError(ValueError):
    """A name that an object has twice."""


def _once(pairs: Sequence[tuple[str, Any]], source: str) -> dict[str, Any]:
    """An object; Python would keep the last of two values of one name."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"{source} has `{twice}` twice in one object.")
    return fields


def _object(fields: Any, source: str) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        raise ValueError(f"{source} is {str(fields)[:80]!r}; expected an object with columns.")
    columns = _checked(fields, source)
    return {column: _known(value) for column, value in zip(columns, fields.values(), strict=True) if column}


def _known(value: Any) -> Any:
    """None for a number that is missing."""
    return None if isinstance(value, float) and value != value else value


__all__ = ["READERS", "csv_rows", "json_rows", "jsonl_rows", "parquet_rows"]
