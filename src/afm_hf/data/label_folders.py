"""
A folder of clips for each label; and what looks like one and is none: parts of a data set, folds, formats of one clip.

`root/train/dog/1.wav` would make a label of `train`, and an evaluation would run on it. Folders of parts are therefore
read as what they are, or refused.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ..audio.audio_folders import AUDIO_SUFFIXES, AudioTree, audio_below
from .copies import without_copies
from .engine import Example, Source, build
from .labels import LabelBook, label_of_folder
from .report import Note, ReadReport

_PARTS = {
    "train": ("train", "training", "trainset"),
    "validation": ("val", "valid", "validation", "dev", "devel", "development", "valset", "devset"),
    "test": ("test", "testing", "eval", "evaluation", "testset", "evalset"),
}
_PART_WORDS = {word for words in _PARTS.values() for word in words}
_BESIDE_PARTS = {"set", "split", "part", "data", "dataset", "audio", "clips", "files", "sounds", "wav", "wavs"}
_FOLD = re.compile(r"(?:fold|split|cv)[ _-]*(\d+)")
_FORMAT = re.compile(rf"(?:.*[\W_])?(?:{'|'.join(suffix[1:] for suffix in AUDIO_SUFFIXES)}|\d+(?:\.\d+)? ?k(?:hz)?)s?")


@dataclass(frozen=True)
class LabelFolders:
    """
    Clips in folders of labels.

    Attributes:
        root: The folder.
        clips: Paths in `root`, with label and fold (None where there are no folds).
        beside: Paths of clips that are in no folder.
        notes: What is to be known of them.
    """

    root: Path
    clips: Sequence[tuple[str, str, int | None]]
    beside: Sequence[str] = ()
    notes: Sequence[str] = ()
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_folds(self) -> bool:
        """Whether the labels are in folders of folds."""
        return any(fold is not None for _, _, fold in self.clips)


def read_label_folders(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads a folder with one folder of clips for each label: `root/dog barking/1.wav`.

    The name of the folder is `label`, without underscores; `source` is the clip's path in `root`. Folders of folds
    (`root/fold1/dog/1.wav`) become the column `fold`. Hidden folders and what systems leave behind are no labels, one
    clip in two formats is read once; the report tells of both, and of clips that lie beside the folders.

    Args:
        root: The folder.
        split: The part, where `root` has a folder for each (`root/train/dog/1.wav`): its folder, or `"train"`,
            `"validation"`, `"test"`, however it is called there.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if there are no folders with clips, they are parts of a data set and not labels, or no clip can be
            used.
    """
    found = find_label_folders(Path(root), split)
    columns = ["label", *(["fold"] if found.has_folds else [])]
    source = Source(found.root.name, columns, lambda: label_examples(found), notes=found.notes)
    return build(source, found.root, check, streaming, num_threads)


def label_examples(found: LabelFolders, template: str | None = None) -> Iterator[Example]:
    """The rows of labelled folders; with a template (`"a sound of {}"`) also with `captions`."""
    book = LabelBook()
    for clip, label, fold in found.clips:
        columns: dict[str, Any] = {"label": label, **({"fold": fold} if found.has_folds else {})}
        if template is not None:
            columns["captions"] = [template.format(label)]
        notes = book.notes(label)
        if clip in found.copies:
            case = f"{clip} and not {found.copies[clip]}"
            notes.append(Note("recordings are there in several files, of which the best is read", 1, case))
        yield Example(clip, [f"./{clip}"], columns=columns, notes=notes)
    for clip in found.beside:
        yield Example(clip, [f"./{clip}"], without_text="no label: it lies beside the folders of labels")


def find_label_folders(root: Path, split: str | None = None) -> LabelFolders:
    """
    The clips of a folder of labels.

    Raises:
        ValueError: if it is none, with what it is instead.
    """
    folder = part_folder(root, split)
    tree = audio_below(folder)
    kept, copies = without_copies(map(Path, tree.files))
    paths = [path.relative_to(folder).parts for path in kept]
    beside = ["/".join(parts) for parts in paths if len(parts) == 1]
    inside = [parts for parts in paths if len(parts) > 1]
    if not inside:
        raise ValueError(f"{folder} has no folders with clips; expected {folder / 'some label' / 'clip.wav'}.")
    depth = _depth_of_labels(folder, inside)
    clips = [("/".join(parts), label_of_folder(parts[depth]), _fold(parts, depth)) for parts in inside]
    shown = {_shown(folder, best): _shown(folder, other) for best, other in copies}
    return LabelFolders(folder, clips, beside, [*tree_notes(folder, tree), *_same_labels(inside, depth)], shown)


