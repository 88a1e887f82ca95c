"""The papers' figures that belong to the metrics of a result."""

import math

from ..datasets import BENCHMARKS
from ..runner import EvaluationResult
from .figures import PaperDifference, difference, find

# Our names of tasks and metrics, where the papers' figures have others.
_TASKS = {
    "closed": "closed-ended",
    "adaptation": "test-time-adaptation",
    "clotho-aqa": "audio-qa",
    "mmau": "mcq",
}
_METRICS = {"bleu_4": "BLEU-4", "meteor": "METEOR", "spice": "SPICE", "spider": "SPIDEr", "binary": "accuracy"}
_WAYS = {"audio to text ": "audio-to-text-retrieval", "text to audio ": "text-to-audio-retrieval"}
_RANKED = {"recall@1": "R@1", "map@10": "mAP@10"}


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
    subset = {"clotho-aqa": "binary", "mmau": "average"}.get(task)
    if metric.startswith("tier "):
        subset, metric = metric[:6], metric[7:]
    return _TASKS.get(task, task), _METRICS.get(metric, metric), subset


def reported(result: EvaluationResult) -> dict[str, list[PaperDifference]]:
    """
    What the papers report for the same task, dataset and metric, with the difference; released forms of systems alone.

    Nothing for a result on a part of the dataset, which is another task.

    Args:
        result: Of [`run`]; its dataset may be one that no paper has.

    Returns:
        Of each metric that is reported, the figures.
    """
    benchmark = BENCHMARKS.get(result.dataset)
    if benchmark is None or not benchmark.paper or result.partial:
        return {}
    found = {}
    for name, value in result.metrics.items():
        task, metric, subset = names_in_papers(result.task, name)
        wanted = {"task": task, "metric": metric, "subset": subset or benchmark.subset}
        rows = find(dataset=benchmark.paper, variant="", missing_ok=True, **wanted)
        if rows and math.isfinite(value):
            found[name] = [difference(value, row) for row in rows]
    return found


def partial_in_words(result: EvaluationResult) -> str:
    """Why the figures are of a part of the dataset, for people; nothing if they are of the whole."""
    if not result.partial:
        return ""
    benchmark = BENCHMARKS.get(result.dataset)
    papers = (
        " The papers' figures are of the whole, and do not stand beside these." if benchmark and benchmark.paper else ""
    )
    return f"Partial: {'; '.join(map(str, result.partial))}.{papers}"
