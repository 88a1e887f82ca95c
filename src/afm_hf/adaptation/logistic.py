"""Logistic regression on frozen features: what the linear probes have in common."""

import torch
from torch.nn import functional as F


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
    mean, scale = features.mean(dim=0), features.std(dim=0, correction=0).clamp(min=1e-6)
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


__all__ = ["fit_logistic"]
