"""Clips with several labels each, in lists: DCASE 2017 task 4, AudioSet (Gemmeke et al., 2017)."""

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .engine import Example, Source, build
from .layout import check_choice, find_file, readable
from .report import ReadReport
from .tables import read_lines, read_rows

DCASE17 = (
    "https://github.com/ankitshah009/Task-4-Large-scale-weakly-supervised-sound-event-detection-for-smart-cars (lists; "
    "the clips are parts of AudioSet's videos)"
)
DCASE17_LABELS = (
    *("train horn", "air horn, truck horn", "car alarm", "reversing beeps", "bicycle", "skateboard"),
    *("ambulance (siren)", "fire engine, fire truck (siren)", "civil defense siren", "police car (siren)"),
    *("screaming", "car", "car passing by", "bus", "truck", "motorcycle", "train"),
)
AUDIOSET = "https://research.google.com/audioset/download.html (lists; the clips are parts of videos)"


def read_dcase17(
    root: str | os.PathLike[str],
    split: str = "evaluation",
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads the weak labels of DCASE 2017 task 4: one row a clip, with its `labels`, and `start_time` in the video (s).

    Args:
        root: Folder with `groundtruth_weak_label_{split}_set.csv`, and the clips below, `Y{youtube_id}_{start}_{end}`
            with or without the `Y`.
        split: `"training"`, `"testing"` or `"evaluation"`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it), a line is not as described, or a label is unknown.
    """
    check_choice("split", split, ("training", "testing", "evaluation"))
    table = find_file(Path(root), f"groundtruth_weak_label_{split}_set.csv", "DCASE 2017 task 4", DCASE17)

    def examples() -> Iterator[Example]:
        clips: dict[str, list[tuple[str, str]]] = {}
        starts: dict[str, int] = {}
        for number, line in enumerate(read_lines(table), start=1):
            if line.strip():
                values = line.split("\t")
                if len(values) != 4:
                    raise ValueError(
                        f"{table.name}:{number} is {line[:80]!r}; expected file, start, end, label with tabs between."
                    )
                where = f"{table.name}:{number}"
                clips.setdefault(values[0].strip(), []).append((values[3], where))
                starts.setdefault(values[0].strip(), _seconds(values[1], where))
        for name, rows in clips.items():
            labels = list(dict.fromkeys(label for said, where in rows for label in _dcase_labels(said, where)))
            bare = name.removeprefix("Y") if len(name.split("_")[0]) == 12 else name
            columns = {"labels": labels, "start_time": starts[name]}
            yield Example(rows[0][1], [name, f"Y{bare}", bare], columns=columns)

    source = Source(table.name, ["labels", "start_time"], examples, DCASE17, unique_names=True)
    return build(source, table.parent, check, streaming, num_threads)


def read_audioset(
    root: str | os.PathLike[str],
    split: str = "eval",
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads a list of AudioSet: `labels` (as in [`audioset_labels`]), `youtube_id`, `start_time` (s).

    Args:
        root: Folder with `{split}_segments.csv` and `class_labels_indices.csv`.
        split: `"eval"`, `"balanced_train"` or `"unbalanced_train"`.
        audio_dir: Folder of the clips, if they are not below `root`: `{youtube_id}.wav`, `Y{youtube_id}.wav`,
            `{youtube_id}_{start}.wav`, or with the end, in seconds or milliseconds.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it), a line is not as described, or a label is unknown.
    """
    check_choice("split", split, ("eval", "balanced_train", "unbalanced_train"))
    table = find_file(Path(root), f"{split}_segments.csv", "AudioSet", AUDIOSET)
    known = _audioset_names(table.parent)

    def examples() -> Iterator[Example]:
        for values in csv.reader(read_lines(table), skipinitialspace=True):
            if not values or values[0].startswith("#"):
                continue
            where = f"{table.name}:{values[0]}"
            if len(values) != 4:
                raise ValueError(f"{where} has {len(values)} values; expected id, start, end and labels.")
            video, start, end = values[0], _seconds(values[1], where), _seconds(values[2], where)
            stems = [video, f"Y{video}", f"{video}_{start}"]
            stems += [f"{video}_{start * scale}_{end * scale}" for scale in (1, 1000)]
            labels = [_known(mid, known, where) for mid in values[3].split(",")]
            columns = {"labels": labels, "youtube_id": video, "start_time": start}
            yield Example(where, [f"{stem}.wav" for stem in stems], columns=columns)

    source = Source(table.name, ["labels", "youtube_id", "start_time"], examples, AUDIOSET, unique_names=True)
    return build(source, Path(audio_dir or root), check, streaming, num_threads)


def audioset_labels(root: str | os.PathLike[str]) -> list[str]:
    """
    The 527 labels of AudioSet in the order of `class_labels_indices.csv`.

    Raises:
        ValueError: if the file is not there or holds something else.
    """
    table = find_file(Path(root), "class_labels_indices.csv", "AudioSet", AUDIOSET)
    return list(_audioset_names(table.parent).values())


def _audioset_names(folder: Path) -> dict[str, str]:
    table = find_file(folder, "class_labels_indices.csv", "AudioSet", AUDIOSET)
    rows = read_rows(table, ["index", "mid", "display_name"], AUDIOSET)
    return {row.needed("mid"): readable(row.needed("display_name")) for row in rows}


def _known(mid: str, names: Mapping[str, str], where: str) -> str:
    if mid not in names:
        raise ValueError(f"{where}: the label {mid!r} is not among the {len(names)} of class_labels_indices.csv.")
    return names[mid]


def _dcase_labels(said: str, where: str) -> list[str]:
    """The labels of a line: one, or several with commas between; two of the labels have a comma of their own."""
    words, labels = [readable(word) for word in said.split(",")], []
    while words:
        pair = ", ".join(words[:2])
        label = pair if pair in DCASE17_LABELS else words[0]
        if label not in DCASE17_LABELS:
            raise ValueError(f"{where}: {label!r} is none of the {len(DCASE17_LABELS)} labels of the task.")
        labels.append(label)
        del words[: 2 if label == pair else 1]
    return labels


def _seconds(text: str, where: str) -> int:
    try:
        return round(float(text))
    except ValueError:
        raise ValueError(f"{where}: {text!r} is no time; expected seconds.") from None
