"""
How much the words of the prompt matter: every stored template on the same clips, their spread, and their ensemble.

The CLAP 2022 paper finds five points between prompts on ESC-50 (section 4), and the slides of test-time adaptation
begin with that. Clips are embedded once; each template is scored on the same embeddings, so that differences are
paired. Which template is best is found here on the test clips: the spread is a range to expect, not a way to choose.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...data import load_templates
from ..report.figures import dots, per_cent
from ..runner import EvaluationResult
from ..task import Failure, Item, Record
from ..tasks.retrieval import RetrievalTask
from ..tasks.zero_shot import ZeroShotTask
from ..tasks_by_name import build_task
from .measuring import Data, Measured, Prepared, difference, measure, prepare, rescored
from .results import RUNS, ExperimentResult, check_output, row_of, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "prompts"
ENSEMBLE = "ensemble"


class EmbeddedZeroShotTask(ZeroShotTask):
    """Zero-shot classification that keeps embeddings, so that other templates can be scored on the same predictions."""

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"embedding": [...]}` of each clip."""
        how: dict[str, Any] = {
            "truncation": self.truncation,
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
        }
        return RetrievalTask(self.pipe, **how).predict(items)

    def asked(self, templates: Sequence[str]) -> "EmbeddedZeroShotTask":
        """The same with other templates; of several the mean embedding is taken."""
        other = copy.copy(self)
        other.templates = list(templates)
        return other

    def _scores(self, records: Sequence[Record]) -> np.ndarray:
        with torch.inference_mode():
            texts = self.pipe.label_embeddings(tuple(self.labels), tuple(self.templates)).cpu().numpy()
        clips = np.array([record.prediction["embedding"] for record in records], dtype=texts.dtype)  # (clips, dim)
        scores: np.ndarray = clips @ texts.T
        return scores


def stored_templates() -> list[str]:
    """The templates of the papers that say nothing of the kind of sound, each once."""
    special = {"emotion", "speaker-count"}
    stored = [each["prompt"] for name, each in load_templates("zero_shot").items() if name not in special]
    return list(dict.fromkeys(stored))


def templates_for(prepared: Prepared, model: Any, more: Sequence[str] = ()) -> list[str]:
    """Those that the benchmark is asked with first, then all stored ones and those of the user, each once."""
    own = [*prepared.benchmark.templates_for(model), *prepared.benchmark.templates]
    found = list(dict.fromkeys([*own, *stored_templates(), *more]))
    for template in found:
        if "{}" not in template:
            raise ValueError(f"The template {template!r} has no place for the label; write it as {{}}.")
    return found


def embedded_task(prepared: Prepared, model: str | None, device: str | None, **options: Any) -> EmbeddedZeroShotTask:
    """The task of a model, with the benchmark's own templates."""
    data = prepared.data
    made: Any = build_task("zero-shot", prepared.items, prepared.benchmark, data.folder, model, device, **options)
    return EmbeddedZeroShotTask(
        made.pipe,
        made.labels,
        made.templates,
        multi_label=made.multi_label,
        metric=made.main_metric,
        truncation=made.truncation,
        batch_size=made.batch_size,
        num_workers=made.num_workers,
    )


def prompt_sensitivity(
    data: Sequence[Data],
    folder: Path,
    model: str | None = None,
    *,
    templates: Sequence[str] = (),
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    Zero-shot figures of every template on each benchmark.

    Args:
        data: The benchmarks.
        folder: Gets the embeddings, table and picture. A run that was stopped goes on.
        model (`str`, *optional*): A CLAP.
        templates: Further sentences with `{}`.
        device, overwrite, draws, seed, progress: As of [`run`].
        options: `batch_size`, `num_workers`, `truncation`.

    Returns:
        A row for each template and one for the ensemble of all; `change` is the difference from the benchmark's own
        template in points, with its paired interval.

    Raises:
        ValueError: as [`items_for`], or a template has no place for the label.
        ImportError: matplotlib is not installed.
    """
    check_output(folder)
    result = ExperimentResult(experiment=NAME, rows=[], settings={"draws": draws, "seed": seed})
    for each in data:
        prepared = prepare("zero-shot", each)
        task = embedded_task(prepared, model, device, **options)
        words = templates_for(prepared, task.pipe.model, templates)
        where = folder / RUNS / f"{each.name}-zero-shot"
        own = measure(task, prepared, where, overwrite=overwrite, draws=draws, seed=seed, progress=progress)
        found = {words_: rescored(own, task.asked([words_]), draws=draws, seed=seed) for words_ in words}
        found[ENSEMBLE] = rescored(own, task.asked(words), draws=draws, seed=seed)
        result.rows += _rows(found, own, draws, seed)
        result.said.append(_sentence(found, own.result))
        result.notes += [f"{each.name}: {words_}" for words_ in own.result.notes]
        result.settings |= {"model": own.result.settings["model"], "templates": words}
    write_experiment(result, folder, lambda: picture(result))
    return result


def _rows(found: Mapping[str, Measured], own: Measured, draws: int, seed: int) -> list[dict[str, Any]]:
    metric = own.task.main_metric
    rows = []
    for words, each in found.items():
        kind = ENSEMBLE if words == ENSEMBLE else "own" if [words] == own.result.asked else "template"
        row = row_of(each.result, metric, kind=kind, template=words)
        change = difference(each, own, metric, draws=draws, seed=seed)
        row["change"] = 100 * (each.result.metrics[metric] - own.result.metrics[metric])
        row["change_low"] = None if change is None else 100 * change.low
        row["change_high"] = None if change is None else 100 * change.high
        rows.append(row)
    return rows


def _sentence(found: Mapping[str, Measured], own: EvaluationResult) -> str:
    metric = own.main_metric
    single = {words: 100 * each.result.metrics[metric] for words, each in found.items() if words != ENSEMBLE}
    values = np.array(list(single.values()))
    best, worst = max(single, key=lambda words: single[words]), min(single, key=lambda words: single[words])
    ensemble = 100 * found[ENSEMBLE].result.metrics[metric]
    return (
        f"{own.dataset}: {metric} of {len(single)} templates from {values.min():.1f} % ({worst!r}) to "
        f"{values.max():.1f} % ({best!r}), mean {values.mean():.1f} ± {values.std():.1f}; "
        f"their ensemble {ensemble:.1f} %"
    )


def picture(result: ExperimentResult) -> "Figure":
    """A row for each template, with the ensemble."""
    several = len({row["dataset"] for row in result.rows}) > 1
    rows = []
    for row in result.rows:
        name = f"{row['dataset']}: {row['template']}" if several else row["template"]
        interval = None if row["low"] is None else (row["low"], row["high"])
        rows.append((_KINDS[row["kind"]], name, per_cent(row["value"], interval)))
    metrics = " / ".join(dict.fromkeys(row["metric"] for row in result.rows))
    first = result.rows[0]
    title = f"Prompts of zero-shot classification: {first['model']}" + ("" if several else f" on {first['dataset']}")
    return dots(rows, title, x_name=f"{metrics} (per cent), 95 % interval")


_KINDS = {"template": "template", "own": "the benchmark's own", ENSEMBLE: "ensemble of all"}

__all__ = ["EmbeddedZeroShotTask", "embedded_task", "picture", "prompt_sensitivity", "stored_templates"]
