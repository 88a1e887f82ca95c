"""Bundled models that share their weights: parts in the package, put together to ordinary folders on first use.

The bundled models hear with the same ears. The package holds these once, in `ears.safetensors`, beside each model's own
weights, and `parts.json` in a model's folder says which tensors come from which file, under which name. Whoever uses
the model gets a folder in the cache, complete as `save_pretrained` makes it: to load, copy or push like any other.
Tensors are copied as bytes, so that the folder is the same to the bit wherever it is made.
"""

import atexit
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import struct
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models.common.writing_afm import WriteError, explained

PARTS, OWN, WEIGHTS = "parts.json", "own.safetensors", "model.safetensors"
_LEFT_BEHIND_S = 3600
_REMEDY = "Install afm-hf anew; in a clone of the repository, run scripts/pack_bundled.py."
_WIDTHS = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_checked: set[tuple[Path, str]] = set()
_temporary: dict[str, Path] = {}


@dataclass(frozen=True)
class RawTensor:
    """
    A tensor as it lies in a safetensors file.

    Args:
        dtype (`str`): In safetensors' words: `"F16"`, `"F32"`, `"I64"`, ...
        shape (`tuple[int, ...]`): Its shape.
        data (`bytes`): Its values.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def read_tensors(path: str | os.PathLike[str]) -> dict[str, RawTensor]:
    """The tensors of a safetensors file by name. `OSError` if it cannot be read, or is cut off."""
    content = Path(path).read_bytes()
    try:
        (length,) = struct.unpack("<Q", content[:8])
        header: dict[str, Any] = json.loads(content[8 : 8 + length])
    except (struct.error, ValueError) as error:
        raise OSError(f"{path} is no safetensors file, or was cut off.") from error
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        begin, end = (8 + length + offset for offset in about["data_offsets"])
        if end > len(content):
            raise OSError(f"{path} was cut off: {name} should end at byte {end} of {len(content)}.")
        tensors[name] = RawTensor(about["dtype"], tuple(about["shape"]), content[begin:end])
    return tensors


def write_tensors(tensors: Mapping[str, RawTensor], path: str | os.PathLike[str]) -> str:
    """Writes a safetensors file, the widest dtypes first, so that all are aligned; gives its SHA-256.

    safetensors' own writer orders metadata and tensors as its version likes; here the same tensors are the same bytes.
    """
    order = sorted(tensors, key=lambda name: (-_WIDTHS.get(tensors[name].dtype, 1), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with Path(path).open("wb") as file:
        for piece in (struct.pack("<Q", len(text)), text, *(tensors[name].data for name in order)):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def gather(folder: Path, weights: Iterable[Mapping[str, str]]) -> dict[str, RawTensor]:
    """
    The tensors that parts name.

    Args:
        folder: The model's folder in the package.
        weights: For each part the `file`, seen from the folder, the prefix `from` of the tensors that are meant, and
            the prefix `to` that takes its place.

    Raises:
        OSError: a file is missing or broken.
    """
    tensors = {}
    for part in weights:
        start, to = part.get("from", ""), part.get("to", "")
        try:
            found = read_tensors(folder / part["file"])
        except FileNotFoundError as error:
            raise OSError(f"The bundled model {folder.name} lacks its part {part['file']}. {_REMEDY}") from error
        for name, tensor in found.items():
            if name.startswith(start):
                tensors[to + name.removeprefix(start)] = tensor
    return tensors


def is_in_parts(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder lacks weights that it shares with others."""
    return (Path(folder) / PARTS).is_file()