def part_folder(root: Path, split: str | None) -> Path:
    """
    The folder of a part; `root` itself for None.

    Raises:
        ValueError: if there is no such folder, with those that there are.
    """
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}.")
    if split is None:
        return root
    wanted = split.strip().lower()
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    alike = next((words for words in _PARTS.values() if wanted in words), (wanted,))
    exact = [path for path in folders if path.name.lower() == wanted]
    found = exact or [path for path in folders if set(_words(path.name)) & set(alike) and is_part(path.name)]
    if len(found) != 1:
        parts = ", ".join(path.name for path in folders if is_part(path.name)) or "none"
        many = f"{len(found)} folders" if found else "no folder"
        raise ValueError(f"{root} has {many} for the part {split!r}; its folders of parts are: {parts}.")
    return found[0]


def is_part(name: str) -> bool:
    """
    Whether a folder is called as a part of a data set, in any case.

    Example:
    ```python
    >>> [name for name in ("Train", "val", "test_audio", "fold1", "train horn", "dog") if is_part(name)]
    ['Train', 'val', 'test_audio', 'fold1']

    ```
    """
    words = set(_words(name))
    of_part = bool(words & _PART_WORDS) and all(w in _PART_WORDS | _BESIDE_PARTS or w.isdigit() for w in words)
    return of_part or _FOLD.fullmatch(name.lower()) is not None


def tree_notes(root: Path, tree: AudioTree) -> list[str]:
    """What was not looked into, in words."""
    said = (("holding no data, these were passed over", tree.passed_over), ("cannot be read", tree.unreadable))
    return [f"folders {what}: {_some([_shown(root, each) for each in names])}" for what, names in said if names]


def _depth_of_labels(root: Path, clips: Sequence[tuple[str, ...]]) -> int:
    """Which folder of a path is the label: the first; the second, below folders of folds."""
    top = list(dict.fromkeys(parts[0] for parts in clips))
    parts = [name for name in top if is_part(name)]
    if parts and all(_FOLD.fullmatch(name.lower()) for name in top) and all(len(clip) > 2 for clip in clips):
        return 1
    if parts and not _is_a_railway(top, parts, clips):
        others = f" (beside {_some([name for name in top if name not in parts])})" if len(parts) < len(top) else ""
        raise ValueError(
            f"{root} holds parts of a data set, {_some(parts)}{others}, which are no labels. Read one part: pass its "
            f"name, `split={parts[0]!r}` or `--split {parts[0]}`. If they are labels after all, call their folders "
            "otherwise, or write a metadata.csv with the columns file_name and label."
        )
    deeper = {clip[1] for clip in clips if len(clip) > 2}
    if (len(top) == 1 and len(deeper) > 1) or all(_FORMAT.fullmatch(name.lower()) for name in top):
        raise ValueError(
            f"{root} holds the folder{'s' * (len(top) > 1)} {_some(top)}, not a folder for each label. Pass the folder "
            f"that holds the folders of labels: is it {root / top[0]}?"
        )
    return 0


def _is_a_railway(top: Sequence[str], parts: Sequence[str], clips: Sequence[tuple[str, ...]]) -> bool:
    """Whether the one folder `train` among those of other labels is the sound of trains."""
    if [name.lower() for name in parts] != ["train"] or len(top) < 2:
        return False
    below = {clip[1] for clip in clips if clip[0] == parts[0] and len(clip) > 2}
    flat = any(clip[0] == parts[0] and len(clip) == 2 for clip in clips)
    return flat or len(below) < 2


def _fold(parts: Sequence[str], depth: int) -> int | None:
    found = _FOLD.fullmatch(parts[0].lower()) if depth else None
    return int(found[1]) if found else None


def _same_labels(clips: Sequence[tuple[str, ...]], depth: int) -> list[str]:
    """Folders whose names are one label: `dog_bark` and `dog bark`."""
    names: dict[str, dict[str, None]] = {}
    for parts in clips:
        names.setdefault(label_of_folder(parts[depth]), {})[parts[depth]] = None
    return [
        f"the folders {', '.join(map(repr, each))} are one label, {label!r}"
        for label, each in names.items()
        if len(each) > 1
    ]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+|(?<=\D)(?=\d)", name.lower()) if word]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _shown(root: Path, path: str | Path) -> str:
    inside = PurePath(path)
    return inside.relative_to(root).as_posix() if inside.is_relative_to(root) else str(path)


__all__ = ["LabelFolders", "find_label_folders", "is_part", "label_examples", "part_folder", "read_label_folders"]
