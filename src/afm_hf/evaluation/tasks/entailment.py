"""Audio Entailment as a task: CLAP with thresholds or a probe, Pengi and Mellow by their answers (arXiv 2407.18062)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...entailment.entailment_labels import LABELS
from ...models.common.results_afm import settings_of
from ...pipelines.pipeline_audio_entailment import AudioEntailmentPipeline
from ...pipelines.pipeline_audio_inputs import Inputs
from ..metrics.accuracy import ClassificationScores, classification_scores
from ..metrics.answers import ENTAILMENT_OPTIONS, published_option
from ..task import SHOWN, Failure, Item, Record, Task

WORD_FOLDS = 5


def relation_figures(found: ClassificationScores) -> dict[str, float]:
    """What the paper reports of relations, by its names."""
    return {
        "accuracy": found.accuracy,
        "macro F1": found.macro_f1,
        "macro precision": found.macro_precision,
        "macro recall": found.macro_recall,
    }


class EntailmentTask(Task):
    """
    Whether hypotheses follow from clips; `hypothesis` and `label` of an item.

    An answer that names none of the three relations is wrong and counted as `unparsed`.

    Args:
        pipe ([`AudioEntailmentPipeline`]): With its model, and thresholds or a probe for a CLAP.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
        options: Arguments of each call of the pipeline: `scoring`, `thresholds`, `premise`, ...
    """

    name = "entailment"
    main_metric = "accuracy"

    def __init__(
        self, pipe: AudioEntailmentPipeline, *, batch_size: int = 8, num_workers: int = 0, **options: Any
    ) -> None:
        self.pipe, self.batch_size, self.num_workers, self.options = pipe, batch_size, num_workers, options

    @property
    def settings(self) -> dict[str, Any]:
        """Model and arguments of the calls."""
        return settings_of(self.pipe.model, **self.options)

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"label": relation or None, ...}` of each pair of a clip and a hypothesis."""
        if stray := next((item for item in items if item.truth["label"] not in LABELS), None):
            raise ValueError(f"{stray.id}: the label is {stray.truth['label']!r}; expected {', '.join(LABELS)}.")
        rows = Inputs([{"audio": item.audio, "hypothesis": item.truth["hypothesis"]} for item in items])
        call = {"batch_size": self.batch_size, "num_workers": self.num_workers, "on_error": "return", **self.options}
        for result in self.pipe(rows, **call):
            if isinstance(result, Exception):
                yield Failure(str(result))
                continue
            said = result[0] if isinstance(result, list) else result
            kept = {"similarity": said.similarity, "answer": said.answer}
            yield {"label": said.label, **{name: value for name, value in kept.items() if value is not None}}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy, macro F1, precision and recall, and the share of answers that cannot be read."""
        found = self._figures(records)
        own = {name: float(np.mean(values)) for name, values in self._published(records).items()}
        return {**relation_figures(found), **own, "unparsed": found.outside / found.count}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right."""
        right = [record.prediction["label"] == record.item.truth["label"] for record in records]
        unparsed = [record.prediction["label"] is None for record in records]
        return {"accuracy": right, **self._published(records), "unparsed": unparsed}

    def _published(self, records: Sequence[Record]) -> dict[str, list[bool]]:
        """Of Mellow, by the rule of its code: what stands before the first `)`, and `a`, entailment, for anything else.

        Nothing of other models, or where other options were asked for.
        """
        kind = getattr(getattr(self.pipe.model, "config", None), "model_type", "")
        answers = [str(record.prediction["answer"]) for record in records if "answer" in record.prediction]
        if kind != "afm_mellow" or "options" in self.options or len(answers) < len(records):
            return {}
        said = [ENTAILMENT_OPTIONS[published_option(answer, "".join(ENTAILMENT_OPTIONS))] for answer in answers]
        return {"accuracy, published": [a == r.item.truth["label"] for a, r in zip(said, records, strict=True)]}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Confusion matrix, figures of each relation, some answers, and what can be reached without listening."""
        found = self._figures(records)
        truth = [record.item.truth["label"] for record in records]
        most = max(float(np.mean([label == each for each in truth])) for label in LABELS)
        baselines = {"most frequent relation": {"accuracy": most}}
        if len({str(record.item.audio) for record in records}) >= WORD_FOLDS:
            baselines["words of the hypothesis alone"] = {"accuracy": _accuracy_of_words(records)}
        examples = [_shown(record) for record in records[:SHOWN]]
        return {**found.matrix(), "baselines": baselines, "examples": examples}

    def _figures(self, records: Sequence[Record]) -> ClassificationScores:
        truth = [record.item.truth["label"] for record in records]
        return classification_scores(truth, [record.prediction["label"] for record in records], list(LABELS))


def _accuracy_of_words(records: Sequence[Record]) -> float:
    """A linear classifier on words and pairs of words of the hypotheses; each clip by one that has not seen its own."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    texts = [record.item.truth["hypothesis"] for record in records]
    truth = np.array([record.item.truth["label"] for record in records])
    clips = [str(record.item.audio) for record in records]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    classifier = make_pipeline(words, LinearSVC(random_state=0))
    found = cross_val_predict(classifier, texts, truth, groups=clips, cv=GroupKFold(WORD_FOLDS))
    return float((found == truth).mean())


def _shown(record: Record) -> dict[str, Any]:
    truth, said = record.item.truth, record.prediction
    found = said["label"] if said["label"] is not None else said.get("answer", "")
    return {"id": record.item.id, "asked": truth["hypothesis"], "said": found, "right": truth["label"]}
