"""MACS (Martin-Morato, Mesaros, 2021): street scenes with captions of several people, and tags."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .engine import Example, Source, build
from .layout import find_file
from .report import ReadReport
from .tables import read_text

MACS = "https://doi.org/10.5281/zenodo.5114771 (MACS.yaml; the clips are TAU Urban Acoustic Scenes 2019, development)"


def read_macs(
    root: str | os.PathLike[str],
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `MACS.yaml`: `captions` (of each annotator), `labels` (all tags that anybody gave).

    Args:
        root: Folder of the file.
        audio_dir: Folder of the clips of TAU Urban Acoustic Scenes 2019, if they are not below `root`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated; the file is parsed as a whole.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if the file is missing (with where to get it) or is not that of MACS.
    """
    table = find_file(Path(root), "MACS.yaml", "MACS", MACS)

    def examples() -> Iterator[Example]:
        for number, clip in enumerate(_clips(table), start=1):
            try:
                notes = clip["annotations"]
                captions = [str(note["sentence"]).strip() for note in notes]
                labels = list(dict.fromkeys(str(tag).strip() for note in notes for tag in note.get("tags") or []))
                name = str(clip["filename"])
            except (KeyError, TypeError, AttributeError):
                raise ValueError(
                    f"{table.name}:{number} is no clip of MACS; expected `filename` and `annotations` with `sentence` "
                    "and `tags`."
                ) from None
            lack = "" if any(captions) else "no caption"
            columns = {"captions": [text for text in captions if text], "labels": labels}
            yield Example(f"{table.name}:{number}", [f"audio/{name}"], columns=columns, without_text=lack)

    source = Source(table.name, ["captions", "labels"], examples, MACS, unique_names=True)
    return build(source, Path(audio_dir or root), check, streaming, num_threads)


def _clips(table: Path) -> list[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the file has 200,000 lines
    try:
        content = yaml.load(read_text(table), Loader=loader)  # safe: both are SafeLoaders
    except yaml.YAMLError as error:
        raise ValueError(f"{table.name} is no YAML: {' '.join(str(error).split())}.") from None
    clips = content.get("files") if isinstance(content, dict) else None
    if not isinstance(clips, list):
        raise ValueError(f"{table.name} has no list `files`; is it the file of MACS? Get it from {MACS}.")
    return clips
