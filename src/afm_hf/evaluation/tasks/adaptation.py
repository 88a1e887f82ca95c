"""Test-time adaptation as a task: a vector for every clip, learned without its label, in several numbers of steps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline
from ..task import SHOWN, Failure, Item, Record, Task

STEPS = (1, 5, 10)


class AdaptationTask(Task):
    """
    Zero-shot labels with a vector learned from the clip alone (arXiv 2402.09585, "one audio"); `label` of an item.

    `accuracy` is after the largest number of steps, `before` without a vector, `gain` their difference.

    Args:
        pipe ([`TestTimeAdaptationPipeline`]): With its model, a CLAP.
        labels (`list[str]`): All labels.
        steps (`tuple[int, ...]`): The numbers of steps to compare; each starts anew.
        settings: Other fields of [`AdaptationSettings`], as `views` and `keep`.
    """

    name = "adaptation"
    main_metric = "accuracy"

    def __init__(
        self, pipe: TestTimeAdaptationPipeline, labels: Sequence[str], *, steps: Sequence[int] = STEPS, **settings: Any
    ) -> None:
        if not steps or sorted(set(steps)) != list(steps) or steps[0] < 1:
            raise ValueError(f"`steps` is {list(steps)}; expected rising numbers from 1 on.")
        self.pipe, self.labels, self.steps, self.adaptation = pipe, list(labels), tuple(steps), settings

    @property
    def settings(self) -> dict[str, Any]:
        """Model, labels, numbers of steps and the adaptation's settings."""
        return settings_of(self.pipe.model, labels=self.labels, steps=list(self.steps), **self.adaptation)

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"before": label, "after": {steps: label}, "entropies": [...], "stopped": why}`; views are made once."""
        how = {name: self.adaptation[name] for name in ("views", "augmentation", "seed") if name in self.adaptation}
        for item in items:
            try:
                views = self.pipe.encode(item.audio, **how)
            except (ValueError, OSError) as error:
                yield Failure(str(error))
                continue
            results = {
                steps: self.pipe.adapt_to([views], self.labels, {**self.adaptation, "steps": steps})
                for steps in self.steps
            }
            last = results[self.steps[-1]]
            yield {
                "before": last.before[0][0]["label"],
                "after": {str(steps): result.after[0][0]["label"] for steps, result in results.items()},
                "entropies": list(last.entropies),
                "stopped": last.stopped,
            }

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy with the vector, without it, and the gain."""
        return {name: float(np.mean(values)) for name, values in self.per_record(records).items()}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right; a gain is -1, 0 or 1."""
        before = self._right(records, None)
        after = {steps: self._right(records, steps) for steps in self.steps}
        most = after.pop(self.steps[-1])
        between = {f"after {steps} steps": values for steps, values in after.items()}
        return {"accuracy": most, "before": before, "gain": most - before, **between}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """The entropy at each step, and the accuracy by the number of steps; why adaptations ended; some labels."""
        longest = max(len(record.prediction["entropies"]) for record in records)
        # a clip that stopped early keeps its last entropy
        rows = [r.prediction["entropies"] + [r.prediction["entropies"][-1]] * longest for r in records]
        entropy = np.mean([row[:longest] for row in rows], axis=0).tolist()
        accuracy = [(0, float(self._right(records, None).mean()))]
        accuracy += [(steps, float(self._right(records, steps).mean())) for steps in self.steps]
        stopped = [record.prediction["stopped"] for record in records]
        curves = [
            _curve(
                "Entropy while the vector is learned, mean over the clips", "step", "nats", list(enumerate(entropy))
            ),
            _curve("Accuracy by the number of steps", "steps", "accuracy", accuracy),
        ]
        ended = {why: {"clips": stopped.count(why)} for why in sorted(set(stopped))}
        most = str(self.steps[-1])
        examples = [
            {
                "id": record.item.id,
                "before": record.prediction["before"],
                "after": record.prediction["after"][most],
                "right": record.item.truth["label"],
            }
            for record in records[:SHOWN]
        ]
        return {"curves": curves, "by_group": {"end of the adaptation": ended}, "examples": examples}

    def _right(self, records: Sequence[Record], steps: int | None) -> np.ndarray:
        said = [r.prediction["before"] if steps is None else r.prediction["after"][str(steps)] for r in records]
        return np.array([a == r.item.truth["label"] for a, r in zip(said, records, strict=True)], dtype=float)


def _curve(title: str, x: str, y: str, points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    return {"title": title, "x": x, "y": y, "lines": {"all clips": list(points)}}
