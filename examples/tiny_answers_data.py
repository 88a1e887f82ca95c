"""What the tiny Pengi and ADIFF learn from: embeddings of real clips, measured facts, prompts and answers.

`Bank` runs augmented training clips through the frozen audio tower of clap-tiny, once, and measures two facts on what
the tower hears: brightness (the band in which the energy lies) and steadiness (how much the level changes). A fact is
low or high in the outer thirds of the training clips, and is not spoken of in between. `PengiTasks` and `AdiffTasks`
draw examples: prompts of the papers, answers made of labels and facts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

CAPTION, EVENT, METADATA = "generate audio caption", "this is a sound of", "generate metadata"
WHAT = ("what is the sound?", "what do you hear?", "which sound is this?", "what makes this sound?")
IS_THERE = ("is there {} in the audio?", "can you hear {}?", "does the audio contain {}?", "is this {}?")
BRIGHT = ("is the sound high or low?", "is it a high or a low sound?")
STEADY = ("is the sound steady or changing?", "does the sound change, or is it steady?")
TIERS = (
    "explain the difference in few words",
    "explain the difference in a sentence",
    "explain the difference in detail",
)
POSITIONS = ("caption the first audio", "caption the second audio", "caption both audios")


@dataclass
class Facts:
    """Measured facts of one clip: -1, 0 or 1 for low, in between, high."""

    bright: int
    steady: int

    @property
    def words(self) -> list[str]:
        """What is worth saying."""
        return [
            *({-1: ["low"], 1: ["high"]}.get(self.bright, [])),
            *({-1: ["changing"], 1: ["steady"]}.get(self.steady, [])),
        ]


def measure(mels: torch.Tensor) -> torch.Tensor:
    """Log-mels in dB `(clips, 1, frames, bands)` -> `(clips, 2)`: mean band and minus the level's change."""
    power = 10 ** (mels[:, 0] / 10)  # (clips, frames, bands)
    bands = torch.arange(power.shape[-1], dtype=power.dtype)
    centre = (power.sum(1) * bands).sum(-1) / power.sum((1, 2)).clamp(min=1e-12)
    level = 10 * power.sum(-1).clamp(min=1e-10).log10()  # (clips, frames) dB
    return torch.stack([centre, -level.clamp(min=level.amax(1, keepdim=True) - 60).std(1)], dim=1)


