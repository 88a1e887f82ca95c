"""
Reasoning, or approximate retrieval? The text of the nearest training clip as an answer, beside a model's own answers.

The thesis asks it of audio models (slides, "what's next"). The baseline says what stands with the clip of the training
part that CLAP finds nearest: a caption, an explanation, the answer to the question that is most like the one asked. A
model that is no better has shown nothing that looking up could not do. The baseline is a system like any other: it is
judged by the same metrics on the same clips, and differences are paired.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ...data.choices import question_choices
from ...models.clap_afm.embedding_clap_afm import embed_texts
from ...models.common.results_afm import settings_of
from ..bootstrap import PairedBootstrap
from ..controls import clips_of
from ..datasets import BENCHMARKS, load_items
from ..digests import items_digest
from ..report.figures import Point, grouped_bars, per_cent
from ..runner import RESULT
from ..task import Failure, Item, Record, Task
from ..tasks.answers import CaptionTask, DifferenceTask, QuestionTask
from ..tasks.questions import ClothoAqaTask, MmauTask, MultipleChoiceTask
from ..tasks.retrieval import RetrievalTask
from .measuring import Data, Measured, Prepared, difference, make_task, measure, prepare, records_in, rescored
from .results import RUNS, ExperimentResult, check_output, row_of, short_name, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float32]

NAME = "nearest-text"
EMBEDDINGS = "embeddings"
JUDGES: dict[str, type[Task]] = {
    "captioning": CaptionTask,
    "question-answering": QuestionTask,
    "multiple-choice": MultipleChoiceTask,
    "mmau": MmauTask,
    "clotho-aqa": ClothoAqaTask,
    "difference": DifferenceTask,
}
# The part that is learned from, where it has another name than the readers' own default.
TRAINING_PARTS = {
    "clotho": "development",
    "audiocaps": "train",
    "clotho-aqa": "train",
    "reasonaqa": "train",
    "cld": "development",
    "acd": "train",
}
ASKING = (
    "multiple-choice",
    "clotho-aqa",
    "question-answering",
)  # whose training rows may answer each other's questions
LETTERS = "abcdefgh"
_OPTION = re.compile(r"(?<!\w)([a-h])\)\s*(.*?)(?=\s+[a-h]\)|$)", re.S)


class EmbeddingTask(RetrievalTask):
    """Embeds clips and scores nothing."""

    name = "embedding"
    main_metric = "embedded"

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Nothing but that they are embedded."""
        return {"embedded": 1.0}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """No interval."""
        return {}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Nothing."""
        return {}


@dataclass(frozen=True)
class Neighbour:
    """
    What is found for an item.

    Args:
        item ([`Item`]): The nearest of what was learned from.
        similarity (`float`): Cosine of the clips; with a question the mean of this and of that of the questions.
    """

    item: Item
    similarity: float


@dataclass(frozen=True)
class Searched:
    """
    Training items of one form: of as many clips, and of one tier of differences.

    Args:
        items: The items.
        places: Of their clips in the matrix of all clips, int64 `(items, clips)`.
        questions: What is asked of some of them, each once.
        asked: The question of each, by its place, int64 `(items,)`.
    """

    items: list[Item]
    places: npt.NDArray[np.int64]
    questions: list[str]
    asked: npt.NDArray[np.int64]


class NearestTextTask(Task):
    """
    Answers with the text of the nearest training item; scored as the task that it stands for.

    Args:
        task (`str`): One of [`JUDGES`].
        pipe: A pipeline of a CLAP, for its model and tokenizer.
        training: What is learned from.
        embedded (`dict[str, numpy.ndarray]`): Embedding of every clip by its path, `(dim,)`.
        among_others (`bool`): Whether training and test are one set; a clip's own rows are then no neighbours.
    """

    def __init__(
        self,
        task: str,
        pipe: Any,
        training: Sequence[Item],
        embedded: Mapping[str, Floats],
        *,
        among_others: bool = False,
    ) -> None:
        self.name, self.pipe, self.embedded, self.among_others = task, pipe, embedded, among_others
        self.judge: Any = JUDGES[task](pipe)  # type: ignore[call-arg]
        self.main_metric = self.judge.main_metric
        self.training = [item for item in training if all(str(clip) in embedded for clip in clips_of(item))]
        self._texts: dict[str, Floats] = {}
        paths = dict.fromkeys(str(clip) for item in self.training for clip in clips_of(item))
        self._place = {path: i for i, path in enumerate(paths)}
        self._matrix = np.stack([embedded[path] for path in paths]) if paths else np.zeros((0, 1), np.float32)
        forms = dict.fromkeys(map(_form, self.training))
        self._groups = {form: self._group([each for each in self.training if _form(each) == form]) for form in forms}

    @property
    def settings(self) -> dict[str, Any]:
        """The CLAP that searches, and what it searches."""
        made = settings_of(self.pipe.model)
        name = f"nearest text by {short_name(made['model'])}"
        return {**made, "model": name, "searched": len(self.training), "searched_digest": items_digest(self.training)}

    def _group(self, items: list[Item]) -> "Searched":
        questions = [question_of(item) or "" for item in items]
        number = {text: i for i, text in enumerate(dict.fromkeys(questions))}
        places = np.array([[self._place[str(clip)] for clip in clips_of(item)] for item in items])
        return Searched(items, places, list(number), np.array([number[text] for text in questions]))

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """What the judging task keeps of an answer, with `nearest` (an id) and `similarity`."""
        for item in items:
            found = self._neighbour(item)
            if isinstance(found, Failure):
                yield found
            else:
                yield {**self._answer(item, found.item), "nearest": found.item.id, "similarity": found.similarity}

    def _neighbour(self, item: Item) -> Neighbour | Failure:
        clips = [str(clip) for clip in clips_of(item)]
        if not all(clip in self.embedded for clip in clips):
            return Failure("its clip could not be embedded")
        group = self._groups.get(_form(item))
        if group is None:
            return Failure("nothing that is searched has as many clips (and the same tier)")
        near = [self._matrix @ self.embedded[clip] for clip in clips]  # (clips that are searched,) each
        scores = np.mean([each[group.places[:, i]] for i, each in enumerate(near)], axis=0)  # (rows of the group,)
        question = question_of(item)
        if question and self.name != "difference":
            scores = (scores + (self._embed(group.questions) @ self._embed([question])[0])[group.asked]) / 2
        if self.among_others:
            own = [self._place[clip] for clip in clips if clip in self._place]
            scores = np.where(np.isin(group.places, own).any(axis=1), -np.inf, scores)
        best = int(scores.argmax())
        if not np.isfinite(scores[best]):
            return Failure("all that is searched is of its own clip")
        return Neighbour(group.items[best], float(scores[best]))

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """As the task that it stands for."""
        return self.judge.score(records)

    def per_record(self, records: Sequence[Record]) -> dict[str, Any] | None:
        """As the task that it stands for."""
        return self.judge.per_record(records)

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """As the task that it stands for."""
        return self.judge.details(records)

    def texts(self) -> list[str]:
        """Everything that it could say."""
        return [text for item in self.training for text in texts_of(item)]

    def _answer(self, item: Item, found: Item) -> dict[str, Any]:
        if self.name == "captioning":
            texts = texts_of(found)
            clip = self.embedded[str(clips_of(item)[0])]
            return {"text": texts[int((self._embed(texts) @ clip).argmax())]}
        (text,) = texts_of(found)[:1]
        plain = re.sub(r"^\s*[a-h]\)\s*", "", text)
        choices = choices_of(self.name, item)
        if not choices:
            return {"text": text}
        best = int((self._embed(choices) @ self._embed([plain])[0]).argmax())
        choice, letter = choices[best], LETTERS[best]
        if self.name == "multiple-choice":
            return {"text": f"{letter}) {choice}"}
        return {"text": choice, "answer": choice, "generated_letter": letter, "likeliest": choice}

    def _embed(self, texts: Sequence[str]) -> Floats:
        """Embeddings of texts, `(texts, dim)`; each is made once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            with torch.inference_mode():
                rows = embed_texts(self.pipe.model, self.pipe.tokenizer, new).cpu().numpy()
            self._texts.update(zip(new, rows, strict=True))
        return np.stack([self._texts[text] for text in texts])


