"""All tasks by name: which items they take, which pipeline and bundled model they are done with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import data
from ..hub.loading import check_model
from .benchmark import Benchmark
from .datasets import labels_of, load_items
from .partial import lacking_clips
from .task import Item, Task
from .tasks.adaptation import AdaptationTask
from .tasks.answers import CaptionTask, DifferenceTask, QuestionTask
from .tasks.closed import ClosedTask
from .tasks.entailment import EntailmentTask
from .tasks.entailment_probe import EntailmentProbeTask
from .tasks.fine_tune import FineTuneTask, by_fold
from .tasks.linear_probe import LinearProbeTask, with_folds
from .tasks.questions import ClothoAqaTask, MmauTask, MultipleChoiceTask, lettered
from .tasks.rated_quality import RatedQualityTask
from .tasks.retrieval import RetrievalTask
from .tasks.zero_shot import ZeroShotTask

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
        needs (`tuple[str, ...]`): What is known of every item; one of several columns as `"question|prompt"`.
        clips (`tuple[int, ...]`): How many clips an item may have.
    """

    model: str
    pipeline: str
    make: Callable[[Any, Sequence[Item], Benchmark, str, dict[str, Any]], Task]
    takes: tuple[str, ...] = ("num_workers", "truncation")
    needs: tuple[str, ...] = ()
    clips: tuple[int, ...] = (1,)


