"""
Data sets whose labels stand in the names of files and folders: music, speech and vocal sets of the CLAP papers.

Each is described as data: a pattern of the official names, and what its parts mean. A folder that lacks all clips of a
label is an error, since figures on half of a data set look like those on all of it. A name is one recording: where it
is there as WAV and as MP3, or in two copies, it is read once.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..audio.audio_folders import audio_below
from .copies import best_copy
from .engine import Example, Source, build
from .layout import check_choice, readable
from .report import Note, ReadReport

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
EMOTIONS_CREMA = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
EMOTIONS_RAVDESS = {
    **{"01": "neutral", "02": "calm", "03": "happy", "04": "sad"},
    **{"05": "angry", "06": "fearful", "07": "disgust", "08": "surprised"},
}
STROKES = ("bheem", "cha", "dheem", "dhin", "num", "ta", "tha", "tham", "thi", "thom")
TONICS = {"b": "B", "c": "C", "csh": "C#", "d": "D", "dsh": "D#", "e": "E"}
OPERA = ("bangu", "daluo", "naobo", "xiaoluo")
Clip: TypeAlias = tuple[str, re.Match[str]]  # a path, and what its name says


def _same(names: tuple[str, ...]) -> dict[str, str]:
    return {name: name for name in names}


@dataclass(frozen=True)
class NamedClips:
    """
    How the names of a data set are read.

    Attributes:
        title: Its name, for messages.
        origin: Where it is to be had.
        pattern: Of a clip's path below the root, after any folders; named groups are kinds of labels.
        example: A path as it should be.
        kinds: For each kind of label, the labels by their code in the name, in order; the first kind is the default.
        splits: For each part, which codes a clip has: `{"speech": ("channel", "01")}`.
        incomplete: Labels that a part does not have: `{"song": ("disgust",)}`.
    """

    title: str
    origin: str
    pattern: str
    example: str
    kinds: Mapping[str, Mapping[str, str]]
    splits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    incomplete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NAMED_CLIPS: dict[str, NamedClips] = {
    "gtzan-genres": NamedClips(
        "GTZAN genres (Tzanetakis, Cook, 2002)",
        "http://marsyas.info/downloads/datasets.html",
        rf"(?P<genre>{'|'.join(GENRES)})/(?P=genre)\.\d{{5}}\.\w+",  # jazz.00054 is damaged in the usual copies
        "genres/blues/blues.00000.wav",
        {"genre": _same(GENRES)},
    ),
    "gtzan-music-speech": NamedClips(
        "GTZAN music/speech",
        "http://marsyas.info/downloads/datasets.html",
        r"(?P<kind>music|speech)_wav/[^/]+",
        "music_wav/bagpipe.wav",
        {"kind": _same(("music", "speech"))},
    ),
    "mridangam": NamedClips(
        "Mridangam stroke data set",
        "https://doi.org/10.5281/zenodo.4068196",
        rf"\d+__akshaylaya__(?P<stroke>{'|'.join(STROKES)})-(?P<tonic>{'|'.join(TONICS)})-\d+\.\w+",
        "224030__akshaylaya__bheem-b-001.wav",
        {"stroke": _same(STROKES), "tonic": TONICS},
    ),
    "beijing-opera": NamedClips(
        "Beijing Opera percussion (Tian et al., 2014; the names of its files are not confirmed: the instrument has to "
        "be in them or in the folder's)",
        "https://doi.org/10.5281/zenodo.1285212",
        rf"(?:[^/]*[^a-z/])?(?P<instrument>{'|'.join(OPERA)})(?![a-z]).*\.\w+",
        "bangu/ba1.wav or bangu_01.wav",
        {"instrument": _same(OPERA)},
    ),
    "crema-d": NamedClips(
        "CREMA-D (Cao et al., 2014)",
        "https://github.com/CheyneyComputerScience/CREMA-D (AudioWAV; needs Git LFS)",
        rf"\d{{4}}_[A-Z]{{3}}_(?P<emotion>{'|'.join(EMOTIONS_CREMA)})_(?:LO|MD|HI|XX|X)\.\w+",
        "AudioWAV/1001_DFA_ANG_XX.wav",
        {"emotion": EMOTIONS_CREMA},
    ),
    "ravdess": NamedClips(
        "RAVDESS (Livingstone, Russo, 2018)",
        "https://doi.org/10.5281/zenodo.1188976",
        r"03-(?P<channel>01|02)-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-\d{2}\.\w+",
        "Actor_01/03-01-06-01-02-01-12.wav",
        {"emotion": EMOTIONS_RAVDESS},
        {"speech": ("channel", "01"), "song": ("channel", "02")},
        {"song": ("disgust", "surprised")},
    ),
    "libricount": NamedClips(
        "LibriCount (Stoeter et al., 2018)",
        "https://doi.org/10.5281/zenodo.1216072",
        r"(?P<speakers>10|\d)_[^/]+\.\w+",
        "0_1f2a.wav (the number of speakers comes first)",
        {"speakers": _same(tuple(map(str, range(11))))},
    ),
    "sesa": NamedClips(
        "SESA (Spadini, 2019)",
        "https://doi.org/10.5281/zenodo.3519845",
        r"(?P<part>train|test)/(?P<event>casual|explosion|gunshot|siren)_[^/]+",
        "train/explosion_000.wav",
        {"event": _same(("casual", "explosion", "gunshot", "siren"))},
        {"train": ("part", "train"), "test": ("part", "test")},
    ),
}


def read_named_clips(
    name: str,
    root: str | os.PathLike[str],
    *,
    label: str | None = None,
    split: str | None = None,
    check: str = "header",
    streaming: bool = False,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads a data set whose labels are in its names: `label`, `label_id` (its place among all labels).

    Args:
        name: `"gtzan-genres"`, `"gtzan-music-speech"`, `"mridangam"`, `"beijing-opera"`, `"crema-d"`, `"ravdess"`,
            `"libricount"` or `"sesa"`.
        root: Its folder; the clips may lie anywhere below, with their official names.
        label: Which kind of label, where there are several: `"stroke"` (default) or `"tonic"` of Mridangam.
        split: A part: `"train"` or `"test"` of SESA, `"speech"` or `"song"` of RAVDESS; by default everything.
        check: `"none"`, `"exists"`, `"header"` or `"decode"`: how far the clips are looked at.
        streaming: Whether to look at the clips only while the data set is iterated.
        num_threads: Threads that decode, with `check="decode"`; by default one per core.

    Raises:
        ValueError: if the folder is not there, holds no clips of such names, or none of a label.
    """
    check_choice("name", name, list(NAMED_CLIPS))
    names = NAMED_CLIPS[name]
    kind = next(iter(names.kinds)) if label is None else label
    check_choice("label", kind, list(names.kinds))
    if split is not None:
        if not names.splits:
            raise ValueError(f"`split` is {split!r}, but {names.title} has no parts.")
        check_choice("split", split, list(names.splits))
    folder, codes = Path(root), names.kinds[kind]
    labels = list(codes.values())
    found = _matching(folder, names, split)
    _check_complete(folder, names, split, {codes[match[kind]] for _, match in found}, labels)

    def examples() -> Iterator[Example]:
        for copies in _recordings(found).values():
            path, match = copies[0] if len(copies) == 1 else _best(folder, copies)
            said, notes = codes[match[kind]], []
            if len(copies) > 1:
                other = next(each for each, _ in copies if each != path)
                notes.append(
                    Note(
                        "recordings are there in several files, of which the best is read", 1, f"{path} and not {other}"
                    )
                )
            columns = {"label": readable(said), "label_id": labels.index(said)}
            yield Example(path, [f"./{path}"], columns=columns, notes=notes)

    return build(
        Source(names.title, ["label", "label_id"], examples, names.origin), folder, check, streaming, num_threads
    )


