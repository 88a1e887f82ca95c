"""
The texts in a pickle, read without unpickling.

A pickle is a program, and loading it runs whatever it says. This reads the instructions one by one and follows those
alone that put texts into a dictionary: nothing is imported, called or built, and any other instruction is an error.
"""

import pickletools
from pathlib import Path
from typing import Any

_TEXT = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_REMEMBER = {"PUT", "BINPUT", "LONG_BINPUT"}
_RECALL = {"GET", "BINGET", "LONG_BINGET"}
_NOTHING = {"PROTO", "FRAME", "STOP"}
_MARK = object()


def read_texts(path: Path) -> dict[str, str]:
    """
    A dictionary of texts by texts in a pickle of any protocol.

    Raises:
        ValueError: if the file is no pickle, or holds anything else.
    """
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(path.read_bytes()):
            _follow(opcode.name, argument, stack, memory, path)
    except (IndexError, KeyError, ValueError) as error:
        if isinstance(error, ValueError) and str(path.name) in str(error):
            raise
        raise ValueError(f"{path.name} is no pickle that can be read: {error}.") from None
    if len(stack) != 1 or not isinstance(stack[0], dict):
        raise ValueError(f"{path.name} holds no dictionary of texts.")
    return stack[0]


def _follow(name: str, argument: Any, stack: list[Any], memory: dict[int, Any], path: Path) -> None:
    """One instruction."""
    if name in _TEXT:
        stack.append(str(argument))
    elif name in ("EMPTY_DICT", "MARK"):
        stack.append({} if name == "EMPTY_DICT" else _MARK)
    elif name == "DICT":
        values = _since_mark(stack)
        stack.append({})
        _set(stack[-1], values, path)
    elif name == "SETITEM":
        values = [stack.pop(), stack.pop()][::-1]
        _set(stack[-1], values, path)
    elif name == "SETITEMS":
        values = _since_mark(stack)
        _set(stack[-1], values, path)
    elif name == "MEMOIZE":
        memory[len(memory)] = stack[-1]
    elif name in _REMEMBER:
        memory[int(argument)] = stack[-1]
    elif name in _RECALL:
        stack.append(memory[int(argument)])
    elif name not in _NOTHING:
        raise ValueError(f"{path.name} holds more than texts (the instruction {name}), and is not read.")


def _since_mark(stack: list[Any]) -> list[Any]:
    start = max(index for index, value in enumerate(stack) if value is _MARK)
    values = stack[start + 1 :]
    del stack[start:]
    return values


def _set(target: Any, values: list[Any], path: Path) -> None:
    if not isinstance(target, dict) or len(values) % 2 or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{path.name} holds something else than texts by texts, and is not read.")
    target.update(zip(values[::2], values[1::2], strict=True))


__all__ = ["read_texts"]
