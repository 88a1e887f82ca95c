"""Reads the variables of a TensorFlow SavedModel without TensorFlow.

`variables.index` is a table of LevelDB's format (sorted keys in blocks, each with the prefix it shares with the key
before) whose values are protocol buffers: type, shape, offset and size of a tensor in `variables.data-00000-of-00001`,
which holds raw little-endian numbers. Facts: tensorflow/core/util/tensor_bundle and LevelDB's `table_format.md`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .common import ConversionError

INDEX, DATA = "variables.index", "variables.data-00000-of-00001"
FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
FLOAT32 = 1  # TensorFlow's number of the type


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int


def read_tensor_bundle(folder: Path) -> dict[str, torch.Tensor]:
    """
    All float32 variables of a SavedModel, by their names.

    Args:
        folder: `variables/` of the SavedModel.

    Raises:
        OSError: a file is missing.
        ConversionError: the files are not what they should be.
    """
    index, data = (folder / INDEX).read_bytes(), np.memmap(folder / DATA, np.uint8, "r")
    try:
        entries = dict(_entries(index))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise ConversionError(f"{folder / INDEX} is no index of a TensorFlow checkpoint: {error}.") from error
    tensors = {}
    for name, entry in entries.items():
        if entry.dtype != FLOAT32:
            continue
        if entry.size != 4 * math.prod(entry.shape) or entry.offset + entry.size > len(data):
            raise ConversionError(
                f"{name} should be {entry.size} bytes at {entry.offset} for the shape {list(entry.shape)}, but {DATA} "
                f"has {len(data)} bytes."
            )
        raw = data[entry.offset : entry.offset + entry.size].tobytes()
        tensors[name] = torch.from_numpy(np.frombuffer(raw, "<f4").copy()).reshape(entry.shape)
    return tensors


def _entries(index: bytes) -> Iterator[tuple[str, _Entry]]:
    if len(index) < FOOTER_BYTES or int.from_bytes(index[-8:], "little") != MAGIC:
        raise ValueError("it does not end as such a file does")
    footer = index[-FOOTER_BYTES:]
    _, position = _varint(footer, 0)
    _, position = _varint(footer, position)  # of the meta-index, which is empty
    start, position = _varint(footer, position)
    size, _ = _varint(footer, position)
    for _, handle in _block(index, start, size):
        start, position = _varint(handle, 0)
        size, _ = _varint(handle, position)
        for key, value in _block(index, start, size):
            if key:  # the empty one is the header
                yield key.decode(), _entry(value)


def _block(index: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block."""
    if index[start + size] != 0:
        raise ValueError("a block is compressed")
    block = index[start : start + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # before the restart points
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length


def _entry(value: bytes) -> _Entry:
    fields = dict(_fields(value))
    shape = tuple(
        _number(dict(_fields(size)).get(1, 0)) for number, size in _fields(_message(fields.get(2, b""))) if number == 2
    )
    return _Entry(_number(fields.get(1, 0)), shape, _number(fields.get(4, 0)), _number(fields.get(5, 0)))


def _fields(message: bytes | int) -> Iterator[tuple[int, bytes | int]]:
    """Numbers and values of a protocol buffer's fields."""
    data, position = _message(message), 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            whole, position = _varint(data, position)
            yield number, whole
        elif kind == 2:
            length, position = _varint(data, position)
            yield number, data[position : position + length]
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a message is expected")
    return value


def _number(value: bytes | int) -> int:
    if not isinstance(value, int):
        raise ValueError("a message stands where a number is expected")
    return value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")


__all__ = ["read_tensor_bundle"]
