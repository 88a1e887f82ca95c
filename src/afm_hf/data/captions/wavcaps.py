"""WavCaps (Mei et al., 2023): 403,000 clips of four sources; a language model made captions of their descriptions."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..engine import Example, Source, build
from ..layout import check_choice
from ..report import ReadReport
from ..tables import read_text

WAVCAPS = (
    "https://huggingface.co/datasets/cvssp/WavCaps (json_files/ and the clips; https://github.com/XinhaoMei/WavCaps)"
)
SUBSETS = {  # folder of each source, and its file
    "AudioSet_SL": "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    "FreeSound": "fsd_final.json",
    "SoundBible": "sb_final.json",
}


def read_wavcaps(
    root: str | os.PathLike[str],
    subset: str = "all",
    *,
    exclude: str | os.PathLike[str] | None = None,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `json_files/{subset}/*_final.json` of WavCaps: `captions` (one), `id`, `subset`.

    Args:
        root: Folder with `json_files/`, or with the folders in it.
        subset: `"AudioSet_SL"`, `"BBC_Sound_Effects"`, `"FreeSound"`, `"SoundBible"`, or `"all"` that are there.
        exclude: One of the official lists of clips that are in other sets' test parts, `blacklist/*.json`.
        audio_dir: Folder of the clips, if they are not below `root`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated; the files are parsed as a whole.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if a file is missing (with where to get it) or is not that of WavCaps.
    """
    check_choice("subset", subset, ("all", *SUBSETS))
    tables = _tables(Path(root), subset)
    left_out = {} if exclude is None else _excluded(Path(exclude))

    def examples() -> Iterator[Example]:
        for name, table in tables.items():
            skipped = left_out.get("AudioSet" if name == "AudioSet_SL" else name, set())
            for number, clip in enumerate(_clips(table), start=1):
                try:
                    identity, caption = str(clip["id"]), str(clip["caption"] or "").strip()
                except (KeyError, TypeError):
                    raise ValueError(
                        f"{table.name}:{number} is no clip of WavCaps; expected `id` and `caption`."
                    ) from None
                if identity in skipped:
                    continue
                stem = identity.removesuffix(".wav")
                names = [f"{name}/{stem}{end}" for end in (".flac", ".wav")]
                columns = {"captions": [caption], "id": identity, "subset": name}
                yield Example(
                    f"{table.name}:{number}", names, columns=columns, without_text="" if caption else "no caption"
                )

    source = Source("WavCaps", ["captions", "id", "subset"], examples, WAVCAPS)
    return build(source, Path(audio_dir or root), check, streaming, num_threads)


def _tables(root: Path, subset: str) -> dict[str, Path]:
    """The file of each source that is asked for."""
    wanted = list(SUBSETS) if subset == "all" else [subset]
    found = {}
    for name in wanted:
        places = [folder / name / SUBSETS[name] for folder in (root, root / "json_files", root / "data" / "json_files")]
        there = [path for path in places if path.is_file()]
        if there:
            found[name] = there[0]
        elif subset != "all":
            raise ValueError(f"WavCaps: {root} has no json_files/{name}/{SUBSETS[name]}. Get it from {WAVCAPS}.")
    if not found:
        raise ValueError(f"WavCaps: {root} has none of json_files/*/*_final.json. Get them from {WAVCAPS}.")
    return found


def _clips(table: Path) -> list[Any]:
    content = _json(table)
    clips = content.get("data") if isinstance(content, dict) else content  # a list in older releases
    if not isinstance(clips, list):
        raise ValueError(f"{table.name} has no list `data`; is it a file of WavCaps? Get it from {WAVCAPS}.")
    return clips


def _excluded(path: Path) -> dict[str, set[str]]:
    content = _json(path)
    if not isinstance(content, dict) or not all(isinstance(ids, list) for ids in content.values()):
        raise ValueError(f"{path} is no list of WavCaps' exclusions; expected lists of ids by source, as `FreeSound`.")
    return {name: set(map(str, ids)) for name, ids in content.items()}


def _json(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Get it from {WAVCAPS}.")
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is no JSON: {error}.") from None


__all__ = ["SUBSETS", "WAVCAPS", "read_wavcaps"]
