"""The papers' ablations at a small scale: each row of a table is a file, trained and evaluated on clips of your own.

    python examples/ablations.py examples/configs/ablations/adiff --data examples/sounds --output ablations-adiff
    python examples/ablations.py examples/configs/ablations/mellow --data examples/sounds --output ablations --steps 200
    python examples/ablations.py examples/configs/ablations/mellow_data --data clips --made made/train.json
        --further wavcaps=WavCaps --output ablations-data
    python examples/ablations.py examples/configs/ablations/selm --data examples/sounds --output ablations-selm

A file says what is changed in the config of the model (`config`), which parts are trained (`train`), perhaps LoRA, and
`start: random` for an encoder that has heard nothing. A table of data says which `kinds` of made data (of `afm-hf
make-data`) a row learns from, and whether from `further` captions; all its rows answer the same held-out ones. A row
with `shots` learns from so many clips of each label, in several `draws`, and is judged on all others.

Models are the tiny ones of fresh_prefix_lm.py, whose language model first learns the words of the answers
(`--language_steps`), as a pretrained one would know them. So the figures compare the rows with one another and with
nothing else. A row that is done is not trained again.
"""

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from fresh_prefix_lm import build, build_selm
from recipes import hold_out
from train_prefix_lm import CAPTION, DIFFERENCE, PrefixLMArguments, choose_what_learns, labelled, make_rows
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from afm_hf.data import read_audio_folder, read_reasonaqa
from afm_hf.data.mixtures import read_layout
from afm_hf.evaluation.experiments.measuring import Data
from afm_hf.evaluation.experiments.shots import few_shot_table
from afm_hf.evaluation.metrics.captions import caption_scores
from afm_hf.training.collators import PrefixLMCollator

COLUMNS = {
    "loss": "loss",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "none": "accuracy without clips (%)",
    "few": "with them (%)",
}
KNOWN = {
    "row", "architecture", "config", "language_model", "prompt_length", "start", "train", "lora_r", "lora_alpha",
    "position_captions", "kinds", "further", "shots", "draws", "label_prompt",
}  # fmt: skip
MADE = "made-"  # how `afm-hf make-data` begins the names of its kinds


@dataclass(frozen=True)
class Material:
    """
    What there is to learn from.

    Args:
        folder: Of the clips.
        data: The clips with their captions, and maybe labels.
        made: Rows of `afm-hf make-data` about them, if there are such.
        further: Clips with captions of another data set, if there are such.
    """

    folder: Path
    data: Any
    made: Any = None
    further: Any = None

    @property
    def texts(self) -> list[str]:
        """All words that a model may have to know."""
        texts = [text for captions in self.data["captions"] for text in captions]
        if self.made is not None:
            texts += [*self.made["prompt"], *self.made["answer"]]
        return texts


def read_row(file: Path) -> dict[str, Any]:
    """A row of a table; refuses what it does not know."""
    row = yaml.safe_load(file.read_text(encoding="utf-8"))
    if unknown := sorted(set(row) - KNOWN):
        raise ValueError(f"{file} has {unknown}; known are {sorted(KNOWN)}.")
    return {"name": file.stem, "train": ["prefix"], "config": {}, "language_model": {}, **row}


def make_model(row: dict[str, Any], texts: list[str], seed: int) -> tuple[Any, Any]:
    """The untrained model of a row and its processor."""
    torch.manual_seed(seed)
    if row["architecture"] == "selm":
        return build_selm([*texts, row["label_prompt"]])
    model, processor = build(row["architecture"], texts, **row["language_model"])
    processor.prompt_length = row.get("prompt_length", processor.prompt_length)
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


def parts_of(row: dict[str, Any], material: Material, settings: PrefixLMArguments, processor: Any, seed: int) -> Any:
    """
    Rows to learn from and held-out rows; the latter are of all kinds of made data, whatever a row learns from.

    Raises:
        ValueError: the row needs data that are not given.
    """
    if "kinds" not in row:
        return [make_rows(part, settings, processor, seed) for part in hold_out(material.data, 0.25, seed)]
    if material.made is None:
        raise ValueError(f"{row['row']!r} learns from made data: give `--made`, the train.json of `afm-hf make-data`.")
    train, held = hold_out(material.made, 0.25, seed)
    wanted = [i for i, kind in enumerate(train["subtype"]) if kind.removeprefix(MADE) in row["kinds"]]
    if not wanted:
        raise ValueError(f"{row['row']!r} learns from {row['kinds']}, but of these kinds nothing was made.")
    rows = [*_all(make_rows(train.select(wanted), settings, processor, seed))]
    if row.get("further"):
        rows += _captions_of(material, held, settings, processor, seed)
    return [rows, _all(make_rows(held, settings, processor, seed))]


def _captions_of(
    material: Material, held: Any, settings: PrefixLMArguments, processor: Any, seed: int
) -> list[dict[str, Any]]:
    """The further clips with their captions, without those that are held out."""
    if material.further is None:
        raise ValueError("The row learns from further captions: give `--further`, as wavcaps=WavCaps.")
    out = {clip["path"] for name in ("audio", "audio2") for clip in held[name] if clip}
    kept = [i for i, clip in enumerate(material.further["audio"]) if clip["path"] not in out]
    alone = replace(settings, random_second_audio=True)  # captions of one clip, and no differences of two
    return _all(make_rows(material.further.select(kept), alone, processor, seed))


def _all(rows: Any) -> list[dict[str, Any]]:
    return [rows[index] for index in range(len(rows))]


