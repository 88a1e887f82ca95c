"""`compute_metrics` of captions: figures of what was said, against the references of the same row."""

import numpy as np
import pytest
from prefix_models import RATE, clips, tiny_model, tiny_processor
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments
from transformers.trainer_utils import EvalPrediction

from afm_hf.evaluation.metrics.captions import WITHOUT_JAVA, caption_scores
from afm_hf.training.caption_metrics import caption_metrics
from afm_hf.training.collators import PrefixLMCollator

CAPTIONS = ["a dog barks", "rain on a roof", "an engine idles", "birds sing"]
SAID = ["a dog barks loudly", "rain", "", "birds sing"]


@pytest.fixture
def processor():
    return tiny_processor("clapcap")


def prediction(processor, said=SAID, answers=CAPTIONS, **other):
    """As `Seq2SeqTrainer` gives it: prompts of three tokens, rows filled up with -100."""
    front = [257] * 3

    def filled(rows):
        width = max(map(len, rows)) + 1
        return np.array([row + [-100] * (width - len(row)) for row in rows])

    made = {
        "predictions": filled([[*front, *processor.encode(text), 256] for text in said]),
        "label_ids": filled([[-100] * 3 + processor.answer_ids(text) for text in answers]),
        "inputs": filled([[*front] for _ in said])[:, :3],
    }
    return EvalPrediction(**{**made, **other})


def test_the_figures_are_those_of_our_metrics(processor):
    found = caption_metrics(processor)(prediction(processor))
    expected = caption_scores(SAID, CAPTIONS, WITHOUT_JAVA).scores
    assert found == {**expected, "empty": 0.25} and 0 < found["bleu_1"] < 1


def test_all_references_of_a_row_count(processor):
    references = [[caption, said or "nothing"] for caption, said in zip(CAPTIONS, SAID, strict=True)]
    found = caption_metrics(processor, references, ["rouge_l"])(prediction(processor))
    assert found["rouge_l"] == pytest.approx(0.75)  # but for the row that says nothing
    assert found["rouge_l"] > caption_metrics(processor, metrics=["rouge_l"])(prediction(processor))["rouge_l"]


@pytest.mark.parametrize(
    ("references", "other", "message"),
    [
        (CAPTIONS[::-1], {}, "Row 0 was evaluated with the answer 'a dog barks'"),
        (CAPTIONS[:3], {}, "references of 3 rows, but 4 were evaluated"),
        (None, {"inputs": None}, "include_for_metrics"),
        (None, {"predictions": np.zeros((4, 7, 9))}, "predict_with_generate"),
        (None, {"predictions": (np.zeros((4, 7, 9)), np.zeros(4))}, "predict_with_generate"),
    ],
)
def test_what_does_not_fit_is_an_error(processor, references, other, message):
    with pytest.raises(ValueError, match=message):
        caption_metrics(processor, references)(prediction(processor, **other))


def test_metrics_that_cannot_be_had_are_named_before_the_training(processor, monkeypatch):
    with pytest.raises(ValueError, match="Unknown caption metrics"):
        caption_metrics(processor, metrics=["bleu"])
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ValueError, match="cannot be computed here"):
        caption_metrics(processor, metrics=["bleu_4", "meteor"])


def test_a_trainer_reports_them(processor, tmp_path):
    model = tiny_model("clapcap")
    model.generation_config.update(eos_token_id=256, pad_token_id=0, max_new_tokens=5)
    rows = [{"audio": clip, "caption": text} for clip, text in zip(clips(4), CAPTIONS, strict=True)]
    arguments = Seq2SeqTrainingArguments(
        str(tmp_path), predict_with_generate=True, include_for_metrics=["inputs"], label_names=["labels"],
        per_device_eval_batch_size=3, remove_unused_columns=False, use_cpu=True, report_to=[], disable_tqdm=True,
    )  # fmt: skip
    collator = PrefixLMCollator(processor, sampling_rate=RATE)
    metrics = caption_metrics(processor, [[text, "x"] for text in CAPTIONS])
    trainer = Seq2SeqTrainer(model, arguments, collator, eval_dataset=rows, compute_metrics=metrics)
    found = trainer.evaluate()
    assert {"eval_loss", "eval_empty", *(f"eval_{name}" for name in WITHOUT_JAVA)} <= found.keys()
