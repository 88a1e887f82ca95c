"""Short digests that tell whether items and weights are the same, wherever they lie."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from .task import Item

_LENGTH, _OF_A_TENSOR = 16, 64


def items_digest(items: Sequence[Item]) -> str:
    """Of names and truths of the items, in their order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps([item.id, item.truth], sort_keys=True, default=str).encode())
    return digest.hexdigest()[:_LENGTH]


def weights_digest(model: Any) -> str:
    """Of some numbers of every tensor of a model; nothing for what has no weights."""
    if not hasattr(model, "state_dict"):
        return ""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        flat = value.detach().flatten()
        some = flat[:: max(1, flat.numel() // _OF_A_TENSOR)].float().cpu().numpy()
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(some.tobytes())
    return digest.hexdigest()[:_LENGTH]


__all__ = ["items_digest", "weights_digest"]
