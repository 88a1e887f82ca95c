r"""Train the models that answer in words, pengi-small, adiff-small and mellow-small, on the ears of clap-small.

    python examples/train_small_answers.py --work work --clap clap-small --yamnet yamnet \
        --model pengi --output pengi-small      # or: adiff, mellow

`--work` and `--clap` are what `train_small_clap.py` has written: what the ears heard in the training clips, without
copies of test clips, and without the packages of the test clips of the same label. The ears (and CLAP's head) stay as
they are; mappers and a language model of four layers learn from scratch.

Mellow has to compare words of the question with what is heard, and did not learn it in thousands of steps from class
scores that are right in six of ten. So it begins with the truth in their place, which then fades (`--told`); each label
is one token; the vectors of a clip are first taught to point at the token of its label, and attention begins with what
is like. A run may go on from another; mellow-small was trained in three (its card says what differed):

    ... --model mellow --output first
    ... --model mellow --output second --start first --steps 3000 --told 0.35 0.5 --seed 1
    ... --model mellow --output mellow-small --start second --steps 2000 --told 0.35 0.5 --seed 2

`--validation` leaves out some packages of the training side and prints how many answers about their clips are right to
the letter, for choosing settings; they are heard through a head that has not heard them. Seeded, one thread.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from answers_facts import Bank
from answers_heard import Heard
from answers_models import (
    align,
    as_large_as_words,
    attend_to_likes,
    begin_labels,
    build,
    enlarge_words,
    loss_of,
    make_tokenizer,
)
from answers_tasks import AdiffTasks, MellowTasks, PengiTasks, Tasks, texts_of, told_at
from transformers import AutoTokenizer

STEPS = {"pengi": 3000, "adiff": 2000, "mellow": 5000}
RATES = {"pengi": 2e-3, "adiff": 2e-3, "mellow": 1e-3}


def make_tasks(kind: str, bank: Bank, sequences: Bank | None, clips: Heard, seed: int) -> Tasks:
    """The tasks of a model."""
    if sequences is not None:
        return MellowTasks(bank, sequences, clips.steps.shape[-2], seed)
    return (PengiTasks if kind == "pengi" else AdiffTasks)(bank, seed)


@torch.no_grad()
def validate(kind: str, model: torch.nn.Module, processor: object, tasks: Tasks, count: int = 64) -> None:
    """Print, for each kind of example, the share of answers that are right to the letter."""
    model.eval()
    figures = {}
    for name in tasks.shares:
        drawn = [example for example in (tasks.one(name) for _ in range(6 * count)) if example is not None]
        loss, right = loss_of(kind, model, processor, drawn, tasks.heard(drawn))
        figures[name] = f"{100 * right.float().mean():.1f} ({loss:.2f})"
        if name in ("is there", "is it", "before"):
            said_yes = [hit == (example.answer == "yes") for hit, example in zip(right.tolist(), drawn, strict=True)]
            figures[name] += f" yes {100 * np.mean(said_yes):.0f}"
    model.train()
    print("  right (loss): " + ", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


def train(args: argparse.Namespace) -> None:
    """Train one model and save it."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    steps = args.steps or STEPS[args.model]
    is_mellow = args.model == "mellow"
    clips = Heard(args.work, args.clap, args.yamnet, is_mellow, args.validation, args.seed)
    bank = clips.bank(args.bank)
    sequences = clips.sequence_bank(bank) if is_mellow else None
    print(f"{len(clips.train)} clips, {len(clips.names)} labels, {len(bank)} times heard", flush=True)
    tasks = make_tasks(args.model, bank, sequences, clips, args.seed)
    tokenizer = make_tokenizer(texts_of(tasks), clips.names if is_mellow else ())
    if args.start:  # what has been learned on other ears of the same kind, and its words
        tokenizer = AutoTokenizer.from_pretrained(args.start)
    model, processor = build(args.model, clips.clap, tokenizer, clips.classes)
    if args.start:
        begin_from(model, args.start)
    elif is_mellow:
        begin_labels(model, tokenizer, clips.names, clips.classes)
        enlarge_words(model)
        attend_to_likes(model)
        as_large_as_words(model)
        tokens = tokenizer.convert_tokens_to_ids(clips.names)
        align(model, model.get_input_embeddings().weight.detach()[tokens], bank, args.align, args.noise)
    print(f"{model.num_parameters() / 1e6:.2f} M parameters, {len(tokenizer)} tokens", flush=True)
    held = None
    if args.validation:
        held = make_tasks(args.model, clips.held_bank(bank), sequences, clips, 1)
        held.mixes = False

    spread = tasks.bank.heard.std(0)  # noise is told in units of this
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lr = args.lr or RATES[args.model]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.1)
    model.train()
    recent, start = [], time.process_time()
    for step in range(1, steps + 1):
        drawn = tasks.draw(args.batch, told_at(step, steps, *args.told))
        heard = tasks.heard(drawn)
        heard = heard + args.noise * spread * torch.randn_like(heard)
        loss, _ = loss_of(args.model, model, processor, drawn, heard)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 100 == 0:
            used = time.process_time() - start
            print(f"step {step}: loss {sum(recent[-100:]) / 100:.3f}, {used:.0f} CPU-s", flush=True)
        if held is not None and (step % 500 == 0 or step == steps):
            validate(args.model, model, processor, held)
        if step % 500 == 0 or step == steps:
            save(model, processor, bank, args.output)


def begin_from(model: torch.nn.Module, start: Path) -> None:
    """Take the weights that learn from another model; the ears and their head stay this one's."""
    weights = type(model).from_pretrained(start, dtype=torch.float32).state_dict()
    learned = {name: weights[name] for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.load_state_dict(learned, strict=False)


def save(model: torch.nn.Module, processor: object, bank: Bank, output: Path) -> None:
    """Model with matrices in half precision (it is loaded as float32), processor, and the thresholds of the facts."""
    weights = {name: value.half() if value.ndim > 1 else value for name, value in model.state_dict().items()}
    tied = {name: value.contiguous() for name, value in weights.items() if name != "lm_head.weight"}
    model.save_pretrained(output, state_dict=tied)
    processor.save_pretrained(output)
    facts = {"thresholds": bank.thresholds.T.tolist(), "labels": bank.names}
    (output / "training.json").write_text(json.dumps(facts, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of train_small_clap.py")
    parser.add_argument("--yamnet", type=Path, required=True, help="the converted YAMNet")
    parser.add_argument("--model", choices=list(STEPS), required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clap", type=Path, required=True, help="the trained CLAP, whose ears the model gets")
    parser.add_argument("--validation", action="store_true", help="hold out packages of the training side")
    parser.add_argument("--bank", type=int, default=16384, help="clips that are asked about, in their variants")
    parser.add_argument("--start", type=Path, help="a model to go on from, trained on other weights of the same ears")
    parser.add_argument("--steps", type=int, help=f"default: {STEPS}")
    parser.add_argument(
        "--told",
        type=float,
        nargs=2,
        default=(0.2, 0.35),
        metavar=("WHOLE", "UNTIL"),
        help="parts of the training for which the truth is heard, and in which it fades (by Mellow alone)",
    )
    parser.add_argument("--align", type=int, default=600, help="steps of the vectors of a clip alone, before")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, help=f"learning rate; default: {RATES}")
    parser.add_argument("--noise", type=float, default=0.5, help="on what is heard, in units of its deviation")
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
