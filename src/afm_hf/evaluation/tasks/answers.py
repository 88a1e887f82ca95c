"""Tasks of the models that answer in words: captions, questions, multiple choice, differences of two clips."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...models.common.results_afm import settings_of
from ...models.prefix_lm.prompts_afm import CAPTION_PROMPTS, TIERS
from ...pipelines.pipeline_afm_prefix_lm import AfmPrefixLMPipeline
from ...pipelines.pipeline_audio_inputs import Inputs
from ..bootstrap import Sums
from ..metrics.bleu import bleu_counts, bleu_of_sums
from ..metrics.captions import CaptionScores, caption_scores
from ..metrics.pairs import CaptionPairs
from ..task import SHOWN, Failure, Item, Record, Task

MEANS = ("rouge_l", "cider_d", "spice", "spider")  # caption metrics that are means over clips; METEOR is none


class AnswerTask(Task):
    """
    Base: runs a pipeline over rows and keeps what it says.

    Args:
        pipe ([`AfmPrefixLMPipeline`]): The pipeline, with its model.
        batch_size, num_workers (`int`): Clips per forward pass; processes that decode.
        options: Arguments of each call of the pipeline: `max_new_tokens`, `num_beams`, `truncation`, ...
    """

    def __init__(self, pipe: AfmPrefixLMPipeline, *, batch_size: int = 8, num_workers: int = 0, **options: Any) -> None:
        self.pipe, self.batch_size, self.num_workers, self.options = pipe, batch_size, num_workers, options

    @property
    def settings(self) -> dict[str, Any]:
        """Model and arguments of the calls."""
        return settings_of(self.pipe.model, **self.options)

    def row(self, item: Item) -> dict[str, Any]:
        """What the pipeline is given."""
        audio = list(item.audio) if isinstance(item.audio, tuple) else item.audio
        return {"audio": audio}

    def prediction(self, result: Any) -> dict[str, Any]:
        """What is kept of a result."""
        return {"text": result[0]["generated_text"]}

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"text": ...}` for each item."""
        rows = Inputs([self.row(item) for item in items])  # a Dataset: answers come batch by batch
        call = {"batch_size": self.batch_size, "num_workers": self.num_workers, "on_error": "return", **self.options}
        for result in self.pipe(rows, **call):
            yield Failure(str(result)) if isinstance(result, Exception) else self.prediction(result)


class CaptionTask(AnswerTask):
    """Captions against reference captions (`captions` of an item), by the metrics of the papers."""

    name = "captioning"
    main_metric = "spider"
    _last: tuple[tuple[list[str], list[Sequence[str]], CaptionScores], ...] = ()  # of the parts, such as tiers

    @property
    def prompts(self) -> list[str]:
        """The prompt that was given, or the one that the model was trained with."""
        own = CAPTION_PROMPTS.get(str(getattr(self.pipe, "model_type", "")))
        prompt = self.options.get("prompt", own)
        return [] if prompt is None else [prompt]

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """BLEU, ROUGE-L, CIDEr-D; METEOR, SPICE and SPIDEr where there is Java."""
        return dict(self._scored(records).scores)

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """The metrics that are means over clips, and BLEU, which comes from sums; METEOR's sums are not told."""
        counts = bleu_counts(CaptionPairs.from_texts(self._said(records), self._references(records))).table()
        means = {name: values for name, values in self._scored(records).per_clip.items() if name in MEANS}
        return {**{f"bleu_{order}": Sums(counts, partial(_bleu, order)) for order in range(1, 5)}, **means}

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Which metrics could not be computed, and some captions."""
        return {"left_out": self._scored(records).left_out, "examples": self._examples(records)}

    def _examples(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        return [
            {"id": r.item.id, "said": said, "reference": references[0]}
            for r, said, references in zip(
                records[:SHOWN], self._said(records), self._references(records), strict=False
            )
        ]

    def _scored(self, records: Sequence[Record]) -> CaptionScores:
        """Scores of these records; the last ones are kept, since METEOR and SPICE take their time."""
        said, references = self._said(records), self._references(records)
        for *known, scores in self._last:
            if known == [said, references]:
                return scores
        scores = caption_scores(said, references)
        self._last = (*self._last, (said, references, scores))[-len(TIERS) :]
        return scores

    def _said(self, records: Sequence[Record]) -> list[str]:
        return [record.prediction["text"] for record in records]

    def _references(self, records: Sequence[Record]) -> list[Sequence[str]]:
        return [record.item.truth["captions"] for record in records]


def _bleu(order: int, sums: np.ndarray) -> np.ndarray:
    return bleu_of_sums(sums)[..., order - 1]


class DifferenceTask(CaptionTask):
    """
    Explanations of the difference of two clips (`answer` of an item), in the tier that the item asks for.

    Where items have a `tier`, figures are of each tier by itself, as in the ADIFF paper.
    """

    name = "difference"
    prompts: list[str] = []  # every item asks for its own tier

    def row(self, item: Item) -> dict[str, Any]:
        """Both clips, and the item's prompt."""
        prompt = item.truth.get("prompt")
        return {**super().row(item), **({"prompt": prompt} if prompt else {})}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """The caption metrics, of each tier if there are tiers."""
        parts = self._by_tier(records)
        return {
            f"{tier}{name}": value
            for tier, part in parts.items()
            for name, value in super(DifferenceTask, self).score(part).items()
        }

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """As of captions, of each tier if there are tiers."""
        parts = self._by_tier(records)
        return {
            f"{tier}{name}": value
            for tier, part in parts.items()
            for name, value in super(DifferenceTask, self).per_record(part).items()
        }

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """The same for all tiers; figures of each tier under `by_group`."""
        parts = self._by_tier(records)
        if "" in parts:
            return super().details(records)
        scored = {tier.strip(): self._scored(part) for tier, part in parts.items()}
        left_out = {name: why for scores in scored.values() for name, why in scores.left_out.items()}
        tiers = {tier: dict(scores.scores) for tier, scores in scored.items()}
        return {"left_out": left_out, "examples": self._examples(records), "by_group": {"tier": tiers}}

    def _by_tier(self, records: Sequence[Record]) -> dict[str, Sequence[Record]]:
        found: dict[str, list[Record]] = {}
        for record in records:
            found.setdefault(record.item.truth.get("tier") or "", []).append(record)
        if len(found) < 2 and "" in found:
            return {"": records}
        return {f"tier {TIERS.index(tier) + 1} ": found[tier] for tier in TIERS if tier in found}

    def _references(self, records: Sequence[Record]) -> list[Sequence[str]]:
        return [[record.item.truth["answer"]] for record in records]


