"""What a model's text side would compute, told without computing it: for caches that must never be stale.

Embeddings of texts follow from weights, and from switches that are no weights: adapters of PEFT that are on, off,
merged or exchanged, settings of the configs, the autocast that is on. All of it goes into a key.
"""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

_OF_MODULES = frozenset(vars(nn.Module())) - {"training"}
_PLAIN = bool | int | float | str | None


class _Held:
    """
    References to the memory of tensors, which keep its addresses from being given to others.

    Any two are equal: the addresses that stand beside them in a key are what is compared.
    """

    def __init__(self, memories: list[StorageWeakRef]) -> None:
        self.memories = memories

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0

    def __reduce__(self) -> Any:
        return object, ()  # a copy would free the references twice; in a copied pipeline the key just fits nothing


def text_side_version(model: nn.Module) -> tuple[Any, ...] | None:
    """
    Equal at two times only if the model's text side computes the same at both.

    Weights that were changed through `.data` within the same memory are not noticed.

    Returns:
        Something to compare; None where tensors do not tell (those of `torch.inference_mode` count no changes).
    """
    return _version([module for _, module in text_side_modules(model)])


def model_version(model: nn.Module) -> tuple[Any, ...] | None:
    """As [`text_side_version`], of all of the model."""
    return _version(list(model.modules()))


def _version(modules: list[nn.Module]) -> tuple[Any, ...] | None:
    parts: list[Any] = [_autocast(), _configs(modules)]
    held: list[StorageWeakRef] = []
    for module in modules:
        parts += (type(module), tuple(module._forward_hooks), tuple(module._forward_pre_hooks), switches(module))
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is None:
                continue
            try:
                held.append(StorageWeakRef(tensor.untyped_storage()))
                parts += (held[-1].cdata, tensor._version, tensor.dtype, tensor.device)
            except (RuntimeError, NotImplementedError):  # made in inference mode; or of a kind without memory
                return None
    return (*parts, _Held(held))


def text_settings(model: nn.Module) -> tuple[Any, ...]:
    """What embeddings of texts follow from besides the weights: settings of the configs, switches, the autocast."""
    modules = [module for _, module in text_side_modules(model)]
    return (_autocast(), _configs(modules), *((type(module).__name__, switches(module)) for module in modules))


def text_side_modules(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All modules but those of the audio side, by their names within the model that wrappers (of PEFT, ...) hold."""
    yield path, model
    for name, child in model._modules.items():
        inner = _inner(f"{path}.{name}" if path else name)
        if child is not None and inner is not None:
            yield from text_side_modules(child, inner)


def text_side_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dictionary without the audio side, by names within the model that wrappers hold."""
    named = ((_inner(path), tensor) for path, tensor in model.state_dict().items())
    return {name: tensor for name, tensor in named if name is not None}


def adapter_switches(model: nn.Module) -> str:
    """Which adapters of PEFT act on the text side, and how much, as JSON; empty without adapters."""
    names = ("_active_adapter", "_disable_adapters", "merged_adapters", "scaling")
    found = {
        path: {name: getattr(module, name, None) for name in names}
        for path, module in text_side_modules(model)
        if is_adapter(module)
    }
    return json.dumps(found, sort_keys=True, default=str) if found else ""


def is_adapter(module: nn.Module) -> bool:
    """Whether it is a layer of PEFT, one with weights beside those of the model."""
    return bool(getattr(type(module), "adapter_layer_names", ()))


def switches(module: nn.Module) -> tuple[tuple[str, str], ...]:
    """A module's own attributes that are plain numbers, words, or collections of these, among them `training`."""
    return tuple(
        (name, repr(value)) for name, value in vars(module).items() if name not in _OF_MODULES and _plain(value)
    )


def _inner(path: str) -> str | None:
    """`base_model.model.text_model.encoder` -> `text_model.encoder`; None on the audio side."""
    if path.startswith("text_"):
        return path
    parts = path.split(".")
    for index, part in enumerate(parts):
        if part.startswith("audio_"):
            return None
        if part.startswith("text_"):
            return ".".join(parts[index:])
    return path


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_plain(key) and _plain(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_plain, value))
    return isinstance(value, _PLAIN)


def _configs(modules: list[nn.Module]) -> tuple[Any, ...]:
    """Plain settings of all configs in use, for example how texts are pooled."""
    known = {id(config): config for module in modules if (config := getattr(module, "config", None)) is not None}
    settings = (getattr(config, "__dict__", {}) for config in known.values())
    return tuple((name, value) for every in settings for name, value in every.items() if isinstance(value, _PLAIN))


def _autocast() -> tuple[Any, ...]:
    kinds = ("cpu", "cuda")
    return tuple(torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None for kind in kinds)


__all__ = [
    "adapter_switches",
    "is_adapter",
    "model_version",
    "switches",
    "text_settings",
    "text_side_modules",
    "text_side_tensors",
    "text_side_version",
]
