"""What every conversion does with the weights: rename them by a table, and build the model that they fit."""

import contextlib
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel

from .checkpoint import ConversionError, StateDict, Weights, check_finite, read_checkpoint, read_keys

Model = TypeVar("Model", bound=PreTrainedModel)
LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Rename:
    """Keys that begin with `official` begin with `ours` instead."""

    official: str
    ours: str


@dataclass(frozen=True)
class Drop:
    """Keys that match `pattern` are left out, because of `reason`."""

    pattern: str
    reason: str


@dataclass
class Conversion:
    """
    The renamed weights, and the account of every official key.

    Args:
        state_dict: Weights under this package's names.
        renamed: Official key -> new key.
        dropped: Official key -> reason.
        rules: The table's renames, those that this file followed first.
    """

    state_dict: StateDict = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    rules: list[Rename] = field(default_factory=list)

    def official(self, key: str) -> str:
        """The official name of one of our keys, whether the file has it or not."""
        for official, ours in self.renamed.items():
            if ours == key:
                return official
        fitting = [rule for rule in self.rules if key.startswith(rule.ours)]
        rule = max(fitting, key=lambda rule: len(rule.ours), default=Rename("", ""))  # the first of equal ones
        return rule.official + key.removeprefix(rule.ours)

    def weight(self, key: str) -> torch.Tensor:
        """The weight that has one of our keys; one that is missing is told by its official key."""
        if key not in self.state_dict:
            raise ConversionError(f"The weight {self.official(key)} is missing in the checkpoint.")
        return self.state_dict[key]


def rename_keys(weights: StateDict, table: Iterable[Rename | Drop]) -> Conversion:
    """
    Applies the first matching rule of `table` to every key.

    Raises:
        ConversionError: if a key matches no rule, or two keys would get the same name.
    """
    rules = list(table)
    result, unknown, used = Conversion(), [], set()
    for key, tensor in weights.items():
        rule = next((rule for rule in rules if _matches(rule, key)), None)
        if rule is None:
            unknown.append(key)
        elif isinstance(rule, Drop):
            result.dropped[key] = rule.reason
        else:
            new_key = rule.ours + key.removeprefix(rule.official)
            if new_key in result.state_dict:
                raise ConversionError(f"Two official keys would both become {new_key}; the second is {key}.")
            used.add(rule)
            result.renamed[key] = new_key
            result.state_dict[new_key] = tensor
    if unknown:
        raise ConversionError(f"{len(unknown)} keys of the checkpoint are unknown, for example {unknown[:5]}.")
    result.rules = sorted((rule for rule in rules if isinstance(rule, Rename)), key=lambda rule: rule not in used)
    return result


def _matches(rule: Rename | Drop, key: str) -> bool:
    return key.startswith(rule.official) if isinstance(rule, Rename) else re.search(rule.pattern, key) is not None


def build(kind: type[Model], config: PreTrainedConfig, conversion: Conversion) -> Model:
    """
    A model of these weights, in float32 and in evaluation mode.

    Every parameter and persistent buffer must come from the file. That is looked at before memory is asked for.

    Raises:
        ConversionError: if weights are missing or left over, or of another shape or type; by their official keys.
    """
    with torch.device("meta"):
        expected = kind(config).state_dict()
    fit(expected, conversion)
    with as_usual():
        model = kind(config).eval()
    model.load_state_dict(conversion.state_dict, strict=True)
    return model


