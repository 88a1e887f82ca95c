"""Results that say what made them."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from .int8_afm import is_int8


@dataclasses.dataclass(kw_only=True)
class AfmResult(Mapping[str, Any]):
    """
    Base of result objects: a dataclass that can also be read as a dictionary (`result["score"]`, `dict(result)`).

    Args:
        settings (`dict[str, Any]`):
            What made the result: model, prompts, windows policy, seed, ...; see [`settings_of`].

    Example:
    ```python
    >>> import dataclasses

    >>> @dataclasses.dataclass(kw_only=True)
    ... class Loudness(AfmResult):
    ...     level: float

    >>> result = Loudness(level=-23.456789, settings={"model": "ear"})
    >>> print(result)
    Loudness
      level     -23.46
      settings  model: ear
    >>> result["level"] == result.level
    True
    >>> result.to_row()
    {'level': -23.456789, 'settings.model': 'ear'}

    ```
    """

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self.__dataclass_fields__:
            raise KeyError(f"{type(self).__name__} has no {name!r}; it has {list(self)}.")
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        """Names of the fields, the settings last."""
        names = [field.name for field in dataclasses.fields(self)]
        return iter([*(name for name in names if name != "settings"), "settings"])

    def __len__(self) -> int:
        return len(dataclasses.fields(self))

    def to_dict(self) -> dict[str, Any]:
        """All fields in plain Python (tensors and arrays as lists), as JSON can hold them."""
        return {name: _plain(getattr(self, name)) for name in self}

    def to_json(self, indent: int | None = None) -> str:
        """As a JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_row(self) -> dict[str, Any]:
        """One flat dictionary, for `pandas.DataFrame([result.to_row() for result in results])`."""
        row: dict[str, Any] = {}
        _flatten("", self.to_dict(), row)
        return row

    def __str__(self) -> str:
        width = max(map(len, self))
        lines = (f"  {name:{width}}  {_shown(getattr(self, name))}" for name in self)
        return "\n".join([type(self).__name__, *lines])


def settings_of(model: PreTrainedModel, **more: Any) -> dict[str, Any]:
    """
    The settings of an [`AfmResult`]: name and revision of the model, its number format where that is not float32, and
    what else is given (`None` is left out).

    Args:
        model (`PreTrainedModel`): The model that makes the result.
        more: Prompt, template, windows policy, seed, ...
    """
    settings = {
        "model": getattr(model.config, "_name_or_path", "") or type(model).__name__,
        "revision": getattr(model.config, "_commit_hash", None),
        "dtype": _number_format(model),
        **more,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _number_format(model: Any) -> str | None:
    """As `"bfloat16"` or `"int8"`; None for float32, and for what is no module of torch."""
    if not isinstance(model, nn.Module):
        return None
    name = "int8" if is_int8(model) else str(model.dtype).removeprefix("torch.")
    return None if name == "float32" else name


def other_model(given: Any) -> str | None:
    """How settings name a further model: its folder or Hub id, or the kind of an object; `None` if there is none."""
    return given if given is None or isinstance(given, str) else type(given).__name__


def _plain(value: Any) -> Any:
    """Nested values in plain Python."""
    if isinstance(value, AfmResult):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.detach().float().cpu().tolist() if value.is_floating_point() else value.detach().cpu().tolist()
    if hasattr(value, "tolist"):  # numpy
        return value.tolist()
    return str(value) if isinstance(value, Path | torch.dtype | torch.device) else value


def _flatten(prefix: str, value: Mapping[str, Any], row: dict[str, Any]) -> None:
    """Write nested dictionaries into `row` with dotted names; lists stay lists."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            _flatten(f"{prefix}{name}.", item, row)
        else:
            row[f"{prefix}{name}"] = item


def _shown(value: Any, longest: int = 6) -> str:
    """A value in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, torch.Tensor) and value.ndim > 1:
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, torch.Tensor) or hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        more = [f"... ({len(value)} in all)"] if len(value) > longest else []
        return "[" + ", ".join([*map(_shown, value[:longest]), *more]) + "]"
    return str(value)


__all__ = ["AfmResult", "other_model", "settings_of"]
