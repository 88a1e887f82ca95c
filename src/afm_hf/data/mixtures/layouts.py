"""The layouts of data sets by name, as commands and training recipes take them: `--dataset NAME --data PATH`."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..audiocaps import read_audiocaps
from ..captions import read_fsd50k_captions, read_sounddescs, read_wavcaps
from ..clotho import read_clotho
from ..clotho_aqa import read_clotho_aqa
from ..folders import read_audio_folder, read_table
from ..label_folders import read_label_folders
from ..label_sets import read_esc50, read_fsd50k, read_urbansound8k
from ..listed_clips import read_nsynth, read_speech_commands, read_vocalsound
from ..macs import read_macs
from ..named_clips import read_named_clips
from ..questions import read_differences, read_reasonaqa
from ..report import ReadReport
from ..tagged_clips import read_audioset
from ..wavtext5k import read_wavtext5k


@dataclass(frozen=True)
class Layout:
    """
    How a data set lies on the disk.

    Attributes:
        read: Its reader, of a path, and of a part where there are official ones.
        train: The official part that is trained on, as `train` or folds (`1,2,3,4`); empty if there are none.
        held_out: The official part that is held out; empty if there is none.
        has_audio_dir: Whether the reader takes the folder of the clips.
    """

    read: Callable[..., tuple[Any, ReadReport]]
    train: str = ""
    held_out: str = ""
    has_audio_dir: bool = False


LAYOUTS: dict[str, Layout] = {
    "folder": Layout(read_audio_folder),
    "label_folders": Layout(read_label_folders),
    "table": Layout(read_table, has_audio_dir=True),
    "wavtext5k": Layout(read_wavtext5k, has_audio_dir=True),
    "reasonaqa": Layout(read_reasonaqa, has_audio_dir=True),
    "differences": Layout(read_differences, has_audio_dir=True),
    "macs": Layout(read_macs, has_audio_dir=True),
    "wavcaps": Layout(read_wavcaps, "all", has_audio_dir=True),
    "sounddescs": Layout(read_sounddescs, "train", "val", has_audio_dir=True),
    "crema_d": Layout(partial(read_named_clips, "crema-d")),
    "ravdess": Layout(partial(read_named_clips, "ravdess")),
    "clotho": Layout(read_clotho, "development", "validation", has_audio_dir=True),
    "audiocaps": Layout(read_audiocaps, "train", "val", has_audio_dir=True),
    "clotho_aqa": Layout(read_clotho_aqa, "train", "val"),
    "fsd50k": Layout(read_fsd50k, "train", "val"),
    "fsd50k_captions": Layout(read_fsd50k_captions, "train", "val"),
    "audioset": Layout(read_audioset, "unbalanced_train", "eval"),
    "nsynth": Layout(read_nsynth, "train", "valid"),
    "speech_commands": Layout(read_speech_commands, "train", "validation"),
    "vocalsound": Layout(read_vocalsound, "train", "validation", has_audio_dir=True),
    "esc50": Layout(read_esc50, "1,2,3,4", "5"),
    "urbansound8k": Layout(read_urbansound8k, "1,2,3,4,5,6,7,8,9", "10"),
}


def layout_of(name: str) -> Layout:
    """
    The layout of a name.

    Raises:
        ValueError: if there is none.
    """
    if name not in LAYOUTS:
        raise ValueError(f"The layout of the data set is {name!r}; expected one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def read_layout(
    name: str,
    path: str | os.PathLike[str],
    split: str | None = None,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
) -> tuple[Any, ReadReport]:
    """
    Reads a data set by the name of its layout.

    Args:
        name: Of the layout, a key of [`LAYOUTS`].
        path: Folder or file of the data set.
        split: An official part, or folds as `1,2,3`; by default the part that is trained on.
        audio_dir: Folder of the clips, for layouts that are a table.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.

    Returns:
        The data set, and the report of what was left out.

    Raises:
        ValueError: if there is no such layout, it has no parts or knows where its clips are, or as its reader.
    """
    layout = layout_of(name)
    others: dict[str, Any] = {"check": check, "streaming": streaming}
    if audio_dir is not None:
        if not layout.has_audio_dir:
            raise ValueError(f"The layout {name} knows where its clips are: give no folder of clips.")
        others["audio_dir"] = audio_dir
    if not layout.train:
        if split:
            raise ValueError(f"The layout {name} has no official parts, but {split!r} was asked for.")
        return layout.read(path, **others)
    chosen = split or layout.train
    part: Any = [int(fold) for fold in chosen.split(",")] if chosen[0].isdigit() else chosen
    return layout.read(path, part, **others)


def clips_folder(path: str | os.PathLike[str], audio_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder that the names of a data set's clips are told relative to."""
    if audio_dir is not None:
        return Path(audio_dir)
    return Path(path) if Path(path).is_dir() else Path(path).parent


__all__ = ["LAYOUTS", "Layout", "clips_folder", "layout_of", "read_layout"]
