"""From an official file to a step of training: reader, collator and model take each other's rows as they are."""

import json
import sys
from pathlib import Path

import pytest
import torch
from pair_models import tiny_pair_model
from tiny_models import LABELS, RATE, clap_config, clap_parts
from transformers import Trainer, TrainingArguments

pytest.importorskip("datasets")
pytest.importorskip("accelerate")
sys.path.insert(0, str(Path(__file__).parent))

from audio_files import write_clip, write_csv

from afm_hf import ClapAfmConfig, ClapAfmForAudioClassification, ClapAfmModel, ClapAfmProcessor
from afm_hf.data import read_clotho, read_differences, read_esc50, read_reasonaqa
from afm_hf.training.collators import ClapCollator, LabelCollator, PrefixLMCollator

FIVE = ["one", "two", "three", "four", "five"]
NAMES = ["a.wav", "b.wav", "c.wav"]


@pytest.fixture
def clips(tmp_path):
    """A folder as Clotho's development part."""
    for name in NAMES:
        write_clip(tmp_path / "development" / name, seconds=0.5, rate=RATE)
    return tmp_path


def one_step(model, collator, data, folder):
    """A step of `Trainer` on all rows; the batch, and the names of what has changed."""
    before = {name: value.clone() for name, value in model.named_parameters()}
    arguments = TrainingArguments(
        str(folder), max_steps=1, per_device_train_batch_size=len(data), learning_rate=0.1, remove_unused_columns=False,
        save_strategy="no", use_cpu=True, report_to=[], disable_tqdm=True,
    )  # fmt: skip
    losses = Trainer(model, arguments, collator, train_dataset=data).train().training_loss
    assert losses > 0
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def test_clotho_trains_clap(clips):
    write_csv(clips / "clotho_captions_development.csv", "file_name,caption_1,caption_2,caption_3,caption_4,caption_5",
              *([name, *FIVE] for name in [*NAMES, "lost.wav"]))  # fmt: skip
    data, report = read_clotho(clips, "development")
    _, tokenizer, extractor = clap_parts()
    changed = one_step(ClapAfmModel(clap_config()), ClapCollator(ClapAfmProcessor(extractor, tokenizer)), data, clips)
    assert report.kept == 3 and len(report.missing) == 1
    assert {"logit_scale", "audio_projection.linear1.weight", "text_projection.linear1.weight"} <= changed


def test_reasonaqa_trains_mellow_and_a_row_with_one_clip_hears_another(clips):
    common = {"taskname": "clotho", "caption1": "", "caption2": "", "subtype": "x"}
    rows = [
        {**common, "filepath1": "development/a.wav", "filepath2": "development/b.wav", "input": "is?", "answer": "yes"},
        {**common, "filepath1": "development/c.wav", "filepath2": "", "input": "what is it?", "answer": "rain"},
    ]  # fmt: skip
    (clips / "train.json").write_text(json.dumps(rows))
    data, _ = read_reasonaqa(clips / "train.json")
    model, processor = tiny_pair_model("mellow")
    collator = PrefixLMCollator(processor, random_second_audio=True)
    batch = collator([data[0], data[1]])
    answers = [labels[labels != -100].tolist() for labels in batch["labels"]]
    assert answers == [processor.answer_ids("yes"), processor.answer_ids("rain")]
    model.freeze_audio_tower()  # its random weights would take all of the clipped gradient
    changed = one_step(model, collator, data, clips)
    assert any("language_model" in name for name in changed)
    assert not any("audio_tower" in name for name in changed)


def test_the_differences_of_clotho_train_adiff(clips):
    table = write_csv(
        clips / "cld_train_answer.csv", "taskname,filepath1,filepath2,caption1,caption2,input,answer",
        ["clotho", "development/a.wav", "development/b.wav", "a", "b", "explain the difference in few words", "All."],
        ["clotho", "development/b.wav", "development/c.wav", "b", "c", "explain the difference in detail", "Much."],
    )  # fmt: skip
    data, _ = read_differences(table)
    model, processor = tiny_pair_model("adiff")
    collator = PrefixLMCollator(processor)
    learned = collator([data[0], data[1]])["labels"]
    assert learned[1][learned[1] != -100].tolist() == processor.answer_ids("Much.")
    assert any("language_model" in name for name in one_step(model, collator, data, clips))


def test_labels_train_a_classifier(tmp_path):
    rows = [[f"{fold}-1-A-0.wav", fold, index, LABELS[index].replace(" ", "_")] for fold in (1, 2) for index in (0, 1)]
    write_csv(tmp_path / "meta" / "esc50.csv", "filename,fold,target,category", *rows)
    for row in rows:
        write_clip(tmp_path / "audio" / row[0], seconds=0.5, rate=RATE)
    data, _ = read_esc50(tmp_path)
    config = ClapAfmConfig(**{**clap_config().to_dict(), "num_labels": len(LABELS)})
    collator = LabelCollator(clap_parts()[2], LABELS)
    assert collator([data[i] for i in range(4)])["labels"].tolist() == [0, 1, 0, 1]
    changed = one_step(ClapAfmForAudioClassification(config), collator, data, tmp_path)
    assert any("classifier" in name for name in changed)
