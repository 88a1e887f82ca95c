"""SoundDescs (Koepke et al., 2022): the BBC's sound effects with their descriptions."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..engine import Example, Source, build
from ..layout import check_choice, find_file
from ..report import ReadReport
from ..tables import read_lines, read_text
from .plain_pickles import read_texts

SOUNDDESCS = (
    "https://github.com/akoepke/audio-retrieval-benchmark (data/SoundDescs, sounddescs_data; clips by its links)"
)
SPLITS = ("train", "val", "test")


def read_sounddescs(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `{split}_list.txt` (ids) and `descriptions.pkl` (texts by id) of SoundDescs: `captions` (one), `id`.

    The pickle is not loaded: its texts are read off, and whatever else it held would be refused. A `descriptions.json`
    in its place is taken, too.

    Args:
        root: Folder of the lists and of the descriptions, or above both.
        split: `"train"`, `"val"` or `"test"`.
        audio_dir: Folder of the clips, called by their ids, if they are not below `root`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if a file is missing (with where to get it) or is not that of SoundDescs.
    """
    check_choice("split", split, SPLITS)
    folder = Path(root)
    listed = _find(folder, f"{split}_list.txt")
    descriptions = _descriptions(folder)

    def examples() -> Iterator[Example]:
        for number, line in enumerate(read_lines(listed), start=1):
            identity = line.strip()
            if identity:
                caption = " ".join(descriptions.get(identity, "").split())
                columns = {"captions": [caption], "id": identity}
                lack = "" if caption else "no description"
                yield Example(f"{listed.name}:{number}", [f"{identity}.wav"], columns=columns, without_text=lack)

    source = Source(listed.name, ["captions", "id"], examples, SOUNDDESCS, unique_names=True)
    return build(source, Path(audio_dir or root), check, streaming, num_threads)


def _find(root: Path, name: str) -> Path:
    """A file where the official repository has it, or in the folder."""
    for place in (root / "data" / "SoundDescs" / name, root / "sounddescs_data" / name):
        if place.is_file():
            return place
    return find_file(root, name, "SoundDescs", SOUNDDESCS)


def _descriptions(root: Path) -> dict[str, str]:
    try:
        path = _find(root, "descriptions.json")
    except ValueError:
        return read_texts(_find(root, "descriptions.pkl"))
    try:
        found = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is no JSON: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError(f"{path.name} holds something else than texts by id.")
    return found


__all__ = ["SOUNDDESCS", "read_sounddescs"]