def run_row(
    row: dict[str, Any], material: Material, folder: Path, steps: int, language_steps: int, seed: int
) -> dict[str, Any]:
    """Trains and evaluates a row, or gives what was found before."""
    result = folder / f"{row['name']}.json"
    made = {"row": row, "steps": steps, "language_steps": language_steps, "seed": seed, "clips": len(material.data)}
    made |= {"texts": hashlib.sha256("\n".join(material.texts).encode()).hexdigest()[:16]}
    if result.is_file() and (known := json.loads(result.read_text()))["made"] == made:
        return dict(known["figures"])
    kind = few_shots if "shots" in row else trained_on_all
    figures = kind(row, material, folder, steps, language_steps, seed)
    result.write_text(json.dumps({"made": made, "figures": figures}, indent=1) + "\n")
    return figures


def trained_on_all(
    row: dict[str, Any], material: Material, folder: Path, steps: int, language_steps: int, seed: int
) -> dict[str, Any]:
    """Held-out loss and caption metrics of the model of a row."""
    model, processor = make_model(row, material.texts, seed)
    settings = PrefixLMArguments(model="", train=list(row["train"]), lora_r=row.get("lora_r", 0))
    settings.lora_alpha = row.get("lora_alpha", settings.lora_alpha)
    settings.position_captions = bool(row.get("position_captions", False))
    parts = parts_of(row, material, settings, processor, seed)
    read = parts if "kinds" not in row else parts_of(_of_all_kinds(row, material), material, settings, processor, seed)
    words = PrefixLMArguments(model="", train=["language_model"])
    knows = trained(model, read, processor, words, language_steps, seed).model.state_dict()
    model, _ = make_model(row, material.texts, seed)  # with nothing frozen
    model.load_state_dict(knows)
    trainer = trained(model, parts, processor, settings, steps, seed)
    loss = trainer.evaluate()["eval_loss"]
    asked = _all(parts[1])
    if "kinds" not in row:  # no captions of one of two
        asked = [each for each in asked if "audio2" not in each or each["prompt"] == DIFFERENCE]
    asked = [{"prompt": CAPTION, **each} for each in asked]
    drawn = random.Random(seed).sample(asked, min(24, len(asked)))
    return {"loss": loss, **evaluate(trainer.model, processor, drawn)}


def _of_all_kinds(row: dict[str, Any], material: Material) -> dict[str, Any]:
    """The row as the language model learns its words: as all rows of the table do."""
    return {**row, "kinds": sorted({kind.removeprefix(MADE) for kind in material.made["subtype"]}), "further": False}


def few_shots(
    row: dict[str, Any], material: Material, folder: Path, steps: int, language_steps: int, seed: int
) -> dict[str, Any]:
    """
    Accuracy by likelihood without any clip and with some of each label: mean and deviation over draws.

    Raises:
        ValueError: the clips have no labels.
    """
    if "label" not in material.data.column_names:
        raise ValueError(f"{row['row']!r} needs clips with a `label`; {material.folder} has none.")
    model, processor = make_model(row, [*material.texts, *material.data["label"]], seed)
    # The language model learns the labels' words beside one and the same clip, which tells it nothing about others.
    first = material.data[0]
    rows = [{**labelled(clip, row["label_prompt"]), "audio": first["audio"]} for clip in material.data]
    words = PrefixLMArguments(model="", train=["language_model"])
    knows = trained(model, [rows, rows], processor, words, language_steps, seed).model.state_dict()
    model, _ = make_model(row, [*material.texts, *material.data["label"]], seed)
    model.load_state_dict(knows)
    where = folder / row["name"]
    for part in (model, processor):
        part.save_pretrained(where / "model")
    clips = Data("folder", str(material.folder))
    how = {"steps": steps, "learning_rate": 1e-3, "seed": seed, "prompt": row["label_prompt"], "batch_size": 16}
    found = few_shot_table(
        clips, where, "mapper", str(where / "model"), [row["shots"]], row.get("draws", 5), progress=False, **how
    )
    return {"none": found.rows[0]["none_text"], "few": found.rows[0]["text"]}


def as_table(rows: Sequence[dict[str, Any]], figures: Sequence[dict[str, Any]]) -> str:
    """As the slides have it: a row a form of the model, a column a metric."""
    columns = {name: title for name, title in COLUMNS.items() if name in figures[0]}
    lines = [["experiment", *columns.values()], ["---"] * (1 + len(columns))]
    for row, found in zip(rows, figures, strict=True):
        cells = [found[name] for name in columns]
        lines.append([row["row"], *(cell if isinstance(cell, str) else f"{cell:.3f}" for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read_material(data: Path, made: Path | None, further: str | None) -> Material:
    """
    The clips, and what else there is to learn from.

    Raises:
        ValueError: `further` is no NAME=PATH, or something cannot be read.
    """
    clips, report = read_audio_folder(data)
    print(report)
    rows = captions = None
    if made is not None:
        rows, report = read_reasonaqa(made, data)
        print(report)
    if further is not None:
        layout, sign, path = further.partition("=")
        if not sign:
            raise ValueError(f"`--further` is {further!r}; expected NAME=PATH, as wavcaps=WavCaps.")
        captions, report = read_layout(layout, Path(path), None, None, "header")
        print(report)
    return Material(data, clips, rows, captions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="folder of files, one for each row")
    parser.add_argument("--data", type=Path, required=True, help="folder with metadata.csv: file_name, caption")
    parser.add_argument("--made", type=Path, help="train.json of `afm-hf make-data` on these clips, for tables of data")
    parser.add_argument("--further", help="NAME=PATH of a data set with captions, as wavcaps=WavCaps, for such tables")
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
    material = read_material(arguments.data, arguments.made, arguments.further)
    how = (arguments.steps, arguments.language_steps, arguments.seed)
    figures = [run_row(row, material, arguments.output, *how) for row in rows]
    table = as_table(rows, figures)
    (arguments.output / "table.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
