"""FSD50K's clips with what their uploaders wrote, as CLAP (arXiv 2206.04769) was trained: title and description."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..engine import Example, Source, build
from ..label_sets import FSD50K, FSD50K_SPLITS
from ..layout import check_choice, find_file
from ..report import ReadReport
from ..tables import read_rows, read_text

_FOLDERS = {"dev": ("FSD50K.dev_audio", "dev_audio", "dev"), "eval": ("FSD50K.eval_audio", "eval_audio", "eval")}


def read_fsd50k_captions(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads FSD50K with `captions` (one: the title and the description, with a blank between), `title` and `tags`.

    The labels are left aside, and the texts stay as they were written (section 4.1 of the paper; how title and
    description were joined is not said there).

    Args:
        root: Folder with `FSD50K.ground_truth/`, `FSD50K.metadata/` and the clips.
        split: `"train"` or `"val"` (of `dev.csv`), `"dev"` (both) or `"eval"`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or a file is not that of FSD50K.
    """
    check_choice("split", split, FSD50K_SPLITS)
    part = "eval" if split == "eval" else "dev"
    table = find_file(Path(root), f"FSD50K.ground_truth/{part}.csv", "FSD50K", FSD50K)
    written = _written(find_file(Path(root), f"FSD50K.metadata/{part}_clips_info_FSD50K.json", "FSD50K", FSD50K))

    def examples() -> Iterator[Example]:
        for row in read_rows(table, ["fname", *(["split"] if part == "dev" else [])], FSD50K):
            if split in ("train", "val") and row.needed("split") != split:
                continue
            name = row.needed("fname")
            texts = written.get(name, {})
            title, description = (" ".join(str(texts.get(key) or "").split()) for key in ("title", "description"))
            caption = f"{title} {description}".strip()
            tags = ", ".join(map(str, texts.get("tags") or []))
            # Numbers for names: other data sets have them too, so they are looked for in these folders alone.
            names = [f"./{folder}/{name}{end}" for end in (".wav", ".flac", ".ogg") for folder in _FOLDERS[part]]
            lack = "" if caption else "neither title nor description"
            columns = {"captions": [caption], "title": title, "tags": tags}
            yield Example(row.source, names, columns=columns, without_text=lack)

    source = Source(table.name, ["captions", "title", "tags"], examples, FSD50K)
    return build(source, table.parents[1], check, streaming, num_threads)


def _written(path: Path) -> dict[str, Mapping[str, Any]]:
    """What is written about each clip, by its name."""
    try:
        found = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is no JSON: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise ValueError(f"{path.name} is not that of FSD50K; expected `title` and `description` by the clips' names.")
    return found


__all__ = ["read_fsd50k_captions"]
