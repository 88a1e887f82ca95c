"""Train the bundled models that answer in words, pengi-tiny, adiff-tiny and mellow-tiny, on the ear of clap-tiny.

    python examples/train_tiny_answers.py --work work --model pengi --output pengi-tiny
    python examples/train_tiny_answers.py --work work --model adiff --output adiff-tiny --steps 2000
    python examples/train_tiny_answers.py --work work --model mellow --output mellow-tiny

`--work` is what `train_tiny_clap.py --stage prepare` has written: log-mels of training clips, without copies of test
clips, and without the packages of the test clips of the same label. The audio tower (and its projection, for Pengi and
ADIFF) is clap-tiny's and stays as it is; mappers and a language model of four layers learn from scratch.

`--validation` leaves out some packages of the training side and prints how many answers about their clips are right to
the letter, for choosing settings; `--clap` must then be a model trained with `train_tiny_clap.py --validation`, which
has not heard them either. Seeded, one thread.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from tiny_answers_facts import Bank, fill, one_after_another, unit, with_class_head
from tiny_answers_models import build, loss_of, make_tokenizer
from tiny_answers_tasks import AdiffTasks, MellowTasks, PengiTasks, Tasks, texts_of
from tiny_clap_data import Batches, load_prepared
from train_tiny_clap import split_rows
from transformers import AutoModel

from afm_hf import ClapAfmModel, bundled_model

STEPS = {"pengi": 3000, "adiff": 2000, "mellow": 3000}


class Clips:
    """The clips of the work folder and the ear that hears them: banks for training and validation."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.kind = args.model
        rows, self.mels, _, test_mels = load_prepared(args.work)
        self.frames = test_mels.shape[2]
        self.train, self.held = split_rows(argparse.Namespace(validation=args.validation, unseen=()), rows)
        self.names = sorted({rows[i]["label"] for i in self.train})
        self.labels = [self.names.index(row["label"]) if row["label"] in self.names else -1 for row in rows]
        self.batches = Batches(rows, self.mels, self.train, self.labels, self.frames, args.seed, strength=0.6)
        self.clap: ClapAfmModel = AutoModel.from_pretrained(args.clap).eval()
        self.tower = None
        if self.kind == "mellow":
            latent = fill(lambda x: self.clap.audio_model(x).pooler_output, lambda: self.draw(64), self.names, 200)
            self.tower = with_class_head(self.clap, latent.heard, latent.labels, len(self.names))

    def ear(self, mels: torch.Tensor) -> torch.Tensor:
        """CLAP's embeddings, or for Mellow class probabilities and the last feature map; `(clips, dim)`."""
        if self.tower is None:
            return unit(self.clap.get_audio_features(mels).pooler_output)
        heard = self.tower(mels)
        return torch.cat([heard.clipwise_output, heard.last_hidden_state.flatten(1)], dim=1)

    def draw(self, size: int) -> tuple[torch.Tensor, np.ndarray]:
        """Augmented training clips."""
        mels, target = self.batches(size)
        return mels, target.numpy()

    def bank(self, size: int) -> Bank:
        """Of single training clips."""
        return fill(self.ear, lambda: self.draw(64), self.names, size // 64)

    def sequences(self, size: int, like: Bank) -> Bank:
        """Of one training sound after another."""
        return fill(self.ear, lambda: one_after_another(*self.draw(128)), self.names, size // 64, like)

    def held_bank(self, like: Bank) -> Bank:
        """Of the validation clips as they are."""
        mels = torch.stack([self.mels[f"{i}-1.0"][: self.frames].float() for i in self.held])[:, None]
        return fill(self.ear, lambda: (mels, np.array([self.labels[i] for i in self.held])), self.names, 1, like)

    def held_sequences(self, like: Bank) -> Bank:
        """Of one validation sound after another."""
        chosen = np.random.default_rng(0).permutation(np.array(self.held).repeat(2))
        mels = torch.stack([self.mels[f"{i}-1.0"][: self.frames].float() for i in chosen])[:, None]
        labels = np.array([self.labels[i] for i in chosen])
        return fill(self.ear, lambda: one_after_another(mels, labels), self.names, 1, like)


def make_tasks(kind: str, bank: Bank, sequences: Bank | None, seed: int) -> Tasks:
    """The tasks of a model."""
    if sequences is not None:
        return MellowTasks(bank, sequences, seed)
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
    clips = Clips(args)
    bank = clips.bank(args.bank)
    sequences = clips.sequences(args.bank // 2, bank) if args.model == "mellow" else None
    print(f"{len(clips.train)} clips, {len(clips.names)} labels, {len(bank)} times heard", flush=True)
    tasks = make_tasks(args.model, bank, sequences, args.seed)
    tokenizer = make_tokenizer(texts_of(tasks))
    model, processor = build(args.model, clips.clap, clips.tower, tokenizer)
    print(f"{model.num_parameters() / 1e6:.2f} M parameters, {len(tokenizer)} tokens", flush=True)
    held = None
    if args.validation:
        held_bank = clips.held_bank(bank)
        held_sequences = clips.held_sequences(bank) if sequences is not None else None
        held = make_tasks(args.model, held_bank, held_sequences, 1)

    spread = tasks.bank.heard.std(0)  # noise is told in units of this
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, steps, pct_start=0.1)
    model.train()
    recent, start = [], time.process_time()
    for step in range(1, steps + 1):
        drawn = tasks.draw(args.batch)
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
    parser.add_argument("--work", type=Path, required=True, help="folder of train_tiny_clap.py --stage prepare")
    parser.add_argument("--model", choices=list(STEPS), required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clap", type=Path, default=bundled_model("clap-tiny"), help="whose ear; the bundled one's")
    parser.add_argument("--validation", action="store_true", help="hold out packages of the training side")
    parser.add_argument("--bank", type=int, default=20480, help="augmented clips")
    parser.add_argument("--steps", type=int, help=f"default: {STEPS}")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--noise", type=float, default=0.5, help="on what is heard, in units of its deviation")
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
