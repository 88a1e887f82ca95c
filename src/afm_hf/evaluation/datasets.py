"""The benchmarks by name: how their official files are read, and how the papers ask."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import data
from ..audio.audio_folders import is_litter
from ..data.label_sets import ESC50_LABELS, URBANSOUND8K_LABELS
from ..data.listed_clips import ESC50_ACTIONS, KEYWORDS, SPOKEN_WORDS, TUT2017_LABELS, VOCAL_SOUNDS
from ..data.tagged_clips import DCASE17_LABELS
from .partial import check_labels, labels_in, labels_in_items, lacking_clips, lacking_labels
from .task import Item, items_of

CLAP_2022 = "this is a sound of {}"  # section 4 of the CLAP 2022 paper; the released ESC-50 example of 2023 says "the"


@dataclass(frozen=True)
class Benchmark:
    """
    A dataset as tasks use it.

    [`load_items`] reads it into items, whose `truth` has all columns but `audio`, `audio2` and `source`; [`labels_of`]
    has the candidates, of which `label` (or each of `labels`) is one. With `has_folds`, `truth["fold"]` is the fold in
    which the clip is tested; with `train_split`, `load_items(..., split=benchmark.train_split)` are the clips to learn
    from. A set with several kinds of labels is several benchmarks (`"nsynth-pitch"`, `"mridangam-tonic"`).

    Args:
        read: `(folder, split)` -> rows and report, of `afm_hf.data`.
        tasks (`tuple[str, ...]`): Names of the tasks that it can be used for.
        split (`str`, *optional*): The one that the papers test on; `None` is all.
        train_split (`str`, *optional*): The one that probes learn from, where there are official parts.
        has_folds (`bool`): Whether rows have a `fold`: probes then learn from the other folds.
        paper, subset (`str`): Its name, and that of its part, in `afm_hf.evaluation.paper.figures`.
        templates (`tuple[str, ...]`): Sentences for zero-shot labels.
        multi_label (`bool`): Whether a clip has several labels, `labels`, and not one, `label`.
        all_labels: `folder` -> labels in order, where they are known; by default those that occur, sorted.
        clips (`int`, *optional*): How many there are in what the papers test on, where that is known.
        partial (`tuple[str, ...]`): Why what was read is not the whole; filled by [`load_items`].
    """

    read: Callable[[str, str | None], tuple[Any, data.ReadReport]]
    tasks: tuple[str, ...]
    split: str | None = None
    train_split: str | None = None
    has_folds: bool = False
    paper: str = ""
    subset: str | None = None
    templates: tuple[str, ...] = (CLAP_2022,)
    multi_label: bool = False
    all_labels: Callable[[str], Sequence[str]] | None = None
    clips: int | None = None
    partial: tuple[str, ...] = ()


# What a data set of labelled clips is good for; "closed" is classification by a model that answers in words.
ZERO_SHOT = ("zero-shot", "closed", "adaptation")
LABELLED = (*ZERO_SHOT, "linear-probe", "fine-tune")
SEVERAL_LABELS = ("zero-shot", "linear-probe", "fine-tune")
CAPTIONED = ("captioning", "retrieval")


def _whole(read: Callable[[str], Any]) -> Callable[[str, str | None], Any]:
    """A reader of a data set without parts."""

    def whole(root: str, split: str | None) -> Any:
        if split is not None:
            raise ValueError(f"`split` is {split!r}, but this data set is read as a whole; leave it out.")
        return read(root)

    return whole


def _listed(labels: Iterable[str]) -> Callable[[str], Sequence[str]]:
    """Labels that are known without the files."""
    fixed = sorted(labels)
    return lambda _: fixed


def _named(name: str, paper: str, tasks: tuple[str, ...] = ZERO_SHOT, **options: Any) -> Benchmark:
    """A data set whose labels are in its names."""
    label = options.pop("label", None)
    return Benchmark(
        lambda root, split: data.read_named_clips(name, root, label=label, split=split),
        tasks,
        paper=paper,
        all_labels=lambda _: data.named_labels(name, label),
        **options,
    )


def _nsynth(label: str, **options: Any) -> Benchmark:
    tasks = SEVERAL_LABELS if options.get("multi_label") else LABELLED
    return Benchmark(
        lambda root, split: data.read_nsynth(root, split or "test", label),
        tasks,
        split="test",
        train_split="train",
        paper="NSynth",
        subset=label.replace("_", " "),
        **options,
    )


def _speech_commands(classes: int, **options: Any) -> Benchmark:
    labels = (*KEYWORDS, "unknown", "silence") if classes == 12 else SPOKEN_WORDS
    return Benchmark(
        lambda root, split: data.read_speech_commands(root, split or "test", classes),
        LABELLED,
        split="test",
        train_split="train",
        templates=("{}",),  # the bare keyword: CLAP 2022, section 4
        all_labels=_listed(labels),
        **options,
    )


def _entailment(paper: str, name: str, split: str) -> Benchmark:
    def read(root: str, wanted: str | None) -> tuple[Any, data.ReadReport]:
        return data.read_entailment(_table(root, f"{name}_entailment_{wanted or split}.csv"), root)

    return Benchmark(read, ("entailment",), split=split, paper=paper)


def _differences(paper: str, split: str) -> Benchmark:
    """The three tiers of ADIFF's data, one after another."""

    def read(root: str, wanted: str | None) -> tuple[Any, data.ReadReport]:
        stem = f"{paper.lower()}_{wanted or split}_adiff"
        tables = [_table(root, f"{stem}_{tier}_answer.csv") for tier in ("fewwords", "sentence", "detail")]
        return _joined([data.read_differences(table, root) for table in tables])

    return Benchmark(read, ("difference",), split=split, paper=paper)


