"""The columns of a user's own table: what their names mean, and what their cells hold."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..labels import clean_label
from ..report import Note
from .cells import MISSING, NoListError, list_in
from .rows import TableRow, read_rows

AUDIO_COLUMNS = ("file_name", "audio", "path", "file")
CAPTION_COLUMNS = ("captions", "caption", "text")
LABEL, LISTS, FOLD = "label", ("labels", "choices"), "fold"
_TEXTS = ("labels", "prompt", "question", "answer", "hypothesis", "rating")  # what there is to learn beside a label
_KNOWN = {*AUDIO_COLUMNS, *CAPTION_COLUMNS, LABEL, *LISTS, FOLD, *_TEXTS, "file_name2"}


def usual_names(table: str, columns: Sequence[str], kept: Sequence[str] = ()) -> dict[str, str]:
    """
    The usual name of each column that has one and is written otherwise: `File Name`, `CAPTION`, `caption 1`.

    Args:
        table: Name of the file, for the error.
        columns: Its columns.
        kept: Columns whose names are as the caller wants them.

    Raises:
        ValueError: if two columns have one usual name.
    """
    found: dict[str, str] = {}
    for column in columns:
        usual = re.sub(r"[\s-]+", "_", column.casefold())
        if usual != column and column not in kept and (usual in _KNOWN or re.fullmatch(r"caption_\d+", usual)):
            if usual in columns or usual in found.values():
                raise ValueError(f"{table}: `{column}` and another column both mean `{usual}`; rename one of them.")
            found[column] = usual
    return found


def rows_of(path: Path, columns: Sequence[str], renamed: Mapping[str, str]) -> Iterator[TableRow]:
    """
    The rows of a table by the usual names of their columns.

    Raises:
        ValueError: if a row has a column that the first one lacks, which would be lost: objects of JSON may differ.
    """
    for row in read_rows(path):
        new = [column for column in row.fields if column not in columns]
        if new:
            raise ValueError(
                f"{row.source} has the column {', '.join(new)}, which the first row lacks. Give it there too, as null."
            )
        absent = [column for column in columns if column not in row.fields]
        fields = {**row.fields, **dict.fromkeys(absent)}
        yield TableRow({renamed.get(column, column): value for column, value in fields.items()}, row.source)


def texts_of(row: TableRow, columns: Sequence[str]) -> list[str]:
    """All captions of a row that are filled in; they may begin with a bracket."""
    if len(columns) > 1:
        return [row.text(column) for column in columns if not row.is_blank(column)]
    if row.is_blank(columns[0]):
        return []
    return row.texts(columns[0], "either" if columns[0] == "captions" else "text")


def cell(row: TableRow, column: str) -> Any:
    """A cell as the column's type has it; None for an empty list, fold or label."""
    if column == LABEL:
        return _label(row)
    if column in (*LISTS, FOLD) and row.is_blank(column):
        return None
    if column == "labels":
        return list(map(clean_label, row.texts(column)))
    if column in LISTS:
        return row.texts(column)
    return row.number(column) if column == FOLD else _text(row, column)


def lack_of(values: Mapping[str, Any], captions: Sequence[str]) -> str:
    """What a row lacks of the text that it is there for; empty if nothing."""
    if captions:
        return "" if values["captions"] else f"no text in {', '.join(captions)}"
    if LABEL in values and values[LABEL] is None and not any(values.get(name) for name in _TEXTS):
        return f"no text in {LABEL}"
    return ""


def blanks(values: Mapping[str, Any]) -> list[Note]:
    """Labels that a row lacks although it is kept."""
    return [Note(f"`{name}` is blank", 1) for name in (LABEL, "labels") if name in values and not values[name]]


def _label(row: TableRow) -> str | None:
    if row.is_blank(LABEL, MISSING):
        return None
    value = row.fields[LABEL]
    try:
        several = isinstance(value, list | dict) or (isinstance(value, str) and list_in(value) is not None)
    except NoListError:
        several = True
    if several:
        raise ValueError(f"{row.source}: `label` is {value!r}; expected one label. For lists call the column `labels`.")
    return clean_label(_text(row, LABEL) or "") or None


def _text(row: TableRow, column: str) -> str | None:
    value = row.fields.get(column)
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except TypeError as error:
        raise ValueError(f"{row.source}: `{column}` holds {error}; expected text.") from None


def _plain(value: Any) -> str:
    """Dates and the like in words; bytes are no text."""
    if isinstance(value, bytes | bytearray):
        raise TypeError("bytes")
    return str(value)


__all__ = ["AUDIO_COLUMNS", "CAPTION_COLUMNS", "FOLD", "LABEL", "LISTS", "blanks", "cell", "lack_of", "rows_of"]
__all__ += ["texts_of", "usual_names"]
