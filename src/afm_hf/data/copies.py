"""One recording in several files: the same clip as WAV and MP3, at 16 and at 44.1 kHz, or in two folders of a copy."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import soundfile

_LOSSY = (".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".mka", ".wma")
_PADDING_S = 0.25  # what codecs add to a clip's ends


def best_copy(paths: Sequence[Path]) -> Path:
    """The file that keeps most of a recording: readable, without loss, at the highest rate; else the first."""
    return max(paths, key=lambda path: (bool(_rate(path)), path.suffix.lower() not in _LOSSY, _rate(path)))


def without_copies(paths: Iterable[Path]) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """
    Clips of which no two are the same recording in two formats: files of one folder and name, and of one length.

    Returns:
        Those that are to be read, in the given order, and of each other one the file that is read instead, and itself.
    """
    every = list(paths)
    groups: dict[Path, list[Path]] = {}
    for path in every:
        groups.setdefault(path.with_suffix(""), []).append(path)
    instead: dict[Path, Path] = {}
    for group in groups.values():
        if len(group) > 1 and _one_length(group):
            best = best_copy(group)
            instead.update((path, best) for path in group if path != best)
    return [path for path in every if path not in instead], [(best, path) for path, best in instead.items()]


def _one_length(paths: Sequence[Path]) -> bool:
    lengths = [length for path in paths if (length := _seconds(path))]
    return len(lengths) == len(paths) and max(lengths) - min(lengths) <= _PADDING_S


def _rate(path: Path) -> int:
    info = _header(path)
    return int(info.samplerate) if info is not None and info.frames > 0 else 0


def _seconds(path: Path) -> float:
    info = _header(path)
    return info.frames / info.samplerate if info is not None and info.samplerate else 0.0


def _header(path: Path) -> "soundfile._SoundFileInfo | None":
    try:
        return soundfile.info(str(path))
    except (OSError, RuntimeError, TypeError, ValueError):  # another decoder may know the format
        return None


__all__ = ["best_copy", "without_copies"]
