"""Detectors of errors: their layouts, and what is refused."""

import pytest
import torch
from tiny_models import byte_tokenizer
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from afm_hf.evaluation.metrics.fluency import (
    ERRORS,
    FenseErrorDetector,
    TextClassifierErrorDetector,
    clean,
    error_probabilities,
)

SENTENCES = ["a dog barks", "a dog and and", "rain", "a man speaks and then"]


def config(**kwargs):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertConfig(vocab_size=257, pad_token_id=256, max_position_embeddings=96, **sizes, **kwargs)


def test_sentences_are_cleaned_as_in_the_released_code():
    assert clean("A man, a DOG; it's 3 o'clock...") == "a man a dog its 3 oclock"


def test_a_checkpoint_of_fense_gives_the_sigmoid_of_its_last_class(tmp_path):
    tokenizer = byte_tokenizer()
    encoder = BertModel(config())
    classifier = nn.Linear(16, len(ERRORS))
    encoder.config.save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    weights |= {f"clf.{name}": value for name, value in classifier.state_dict().items()}
    weights["encoder.embeddings.position_ids"] = torch.arange(96)[None]
    saved = {"model_type": str(tmp_path / "encoder"), "num_classes": len(ERRORS), "state_dict": weights}
    torch.save(saved, tmp_path / "echecker.ckpt")

    detector = FenseErrorDetector.from_checkpoint(tmp_path / "echecker.ckpt", batch_size=3)
    with torch.no_grad():
        for sentence, value in zip(SENTENCES, detector(SENTENCES), strict=True):
            hidden = encoder.eval()(**tokenizer([sentence], return_tensors="pt")).last_hidden_state[:, 0]
            assert value == pytest.approx(classifier(hidden).sigmoid()[0, -1].item(), abs=1e-6)
    long = "a dog barks " * 20
    assert detector([long]) == pytest.approx(detector([long[:64]]), abs=1e-6)  # one token a byte, 64 of them

    torch.save({"state_dict": weights}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="no \\['model_type', 'num_classes'\\]"):
        FenseErrorDetector.from_checkpoint(tmp_path / "other.ckpt")
    torch.save(saved | {"num_classes": 2}, tmp_path / "narrow.ckpt")
    with pytest.raises(ValueError, match="does not fit the encoder"):
        FenseErrorDetector.from_checkpoint(tmp_path / "narrow.ckpt")
    with pytest.raises(ValueError, match="cannot be read"):
        FenseErrorDetector.from_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize("independent", [False, True])
def test_a_sequence_classifier_is_a_detector(tmp_path, independent):
    kind = {"problem_type": "multi_label_classification"} if independent else {}
    model = BertForSequenceClassification(config(id2label={0: "fine", 1: "Error", 2: "odd"}, **kind)).eval()
    tokenizer = byte_tokenizer()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    got = TextClassifierErrorDetector(tmp_path, batch_size=3)(SENTENCES)
    with torch.no_grad():
        for sentence, value in zip(SENTENCES, got, strict=True):
            logits = model(**tokenizer([sentence], return_tensors="pt")).logits[0]
            expected = logits.sigmoid() if independent else logits.softmax(0)
            assert value == pytest.approx(expected[1].item(), abs=1e-6)
    assert TextClassifierErrorDetector(model, tokenizer, label=2).index == 2
    assert TextClassifierErrorDetector(model, tokenizer, label="fine").index == 0
    with pytest.raises(ValueError, match=r"no class 'wrong'.*'fine', 'Error', 'odd'"):
        TextClassifierErrorDetector(model, tokenizer, label="wrong")
    with pytest.raises(ValueError, match="`tokenizer` too"):
        TextClassifierErrorDetector(model)


def test_answers_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="shape \\(1,\\) for 2 sentences"):
        error_probabilities(lambda sentences: [0.5], ["a", "b"])
    with pytest.raises(ValueError, match=r"gave 3\.0 for 'b'"):
        error_probabilities(lambda sentences: [0.5, 3], ["a", "b"])
    with pytest.raises(ValueError, match="gave nan"):
        error_probabilities(lambda sentences: [float("nan")], ["a"])
    assert len(error_probabilities(lambda sentences: [], [])) == 0
