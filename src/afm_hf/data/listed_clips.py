"""Clips with one label each, in lists: TUT 2017, NSynth, Speech Commands, VocalSound, ESC-50's human sounds."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..audio.audio_folders import is_litter
from .engine import Example, Source, build
from .label_sets import ESC50
from .layout import check_choice, check_folds, find_file, readable
from .report import ReadReport
from .tables import read_lines, read_rows, read_text

TUT2017 = "https://doi.org/10.5281/zenodo.400515 (development), https://doi.org/10.5281/zenodo.1040168 (evaluation)"
NSYNTH = "https://magenta.tensorflow.org/datasets/nsynth"
SPEECH_COMMANDS = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
VOCALSOUND = "https://github.com/YuanGongND/vocalsound"
NSYNTH_LABELS = ("instrument_family", "instrument_source", "pitch", "velocity", "qualities")
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SPOKEN_WORDS = (
    *KEYWORDS,
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("backward", "bed", "bird", "cat", "dog", "follow", "forward", "happy", "house", "learn"),
    *("marvin", "sheila", "tree", "visual", "wow"),
)
TUT2017_LABELS = (
    *("beach", "bus", "cafe or restaurant", "car", "city center", "forest path", "grocery store", "home"),
    *("library", "metro station", "office", "park", "residential area", "train", "tram"),
)
VOCAL_SOUNDS = {
    **{"laughter": "laughter", "sigh": "sigh", "cough": "cough"},
    **{"throatclearing": "throat clearing", "sneeze": "sneeze", "sniff": "sniff"},
}
ESC50_ACTIONS = range(20, 30)  # "human, non-speech sounds": crying baby to drinking, sipping


def read_tut2017(
    root: str | os.PathLike[str],
    folds: tuple[int, ...] | None = None,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads TUT Acoustic Scenes 2017, development or evaluation: `label`; `fold` (1 to 4, in which the clip is tested).

    Args:
        root: Folder with `meta.txt` and `audio/`, of the development set also with `evaluation_setup/`.
        folds: Of the development set; by default all. In the evaluation set `fold` is None.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it), or a line is not as described.
    """
    table = find_file(Path(root), "meta.txt", "TUT Acoustic Scenes 2017", TUT2017)
    of_clip = _tut_folds(table.parent)
    if folds is not None and not of_clip:
        raise ValueError(f"{table.parent} has no evaluation_setup/fold1_evaluate.txt, so it has no folds to choose.")
    wanted = check_folds(folds, 4)

    def examples() -> Iterator[Example]:
        for number, line in enumerate(read_lines(table), start=1):
            if not line.strip():
                continue
            values = line.split("\t")
            if len(values) < 2:
                raise ValueError(f"{table.name}:{number} is {line[:80]!r}; expected file and scene with a tab between.")
            name, fold = values[0].strip(), of_clip.get(Path(values[0].strip()).name)
            if folds is None or fold in wanted:
                label = readable(values[1]).replace("/", " or ")
                yield Example(f"{table.name}:{number}", [name], columns={"label": label, "fold": fold})

    return build(Source(table.name, ["label", "fold"], examples, TUT2017), table.parent, check, streaming, num_threads)


