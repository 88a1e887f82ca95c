"""Clips on a disk: the suffixes of audio, and what systems and programs leave beside clips, which is no data."""

import os
import re
from dataclasses import dataclass, field

AUDIO_SUFFIXES = tuple(
    f".{suffix}"
    for suffix in (
        *("wav", "flac", "ogg", "oga", "opus", "mp3", "aiff", "aif", "aifc", "au", "snd", "w64", "rf64", "caf"),
        *("m4a", "mp4", "aac", "webm", "mka", "wma"),
    )
)
# In lower case. macOS, Windows and the usual network disks make them, and archives carry them along.
_LITTER = frozenset(
    {
        *("__macosx", "@eadir", "@tmp", "#recycle", "@recycle", "#snapshot", "$recycle.bin"),
        *("system volume information", "lost+found", "thumbs.db", "desktop.ini", "__pycache__"),
    }
)
_CHECKPOINT = re.compile(r"(tmp-)?checkpoint-\d+")  # what `Trainer` writes


@dataclass(frozen=True)
class AudioTree:
    """
    What lies below a folder.

    Attributes:
        files: Paths of audio files, in the order of their names.
        passed_over: Folders that were not looked into, as they hold no data; each by its path.
        unreadable: Folders that cannot be read, and why.
    """

    files: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def is_litter(name: str) -> bool:
    """
    Whether a file or folder of this name is no data: hidden, of a system, or a checkpoint of a training.

    Example:
    ```python
    >>> [name for name in (".Trash", "._dog.wav", "__MACOSX", "checkpoint-12", "dog") if is_litter(name)]
    ['.Trash', '._dog.wav', '__MACOSX', 'checkpoint-12']

    ```
    """
    return name.startswith(".") or name.lower() in _LITTER or _CHECKPOINT.fullmatch(name) is not None


def is_audio(name: str) -> bool:
    """Whether a file of this name is a clip."""
    return name.lower().endswith(AUDIO_SUFFIXES) and not is_litter(name)


def names_audio(text: str) -> bool:
    """
    Whether a string that is to be read as words names a recording: a file that is there, or a bare name of one.

    Example:
    ```python
    >>> [text for text in ("dog.wav", "clips/rain.opus", "a dog", "saved as .wav") if names_audio(text)]
    ['dog.wav', 'clips/rain.opus']

    ```
    """
    if not text.lower().endswith(AUDIO_SUFFIXES):
        return False
    return len(text.split()) == 1 or os.path.isfile(text)


def audio_below(root: str | os.PathLike[str]) -> AudioTree:
    """All clips below a folder. Links are followed, circles are not; what [`is_litter`] is left out."""
    tree, visited = AudioTree(), set()

    def cannot(error: OSError) -> None:
        tree.unreadable.append(f"{error.filename} ({error.strerror})")

    for folder, folders, files in os.walk(root, onerror=cannot, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        tree.passed_over.extend(os.path.join(folder, name) for name in sorted(folders) if is_litter(name))
        folders[:] = sorted(name for name in folders if not is_litter(name))
        tree.files.extend(os.path.join(folder, name) for name in sorted(files) if is_audio(name))
    return tree


__all__ = ["AUDIO_SUFFIXES", "AudioTree", "audio_below", "is_audio", "is_litter", "names_audio"]
