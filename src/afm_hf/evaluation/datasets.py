"""The benchmarks by name: how their official files are read, and how the papers ask."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import data
from ..audio.audio_folders import is_litter
from ..data.label_sets import ESC50_LABELS, URBANSOUND8K_LABELS
from ..data.listed_clips import ESC50_ACTIONS, KEYWORDS, SPOKEN_WORDS, TUT2017_LABELS, VOCAL_SOUNDS
from ..data.tagged_clips import DCASE17_LABELS
from .benchmark import Benchmark
from .partial import check_labels, labels_in, labels_in_items, lacking_clips, lacking_labels
from .task import Item, items_of

# What a data set of labelled clips is good for; "closed" is classification by a model that answers in words.
LABELLED = ("zero-shot", "closed", "adaptation", "linear-probe", "fine-tune")
SEVERAL_LABELS = ("zero-shot", "closed", "linear-probe", "fine-tune")
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


def _named(name: str, paper: str, tasks: tuple[str, ...] = LABELLED, **options: Any) -> Benchmark:
    """A data set whose labels are in its names."""
    label = options.pop("label", None)
    return Benchmark(
        lambda root, split: data.read_named_clips(name, root, label=label, split=split),
        tasks,
        paper=paper,
        all_labels=lambda _: data.named_labels(name, label),
        **options,
    )


def _nsynth(label: str, question: str, **options: Any) -> Benchmark:
    tasks = SEVERAL_LABELS if options.get("multi_label") else LABELLED
    return Benchmark(
        lambda root, split: data.read_nsynth(root, split or "test", label),
        tasks,
        split="test",
        train_split="train",
        clips=4096,
        paper="NSynth",
        subset=label.replace("_", " "),
        question=question,
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
        templates_2023=("{}",),
        all_labels=_listed(labels),
        **options,
    )


def _tut2017(root: str, split: str | None) -> tuple[Any, data.ReadReport]:
    """The development set, which has folds, or the evaluation set, in folders of their own or as the folder itself."""
    wanted = split or "evaluation"
    if wanted not in ("development", "evaluation"):
        raise ValueError(f"`split` is {split!r}; expected 'development' or 'evaluation'.")
    tables = [path for path in sorted(Path(root).rglob("meta.txt")) if not is_litter(path.name)]
    folders = {
        "development" if (path.parent / "evaluation_setup" / "fold1_evaluate.txt").is_file() else "evaluation": path
        for path in tables
    }
    if tables and wanted not in folders:
        raise ValueError(
            f"{root} has only the {' and '.join(folders)} set of TUT 2017, but the {wanted} set is wanted (the papers "
            "test on the evaluation set, and classifiers learn from the development set). Put both below one folder, "
            "or pass `--split development` for the official folds."
        )
    return data.read_tut2017(folders[wanted].parent if tables else root)


def _entailment(paper: str, name: str, split: str, pairs: int) -> Benchmark:
    def read(root: str, wanted: str | None) -> tuple[Any, data.ReadReport]:
        return data.read_entailment(_table(root, f"{name}_entailment_{wanted or split}.csv"), root)

    if paper == "CLE":  # ACE has a test part alone
        tasks = ("entailment", "entailment-probe")
        return Benchmark(read, tasks, split=split, train_split="development", paper=paper, clips=pairs)
    return Benchmark(read, ("entailment",), split=split, paper=paper, clips=pairs)


def _differences(paper: str, split: str, rows: int) -> Benchmark:
    """The three tiers of ADIFF's data, one after another."""

    def read(root: str, wanted: str | None) -> tuple[Any, data.ReadReport]:
        stem = f"{paper.lower()}_{wanted or split}_adiff"
        tables = [_table(root, f"{stem}_{tier}_answer.csv") for tier in ("fewwords", "sentence", "detail")]
        return _joined([data.read_differences(table, root) for table in tables])

    return Benchmark(read, ("difference",), split=split, paper=paper, clips=rows)


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