def named_labels(name: str, label: str | None = None) -> list[str]:
    """
    All labels of a data set of [`read_named_clips`], in order, as its rows have them.

    Raises:
        ValueError: for an unknown data set or kind of label.
    """
    check_choice("name", name, list(NAMED_CLIPS))
    kinds = NAMED_CLIPS[name].kinds
    kind = next(iter(kinds)) if label is None else label
    check_choice("label", kind, list(kinds))
    return [readable(said) for said in kinds[kind].values()]


def _matching(root: Path, names: NamedClips, split: str | None) -> list[Clip]:
    """Paths below the root that are named as they should be, sorted, with what their names say."""
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}. Pass the folder of {names.title}; get it from {names.origin}.")
    pattern = re.compile(rf"(?:.*/)?(?P<recording>{names.pattern})")
    found = []
    for file in sorted(map(Path, audio_below(root).files)):
        relative = file.relative_to(root).as_posix()
        match = pattern.fullmatch(relative)
        if match and (split is None or match[names.splits[split][0]] == names.splits[split][1]):
            found.append((relative, match))
    if not found:
        part = f" of the part {split!r}" if split else ""
        raise ValueError(
            f"{names.title}: {root} holds no clips{part} that are called as {names.example}. Get them from "
            f"{names.origin}."
        )
    return found


def _recordings(found: Sequence[Clip]) -> dict[str, list[Clip]]:
    """The files of each recording, which its official name stands for, whatever the format."""
    recordings: dict[str, list[Clip]] = {}
    for path, match in found:
        recordings.setdefault(match["recording"].rpartition(".")[0], []).append((path, match))
    return recordings


def _best(root: Path, copies: Sequence[Clip]) -> Clip:
    best = best_copy([root / path for path, _ in copies])
    return next(each for each in copies if root / each[0] == best)


def _check_complete(root: Path, names: NamedClips, split: str | None, found: set[str], labels: list[str]) -> None:
    excused = names.incomplete.get(split or "", ())
    lacking = [said for said in labels if said not in found and said not in excused]
    if lacking:
        raise ValueError(
            f"{names.title}: {root} has no clips of {', '.join(map(repr, lacking))}, so it is not the whole data set. "
            f"Get it from {names.origin}."
        )


__all__ = ["NAMED_CLIPS", "NamedClips", "named_labels", "read_named_clips"]
