"""Clotho (Drossos, Lipping, Virtanen, 2020): clips of 15 to 30 s with five captions each."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .engine import Example, Source, build
from .layout import check_choice, find_file
from .report import ReadReport
from .tables import read_rows

CLOTHO = "https://doi.org/10.5281/zenodo.4783391"
SPLITS = ("development", "validation", "evaluation")
_CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


def read_clotho(
    root: str | os.PathLike[str],
    split: str,
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `clotho_captions_{split}.csv` of Clotho 2: one row a clip, with its five `captions`.

    Args:
        root: Folder of the CSV.
        split: `"development"`, `"validation"` or `"evaluation"`.
        audio_dir: Folder of the clips, if they are not below `root`. A clip of another part is never taken.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not Clotho's.
    """
    check_choice("split", split, SPLITS)
    table = find_file(Path(root), f"clotho_captions_{split}.csv", "Clotho", CLOTHO)

    def examples() -> Iterator[Example]:
        for row in read_rows(table, ["file_name", *_CAPTIONS], CLOTHO):
            name = row.needed("file_name")
            captions = [row.needed(column) for column in _CAPTIONS]
            yield Example(row.source, clotho_names(name, split), columns={"captions": captions})

    source = Source(table.name, ["captions"], examples, CLOTHO)
    return build(source, Path(audio_dir or root), check, streaming, num_threads)


def clotho_names(name: str, split: str) -> list[str]:
    """Where a clip may lie: folders as in the archives, whose names differ between versions."""
    return [f"{split}/{name}", f"clotho_audio_{split}/{name}"] if split else [name]