def complete(folder: str | os.PathLike[str]) -> Path:
    """
    The complete folder of a model, which bears the same name: that of a model in parts is put together in the cache.

    It lies in `HF_HOME`, below a digest of all that is in it, so that a newer version of the package makes another one.
    Where the cache cannot be written, it is a temporary folder, which goes when the process ends.

    Args:
        folder: A folder of this package with `parts.json`, or any other, which is given back as it is.

    Raises:
        OSError: parts are missing or damaged, or (a `WriteError`) there is no space for the folder.
    """
    source = Path(folder)
    if not is_in_parts(source):
        return source
    from huggingface_hub import constants

    files = _files(source)
    address = _address(source, files)
    target = Path(constants.HF_HOME) / "afm_hf" / address / source.name
    for made in (target, _temporary.get(address)):
        if made is not None and _is_whole(made, files):
            return made
    tensors = gather(source, _parts(source)["weights"])
    try:
        with explained(target, f"the bundled model {source.name}"):
            return _put_together(source, target, files, tensors)
    except OSError as error:
        if error.errno is None or (isinstance(error, WriteError) and error.is_full):
            raise
        from transformers.utils import logging

        logging.get_logger("afm_hf").warning_once(
            f"{error} It is put together in a temporary folder, anew in every process. Set HF_HOME to a folder that "
            "can be written, and it is done once."
        )
    return _put_together_for_now(source, address, files, tensors)


def digest_of(source: Path) -> str:
    """What the complete folder of a model is filed under."""
    return _address(source, _files(source))


def _files(source: Path) -> dict[str, str]:
    """Name and SHA-256 of every file of the complete folder."""
    files = {
        path.relative_to(source).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.suffix != ".safetensors" and path.name != PARTS
    }
    return {**files, WEIGHTS: str(_parts(source)["sha256"])}


def _parts(source: Path) -> dict[str, Any]:
    parts: dict[str, Any] = json.loads((source / PARTS).read_text(encoding="utf-8"))
    return parts


def _address(source: Path, files: Mapping[str, str]) -> str:
    text = json.dumps([source.name, dict(sorted(files.items()))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether every file is there and is as it should be. A file is read once in a process, then only looked at."""
    for name, digest in files.items():
        path = folder / name
        try:
            state = path.stat()
            known = (path, f"{digest} {state.st_size} {state.st_mtime_ns}")
            if known not in _checked:
                if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                    return False
                _checked.add(known)
        except OSError:
            return False
    return True


def _put_together(source: Path, target: Path, files: Mapping[str, str], tensors: Mapping[str, RawTensor]) -> Path:
    """Makes the folder beside its place, and puts it there once it is whole; another process may do so first."""
    place = target.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    _clear_away(place.parent)
    made = place.parent / f".{place.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        _fill(source, made / target.name, files, tensors)
        for attempt in range(2):
            with contextlib.suppress(OSError):
                made.rename(place)
            if _is_whole(target, files):
                return target
            with contextlib.suppress(OSError):  # incomplete, or changed: put aside, where it is removed with the rest
                place.rename(made.with_suffix(f".{attempt}.tmp"))
        made.rename(place)
        return target
    finally:
        for path in place.parent.glob(f"{made.stem}.*tmp"):
            shutil.rmtree(path, ignore_errors=True)


def _put_together_for_now(
    source: Path, address: str, files: Mapping[str, str], tensors: Mapping[str, RawTensor]
) -> Path:
    """Makes the folder in a temporary one, which goes when this process ends."""
    with explained(tempfile.gettempdir(), f"the bundled model {source.name}"):
        scratch = Path(tempfile.mkdtemp(prefix="afm_hf-"))
        atexit.register(_remove, scratch, os.getpid())
        _fill(source, scratch / source.name, files, tensors)
    _temporary[address] = scratch / source.name
    return _temporary[address]


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not where a forked process ends
        shutil.rmtree(folder, ignore_errors=True)


def _fill(source: Path, folder: Path, files: Mapping[str, str], tensors: Mapping[str, RawTensor]) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name != WEIGHTS:
            shutil.copyfile(source / name, path)
    made = write_tensors(tensors, folder / WEIGHTS)
    if made != files[WEIGHTS]:
        raise OSError(
            f"The parts of the bundled model {source.name} do not fit together: they give weights with the digest "
            f"{made[:16]}, expected was {files[WEIGHTS][:16]}. {_REMEDY}"
        )


def _clear_away(place: Path) -> None:
    """Removes what processes that were killed have left there, unless it may be of one that runs."""
    for old in place.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _LEFT_BEHIND_S:
                shutil.rmtree(old)


__all__ = [
    "OWN",
    "PARTS",
    "WEIGHTS",
    "RawTensor",
    "complete",
    "digest_of",
    "gather",
    "is_in_parts",
    "read_tensors",
    "write_tensors",
]
