"""What a file of `torch.save` says that it holds, read without building any of it.

Such a file is a pickle: a list of instructions that make objects. torch carries out those it allows, and asks for
whatever memory they claim. Here they are only followed: what would be called is noted, and nothing is called.
"""

import pickletools
from dataclasses import dataclass, field
from typing import Any

import torch

# Bytes of an element, by the kind of a storage. Quantised and 8-bit floating kinds are not among them.
ELEMENT_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
STRIDED = ("_rebuild_tensor", "_rebuild_tensor_v2")
# What else a tensor can be made by, in words.
OTHER_TENSORS = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_meta_tensor_no_storage": "on the device `meta`, without values",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_tensor_v3": "of an unusual number format",
    "_rebuild_wrapper_subclass": "of a class of its own",
    "_rebuild_device_tensor_from_numpy": "of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "of another device",
}
_PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state", "torch.nn.parameter.Parameter")
# Other names that torch, too, allows without asking; calling them costs nothing.
_HARMLESS = {
    "collections.OrderedDict", "collections.Counter", "torch.Size", "torch.device", "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout", "_codecs.encode", "builtins.set", "__builtin__.set", "builtins.complex",
    "__builtin__.complex", "torch.storage.UntypedStorage", "torch.Tensor", "torch._tensor._rebuild_from_type_v2",
}  # fmt: skip
_WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"
_UTILS = "torch._utils."
MOST_INSTRUCTIONS = 20_000_000


class UnreadableError(ValueError):
    """The instructions are damaged, or of a kind that `torch.save` does not write."""


class ForeignObjectError(ValueError):
    """The instructions name something that is no tensor, dictionary or number."""


@dataclass(frozen=True)
class Name:
    """Something that would be imported."""

    text: str


@dataclass(eq=False)
class Call:
    """Something that would be called: its name without `torch._utils.`, and with what."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(eq=False)
class Storage:
    """Where a tensor's numbers would lie."""

    kind: str
    key: str
    elements: int


@dataclass(eq=False)
class Claims:
    """What would be made: the object itself, and the tensors and storages in it, in order."""

    content: Any = None
    tensors: list[Call] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)


def is_tensor(made: Any) -> bool:
    """Whether this would be a tensor of any kind."""
    return isinstance(made, Call) and (made.function in STRIDED or made.function in OTHER_TENSORS)


def follow(stream: Any) -> Claims:
    """
    Follows the instructions of one pickle, up to its end.

    Args:
        stream: Something with `read` and `readline` that holds no more than the file, so that lengths cannot lie.

    Raises:
        UnreadableError: if they are damaged or unknown.
        ForeignObjectError: if they would make anything but plain data and tensors; the message is its name.
    """
    machine = _Machine()
    try:
        machine.run(stream)
    except (ForeignObjectError, UnreadableError):
        raise
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, ValueError) as error:
        raise UnreadableError("its instructions are cut off or damaged") from error
    return machine.claims


class _Machine:
    """The instructions' stack, as an unpickler has it, with notes in place of objects."""

    VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
    EMPTY: dict[str, Any] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
    ARGUMENTS = frozenset(["BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"])
    PUT, GET = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
    TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[Any, Any] = {}
        self.claims = Claims()

    def run(self, stream: Any) -> None:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                self.claims.content = self.stack.pop()
                return
            if count > MOST_INSTRUCTIONS:
                raise UnreadableError(f"it has more than {MOST_INSTRUCTIONS:,} instructions")
            self.step(opcode.name, argument)

    def step(self, name: str, argument: Any) -> None:
        if name in self.ARGUMENTS:
            self.stack.append(argument)
        elif name in self.PUT:
            self.memo[argument] = self.stack[-1]
        elif name in self.GET:
            self.stack.append(self.memo[argument])
        elif name in self.VALUES:
            self.stack.append(self.VALUES[name])
        elif name in self.EMPTY:
            self.stack.append(self.EMPTY[name]())
        elif name in self.TUPLES:
            size = self.TUPLES[name]
            self.stack[-size:] = [tuple(self.stack[-size:])]
        else:
            self.rarer(name, argument)

    def rarer(self, name: str, argument: Any) -> None:
        if name == "PROTO":
            if argument > 2:
                raise UnreadableError(f"it is of pickle protocol {argument}, and torch reads 2 safely")
        elif name == "GLOBAL":
            self.stack.append(_named(argument))
        elif name == "MARK":
            self.marks.append(self.stack)
            self.stack = []
        elif name == "BUILD":  # attributes of an object, as the `_metadata` of a state dict
            self.stack.pop()
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = self.stack.pop()
            self.stack[-1] = self.call(self.stack[-1].text, arguments)
        elif name == "BINPERSID":
            self.stack[-1] = self.storage(self.stack[-1])
        else:
            self.fill(name)

    def fill(self, name: str) -> None:
        """Instructions that put something into a container."""
        if name in ("APPEND", "SETITEM"):
            size = 1 if name == "APPEND" else 2
            items, self.stack[-size:] = self.stack[-size:], []
        elif name in ("APPENDS", "SETITEMS", "TUPLE"):
            items, self.stack = self.stack, self.marks.pop()
        else:
            raise UnreadableError(f"it has an instruction ({name}) that torch.save does not write")
        if name == "TUPLE":
            self.stack.append(tuple(items))
        elif name.startswith("APPEND"):
            self.stack[-1].extend(items)
        else:
            self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name.startswith("collections."):
            return dict(*arguments)
        if name == _WITH_ATTRIBUTES:
            return self.call(arguments[0].text, arguments[2])
        if name == "torch.Tensor":  # would ask for memory
            raise ForeignObjectError(name)
        function = name.removeprefix(_UTILS)
        if function in _PARAMETERS:
            return arguments[0]
        made = Call(function, arguments)
        if is_tensor(made):
            self.claims.tensors.append(made)
        return made

    def storage(self, label: tuple[Any, ...]) -> Storage:
        kind, key, elements = label[1], label[2], label[4]
        if label[0] != "storage" or type(elements) is not int:
            raise UnreadableError("it refers to something that is no storage")
        made = Storage(kind.text.rpartition(".")[2], str(key), elements)
        self.claims.storages.append(made)
        return made


def _named(argument: str) -> Name:
    """What a pair of module and name stands for.

    Raises:
        ForeignObjectError: if it is nothing that a checkpoint of plain tensors needs.
    """
    module, _, name = argument.partition(" ")
    text = f"{module}.{name}"
    is_storage = module == "torch" and name.endswith("Storage")
    is_type = module == "torch" and isinstance(vars(torch).get(name), torch.dtype | torch.qscheme)
    is_function = text.startswith(_UTILS) and (name in STRIDED or name in OTHER_TENSORS or name in _PARAMETERS)
    if not (is_storage or is_type or is_function or text in _HARMLESS):
        raise ForeignObjectError(text)
    return Name(text)


__all__ = [
    "ELEMENT_BYTES",
    "OTHER_TENSORS",
    "STRIDED",
    "Call",
    "Claims",
    "ForeignObjectError",
    "Name",
    "Storage",
    "UnreadableError",
    "follow",
    "is_tensor",
]
