"""Training of the models that answer in words (CLAPCAP, Pengi, Mellow, ADIFF) with `Trainer` and PEFT.

    python examples/fresh_prefix_lm.py --architecture pengi --sounds examples/sounds --output pengi-fresh
    python examples/train_prefix_lm.py --model pengi-fresh --sounds examples/sounds --output_dir pengi --max_steps 60
    python examples/train_prefix_lm.py examples/configs/adiff_stage2.yaml
    torchrun --nproc_per_node 2 examples/train_prefix_lm.py --model pengi-fresh --sounds examples/sounds --use_cpu

`--train` says which parts learn: `audio` (the encoder; otherwise it really stands still), `prefix` (projections and
mappers), `language_model`. `--train prefix` alone is prefix tuning, all three are full fine-tuning; `--lora_r 8
--lora_alpha 16` puts LoRA on the attention of a language model that is not in `--train`. Data is `--sounds`, a folder
with `metadata.csv`, of which captions or (for models with two clips) differences are made, or `--data`, a JSON list of
rows `{"audio", "audio2", "prompt", "answer"}`. All arguments of `TrainingArguments` work; settings may come from a YAML
or JSON file; a run that was stopped goes on from its newest complete checkpoint.
"""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluate_tiny_clap import read_metadata
from train_clap import hold_out, parse, train_and_report
from transformers import AutoModelForMultimodalLM, AutoProcessor, Trainer, TrainingArguments

import afm_hf  # noqa: F401  (the Auto classes learn of the models)
from afm_hf.training.collators import PrefixLMCollator
from afm_hf.training.freezing import freeze

PARTS = ("audio", "prefix", "language_model")
CAPTION, DIFFERENCE = "generate audio caption", "explain the difference in few words"


@dataclass
class PrefixLMArguments:
    """What is trained, on what."""

    model: str = field(metadata={"help": "folder or Hub id"})
    sounds: str | None = field(default=None, metadata={"help": "folder with metadata.csv (file_name, caption)"})
    data: str | None = field(default=None, metadata={"help": "JSON list of rows; paths are relative to its folder"})
    train: list[str] = field(default_factory=lambda: ["prefix"], metadata={"help": f"what learns, of {PARTS}"})
    lora_r: int = field(default=0, metadata={"help": "rank of LoRA on the language model; 0 for none"})
    lora_alpha: float = field(default=16, metadata={"help": "LoRA's scale; the papers' pairs are (8, 16), (256, 512)"})
    position_captions: bool = field(default=True, metadata={"help": "ADIFF's extra task: caption one of two"})
    random_second_audio: bool = field(default=False, metadata={"help": "another clip beside single ones, as Mellow"})
    held_out: float = field(default=0.25, metadata={"help": "share of the clips for evaluation"})


@dataclass
class PrefixLMTrainingArguments(TrainingArguments):
    """Settings for a small set in place of the usual ones."""

    output_dir: str = "prefix-lm"
    learning_rate: float = 1e-3
    num_train_epochs: float = 20
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    save_total_limit: int | None = 2
    logging_steps: float = 10
    remove_unused_columns: bool = False
    label_names: list[str] | None = field(default_factory=lambda: ["labels"])
    prediction_loss_only: bool = True
    report_to: str = "none"


def captions(clips: list[dict[str, Any]], reads_prompt: bool) -> list[dict[str, Any]]:
    """Rows with one clip."""
    prompt = {"prompt": CAPTION} if reads_prompt else {}
    return [{"audio": clip["audio"], "answer": clip["caption"].lower(), **prompt} for clip in clips]


