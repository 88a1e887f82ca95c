"""Training of the models that answer in words (CLAPCAP, Pengi, Mellow, ADIFF) with `Trainer` and PEFT.

    python examples/fresh_prefix_lm.py --architecture pengi --data examples/sounds --output pengi-fresh
    python examples/train_prefix_lm.py --model pengi-fresh --data examples/sounds --output_dir pengi --max_steps 60
    python examples/train_prefix_lm.py --model mellow --dataset reasonaqa --data train.json --eval_data val.json
    python examples/train_prefix_lm.py --model pengi --dataset shards --data shards/pengi --output_dir pengi
    python examples/train_prefix_lm.py examples/configs/adiff_stage2.yaml
    torchrun --nproc_per_node 2 examples/train_prefix_lm.py --model pengi-fresh --data examples/sounds --use_cpu

`--train` says which parts learn: `audio` (the encoder; otherwise it really stands still), `prefix` (projections and
mappers), `language_model`. `--train prefix` alone is prefix tuning, all three are full fine-tuning; `--lora_r 8
--lora_alpha 16` puts LoRA on the attention of a language model that is not in `--train`. `--dataset` and what goes with
it is in recipes.py; of data with captions and no questions, captions or (for models with two clips) differences are
made. All arguments of `TrainingArguments` work; settings may come from a YAML or JSON file; a run that was stopped goes
on from its newest complete checkpoint.
"""

import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from recipes import DataArguments, changed, mixed_parts, parse, set_up_streams, size_of, train_and_report
from transformers import AutoModelForMultimodalLM, AutoProcessor, Trainer, TrainingArguments, set_seed

import afm_hf  # noqa: F401  (the Auto classes learn of the models)
from afm_hf.data import PromptSampler
from afm_hf.hub.loading import resolve_model
from afm_hf.training.collators import PrefixLMCollator
from afm_hf.training.freezing import freeze

PARTS = ("audio", "prefix", "language_model")
CAPTION, DIFFERENCE = "generate audio caption", "explain the difference in few words"


@dataclass
class PrefixLMArguments:
    """What is trained."""

    model: str = field(metadata={"help": "folder, Hub id, or a bundled model's name"})
    train: list[str] = field(default_factory=lambda: ["prefix"], metadata={"help": f"what learns, of {PARTS}"})
    lora_r: int = field(default=0, metadata={"help": "rank of LoRA on the language model; 0 for none"})
    lora_alpha: float = field(default=16, metadata={"help": "LoRA's scale; the papers' pairs are (8, 16), (256, 512)"})
    position_captions: bool = field(default=True, metadata={"help": "ADIFF's extra task: caption one of two"})
    random_second_audio: bool = field(default=False, metadata={"help": "another clip beside single ones, as Mellow"})
    label_prompt: str | None = field(
        default=None, metadata={"help": "ask this, and the clip's label is the answer: this emotion is (SELM)"}
    )
    paraphrase: bool = field(default=False, metadata={"help": "prompts in many wordings, as Mellow's and ADIFF's"})


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


def differences(data: Any, position_captions: bool, sampler: PromptSampler) -> list[dict[str, Any]]:
    """Rows with two clips: each clip with another one, and what the two are."""
    generator, rows = random.Random(sampler.seed), []
    for index, clip in enumerate(data):
        other = data[generator.choice([number for number in range(len(data)) if number != index])]
        texts = {"caption1": clip["captions"][0].lower(), "caption2": other["captions"][0].lower()}
        row = {"audio": clip["audio"], "audio2": other["audio"], "source": clip["source"], **texts}
        first, second = (text.rstrip(".") for text in texts.values())
        rows.append(
            {
                **row,
                "prompt": sampler(DIFFERENCE, row["source"]),
                "answer": f"in the first {first}, in the second {second}.",
            }
        )
        for which in ("first", "second") if position_captions else ():
            question = sampler.position(row, which)
            rows.append({**row, **question, "answer": question["answer"].lower()})
    return rows


def reworded(row: dict[str, Any], sampler: PromptSampler) -> dict[str, Any]:
    """The row with its prompt in a wording of the sampler's."""
    return {**row, "prompt": sampler(row["prompt"], row["source"])} if row.get("prompt") else row


def captioned(row: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    """A row with one clip, whose captions are answers."""
    made = {"audio": row["audio"], "answer": [text.lower() for text in row["captions"]]}
    return made if prompt is None else {**made, "prompt": prompt}


def labelled(row: dict[str, Any], prompt: str) -> dict[str, Any]:
    """A row with one clip, whose label is the answer."""
    return {"audio": row["audio"], "prompt": prompt, "answer": row["label"].lower()}


def make_rows(data: Any, settings: PrefixLMArguments, processor: Any, seed: int) -> Any:
    """Rows with prompts and answers: those of the data set, or made of its captions."""
    names, streamed = data.column_names, not hasattr(data, "__len__")
    sampler = PromptSampler(seed, canonical_share=0.25 if settings.paraphrase else 1.0)
    if "answer" in names:
        if "audio2" in names and processor.clips_per_example == 1 and streamed:
            data = data.filter(lambda row: row["audio2"] is None)
        elif "audio2" in names and processor.clips_per_example == 1:
            alone = [index for index, clip in enumerate(data["audio2"]) if clip is None]
            print(f"{len(data) - len(alone)} rows with two clips left out: {type(processor).__name__} takes one")
            data = data.select(alone)
        return changed(data, partial(reworded, sampler=sampler))
    if settings.label_prompt is not None:
        if "label" not in names:
            raise ValueError(f"`--label_prompt` needs clips with a `label`; the columns are {', '.join(names)}.")
        return changed(data, partial(labelled, prompt=settings.label_prompt))
    if "captions" not in names:
        raise ValueError(f"The data set has the columns {', '.join(names)}; expected `answer` or captions.")
    if processor.clips_per_example == 2 and not settings.random_second_audio:
        if streamed:
            raise ValueError("Differences are made of clips that are all there: write them as rows before the shards.")
        return differences(data, settings.position_captions, sampler)
    return changed(data, partial(captioned, prompt=CAPTION if hasattr(processor, "prompt_length") else None))


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
    settings, source, arguments = parse(PrefixLMArguments, DataArguments, PrefixLMTrainingArguments)
    folder = resolve_model(settings.model)
    processor = AutoProcessor.from_pretrained(folder)
    set_seed(arguments.seed)  # before the model is made: what LoRA adds, and what a checkpoint lacks, is random
    model = choose_what_learns(AutoModelForMultimodalLM.from_pretrained(folder), settings)
    make = partial(make_rows, settings=settings, processor=processor, seed=arguments.seed)
    train, evaluation = mixed_parts(source, arguments.seed, make)
    train, evaluation = set_up_streams(arguments, source, train, evaluation)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{size_of(train)} rows for training, {size_of(evaluation)} for evaluation, {learning} parameters learn")
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
