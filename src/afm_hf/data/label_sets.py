"""Clips with labels: ESC-50 (Piczak, 2015), UrbanSound8K (Salamon et al., 2014), FSD50K (Fonseca et al., 2022)."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .engine import Example, Source, build
from .layout import check_choice, check_folds, find_file, readable
from .report import ReadReport
from .tables import TableRow, read_lines, read_rows

ESC50 = "https://github.com/karolpiczak/ESC-50"
URBANSOUND8K = "https://doi.org/10.5281/zenodo.1203745"
FSD50K = "https://doi.org/10.5281/zenodo.4060432"
# As they stand in prompts, in the order of their numbers.
ESC50_LABELS = (
    *("dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow"),
    *("rain", "sea waves", "crackling fire", "crickets", "chirping birds"),
    *("water drops", "wind", "pouring water", "toilet flush", "thunderstorm"),
    *("crying baby", "sneezing", "clapping", "breathing", "coughing"),
    *("footsteps", "laughing", "brushing teeth", "snoring", "drinking sipping"),
    *("door wood knock", "mouse click", "keyboard typing", "door wood creaks", "can opening"),
    *("washing machine", "vacuum cleaner", "clock alarm", "clock tick", "glass breaking"),
    *("helicopter", "chainsaw", "siren", "car horn", "engine"),
    *("train", "church bells", "airplane", "fireworks", "hand saw"),
)
URBANSOUND8K_LABELS = (
    *("air conditioner", "car horn", "children playing", "dog bark", "drilling"),
    *("engine idling", "gun shot", "jackhammer", "siren", "street music"),
)
FSD50K_SPLITS = ("train", "val", "dev", "eval")


def read_esc50(
    root: str | os.PathLike[str],
    folds: Sequence[int] | None = None,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads ESC-50: `label` (`"dog"`, `"chirping birds"`), `label_id` (0 to 49), `fold` (1 to 5).

    Args:
        root: Folder with `meta/esc50.csv` and `audio/`.
        folds: Folds to read; by default all. Use the official ones: clips of one recording share a fold.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not that of ESC-50.
    """
    table, wanted = find_file(Path(root), "meta/esc50.csv", "ESC-50", ESC50), check_folds(folds, 5)

    def examples() -> Iterator[Example]:
        for row in read_rows(table, ["filename", "fold", "target", "category"], ESC50):
            if row.number("fold") in wanted:
                yield Example(
                    row.source, [f"audio/{row.needed('filename')}"], columns=_label(row, "category", "target")
                )

    return build(
        Source(table.name, ["label", "label_id", "fold"], examples, ESC50),
        table.parents[1],
        check,
        streaming,
        num_threads,
    )


def read_urbansound8k(
    root: str | os.PathLike[str],
    folds: Sequence[int] | None = None,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads UrbanSound8K: `label` (`"dog bark"`), `label_id` (0 to 9), `fold` (1 to 10).

    Args:
        root: Folder with `metadata/UrbanSound8K.csv` and `audio/fold1` to `audio/fold10`.
        folds: Folds to read; by default all. Use the official ones: clips of one recording share a fold.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not that of UrbanSound8K.
    """
    table = find_file(Path(root), "metadata/UrbanSound8K.csv", "UrbanSound8K", URBANSOUND8K)
    wanted = check_folds(folds, 10)

    def examples() -> Iterator[Example]:
        for row in read_rows(table, ["slice_file_name", "fold", "classID", "class"], URBANSOUND8K):
            fold = row.number("fold")
            if fold in wanted:
                name = f"audio/fold{fold}/{row.needed('slice_file_name')}"
                yield Example(row.source, [name], columns=_label(row, "class", "classID"))

    source = Source(table.name, ["label", "label_id", "fold"], examples, URBANSOUND8K)
    return build(source, table.parents[1], check, streaming, num_threads)


def read_fsd50k(
    root: str | os.PathLike[str],
    split: str,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads FSD50K: `labels`, the several labels of a clip, as in [`fsd50k_labels`].

    Args:
        root: Folder with `FSD50K.ground_truth/` and `FSD50K.dev_audio/`, `FSD50K.eval_audio/`.
        split: `"train"` or `"val"` (of `dev.csv`), `"dev"` (both) or `"eval"`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it), the file is not that of FSD50K, or a label is not in
            its vocabulary.
    """
    check_choice("split", split, FSD50K_SPLITS)
    part = "eval" if split == "eval" else "dev"
    table = find_file(Path(root), f"FSD50K.ground_truth/{part}.csv", "FSD50K", FSD50K)
    vocabulary = set(fsd50k_labels(root))

    def examples() -> Iterator[Example]:
        for row in read_rows(table, ["fname", "labels", *(["split"] if part == "dev" else [])], FSD50K):
            if split not in ("train", "val") or row.needed("split") == split:
                # Numbers for names: other data sets have them too, so they are looked for in these folders alone.
                folders = (f"FSD50K.{part}_audio", f"{part}_audio", part)
                name = row.needed("fname")
                names = [f"./{folder}/{name}{end}" for end in (".wav", ".flac", ".ogg") for folder in folders]
                yield Example(row.source, names, columns={"labels": _known_labels(row, vocabulary)})

    return build(Source(table.name, ["labels"], examples, FSD50K), table.parents[1], check, streaming, num_threads)


def fsd50k_labels(root: str | os.PathLike[str]) -> list[str]:
    """
    The 200 labels of FSD50K in the order of `vocabulary.csv` (which has no header), as the papers prompt with them.

    Raises:
        ValueError: if the file is not there or holds something else.
    """
    path = find_file(Path(root), "FSD50K.ground_truth/vocabulary.csv", "FSD50K", FSD50K)
    labels = []
    for number, line in enumerate(read_lines(path), start=1):
        values = line.split(",")
        if len(values) != 3 or values[0] != str(number - 1):
            raise ValueError(f"{path.name}:{number} is {line!r}; expected `{number - 1},label,id`.")
        labels.append(readable(values[1]))
    return labels


def _label(row: TableRow, name: str, number: str) -> dict[str, Any]:
    return {"label": readable(row.needed(name)), "label_id": row.number(number), "fold": row.number("fold")}


def _known_labels(row: TableRow, vocabulary: set[str]) -> list[str]:
    labels = [readable(label) for label in row.needed("labels").split(",")]
    unknown = [label for label in labels if label not in vocabulary]
    if unknown:
        raise ValueError(f"{row.source}: {', '.join(map(repr, unknown))} not in the vocabulary of {len(vocabulary)}.")
    return labels
