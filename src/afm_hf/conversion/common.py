"""What every conversion does: read an official checkpoint safely, rename its keys by a table, write and compare."""

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedModel

StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Rename:
    """Keys that match `pattern` are kept under `target` (a `re.sub` replacement)."""

    pattern: str
    target: str


@dataclass(frozen=True)
class Drop:
    """Keys that match `pattern` are left out, because of `reason`."""

    pattern: str
    reason: str


@dataclass
class Conversion:
    """The renamed weights, and the account of every official key.

    Args:
        state_dict: Weights under this package's names.
        renamed: Official key -> new key.
        dropped: Official key -> reason.
    """

    state_dict: StateDict = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)


class ConversionError(ValueError):
    """A checkpoint that cannot be converted; the message says what was found and what was expected."""


def fail(message: str) -> NoReturn:
    """Ends a conversion script with one line and exit status 1."""
    sys.exit(f"error: {message}")


def read_checkpoint(path: str | Path) -> StateDict:
    """Tensors of an official checkpoint file, without `model` wrapper and `module.` prefix.

    Nothing in the file is executed: safetensors, or `torch.load(weights_only=True)` with no fall-back.

    Args:
        path (`str` or `Path`): A `.pth`, `.pt`, `.ckpt`, `.bin` or `.safetensors` file.

    Raises:
        OSError: if the file is missing, or is no checkpoint of plain tensors.
        ConversionError: if it holds no tensors, or a weight that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise OSError(f"There is no checkpoint file {path}.")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # a damaged file can raise anything in the unpickler
        raise OSError(
            f"{path} could not be read as a checkpoint of plain tensors "
            f"({type(error).__name__}: {_first_line(error)}). It is damaged, or "
            "it holds Python objects, which are never executed here."
        ) from error
    state_dict = _unwrap(content)
    if not state_dict:
        raise ConversionError(f"{path} holds no tensors; found {_describe(content)}.")
    check_finite(state_dict, path)
    return state_dict


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"


def _describe(content: Any) -> str:
    return f"a dictionary with keys {list(content)[:5]}" if isinstance(content, dict) else f"a {type(content).__name__}"


def _unwrap(content: Any) -> StateDict:
    """Takes the weights out of `{"model": ...}` or `{"state_dict": ...}` and strips `module.` from every key."""
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        return {}
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def check_finite(state_dict: StateDict, path: str | Path) -> None:
    """Raises a `ConversionError` that names the first weight with NaN or infinite values."""
    for key, tensor in state_dict.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ConversionError(f"{path}: the weight {key} has values that are not finite; the file is damaged.")


def rename_keys(state_dict: StateDict, table: Iterable[Rename | Drop]) -> Conversion:
    """Applies the first matching rule of `table` to every key.

    Raises:
        ConversionError: if a key matches no rule, or two keys would get the same name.
    """
    rules = [(re.compile(rule.pattern), rule) for rule in table]
    result, unknown = Conversion(), []
    for key, tensor in state_dict.items():
        rule = next(((pattern, rule) for pattern, rule in rules if pattern.search(key)), None)
        if rule is None:
            unknown.append(key)
        elif isinstance(rule[1], Drop):
            result.dropped[key] = rule[1].reason
        else:
            new_key = rule[0].sub(rule[1].target, key)
            if new_key in result.state_dict:
                raise ConversionError(f"Two official keys would both become {new_key}; the second is {key}.")
            result.renamed[key] = new_key
            result.state_dict[new_key] = tensor
    if unknown:
        raise ConversionError(f"{len(unknown)} keys of the checkpoint are unknown, for example {unknown[:5]}.")
    return result


def load_strictly(model: PreTrainedModel, conversion: Conversion) -> None:
    """Puts the converted weights into `model`; every parameter and persistent buffer must come from the file.

    Raises:
        ConversionError: if keys are missing or left over, or a shape differs.
    """
    expected = model.state_dict()
    missing = sorted(set(expected) - set(conversion.state_dict))
    surplus = sorted(set(conversion.state_dict) - set(expected))
    if missing or surplus:
        raise ConversionError(
            f"The checkpoint does not fit the model: {len(missing)} weights are missing (for example {missing[:3]}), "
            f"{len(surplus)} have no place (for example {surplus[:3]})."
        )
    for key, tensor in conversion.state_dict.items():
        if tensor.shape != expected[key].shape:
            raise ConversionError(
                f"{key} has shape {tuple(tensor.shape)} in the checkpoint, but {tuple(expected[key].shape)} "
                "in the model."
            )
    model.load_state_dict(conversion.state_dict, strict=True)


def count_layers(state_dict: StateDict, pattern: str) -> int:
    """How many different numbers the (only) group of `pattern` takes over the keys."""
    return len({match.group(1) for key in state_dict if (match := re.search(pattern, key))})


def load_tokenizer(location: str) -> Any:
    """A tokenizer from a folder or a Hub id.

    Raises:
        OSError: if there is none; the message says what was tried.
    """
    try:
        return AutoTokenizer.from_pretrained(location)
    except (OSError, ValueError) as error:
        raise OSError(f"No tokenizer could be loaded from {location!r}: {_first_line(error)}") from error


def write_report(output: Path, conversion: Conversion, facts: dict[str, Any]) -> None:
    """Writes `conversion.json`: where every official key went."""
    reasons: dict[str, list[str]] = {}
    for key, reason in conversion.dropped.items():
        reasons.setdefault(reason, []).append(key)
    report = {**facts, "renamed": conversion.renamed, "dropped": reasons}
    (output / "conversion.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
