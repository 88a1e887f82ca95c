"""Closed-ended tasks of models that answer in words: which of the labels do they say? (Pengi, section 4)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...models.common.results_afm import other_model, settings_of
from ...models.prefix_lm.prompts_afm import CLASS_PROMPTS, is_said
from ...pipelines.pipeline_audio_inputs import Inputs
from ...pipelines.pipeline_audio_text_generation import AudioTextGenerationPipeline
from ..benchmark import CLAP_2022
from ..metrics.accuracy import ClassificationScores, classification_scores
from ..task import SHOWN, Failure, Item, Record, Task
from .tagging import Bools, f1_figures, f1_sums, likeliest, mean_average_precision, present_labels

SCORINGS = ("matching", "likelihood", "both")
ENDINGS = {"matching": "", "likelihood": " by likelihood"}  # of the metrics' names: the papers' way has the plain ones


class ClosedTask(Task):
    """
    One label of a clip from a fixed list, or several, by a model that answers in words; `label` or `labels` of an item.

    By matching, the papers' way, the model answers freely, and labels are compared to the answer in the text space of a
    CLAP. `named` counts answers in which the right label stands and no other. By likelihood all labels are scored as
    answers; its metrics end in "by likelihood", and no figure of a paper stands beside them.

    F1 takes the labels that stand in an answer, or the most similar one if there is none; by likelihood the likeliest.

    Args:
        pipe ([`AudioTextGenerationPipeline`]): With its model.
        labels (`list[str]`): All labels.
        prompt (`str`, *optional*): What is asked; the model's own question for sounds if not given.
        answer (`str`): How the model would say a label: words with `{}`, as `"pitch {}"`.
        scoring (`str`): `"matching"`, `"likelihood"`, or `"both"`.
        similarity_model (*optional*):
            The CLAP of the text space: a folder, Hub id or pipeline; that of the zero-shot pipeline if not given.
        template (`str`): The sentence into which it gets answers and labels.
        multi_label (`bool`): Whether the truth of an item is `labels`, a list, and not `label`.
        metric (`str`, *optional*): The one that the papers give: `"accuracy"`, `"mAP"` or `"F1"`.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
        options: Arguments of each call of the pipeline: `max_new_tokens`, `num_beams`, ...

    Raises:
        ValueError: fewer than two labels, one that comes twice, an unknown scoring, or an answer without a place.
    """

    name = "closed"

    def __init__(
        self,
        pipe: AudioTextGenerationPipeline,
        labels: Sequence[str],
        *,
        prompt: str | None = None,
        answer: str = "{}",
        scoring: str = "matching",
        similarity_model: Any = None,
        template: str = CLAP_2022,
        multi_label: bool = False,
        metric: str | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(f"`labels` has {len(labels)} entries, {len(set(labels))} different; expected 2 or more.")
        if scoring not in SCORINGS:
            raise ValueError(f"`scoring` is {scoring!r}; expected one of {', '.join(SCORINGS)}.")
        if answer.count("{}") != 1:
            raise ValueError(f"`answer` is {answer!r}; expected words with one {{}}, where the label stands.")
        self.pipe, self.labels, self.similarity_model = pipe, list(labels), similarity_model
        self.prompt = prompt if prompt is not None else CLASS_PROMPTS.get(getattr(pipe, "model_type", ""))
        self.answer, self.scoring, self.template, self.multi_label = answer, scoring, template, multi_label
        self.ways = tuple(ENDINGS) if scoring == "both" else (scoring,)
        self.metric = metric or ("mAP" if multi_label else "accuracy")
        self.main_metric = self.metric + ENDINGS[self.ways[0]]
        self.batch_size, self.num_workers, self.options = batch_size, num_workers, options

    @property
    def settings(self) -> dict[str, Any]:
        """Model, prompt, labels and form of the answer, way of scoring, and arguments of the calls."""
        other = other_model(self.similarity_model) or "default"
        matched = {"similarity_model": other, "template": self.template} if "matching" in self.ways else {}
        asked = {"prompt": self.prompt, "answer": self.answer, "scoring": self.scoring}
        return settings_of(self.pipe.model, labels=self.labels, **asked, **matched, **self.options)

    @property
    def prompts(self) -> list[str]:
        """The prompt, and the form of the answer where it is more than the label."""
        form = "" if self.answer == "{}" else f" {self.answer}"
        return [] if self.prompt is None else [self.prompt + form]

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"text": answer, "named": [labels], "matching": [cosines]}` and `"likelihood"`, in the labels' order."""
        call = {"batch_size": self.batch_size, "num_workers": self.num_workers, "on_error": "return", **self.options}
        call["method"] = {"matching": "similarity"}.get(self.scoring, self.scoring)
        if "matching" in self.ways:
            call |= {"hypothesis_template": self.template, "similarity_model": self.similarity_model}
            call["return_text"] = True
        rows = Inputs([{"audio": item.audio} for item in items])
        answers = [self.answer.format(label) for label in self.labels]
        for result in self.pipe.classify(rows, answers, prompt=self.prompt, **call):
            yield Failure(str(result)) if isinstance(result, Exception) else self._prediction(result, answers)

    def _prediction(self, result: Any, answers: Sequence[str]) -> dict[str, Any]:
        if isinstance(result, list):
            return {"likelihood": _in_order(result, answers, "log_likelihood")}
        text = result["generated_text"]
        kept = {
            "text": text,
            "named": said_labels(text, self.labels),
            "matching": _in_order(result["similarity"], answers, "score"),
        }
        if "likelihood" in result:
            kept["likelihood"] = _in_order(result["likelihood"], answers, "log_likelihood")
        return kept

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """The papers' metric first, by each way of scoring; the share of answers that name the right label alone."""
        figures: dict[str, float] = {}
        present = present_labels(records, self.labels)
        for way in self.ways:
            scores, found = self._scores(records, way), {}
            if self.multi_label or self.metric == "mAP":
                found["mAP"] = mean_average_precision(present, scores)
            if self.metric == "F1":
                found = {**f1_figures(present, self._chosen(records, way)), **found}
            if not self.multi_label:
                single = self._single(records, way)
                found |= {"accuracy": single.accuracy, "macro F1": single.macro_f1}
            figures |= {name + ENDINGS[way]: value for name, value in found.items()}
        if "matching" in self.ways and not self.multi_label:
            figures["named"] = float(np.mean(self._named(records)))
        return figures

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right, by each way; the counts of F1."""
        present, values = present_labels(records, self.labels), dict[str, Any]()
        for way in self.ways:
            if self.metric == "F1":
                values["F1" + ENDINGS[way]] = f1_sums(present, self._chosen(records, way))
            elif not self.multi_label:
                values["accuracy" + ENDINGS[way]] = (present & likeliest(self._scores(records, way))).any(axis=1)
        if "matching" in self.ways and not self.multi_label:
            values["named"] = self._named(records)
        return values

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Confusion matrix and figures of each label, by the first way of scoring; some answers."""
        best = likeliest(self._scores(records, self.ways[0])).argmax(axis=1)
        examples = [
            {
                "id": record.item.id,
                "asked": self.prompt or "",
                **({"text": record.prediction["text"]} if "text" in record.prediction else {}),
                "said": self.labels[index],
                "right": record.item.truth["labels" if self.multi_label else "label"],
            }
            for record, index in zip(records[:SHOWN], best, strict=False)
        ]
        matrix = {} if self.multi_label else self._single(records, self.ways[0]).matrix()
        return {**matrix, "examples": examples}

    def _scores(self, records: Sequence[Record], way: str) -> np.ndarray:
        return np.array([record.prediction[way] for record in records])

    def _chosen(self, records: Sequence[Record], way: str) -> Bools:
        """The labels that are said of each clip, `(clips, labels)`."""
        best = likeliest(self._scores(records, way))
        if way != "matching":
            return best
        named = np.array([[label in record.prediction["named"] for label in self.labels] for record in records])
        return np.where(named.any(axis=1, keepdims=True), named, best)

    def _named(self, records: Sequence[Record]) -> list[bool]:
        return [record.prediction["named"] == [str(record.item.truth["label"])] for record in records]

    def _single(self, records: Sequence[Record], way: str) -> ClassificationScores:
        truth = [str(record.item.truth["label"]) for record in records]
        best = self._scores(records, way).argmax(axis=1)
        return classification_scores(truth, [self.labels[index] for index in best], self.labels)


def said_labels(text: str, labels: Sequence[str]) -> list[str]:
    """
    The labels that stand in an answer, in their own order; `car` does not stand in `car alarm`.

    Example:
    ```python
    >>> said_labels("Car alarm, and a train.", ["car", "car alarm", "train"])
    ['car alarm', 'train']

    ```
    """
    rest, found = text.lower(), set()
    for label in sorted(labels, key=len, reverse=True):
        if is_said(label.lower(), rest):
            found.add(label)
            rest = re.sub(rf"(?<!\w){re.escape(label.lower())}(?!\w)", "|", rest)
    return [label for label in labels if label in found]


def _in_order(ranked: Sequence[Mapping[str, Any]], answers: Sequence[str], key: str) -> list[float]:
    """A number for each answer, in the answers' order."""
    by_answer = {entry["label"]: float(entry[key]) for entry in ranked}
    return [by_answer[answer] for answer in answers]


__all__ = ["SCORINGS", "ClosedTask", "said_labels"]
