"""Reads an official checkpoint file: what it claims is looked at first, and only what it can hold is loaded.

Nothing in a file is executed: safetensors, or `torch.load(weights_only=True)` with no fall-back.
"""

import io
import json
import math
import mmap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .claims import (
    ELEMENT_BYTES,
    OTHER_TENSORS,
    STRIDED,
    Call,
    Claims,
    ForeignObjectError,
    Storage,
    UnreadableError,
    follow,
    is_tensor,
)
from .file_kinds import FileKind, kind_of

MOST_DIMENSIONS = 8  # the official ones have at most 4
CHUNK = 1 << 20
PREAMBLE = 3  # pickles before the object in a file of torch.save before 1.6: magic number, version, machine
SAFE_DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class ConversionError(ValueError):
    """A checkpoint that cannot be converted; the message says what was found and what was expected."""


class Weights(dict[str, torch.Tensor]):
    """Weights by their official keys; asking for one that is not there says so."""

    def __missing__(self, key: str) -> torch.Tensor:
        raise ConversionError(f"The weight {key} is missing in the checkpoint.")


StateDict = dict[str, torch.Tensor]


def read_checkpoint(path: str | Path) -> Weights:
    """
    Tensors of an official checkpoint file, without `model` wrapper and `module.` prefix.

    Args:
        path (`str` or `Path`): A file of `torch.save` or safetensors, whatever it is called.

    Raises:
        OSError: if the file is missing, is something else, is damaged, or holds Python objects.
        ConversionError: if it holds no tensors, tensors that are not plain, or a weight that is not finite.
    """
    path = Path(path)
    read_keys(path)
    kind = kind_of(path)
    if kind is FileKind.ZIP:
        check_sums(path)
    try:
        content = _load(path, kind)
    except Exception as error:  # a damaged file can raise anything in the unpickler
        # torch's message may advise to execute what is in the file: it is not repeated.
        raise _unreadable(path, f"it is damaged ({type(error).__name__})") from error
    weights = Weights(_weights_of(content, lambda value: isinstance(value, torch.Tensor)))
    check_finite(weights, path)
    return weights


def read_keys(path: str | Path) -> list[str]:
    """
    The official keys of a checkpoint file, in their order, without loading it; all that it claims is checked.

    Raises:
        OSError, ConversionError: as [`read_checkpoint`], but for values that are not finite.
    """
    path = Path(path)
    kind = kind_of(path)
    keys = _safetensors_keys(path) if kind is FileKind.SAFETENSORS else _torch_keys(path, kind)
    if not keys:
        raise ConversionError(f"{path} holds no tensors.")
    return keys


def check_finite(weights: StateDict, path: str | Path) -> None:
    """Raises a `ConversionError` that names the first weight with NaN or infinite values."""
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ConversionError(f"{path}: the weight {key} has values that are not finite; the file is damaged.")


def check_sums(path: Path) -> None:
    """Raises an `OSError` that names the first part of a zip archive that is not what was written, by its CRC-32."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            try:
                with archive.open(entry) as part:
                    while entry.CRC and part.read(CHUNK):  # torch can be told to write no checksum, which is then 0
                        pass
            except Exception as error:  # a damaged archive can raise anything in zipfile
                reason = f"its part {entry.filename} is not what was written: {error}. Fetch it again"
                raise _unreadable(path, reason) from error


def _load(path: Path, kind: FileKind) -> Any:
    if kind is FileKind.SAFETENSORS:
        return load_file(path)
    if path.suffix == ".safetensors":  # torch would believe the name
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=kind is FileKind.ZIP)


def _unreadable(path: Path, reason: str) -> OSError:
    return OSError(f"{path} could not be read as a checkpoint of plain tensors: {reason}.")


def _weights_of(content: Any, is_weight: Callable[[Any], bool]) -> dict[str, Any]:
    """Takes the weights out of `{"model": ...}` or `{"state_dict": ...}` and strips `module.` from every key."""
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    weights: dict[str, Any] = {}
    for key, value in content.items() if isinstance(content, dict) else ():
        if is_weight(value):
            short = str(key).removeprefix("module.")
            if short in weights:
                raise ConversionError(f"The checkpoint has the weight {short} twice, with and without `module.`.")
            weights[short] = value
    return weights


def _torch_keys(path: Path, kind: FileKind) -> list[str]:
    """Follows the instructions in a file of `torch.save` and checks what they claim."""
    try:
        claims, held = _of_zip(path) if kind is FileKind.ZIP else _of_legacy(path)
    except ForeignObjectError as error:
        raise _unreadable(path, f"it holds Python objects ({error}), which are never executed here") from error
    except UnreadableError as error:
        raise _unreadable(path, str(error)) from error
    except Exception as error:  # a damaged archive can raise anything in zipfile
        raise _unreadable(path, f"it is damaged ({type(error).__name__})") from error
    weights = _weights_of(claims.content, is_tensor)
    names = {id(tensor): f"the weight {key}" for key, tensor in weights.items()}
    for tensor in claims.tensors:
        _check_tensor(tensor, names.get(id(tensor), "a tensor beside the weights"), path, held)
    return list(weights)


def _of_zip(path: Path) -> tuple[Claims, dict[str, int]]:
    """What the archive would make, and the bytes that it holds for each storage."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.count("/") <= 1 and name.rpartition("/")[2] == "data.pkl"]
        root = pickles[0].removesuffix("data.pkl") if pickles else ""
        if f"{root}constants.pkl" in entries:
            raise UnreadableError("it is a TorchScript program; expected a state dict")
        if len(pickles) != 1:
            raise UnreadableError(f"it is a zip archive, but none of torch.save; it holds {list(entries)[:3]}")
        size = path.stat().st_size
        for name, entry in entries.items():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise UnreadableError(f"its part {name} is compressed, which torch.save never does; save it again")
        held = {name: min(entry.file_size, max(0, size - entry.header_offset)) for name, entry in entries.items()}
        if held[pickles[0]] != entries[pickles[0]].file_size:
            raise UnreadableError(f"its part {pickles[0]} is cut off")
        if not entries[pickles[0]].CRC:
            del entries[pickles[0]].CRC  # there is none to check
        claims = follow(io.BytesIO(archive.read(pickles[0])))
    data = f"{root}data/"
    return claims, {name.removeprefix(data): length for name, length in held.items() if name.startswith(data)}