class Bank:
    """
    Embeddings, labels and facts of many augmented clips.

    Args:
        tower: `(clips, 1, frames, bands)` -> embeddings of length 1, `(clips, dim)`.
        batches: Gives augmented log-mels and label indices; see tiny_clap_data.py.
        labels (`list[str]`): Names of the labels.
        size (`int`): Clips to draw.
    """

    def __init__(self, tower: Any, batches: Any, labels: list[str], size: int) -> None:
        embeddings, targets, measured = [], [], []
        with torch.no_grad():
            for _ in range(size // 64):
                mels, target = batches(64)
                embeddings.append(tower(mels))
                targets.append(target)
                measured.append(measure(mels))
        self.names = labels
        self.embeddings = torch.cat(embeddings)
        self.labels = torch.cat(targets).numpy()
        values = torch.cat(measured)
        self.thresholds = torch.quantile(values, torch.tensor([1 / 3, 2 / 3]), dim=0)  # (2, facts)
        self.facts = self.judge(values)

    def judge(self, values: torch.Tensor) -> np.ndarray:
        """Measured values `(clips, 2)` -> -1, 0 or 1."""
        return judge(values, self.thresholds)

    def __len__(self) -> int:
        return len(self.labels)

    def fact(self, index: int) -> Facts:
        """Facts of one clip."""
        return Facts(*map(int, self.facts[index]))

    def label(self, index: int) -> str:
        """Label of one clip."""
        return self.names[self.labels[index]]


def judge(values: torch.Tensor, thresholds: torch.Tensor) -> np.ndarray:
    """Measured values `(clips, 2)` and thresholds `(2, 2)` -> -1, 0 or 1."""
    return ((values > thresholds[1]).int() - (values < thresholds[0]).int()).numpy()


def described(label: str, facts: Facts) -> str:
    """A clip in words: "cow mooing, a low and steady sound"."""
    words = facts.words
    if not words:
        return label
    return f"{label}, a {' and '.join(words)} sound"


class PengiTasks:
    """Draws prompts and answers about single clips."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank = bank
        self.rng = np.random.default_rng(seed)

    def one(self) -> tuple[int, str, str]:
        """Index of a clip, a prompt and its answer."""
        rng = self.rng
        index = int(rng.integers(len(self.bank)))
        label, facts = self.bank.label(index), self.bank.fact(index)
        kind = rng.random()
        if kind < 0.2:
            return index, CAPTION, described(label, facts)
        if kind < 0.35:
            return index, EVENT, label
        if kind < 0.42:
            return index, METADATA, ", ".join([label, *facts.words])
        if kind < 0.55:
            return index, f"question: {rng.choice(WHAT)}", label
        if kind < 0.85:
            there = rng.random() < 0.5
            other = self.bank.names[rng.integers(len(self.bank.names))]
            asked = label if there else other
            return index, f"question: {rng.choice(IS_THERE).format(asked)}", "yes" if asked == label else "no"
        questions, fact, answers = (
            (BRIGHT, facts.bright, ("low", "high"))
            if rng.random() < 0.5
            else (STEADY, facts.steady, ("changing", "steady"))
        )
        if fact == 0:
            return self.one()
        return index, f"question: {rng.choice(questions)}", answers[fact > 0]

    def __call__(self, size: int) -> tuple[torch.Tensor, list[str], list[str]]:
        """Embeddings `(size, dim)`, prompts and answers."""
        drawn = [self.one() for _ in range(size)]
        return self.bank.embeddings[[d[0] for d in drawn]], [d[1] for d in drawn], [d[2] for d in drawn]


def difference(tier: int, first: tuple[str, Facts], second: tuple[str, Facts]) -> str:
    """The answer to the prompt of a tier (0, 1 or 2)."""
    if tier == 0:
        return f"the first is {first[0]}, the second is {second[0]}."
    text = f"the first audio is {described(*first)}, while the second audio is {described(*second)}."
    if tier == 1:
        return text
    a, b = first[1], second[1]
    if a.bright != b.bright and 0 not in (a.bright, b.bright):
        text += f" the {'first' if a.bright > b.bright else 'second'} sounds higher."
    if a.steady != b.steady and 0 not in (a.steady, b.steady):
        text += f" the {'first' if a.steady > b.steady else 'second'} is steadier."
    return text


class AdiffTasks:
    """Draws prompts and answers about pairs of clips."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank = bank
        self.rng = np.random.default_rng(seed)

    def one(self) -> tuple[int, int, str, str]:
        """Indices of two clips, a prompt and its answer."""
        rng = self.rng
        indices = [int(i) for i in rng.integers(len(self.bank), size=2)]
        first, second = ((self.bank.label(i), self.bank.fact(i)) for i in indices)
        kind = rng.random()
        if kind < 0.75:
            tier = int(kind / 0.25)
            return *indices, TIERS[tier], difference(tier, first, second)
        position = int(rng.integers(3))
        texts = (
            f"the audio 1 is {described(*first)}",
            f"the audio 2 is {described(*second)}",
            f"the audio 1 is {described(*first)}. the audio 2 is {described(*second)}",
        )
        return *indices, POSITIONS[position], f"{texts[position]}."

    def __call__(self, size: int) -> tuple[torch.Tensor, list[str], list[str]]:
        """Embeddings `(size, 2, dim)`, prompts and answers."""
        drawn = [self.one() for _ in range(size)]
        pairs = torch.tensor([d[:2] for d in drawn])
        return self.bank.embeddings[pairs], [d[2] for d in drawn], [d[3] for d in drawn]


def texts_of(names: list[str]) -> list[str]:
    """Every kind of text once for every label, for the tokenizer."""
    facts = [Facts(b, s) for b in (-1, 0, 1) for s in (-1, 0, 1)]
    texts = [CAPTION, EVENT, METADATA, *TIERS, *POSITIONS, "yes", "no", "low", "high", "changing", "steady"]
    texts += [f"question: {question}" for question in (*WHAT, *BRIGHT, *STEADY)]
    for i, name in enumerate(names):
        texts += [f"question: {question.format(name)}" for question in IS_THERE]
        texts += [described(name, fact) for fact in facts]
        other = names[(7 * i + 3) % len(names)]
        texts += [difference(2, (name, facts[i % 9]), (other, facts[(i + 4) % 9])), f"the audio 1 is {name}."]
    return texts


def unit(embeddings: torch.Tensor) -> torch.Tensor:
    """Of length 1."""
    return F.normalize(embeddings, dim=-1)