def _form(item: Item) -> tuple[int, Any]:
    """What a neighbour must share: the number of clips, and the tier of a difference."""
    return len(clips_of(item)), item.truth.get("tier")


def question_of(item: Item) -> str | None:
    """What is asked, without the choices that stand in it."""
    asked = item.truth.get("question") or item.truth.get("prompt")
    return None if not asked else _OPTION.sub("", str(asked)).strip() or str(asked)


def texts_of(item: Item) -> list[str]:
    """What stands with the clip: captions, an answer (of several people the commonest)."""
    truth = item.truth
    if truth.get("captions"):
        return [str(text) for text in truth["captions"]]
    if truth.get("answers"):
        answers = list(map(str, truth["answers"]))
        return [max(answers, key=answers.count)]
    return [str(truth["answer"])]


def choices_of(task: str, item: Item) -> list[str]:
    """What there is to choose from, if anything; of ReasonAQA it stands in the question."""
    if task == "multiple-choice":
        return [
            text.strip() for _, text in _OPTION.findall(str(item.truth.get("prompt") or item.truth.get("question")))
        ]
    given = item.truth.get("choices")
    return question_choices(given, item.id, item.truth.get("answer") or "") if given else []


def nearest_text(
    task: str,
    data: Data,
    folder: Path,
    training: Data | None = None,
    clap: str | None = None,
    model: str | None = None,
    against: Path | None = None,
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    The baseline on a benchmark, and beside it what a model answers.

    Args:
        task (`str`): One of [`JUDGES`].
        data: What is asked.
        folder: Gets embeddings, runs, table and picture. A run that was stopped goes on.
        training: What is searched; the training part beside the data if not given, and where there is none the other
            clips of the same set.
        clap (`str`, *optional*): The CLAP that searches.
        model (`str`, *optional*): A model that answers the same.
        against (`Path`, *optional*): In place of a model the folder of its run of `afm-hf evaluate`.
        device, overwrite, draws, seed, progress: As of [`run`].
        options: Of the task of the model, as `batch_size`, `num_workers`.

    Returns:
        A row for each metric and system; `change` is how much the model is above the baseline in points, with its
        paired interval.

    Raises:
        ValueError: the task has no texts to look up, the data cannot be used, or the run is of other items.
        ImportError: matplotlib is not installed.
    """
    if task not in JUDGES:
        raise ValueError(f"For {task!r} there is no text to look up; expected one of {', '.join(JUDGES)}.")
    check_output(folder)
    prepared = prepare(task, data)
    searched, note = _searched(task, prepared, training)
    how: dict[str, Any] = {"overwrite": overwrite, "progress": progress}
    reading: dict[str, Any] = {
        name: options[name] for name in ("batch_size", "num_workers", "truncation") if name in options
    }
    pipe = _clap_pipeline(clap, device)
    embedded = _embedded(pipe, [*searched, *prepared.items], prepared, folder / EMBEDDINGS, reading, how)
    baseline = NearestTextTask(task, pipe, searched, embedded, among_others=searched is prepared.items)
    how |= {"draws": draws, "seed": seed}
    found = {"nearest text": measure(baseline, prepared, folder / RUNS / "nearest-text", **how)}
    if model is not None:
        found["model"] = measure(
            make_task(prepared, model, device, **options), prepared, folder / RUNS / "model", **how
        )
    elif against is not None:
        found["model"] = _judged(baseline, found["nearest text"], prepared, against, draws, seed)
    result = ExperimentResult(experiment=NAME, rows=[], settings={"task": task, "draws": draws, "seed": seed})
    result.settings |= {"searched": len(baseline.training), "model": found["nearest text"].result.settings["model"]}
    result.rows, changes = _rows(found, draws, seed)
    result.notes = [*found["nearest text"].result.notes, *([note] if note else [])]
    result.said = _sentences(found, baseline, changes)
    write_experiment(result, folder, lambda: picture(result))
    return result


def _searched(task: str, prepared: Prepared, training: Data | None) -> tuple[list[Item], str]:
    """What is searched, and what to say of it."""
    data = prepared.data
    if training is None:
        part = TRAINING_PARTS.get(data.name)
        if part is None:
            return prepared.items, f"{data.name} has no training part: the other clips of the same set are searched"
        training = Data(data.name, data.folder, part, None)
    if training.name not in BENCHMARKS:
        raise ValueError(f"There is no dataset {training.name!r}; known are {', '.join(BENCHMARKS)}.")
    fitting = BENCHMARKS[training.name].tasks
    wanted = [task, *(ASKING if task in (*ASKING, "mmau") else ())]
    kind = next((each for each in wanted if each in fitting), None)
    if kind is None:
        raise ValueError(f"{training.name!r} has no texts that answer {task!r}; it is for {', '.join(fitting)}.")
    split = training.split or TRAINING_PARTS.get(training.name)
    items, _, _ = load_items(training.name, training.folder, kind, split, training.limit)
    usable = [
        item for item in items if item.truth.get("captions") or item.truth.get("answers") or item.truth.get("answer")
    ]
    if not usable:
        raise ValueError(f"None of the {len(items)} rows of {training.folder} has a text to answer with.")
    return usable, f"searched: {len(usable)} rows of {training.name}" + (f", part {split!r}" if split else "")


def _clap_pipeline(clap: str | None, device: str | None) -> Any:
    from transformers import pipeline

    from ...hub.loading import check_model, pick_device, resolve_model

    kind = "zero-shot-audio-classification"
    check_model(kind, clap or "clap-small")
    return pipeline(kind, model=resolve_model(clap or "clap-small"), device=pick_device(device))


def _embedded(
    pipe: Any,
    items: Sequence[Item],
    prepared: Prepared,
    folder: Path,
    reading: Mapping[str, Any],
    how: Mapping[str, Any],
) -> dict[str, Floats]:
    """The embedding of each clip, by its path."""
    paths = dict.fromkeys(str(clip) for item in items for clip in clips_of(item))
    clips = [Item(path, path) for path in paths]
    found = measure(EmbeddingTask(pipe, **reading), prepared, folder, items=clips, draws=0, **how)
    (folder / RESULT).unlink(missing_ok=True)  # no figure: nothing for a report
    return {r.item.id: np.array(r.prediction["embedding"], dtype=np.float32) for r in found.records}


def _judged(
    baseline: NearestTextTask, nearest: Measured, prepared: Prepared, run: Path, draws: int, seed: int
) -> Measured:
    """What lies in the folder of a model's run, judged as the baseline is."""
    records = records_in(run, prepared.items)
    if not records:
        raise ValueError(f"{run} holds no predictions of these {len(prepared.items)} items. Is it a run on other data?")
    found = rescored(nearest, baseline, records=records, draws=draws, seed=seed)
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    found.result.settings |= {name: settings.get(name) for name in ("model", "revision")}
    return found


def _rows(
    found: Mapping[str, Measured], draws: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, PairedBootstrap | None]]:
    base = found["nearest text"]
    rows, changes = [], {}
    for metric in base.result.metrics:
        if base.task.name == "mmau" and _is_of_letters(metric):
            continue
        for system, each in found.items():
            if metric not in each.result.metrics:
                continue
            row = row_of(each.result, metric, system=system)
            if each is not base:
                change = changes[metric] = difference(each, base, metric, draws=draws, seed=seed)
                row["change"] = 100 * (each.result.metrics[metric] - base.result.metrics[metric])
                row["change_low"] = None if change is None else 100 * change.low
                row["change_high"] = None if change is None else 100 * change.high
                row["p_value"] = None if change is None else change.p_value
            rows.append(row)
    return rows, changes


