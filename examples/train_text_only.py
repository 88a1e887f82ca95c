"""Training of a captioner without any audio: CLAP's text embeddings stand in for the audio's, with `Trainer`.

    python examples/train_text_only.py --output_dir text-only
    python examples/train_text_only.py --output_dir text-only --noise_variances 0 0.001 0.005 0.015 0.05
    python examples/train_text_only.py --output_dir text-only --captions captions.csv --column caption --adapter true
    python examples/train_text_only.py examples/configs/text_only.yaml

`--captions` is a text file with one caption a line, or a CSV file; without it, captions are made of the labels that
clap-small was trained on. The language model (with its words) is taken from `--language_model`: a causal language
model, or one of the bundled models that answer, and stands still; only the mapper learns. Of several
`--noise_variances` the one whose captioner names most labels of one half of `--sounds` is chosen, and figures are of
the other half. All arguments of `TrainingArguments` work, settings may come from a YAML or JSON file, and a run that
was stopped goes on from its newest complete checkpoint. The captioner is saved in the folder `captioner` of the
output.
"""

import copy
import csv
import itertools
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from recipes import parse, train_and_report
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    set_seed,
)

from afm_hf import bundled_model
from afm_hf.adaptation.text_only import (
    CaptionCollator,
    CaptionDataset,
    TextOnlyTraining,
    captioner_from_clap,
    modality_gap,
)

BUNDLED = ("clap-small", "pengi-small")
WORDS = (("low", "high"), ("quiet", "loud"), ("changing", "steady"), ("tonal", "noisy"), ("sparse", "busy"))
PAIRS_OF_WORDS = 12  # captions with two words, for each label


@dataclass
class TextOnlyArguments:
    """What is trained, and on what."""

    captions: str | None = field(default=None, metadata={"help": "text file, or CSV file with --column"})
    column: str = field(default="caption", metadata={"help": "column of the captions in a CSV file"})
    most_captions: int | None = field(default=None, metadata={"help": "a random choice of so many captions"})
    clap: str = field(default="clap-small", metadata={"help": "folder, Hub id, or clap-small"})
    language_model: str = field(default="pengi-small", metadata={"help": "folder, Hub id, or pengi-small"})
    noise_variances: list[float] = field(default_factory=lambda: [0.005], metadata={"help": "of the noise in training"})
    adapter: bool = field(default=False, metadata={"help": "learn a linear layer in front of the mapper"})
    prefix_length: int = field(default=8, metadata={"help": "vectors in front of the caption; the released one: 40"})
    mapper_layers: int = field(default=2, metadata={"help": "of the mapper; the released one: 8"})
    mapper_heads: int = field(default=4, metadata={"help": "of the mapper; the released one: 8"})
    sounds: str = field(default="examples/sounds", metadata={"help": "folder with metadata.csv, for testing by ear"})
    held_out: float = field(default=0.1, metadata={"help": "share of the captions for evaluation"})


@dataclass
class TextOnlyTrainingArguments(TrainingArguments):
    """Settings for a small set in place of the usual ones."""

    output_dir: str = "text-only"
    learning_rate: float = 1e-3
    lr_scheduler_type: str = "cosine"
    num_train_epochs: float = 15
    per_device_train_batch_size: int = 64
    per_device_eval_batch_size: int = 128
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    save_total_limit: int | None = 1
    logging_steps: float = 20
    remove_unused_columns: bool = False
    label_names: list[str] | None = field(default_factory=lambda: ["labels"])
    prediction_loss_only: bool = True
    report_to: str = "none"


def located(name: str) -> str:
    """Folder of a bundled model, or what was given."""
    return str(bundled_model(name)) if name in BUNDLED else name


def captions_of_labels(seed: int) -> list[str]:
    """Each label that clap-small was trained on, alone, with one word and with two: "rain, a quiet and busy sound"."""
    labels = json.loads((bundled_model("clap-small") / "training_labels.json").read_text())
    pairs = [pair for one, other in itertools.combinations(WORDS, 2) for pair in itertools.product(one, other)]
    generator, captions = random.Random(seed), []
    for label in sorted(labels):
        captions += [label, *(f"{label}, a {word} sound" for both in WORDS for word in both)]
        captions += [f"{label}, a {one} and {two} sound" for one, two in generator.sample(pairs, PAIRS_OF_WORDS)]
    return captions


