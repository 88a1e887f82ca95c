"""AudioCaps (Kim, Kim, Lee, Kim, 2019): 10 s clips of AudioSet with captions: one in training, five elsewhere."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .engine import Example, Source, build
from .layout import check_choice, find_file
from .report import ReadReport
from .tables import TableRow, read_rows

AUDIOCAPS = "https://github.com/cdjkim/audiocaps (CSV files; the clips are parts of AudioSet's videos)"
SPLITS = ("train", "val", "test")
CLIP_S = 10


def read_audiocaps(
    root: str | os.PathLike[str],
    split: str,
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads `{split}.csv` of AudioCaps: one row a clip, with all its `captions`, `youtube_id` and `start_time` (s).

    The clips may be called `{youtube_id}`, `Y{youtube_id}`, `{youtube_id}_{start}`, `{youtube_id}_{start}_{end}`
    (seconds or milliseconds) or `{audiocap_id}`, in the folder or one of the part's name. A clip that only has the name
    of its video is not taken for two parts of that video.

    Args:
        root: Folder of the CSV.
        split: `"train"`, `"val"` or `"test"`.
        audio_dir: Folder of the clips, if they are not below `root`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to make rows only while the data set is iterated; the CSV is read as a whole all the same, as
            the captions of a clip need not stand together.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not that of AudioCaps.
    """
    check_choice("split", split, SPLITS)
    table = find_file(Path(root), f"{split}.csv", "AudioCaps", AUDIOCAPS)

    def examples() -> Iterator[Example]:
        clips: dict[tuple[str, int], list[TableRow]] = defaultdict(list)
        for row in read_rows(table, ["audiocap_id", "youtube_id", "start_time", "caption"], AUDIOCAPS):
            clips[row.needed("youtube_id"), row.number("start_time")].append(row)
        starts: dict[str, int] = defaultdict(int)
        for video, _ in clips:
            starts[video] += 1
        for (video, start), rows in clips.items():
            stems = [video, f"Y{video}"] if starts[video] == 1 else []
            stems += [f"{video}_{start}"]
            stems += [f"{video}_{start * scale}_{(start + CLIP_S) * scale}" for scale in (1, 1000)]
            names = [f"{split}/{stem}.wav" for stem in stems]
            for row in rows:
                names += [f"./{folder}{row.needed('audiocap_id')}.wav" for folder in ("", f"{split}/")]
            columns = {"captions": [row.needed("caption") for row in rows], "youtube_id": video, "start_time": start}
            yield Example(rows[0].source, names, columns=columns)

    source = Source(table.name, ["captions", "youtube_id", "start_time"], examples, AUDIOCAPS, unique_names=True)
    return build(source, Path(audio_dir or root), check, streaming, num_threads)
