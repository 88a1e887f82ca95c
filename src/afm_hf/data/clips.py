"""
Finds the clips that an official file names, on disks where they lie otherwise, and checks them.

A clip is found where the file says, or else by its name anywhere below the folder. Two files of one name are told
apart by the folders that the official file names; if those do not decide, the clip counts as missing, unless names of
that data set say which recording it is. A clip of the training part never stands in for one of the test part.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import soundfile
from tqdm.auto import tqdm

from ..audio.audio_folders import AUDIO_SUFFIXES, audio_below
from ..audio.audio_loading import AudioDecodeError, load_audio
from .copies import best_copy
from .report import Note

CHECKS = ("none", "exists", "header", "decode")
_PARTS = {
    **dict.fromkeys(("train", "training", "dev", "development"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


class Found(NamedTuple):
    """
    Where a clip is.

    Attributes:
        path: Its file; None if there is none.
        reason: Why there is none.
        note: What the report has to say about the place, if anything.
    """

    path: Path | None
    reason: str = ""
    note: Note | None = None


class ClipFolder:
    """
    A folder of clips.

    Args:
        root: The folder.
        check: How far a clip is looked at: `"none"` not at all, `"exists"` whether there is a file, `"header"` whether
            it starts as audio and promises samples, `"decode"` whether all of it can be decoded.
        unique_names: Whether two files of one name are one recording, in two formats or rates.

    Raises:
        ValueError: for another `check`, or if there is no such folder (except with `"none"`).
    """

    def __init__(self, root: Path, check: str, unique_names: bool = False) -> None:
        if check not in CHECKS:
            raise ValueError(f"`check` is {check!r}; expected one of {', '.join(map(repr, CHECKS))}.")
        if check != "none" and not root.is_dir():
            raise ValueError(f"There is no folder {root}. Where are the clips?")
        self.root = root
        self.check = check
        self.unique_names = unique_names
        self._index: dict[str, list[Path]] | None = None
        self._found: dict[tuple[str, ...], Found] = {}
        self._faults: dict[Path, str] = {}

    def find(self, names: Sequence[str]) -> Found:
        """
        The clip that may have any of `names` (relative to the folder), the first that is there.

        Names that begin with `./` are looked for there alone: `103.wav` may be a file of another data set elsewhere.
        Backslashes part folders, as in tables made on Windows, unless there is a file with one in its name.
        """
        if self.check == "none":
            return Found(self.root / _with_slashes(names[0]))
        key = tuple(names)
        if key not in self._found:
            self._found[key] = self._find(names)
        return self._found[key]

    def fault(self, path: Path) -> str:
        """What is wrong with the clip, as far as `check` looks; empty if nothing is. Each clip is looked at once."""
        if self.check in ("none", "exists"):
            return ""
        if path not in self._faults:
            self._faults[path] = _fault(path, self.check)
        return self._faults[path]

    def decode_all(self, clips: Iterable[Sequence[str]], num_threads: int | None = None) -> None:
        """
        Decodes each clip that is there, once, with a progress bar; [`fault`] then knows about it.

        In threads, for decoders let go of Python's lock.

        Args:
            clips: Names that each may have, as for [`find`].
            num_threads: How many at a time; by default one per core.

        Raises:
            ValueError: for less than one thread.
        """
        count = (os.cpu_count() or 1) if num_threads is None else num_threads
        if count < 1:
            raise ValueError(f"`num_threads` is {num_threads}; expected 1 or more.")
        found = (self.find(names).path for names in clips)
        paths = list(dict.fromkeys(path for path in found if path is not None and path not in self._faults))
        with ThreadPoolExecutor(count) as pool:
            faults = pool.map(lambda path: _fault(path, "decode"), paths)
            # `None`: only where somebody looks at the screen
            for path, fault in zip(paths, tqdm(faults, "decoding", len(paths), unit="clip", disable=None), strict=True):
                self._faults[path] = fault

    def _find(self, names: Sequence[str]) -> Found:
        portable = [_with_slashes(name) for name in names]
        for name in (*names, *portable):
            # not `Path.is_file`: it raises where a name is too long for the disk
            if name and os.path.isfile(self.root / name):
                return Found(self.root / name)
        for same_extension in (True, False):
            for name in (name for name in portable if not name.startswith("./")):
                found = self._by_name(name, same_extension)
                if len(found) > 1 and self.unique_names:
                    return self._copy(found)
                if len(found) == 1:
                    return Found(found[0], note=self._elsewhere(name, found[0]))
                if found:
                    shown = " and ".join(map(self._shown, found[:2]))
                    return Found(None, f"{len(found)} files have this name, for example {shown}")
        return Found(None, f"not found in {self.root}")

    def _copy(self, found: Sequence[Path]) -> Found:
        """One of several files of the same recording."""
        best = best_copy(found)
        other = next(path for path in found if path != best)
        case = f"{self._shown(best)} and not {self._shown(other)}"
        return Found(best, note=Note("recordings are there in several files, of which the best is read", 1, case))

    def _elsewhere(self, name: str, path: Path) -> Note | None:
        """Says so where a clip lies in a folder that the table does not name: it may be another one."""
        ours, theirs = (_normal(each).split("/")[:-1] for each in (name, self._shown(path)))
        if self.unique_names or not ours or not theirs or _common_end(ours, theirs):
            return None
        return Note("clips were found by name, in another folder", 1, f"{name} at {self._shown(path)}")

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _by_name(self, name: str, same_extension: bool) -> list[Path]:
        """Files of this name anywhere below the root: those of the best fitting folders."""
        parts = _normal(name).split("/")
        index = self._index = _index_of(self.root) if self._index is None else self._index
        found = []
        for path in index.get(_stem(parts[-1]), []):
            theirs = _normal(self._shown(path)).split("/")
            if (theirs[-1] == parts[-1]) >= same_extension and not _other_part(parts[:-1], theirs[:-1]):
                found.append((_common_end(parts[:-1], theirs[:-1]), path))
        best = max((score for score, _ in found), default=0)
        return [path for score, path in found if score == best]


def _index_of(root: Path) -> dict[str, list[Path]]:
    """All audio files below `root` by their names without extensions."""
    index: dict[str, list[Path]] = {}
    for file in audio_below(root).files:
        index.setdefault(_stem(_normal(os.path.basename(file))), []).append(Path(file))
    return index


def _with_slashes(name: str) -> str:
    """A path as it is written everywhere but on Windows."""
    return name.replace("\\", "/")


def _normal(name: str) -> str:
    """One spelling of accents: some file systems and archives write them as two characters."""
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    """A name without an extension of audio and blanks around it; other dots belong to the name."""
    stem, extension = os.path.splitext(name.strip())
    return (stem if extension.lower() in AUDIO_SUFFIXES else name).strip()


def _common_end(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """How many of the last folders are the same."""
    count = 0
    while count < min(len(ours), len(theirs)) and ours[-1 - count] == theirs[-1 - count]:
        count += 1
    return count


def _other_part(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether the folders speak of different parts of a data set, as `train` and `evaluation`."""
    expected, given = _part_of(ours), _part_of(theirs)
    return expected is not None and given is not None and expected != given


def _part_of(folders: Sequence[str]) -> str | None:
    for folder in reversed(folders):
        for word in re.split(r"[^a-z]+", folder.lower()):
            if word in _PARTS:
                return _PARTS[word]
    return None


def _fault(path: Path, check: str) -> str:
    if check == "header":
        try:
            info = soundfile.info(str(path))
        # soundfile's own is a RuntimeError; a TypeError comes for `.raw`
        except (OSError, RuntimeError, TypeError, ValueError):
            # Another decoder may know the format.
            return _decode_fault(path, 1.0)
        return "no samples" if info.frames <= 0 else ""
    return _decode_fault(path, None)


def _decode_fault(path: Path, duration_s: float | None) -> str:
    try:
        load_audio(path, None, duration_s=duration_s)
    except AudioDecodeError as error:
        return error.reason
    return ""