def _table(root: str, name: str) -> Path:
    """A file somewhere below the folder, or where it should be (its reader then says where to get it)."""
    if (Path(root) / name).is_file():
        return Path(root) / name
    every = (path for path in Path(root).rglob(name) if path.is_file())
    found = sorted(path for path in every if not any(map(is_litter, path.relative_to(root).parts)))
    if len(found) > 1:
        raise ValueError(f"{root} has {len(found)} files {name}: {', '.join(map(str, found[:3]))}. Pass one's folder.")
    return found[0] if found else Path(root) / name


def _joined(parts: Sequence[tuple[Any, data.ReadReport]]) -> tuple[Any, data.ReadReport]:
    """Data sets one after another, with one report."""
    from datasets import concatenate_datasets

    joined = data.ReadReport()
    for _, report in parts:
        joined.join(report)
    return concatenate_datasets([rows for rows, _ in parts]), joined


OWN = "folder"  # whatever a user has: its columns decide
FEELING, PEOPLE = "this person is feeling {}", "{} persons speaking"  # CLAP 2022, section 4

BENCHMARKS = {
    "esc50": Benchmark(
        _whole(data.read_esc50),
        LABELLED,
        has_folds=True,
        paper="ESC-50",
        all_labels=_listed(ESC50_LABELS),
        clips=2000,
    ),
    "esc50-actions": Benchmark(
        _whole(data.read_esc50_actions),
        LABELLED,
        has_folds=True,
        paper="ESC50-Actions",
        all_labels=_listed(ESC50_LABELS[number] for number in ESC50_ACTIONS),
        clips=400,
    ),
    "urbansound8k": Benchmark(
        _whole(data.read_urbansound8k),
        LABELLED,
        has_folds=True,
        paper="UrbanSound8K",
        all_labels=_listed(URBANSOUND8K_LABELS),
        clips=8732,
    ),
    "fsd50k": Benchmark(
        lambda root, split: data.read_fsd50k(root, split or "eval"),
        SEVERAL_LABELS,
        split="eval",
        train_split="dev",
        paper="FSD50K",
        multi_label=True,
        all_labels=data.fsd50k_labels,
        clips=10231,
    ),
    "dcase17": Benchmark(
        lambda root, split: data.read_dcase17(root, split or "evaluation"),
        SEVERAL_LABELS,
        split="evaluation",
        train_split="training",
        paper="DCASE17 Task 4",
        multi_label=True,
        all_labels=_listed(DCASE17_LABELS),
    ),
    "audioset": Benchmark(
        lambda root, split: data.read_audioset(root, split or "eval"),
        SEVERAL_LABELS,
        split="eval",
        train_split="balanced_train",
        paper="AudioSet",
        multi_label=True,
        all_labels=data.audioset_labels,
    ),
    "tut2017": Benchmark(
        _whole(data.read_tut2017), LABELLED, has_folds=True, paper="TUT2017", all_labels=_listed(TUT2017_LABELS)
    ),
    "gtzan-genres": _named("gtzan-genres", "GTZAN Genres", clips=1000),
    "gtzan-music-speech": _named("gtzan-music-speech", "GTZAN Music/Speech", clips=128),
    "mridangam-stroke": _named("mridangam", "Mridangam", label="stroke", subset="stroke", clips=6977),
    "mridangam-tonic": _named("mridangam", "Mridangam", label="tonic", subset="tonic", clips=6977),
    "beijing-opera": _named("beijing-opera", "Beijing Opera", clips=236),
    "crema-d": _named("crema-d", "CREMA-D", templates=(FEELING,), clips=7442),
    "ravdess": _named("ravdess", "RAVDESS", templates=(FEELING,), clips=2452),
    "libricount": _named("libricount", "LibriCount", templates=(PEOPLE,), clips=5720),
    "sesa": _named("sesa", "SESA", LABELLED, split="test", train_split="train"),
    "nsynth-family": _nsynth("instrument_family"),
    "nsynth-source": _nsynth("instrument_source"),
    "nsynth-pitch": _nsynth("pitch"),
    "nsynth-velocity": _nsynth("velocity"),
    "nsynth-qualities": _nsynth("qualities", multi_label=True),
    "speech-commands": _speech_commands(12, paper="Speech Commands", clips=4890),
    "speech-commands-35": _speech_commands(35, clips=11005),
    "vocalsound": Benchmark(
        lambda root, split: data.read_vocalsound(root, split or "test"),
        LABELLED,
        split="test",
        train_split="train",
        paper="VocalSound",
        all_labels=_listed(VOCAL_SOUNDS.values()),
    ),
    "clotho": Benchmark(
        lambda root, split: data.read_clotho(root, split or "evaluation"),
        CAPTIONED,
        split="evaluation",
        paper="Clotho",
        clips=1045,
    ),
    "audiocaps": Benchmark(
        lambda root, split: data.read_audiocaps(root, split or "test"), CAPTIONED, split="test", paper="AudioCaps"
    ),
    "macs": Benchmark(_whole(data.read_macs), CAPTIONED),
    "wavtext5k": Benchmark(_whole(lambda root: data.read_wavtext5k(_table(root, "WavText5K.csv"), root)), CAPTIONED),
    "clotho-aqa": Benchmark(
        lambda root, split: data.read_clotho_aqa(root, split or "test"),
        ("clotho-aqa",),
        split="test",
        paper="ClothoAQA",
    ),
    "mmau": Benchmark(
        lambda root, split: data.read_mmau(_table(root, f"mmau-{split or 'test-mini'}.json"), root),
        ("mmau",),
        split="test-mini",
        paper="MMAU",
        clips=1000,
    ),
    "cle": _entailment("CLE", "clotho", "evaluation"),
    "ace": _entailment("ACE", "audiocaps", "test"),
    "cld": _differences("CLD", "evaluation"),
    "acd": _differences("ACD", "test"),
    "reasonaqa": Benchmark(
        lambda root, split: data.read_reasonaqa(_table(root, f"{split or 'test'}.json"), root),
        ("multiple-choice",),
        split="test",
    ),
    OWN: Benchmark(
        lambda root, split: data.read_audio_folder(root, split=split),
        (*LABELLED, *CAPTIONED, "question-answering", "multiple-choice", "difference", "entailment", "quality"),
    ),
    "label-folders": Benchmark(lambda root, split: data.read_label_folders(root, split=split), LABELLED),
}


