"""Logistic regression on frozen features: what the linear probes have in common."""

import torch
from torch.nn import functional as F

LEAST_SPREAD = 0.1  # of the root mean square over all features


def _spread(features: torch.Tensor) -> torch.Tensor:
    """Standard deviation of each feature, not below a share of the usual one.

    Of few examples some features are all but constant, as embeddings behind a ReLU are; divided by their own deviation
    they would be enormous in the next clip.
    """
    spread = features.std(dim=0, correction=0)
    return spread.clamp(min=max(1e-6, LEAST_SPREAD * float(spread.square().mean().sqrt())))


def fit_logistic(
    features: torch.Tensor, targets: torch.Tensor, classes: int, l2: float, steps: int
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """
    Multinomial logistic regression by L-BFGS, from zero.

    The features are standardised for the fit, so that `l2` means the same for every encoder; this is folded into the
    weights that are returned.

    Args:
        features (`torch.Tensor`): float32 `(examples, features)`.
        targets (`torch.Tensor`): int64 `(examples,)`, the class of each.
        classes (`int`): How many classes there are.
        l2 (`float`): Weight decay, as in the mean cross-entropy plus `l2 / 2 * |W|^2`.
        steps (`int`): Most steps.

    Returns:
        Weights `(classes, features)` and bias `(classes,)` for the features as they came; the loss of every evaluation.
    """
    mean, scale = features.mean(dim=0), _spread(features)
    standardised = (features - mean) / scale
    weight = torch.zeros(classes, features.shape[1], device=features.device, requires_grad=True)
    bias = torch.zeros(classes, device=features.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")
    losses: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = F.linear(standardised, weight, bias)  # (examples, classes)
        loss = F.cross_entropy(logits, targets) + l2 / 2 * weight.square().sum()
        loss.backward()
        losses.append(float(loss.detach()))
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    raw = (weight / scale).detach()
    return raw, (bias - raw @ mean).detach(), losses


def fit_logistic_tags(
    features: torch.Tensor, targets: torch.Tensor, l2: float, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    A logistic regression for each tag, by L-BFGS, from zero; features are standardised as in [`fit_logistic`].

    Args:
        features (`torch.Tensor`): float32 `(examples, features)`.
        targets (`torch.Tensor`): float32 `(examples, tags)`, 1 for each tag of an example.
        l2 (`float`): Weight decay, as in the mean cross-entropy of each tag plus `l2 / 2 * |w|^2`.
        steps (`int`): Most steps.

    Returns:
        Weights `(tags, features)` and bias `(tags,)` for the features as they came.
    """
    mean, scale = features.mean(dim=0), _spread(features)
    standardised = (features - mean) / scale
    weight = torch.zeros(targets.shape[1], features.shape[1], device=features.device, requires_grad=True)
    bias = torch.zeros(targets.shape[1], device=features.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = F.linear(standardised, weight, bias)  # (examples, tags)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=0).sum()
        loss = loss + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    raw = (weight / scale).detach()
    return raw, (bias - raw @ mean).detach()


__all__ = ["fit_logistic", "fit_logistic_tags"]
