"""The tasks of the suite: items, model, trivial answer and control of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE
from ..benchmark import CLAP_2022
from ..task import Item, Record, Task
from ..tasks.adaptation import AdaptationTask
from ..tasks.answers import QuestionTask
from ..tasks.entailment import EntailmentTask
from ..tasks.linear_probe import LinearProbeTask
from ..tasks.retrieval import RetrievalTask
from ..tasks.zero_shot import ZeroShotTask
from .items import (
    CHOICES,
    NAMED,
    YES_OR_NO,
    backwards,
    captioned,
    commonest,
    hypotheses,
    label_of,
    learnable,
    other_audio,
    pairs,
    questions,
)
from .tasks import ABOVE, LABEL, NamedCaptionTask, NamedDifferenceTask, QualityOrderTask

Figures = dict[str, float]


@dataclass(frozen=True)
class SuiteTask:
    """
    A task of the suite.

    Args:
        model (`str`): The bundled model that it is done with.
        pipeline (`str`): Name of the pipeline.
        items: `(labelled clips, seed)` -> items.
        task: `(pipeline, items, options)` -> [`Task`].
        trivial: `(task, items)` -> figures of the best answer that does not listen.
        control: `(items, seed)` -> the items with other audio; `None` where that makes no sense.
        note (`str`): How it was made, for the report.
    """

    model: str
    pipeline: str
    items: Callable[[list[Item], int], list[Item]]
    task: Callable[[Any, list[Item], dict[str, Any]], Task]
    trivial: Callable[[Task, list[Item]], Figures]
    control: Callable[[Sequence[Item], int], list[Item]] | None = other_audio
    note: str = ""


def _names(items: Sequence[Item]) -> list[str]:
    return sorted({label_of(item) for item in items})


def _share_of_commonest(task: Task, items: Sequence[Item]) -> Figures:
    labels = [label_of(item) for item in items]
    return {"accuracy": labels.count(commonest(labels)) / len(labels)}


def _chance_of_retrieval(task: Task, items: Sequence[Item]) -> Figures:
    """What a random order reaches in the mean; every caption has one clip."""
    count = len(items)
    figures = {f"recall@{k}": min(1.0, k / count) for k in (1, 5, 10)}
    figures["map@10"] = float(sum(1 / rank for rank in range(1, min(10, count) + 1)) / count)
    return {f"{way} {name}": value for way in ("audio to text", "text to audio") for name, value in figures.items()}


def _commonest_caption(task: Task, items: Sequence[Item]) -> Figures:
    text = commonest([item.truth["captions"][0] for item in items])
    labels = [label_of(item) for item in items]
    figures = task.score([Record(item, {"text": text}) for item in items])
    return {**figures, LABEL: labels.count(commonest(labels)) / len(items)}


def _best_fixed_answer(task: Task, items: Sequence[Item]) -> Figures:
    """The commonest letter of each kind of question."""
    right = 0
    for kind in (CHOICES, YES_OR_NO):
        letters = [item.truth["choices"].index(item.truth["answer"]) for item in items if item.truth["kind"] == kind]
        right += letters.count(commonest(letters))
    return {"accuracy": right / len(items), "letter accuracy": right / len(items)}


def _commonest_pair(task: Task, items: Sequence[Item]) -> Figures:
    first, second = (commonest([item.truth["labels"][i] for item in items]) for i in (0, 1))
    return task.score([Record(item, {"text": NAMED.format(first, second)}) for item in items])


def _coin(task: Task, items: Sequence[Item]) -> Figures:
    return {ABOVE: 0.5, **{f"clean above {kind}": 0.5 for kind in getattr(task, "kinds", ())}}


SUITE: dict[str, SuiteTask] = {
    "zero-shot": SuiteTask(
        "clap-small",
        "zero-shot-audio-classification",
        lambda clips, seed: clips,
        lambda pipe, items, options: ZeroShotTask(pipe, _names(items), [CLAP_2022], **options),
        _share_of_commonest,
        note=(
            f'Every label of the folder is a candidate, asked in the words of the papers, "{CLAP_2022}". (A pipeline '
            f'that is not told otherwise asks "{DEFAULT_TEMPLATE}", which moves some clips.) '
            "Trivial: the commonest label for every clip."
        ),
    ),
    "linear-probe": SuiteTask(
        "clap-small",
        "zero-shot-audio-classification",
        lambda clips, seed: learnable(clips),
        lambda pipe, items, options: LinearProbeTask(pipe, **options),
        _share_of_commonest,
        note=(
            "Clips of labels with two or more, each told by a classifier that was trained on other clips; the control "
            "trains and tests with the audio of other clips. Trivial: the commonest label for every clip."
        ),
    ),
    "retrieval": SuiteTask(
        "clap-small",
        "zero-shot-audio-classification",
        lambda clips, seed: captioned(clips, once=True),
        lambda pipe, items, options: RetrievalTask(pipe, **options),
        _chance_of_retrieval,
        note="The first clip of each caption, so that each caption has one right clip. Trivial: a random order.",
    ),
    "captioning": SuiteTask(
        "pengi-small",
        "audio-captioning",
        lambda clips, seed: captioned(clips),
        lambda pipe, items, options: NamedCaptionTask(pipe, **options),
        _commonest_caption,
        note="Whether captions name the label, and the metrics of captions. Trivial: the commonest label or caption.",
    ),
    "question-answering": SuiteTask(
        "mellow-small",
        "audio-question-answering",
        questions,
        lambda pipe, items, options: QuestionTask(pipe, **options),
        _best_fixed_answer,
        note=(
            "Three questions a clip: which of four labels it is, and whether its label, and another one, is there; the "
            "interval takes them for independent. Trivial: always the commonest place among the choices."
        ),
    ),
    "difference": SuiteTask(
        "adiff-small",
        "audio-difference",
        pairs,
        lambda pipe, items, options: NamedDifferenceTask(pipe, tier="concise", **options),
        _commonest_pair,
        control=backwards,
        note=(
            "Pairs of clips of two labels; right is an answer that names both, each in its place. The control "
            "exchanges the clips. Trivial: the commonest labels."
        ),
    ),
    "entailment": SuiteTask(
        "clap-small",
        "audio-entailment",
        hypotheses,
        lambda pipe, items, options: EntailmentTask(pipe, **options),
        lambda task, items: {"accuracy": 2 / 3},
        note=(
            "Three sentences a clip: its label, its label with a detail that cannot be heard, another label. Trivial: "
            "the detail betrays the second without listening, and the others are a coin."
        ),
    ),
    "quality": SuiteTask(
        "clap-small",
        "audio-quality-assessment",
        lambda clips, seed: clips,
        lambda pipe, items, options: QualityOrderTask(pipe, **options),
        _coin,
        control=None,
        note="Each clip against itself with noise or a low-pass of five strengths, as loud as before. Trivial: a coin.",
    ),
    "adaptation": SuiteTask(
        "clap-small",
        "test-time-adaptation",
        lambda clips, seed: clips,
        lambda pipe, items, options: AdaptationTask(pipe, _names(items), views=32),
        _share_of_commonest,
        control=None,
        note=(
            "A vector for each clip, learned in 10 steps from 32 views of that clip alone, without its label. "
            "Trivial: the commonest label."
        ),
    ),
}
