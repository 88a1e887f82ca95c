"""
Finds the clips that an official file names, on disks where they lie otherwise, and checks them.

A clip is found where the file says, or else by its name anywhere below the folder. Two files of one name are told
apart by the folders that the official file names; if those do not decide, the clip counts as missing. A clip of the
training part never stands in for one of the test part.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile
from tqdm.auto import tqdm

from ..audio.audio_loading import AudioDecodeError, load_audio

CHECKS = ("none", "exists", "header", "decode")
EXTENSIONS = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64", ".caf"),
    *(".m4a", ".mp4", ".aac", ".webm", ".mka"),
)

_PARTS = {
    **dict.fromkeys(("train", "training", "dev", "development"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


class ClipFolder:
    """
    A folder of clips.

    Args:
        root: The folder.
        check: How far a clip is looked at: `"none"` not at all, `"exists"` whether there is a file, `"header"` whether
            it starts as audio and promises samples, `"decode"` whether all of it can be decoded.

    Raises:
        ValueError: for another `check`, or if there is no such folder (except with `"none"`).
    """

    def __init__(self, root: Path, check: str) -> None:
        if check not in CHECKS:
            raise ValueError(f"`check` is {check!r}; expected one of {', '.join(map(repr, CHECKS))}.")
        if check != "none" and not root.is_dir():
            raise ValueError(f"There is no folder {root}. Where are the clips?")
        self.root = root
        self.check = check
        self._index: dict[str, list[Path]] | None = None
        self._found: dict[tuple[str, ...], tuple[Path | None, str]] = {}
        self._faults: dict[Path, str] = {}

    def find(self, names: Sequence[str]) -> tuple[Path | None, str]:
        """
        The path of a clip that may have any of `names` (relative to the folder), the first that is there.

        Names that begin with `./` are looked for there alone: `103.wav` may be a file of another data set elsewhere.

        Returns:
            The path and an empty string, or None and why there is none.
        """
        if self.check == "none":
            return self.root / names[0], ""
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
        found = (self.find(names)[0] for names in clips)
        paths = list(dict.fromkeys(path for path in found if path is not None and path not in self._faults))
        with ThreadPoolExecutor(count) as pool:
            faults = pool.map(lambda path: _fault(path, "decode"), paths)
            # `None`: only where somebody looks at the screen
            for path, fault in zip(paths, tqdm(faults, "decoding", len(paths), unit="clip", disable=None), strict=True):
                self._faults[path] = fault

    def _find(self, names: Sequence[str]) -> tuple[Path | None, str]:
        for name in names:
            if name and (self.root / name).is_file():
                return self.root / name, ""
        for same_extension in (True, False):
            for name in (name for name in names if not name.startswith("./")):
                found = self._by_name(name, same_extension)
                if len(found) == 1:
                    return found[0], ""
                if found:
                    shown = " and ".join(str(path.relative_to(self.root)) for path in found[:2])
                    return None, f"{len(found)} files have this name, for example {shown}"
        return None, f"not found in {self.root}"

    def _by_name(self, name: str, same_extension: bool) -> list[Path]:
        """Files of this name anywhere below the root: those of the best fitting folders."""
        parts = _normal(name).split("/")
        index = self._index = _index_of(self.root) if self._index is None else self._index
        found = []
        for path in index.get(_stem(parts[-1]), []):
            theirs = _normal(str(path.relative_to(self.root))).split("/")
            if (theirs[-1] == parts[-1]) >= same_extension and not _other_part(parts[:-1], theirs[:-1]):
                found.append((_common_end(parts[:-1], theirs[:-1]), path))
        best = max((score for score, _ in found), default=0)
        return [path for score, path in found if score == best]


def _index_of(root: Path) -> dict[str, list[Path]]:
    """All audio files below `root` by their names without extensions. Links are followed, circles are not."""
    index: dict[str, list[Path]] = {}
    visited = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(EXTENSIONS):
                index.setdefault(_stem(_normal(file)), []).append(Path(folder, file))
    return index


def _normal(name: str) -> str:
    """One spelling of accents: some file systems and archives write them as two characters."""
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    """A name without an extension of audio and blanks around it; other dots belong to the name."""
    stem, extension = os.path.splitext(name.strip())
    return (stem if extension.lower() in EXTENSIONS else name).strip()


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
