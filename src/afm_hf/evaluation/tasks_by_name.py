"""All tasks by name: which items they take, which pipeline and bundled model they are done with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import data
from .adaptation import AdaptationTask
from .answers import CaptionTask, DifferenceTask, QuestionTask
from .closed import ClosedTask
from .datasets import Benchmark, labels_of, load_items
from .entailment import EntailmentTask
from .fine_tune import FineTuneTask, by_fold
from .fitting import check_model
from .linear_probe import LinearProbeTask, with_folds
from .questions import ClothoAqaTask, MmauTask, MultipleChoiceTask, lettered
from .rated_quality import RatedQualityTask
from .retrieval import RetrievalTask
from .task import Item, Task
from .zero_shot import ZeroShotTask

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """
    How a task is made.

    Args:
        model (`str`): The bundled model that it is tried with.
        pipeline (`str`): Name of the pipeline.
        make: `(pipeline, items, benchmark, folder, options)` -> [`Task`]; options are of the task.
        takes (`tuple[str, ...]`): Which options it takes beside `batch_size`.
    """

    model: str
    pipeline: str
    make: Callable[[Any, Sequence[Item], Benchmark, str, dict[str, Any]], Task]
    takes: tuple[str, ...] = ("num_workers", "truncation")


def _zero_shot(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    templates = options.pop("templates", None) or benchmark.templates
    labels = labels_of(items, benchmark, folder)
    return ZeroShotTask(pipe, labels, templates, multi_label=benchmark.multi_label, **options)


def _probe(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    labels = labels_of(items, benchmark, folder) if benchmark.multi_label else ()
    return LinearProbeTask(pipe, labels, multi_label=benchmark.multi_label, **options)


def _fine_tune(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    labels = labels_of(items, benchmark, folder)
    return FineTuneTask(pipe, items, labels, multi_label=benchmark.multi_label, **options)


def _closed(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    return ClosedTask(pipe, labels_of(items, benchmark, folder), **options)


def _adaptation(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    return AdaptationTask(pipe, labels_of(items, benchmark, folder), **options)


def _plain(kind: Callable[..., Task]) -> Callable[..., Task]:
    """A task that needs nothing but its pipeline."""
    return lambda pipe, items, benchmark, folder, options: kind(pipe, **options)


CLAP, SPEAKS = "clap-tiny", "mellow-tiny"
RECIPES: dict[str, Recipe] = {
    "zero-shot": Recipe(CLAP, "zero-shot-audio-classification", _zero_shot, ("num_workers", "truncation", "templates")),
    "linear-probe": Recipe(CLAP, "zero-shot-audio-classification", _probe),
    "fine-tune": Recipe(
        CLAP,
        "zero-shot-audio-classification",
        _fine_tune,
        ("num_workers", "truncation", "epochs", "learning_rate", "folder"),
    ),
    "retrieval": Recipe(CLAP, "zero-shot-audio-classification", _plain(RetrievalTask)),
    "captioning": Recipe("pengi-tiny", "audio-captioning", _plain(CaptionTask)),
    "question-answering": Recipe(SPEAKS, "audio-question-answering", _plain(QuestionTask)),
    "multiple-choice": Recipe(SPEAKS, "audio-question-answering", _plain(MultipleChoiceTask)),
    "mmau": Recipe(SPEAKS, "audio-question-answering", _plain(MmauTask)),
    "clotho-aqa": Recipe(SPEAKS, "audio-question-answering", _plain(ClothoAqaTask)),
    "closed": Recipe("pengi-tiny", "audio-text-generation", _closed, ("num_workers", "truncation", "similarity_model")),
    "difference": Recipe("adiff-tiny", "audio-difference", _plain(DifferenceTask)),
    "entailment": Recipe(CLAP, "audio-entailment", _plain(EntailmentTask)),
    "quality": Recipe(CLAP, "audio-quality-assessment", _plain(RatedQualityTask), ("num_workers",)),
    "adaptation": Recipe(CLAP, "test-time-adaptation", _adaptation, ()),
}


def items_for(
    task: str, dataset: str, data_dir: str, split: str | None = None, limit: int | None = None
) -> tuple[list[Item], Benchmark, data.ReadReport]:
    """
    What a task is about.

    Args:
        task (`str`): One of [`RECIPES`].
        dataset, data_dir, split, limit: As of [`load_items`]. The limit holds for training items as well.

    Raises:
        ValueError: as [`load_items`]; or the dataset has nothing of what the task needs.
    """
    items, benchmark, report = load_items(dataset, data_dir, task, split, limit)
    if task in ("linear-probe", "fine-tune"):
        training: list[Item] = []
        if benchmark.train_split:
            training, _, more = load_items(dataset, data_dir, task, benchmark.train_split, limit)
            report.kept += more.kept
            for kind in ("missing", "broken", "textless"):
                getattr(report, kind).extend(getattr(more, kind))
        items = with_folds(items, training)
        items = by_fold(items) if task == "fine-tune" else items
    if task == "multiple-choice":
        items = lettered(items)
    return items, benchmark, report


def build_task(
    name: str,
    items: Sequence[Item],
    benchmark: Benchmark,
    data_dir: str,
    model: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Task:
    """
    A task with its model.

    Args:
        name (`str`): One of [`RECIPES`].
        items, benchmark: Of [`items_for`].
        data_dir (`str`): The dataset's folder.
        model (`str`, *optional*): A bundled model's name, a folder or a Hub id; the recipe's if not given.
        device (`str`, *optional*): As `"cuda"`; the best there is if not given.
        options: `batch_size`, `num_workers`, `truncation`, `templates`, `similarity_model`, `epochs`, `learning_rate`,
            `folder`; what is None, or not for this task, is left out.

    Raises:
        ValueError: for an unknown task, or a model that is not for it.
    """
    from transformers import pipeline

    from ..loading import pick_device, resolve_model

    if name not in RECIPES:
        raise ValueError(f"There is no task {name!r}; known are {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    check_model(recipe.pipeline, model or recipe.model)
    known = (*recipe.takes, *(() if name == "adaptation" else ("batch_size",)))
    given = {key: value for key, value in options.items() if value is not None and key in known}
    pipe = pipeline(recipe.pipeline, model=resolve_model(model or recipe.model), device=pick_device(device))
    return recipe.make(pipe, items, benchmark, data_dir, given)
