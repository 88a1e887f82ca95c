"""Your own data: a table with captions, labels or answers; a folder with `metadata.csv`, or with a folder per label."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..audio.audio_folders import is_litter
from .engine import COLUMNS, Example, Source, build
from .label_folders import find_label_folders, label_examples, part_folder
from .labels import LabelBook
from .report import ReadReport
from .tables import header
from .tables.own_columns import (
    AUDIO_COLUMNS,
    CAPTION_COLUMNS,
    FOLD,
    LISTS,
    blanks,
    cell,
    lack_of,
    rows_of,
    texts_of,
    usual_names,
)
from .templates import load_templates

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_TAKEN = {*COLUMNS, "source"} - {*LISTS, FOLD}


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
    Reads a CSV, TSV, JSON Lines, JSON or Parquet file of your own, one row a clip.

    `caption`, `text`, `captions` (a list) or `caption_1`, `caption_2`, ... become `captions`; `question` becomes
    `prompt` where there is none; `label`, `prompt` and `answer` stay as they are; `labels` and `choices` are lists (in
    CSVs as `["rain", "a dog"]`, or as numpy writes them), `fold` a whole number; `file_name2` is a second clip,
    `audio2`. These names may be written as `File Name` or `Caption`, too; the report says so. Every other column is
    kept as text; one whose name has a meaning of its own here (as `source`) becomes `file_...` (`file_source`). Labels
    lose the blanks around them and have one spelling of accents. A row whose captions are blank, or whose label is and
    there is nothing else to learn, is left out and counted in the report.

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
    given = header(path)
    if not given:
        raise ValueError(f"{path} has no rows.")
    renamed = usual_names(path.name, given, [*([audio_column] if audio_column else []), *(caption_columns or [])])
    columns = [renamed.get(column, column) for column in given]
    audio = _audio_column(path, columns, audio_column)
    captions = _caption_columns(path, columns, caption_columns)
    others = [column for column in columns if column not in (audio, "file_name2", *captions)]
    names = {column: f"file_{column}" if column in _TAKEN else column for column in others}
    if "prompt" not in names and "question" in names:
        names["question"] = "prompt"
    filled = (["audio2"] if "file_name2" in columns else []) + (["captions"] if captions else []) + list(names.values())
    if len(set(filled)) < len(filled):
        raise ValueError(f"{path}: the columns {columns} would give two columns of one name; rename one of them.")

    def examples() -> Iterator[Example]:
        book = LabelBook()
        for row in rows_of(path, given, renamed):
            values: dict[str, Any] = {name: cell(row, column) for column, name in names.items()}
            if captions:
                values["captions"] = texts_of(row, captions)
            second = row.text("file_name2")
            lack = lack_of(values, captions)
            notes = [] if lack else [*book.notes(values.get("label"), *(values.get("labels") or ())), *blanks(values)]
            clips = [row.needed(audio)], [second] if second else []
            yield Example(row.source, *clips, values, without_text=lack, notes=notes)

    said = [f"the column {column!r} was read as `{name}`" for column, name in renamed.items()]
    source = Source(path.name, filled, examples, notes=said)
    return build(source, path.parent if audio_dir is None else Path(audio_dir), check, streaming, num_threads)


def read_audio_folder(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    template: str | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads a folder in the layout of Hugging Face's `audiofolder`: clips, and `metadata.csv`, `.jsonl` or `.parquet`.

    The columns are those of [`read_table`]. A folder without such a file that has a folder of clips for each label is
    read as of [`read_label_folders`], and the labels also make `captions` by the template; the report says so.

    Args:
        root: The folder.
        split: The part, where `root` has a folder for each (`root/train`).
        template: How a label becomes a caption, as `"a sound of {}"`; by default as of CLAP's papers.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if there is neither, with what there is instead, or no clip can be used.
    """
    folder = part_folder(Path(root), split)
    found = [name for name in METADATA if (folder / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{folder} has {' and '.join(found)}. Which is right? Read one by `read_table`.")
    if found:
        return read_table(folder / found[0], check=check, streaming=streaming, num_threads=num_threads)
    _check_parts(folder)
    prompt = load_templates("zero_shot")["sound"]["prompt"] if template is None else template
    if prompt.count("{}") != 1:
        raise ValueError(f"`template` is {prompt!r}; expected a sentence with `{{}}` where the label belongs.")
    try:
        labelled = find_label_folders(folder)
    except ValueError as error:
        raise ValueError(
            f"{folder} has no {' or '.join(METADATA)}, and is no folder of labels, as `read_label_folders` takes it: "
            f"{error} For a table of another name there is `read_table`."
        ) from None
    columns = ["label", "captions", *(["fold"] if labelled.has_folds else [])]
    notes = [*labelled.notes, f"captions were made of the names of folders: {prompt!r}"]
    source = Source(folder.name, columns, lambda: label_examples(labelled, prompt), notes=notes)
    return build(source, folder, check, streaming, num_threads)


def _check_parts(folder: Path) -> None:
    """Tables in the folders of parts, or elsewhere, are not passed over."""
    inner = sorted({path.parent.name for name in METADATA for path in folder.glob(f"*/{name}")})
    inner = [name for name in inner if not is_litter(name)]
    if inner:
        raise ValueError(
            f"{folder} has no {' or '.join(METADATA)}. There is one in each of {', '.join(inner)}: pass one of these "
            f"folders, or its name as `split`."
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
        found = [column for column in CAPTION_COLUMNS if column in columns][:1]
        return found or [column for column in columns if column.startswith("caption_")]
    absent = [column for column in wanted if column not in columns]
    if absent:
        raise ValueError(f"{path.name} has no column {', '.join(absent)}; it has {', '.join(columns)}.")
    return list(wanted)