def read_nsynth(
    root: str | os.PathLike[str],
    split: str = "test",
    label: str = "instrument_family",
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads NSynth (Engel et al., 2017): `label`, or `labels` for the qualities, of which a note may have several or none.

    Args:
        root: Folder of `nsynth-{split}/examples.json` and `nsynth-{split}/audio/`.
        split: `"train"`, `"valid"` or `"test"`.
        label: `"instrument_family"`, `"instrument_source"`, `"pitch"` (MIDI), `"velocity"` or `"qualities"`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not NSynth's.
    """
    check_choice("split", split, ("train", "valid", "test"))
    check_choice("label", label, NSYNTH_LABELS)
    folder = Path(root) if (Path(root) / "examples.json").is_file() else Path(root) / f"nsynth-{split}"
    table = find_file(folder if folder.is_dir() else Path(root), "examples.json", f"NSynth {split}", NSYNTH)
    column = {"qualities": "labels"}.get(label, "label")
    field = label if label in ("pitch", "velocity") else f"{label}_str"

    def examples() -> Iterator[Example]:
        for note, about in _json(table, dict).items():
            if not isinstance(about, Mapping) or field not in about:
                raise ValueError(f"{table.name}:{note} has no {field!r}; is it the file of NSynth? See {NSYNTH}.")
            said = about[field]
            value = [readable(each) for each in said] if label == "qualities" else readable(str(said))
            yield Example(f"{table.name}:{note}", [f"./audio/{note}.wav"], columns={column: value})

    return build(Source(f"NSynth {split}", [column], examples, NSYNTH), table.parent, check, streaming, num_threads)


def read_speech_commands(
    root: str | os.PathLike[str],
    split: str = "test",
    classes: int = 35,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads Speech Commands 2 (Warden, 2018): `label`.

    Args:
        root: Folder with a folder for each word, `validation_list.txt` and `testing_list.txt`; or the official test set
            of 12 classes, which has no such lists, but the folders `_silence_` and `_unknown_`; its clips are all of
            the test part. Beside the lists, folders that begin with `_` are no words, and their clips are left out.
        split: `"train"`, `"validation"` or `"test"`.
        classes: 35 words, or 12: ten keywords, "unknown" for the other words, and "silence", of which only the official
            test set has clips.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it), or for another number of classes.
    """
    check_choice("split", split, ("train", "validation", "test"))
    if classes not in (12, 35):
        raise ValueError(f"`classes` is {classes}; expected 12 or 35.")
    folder = Path(root)
    names, notes = _command_names(folder, split, classes)

    def examples() -> Iterator[Example]:
        for name in names:
            word = {"_silence_": "silence", "_unknown_": "unknown"}.get(name.split("/")[0], name.split("/")[0])
            if classes == 12 and word not in (*KEYWORDS, "silence"):
                word = "unknown"
            yield Example(name, [f"./{name}"], columns={"label": word})

    source = Source("Speech Commands", ["label"], examples, SPEECH_COMMANDS, notes)
    return build(source, folder, check, streaming, num_threads)


def read_vocalsound(
    root: str | os.PathLike[str],
    split: str = "test",
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads VocalSound (Gong et al., 2022): `label`, one of six sounds.

    Args:
        root: Folder with `datafiles/` (`tr.json`, `val.json`, `te.json`) and `audio_16k/` or `data_44k/`. Where both
            are there, the clips of the higher rate are read, and the report says so.
        split: `"train"`, `"validation"` or `"test"`.
        audio_dir: Folder of the clips, to choose one of the two, or if they are not below `root`.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it), or a clip is not named after its sound.
    """
    check_choice("split", split, ("train", "validation", "test"))
    short = {"train": "tr", "validation": "val", "test": "te"}[split]
    table = find_file(Path(root), f"datafiles/{short}.json", "VocalSound", VOCALSOUND)

    def examples() -> Iterator[Example]:
        rows = _json(table, dict).get("data")
        for number, row in enumerate(rows if isinstance(rows, list) else [], start=1):
            said = row.get("wav", "") if isinstance(row, Mapping) else row
            name = re.split(r"[\\/]", str(said))[-1]  # absolute paths of the authors' machine
            sound = re.fullmatch(rf"\w+_\d+_({'|'.join(VOCAL_SOUNDS)})\.wav", name)
            if sound is None:
                raise ValueError(f"{table.name}:{number} names {name!r}; expected a name as f0003_0_laughter.wav.")
            yield Example(f"{table.name}:{number}", [name], columns={"label": VOCAL_SOUNDS[sound[1]]})

    source = Source("VocalSound", ["label"], examples, VOCALSOUND, unique_names=True)
    return build(source, Path(audio_dir or table.parents[1]), check, streaming, num_threads)


def read_esc50_actions(
    root: str | os.PathLike[str],
    folds: tuple[int, ...] | None = None,
    *,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads the ten classes of ESC-50 that people make without speaking: `label`, `label_id` (as in ESC-50), `fold`.

    That ESC50-Actions of the CLAP 2023 paper is this group (targets 20 to 29) is not confirmed by its authors.

    Args:
        root: Folder of ESC-50.
        folds: Folds to read; by default all.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to read only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if something is missing (with where to get it) or the file is not that of ESC-50.
    """
    table, wanted = find_file(Path(root), "meta/esc50.csv", "ESC-50", ESC50), check_folds(folds, 5)

    def examples() -> Iterator[Example]:
        for row in read_rows(table, ["filename", "fold", "target", "category"], ESC50):
            if row.number("target") in ESC50_ACTIONS and row.number("fold") in wanted:
                label = {"label": readable(row.needed("category")), "label_id": row.number("target")}
                columns = {**label, "fold": row.number("fold")}
                yield Example(row.source, [f"audio/{row.needed('filename')}"], columns=columns)

    source = Source(table.name, ["label", "label_id", "fold"], examples, ESC50)
    return build(source, table.parents[1], check, streaming, num_threads)


def _tut_folds(folder: Path) -> dict[str, int]:
    """The fold in which each clip of the development set is tested; nothing for the evaluation set."""
    tables = {fold: folder / "evaluation_setup" / f"fold{fold}_evaluate.txt" for fold in range(1, 5)}
    lacking = [table.name for table in tables.values() if not table.is_file()]
    if len(lacking) == len(tables):
        return {}
    if lacking:
        raise ValueError(
            f"{folder / 'evaluation_setup'} has no {', '.join(lacking)}; expected four folds. Get them from {TUT2017}."
        )
    folds = {}
    for fold, table in tables.items():
        for line in read_lines(table):
            if line.strip():
                folds[Path(line.split("\t")[0].strip()).name] = fold
    return folds


def _command_names(folder: Path, split: str, classes: int) -> tuple[list[str], list[str]]:
    """Clips of a part, `word/file.wav`, sorted; and what is to be said of the others."""
    own = [name for name in ("_silence_", "_unknown_") if (folder / name).is_dir()]
    every = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.wav"))
    every = [name for name in every if not any(map(is_litter, name.split("/")))]
    if own and not any((folder / f"{part}_list.txt").is_file() for part in ("validation", "testing")):
        if split != "test" or classes != 12:
            raise ValueError(
                f"{folder} is the official test set of 12 classes (it has {own[0]} and no lists of parts), not the "
                f"part {split!r} of {classes} classes. Get the whole data set from {SPEECH_COMMANDS}."
            )
        return every, []
    lists = {
        part: find_file(folder, f"{part}_list.txt", "Speech Commands", SPEECH_COMMANDS)
        for part in ("validation", "testing")
    }
    listed = {part: read_text(table).split() for part, table in lists.items()}
    notes = [f"the clips in {' and '.join(own)} are in no official list, and were left out"] if own else []
    if split != "train":
        return listed["testing" if split == "test" else split], notes
    others = {name for names in listed.values() for name in names}
    return [name for name in every if name not in others and not name.startswith("_")], notes


def _json(path: Path, kind: type) -> Any:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}.") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a {kind.__name__}.")
    return content
