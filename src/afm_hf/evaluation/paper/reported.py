"""The papers' figures that belong to the metrics of a result: of the same task, data, split and metric alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..datasets import BENCHMARKS
from ..runner import EvaluationResult
from ..tasks.questions import MMAU_TASKS
from .figures import PaperDifference, PaperFigure, difference, find

# Our names of tasks and metrics, where the papers' figures have others.
_TASKS = {
    "closed": "closed-ended",
    "adaptation": "test-time-adaptation",
    "clotho-aqa": "audio-qa",
    "mmau": "mcq",
}
_METRICS = {"bleu_4": "BLEU-4", "meteor": "METEOR", "spice": "SPICE", "spider": "SPIDEr"}
_WAYS = {"audio to text ": "audio-to-text-retrieval", "text to audio ": "text-to-audio-retrieval"}
_RANKED = {"recall@1": "R@1", "map@10": "mAP@10"}
_SUPERVISED = "best of frozen and fine-tuned"
ADAPTED = {1: "one audio", 5: "five audio"}  # by the clips that a vector is learned from
# What CLAP 2022's study of prompts asked on ESC-50, and how its rows are called.
PROMPT_STUDY = {
    "i can hear {}": 'prompt "i can hear"',
    "this is an audio of {}": 'prompt "this is an audio of"',
    "this is {}": 'prompt "this is"',
    "{}": "no prompt, the label alone",
}
MMAU_CHANGED = "2025-05"  # the papers' figures are of releases before


@dataclass(frozen=True)
class Sought:
    """
    Which of the papers' figures a metric is to be compared with.

    Args:
        task, metric (`str`), subset (`str`, *optional*): As in [`PaperFigure`].
        variants (`tuple[str, ...]`): Forms of a system; `""` is the released one.
        fits: What else a figure must be.
    """

    task: str
    metric: str
    subset: str | None = None
    variants: tuple[str, ...] = ("",)
    fits: Callable[[PaperFigure], bool] = lambda figure: True


def names_in_papers(task: str, metric: str) -> tuple[str, str, str | None]:
    """
    Task, metric and subset as the papers' figures have them.

    Example:
    ```python
    >>> names_in_papers("difference", "tier 2 bleu_4"), names_in_papers("retrieval", "text to audio recall@1")
    (('difference', 'BLEU-4', 'tier 2'), ('text-to-audio-retrieval', 'R@1', None))

    ```
    """
    for way, name in _WAYS.items():
        if metric.startswith(way):
            return name, _RANKED.get(metric.removeprefix(way), metric), None
    subset = None
    if metric.startswith("tier "):
        subset, metric = metric[:6], metric[7:]
    return _TASKS.get(task, task), _METRICS.get(metric, metric), subset


def sought(result: EvaluationResult, metric: str) -> Iterator[Sought]:
    """What to look for in the papers beside a metric of a result; nothing where they have another metric."""
    task, name, subset = names_in_papers(result.task, metric)
    if result.task == "zero-shot":
        templates = result.settings.get("templates") or [""]
        study = PROMPT_STUDY.get(templates[0]) if len(templates) == 1 and result.dataset == "esc50" else None
        yield Sought(task, name, variants=("", study) if study else ("",))
    elif result.task in ("linear-probe", "fine-tune"):
        yield Sought(task, name, variants=("", "frozen encoder"))
        yield Sought("supervised", name, variants=(_SUPERVISED,))
    elif result.task == "adaptation":
        if metric == "before":
            yield Sought(task, result.main_metric or "accuracy", variants=("zero-shot baseline",))
        elif metric == (result.main_metric or "accuracy") and result.settings.get("clips") in ADAPTED:
            yield Sought(task, name, variants=(ADAPTED[result.settings["clips"]],))
    elif result.task == "mmau":
        # Mellow's own figures count the option's letter, those of the others follow the official rule
        part, _, rule = metric.rpartition(", ")
        is_letter = "letter" in (metric, rule)
        subset = (part if rule == "letter" else metric) if metric not in ("accuracy", "letter") else "average"
        if subset in (*MMAU_TASKS, "average"):
            yield Sought(task, "accuracy", subset, fits=lambda figure: (figure.system == "Mellow") == is_letter)
    elif result.task == "clotho-aqa":
        if metric == "binary, published":
            yield Sought(task, "accuracy", "binary")
        elif metric == "binary":  # the slide of Pengi does not say by which rule
            yield Sought(task, "accuracy", fits=lambda figure: figure.system == "Pengi")
    elif result.task == "entailment-probe":
        form = "linear probe, captions first" if result.settings.get("premise") == "both" else "linear probe"
        yield Sought("entailment", name, variants=(form,))
    elif result.task == "entailment":
        is_published = metric == "accuracy, published"
        forms = ("", "zero-shot", "zero-shot, with text encoder", "zero-shot, without text encoder")
        name = metric.removesuffix(", published")
        yield Sought(task, name, variants=forms, fits=lambda figure: (figure.system == "Mellow") == is_published)
    else:
        yield Sought(task, name, subset)


def reported(result: EvaluationResult) -> dict[str, list[PaperDifference]]:
    """
    What the papers report for the same task, dataset, split and metric, with the difference; released forms of systems.

    Nothing for a result on a part of the dataset, which is another task, of a control that does not hear the clips, nor
    on a release of MMAU that the papers did not have.

    Args:
        result: Of [`run`]; its dataset may be one that no paper has.

    Returns:
        Of each metric that is reported, the figures.
    """
    benchmark = BENCHMARKS.get(result.dataset)
    is_control = bool(result.settings.get("control"))
    if benchmark is None or not benchmark.paper or result.partial or is_control or _is_new_mmau(result):
        return {}
    found = {}
    for name, value in result.metrics.items():
        rows = []
        for query in sought(result, name) if math.isfinite(value) else ():
            subset = query.subset or benchmark.subset
            # a subset that is none is looked up as none, for parts have figures of their own
            wanted = {"dataset": benchmark.paper, "task": query.task, "metric": query.metric, "subset": subset or ""}
            for variant in query.variants:
                rows += [row for row in find(**wanted, variant=variant, missing_ok=True) if query.fits(row)]
        rows = [row for row in rows if not result.split or row.split in (None, result.split)]
        if rows:
            found[name] = [difference(value, row) for row in rows]
    return found


def notes_in_words(result: EvaluationResult) -> list[str]:
    """What else people should know beside the figures: other words than the papers', folds of our own, a release."""
    said = list(map(str, result.notes))
    if _is_new_mmau(result):
        version = result.details.get("version", "unknown")
        said.append(
            f"the papers' figures are of MMAU's releases before May 2025, and do not stand beside these ({version})"
        )
    return said


def partial_in_words(result: EvaluationResult) -> str:
    """Why the figures are of a part of the dataset, for people; nothing if they are of the whole."""
    if not result.partial:
        return ""
    benchmark = BENCHMARKS.get(result.dataset)
    papers = (
        " The papers' figures are of the whole, and do not stand beside these." if benchmark and benchmark.paper else ""
    )
    return f"Partial: {'; '.join(map(str, result.partial))}.{papers}"


def _is_new_mmau(result: EvaluationResult) -> bool:
    """Whether its questions are none of the releases that the papers had."""
    version = str(result.details.get("version", ""))
    return result.task == "mmau" and not "2024" <= version[:7] < MMAU_CHANGED