class QuestionTask(AnswerTask):
    """
    Questions with one right answer (`question` or `prompt`, `answer`, perhaps `choices` of an item).

    With choices: `accuracy` by likelihood, `letter accuracy` by the letter that the model says, which is that of the
    papers; what names no choice is wrong and counted as `unparsed`. Without: the answer must be the very words, in any
    case and without a full stop.
    """

    name = "question-answering"
    main_metric = "accuracy"

    def row(self, item: Item) -> dict[str, Any]:
        """The clip, the question and the choices."""
        question = item.truth.get("question") or item.truth.get("prompt")
        choices = item.truth.get("choices")
        return {**super().row(item), "question": question, **({"choices": list(choices)} if choices else {})}

    def prediction(self, result: Any) -> dict[str, Any]:
        """Answer, generated text and letters."""
        kept = {name: result[name] for name in ("answer", "letter", "generated_letter", "score") if name in result}
        return {"text": result["generated_text"], **kept}

    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Accuracy; with choices also of the letters said."""
        return {name: float(np.mean(values)) for name, values in self.per_record(records).items()}

    def per_record(self, records: Sequence[Record]) -> dict[str, Any]:
        """Whether each is right."""
        right = [_same(r.prediction.get("answer", r.prediction["text"]), r.item.truth["answer"]) for r in records]
        figures: dict[str, Any] = {"accuracy": right}
        if all(record.item.truth.get("choices") for record in records):
            letters = [record.prediction.get("generated_letter") for record in records]
            true = [_letter(record.item) for record in records]
            figures["letter accuracy"] = [a == b for a, b in zip(letters, true, strict=True)]
            figures["unparsed"] = [letter is None for letter in letters]
        return figures

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """Some answers."""
        return {"examples": [_asked(record) for record in records[:SHOWN]]}


def _asked(record: Record) -> dict[str, Any]:
    truth, said = record.item.truth, record.prediction
    asked = " ".join(
        [str(truth.get("question") or truth.get("prompt")), " / ".join(truth.get("choices") or ())]
    ).strip()
    return {"id": record.item.id, "asked": asked, "said": said.get("answer", said["text"]), "right": truth["answer"]}


def _same(said: str, true: str) -> bool:
    return said.strip().rstrip(".").lower() == true.strip().rstrip(".").lower()


def _letter(item: Item) -> str:
    """The letter of the right choice."""
    choices = list(item.truth["choices"])
    if item.truth["answer"] not in choices:
        raise ValueError(f"{item.id}: the answer {item.truth['answer']!r} is none of the choices {choices}.")
    return "abcdefghijklmnopqrstuvwxyz"[choices.index(item.truth["answer"])]
