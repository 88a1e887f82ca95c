"""
The generalisation check of test-time adaptation on benchmarks: adapt on one, measure on it and on all others.

[`generalization_report`] does it on embedded clips; here they come from the official files of benchmarks, each asked in
its own words. Views are made of the clips that are adapted to alone, and all others are embedded once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..models.clap_afm.embedding_clap_afm import embed_audio
from ..pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline
from .datasets import labels_of
from .task import Failure, Item
from .tasks.zero_shot import read_items
from .tasks_by_name import items_for
from .test_time_study import GeneralizationReport, Task, generalization_report

VIEWS_HOW = ("views", "augmentation", "seed")


class ClipViews(Sequence[torch.Tensor]):
    """
    The views of clips, made when they are asked for: `(views, dim)` each.

    Args:
        adapter ([`TestTimeAdaptationPipeline`]): Encodes them.
        paths (`list[str]`): The clips.
        how: `views`, `augmentation` and `seed` of [`AdaptationSettings`].
    """

    def __init__(self, adapter: TestTimeAdaptationPipeline, paths: Sequence[Any], **how: Any) -> None:
        self.adapter, self.paths, self.how = adapter, list(paths), how
        self._made: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if index not in self._made:
            self._made[index] = self.adapter.encode(self.paths[index], **self.how)
        return self._made[index]


class BenchmarkTask(Task):
    """Clips of a benchmark, embedded once; see [`benchmark_task`]."""

    plain: torch.Tensor

    def embeddings(self) -> torch.Tensor:
        """The clips as they are, `(clips, dim)`."""
        return self.plain


def benchmark_task(
    adapter: TestTimeAdaptationPipeline,
    name: str,
    data_dir: str,
    *,
    limit: int | None = None,
    batch_size: int = 16,
    num_workers: int = 0,
    **settings: Any,
) -> tuple[BenchmarkTask, list[str]]:
    """
    The clips of a benchmark as a task of the check.

    Args:
        adapter ([`TestTimeAdaptationPipeline`]): The pipeline.
        name, data_dir, limit: As of [`items_for`].
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
        settings: Fields of [`AdaptationSettings`].

    Returns:
        The task, and what to say of it: why it is a part of the benchmark, and clips that could not be used.

    Raises:
        ValueError: as [`items_for`]; or fewer than two clips can be used.
    """
    items, benchmark, report = items_for("adaptation", name, data_dir, None, limit)

    def embed(features: Mapping[str, torch.Tensor]) -> list[list[float]]:
        rows: list[list[float]] = embed_audio(adapter.model, features).tolist()
        return rows

    kept: list[tuple[Item, list[float]]] = []
    for item, row in read_items(adapter, items, None, batch_size, num_workers, embed):
        if not isinstance(row, Failure):
            kept.append((item, row))
    said = [f"{name}: {reason}" for reason in benchmark.partial]
    if lost := report.skipped + len(items) - len(kept):
        said.append(f"{name}: {lost} clips left out")
    truth = [item.truth["labels"] if benchmark.multi_label else str(item.truth["label"]) for item, _ in kept]
    how = {key: settings[key] for key in VIEWS_HOW if key in settings}
    task = BenchmarkTask(
        ClipViews(adapter, [item.audio for item, _ in kept], **how),
        truth,
        labels_of(items, benchmark, data_dir),
        next((words for words in benchmark.templates_2023 if words != "{}"), None),
    )
    task.plain = torch.tensor([row for _, row in kept])  # (clips, dim)
    return task, said


def generalization_on_benchmarks(
    adapter: TestTimeAdaptationPipeline,
    folders: Mapping[str, str],
    *,
    clips: int = 1,
    draws: int = 5,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int = 16,
    num_workers: int = 0,
    **settings: Any,
) -> tuple[GeneralizationReport, list[str]]:
    """
    Adapts on each benchmark to some of its clips, and measures on the rest of it and on all others.

    Args:
        adapter ([`TestTimeAdaptationPipeline`]): The pipeline.
        folders (`dict[str, str]`): The benchmarks' folders by name; two or more.
        clips, draws, seed (`int`): Clips to adapt to at a time; draws of them; seed of the draws.
        limit (`int`, *optional*): Only so many of the first rows of each.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
        settings: Fields of [`AdaptationSettings`].

    Returns:
        The report, and what to say of the data.

    Raises:
        ValueError: there is only one benchmark, or one cannot be used.
    """
    if len(folders) < 2:
        raise ValueError(f"There is {len(folders)} benchmark; the check adapts on one and measures on others.")
    reading: dict[str, Any] = {"limit": limit, "batch_size": batch_size, "num_workers": num_workers, **settings}
    found = {name: benchmark_task(adapter, name, folder, **reading) for name, folder in folders.items()}
    tasks = {name: task for name, (task, _) in found.items()}
    report = generalization_report(adapter, tasks, clips=clips, draws=draws, seed=seed, **settings)
    return report, [words for _, said in found.values() for words in said]


__all__ = ["BenchmarkTask", "ClipViews", "benchmark_task", "generalization_on_benchmarks"]