def differences(clips: list[dict[str, Any]], position_captions: bool, seed: int) -> list[dict[str, Any]]:
    """Rows with two clips: each clip with another one, and what the two are."""
    generator, rows = random.Random(seed), []
    for clip in clips:
        other = generator.choice([one for one in clips if one is not clip])
        pair = {"audio": clip["audio"], "audio2": other["audio"]}
        first, second = clip["caption"].lower().rstrip("."), other["caption"].lower().rstrip(".")
        rows.append({**pair, "prompt": DIFFERENCE, "answer": f"in the first {first}, in the second {second}."})
        if position_captions:
            rows.append({**pair, "prompt": "caption the first audio", "answer": f"the audio 1 is: {first}."})
            rows.append({**pair, "prompt": "caption the second audio", "answer": f"the audio 2 is: {second}."})
    return rows


def read_rows(settings: PrefixLMArguments, processor: Any, seed: int) -> tuple[list[dict], list[dict]]:
    """Rows for training and for evaluation, of different clips."""
    if (settings.sounds is None) == (settings.data is None):
        raise ValueError("Give either `--sounds` or `--data`.")
    if settings.data is not None:
        folder, rows = Path(settings.data).parent, json.loads(Path(settings.data).read_text(encoding="utf-8"))
        for row in rows:
            row |= {name: str(folder / row[name]) for name in ("audio", "audio2") if row.get(name)}
        return hold_out(rows, settings.held_out, seed)
    clips = [
        {**row, "audio": str(Path(settings.sounds or "") / row["file_name"])}
        for row in read_metadata(Path(settings.sounds or ""))
    ]
    parts = hold_out(clips, settings.held_out, seed)
    if processor.clips_per_example == 2 and not settings.random_second_audio:
        train, evaluation = (differences(part, settings.position_captions, seed) for part in parts)
    else:
        train, evaluation = (captions(part, hasattr(processor, "prompt_length")) for part in parts)
    return train, evaluation


def choose_what_learns(model: Any, settings: PrefixLMArguments) -> Any:
    """The model with the other parts frozen, wrapped by PEFT if there is LoRA."""
    if unknown := set(settings.train) - set(PARTS):
        raise ValueError(f"`--train` has {sorted(unknown)}; expected some of {PARTS}.")
    between = [name for name, _ in model.model.named_children() if name not in ("audio_tower", "language_model")]
    if "audio" not in settings.train:
        model.freeze_audio_tower()
    if "language_model" not in settings.train:
        model.freeze_language_model()
    if "prefix" not in settings.train:
        for name in between:
            freeze(getattr(model.model, name))
    if not settings.lora_r:
        return model
    if {"audio", "language_model"} & set(settings.train):
        raise ValueError("LoRA is for a frozen language model and encoder: leave both out of `--train`.")
    from peft import LoraConfig, get_peft_model

    where = r".*language_model\..*\.(c_attn|q_proj|v_proj)"  # GPT-2; Llama, as Mellow's authors
    kept = between if "prefix" in settings.train else None
    lora = LoraConfig(r=settings.lora_r, lora_alpha=settings.lora_alpha, lora_dropout=0.1, target_modules=where)
    lora.modules_to_save = kept
    return get_peft_model(model, lora)


def main() -> None:
    settings, arguments = parse(PrefixLMArguments, PrefixLMTrainingArguments)
    processor = AutoProcessor.from_pretrained(settings.model)
    model = choose_what_learns(AutoModelForMultimodalLM.from_pretrained(settings.model), settings)
    train, evaluation = read_rows(settings, processor, arguments.seed)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{len(train)} rows for training, {len(evaluation)} for evaluation, {learning} parameters learn")
    collator = PrefixLMCollator(processor, random_second_audio=settings.random_second_audio, seed=arguments.seed)
    trainer = Trainer(
        model, arguments, collator, train_dataset=train, eval_dataset=evaluation, processing_class=processor
    )
    train_and_report(trainer)
    if settings.lora_r and trainer.is_world_process_zero():
        merged = Path(arguments.output_dir) / "merged"  # an ordinary model, for those without PEFT
        trainer.model.merge_and_unload().save_pretrained(merged)
        processor.save_pretrained(merged)


if __name__ == "__main__":
    main()
