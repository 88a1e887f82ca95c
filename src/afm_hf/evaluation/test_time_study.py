"""
What a domain vector does beyond the clips it was learned from: to other clips, and to other sets of labels.

The generalisation test of Deshmukh et al., "Domain Adaptation for Contrastive Audio-Language Models" (Interspeech 2024,
arXiv 2402.09585): adapt on one task, then measure on it and on all others. Each figure is a mean over draws of the
clips that are adapted to, with a bootstrap interval; these clips are left out of their own task's test. The method
itself is in [`TestTimeAdaptationPipeline`].
"""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.utils import logging

from ..adaptation.test_time.domain_vector import DomainVector, starting_prompt
from ..adaptation.test_time.optimization import AdaptationResult, AdaptationSettings
from ..models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE
from ..models.common.results_afm import AfmResult, settings_of
from ..pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline

RESAMPLES = 2000


@dataclass
class Task:
    """
    Labelled clips to measure on; their labels are never used to adapt.

    Args:
        views (`list[torch.Tensor]` of shape `(views, dim)` each):
            From [`TestTimeAdaptationPipeline`]'s `encode`; the clip itself is the first.
        truth (`list[str]` or `list[list[str]]`):
            The label of each clip; or its labels, of which any is right (as of DCASE 2017).
        labels (`list[str]`, *optional*): The candidates; those that occur if not given.
        template (`str`, *optional*): What zero-shot is asked with, and what a vector learned here starts from; the
            settings' own if not given.

    Raises:
        ValueError: the numbers of clips and labels differ, or a label is no candidate.
    """

    views: Sequence[torch.Tensor]
    truth: Sequence[str | Sequence[str]]
    labels: Sequence[str] = field(default_factory=list)
    template: str | None = None

    def __post_init__(self) -> None:
        known = {label for labels in self.truth for label in _several(labels)}
        self.labels = list(self.labels) or sorted(known)
        if len(self.views) != len(self.truth) or len(self.truth) < 2:
            raise ValueError(
                f"A task has {len(self.views)} clips and {len(self.truth)} labels; expected 2 or more, alike."
            )
        if stray := sorted(known - set(self.labels)):
            raise ValueError(f"The labels {stray} of clips are not among the {len(self.labels)} candidates.")

    def embeddings(self) -> torch.Tensor:
        """The clips as they are, `(clips, dim)`."""
        return torch.stack([views[0] for views in self.views])


@dataclass(kw_only=True)
class GeneralizationReport(AfmResult):
    """
    Accuracies in per cent; gains are percentage points over the hand-written prompt on the same clips.

    Args:
        zero_shot (`dict[str, float]`): Accuracy of each task without a vector, over all its clips.
        gains (`dict[str, dict[str, float]]`): Mean gain on the second task of vectors learned on the first.
        own (`tuple[float, float, float]`): Mean gain on the task adapted to, and its 95 % interval over the draws.
        others (`tuple[float, float, float]`): The same for all other tasks; not a number where there is but one task.
        stopped (`dict[str, int]`): How often adaptations ended for what reason.
    """

    zero_shot: dict[str, float]
    gains: dict[str, dict[str, float]]
    own: tuple[float, float, float]
    others: tuple[float, float, float]
    stopped: dict[str, int]


