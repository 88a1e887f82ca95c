"""transformers' Trainer runs our models as it runs its own: train, evaluate, save, reload, resume to the same bits."""

import pytest
import torch
from tiny_models import RATE, clap_config, clap_parts, tone
from transformers import Trainer, TrainingArguments

from afm_hf import ClapAfmForAudioClassification, ClapAfmModel, ClapAfmProcessor

pytest.importorskip("accelerate")

PAIRS = [(tone(150 * (index + 1), seed=index), f"a tone of {150 * (index + 1)} hertz") for index in range(12)]


@pytest.fixture(scope="module")
def processor():
    _, tokenizer, extractor = clap_parts()
    return ClapAfmProcessor(extractor, tokenizer)


def contrastive(processor):
    def collate(pairs):
        clips, texts = zip(*pairs, strict=True)
        batch = processor(text=list(texts), audio=list(clips), sampling_rate=RATE, padding=True, return_tensors="pt")
        return {**batch, "return_loss": True}

    return collate


def classes(processor):
    def collate(pairs):
        batch = processor(audio=[clip for clip, _ in pairs], sampling_rate=RATE, return_tensors="pt")
        return {**batch, "labels": torch.tensor([len(text) % 3 for _, text in pairs])}

    return collate


def trainer(model, collate, folder, processor, **kwargs):
    settings = {"per_device_train_batch_size": 4, "max_steps": 3, "save_steps": 2, "logging_steps": 1, "seed": 0}
    arguments = TrainingArguments(
        folder, use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False, **{**settings, **kwargs}
    )
    return Trainer(model, arguments, collate, train_dataset=PAIRS, eval_dataset=PAIRS[:8], processing_class=processor)


def fresh(cls):
    torch.manual_seed(0)
    config = clap_config()
    config.num_labels = 3
    return cls(config)


TASKS = {"contrastive": (ClapAfmModel, contrastive), "classification": (ClapAfmForAudioClassification, classes)}


@pytest.mark.parametrize("task", TASKS)
def test_trainer_trains_saves_and_resumes_to_the_same_weights(task, processor, tmp_path):
    cls, collate = TASKS[task]
    run = trainer(fresh(cls), collate(processor), tmp_path / "run", processor)
    run.train()
    losses = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert len(losses) == 3 and all(0 < loss < 20 for loss in losses)
    evaluation = run.evaluate()
    assert 0 < evaluation["eval_loss"] < 20

    run.save_model(tmp_path / "saved")
    saved = cls.from_pretrained(tmp_path / "saved")
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name]), name
    assert type(ClapAfmProcessor.from_pretrained(tmp_path / "saved")) is ClapAfmProcessor

    again = trainer(fresh(cls), collate(processor), tmp_path / "run", processor)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_trainer_gathers_embeddings_of_the_whole_set_neither_towers_nor_logits_of_single_batches(processor, tmp_path):
    run = trainer(fresh(ClapAfmModel), contrastive(processor), tmp_path, processor, per_device_eval_batch_size=3)
    text, audio = run.predict(PAIRS[:8]).predictions
    inputs = processor(text=[PAIRS[7][1]], audio=[PAIRS[7][0]], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = run.model.eval()(**inputs)
    assert text.shape == audio.shape == (8, 12)
    torch.testing.assert_close(torch.tensor(text[7:]), expected.text_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.tensor(audio[7:]), expected.audio_embeds, atol=1e-5, rtol=1e-4)


def test_trainer_with_gradient_checkpointing_and_bf16(processor, tmp_path):
    run = trainer(
        fresh(ClapAfmModel),
        contrastive(processor),
        tmp_path,
        processor,
        bf16=True,
        gradient_checkpointing=True,
        max_steps=2,
    )
    run.train()
    assert all(torch.isfinite(parameter).all() for parameter in run.model.parameters())