def load_items(
    name: str, data_dir: str, task: str, split: str | None = None, limit: int | None = None
) -> tuple[list[Item], Benchmark, data.ReadReport]:
    """
    The items of a benchmark.

    Args:
        name (`str`): Of the benchmark.
        data_dir (`str`): Its folder, as downloaded.
        task (`str`): What it is for.
        split (`str`, *optional*): Another one than the papers'.
        limit (`int`, *optional*): Only so many of the first rows.

    Returns:
        The items; the benchmark, which knows all labels and says in `partial` what is not there; the reader's report.

    Raises:
        ValueError: for an unknown name, a task that it cannot be used for, a folder without its files, or rows with
            labels that the data set does not have.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"There is no dataset {name!r}; known are {', '.join(BENCHMARKS)}.")
    benchmark = BENCHMARKS[name]
    if task not in benchmark.tasks:
        fitting = [other for other, each in BENCHMARKS.items() if task in each.tasks]
        raise ValueError(
            f"{name!r} is no dataset for {task!r}, but for {', '.join(benchmark.tasks)}. For {task!r} there are "
            f"{', '.join(fitting) or 'none'}."
        )
    rows, report = benchmark.read(data_dir, split)
    items = items_of(rows, limit)
    if name == OWN and items and "labels" in items[0].truth and "label" not in items[0].truth:
        benchmark = replace(benchmark, multi_label=True)
    found = labels_in(rows)
    partial = [f"the first {limit} of {len(rows)} rows"] if limit is not None and limit < len(rows) else []
    if split not in (None, benchmark.split) and (benchmark.paper or benchmark.split):
        partial.append(f"the part {split!r}, where the papers test on {benchmark.split or 'all'!r}")
    if benchmark.all_labels is not None:
        known = benchmark.all_labels(data_dir)
        check_labels(name, data_dir, found, known)
        partial += lacking_labels(labels_in_items(items), known)
    else:  # of all rows, also where only some are evaluated: fewer candidates would make it easier
        benchmark = replace(benchmark, all_labels=lambda _: sorted(found))
    partial += lacking_clips(report, benchmark.clips if split in (None, benchmark.split) else None)
    return items, replace(benchmark, partial=tuple(partial)), report


def labels_of(items: Sequence[Item], benchmark: Benchmark, data_dir: str) -> list[str]:
    """
    The candidate labels.

    Raises:
        ValueError: if the items have fewer than two.
    """
    if benchmark.all_labels is not None:
        labels = list(benchmark.all_labels(data_dir))
    else:
        labels = sorted(labels_in_items(items))
    if len(labels) < 2:
        raise ValueError(f"The {len(items)} rows have {len(labels)} different labels, {labels}; expected 2 or more.")
    return labels
