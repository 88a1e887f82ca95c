"""`Seq2SeqTrainer` with `predict_with_generate`: what is predicted is said without having seen the answer."""

import numpy as np
import pytest
import torch
from pair_models import tiny_pair_model
from prefix_models import RATE, clips, tiny_model, tiny_processor
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from afm_hf.training.collators import PrefixLMCollator

pytest.importorskip("accelerate")
KINDS = ["clapcap", "pengi", "pengi_no_text_enc", "mellow", "adiff"]
ANSWERS = ["a", "a dog", "rain on a roof", "b", "wind"]  # in batches of two: of unequal width


def parts(kind):
    if kind in ("mellow", "adiff"):
        model, processor = tiny_pair_model(kind)
        if kind == "mellow":
            processor.pad_prompt = False  # prompts of unequal length
    else:
        model, processor = tiny_model(kind), tiny_processor(kind)
    model.generation_config.eos_token_id = 256
    model.generation_config.pad_token_id = 0
    model.generation_config.max_new_tokens = 5
    return model, processor


def rows_of(kind, answers):
    prompts = ["what is it", "how many", "a sound of", "what", "emotion is"]
    audio = clips(len(answers))
    return [
        {"audio": clip, "answer": answer, **({} if kind == "clapcap" else {"prompt": prompt})}
        for clip, answer, prompt in zip(audio, answers, prompts, strict=True)
    ]


def predicted(kind, answers, folder, **settings):
    """The metrics of an evaluation, and the answers that it decoded."""
    model, processor = parts(kind)
    said = []

    def compute_metrics(prediction):
        said.extend(processor.decode_answers(prediction.predictions, prediction.inputs))
        return {"words": float(np.mean([len(text.split()) for text in said]))}

    arguments = Seq2SeqTrainingArguments(
        str(folder),
        predict_with_generate=True,
        per_device_eval_batch_size=2,
        include_for_metrics=["inputs"],
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        **settings,
    )
    trainer = Seq2SeqTrainer(
        model,
        arguments,
        PrefixLMCollator(processor, sampling_rate=RATE),
        eval_dataset=rows_of(kind, answers),
        compute_metrics=compute_metrics,
    )
    return trainer.evaluate(), said, model, processor


def front_alone(processor, kind, row):
    """The inputs of a row without its answer, in the prompt's form of training."""
    made = PrefixLMCollator(processor, sampling_rate=RATE)([row])
    front = (made["labels"][0] == -100).sum()
    cut = {name: made[name][:, :front] for name in ("input_ids", "attention_mask")}
    return {**{name: value for name, value in made.items() if name != "labels"}, **cut}


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_the_prompts_alone(kind, tmp_path):
    metrics, said, model, processor = predicted(kind, ANSWERS, tmp_path)
    expected = []
    for row in rows_of(kind, ANSWERS):
        inputs = front_alone(processor, kind, row)
        made = model.generate(**inputs, max_new_tokens=5)
        expected += processor.decode_answers(made, inputs["input_ids"])
    assert said == expected and len(set(said)) > 1
    assert np.isfinite(metrics["eval_loss"])


@pytest.mark.parametrize("kind", ["clapcap", "mellow"])
def test_other_answers_change_the_loss_but_no_prediction(kind, tmp_path):
    first, said, *_ = predicted(kind, ANSWERS, tmp_path)
    second, again, *_ = predicted(kind, ["no such thing", "x", "y", "zzzz", "a"], tmp_path)
    assert said == again
    assert first["eval_loss"] != pytest.approx(second["eval_loss"], abs=1e-3)


@pytest.mark.parametrize("kind", ["pengi", "mellow"])
def test_beams_and_lengths_of_the_arguments_are_obeyed(kind, tmp_path):
    _, processor = parts(kind)
    widths = [front_alone(processor, kind, row)["input_ids"].shape[1] for row in rows_of(kind, ANSWERS)]
    longest = max(widths) + 2
    _, said, _, _ = predicted(kind, ANSWERS, tmp_path, generation_max_length=longest, generation_num_beams=2)
    assert all(len(text) <= 2 + max(widths) - min(widths) for text in said)


def test_decoded_predictions_know_the_width_of_each_batch():
    processor = tiny_processor("clapcap")
    word = processor.encode
    inputs = np.array([[257, 257, 257, *word("ab"), -100], [257, 257, 257, 5, 6, 7]])
    predictions = np.array([[257, 257, 257, 0, 0, *word("dog"), 256], [257, 257, 257, 0, 0, 0, *word("x"), 256, -100]])
    assert processor.decode_answers(predictions, inputs) == ["dog", "x"]
    assert processor.decode_answers(torch.as_tensor(predictions), torch.as_tensor(inputs)) == ["dog", "x"]
