"""Test-time adaptation as a task: a vector learned without labels from one or five clips of a domain, or from each."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from ...adaptation.test_time.domain_vector import starting_prompt
from ...adaptation.test_time.optimization import AdaptationSettings
from ...models.clap_afm.embedding_clap_afm import embed_audio
from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline
from ..task import SHOWN, Failure, Item, Record, Task
from .tagging import Bools, f1_figures, f1_sums, present_labels
from .zero_shot import read_items

STEPS = (1, 5, 10)
DRAWS = 5


class AdaptationTask(Task):
    """
    Zero-shot labels with a learned vector (arXiv 2402.09585); `label` of an item, or `labels`.

    With `clips`, vectors are learned from so many clips of the items, drawn without their labels, and used for all
    items: "one audio" and "five audio" of the paper. Figures are means over the draws. Without, every clip has a vector
    of its own.

    The main metric is after the largest number of steps, `before` without a vector, `gain` their difference.

    Args:
        pipe ([`TestTimeAdaptationPipeline`]): With its model, a CLAP.
        labels (`list[str]`): All labels.
        items: All items of the run, of which clips are drawn; needed with `clips`.
        clips (`int`, *optional*): From how many clips of the domain a vector is learned.
        draws (`int`): Draws of such clips.
        steps (`tuple[int, ...]`): The numbers of steps to compare; each starts anew.
        template (`str`, *optional*): The sentence to start from, as `"this emotion is {}"`; the settings' own without.
        metric (`str`, *optional*): `"F1"` where clips have several labels, of which the likeliest is said.
        draws_seed (`int`): Of the drawn clips.
        batch_size, num_workers (`int`): Clips per forward pass, and processes that decode, with `clips`.
        settings: Other fields of [`AdaptationSettings`], as `views` and `keep`.

    Raises:
        ValueError: steps that do not rise, or more clips than there are.
    """

    name = "adaptation"

    def __init__(
        self,
        pipe: TestTimeAdaptationPipeline,
        labels: Sequence[str],
        items: Sequence[Item] = (),
        *,
        clips: int | None = None,
        draws: int = DRAWS,
        steps: Sequence[int] = STEPS,
        template: str | None = None,
        metric: str | None = None,
        draws_seed: int = 0,
        batch_size: int = 16,
        num_workers: int = 0,
        **settings: Any,
    ) -> None:
        if not steps or sorted(set(steps)) != list(steps) or steps[0] < 1:
            raise ValueError(f"`steps` is {list(steps)}; expected rising numbers from 1 on.")
        if clips is not None and not (1 <= clips <= len(items) and draws >= 1):
            raise ValueError(f"There are {len(items)} clips; {draws} draws of {clips} cannot be made of them.")
        self.pipe, self.labels, self.steps = pipe, list(labels), tuple(steps)
        self.items, self.clips, self.draws, self.draws_seed = list(items), clips, draws, draws_seed
        self.batch_size, self.num_workers = batch_size, num_workers
        start = starting_prompt(template) if template else {}
        self.adaptation: dict[str, Any] = {**start, **settings}
        self.main_metric = metric or "accuracy"
        self._learned: list[dict[int, Any]] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Model, labels, clips to learn from, numbers of steps and the adaptation's settings."""
        drawn = {"clips": self.clips, "draws": self.draws, "draws_seed": self.draws_seed} if self.clips else {}
        return settings_of(self.pipe.model, labels=self.labels, steps=list(self.steps), **drawn, **self.adaptation)

    @property
    def prompts(self) -> list[str]:
        """The sentence that vectors start from, with a place for the label."""
        start = AdaptationSettings(**self.adaptation)
        return [start.template.format(_prompted(start.prompt, start.position))]

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"before": label, "after": {steps: label, or one for each draw}, "entropies": [...], "stopped": why}`."""
        if self.clips:
            yield from self._by_domain(items)
            return
        for item in items:
            views = self._views(item)
            if isinstance(views, Failure):
                yield views
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

    def _by_domain(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """The same, with vectors that were learned before from other clips (or this one among them)."""
        learned = self._vectors()
        last = learned[0][self.steps[-1]]
        before = self.pipe.label_embeddings(tuple(self.labels), tuple(self.prompts), None)  # (labels, dim)
        after = {
            steps: [
                self.pipe.label_embeddings(tuple(self.labels), (each[steps].vector.template,), each[steps].vector)
                for each in learned
            ]
            for steps in self.steps
        }
        shared = {"entropies": list(last.entropies), "stopped": last.stopped}

        def labels_of(features: Mapping[str, torch.Tensor]) -> list[list[str]]:
            clips = embed_audio(self.pipe.model, features)  # (clips, dim)
            columns = [self._best(clips, texts) for texts in (before, *chain(*after.values()))]
            return [list(row) for row in zip(*columns, strict=True)]

        for _, said in read_items(self.pipe, items, None, self.batch_size, self.num_workers, labels_of):
            if isinstance(said, Failure):
                yield said
                continue
            draws = [said[1 + start : 1 + start + self.draws] for start in range(0, len(said) - 1, self.draws)]
            by_steps = {str(steps): labels for steps, labels in zip(self.steps, draws, strict=True)}
            yield {"before": said[0], "after": by_steps, **shared}

    def _vectors(self) -> list[dict[int, Any]]:
        """For each draw of clips the results of learning, by the number of steps."""
        if self._learned is None:
            self._learned = []
            for draw in range(self.draws):
                views = self._drawn(draw)
                self._learned.append(
                    {
                        steps: self.pipe.adapt_to(views, self.labels, {**self.adaptation, "steps": steps})
                        for steps in self.steps
                    }
                )
        return self._learned

    def _drawn(self, draw: int) -> list[torch.Tensor]:
        """Views of the clips of a draw; a clip that cannot be used makes room for another."""
        order = random.Random(f"{self.draws_seed} {draw}").sample(range(len(self.items)), len(self.items))
        found: list[torch.Tensor] = []
        for index in order:
            views = self._views(self.items[index])
            if not isinstance(views, Failure):
                found.append(views)
            if len(found) == self.clips:
                return found
        raise ValueError(f"Only {len(found)} of the {len(self.items)} clips can be used; {self.clips} are needed.")

    def _views(self, item: Item) -> torch.Tensor | Failure:
        """`(views, dim)`, the clip itself first."""
        how = {name: self.adaptation[name] for name in ("views", "augmentation", "seed") if name in self.adaptation}
        try:
            made: torch.Tensor = self.pipe.encode(item.audio, **how)
            return made
        except (ValueError, OSError) as error:
            return Failure(str(error))

    def _best(self, clips: torch.Tensor, texts: torch.Tensor) -> list[str]:
        """The label of each clip: `(clips, dim)` and `(labels, dim)`."""
        return [self.labels[index] for index in (clips @ texts.t()).argmax(dim=-1).tolist()]

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """The metric with the vector, without it, and the gain; means over the draws."""
        before = self._figure(records, None)
        after = {steps: self._figure(records, steps) for steps in self.steps}
        most = after.pop(self.steps[-1])
        between = {f"after {steps} steps": value for steps, value in after.items()}
        return {self.main_metric: most, "before": before, "gain": most - before, **between}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right, in so many of the draws; a gain is between -1 and 1."""
        if self.main_metric == "F1":
            return {"before": f1_sums(present_labels(records, self.labels), self._chosen(records, None, 0))}
        before = self._right(records, None)
        after = {steps: self._right(records, steps) for steps in self.steps}
        most = after.pop(self.steps[-1])
        between = {f"after {steps} steps": values for steps, values in after.items()}
        return {"accuracy": most, "before": before, "gain": most - before, **between}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """The entropy at each step, and the metric by the number of steps; why adaptations ended; some labels."""
        longest = max(len(record.prediction["entropies"]) for record in records)
        # a clip that stopped early keeps its last entropy
        rows = [r.prediction["entropies"] + [r.prediction["entropies"][-1]] * longest for r in records]
        entropy = np.mean([row[:longest] for row in rows], axis=0).tolist()
        points = [(0, self._figure(records, None)), *((steps, self._figure(records, steps)) for steps in self.steps)]
        words = "Entropy while the vector is learned, " + ("of the first draw" if self.clips else "mean over the clips")
        metric = self.main_metric[0].upper() + self.main_metric[1:]
        curves = [
            _curve(words, "step", "nats", list(enumerate(entropy))),
            _curve(f"{metric} by the number of steps", "steps", self.main_metric, points),
        ]
        stopped = [record.prediction["stopped"] for record in records]
        ended = {why: {"clips": stopped.count(why)} for why in sorted(set(stopped))}
        most = str(self.steps[-1])
        examples = [
            {
                "id": record.item.id,
                "before": record.prediction["before"],
                "after": _draws(record.prediction["after"][most])[0],
                "right": record.item.truth.get("label", record.item.truth.get("labels")),
            }
            for record in records[:SHOWN]
        ]
        if self.clips:
            by_draw = [self._of_draw(records, self.steps[-1], draw) for draw in range(self.draws)]
            return {"curves": curves, "draws": by_draw, "examples": examples}
        return {"curves": curves, "by_group": {"end of the adaptation": ended}, "examples": examples}

    def _figure(self, records: Sequence[Record], steps: int | None) -> float:
        """The metric, mean over the draws."""
        draws = self.draws if self.clips and steps is not None else 1
        return float(np.mean([self._of_draw(records, steps, draw) for draw in range(draws)]))

    def _of_draw(self, records: Sequence[Record], steps: int | None, draw: int) -> float:
        if self.main_metric == "F1":
            present = present_labels(records, self.labels)
            return f1_figures(present, self._chosen(records, steps, draw))["F1"]
        said = self._said(records, steps, draw)
        return float(np.mean([a == str(r.item.truth["label"]) for a, r in zip(said, records, strict=True)]))

    def _right(self, records: Sequence[Record], steps: int | None) -> np.ndarray:
        draws = self.draws if self.clips and steps is not None else 1
        said = [self._said(records, steps, draw) for draw in range(draws)]
        truth = [str(record.item.truth["label"]) for record in records]
        return np.mean([[a == b for a, b in zip(each, truth, strict=True)] for each in said], axis=0, dtype=float)

    def _chosen(self, records: Sequence[Record], steps: int | None, draw: int) -> Bools:
        return np.array([[label == said for label in self.labels] for said in self._said(records, steps, draw)])

    @staticmethod
    def _said(records: Sequence[Record], steps: int | None, draw: int) -> list[str]:
        if steps is None:
            return [record.prediction["before"] for record in records]
        return [_draws(record.prediction["after"][str(steps)])[draw] for record in records]


def _prompted(prompt: str, position: str) -> str:
    """The plain sentence of a prompt, with a place for the label."""
    return f"{prompt} {{}}" if position == "before" else f"{{}} {prompt}"


def _draws(said: Any) -> list[str]:
    """A label for each draw; per clip there is one."""
    return said if isinstance(said, list) else [said]


def _curve(title: str, x: str, y: str, points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    return {"title": title, "x": x, "y": y, "lines": {"all clips": list(points)}}


__all__ = ["DRAWS", "STEPS", "AdaptationTask"]
