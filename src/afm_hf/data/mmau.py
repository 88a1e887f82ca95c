"""MMAU (Sakshi et al., 2024): multiple-choice questions about sound, music and speech."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .choices import question_choices
from .engine import Example, build_table
from .report import ReadReport
from .tables import read_rows

MMAU = "https://github.com/Sakshi113/MMAU (mmau-test-mini.json, mmau-test.json, and links to the clips)"
_COLUMNS = ("id", "audio_id", "question", "choices", "task", "difficulty")


def read_mmau(
    table: str | os.PathLike[str],
    audio_dir: str | os.PathLike[str] | None = None,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `mmau-test-mini.json` or `mmau-test.json`: `prompt` (the question), `choices`, `answer`.

    Further columns: `id`, `task` (`"sound"`, `"music"` or `"speech"`), `difficulty`, `category`, `sub_category`. The
    large test has no answers, `answer` is empty there. Choices that a copy of the file holds as one text (a list as
    JSON, one a line, parted by semicolons) are read as the list that they are.

    Args:
        table: The file.
        audio_dir: Folder above `test-mini-audios/`; by default, the table's.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at; each once.
        streaming: Whether to look at the clips only while the data set is iterated. The list is parsed as a whole.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not MMAU's.
    """
    path = Path(table)

    def examples() -> Iterator[Example]:
        for row in read_rows(path, _COLUMNS, MMAU):
            answer = row.text("answer")
            choices = question_choices(row.fields["choices"], row.source, answer)
            columns = {
                "prompt": row.needed("question"),
                "choices": [text.strip() for text in choices],
                "answer": answer,
                **{name: row.text(name) for name in ("id", "task", "difficulty")},
                "category": ", ".join(row.texts("category")),  # some rows of the official file have a list of one
                "sub_category": row.text("sub-category"),
            }
            yield Example(row.source, [row.needed("audio_id").removeprefix("./")], columns=columns)

    names = ["prompt", "choices", "answer", "id", "task", "difficulty", "category", "sub_category"]
    return build_table(path, audio_dir, names, examples, MMAU, check, streaming, num_threads)
