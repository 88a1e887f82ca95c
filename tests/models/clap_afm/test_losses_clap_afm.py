"""Losses follow the labels, and a batch from which nothing can be learned is told."""

import pytest
import torch
from tiny_models import RATE, clap_config, clap_parts, tone
from torch.nn import functional as F
from transformers import AutoModelForAudioClassification, Trainer, TrainingArguments

from afm_hf import ClapAfmConfig, ClapAfmForAudioClassification, ClapAfmModel, ClapAfmProcessor
from afm_hf.models.clap_afm import losses_clap_afm
from afm_hf.training.cached_contrastive import cached_contrastive
from afm_hf.training.losses import ContrastiveLoss

TYPES = "'regression', 'single_label_classification', 'multi_label_classification'"


def features(batch=4):
    return torch.randn(batch, 1, 101, 16, generator=torch.Generator().manual_seed(0))


def classifier(num_labels=3, **kwargs):
    torch.manual_seed(0)
    config = clap_config()
    config.num_labels = num_labels
    for name, value in kwargs.items():
        setattr(config, name, value)
    return ClapAfmForAudioClassification(config).eval()


MULTI_HOT = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
KINDS = {
    "numbers": (torch.tensor([0, 2, 1, 1]), "single_label_classification", F.cross_entropy),
    "int32": (torch.tensor([0, 2, 1, 1], dtype=torch.int32), "single_label_classification", F.cross_entropy),
    "ignored": (torch.tensor([0, -100, 1, -100]), "single_label_classification", F.cross_entropy),
    "floats": (MULTI_HOT.float(), "multi_label_classification", F.binary_cross_entropy_with_logits),
    "integers": (MULTI_HOT, "multi_label_classification", F.binary_cross_entropy_with_logits),
    "booleans": (MULTI_HOT.bool(), "multi_label_classification", F.binary_cross_entropy_with_logits),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_say_which_loss_and_the_model_remembers(kind, tmp_path):
    labels, problem_type, loss = KINDS[kind]
    model = classifier()
    output = model(features(), labels=labels)
    expected = labels.float() if problem_type.startswith("multi") else labels.long()
    torch.testing.assert_close(output.loss, loss(output.logits, expected))
    model.save_pretrained(tmp_path)
    assert AutoModelForAudioClassification.from_pretrained(tmp_path).config.problem_type == problem_type


@pytest.mark.parametrize("labels", [torch.tensor([0.5, 2.0, -1.0, 7.0]), torch.tensor([[1], [2], [3], [4]])])
def test_one_output_regresses(labels):
    model = classifier(num_labels=1)
    output = model(features(), labels=labels)
    torch.testing.assert_close(output.loss, F.mse_loss(output.logits[:, 0], labels.float().reshape(4)))
    assert model.config.problem_type == "regression"


def test_a_given_type_is_obeyed():
    numbers = torch.rand(4, 3)
    output = classifier(problem_type="regression")(features(), labels=numbers)
    torch.testing.assert_close(output.loss, F.mse_loss(output.logits, numbers))
    flags = torch.tensor([[1], [0], [1], [0]])
    output = classifier(1, problem_type="multi_label_classification")(features(), labels=flags)
    torch.testing.assert_close(output.loss, F.binary_cross_entropy_with_logits(output.logits, flags.float()))


def test_unknown_types_are_refused_with_the_three_names():
    with pytest.raises(ValueError, match=f"'multilabel'; expected one of {TYPES}"):
        ClapAfmConfig(problem_type="multilabel")
    with pytest.raises(ValueError, match=f"'several'; expected one of {TYPES}"):
        classifier(problem_type="several")
    model = classifier()
    model.config.problem_type = "later"
    with pytest.raises(ValueError, match=f"'later'; expected one of {TYPES}"):
        model(features(), labels=MULTI_HOT)


@pytest.mark.parametrize(
    ("problem_type", "labels", "message"),
    [
        (None, torch.rand(4), r"torch.float32 of shape \(4,\); expected class numbers"),
        (None, torch.zeros(4, 2), r"shape \(4, 2\); expected class numbers.*\(batch, 3\)"),
        (None, torch.tensor([0, 3, 1, 1]), "from 0 to 2, but these go from 0 to 3"),
        (None, torch.tensor([0, -1, 1, 1]), "go from -1 to 1"),
        (None, MULTI_HOT * 2, "from 0 to 1, but these go from 0 to 2"),
        (
            "single_label_classification",
            MULTI_HOT,
            r"class numbers of shape \(4,\), but these are torch.int64 of shape",
        ),
        ("single_label_classification", torch.tensor([0, 1, 1]), r"class numbers of shape \(4,\)"),
        ("multi_label_classification", torch.tensor([0, 1, 1, 2]), r"zeros and ones of shape \(4, 3\)"),
        ("regression", torch.rand(4), r"numbers of shape \(4, 3\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(problem_type, labels, message):
    with pytest.raises(ValueError, match=message):
        classifier(problem_type=problem_type)(features(), labels=labels)


# -- contrastive ------------------------------------------------------------------------------------------------------


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(losses_clap_afm.logger, "warning_once", messages.append)
    return messages


def processor():
    _, tokenizer, extractor = clap_parts()
    return ClapAfmProcessor(extractor, tokenizer)


def batch(*texts):
    clips = [tone(200 * (index + 1), seed=index) for index in range(len(texts))]
    return processor()(audio=clips, text=list(texts), sampling_rate=RATE, padding=True, return_tensors="pt")


def test_a_batch_of_one_pair_and_one_of_equal_texts_are_told_in_training_alone(said):
    model = clap_parts()[0]
    model(**batch("rain"))
    model(**batch("rain", "rain"))
    model.train()(**batch("rain", "a dog", "rain"))
    model(**batch("rain"), return_loss=False)
    assert not said
    model(**batch("rain"))
    assert "one pair has no negatives" in said.pop() and not said
    model(**batch("rain", "rain", "rain"))
    assert "All 3 texts of a batch are the same" in said.pop()


def test_gradcache_is_told_by_its_whole_batch(said):
    model = clap_parts()[0]
    model.audio_model.requires_grad_(False)  # and with it the batch norm
    cached_contrastive(model.train(), batch("rain", "a dog"), chunk_size=1)
    assert not said
    cached_contrastive(model, batch("rain"), chunk_size=1)
    assert "one pair" in said.pop()


def test_the_loss_over_processes_counts_the_pairs_of_all(said):
    embeddings = torch.nn.functional.normalize(torch.randn(1, 8), dim=-1)
    ContrastiveLoss()(embeddings, embeddings, torch.tensor(2.0))
    assert not said, "an evaluation"
    ContrastiveLoss()(embeddings.clone().requires_grad_(), embeddings, torch.tensor(2.0))
    assert "one pair" in said.pop()


def test_a_loss_is_there_without_being_asked_for_where_counts_allow_it():
    model = clap_parts()[0]
    inputs = batch("rain", "a dog")
    assert model(**inputs).loss.item() == pytest.approx(model(**inputs, return_loss=True).loss.item(), rel=1e-5)
    assert model(**inputs, return_loss=False).loss is None
    fewer = {**inputs, "input_features": inputs["input_features"][:1]}
    assert model(**fewer).loss is None and model.train()(**fewer).loss is None
    model.eval()
    places = [len(model(**given, return_dict=False)) for given in (inputs, fewer)]
    assert places[0] == places[1], "the places of a tuple do not depend on counts"
    assert len(model(**inputs, return_dict=False, return_loss=True)) == places[0] + 1


@pytest.mark.parametrize("adapter", [False, True], ids=["plain", "LoRA"])
def test_features_made_beforehand_give_a_loss_in_evaluation_too(adapter, tmp_path):
    """With `map` and the default collator no collator of ours asks for the loss."""
    datasets = pytest.importorskip("datasets")
    model: ClapAfmModel = clap_parts()[0]
    if adapter:
        peft = pytest.importorskip("peft")
        model = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    made = batch("rain", "a dog", "wind", "birds")
    rows = datasets.Dataset.from_dict({name: value.numpy() for name, value in made.items()}).with_format("torch")
    settings = {"max_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "no"}
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True, **settings)
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    assert any("eval_loss" in entry for entry in trainer.state.log_history)
    found = trainer.evaluate()["eval_loss"]
    assert found == pytest.approx(model.eval()(**made, return_loss=True).loss.item(), abs=1e-4)
