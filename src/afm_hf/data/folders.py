"""Your own data: a table with captions, labels or answers; a folder with `metadata.csv`; a folder per label."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .clips import EXTENSIONS
from .engine import COLUMNS, Example, Source, build
from .report import ReadReport
from .tables import TableRow, header, read_rows

METADATA = ("metadata.csv", "metadata.jsonl")
AUDIO_COLUMNS = ("file_name", "audio", "path", "file")
_CAPTIONS = ("captions", "caption", "text")
_LISTS, _FOLD = ("labels", "choices"), "fold"


def read_table(
    table: str | os.PathLike[str],
    audio_dir: str | os.PathLike[str] | None = None,
    *,
    audio_column: str | None = None,
    caption_columns: Sequence[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads a CSV, JSON Lines or JSON file of your own, one row a clip.

    `caption`, `text`, `captions` (a list) or `caption_1`, `caption_2`, ... become `captions`; `question` becomes
    `prompt` where there is none; `label`, `prompt` and `answer` stay as they are; `labels` and `choices` are lists (in
    CSVs as `["rain", "a dog"]`), `fold` a whole number; `file_name2` is a second clip, `audio2`. Every other column
    is kept as text; one whose name has a meaning of its own here (as `source`) becomes `file_...` (`file_source`). A
    row whose captions are blank is left out, and counted in the report.

    Args:
        table: The file.
        audio_dir: Folder that the clips' names are relative to; by default, the table's.
        audio_column: Column of the clips' names; by default the first there is of `file_name`, `audio`, `path`, `file`.
        caption_columns: Columns of captions, if they are called otherwise; blanks among several are left out.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Returns:
        The data set, and the report of what was left out.

    Raises:
        ValueError: if the file is not there or not as described, or no clip can be used.
    """
    path = Path(table)
    columns = header(path)
    if not columns:
        raise ValueError(f"{path} has no rows.")
    audio = _audio_column(path, columns, audio_column)
    captions = _caption_columns(path, columns, caption_columns)
    others = [column for column in columns if column not in (audio, "file_name2", *captions)]
    taken = {*COLUMNS, "source"} - {*_LISTS, _FOLD}
    names = {column: f"file_{column}" if column in taken else column for column in others}
    if "prompt" not in names and "question" in names:
        names["question"] = "prompt"
    filled = (["audio2"] if "file_name2" in columns else []) + (["captions"] if captions else []) + list(names.values())
    if len(set(filled)) < len(filled):
        raise ValueError(f"{path}: the columns {columns} would give two columns of one name; rename one of them.")

    def examples() -> Iterator[Example]:
        for row in read_rows(path, [audio]):
            _check_columns(row, columns)
            values: dict[str, Any] = {name: _value(row, column) for column, name in names.items()}
            lack = ""
            if captions:
                values["captions"] = _captions(row, captions)
                lack = "" if values["captions"] else f"no text in {', '.join(captions)}"
            second = row.text("file_name2")
            yield Example(row.source, [row.needed(audio)], [second] if second else [], values, without_text=lack)

    source = Source(path.name, filled, examples)
    return build(source, path.parent if audio_dir is None else Path(audio_dir), check, streaming, num_threads)


def read_audio_folder(
    root: str | os.PathLike[str], *, check: str = "header", streaming: bool = False, num_threads: int | None = None
) -> tuple[Any, ReadReport]:
    """
    Reads a folder in the layout of Hugging Face's `audiofolder`: clips, and `metadata.csv` or `metadata.jsonl`.

    The columns are those of [`read_table`]; of a data set in parts, pass the folder of one (`root/train`).

    Raises:
        ValueError: if there is no such file, with what there is instead, or no clip can be used.
    """
    folder = Path(root)
    found = [name for name in METADATA if (folder / name).is_file()]
    if found:
        return read_table(folder / found[0], check=check, streaming=streaming, num_threads=num_threads)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    inner = sorted(path.parent.name for name in METADATA for path in folder.glob(f"*/{name}"))
    hint = (
        f"There is one in each of {', '.join(inner)}: pass one of these folders."
        if inner
        else "If its folders are labels, use `read_label_folders`; for a table of another name, `read_table`."
    )
    raise ValueError(f"{folder} has no {' or '.join(METADATA)}. {hint}")


def read_label_folders(
    root: str | os.PathLike[str], *, check: str = "header", streaming: bool = False, num_threads: int | None = None
) -> tuple[Any, ReadReport]:
    """
    Reads a folder with one folder of clips for each label: `root/dog barking/1.wav`.

    The name of the folder is `label`, without underscores; `source` is the clip's path in `root`.

    Raises:
        ValueError: if there are no folders with clips, or no clip can be used.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    clips = sorted(path for path in folder.glob("*/**/*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not clips:
        raise ValueError(f"{folder} has no folders with clips; expected {folder / 'some label' / 'clip.wav'}.")

    def examples() -> Iterator[Example]:
        for path in clips:
            inside = path.relative_to(folder)
            yield Example(str(inside), [str(inside)], columns={"label": inside.parts[0].replace("_", " ")})

    return build(Source(folder.name, ["label"], examples), folder, check, streaming, num_threads)


def _check_columns(row: TableRow, columns: Sequence[str]) -> None:
    """Objects of JSON may differ; a column that the first lacks would be lost."""
    new = [column for column in row.fields if column not in columns]
    if new:
        raise ValueError(
            f"{row.source} has the column {', '.join(new)}, which the first row lacks. Give it there too, as null."
        )


def _audio_column(path: Path, columns: Sequence[str], wanted: str | None) -> str:
    candidates = AUDIO_COLUMNS if wanted is None else (wanted,)
    found = [column for column in candidates if column in columns]
    if not found:
        raise ValueError(
            f"{path.name} has the columns {', '.join(columns)}; expected the clips' names in one of "
            f"{', '.join(candidates)}. Pass its name as `audio_column`."
        )
    return found[0]


def _caption_columns(path: Path, columns: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        found = [column for column in _CAPTIONS if column in columns][:1]
        return found or [column for column in columns if column.startswith("caption_")]
    absent = [column for column in wanted if column not in columns]
    if absent:
        raise ValueError(f"{path.name} has no column {', '.join(absent)}; it has {', '.join(columns)}.")
    return list(wanted)


def _captions(row: TableRow, columns: Sequence[str]) -> list[str]:
    """All that are filled in."""
    if len(columns) == 1:
        return [] if _is_blank(row.fields.get(columns[0])) else row.texts(columns[0])
    return [text for text in map(row.text, columns) if text]


def _value(row: TableRow, column: str) -> Any:
    """A cell as the column's type has it; None for an empty list or fold."""
    value = row.fields.get(column)
    if column in (*_LISTS, _FOLD) and _is_blank(value):
        return None
    if column in _LISTS:
        return row.texts(column)
    return row.number(column) if column == _FOLD else _text(value)


def _is_blank(value: Any) -> bool:
    return value in (None, []) or (isinstance(value, str) and not value.strip())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