FAMILIES = (  # of NSynth: a random guess is one of 11 in the CLAP 2023 paper; its test part has no synth lead
    *("bass", "brass", "flute", "guitar", "keyboard", "mallet"),
    *("organ", "reed", "string", "synth lead", "vocal"),
)
OWN = "folder"  # whatever a user has: its columns decide
PEOPLE: dict[str, Any] = {
    "templates": ("{} persons speaking",),
    "templates_2023": ("{} persons speaking",),
}  # CLAP 2022, section 4
EMOTION: dict[str, Any] = {  # CLAP 2022, section 4; slides of test-time adaptation; Pengi
    "templates": ("this person is feeling {}",),
    "templates_2023": ("this emotion is {}",),
    "question": "emotion",
}

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
        metric="mAP",
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
        (*SEVERAL_LABELS, "adaptation"),
        split="evaluation",
        train_split="training",
        paper="DCASE17 Task 4",
        metric="F1",
        probe_metric="accuracy",
        multi_label=True,
        all_labels=_listed(DCASE17_LABELS),
        clips=1103,
    ),
    "audioset": Benchmark(
        lambda root, split: data.read_audioset(root, split or "eval"),
        SEVERAL_LABELS,
        split="eval",
        train_split="balanced_train",
        paper="AudioSet",
        clips=20371,
        multi_label=True,
        all_labels=data.audioset_labels,
    ),
    "tut2017": Benchmark(
        _tut2017,
        LABELLED,
        split="evaluation",
        train_split="development",
        paper="TUT2017",
        question="scene",
        all_labels=_listed(TUT2017_LABELS),
        clips=1620,
    ),
    "gtzan-genres": _named("gtzan-genres", "GTZAN Genres", clips=1000, own_folds=10, question="genre"),
    "gtzan-music-speech": _named("gtzan-music-speech", "GTZAN Music/Speech", clips=128, own_folds=10),
    "mridangam-stroke": _named("mridangam", "Mridangam", label="stroke", subset="stroke", clips=6977),
    "mridangam-tonic": _named("mridangam", "Mridangam", label="tonic", subset="tonic", clips=6977),
    "beijing-opera": _named("beijing-opera", "Beijing Opera", clips=236),
    "crema-d": _named("crema-d", "CREMA-D", clips=7442, speaker=lambda path: Path(path).name[:4], **EMOTION),
    "ravdess": _named("ravdess", "RAVDESS", clips=2452, speaker=lambda path: Path(path).stem[-2:], **EMOTION),
    "libricount": _named("libricount", "LibriCount", clips=5720, **PEOPLE),
    "sesa": _named("sesa", "SESA", split="test", train_split="train", clips=105),
    "nsynth-family": _nsynth("instrument_family", "instrument", all_labels=_listed(FAMILIES)),
    "nsynth-source": _nsynth("instrument_source", "instrument-source"),
    "nsynth-pitch": _nsynth("pitch", "pitch"),
    "nsynth-velocity": _nsynth("velocity", "velocity"),
    "nsynth-qualities": _nsynth("qualities", "qualities", multi_label=True),
    "speech-commands": _speech_commands(12, paper="Speech Commands", clips=4890),
    "speech-commands-35": _speech_commands(35, clips=11005),
    "vocalsound": Benchmark(
        lambda root, split: data.read_vocalsound(root, split or "test"),
        LABELLED,
        split="test",
        train_split="train",
        paper="VocalSound",
        all_labels=_listed(VOCAL_SOUNDS.values()),
        clips=3594,
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
        more_splits=("test",),
        paper="MMAU",
        clips=1000,
    ),
    "cle": _entailment("CLE", "clotho", "evaluation", 3135),
    "ace": _entailment("ACE", "audiocaps", "test", 14625),
    "cld": _differences("CLD", "evaluation", 15675),
    "acd": _differences("ACD", "test", 14040),
    "reasonaqa": Benchmark(
        lambda root, split: data.read_reasonaqa(_table(root, f"{split or 'test'}.json"), root),
        ("multiple-choice",),
        split="test",
    ),
    OWN: Benchmark(
        lambda root, split: data.read_audio_folder(root, split=split),
        (*LABELLED, *CAPTIONED, "question-answering", "multiple-choice", "difference", "entailment", "quality"),
        templates_2023=(),
    ),
    "label-folders": Benchmark(
        lambda root, split: data.read_label_folders(root, split=split), LABELLED, templates_2023=()
    ),
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
    known_parts = (None, benchmark.split, *benchmark.more_splits)
    if split not in known_parts and (benchmark.paper or benchmark.split):
        partial.append(f"the part {split!r}, where the papers test on {benchmark.split or 'all'!r}")
    if benchmark.all_labels is not None:
        known = benchmark.all_labels(data_dir)
        check_labels(name, data_dir, found, known)
        is_whole = limit is None and len(rows) == benchmark.clips  # NSynth's test part lacks one of the families
        partial += [] if is_whole else lacking_labels(labels_in_items(items), known)
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