def read_captions(settings: TextOnlyArguments, seed: int) -> tuple[list[str], list[str]]:
    """Captions for training and for evaluation; none is in both."""
    if settings.captions is None:
        captions = captions_of_labels(seed)
    elif settings.captions.endswith(".csv"):
        with open(settings.captions, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if settings.column not in (table.fieldnames or ()):
                raise ValueError(f"{settings.captions} has the columns {table.fieldnames}; `--column` names none.")
            captions = [row[settings.column] or "" for row in table]
    else:
        captions = Path(settings.captions).read_text(encoding="utf-8").splitlines()
    captions = sorted({caption.strip() for caption in captions} - {""})
    random.Random(seed).shuffle(captions)
    captions = captions[: settings.most_captions]
    count = round(settings.held_out * len(captions))
    if not 0 < count < len(captions):
        raise ValueError(f"{len(captions)} captions are too few to hold out a share of {settings.held_out}.")
    return captions[count:], captions[:count]


def load_language_model(name: str) -> tuple[Any, Any]:
    """A model with words and its tokenizer."""
    folder = located(name)
    if "afm" in AutoConfig.from_pretrained(folder).model_type:
        return AutoModelForMultimodalLM.from_pretrained(folder), AutoProcessor.from_pretrained(folder).tokenizer
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


class Ear:
    """Labelled clips that test whether a captioner names what it hears.

    Args:
        folder (`Path`): With `metadata.csv`: `file_name`, `label`, `caption`.
        seed (`int`): Of the choice of other clips.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: (row["label"], row["file_name"]))
        self.files = [str(folder / row["file_name"]) for row in rows]
        self.labels, self.captions = [row["label"] for row in rows], [row["caption"] for row in rows]
        generator = random.Random(seed)
        self.others = [generator.choice([j for j, x in enumerate(self.labels) if x != y]) for y in self.labels]
        self.halves = {"chosen by": range(0, len(rows), 2), "reported": range(1, len(rows), 2)}

    def captions_by(self, captioner: Any, processor: Any) -> list[str]:
        """What a captioner says about the clips."""
        inputs = processor(audio=self.files).to(captioner.device)
        said = captioner.generate(**inputs, max_new_tokens=24, do_sample=False)[:, inputs["input_ids"].shape[1] :]
        return processor.tokenizer.batch_decode(said, skip_special_tokens=True)

    def figures(self, said: list[str]) -> dict[str, dict[str, float]]:
        """For each half, per cent of clips whose caption names the label: their own, and that of another clip."""
        made = {}
        for name, half in self.halves.items():
            own = sum(self.labels[i] in said[i].lower() for i in half)
            swapped = sum(self.labels[i] in said[self.others[i]].lower() for i in half)
            most = max(sum(self.labels[i] == label for i in half) for label in set(self.labels))
            counts = {"named": own, "swapped": swapped, "trivial": most}
            made[name] = {key: round(100 * count / len(half), 1) for key, count in counts.items()}
        return made


@torch.no_grad()
def nearest_labels(clap: Any, processor: Any, ear: Ear) -> list[str]:
    """The label that CLAP finds nearest to each clip, of those of the clips; a bound for captions."""
    names = sorted(set(ear.labels))
    audio = clap.get_audio_features(**processor.feature_extractor(ear.files, return_tensors="pt")).pooler_output
    texts = processor(text=[f"This is a sound of {name}." for name in names], padding=True, return_tensors="pt")
    return [names[i] for i in (audio @ clap.get_text_features(**texts).pooler_output.T).argmax(1)]


def train_one(
    settings: TextOnlyArguments, arguments: Any, variance: float, parts: tuple[Any, ...], data: tuple[Any, Any]
) -> tuple[Any, Any]:
    """A captioner trained with one size of noise, and its processor."""
    set_seed(arguments.seed)
    sizes = {name: getattr(settings, name) for name in ("prefix_length", "mapper_layers", "mapper_heads")}
    captioner, processor = captioner_from_clap(*parts, **sizes)
    arguments = copy.copy(arguments)
    arguments.output_dir = str(Path(arguments.output_dir) / f"variance-{variance:g}")
    training = TextOnlyTraining(captioner, noise_std=variance**0.5, adapter=settings.adapter)
    trainer = Trainer(training, arguments, CaptionCollator(processor), train_dataset=data[0], eval_dataset=data[1])
    train_and_report(trainer)
    return training.finish(), processor


def main() -> None:
    settings, arguments = parse(TextOnlyArguments, TextOnlyTrainingArguments)
    texts = read_captions(settings, arguments.seed)
    print(f"{len(texts[0])} captions for training, {len(texts[1])} for evaluation, for example {texts[0][:2]}")
    folder = located(settings.clap)
    clap, clap_processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    data = tuple(CaptionDataset(clap, clap_processor, each) for each in texts)
    ear = Ear(Path(settings.sounds), arguments.seed)
    some = list(ear.halves["chosen by"])[:30]
    print(modality_gap(clap, clap_processor, [ear.files[i] for i in some], [ear.captions[i] for i in some]))
    print(f"nearest label by CLAP: {ear.figures(nearest_labels(clap, clap_processor, ear))}")

    best: tuple[float, Any, Any] = (-1.0, None, None)
    for variance in settings.noise_variances:
        parts = (clap, clap_processor, *load_language_model(settings.language_model))
        captioner, processor = train_one(settings, arguments, variance, parts, data)
        said = ear.captions_by(captioner, processor)
        figures = ear.figures(said)
        print(f"variance {variance:g}: {figures}; for example {said[:8:2]}", flush=True)
        if figures["chosen by"]["named"] > best[0]:
            best = (figures["chosen by"]["named"], variance, (captioner, processor))
    output = Path(arguments.output_dir) / "captioner"
    for part in best[2]:
        part.save_pretrained(output)
    print(f"variance {best[1]:g} names most on the first half; its captioner is in {output}")


if __name__ == "__main__":
    main()
