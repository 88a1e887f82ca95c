"""The head of the small CLAP: its training on what frozen ears have heard, and its figures.

The ears' embeddings of a clip go through the audio projection, and are compared with the texts of all labels.
"""

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from clap_text import TEMPLATES
from evaluate_small_clap import TEMPLATE
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedTokenizerBase

from afm_hf import ClapAfmModel

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


def split_rows(args: argparse.Namespace, rows: list[dict]) -> tuple[list[int], list[int]]:
    """Indices of (training, validation) rows; validation keeps to labels that training has."""
    usable = [i for i, row in enumerate(rows) if not row["copy"] and row["label"] not in args.unseen]
    if not args.validation:
        return usable, []
    train = [i for i in usable if rows[i]["source"] not in VALIDATION_PACKAGES]
    known = {rows[i]["label"] for i in train}
    held = [i for i in usable if rows[i]["source"] in VALIDATION_PACKAGES and rows[i]["label"] in known]
    return train, held


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


class Draws:
    """Clips drawn with the power 0.35 of their label's size, 0.5 of their package's within it; a variant of each."""

    def __init__(self, rows: list[dict], index: list[int], labels: list[int], variants: int, seed: int) -> None:
        self.index, self.labels, self.variants = np.array(index), np.array(labels), variants
        self.rng = np.random.default_rng(seed)
        groups: dict[int, dict[str, list[int]]] = {}
        for i in index:
            groups.setdefault(labels[i], {}).setdefault(rows[i]["source"], []).append(i)
        weight = dict.fromkeys(index, 0.0)
        for sources in groups.values():
            share = sum(map(len, sources.values())) ** 0.35
            total = sum(len(clips) ** 0.5 for clips in sources.values())
            for clips in sources.values():
                for i in clips:
                    weight[i] = share * len(clips) ** 0.5 / total / len(clips)
        weights = np.array([weight[i] for i in index])
        self.probability = weights / weights.sum()

    def __call__(self, size: int) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """(clips, variants, labels) of a batch."""
        chosen = self.rng.choice(self.index, size, p=self.probability)
        return chosen, self.rng.integers(0, self.variants, size), torch.from_numpy(self.labels[chosen])


def class_names(args: argparse.Namespace) -> list[str]:
    """AudioSet's 521 names, in lower case."""
    names = AutoConfig.from_pretrained(args.yamnet).id2label
    return [names[index].lower() for index in range(len(names))]


@dataclass
class Lesson:
    """What a head is trained on: the rows' labels, what was heard, and what YAMNet says.

    Args:
        rows (`list[dict]`): All training rows.
        train (`list[int]`): Those whose labels are learned.
        unlabelled (`list[int]`): Those of which only what YAMNet says is learned.
        labels (`list[int]`): Index of each row's label in `bank`.
        bank (`list[str]`): The labels.
        heard (`torch.Tensor`): Standardised embeddings of the ears, `(rows, variants, 1536)`.
        likely (`torch.Tensor`): YAMNet's probabilities, which sum up to 1, `(rows, variants, 521)`.
    """

    rows: list[dict]
    train: list[int]
    unlabelled: list[int]
    labels: list[int]
    bank: list[str]
    heard: torch.Tensor
    likely: torch.Tensor


def lessons_of_yamnet(scores: torch.Tensor, train: list[int], common: float) -> torch.Tensor:
    """YAMNet's probabilities as distributions: `(clips, variants, classes)`, which sum up to 1.

    Most clips are some "Music", "Vehicle" or "Animal" to YAMNet. So that a guitar is taught as a guitar, each class is
    divided by a power of its mean probability.

    Args:
        scores (`torch.Tensor`): YAMNet's probabilities, each by itself.
        train (`list[int]`): Clips whose mean is taken.
        common (`float`): The power; 0 leaves the probabilities as they are.
    """
    shares = scores / scores.sum(-1, keepdim=True).clamp(min=1e-6)
    shares = shares / shares[train].mean((0, 1)).clamp(min=1e-4) ** common
    return shares / shares.sum(-1, keepdim=True).clamp(min=1e-6)


