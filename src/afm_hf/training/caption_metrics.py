"""Caption metrics while a model is trained: `compute_metrics` for `Seq2SeqTrainer(predict_with_generate=True)`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers.trainer_utils import EvalPrediction

from ..evaluation.metrics.captions import WITHOUT_JAVA, caption_scores

IGNORED = -100


def caption_metrics(
    processor: Any,
    references: Sequence[str | Sequence[str]] | None = None,
    metrics: Iterable[str] = WITHOUT_JAVA,
) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    Makes a `compute_metrics` that compares what the model says with the references of each row.

    The trainer's arguments need `predict_with_generate=True` and `include_for_metrics=["inputs"]`: the answers are
    found behind the prompts.

    Args:
        processor ([`AfmPrefixLMProcessor`]): The model's processor.
        references (`list[str]` or `list[list[str]]`, *optional*):
            Of each row of the evaluation set, in its order. Without them the answer that the collator took for a row is
            its only reference; of several it takes one, so give them all here.
        metrics (`list[str]`): Names out of `afm_hf.evaluation.metrics.captions.CAPTION_METRICS`; METEOR, SPICE and
            SPIDEr need Java.

    Returns:
        A function from an `EvalPrediction` to figures by metric, 0 to 1 (CIDEr-D to 10, SPIDEr to 5.5), and `empty`,
        the share of answers without a word.

    Raises:
        ValueError: a metric is unknown or cannot be computed here; when called: there are no generated answers or no
            inputs, or the references are those of other rows.
    """
    wanted = list(metrics)
    trial = ["a dog barks", "rain falls"]
    missing = caption_scores(trial, trial, wanted).left_out  # found out before the training, not after an epoch
    if missing:
        raise ValueError(f"{', '.join(missing)} cannot be computed here: {next(iter(missing.values()))}")

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        labels = np.asarray(prediction.label_ids)
        said = processor.decode_answers(_generated(prediction), _inputs(prediction))
        if references is None:
            expected: Sequence[str | Sequence[str]] = _texts(processor, labels)
        else:
            _check_order(processor, labels, references)
            expected = references
        result = caption_scores(said, expected, wanted)
        return {**result.scores, "empty": result.empty / result.clips}

    return compute_metrics


def _generated(prediction: EvalPrediction) -> npt.NDArray[np.int64]:
    """Token ids `(rows, tokens)`."""
    given = prediction.predictions
    if not isinstance(given, np.ndarray) or given.ndim != 2 or given.dtype.kind not in "iu":
        raise ValueError(
            "Caption metrics need generated answers, token ids of shape (rows, tokens), but the predictions are "
            f"{getattr(given, 'shape', None) or type(given).__name__}. Take `Seq2SeqTrainer` with "
            "`predict_with_generate=True`."
        )
    return given


def _inputs(prediction: EvalPrediction) -> Any:
    if prediction.inputs is None:
        raise ValueError(
            "Caption metrics find the answers behind the prompts, which are not there. Give the arguments "
            '`include_for_metrics=["inputs"]`.'
        )
    return prediction.inputs


def _texts(processor: Any, labels: npt.NDArray[np.int64]) -> list[str]:
    """The answers that stand in the labels."""
    nothing_before = np.full((len(labels), 1), IGNORED)
    texts: list[str] = processor.decode_answers(labels, nothing_before)
    return texts


def _check_order(processor: Any, labels: npt.NDArray[np.int64], references: Sequence[str | Sequence[str]]) -> None:
    """Raises where a row's answer is none of its references: a row was left out, or the order is another."""
    if len(labels) != len(references):
        raise ValueError(
            f"There are references of {len(references)} rows, but {len(labels)} were evaluated. Were clips left out "
            'that cannot be used? The collator\'s `on_bad_audio="raise"` says which.'
        )
    for number, (row, texts) in enumerate(zip(labels, references, strict=True)):
        known = [texts] if isinstance(texts, str) else list(texts)
        if not any(_is_answer(processor, row[row != IGNORED].tolist(), text) for text in known):
            raise ValueError(
                f"Row {number} was evaluated with the answer {_texts(processor, row[None])[0]!r}, which is none of its "
                f"references, {known!r}. They must be in the order of the evaluation set."
            )


def _is_answer(processor: Any, row: list[int], text: str) -> bool:
    """Whether a row of labels is this text. It may have been cut, or (by the trainer) be filled up with pad tokens."""
    ids = processor.answer_ids(text)
    return bool(row) and row[: len(ids)] == ids[: len(row)] and set(row[len(ids) :]) <= {processor.pad_id}


__all__ = ["caption_metrics"]
