"""What the small models that answer in words know of a clip: what the frozen ears hear, its label, and measured facts.

A fact is measured on the log-mel that YAMNet is given (short clips are repeated there), is low or high in the outer
thirds of the training clips, and is not spoken of in between.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Fact:
    """The words for one measured fact: for low and high values, for "more", and how to ask for it."""

    low: str
    high: str
    more: str
    questions: tuple[str, ...]


FACTS = (
    Fact(
        "low",
        "high",
        "higher",
        (
            "is the sound high or low?",
            "is it a high or a low sound?",
            "is the pitch low or high?",
            "is the sound low or high?",
            "how high is the sound?",
        ),
    ),
    Fact(
        "quiet",
        "loud",
        "louder",
        (
            "is the sound loud or quiet?",
            "is it loud or quiet?",
            "is it a quiet or a loud sound?",
            "how loud is it?",
            "how loud is the sound?",
        ),
    ),
    Fact(
        "changing",
        "steady",
        "steadier",
        (
            "is the sound steady or changing?",
            "does the sound change, or is it steady?",
            "is it a changing or a steady sound?",
            "is the level steady or changing?",
        ),
    ),
    Fact(
        "tonal",
        "noisy",
        "noisier",
        (
            "is the sound noisy or tonal?",
            "is it tonal or noisy?",
            "is it noise or a tone?",
            "is it a noisy or a tonal sound?",
        ),
    ),
    Fact(
        "sparse",
        "busy",
        "busier",
        (
            "is the sound busy or sparse?",
            "is the rhythm sparse or busy?",
            "are there many hits or few?",
            "is it a busy or a sparse sound?",
        ),
    ),
)


def measure(mels: torch.Tensor) -> torch.Tensor:
    """Log-mels in dB `(clips, 1, frames, bands)` -> `(clips, 5)`, in the order of `FACTS`.

    The mean band of the energy; the mean level in dB; minus the deviation of the level over time (60 dB below its
    maximum counts as silence); the flatness over bands, in dB, where it is loud; the number of onsets, rises of the
    level by 8 dB within two frames.
    """
    power = (10 ** (mels[:, 0] / 10)).clamp(min=1e-10)  # (clips, frames, bands)
    bands = torch.arange(power.shape[-1], dtype=power.dtype)
    centre = (power.sum(1) * bands).sum(-1) / power.sum((1, 2))
    level = 10 * power.sum(-1).log10()  # (clips, frames) dB
    highest = level.amax(1, keepdim=True)
    heard = level.clamp(min=highest - 60)
    is_loud = level > highest - 20
    flatness = 10 * (power.log10().mean(-1) - power.mean(-1).log10())
    rise = heard[:, 2:] - heard[:, :-2]
    is_onset = (rise > 8) & (rise >= F.max_pool1d(rise[:, None], 5, 1, 2)[:, 0])
    return torch.stack(
        [
            centre,
            10 * power.sum(-1).mean(1).log10(),
            -heard.std(1),
            (flatness * is_loud).sum(1) / is_loud.sum(1),
            is_onset.sum(1).to(power.dtype),
        ],
        dim=1,
    )


def judge(values: torch.Tensor, thresholds: torch.Tensor) -> np.ndarray:
    """Measured values `(clips, facts)` and thresholds `(2, facts)` -> -1, 0 or 1."""
    return ((values > thresholds[1]).int() - (values < thresholds[0]).int()).numpy()


class Bank:
    """
    What is heard in many clips, their labels and facts.

    Args:
        heard (`torch.Tensor`): What the ear gives for each clip, `(clips, dim)`.
        labels (`np.ndarray`): Index of each clip's label, `(clips,)`, or of both for one sound after another,
            `(clips, 2)`.
        measured (`torch.Tensor`): Facts, `(clips, facts)`.
        names (`list[str]`): Names of the labels.
        like (`Bank`, *optional*): Whose thresholds hold; its own if not given.
    """

    def __init__(
        self,
        heard: torch.Tensor,
        labels: np.ndarray,
        measured: torch.Tensor,
        names: list[str],
        like: "Bank | None" = None,
    ) -> None:
        self.heard, self.labels, self.names = heard, labels, names
        self.quantiles = like.quantiles if like else torch.quantile(measured, torch.linspace(0, 1, 101), dim=0)
        self.thresholds = like.thresholds if like else torch.quantile(measured, torch.tensor([1 / 3, 2 / 3]), dim=0)
        self.facts = judge(measured, self.thresholds)  # (clips, facts)
        ranks = torch.searchsorted(self.quantiles.T.contiguous(), measured.T.contiguous()).T
        self.strength = np.abs(ranks.numpy() - 50)  # how unusual each fact is

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> str:
        """Label of one clip."""
        return self.names[self.labels[index]]

    def words(self, index: int, most: int = 2) -> list[str]:
        """The most unusual facts of a clip in words, in the order of `FACTS`."""
        known = [k for k in np.argsort(-self.strength[index], kind="stable") if self.facts[index, k]][:most]
        return [FACTS[k].high if self.facts[index, k] > 0 else FACTS[k].low for k in sorted(known)]