def _zero_shot(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    templates = options.pop("templates", None) or benchmark.templates_for(pipe.model)
    labels = labels_of(items, benchmark, folder)
    metric = benchmark.main_metric
    return ZeroShotTask(pipe, labels, templates, multi_label=benchmark.multi_label, metric=metric, **options)


def _probe(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    labels = labels_of(items, benchmark, folder)  # also where they are not asked for: there have to be some
    kind: Options = {"multi_label": benchmark.multi_label, "metric": benchmark.probe_metric}
    return LinearProbeTask(pipe, labels, **kind, **options)


def _fine_tune(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    labels = labels_of(items, benchmark, folder)
    kind: Options = {"multi_label": benchmark.multi_label, "metric": benchmark.probe_metric}
    return FineTuneTask(pipe, items, labels, **kind, **options)


def _closed(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    asked: Options = {"prompt": None, "answer": "{}"}  # other models than Pengi have a question of their own
    if pipe.model_type == "afm_pengi":
        template = data.load_templates("pengi")[benchmark.question]
        asked = {"prompt": template["prompt"], "answer": _place_of_label(template["answer"])}
    kind: Options = {
        "multi_label": benchmark.multi_label,
        "metric": benchmark.main_metric,
        "template": benchmark.templates[0],
    }
    return ClosedTask(pipe, labels_of(items, benchmark, folder), **{**asked, **kind, **options})


def _place_of_label(answer: str) -> str:
    """The form of an answer of the templates' files, for one label at a time."""
    return answer.replace("{labels}", "{}").replace("{label}", "{}")


def _adaptation(pipe: Any, items: Sequence[Item], benchmark: Benchmark, folder: str, options: dict[str, Any]) -> Task:
    given = options.pop("templates", None)
    if given and len(given) > 1:
        raise ValueError(f"There are {len(given)} templates; a vector starts from one.")
    template = next(iter(given or benchmark.templates_2023), None)
    wordless = template == "{}" and not given  # the bare keyword leaves a vector no place: the default's words do
    clips = options.pop("clips", 1) or None  # 0: each clip by itself
    metric = benchmark.main_metric if benchmark.multi_label else None
    asked: Options = {"template": None if wordless else template, "clips": clips, "metric": metric}
    return AdaptationTask(pipe, labels_of(items, benchmark, folder), items, **asked, **options)


def _plain(kind: Callable[..., Task]) -> Callable[..., Task]:
    """A task that needs nothing but its pipeline."""
    return lambda pipe, items, benchmark, folder, options: kind(pipe, **options)


CLAP, SPEAKS = "clap-small", "mellow-small"
ZERO_SHOT = "zero-shot-audio-classification"
QUESTIONS = "audio-question-answering"
USUAL = ("num_workers", "truncation")
TRAINING = ("epochs", "learning_rate", "folder")
WORDS = ("prompt", "scoring", "similarity_model")
LABEL, ASKED = ("label|labels",), "question|prompt"
RECIPES: dict[str, Recipe] = {
    "zero-shot": Recipe(CLAP, ZERO_SHOT, _zero_shot, (*USUAL, "templates"), needs=LABEL),
    "linear-probe": Recipe(CLAP, ZERO_SHOT, _probe, needs=LABEL),
    "fine-tune": Recipe(CLAP, ZERO_SHOT, _fine_tune, (*USUAL, *TRAINING), needs=LABEL),
    "retrieval": Recipe(CLAP, ZERO_SHOT, _plain(RetrievalTask), needs=("captions",)),
    "captioning": Recipe("pengi-small", "audio-captioning", _plain(CaptionTask), needs=("captions",)),
    "question-answering": Recipe(SPEAKS, QUESTIONS, _plain(QuestionTask), needs=(ASKED, "answer"), clips=(1, 2)),
    "multiple-choice": Recipe(SPEAKS, QUESTIONS, _plain(MultipleChoiceTask), needs=(ASKED, "answer"), clips=(1, 2)),
    "mmau": Recipe(SPEAKS, QUESTIONS, _plain(MmauTask), needs=("prompt", "choices"), clips=(1, 2)),
    "clotho-aqa": Recipe(SPEAKS, QUESTIONS, _plain(ClothoAqaTask), needs=("prompt", "answers")),
    "closed": Recipe("pengi-small", "audio-text-generation", _closed, (*USUAL, *WORDS), needs=LABEL),
    "difference": Recipe("adiff-small", "audio-difference", _plain(DifferenceTask), needs=("answer",), clips=(2,)),
    "entailment": Recipe(
        CLAP, "audio-entailment", _plain(EntailmentTask), (*USUAL, "scoring"), needs=("hypothesis", "label")
    ),
    "entailment-probe": Recipe(
        CLAP,
        "audio-entailment",
        _plain(EntailmentProbeTask),
        (*USUAL, "premise", "captioner"),
        needs=("hypothesis", "label"),
    ),
    "quality": Recipe(CLAP, "audio-quality-assessment", _plain(RatedQualityTask), ("num_workers",), needs=("rating",)),
    "adaptation": Recipe(
        CLAP, "test-time-adaptation", _adaptation, ("num_workers", "templates", "clips", "draws"), needs=LABEL
    ),
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
    items = usable(items, task, report)
    if task in ("linear-probe", "fine-tune", "entailment-probe"):
        training: list[Item] = []
        if benchmark.train_split and split in (None, benchmark.split):
            training, _, more = load_items(dataset, data_dir, task, benchmark.train_split, limit)
            said = tuple(f"of those to learn from, {reason}" for reason in lacking_clips(more))
            benchmark = replace(benchmark, partial=benchmark.partial + said)
            training = usable(training, task, more)
            report.join(more)
        has_folds = any(item.truth.get("fold") is not None for item in items)
        items = with_folds(items, training, benchmark.own_folds, benchmark.speaker)
        if not has_folds and not training:
            by = " by speaker" if benchmark.speaker else ""
            note = f"{benchmark.own_folds} folds of our own{by}; which clip is in which of the papers' is not known"
            benchmark = replace(benchmark, notes=(*benchmark.notes, note))
        items = by_fold(items) if task == "fine-tune" else items
    if task == "multiple-choice":
        items = lettered(items)
    return items, benchmark, report


def usable(items: Sequence[Item], task: str, report: data.ReadReport) -> list[Item]:
    """
    The items that have what a task needs; the others go into the report.

    Args:
        items: Of [`load_items`].
        task (`str`): One of [`RECIPES`].
        report: Gets those that are left out, with the reason.

    Raises:
        ValueError: if none has it; the message says what is there instead.
    """
    kept, reason = [], ""
    for item in items:
        lack = _lack(item, RECIPES[task])
        if not lack:
            kept.append(item)
            continue
        reason = reason or lack
        report.add(report.textless, str(item.audio), lack, item.id)
        report.kept -= 1
    if items and not kept:
        columns = ", ".join(name for name, value in items[0].truth.items() if value not in (None, "", []))
        raise ValueError(
            f"None of the {len(items)} rows can be used for {task!r}: {reason}. They have {columns or 'no columns'}."
        )
    return kept


def _lack(item: Item, recipe: Recipe) -> str:
    """What an item has not; nothing if it has all."""
    for need in recipe.needs:
        if all(item.truth.get(name) in (None, "", []) for name in need.split("|")):
            return f"no {need.replace('|', ' or ')}"
    clips = len(item.audio) if isinstance(item.audio, tuple) else 1
    if clips not in recipe.clips:
        wanted = " or ".join(map(str, recipe.clips))
        return f"{clips} clip{'s' * (clips > 1)}, expected {wanted}" + (" (`file_name2`)" if clips == 1 else "")
    return ""


def build_task(
    name: str,
    items: Sequence[Item],
    benchmark: Benchmark,
    data_dir: str,
    model: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
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
        dtype (`str`, *optional*): Number format of the model, see [`pick_dtype`]; the checkpoint's own if not given.
        options: `batch_size`, `num_workers`, `truncation`, `templates`, `prompt`, `scoring`, `similarity_model`,
            `clips`, `draws`, `premise`, `captioner`, `epochs`, `learning_rate`, `folder`; what is None, or not for this
            task, is left out.

    Raises:
        ValueError: for an unknown task, or a model that is not for it.
    """
    from ..hub.loading import load_pipeline, pick_device, resolve_model
    from ..models.clap_afm.embedding_clap_afm import logit_scale

    if name not in RECIPES:
        raise ValueError(f"There is no task {name!r}; known are {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    check_model(recipe.pipeline, model or recipe.model)
    given = {key: value for key, value in options.items() if value is not None and key in (*recipe.takes, "batch_size")}
    pipe = load_pipeline(recipe.pipeline, resolve_model(model or recipe.model), pick_device(device), dtype)
    if recipe.pipeline == ZERO_SHOT and logit_scale(pipe.model) is None:
        raise ValueError(f"{model} is a {type(pipe.model).__name__}; {name!r} needs embeddings of audio and of text.")
    return recipe.make(pipe, items, benchmark, data_dir, given)
