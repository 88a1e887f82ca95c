"""Audio Entailment (Deshmukh et al., 2024): does a sentence follow from a clip? CLE on Clotho, ACE on AudioCaps."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..audio.audio_folders import AUDIO_SUFFIXES
from .clotho import clotho_names
from .engine import Example, build_table
from .report import ReadReport
from .tables import TableRow, read_rows

ENTAILMENT = "https://github.com/microsoft/AudioEntailment (tables; the clips are those of Clotho and AudioCaps)"
RELATIONS = ("entailment", "neutral", "contradiction")
_COLUMNS = ("Dataset", "Audio file", "Caption", *(relation.capitalize() for relation in RELATIONS))
_SPLIT = re.compile(r"_(development|validation|evaluation|train|val|test)\b")


def read_entailment(
    table: str | os.PathLike[str],
    audio_dir: str | os.PathLike[str] | None = None,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `clotho_entailment_*.csv` or `audiocaps_entailment_*.csv`: three rows for each of the file.

    Columns: `hypothesis`, `label` (`"entailment"`, `"neutral"` or `"contradiction"`), `captions` (the premise: five of
    Clotho, one of AudioCaps).

    Args:
        table: The file.
        audio_dir: Folder above the clips; by default, the table's.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at; each once.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not that of Audio Entailment.
    """
    path = Path(table)
    part = _SPLIT.search(path.stem)
    split = part[1] if part else ""

    def examples() -> Iterator[Example]:
        for row in read_rows(path, _COLUMNS, ENTAILMENT):
            names, captions = _names(row, split), row.texts("Caption", "either")
            for relation in RELATIONS:
                columns = {
                    "captions": captions,
                    "hypothesis": row.needed(relation.capitalize()),
                    "label": relation,
                }
                yield Example(row.source, names, columns=columns)

    names = ["captions", "hypothesis", "label"]
    return build_table(path, audio_dir, names, examples, ENTAILMENT, check, streaming, num_threads)


def _names(row: TableRow, split: str) -> list[str]:
    name = row.needed("Audio file")
    if row.needed("Dataset").lower().startswith("clotho"):
        return clotho_names(name, split)
    if name.lower().endswith(AUDIO_SUFFIXES):  # not of the official files, whose names have no ending
        return [name]
    folder = f"{split}/" if split else ""
    return [f"{folder}{name}.wav", f"{folder}{name.removeprefix('Y')}.wav"]
