"""Columns of the user's own in an index: what a metadata table says of each file."""

import json
import math
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..data.tables import read_rows
from ..data.tables.own_columns import AUDIO_COLUMNS
from .lance_tables import OWN_COLUMNS, import_pyarrow

Metadata: TypeAlias = str | os.PathLike[str] | Mapping[str, Mapping[str, Any]]

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")  # not 007, which is a name
_RESERVED = {*OWN_COLUMNS, "score", "file", "_distance", "_rowid"}
_BITS = 63


class UserColumns:
    """A metadata table, ready to be asked for a file.

    Attributes:
        columns: names of the columns and their Arrow types.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], folders: Iterable[str], source: str) -> None:
        """Take over rows.

        Args:
            rows: name of a file, as the table has it, and its columns.
            folders: what the names may be relative to.
            source: what the table is called, for messages.
        """
        self.source = source
        self._rows = {_tidy(name): row for name, row in rows.items()}
        self._folders = [folder.rstrip("/") + "/" for folder in dict.fromkeys(folders)]
        names = dict.fromkeys(name for row in rows.values() for name in row)
        _check_names(names, source)
        kinds = {name: _kind([row.get(name) for row in rows.values()]) for name in names}
        self.columns = {name: kind for name, (kind, _) in kinds.items()}
        self._as_kind = {name: convert for name, (_, convert) in kinds.items()}

    @classmethod
    def read(cls, metadata: Metadata | None, inputs: Sequence[str] = ()) -> "UserColumns":
        """Read a metadata table.

        Args:
            metadata: a CSV, TSV, JSON, JSON Lines or Parquet file with a row a file, whose names stand in the column
                `file_name` (or `audio`, `path`, `file`); or the rows themselves by the files' names; None for none.
            inputs: the folders that are embedded; names may be relative to them, or to the folder of the table.

        Raises:
            ValueError: the table has no column of names, names a file twice, or has a column whose name is taken.
            OSError: it cannot be read.
        """
        if metadata is None:
            return cls({}, (), "no metadata table")
        if isinstance(metadata, Mapping):
            return cls(metadata, inputs, "the metadata")
        path = Path(metadata)
        return cls(_rows_by_name(path), [str(path.absolute().parent), *inputs], path.name)

    def of(self, path: str) -> dict[str, Any]:
        """What is said of a file: a value, or None, for every column."""
        row = self._row(path) or {}
        return {name: convert(row.get(name)) for name, convert in self._as_kind.items()}

    def names(self, path: str) -> bool:
        """Whether the table has a row for a file."""
        return self._row(path) is not None

    def _row(self, path: str) -> Mapping[str, Any] | None:
        names = [path, *(path[len(folder) :] for folder in self._folders if path.startswith(folder))]
        return next((self._rows[name] for name in names if name in self._rows), None)

    def check_files(self, files: Sequence[str]) -> int:
        """How many of the files the table names. Raises `ValueError` if none."""
        count = sum(map(self.names, files))
        if self._rows and not count:
            raise ValueError(
                f"{self.source} names none of the {len(files)} files: it has {next(iter(self._rows))!r}, and the first "
                f"file is {files[0]!r}. Names are paths from the folder of the table, or from what is embedded."
            )
        return count

    def check_kinds(self, kinds: Mapping[str, Any]) -> None:
        """Raise `ValueError` where a column of an index, with its Arrow types, has another type here."""
        for name, kind in self.columns.items():
            if name in kinds and kinds[name] != kind:
                if kinds[name] == import_pyarrow().string():
                    self._as_kind[name] = _text
                    self.columns[name] = kinds[name]
                    continue
                raise ValueError(
                    f"The column {name!r} of the index holds {kinds[name]}, but in {self.source} it holds {kind}. Mend "
                    "the table, or give the column another name."
                )


def _rows_by_name(path: Path) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for row in read_rows(path):
        column = next((name for name in AUDIO_COLUMNS if name in row.fields), None)
        if column is None:
            raise ValueError(
                f"{path.name} has the columns {', '.join(row.fields)}, and none of {', '.join(AUDIO_COLUMNS)}, which "
                "would name the files."
            )
        name = row.needed(column)
        if _tidy(name) in rows:
            raise ValueError(f"{row.source} names {name!r}, which an earlier row names, too. Give every file one row.")
        rows[_tidy(name)] = {key: value for key, value in row.fields.items() if key != column}
    if not rows:
        raise ValueError(f"{path.name} has no rows.")
    return rows


def _tidy(name: str) -> str:
    """A name as `find_audio` would write it: `./a//b.wav` is `a/b.wav`; the address of an object stays."""
    return name if "://" in name else posixpath.normpath(name.replace(os.sep, "/"))


def _check_names(names: Iterable[str], source: str) -> None:
    for name in names:
        if name in _RESERVED:
            raise ValueError(
                f"{source} has a column {name!r}, which the index has for itself. Give it another name; taken are "
                f"{', '.join(sorted(_RESERVED))}."
            )
        if not name or "." in name or "`" in name:
            raise ValueError(f"{source} has a column {name!r}; names of columns are not empty and have no '.' or '`'.")


def _kind(values: Sequence[Any]) -> tuple[Any, Any]:
    """The Arrow type of a column, and what makes values of that type."""
    arrow = import_pyarrow()
    known = [value for value in values if value is not None and value != ""]
    if known and all(isinstance(value, bool) for value in known):
        return arrow.bool_(), _none_or(bool)
    if known and all(_is_integer(value) for value in known):
        return arrow.int64(), _none_or(int)
    if known and all(_is_number(value) for value in known):
        return arrow.float64(), _none_or(float)
    if known and all(isinstance(value, list) and all(isinstance(each, str) for each in value) for value in known):
        return arrow.list_(arrow.string()), _none_or(list)
    return arrow.string(), _text


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    is_one = isinstance(value, int) or (isinstance(value, str) and bool(_INTEGER.fullmatch(value.strip())))
    return is_one and int(value).bit_length() <= _BITS


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?\s*", value):
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def _none_or(convert: Any) -> Any:
    return lambda value: None if value is None or value == "" else convert(value)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False, default=str)


__all__ = ["Metadata", "UserColumns"]
