"""
Tables, CSV, TSV, JSON, JSON Lines or Parquet, as rows that know where they came from.

What does not fit is an error that names the file, the line and what was expected; nothing is guessed or filled in.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from .cells import NO_TEXT, NoListError, all_texts, is_bracketed, list_in
from .files import READERS

Brackets: TypeAlias = Literal["list", "either", "text"]


@dataclass(frozen=True)
class TableRow:
    """
    One row of a file.

    Attributes:
        fields: value by column; strings, and what JSON has.
        source: `name.csv:12`: the line of a CSV or JSON Lines file where the row starts, the number of an entry (from
            1) of a JSON list or Parquet file.
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
            raise ValueError(f"{self.source}: `{column}` is {_short(value)}; expected text.")
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
        # `3.0` is a 3 that stands in a column of pandas beside a missing number
        found = re.fullmatch(r"([+-]?\d+)(?:\.0+)?", str(value).strip(), re.ASCII)
        if found is None:
            raise ValueError(f"{self.source}: `{column}` is {_short(value)}; expected a whole number.")
        return int(found[1])

    def is_blank(self, column: str, missing: frozenset[str] = NO_TEXT) -> bool:
        """Whether a column holds nothing: no text, an empty list, or what pandas writes for a missing value."""
        value = self.fields.get(column)
        if isinstance(value, str):
            return value.strip() in missing | {"", "[]"}
        return value is None or value == []

    def texts(self, column: str, brackets: Brackets = "list") -> list[str]:
        """
        A list of texts, of JSON, or as Python, numpy or pandas write it into a CSV (`"['a', 'b']"`), or a single text.

        Args:
            column: The column.
            brackets: What a bracket at the beginning means: a `"list"`; a list or a sentence such as `[applause] and
                cheers` (`"either"`), where brackets round a comma are a list; or a sentence, unless what is in the
                brackets is quoted (`"text"`).

        Raises:
            ValueError: for a list that cannot be read, is empty or holds blanks or anything else than texts.
        """
        value = self.fields.get(column)
        if isinstance(value, str):
            value = self._list_in(column, value, brackets)
        if isinstance(value, list | tuple):
            if not all_texts(value):
                raise ValueError(f"{self.source}: `{column}` is {_short(value)}; expected a list of texts.")
            return [text.strip() for text in value]
        return [self.needed(column)]

    def _list_in(self, column: str, cell: str, brackets: Brackets) -> Any:
        """What a cell holds: a list, or itself."""
        try:
            found = list_in(cell)
            if found is None and _like_a_list(cell, brackets):
                raise NoListError("expected texts in quotation marks, with commas between them")
        except NoListError as error:
            raise ValueError(
                f"{self.source}: `{column}` starts as a list but is none: {_short(cell)}: {error}."
            ) from None
        return cell if found is None else found


def read_rows(path: Path, columns: Sequence[str] = (), origin: str = "") -> Iterator[TableRow]:
    """
    The rows of a `.csv`, `.tsv`, `.jsonl`, `.json` (a list of objects) or `.parquet` file, lazily.

    Args:
        path: The file, in UTF-8, or in UTF-16 or UTF-32 with a byte order mark. Columns of a CSV are parted by commas,
            semicolons or tabs, as its header shows.
        columns: Columns that have to be there.
        origin: Where the file is to be had; part of the errors.

    Raises:
        ValueError: if the file or a column is missing, a row does not fit, or the file is not what its name says.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"{path} ends in {path.suffix!r}; expected one of {', '.join(READERS)}.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}.{_get_it(origin)}")
    for source, fields in READERS[suffix](path):
        absent = [column for column in columns if column not in fields]
        if absent:
            raise ValueError(
                f"{source}: no column {_names(absent)}. The file has {_names(fields)}; expected "
                f"{_names(columns)}.{_get_it(origin)}"
            )
        yield TableRow(fields, source)


def header(path: Path) -> list[str]:
    """The columns of the first row (of all rows, of a CSV), in order; empty for a file without rows."""
    return next((list(row.fields) for row in read_rows(path)), [])


def _like_a_list(cell: str, brackets: Brackets) -> bool:
    """Whether a cell that is no list looks as if it were meant to be one."""
    if brackets == "text" or not cell.strip().startswith("["):
        return False
    return brackets == "list" or (is_bracketed(cell) and re.search("[,'\"]", cell) is not None)


def _short(value: Any) -> str:
    """A value as an error shows it; audio in a column would fill the screen."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns) or "none"


def _get_it(origin: str) -> str:
    return f" Get it from {origin}." if origin else ""


__all__ = ["Brackets", "TableRow", "header", "read_rows"]