def mixed(lesson: Lesson, draws: Draws, args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch of what was heard, its labels `(batch, labels)` and YAMNet's probabilities; two by two mixed (mixup)."""
    clips, variants, index = draws(args.batch)
    target = F.one_hot(index, len(lesson.bank)).float()
    if lesson.unlabelled:  # further clips, without labels
        more = draws.rng.choice(lesson.unlabelled, args.batch // 6)
        clips = np.concatenate([clips, more])
        variants = np.concatenate([variants, draws.rng.integers(0, draws.variants, len(more))])
        target = F.pad(target, (0, 0, 0, len(more)))
    heard, likely = lesson.heard[clips, variants], lesson.likely[clips, variants]
    if not args.mix:
        return heard, target, likely
    shares = torch.from_numpy(draws.rng.beta(args.mix, args.mix, len(clips))).float()[:, None]
    shares, partners = torch.maximum(shares, 1 - shares), torch.randperm(len(clips))
    return tuple(shares * each + (1 - shares) * each[partners] for each in (heard, target, likely))


def contrastive(audio: torch.Tensor, text: torch.Tensor, target: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Audio against all labels (smoothed), plus half of: each label in the batch against the clips that have it.

    Args:
        audio (`torch.Tensor`): Of length 1, `(batch, dim)`.
        text (`torch.Tensor`): Of length 1, `(labels, dim)`.
        target (`torch.Tensor`): Shares of the labels in each clip, `(batch, labels)`; 0 for clips without label.
        scale (`torch.Tensor`): Of the cosines.
    """
    logits = scale * audio @ text.T  # (batch, labels)
    weight = target.sum(1)
    smooth = 0.9 * target + 0.1 * weight[:, None] / target.shape[1]
    to_text = -(smooth * F.log_softmax(logits, dim=1)).sum() / weight.sum()
    present = target.amax(0) > 0.5
    positive = target.T[present]
    to_audio = -(positive * F.log_softmax(logits.T[present], dim=1)).sum(1) / positive.sum(1)
    return to_text + 0.5 * to_audio.mean()


def fit(
    args: argparse.Namespace,
    model: ClapAfmModel,
    tokenizer: PreTrainedTokenizerBase,
    lesson: Lesson,
    trains_text: bool = True,
) -> None:
    """Contrastive training of the audio projection (and, slowly, of the text projection); averaged weights stay."""
    texts, classes = TextBank(model, tokenizer, lesson.bank), TextBank(model, tokenizer, class_names(args))
    for part in (model.text_model, model.audio_model):
        part.requires_grad_(False)
    model.text_projection.requires_grad_(trains_text)
    slow = list(model.text_projection.parameters()) if trains_text else []
    fast = [*model.audio_projection.parameters(), model.logit_scale]
    groups = [{"params": fast, "lr": args.lr}, {"params": slow, "lr": args.lr * args.text_lr_factor}]
    optimizer = torch.optim.AdamW(groups, weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], args.steps, pct_start=0.1)
    average = {name: value.clone() for name, value in model.audio_projection.state_dict().items()}
    draws = Draws(lesson.rows, lesson.train, lesson.labels, lesson.heard.shape[1], args.seed)
    start, losses = time.process_time(), []
    print(f"{len(lesson.train)} clips, {len(lesson.bank)} labels", flush=True)
    for step in range(1, args.steps + 1):
        model.audio_projection.train()
        x, target, likely = mixed(lesson, draws, args)
        audio = F.normalize(model.audio_projection(x + args.noise * torch.randn_like(x)), dim=-1)
        text, moved = texts.draw(model)
        names, moved_names = classes.draw(model)
        scale = model.logit_scale.clamp(max=math.log(50)).exp()
        loss = contrastive(audio, text, target, scale)
        losses.append(loss.item())
        taught = F.kl_div(F.log_softmax(scale * audio @ names.T, dim=-1), likely, reduction="batchmean")
        loss = loss + args.taught * taught + args.stay * (moved + moved_names)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(fast + slow, 1.0)
        optimizer.step()
        schedule.step()
        keep = min(args.average, step / (step + 10))
        for name, value in model.audio_projection.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        if step % 250 == 0:
            seconds = time.process_time() - start
            print(f"step {step}: loss {np.mean(losses[-250:]):.3f}, taught {taught.item():.3f}, {seconds:.0f} CPU-s")
    model.audio_projection.load_state_dict(average)
    model.audio_projection.eval()


@torch.inference_mode()
def matrix_of(
    model: ClapAfmModel, tokenizer: PreTrainedTokenizerBase, heard: torch.Tensor, labels: list[str]
) -> torch.Tensor:
    """`(clips, labels)` cosines of embeddings of the ears that are standardised."""
    model.eval()
    audio = F.normalize(model.audio_projection(heard), dim=-1)
    texts = tokenizer([TEMPLATE.format(label) for label in labels], padding=True, return_tensors="pt")
    return audio @ model.get_text_features(**texts).pooler_output.T