def _of_legacy(path: Path) -> tuple[Claims, dict[str, int]]:
    """What a file from before 1.6 would make. Its storages stand one after the other at its end."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        parts = [follow(view) for _ in range(PREAMBLE + 2)]  # after the object: the storages' keys
        left = len(view) - view.tell()
    claims, order = parts[PREAMBLE], parts[PREAMBLE + 1].content
    if not isinstance(order, list):
        raise UnreadableError("it is a pickle, but not of torch.save")
    sizes: dict[str, int] = {}
    for storage in claims.storages:
        sizes[storage.key] = max(sizes.get(storage.key, 0), _bytes(storage))
    held = {}
    for key in map(str, order):
        held[key] = min(sizes.get(key, 0), max(0, left - 8))  # the length of each stands before it
        left -= 8 + held[key]
    return claims, held


def _bytes(storage: Storage) -> int:
    return storage.elements * ELEMENT_BYTES.get(storage.kind, 1)


def _check_tensor(tensor: Call, name: str, path: Path, held: dict[str, int]) -> None:
    """Refuses a tensor that is not plain, or is larger than what lies behind it (`held`, in bytes, by storage)."""
    if tensor.function in OTHER_TENSORS:
        raise ConversionError(
            f"{path}: {name} is {OTHER_TENSORS[tensor.function]}; expected a plain tensor. Save the model again with "
            "plain float32 weights."
        )
    if tensor.function not in STRIDED:
        raise ConversionError(f"{path}: {name} is made by {tensor.function}; expected a plain tensor.")
    storage, offset, shape, stride = _placed(tensor, name, path)
    if storage.kind not in ELEMENT_BYTES:
        raise ConversionError(f"{path}: {name} lies in a {storage.kind}; expected plain numbers of 64 bits or fewer.")
    _check_dimensions(path, name, shape)
    size, behind = ELEMENT_BYTES[storage.kind], held.get(storage.key, 0)
    if storage.elements * size != behind:
        _claims_too_much(path, f"what {name} lies in", storage.elements * size, behind)
    elements = math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True)) + 1
    # A tensor may repeat what lies behind it, by strides of 0, but not so as to outgrow the file.
    if elements and (last > storage.elements or elements * size > path.stat().st_size):
        _claims_too_much(path, f"{name} of shape {tuple(shape)}", max(elements, last) * size, behind)


def _placed(tensor: Call, name: str, path: Path) -> tuple[Storage, int, tuple[int, ...], tuple[int, ...]]:
    """Storage, offset, shape and strides of a tensor, if these are what they should be."""
    storage, offset, shape, stride = (*tensor.arguments, None, None, None, None)[:4]
    proper = isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)
    if not proper or len(shape) != len(stride) or any(type(n) is not int or n < 0 for n in (*shape, *stride, offset)):
        raise _unreadable(path, f"{name} has no proper shape")
    return storage, offset, shape, stride


def _check_dimensions(path: Path, name: str, shape: Any) -> None:
    if len(shape) > MOST_DIMENSIONS:
        raise ConversionError(f"{path}: {name} has {len(shape):,} dimensions; expected at most {MOST_DIMENSIONS}.")


def _claims_too_much(path: Path, name: str, claimed: int, held: int) -> None:
    raise ConversionError(f"{path}: {name} claims {_said(claimed)}, but the file holds {_said(held)} for it.")


def _said(size: int) -> str:
    """A number of bytes in a unit that can be read."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} bytes"


def _safetensors_keys(path: Path) -> list[str]:
    """Reads the header of a safetensors file and checks what it claims."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            raise _unreadable(path, f"its header claims {_said(length)}, the file has {_said(size)}: it was cut off")
        header = file.read(length)
    try:
        entries = {key: _entry(value) for key, value in json.loads(header).items() if key != "__metadata__"}
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise _unreadable(path, "its header is damaged") from error
    for key, entry in entries.items():
        _check_entry(path, f"the weight {key}", entry, size - 8 - length)
    return list(_weights_of(entries, lambda entry: True))


Entry = tuple[str, list[int], int, int]


def _entry(value: dict[str, Any]) -> Entry:
    """Type, shape, begin and end of a tensor in a header of safetensors; what is not of that form is an error."""
    kind, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise TypeError
    return kind, shape, begin, end


def _check_entry(path: Path, name: str, entry: Entry, held: int) -> None:
    kind, shape, begin, end = entry
    if kind not in SAFE_DTYPES:
        raise ConversionError(f"{path}: {name} is of type {kind}; expected one of {', '.join(SAFE_DTYPES)}.")
    _check_dimensions(path, name, shape)
    claimed = math.prod(shape) * SAFE_DTYPES[kind]
    if end > held and claimed <= held:
        raise _unreadable(path, f"{name} ends at {_said(end)} of {_said(held)}: the file was cut off")
    if claimed != end - begin or end > held:
        _claims_too_much(path, f"{name} of shape {tuple(shape)}", claimed, max(0, min(end, held) - begin))


__all__ = ["ConversionError", "StateDict", "Weights", "check_finite", "read_checkpoint", "read_keys"]