@contextlib.contextmanager
def as_usual() -> Iterator[None]:
    """New tensors are float32 numbers on the CPU, whatever the user has set."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(default)


def fit(expected: StateDict, conversion: Conversion) -> None:
    """Compares the weights with those of a model; see `build`."""
    missing = [conversion.official(key) for key in sorted(set(expected) - set(conversion.state_dict))]
    surplus = [conversion.official(key) for key in sorted(set(conversion.state_dict) - set(expected))]
    if missing or surplus:
        raise ConversionError(
            f"The checkpoint does not fit the model: {len(missing)} weights are missing (for example {missing[:3]}), "
            f"{len(surplus)} have no place (for example {surplus[:3]})."
        )
    for key, tensor in conversion.state_dict.items():
        _fit_one(conversion.official(key), tensor, expected[key])


def _fit_one(name: str, tensor: torch.Tensor, expected: torch.Tensor) -> None:
    if tensor.shape != expected.shape:
        raise ConversionError(
            f"The weight {name} has shape {tuple(tensor.shape)} in the checkpoint; expected {tuple(expected.shape)}, "
            "after the shapes of the other weights."
        )
    check_fractions(name, tensor, expected.is_floating_point())
    if tensor.dtype == torch.float64 and tensor.numel() and float(tensor.abs().max()) > LARGEST:
        raise ConversionError(
            f"The weight {name} has values up to {float(tensor.abs().max()):.1e}, which no float32 holds."
        )


def check_fractions(name: str, tensor: torch.Tensor, expected: bool = True) -> None:
    """Raises a `ConversionError` if a weight has whole numbers where fractions belong, or the other way round."""
    if tensor.is_floating_point() != expected:
        raise ConversionError(
            f"The weight {name} has {tensor.dtype} numbers; expected {'fractions' if expected else 'whole numbers'}. "
            "Where a quantised model was saved, save it again with float32 weights."
        )


@contextlib.contextmanager
def sizes_that_fit(system: str, weights: StateDict, *keys: str) -> Iterator[None]:
    """
    Around the making of a config or a model: weights whose sizes no model has are a `ConversionError`.

    Args:
        system (`str`): What is made, for the message.
        weights, keys: The weights that the sizes were read off, for the message.
    """
    try:
        yield
    except ConversionError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, RuntimeError) as error:
        said = ", ".join(f"{key} {tuple(weights[key].shape)}" for key in keys)
        reason = " ".join(str(error).split())[:300]
        raise ConversionError(f"The weights have sizes that no {system} has, as {said}: {reason}") from error


def sizes(weights: StateDict, key: str, dimensions: int = 1) -> tuple[int, ...]:
    """
    The shape of a weight that has as many dimensions, and is not empty.

    Raises:
        ConversionError: if it is missing or has another shape.
    """
    shape = tuple(weights[key].shape)
    if len(shape) != dimensions or not math.prod(shape):
        raise ConversionError(
            f"The weight {key} has shape {shape}; expected {dimensions} dimension(s), none of them 0."
        )
    return shape


def length(weights: StateDict, key: str, dimensions: int = 1) -> int:
    """The first of the sizes of a weight; see `sizes`."""
    return sizes(weights, key, dimensions)[0]


def count_layers(weights: StateDict, prefix: str, first: int = 0) -> int:
    """
    How many layers there are: keys go on with `prefix` and the layer's number.

    Raises:
        ConversionError: if there is none, or one is missing among them.
    """
    pattern = re.compile(rf"{re.escape(prefix)}([0-9]{{1,6}})\.")
    found = {int(match[1]) for key in weights if (match := pattern.match(key))}
    count = next(number for number in range(len(found) + 1) if first + number not in found)
    if not count or count != len(found):
        raise ConversionError(f"No weight of the checkpoint begins with {prefix}{first + count}.")
    return count


def check_system(keys: Iterable[str], system: str, prefixes: Iterable[str]) -> None:
    """Raises a `ConversionError` if no key begins with one of the prefixes that every file of a system has."""
    known = list(keys)
    for prefix in prefixes:
        if not any(key.startswith(prefix) for key in known):
            raise ConversionError(
                f"these are not the keys of {system}: none begins with {prefix!r}; found e.g. {known[:3]}."
            )


def load_tokenizer(location: str) -> Any:
    """
    A tokenizer from a folder or a Hub id.

    Raises:
        OSError: if there is none; the message says what was tried.
    """
    try:
        return AutoTokenizer.from_pretrained(location)
    except Exception as error:  # files that are damaged raise anything
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise OSError(f"No tokenizer could be loaded from {location!r}: {reason}") from error


__all__ = [
    "Conversion",
    "ConversionError",
    "Drop",
    "Rename",
    "StateDict",
    "Weights",
    "as_usual",
    "build",
    "check_finite",
    "check_fractions",
    "check_system",
    "count_layers",
    "fit",
    "length",
    "load_tokenizer",
    "read_checkpoint",
    "read_keys",
    "rename_keys",
    "sizes",
    "sizes_that_fit",
]
