"""Fingerprints of a model that embeds: same fingerprint, same embeddings."""

import hashlib
import json
from typing import Any

import torch

from .text_side_afm import adapter_switches

# What says where a checkpoint lay, or by which release it was written, changes no embedding.
VOLATILE = {"_name_or_path", "name_or_path", "transformers_version", "processor_class", "architectures"}


def fingerprint(model: Any, feature_extractor: Any, tokenizer: Any) -> str:
    """SHA-256, in hexadecimal, of all that embeddings depend on: weights, configs, feature extractor, tokenizer."""
    digest = _of_weights(model)
    digest.update(settings_text(model, feature_extractor, tokenizer).encode())
    return digest.hexdigest()


def weights_fingerprint(model: Any, feature_extractor: Any) -> str:
    """
    SHA-256, in hexadecimal, of weights, number format, adapters and feature extractor.

    For what is kept for long: unlike [`fingerprint`] it stays the same where a new release of transformers writes
    further settings into configs and tokenizers.
    """
    digest = _of_weights(model)
    heard = json.dumps(_without(feature_extractor.to_dict(), VOLATILE), sort_keys=True, default=str)
    digest.update(f"{heard}{adapter_switches(model)}".encode())
    return digest.hexdigest()


def _of_weights(model: Any) -> Any:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest


def settings_text(model: Any, feature_extractor: Any, tokenizer: Any) -> str:
    """All that embeddings depend on but the weights."""
    parts = [
        json.dumps(_without(part.to_dict(), VOLATILE), sort_keys=True, default=str)
        for part in (model.config, feature_extractor)
    ]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return "".join([*parts, _without_padding(text), adapter_switches(model)])


def _without(tree: Any, names: set[str]) -> Any:
    if isinstance(tree, dict):
        return {str(key): _without(value, names) for key, value in tree.items() if key not in names}
    return [_without(value, names) for value in tree] if isinstance(tree, list | tuple) else tree


def _without_padding(tokenizer_json: str) -> str:
    """A tokenizer's JSON without the padding and truncation that its last call has left in it."""
    tree = json.loads(tokenizer_json)
    return json.dumps(_without(tree, {"padding", "truncation"}), sort_keys=True)


__all__ = ["fingerprint", "settings_text", "weights_fingerprint"]
