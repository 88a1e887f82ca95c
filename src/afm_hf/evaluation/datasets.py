"""The benchmarks by name: how their official files are read, and how the papers ask."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import data
from .task import Item, items_of

CLAP_2022 = "this is a sound of {}"  # section 4 of the CLAP 2022 paper; the released ESC-50 example of 2023 says "the"


@dataclass(frozen=True)
class Benchmark:
    """
    A dataset as tasks use it.

    Args:
        read: `(folder, split)` -> rows and report, of `afm_hf.data`.
        tasks (`tuple[str, ...]`): Names of the tasks that it can be used for.
        split (`str`, *optional*): The one that the papers test on; `None` is all.
        paper (`str`): Its name in `afm_hf.evaluation.paper`.
        templates (`tuple[str, ...]`): Sentences for zero-shot labels.
        multi_label (`bool`): Whether a clip has several labels.
        all_labels: `folder` -> labels in order; by default those that occur, sorted.
    """

    read: Callable[[str, str | None], tuple[Any, data.ReadReport]]
    tasks: tuple[str, ...]
    split: str | None = None
    paper: str = ""
    templates: tuple[str, ...] = (CLAP_2022,)
    multi_label: bool = False
    all_labels: Callable[[str], Sequence[str]] | None = None


BENCHMARKS = {
    "esc50": Benchmark(lambda root, _: data.read_esc50(root), ("zero-shot",), paper="ESC-50"),
    "urbansound8k": Benchmark(lambda root, _: data.read_urbansound8k(root), ("zero-shot",), paper="UrbanSound8K"),
    "fsd50k": Benchmark(
        lambda root, split: data.read_fsd50k(root, split or "eval"),
        ("zero-shot",),
        split="eval",
        paper="FSD50K",
        multi_label=True,
        all_labels=data.fsd50k_labels,
    ),
    "clotho": Benchmark(
        lambda root, split: data.read_clotho(root, split or "evaluation"),
        ("captioning", "retrieval"),
        split="evaluation",
        paper="Clotho",
    ),
    "audiocaps": Benchmark(
        lambda root, split: data.read_audiocaps(root, split or "test"),
        ("captioning", "retrieval"),
        split="test",
        paper="AudioCaps",
    ),
    "folder": Benchmark(
        lambda root, _: data.read_audio_folder(root),
        ("zero-shot", "captioning", "retrieval", "question-answering"),
    ),
    "label-folders": Benchmark(lambda root, _: data.read_label_folders(root), ("zero-shot",)),
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

    Raises:
        ValueError: for an unknown name, a task that it cannot be used for, or a folder without its files.
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
    return items_of(rows, limit), benchmark, report


def labels_of(items: Sequence[Item], benchmark: Benchmark, data_dir: str) -> list[str]:
    """
    The candidate labels.

    Raises:
        ValueError: if the items have none.
    """
    if benchmark.all_labels is not None:
        return list(benchmark.all_labels(data_dir))
    labels = sorted({str(item.truth["label"]) for item in items if item.truth.get("label") is not None})
    if not labels:
        known = sorted(items[0].truth) if items else []
        raise ValueError(f"The rows have no 'label'; their columns are {known}.")
    return labels
