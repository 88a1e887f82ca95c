"""
Fits a [`Calibration`] of a CLAP on labelled clips: probabilities of labels, and of none of them.

The clips must be none that the model learned: of those it is surer than of new ones. How well it holds for labels that
were not among them, `examples/calibration.py` measures: it fits on one half of the labels and looks at the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..models.clap_afm.background_clap_afm import EVERYDAY_SOUNDS
from ..models.clap_afm.calibration_clap_afm import FALSE_ACCEPT_RATES, Calibration
from ..models.clap_afm.embedding_clap_afm import (
    DEFAULT_TEMPLATE,
    as_labels,
    as_templates,
    embed_audio,
    embed_labels,
    extract_features,
)
from ..models.common.batch_afm import AfmBatchFeature
from ..models.common.fingerprint_afm import weights_fingerprint
from ..models.common.results_afm import settings_of

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
LEAST_CLIPS = 20
RIDGE = 1e-3  # of the weights, for similarities that part the clips wholly
STEPS = 100
SIZES = (2, 5, 10, 20, 50)  # sets of labels that bars are found with
DRAWS = 20  # of such sets, for each clip


@dataclass(frozen=True)
class LabelledCosines:
    """
    Cosines of clips whose labels are known.

    Attributes:
        labels: float64 `(clips, labels)`.
        everyday: Of the everyday sounds, `(clips, sounds)`.
        heard: Whether each label is heard in each clip, bool `(clips, labels)`; no label of a clip: none of them.
    """

    labels: Floats
    everyday: Floats
    heard: Truths

    def of(self, clips: Any = slice(None), labels: Any = slice(None)) -> "LabelledCosines":
        """A part of the clips and of the labels."""
        return LabelledCosines(self.labels[clips][:, labels], self.everyday[clips], self.heard[clips][:, labels])


@torch.no_grad()
def fit_calibration(
    model: Any,
    processor: Any,
    clips: Sequence[Any],
    labels: Sequence[str | Sequence[str] | None],
    *,
    hypothesis_template: str | Sequence[str] = DEFAULT_TEMPLATE,
    truncation: str | None = None,
    none_share: float = 0.5,
    seed: int = 0,
) -> Calibration:
    """
    Fits a calibration on clips that the model was not trained on.

    Args:
        model ([`ClapAfmModel`]): The model, in the number format in which it will be used.
        processor ([`ClapAfmProcessor`]): Its processor.
        clips (`list`): Clips, whatever [`load_audio`] takes.
        labels (`list`): Of each clip its label, a list of labels, or `None` for a clip that holds none of all these.
        hypothesis_template (`str` or `list[str]`): As of the pipeline; the calibration holds for these alone.
        truncation (`str`, *optional*): What of a long clip is heard; the feature extractor's own setting if not given.
        none_share (`float`): See [`Calibration`]; can be changed later.
        seed (`int`): Of the sets of labels that bars are found with.

    Raises:
        AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
        ValueError: there are too few clips or labels, or the model cannot tell labels that are heard from others.

    Example:
    ```python
    from afm_hf.adaptation.calibration import fit_calibration

    calibration = fit_calibration(model, processor, clips, labels)
    calibration.save("calibration.json")
    ```
    """
    templates = as_templates(hypothesis_template)
    names = as_labels(dict.fromkeys(name for each in labels for name in _several(each)))
    cosines = labelled_cosines(model, processor, clips, labels, names, templates, truncation)
    return calibrate(
        cosines,
        seed,
        templates=list(templates),
        truncation=truncation,
        fingerprint=weights_fingerprint(model, processor.feature_extractor),
        labels=list(names),
        none_share=none_share,
        settings=settings_of(model, dtype=str(model.dtype).removeprefix("torch."), seed=seed),
    )


@torch.no_grad()
def labelled_cosines(
    model: Any,
    processor: Any,
    clips: Sequence[Any],
    labels: Sequence[str | Sequence[str] | None],
    names: Sequence[str],
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    truncation: str | None = None,
) -> LabelledCosines:
    """
    The cosines that a calibration is fitted on, or looked at.

    Args:
        model, processor, clips, labels, truncation: See [`fit_calibration`].
        names (`list[str]`): All labels.
        templates (`list[str]`): The sentences.

    Raises:
        ValueError: there are not as many labels as clips.
    """
    if len(clips) != len(labels):
        raise ValueError(f"There are {len(clips)} clips and {len(labels)} labels; expected one entry for each clip.")
    audio = torch.cat([_embed(model, processor.feature_extractor, clip, truncation) for clip in clips])  # (clips, dim)
    texts = embed_labels(model, processor.tokenizer, [*names, *EVERYDAY_SOUNDS], templates)
    cosines = (audio @ texts.to(audio.device).t()).double().cpu().numpy()
    heard = np.array([[name in _several(each) for name in names] for each in labels], dtype=bool)
    return LabelledCosines(cosines[:, : len(names)], cosines[:, len(names) :], heard)


def _embed(model: Any, extractor: Any, clip: Any, truncation: str | None) -> torch.Tensor:
    features = AfmBatchFeature(dict(extract_features(extractor, clip, None, truncation)))
    return embed_audio(model, dict(features.to(model.device, model.dtype)))


def _several(label: str | Iterable[str] | None) -> list[str]:
    if label is None:
        return []
    return [label] if isinstance(label, str) else list(label)


def calibrate(cosines: LabelledCosines, seed: int = 0, **about: Any) -> Calibration:
    """
    The calibration of some cosines.

    Args:
        cosines ([`LabelledCosines`]): Of the validation set.
        seed (`int`): Of the sets of labels that bars are found with.
        about: The other fields of [`Calibration`].

    Raises:
        ValueError: there are too few clips or labels, or labels that are heard have no higher cosines than others.
    """
    clips, labels = cosines.heard.shape
    alone = ~cosines.heard.any(axis=1)
    if clips < LEAST_CLIPS or labels < 2 or not cosines.heard.any():
        raise ValueError(
            f"There are {clips} clips, {int(alone.sum())} of them without a label, and {labels} labels; a calibration "
            f"needs {LEAST_CLIPS} clips or more and 2 labels or more."
        )
    margins = cosines.labels - cosines.everyday.max(axis=1, keepdims=True)
    cosine, margin, bias = _fit(np.stack([cosines.labels.ravel(), margins.ravel()], axis=1), cosines.heard.ravel())
    if cosine + margin <= 0:
        raise ValueError(
            "Labels that are heard have no higher cosines than others: the model does not hear these sounds, or the "
            "labels do not belong to the clips."
        )
    about = {"templates": [DEFAULT_TEMPLATE], "truncation": None, "fingerprint": "", "labels": [], **about}
    found = Calibration(
        cosine=cosine, margin=margin, bias=bias, bars={}, clips=clips, none_clips=int(alone.sum()), **about
    )
    _, without = trials(found, cosines, seed)
    rejected = np.concatenate([shares[:, -1] for shares in without.values()])
    found.bars = {f"{rate:g}": float(np.quantile(rejected, rate)) for rate in FALSE_ACCEPT_RATES}
    return found


def _fit(features: Floats, heard: Truths) -> tuple[float, ...]:
    """Weights and bias of a logistic regression in which what is heard and what is not weigh the same (Newton)."""
    columns = np.column_stack([features, np.ones(len(features))])
    weights = np.where(heard, 0.5 / heard.sum(), 0.5 / (~heard).sum())
    ridge = np.diag([RIDGE * 0.01] * features.shape[1] + [0.0])
    solution = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(columns @ solution, -30, 30)))
        slope = columns.T @ (weights * (chance - heard)) + ridge @ solution
        curve = (columns * (weights * chance * (1 - chance))[:, None]).T @ columns + ridge
        step = np.linalg.lstsq(curve, slope, rcond=None)[0]
        solution -= step * min(1.0, 10 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return tuple(float(value) for value in solution)


def trials(
    calibration: Calibration, cosines: LabelledCosines, seed: int = 0, sizes: Sequence[int] = SIZES
) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """
    Sets of labels that are offered to clips: with one that is heard, and without any.

    Args:
        calibration ([`Calibration`]): What makes probabilities of them.
        cosines ([`LabelledCosines`]): Of clips and labels.
        seed (`int`): Of the draws.
        sizes (`list[int]`): How many labels are offered; larger sets than there are labels are left out.

    Returns:
        Two tables by size: probabilities `(trials, size + 1)`, that of none at the end; in the first, the label that is
        heard comes first. Each clip has as many trials.
    """
    generator = np.random.default_rng(seed)
    odds = _log_odds(calibration, cosines)
    others = [np.flatnonzero(~row) for row in cosines.heard]
    own = [np.flatnonzero(row) for row in cosines.heard]
    most = min(len(row) for row in others)
    present: dict[int, Floats] = {}
    absent: dict[int, Floats] = {}
    for size in [size for size in sizes if size <= most] or [most]:
        hits, misses = [], []
        for row, mine, rest in zip(odds, own, others, strict=True):
            for _ in range(DRAWS):
                drawn = generator.choice(rest, size, replace=False)
                misses.append(row[drawn])
                if len(mine):
                    hits.append(row[[generator.choice(mine), *drawn[1:]]])
        absent[size] = _shares(calibration, misses)
        present[size] = _shares(calibration, hits)
    return present, absent


def _log_odds(calibration: Calibration, cosines: LabelledCosines) -> Floats:
    odds = calibration.log_odds(torch.from_numpy(cosines.labels), torch.from_numpy(cosines.everyday))
    return odds.double().numpy()


def _shares(calibration: Calibration, rows: list[Floats]) -> Floats:
    return calibration.shares(torch.from_numpy(np.stack(rows))).double().numpy() if rows else np.zeros((0, 1))


def calibration_error(probabilities: Floats, truths: Truths, bins: int = 10) -> float:
    """
    Expected calibration error: how far the mean probability is from the share that is true, over bins of equal width.

    Args:
        probabilities: 0 to 1.
        truths: Whether each came true.
        bins: How many.
    """
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(places, probabilities - truths, minlength=bins)
    return float(np.abs(gaps).sum() / len(probabilities))


__all__ = ["LabelledCosines", "calibrate", "calibration_error", "fit_calibration", "labelled_cosines", "trials"]