def _is_of_letters(metric: str) -> bool:
    """Whether a rule of MMAU reads the letter: the baseline says the words of a choice, and has none."""
    return metric == "letter" or metric.endswith(", letter")


def _sentences(
    found: Mapping[str, Measured], baseline: NearestTextTask, changes: Mapping[str, PairedBootstrap | None]
) -> list[str]:
    nearest = found["nearest text"]
    close = float(np.mean([record.prediction["similarity"] for record in nearest.records]))
    said = [f"mean similarity of the nearest: {close:.3f}, of {len(baseline.training)} that were searched"]
    if "model" not in found:
        return said
    known = {_words(text) for text in baseline.texts()}
    answers = [str(record.prediction["text"]) for record in found["model"].records]
    share = float(np.mean([_words(text) in known for text in answers]))
    said.append(f"{100 * share:.1f} % of the model's answers stand word for word among the texts that were searched")
    metric = next((name for name in (baseline.main_metric, "rouge_l", *changes) if changes.get(name) is not None), None)
    if metric is not None:
        change = changes[metric]
        if change is not None:
            verdict = "above" if change.low > 0 else "below" if change.high < 0 else "not told from"
            said.append(
                f"{metric}: the model is {verdict} the nearest text ({100 * change.difference:+.2f} points "
                f"[{100 * change.low:+.2f}, {100 * change.high:+.2f}], p = {change.p_value:.3f})"
            )
    return said


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def picture(result: ExperimentResult) -> "Figure":
    """Bars of both systems side by side, metric by metric."""
    groups: dict[str, dict[str, Point]] = {}
    for row in result.rows:
        interval = None if row["low"] is None else (row["low"], row["high"])
        name = row["model"] if row["system"] == "model" else row["system"]
        groups.setdefault(row["metric"], {})[name] = per_cent(row["value"], interval)
    first = result.rows[0]
    title = f"Answers, and the text of the nearest training clip: {result.settings['task']} on {first['dataset']}"
    return grouped_bars([("", name, bars) for name, bars in groups.items()], title, y_name="x 100, 95 % interval")


__all__ = ["JUDGES", "NearestTextTask", "nearest_text", "picture"]
