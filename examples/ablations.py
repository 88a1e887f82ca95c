"""The papers' ablations at a small scale: each row of a table is a file, trained and evaluated on clips of your own.

    python examples/ablations.py examples/configs/ablations/adiff --data examples/sounds --output ablations-adiff
    python examples/ablations.py examples/configs/ablations/mellow --data examples/sounds --output ablations --steps 200

A file says what is changed in the config of the model (`config`), which parts are trained (`train`), perhaps LoRA, and
`start: random` for an encoder that has heard nothing. Models are the tiny ones of fresh_prefix_lm.py, whose language
model first learns the words of the answers (`--language_steps`), as a pretrained one would know them. So the figures
compare the rows with one another and with nothing else. A row that is done is not trained again.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from fresh_prefix_lm import build
from recipes import hold_out
from train_prefix_lm import CAPTION, DIFFERENCE, PrefixLMArguments, choose_what_learns, make_rows
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from afm_hf.data import read_audio_folder
from afm_hf.evaluation.metrics.captions import caption_scores
from afm_hf.training.collators import PrefixLMCollator

COLUMNS = {"bleu_4": "BLEU-4", "rouge_l": "ROUGE-L", "cider_d": "CIDEr-D", "spice": "SPICE", "spider": "SPIDEr"}
KNOWN = {
    "row",
    "architecture",
    "config",
    "language_model",
    "start",
    "train",
    "lora_r",
    "lora_alpha",
    "position_captions",
}


def read_row(file: Path) -> dict[str, Any]:
    """A row of a table; refuses what it does not know."""
    row = yaml.safe_load(file.read_text(encoding="utf-8"))
    if unknown := sorted(set(row) - KNOWN):
        raise ValueError(f"{file} has {unknown}; known are {sorted(KNOWN)}.")
    return {"name": file.stem, "train": ["prefix"], "config": {}, "language_model": {}, **row}


def make_model(row: dict[str, Any], texts: list[str], seed: int) -> tuple[Any, Any]:
    """The untrained model of a row and its processor."""
    torch.manual_seed(seed)
    model, processor = build(row["architecture"], texts, **row["language_model"])
    plain = model.config.to_dict()
    if row["config"] or row.get("start") == "random":
        torch.manual_seed(seed)
        heard = model.model.audio_tower.state_dict()
        generation = model.generation_config
        model = type(model)(type(model.config)(**{**plain, **row["config"]}))
        model.generation_config = generation
        if row.get("start") != "random" and "audio_config" not in row["config"]:
            model.model.audio_tower.load_state_dict(heard)
        processor.prefix_length = model.config.num_placeholders
    return model, processor


def evaluate(model: Any, processor: Any, rows: list[dict[str, Any]], batch_size: int = 8) -> dict[str, float]:
    """Caption metrics of what the model says of held-out rows."""
    model.eval()
    said: list[str] = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        audio = [[row["audio"], row["audio2"]] if row.get("audio2") else row["audio"] for row in part]
        inputs = processor(audio=audio, text=[row["prompt"] for row in part], return_tensors="pt")
        sequences = model.generate(**inputs, max_new_tokens=40, do_sample=False)
        said += processor.decode_answers(sequences, inputs["input_ids"])
    answers = [row["answer"] for row in rows]
    references = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]
    return dict(caption_scores(said, references).scores)


def trained(model: Any, parts: list[Any], processor: Any, what: PrefixLMArguments, steps: int, seed: int) -> Trainer:
    """The model after some steps on the first part, in its `Trainer`; the second part is for evaluation."""
    set_seed(seed)
    arguments = TrainingArguments(
        "unused", max_steps=steps, learning_rate=1e-3, per_device_train_batch_size=8, use_cpu=True, report_to="none",
        save_strategy="no", logging_strategy="no", remove_unused_columns=False, disable_tqdm=True,
        label_names=["labels"], prediction_loss_only=True, seed=seed,
    )  # fmt: skip
    collator = PrefixLMCollator(processor, random_second_audio=processor.clips_per_example == 2, seed=seed)
    chosen = choose_what_learns(model, what)
    trainer = Trainer(chosen, arguments, collator, train_dataset=parts[0], eval_dataset=parts[1])
    trainer.remove_callback(PrinterCallback)
    if steps:
        trainer.train()
    return trainer


def run_row(
    row: dict[str, Any], data: Any, folder: Path, steps: int, language_steps: int, seed: int
) -> dict[str, float]:
    """Trains and evaluates a row, or gives what was found before."""
    result = folder / f"{row['name']}.json"
    made = {"row": row, "steps": steps, "language_steps": language_steps, "seed": seed, "clips": len(data)}
    if result.is_file() and (known := json.loads(result.read_text()))["made"] == made:
        return known["figures"]
    texts = [text for captions in data["captions"] for text in captions]
    model, processor = make_model(row, texts, seed)
    settings = PrefixLMArguments(model="", train=list(row["train"]), lora_r=row.get("lora_r", 0))
    settings.lora_alpha = row.get("lora_alpha", settings.lora_alpha)
    settings.position_captions = bool(row.get("position_captions", False))
    parts = [make_rows(part, settings, processor, seed) for part in hold_out(data, 0.25, seed)]
    words = PrefixLMArguments(model="", train=["language_model"])
    knows = trained(model, parts, processor, words, language_steps, seed).model.state_dict()
    model, _ = make_model(row, texts, seed)  # with nothing frozen
    model.load_state_dict(knows)
    trainer = trained(model, parts, processor, settings, steps, seed)
    loss = trainer.evaluate()["eval_loss"]
    held = [parts[1][index] for index in range(len(parts[1]))]
    asked = [row for row in held if "audio2" not in row or row["prompt"] == DIFFERENCE]  # no captions of one of two
    asked = [{"prompt": CAPTION, **row} for row in asked]
    drawn = random.Random(seed).sample(asked, min(24, len(asked)))
    figures = {"loss": loss, **evaluate(trainer.model, processor, drawn)}
    result.write_text(json.dumps({"made": made, "figures": figures}, indent=1) + "\n")
    return figures


def as_table(rows: list[dict[str, Any]], figures: list[dict[str, float]]) -> str:
    """As the slides have it: a row a form of the model, a column a metric."""
    columns = {"loss": "loss", **{name: title for name, title in COLUMNS.items() if name in figures[0]}}
    lines = [["experiment", *columns.values()], ["---"] * (1 + len(columns))]
    for row, found in zip(rows, figures, strict=True):
        lines.append([row["row"], *(f"{found[name]:.3f}" for name in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="folder of files, one for each row")
    parser.add_argument("--data", type=Path, required=True, help="folder with metadata.csv: file_name, caption")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--language_steps", type=int, default=60, help="of the language model alone, before")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    files = sorted(arguments.table.glob("*.yaml"))
    if not files:
        sys.exit(f"error: {arguments.table} has no files *.yaml")
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = [read_row(file) for file in files]
    data, report = read_audio_folder(arguments.data)
    print(report)
    how = (arguments.steps, arguments.language_steps, arguments.seed)
    figures = [run_row(row, data, arguments.output, *how) for row in rows]
    table = as_table(rows, figures)
    (arguments.output / "table.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