def generalization_report(
    adapter: TestTimeAdaptationPipeline,
    tasks: Mapping[str, Task],
    adapt_on: Sequence[str] | None = None,
    clips: int = 1,
    draws: int = 20,
    seed: int = 0,
    **settings: Any,
) -> GeneralizationReport:
    """
    Adapts on each task to some of its clips, and measures on the rest of it and on every other task.

    Args:
        adapter ([`TestTimeAdaptationPipeline`]): The pipeline.
        tasks (`dict[str, Task]`): Tasks by name.
        adapt_on (`list[str]`, *optional*): The tasks to adapt on; all if not given.
        clips (`int`, *optional*, defaults to 1): Clips to adapt to at a time.
        draws (`int`, *optional*, defaults to 20): Draws of such clips for every task.
        seed (`int`, *optional*, defaults to 0): Seed of the draws.
        settings (*optional*): Fields of [`AdaptationSettings`].

    Raises:
        ValueError: there are no tasks, one is unknown, or has too few clips.
    """
    chosen = list(tasks if adapt_on is None else adapt_on)
    if unknown := sorted(set(chosen) - set(tasks)):
        raise ValueError(f"There are no tasks {unknown}; the tasks are {sorted(tasks)}.")
    if not chosen or draws < 1 or clips < 1:
        raise ValueError(f"Nothing to do: {len(chosen)} tasks to adapt on, {draws} draws of {clips} clips.")
    for name in chosen:
        if clips >= len(tasks[name].truth):
            raise ValueError(f"The task {name!r} has {len(tasks[name].truth)} clips; more than {clips} are needed.")
    plain = {name: hits(adapter, task) for name, task in tasks.items()}
    gains: dict[str, dict[str, list[float]]] = {name: {other: [] for other in tasks} for name in chosen}
    stopped: dict[str, int] = {}
    for name in logging.tqdm(chosen, desc="Adapting"):
        for draw in range(draws):
            few = random.Random(f"{seed} {name} {draw}").sample(range(len(tasks[name].truth)), clips)
            result = adapt_to_task(adapter, tasks[name], few, **settings)
            stopped[result.stopped] = stopped.get(result.stopped, 0) + 1
            for other, task in tasks.items():
                rest = [i for i in range(len(task.truth)) if other != name or i not in few]
                now = hits(adapter, task, result.vector)
                gains[name][other].append(100 * statistics.mean(now[i] - plain[other][i] for i in rest))
    own = [gain for name in chosen for gain in gains[name][name]]
    others = [gain for name in chosen for other in tasks if other != name for gain in gains[name][other]]
    made = settings_of(adapter.model, clips=clips, draws=draws, draws_seed=seed, **settings)
    return GeneralizationReport(
        zero_shot={name: 100 * statistics.mean(found) for name, found in plain.items()},
        gains={name: {other: statistics.mean(g) for other, g in row.items()} for name, row in gains.items()},
        own=bootstrap_interval(own),
        others=bootstrap_interval(others),
        stopped=stopped,
        settings=made,
    )


def adapt_to_task(
    adapter: TestTimeAdaptationPipeline, task: Task, clips: Sequence[int], **settings: Any
) -> AdaptationResult:
    """
    One vector from some of a task's clips, whose labels it does not see.

    Args:
        adapter ([`TestTimeAdaptationPipeline`]): The pipeline.
        task ([`Task`]): The task.
        clips (`list[int]`): Which of its clips.
        settings (*optional*): Fields of [`AdaptationSettings`].
    """
    start = starting_prompt(task.template) if task.template else {}
    return adapter.adapt_to([task.views[i] for i in clips], task.labels, {**start, **settings})


@torch.no_grad()
def hits(
    adapter: TestTimeAdaptationPipeline,
    task: Task,
    vector: DomainVector | None = None,
    templates: Sequence[str] | None = None,
) -> list[bool]:
    """
    Whether each clip's best label is the true one.

    Args:
        adapter ([`TestTimeAdaptationPipeline`]): The pipeline, for its model.
        task ([`Task`]): The clips.
        vector ([`DomainVector`], *optional*): A vector, with its own template.
        templates (`Sequence[str]`, *optional*):
            Without a vector: sentences with `{}`, whose mean embedding is taken; the task's own if not given.
    """
    own = tuple(templates or (task.template or DEFAULT_TEMPLATE,))
    sentences = own if vector is None else (vector.template,)
    texts = adapter.label_embeddings(tuple(task.labels), sentences, vector)  # (labels, dim)
    clips = task.embeddings().to(texts.device)  # (clips, dim)
    best = (clips @ texts.t()).argmax(dim=-1).tolist()
    return [task.labels[i] in _several(labels) for i, labels in zip(best, task.truth, strict=True)]


def _several(labels: str | Sequence[str]) -> Sequence[str]:
    """The labels of a clip that has one or more."""
    return [labels] if isinstance(labels, str) else labels


def bootstrap_interval(values: Sequence[float], seed: int = 0, level: float = 0.95) -> tuple[float, float, float]:
    """
    Mean, and the ends of its bootstrap interval (percentiles of the means of resamples).

    Args:
        values (`Sequence[float]`): One figure a draw; three NaN come of none.
        seed (`int`, *optional*, defaults to 0): Seed of the resamples.
        level (`float`, *optional*, defaults to 0.95): Share of the resamples inside.
    """
    if not values:
        return (float("nan"),) * 3
    data = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    means = data[torch.randint(len(data), (RESAMPLES, len(data)), generator=generator)].mean(dim=1)
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = means.quantile(edges).tolist()
    return float(data.mean()), low, high


__all__ = [
    "AdaptationResult",
    "AdaptationSettings",
    "GeneralizationReport",
    "Task",
    "adapt_to_task",
    "bootstrap_interval",
    "generalization_report",
    "hits",
]
