"""Eight-bit language models on CPUs: a step of decoding reads a quarter of the bytes, and takes as long as that.

Weights are rounded once, each output channel with a step of its own. Activations are not rounded to eight bits, which
would cost words: each row of them becomes two rows of seven bits, its largest number being 63, and what rounding has
left over, times 126. Both are multiplied while the weights are read once, and added up: some thirteen bits. As each row
has a step of its own, a text does not depend on the others of its batch; and since two products of seven and eight bits
fit into sixteen, processors without VNNI instructions can do it, too.
"""

import functools
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from .few_rows_afm import AfmVocabularyHead, FewRowsConv1D, FewRowsLinear
from .int8_afm import Int8Layer, has_vnni

LARGEST = 63  # of seven bits with a sign
FINER = 2 * LARGEST  # steps of what is left over in a step of the first part
ZERO = 64  # is added to all, so that they are unsigned
# Classes of their own that are not named here stay as they are: they may do more than multiply.
KINDS = (nn.Linear, Conv1D, AfmVocabularyHead, FewRowsConv1D, FewRowsLinear)
# Layers of one parent that read the same, by their names in Llama and in this package's mappers.
SAME_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("to_queries", "to_keys_values"))


class Int8TextLinear(Int8Layer):
    """
    A linear layer with weights in eight bits, `(..., in_features)` -> `(..., out_features)` in the inputs' dtype.

    Args:
        weight (`torch.Tensor`): `(out_features, in_features)`.
        bias (`torch.Tensor`, *optional*): `(out_features,)`.
    """

    factors: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(weight, bias)
        factors = torch.tensor([LARGEST, LARGEST * FINER], dtype=torch.float32)
        self.register_buffer("factors", factors.view(2, 1, 1), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training or not inputs.is_cpu or inputs.requires_grad:
            self._check(inputs)
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        largest, parts = in_two_parts(rows, self.factors)
        whole, rest = self._multiply(parts).chunk(2)
        outputs, bias = torch.add(whole, rest, alpha=1 / FINER), self.bias
        outputs = outputs.mul_(largest) if bias is None else torch.addcmul(bias, outputs, largest)
        return outputs.view(*inputs.shape[:-1], -1).to(inputs.dtype)

    def _check(self, inputs: torch.Tensor) -> None:
        super()._check(inputs)
        if inputs.requires_grad and torch.is_grad_enabled():
            raise ValueError("No gradients go through eight-bit weights. Load the model with dtype='float32' for them.")

    def _multiply(self, parts: torch.Tensor) -> torch.Tensor:
        """The products of numbers from -63 to 63, `(rows, in_features)` -> `(rows, out_features)`, by the channels'."""
        way = way_for(len(parts))
        packed = self._packed.get(way) if self._packed else None
        if packed is None:
            packed = pack(self.weight, self.step / LARGEST, way)
            self._packed = {**(self._packed or {}), way: packed}
        if way == "fbgemm":
            return torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default(parts, 1.0, ZERO, packed)
        numbers = parts.round_().add_(ZERO).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            numbers, 1.0, ZERO, packed, self.step / LARGEST, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )


def in_two_parts(rows: torch.Tensor, factors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Rows as two rows of numbers that are yet to be rounded, from -63 to 63.

    Args:
        rows (`torch.Tensor` of shape `(rows, features)`): In float32.
        factors (`torch.Tensor` of shape `(2, 1, 1)`): 63, and 63 times 126.

    Returns:
        The largest number of each row, `(rows, 1)`, and `(2 * rows, features)`: all first parts, then all second ones.
        Rounded, with the second divided by 126, their sum is 63 times the row over its largest number. Of a row of
        zeros they are no numbers, which times its largest is 0 again once they are rounded.
    """
    largest = rows.abs().amax(dim=-1, keepdim=True)
    parts = rows * (factors / largest)  # (2, rows, features)
    whole, rest = parts.unbind()
    rest.sub_(whole.round(), alpha=FINER)
    return largest, parts.view(-1, rows.shape[1])


def way_for(rows: int) -> str:
    """Which of torch's libraries multiplies so many rows: fbgemm is faster for few, oneDNN for many if it has VNNI."""
    return "fbgemm" if has_fbgemm() and (rows < many_rows() or not has_vnni()) else "onednn"


@functools.cache
def many_rows() -> int:
    """From how many rows on oneDNN is the faster one; it makes use of AMX, which fbgemm does not."""
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return 8 if has_amx is not None and has_amx() else 32


def pack(weight: torch.Tensor, step: torch.Tensor, way: str) -> Any:
    """
    Weights as the kernels of a library want them.

    Args:
        weight (`torch.Tensor` of shape `(out, in)`): In int8.
        step (`torch.Tensor` of shape `(out,)`): In float32; fbgemm keeps it, too.
        way (`str`): `"fbgemm"` or `"onednn"`.
    """
    if way == "onednn":
        return torch.ops.onednn.qlinear_prepack(weight, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the type of the tensor that is handed over is deprecated, its kernels not
        zeros = torch.zeros(len(step), dtype=torch.long)
        numbers = torch._make_per_channel_quantized_tensor(weight, step.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(numbers, None)


def has_int8_kernels() -> bool:
    """Whether torch can multiply such layers fast on this processor."""
    return has_fbgemm() or has_vnni()


@functools.cache
def has_fbgemm() -> bool:
    """Whether torch has fbgemm's kernels, and the processor the instructions (AVX2) for them."""
    known = all(
        hasattr(torch.ops.quantized, name)
        for name in ("linear_prepack", "linear_with_input_q_dq_qweight_dq_output_fp32")
    )
    made = hasattr(torch, "_make_per_channel_quantized_tensor")
    return known and made and "fbgemm" in torch.backends.quantized.supported_engines


class Int8Joint(nn.Module):
    """
    Layers that read the same, multiplied at once: the first of them that is asked makes the product of all.

    Args:
        layers (`list[torch.nn.Module]`): As of [`weight_and_bias`].
    """

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        weights, biases = zip(*map(weight_and_bias, layers), strict=True)
        self.widths = [len(weight) for weight in weights]
        bias = None
        if any(each is not None for each in biases):
            bias = torch.cat(
                [
                    torch.zeros(len(weight)) if each is None else each
                    for weight, each in zip(weights, biases, strict=True)
                ]
            )
        self.layer = Int8TextLinear(torch.cat(weights), bias)
        self._kept: tuple[Any, dict[int, torch.Tensor]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def forward(self, inputs: torch.Tensor, index: int) -> torch.Tensor:
        """What layer `index` makes of the inputs; what the others make of them is kept until they ask for it."""
        kept = self._kept
        if kept is None or kept[0]() is not inputs or index not in kept[1]:
            made = self.layer(inputs).split(self.widths, dim=-1)
            kept = self._kept = (weakref.ref(inputs), dict(enumerate(made)))
        outputs = kept[1].pop(index)
        if not kept[1]:
            self._kept = None
        return outputs


class Int8Part(nn.Module):
    """One of the layers of an [`Int8Joint`], in its place."""

    def __init__(self, joint: Int8Joint, index: int) -> None:
        super().__init__()
        self.joint, self.index = joint, index

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """`(..., in_features)` -> `(..., out_features)`"""
        return self.joint(inputs, self.index)


def weight_and_bias(layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Of a linear layer, or GPT-2's, whose weights stand the other way round: `(out, in)` and `(out,)`."""
    return (layer.weight.t() if isinstance(layer, Conv1D) else layer.weight), layer.bias


def quantize_text_side(model: nn.Module, but: tuple[nn.Module, ...] = ()) -> None:
    """
    Puts the linear layers of a model that makes text into eight bits, in place; it is then in evaluation mode.

    Tables of words and places, norms and all that is no linear layer stay as they are: a table is read a row at a time,
    and a head that shares its weights has its own from now on.

    Args:
        model (`torch.nn.Module`): On the CPU.
        but (`tuple` of `torch.nn.Module`): Parts that are left alone.

    Raises:
        ValueError: there is no linear layer, something is not on the CPU, or torch has no kernels for this processor.
    """
    if not has_int8_kernels():
        raise ValueError(
            "dtype='int8' needs a processor of the x86 family with AVX2 instructions. Take dtype='float32'."
        )
    places = {parameter.device.type for parameter in model.parameters()} - {"cpu"}
    if places:
        raise ValueError(f"dtype='int8' is for CPUs, but the model is on {places.pop()}. Take dtype='bfloat16' there.")
    found = [
        (parent, name)
        for parent in _all_but(model, but)
        for name, layer in parent.named_children()
        if type(layer) in KINDS
    ]
    if not found:
        raise ValueError(f"A {type(model).__name__} has no linear layers to be in eight bits. Take dtype='float32'.")
    for parent, name in found:
        layer: Any = parent._modules[name]
        if not isinstance(layer, Int8Part):  # its sibling has brought it with it
            names = next((each for each in SAME_INPUT if name == each[0]), (name,))
            siblings = [parent._modules.get(each) for each in names]
            if len(names) > 1 and all(type(each) in (nn.Linear, FewRowsLinear) for each in siblings):
                joint = Int8Joint(siblings)
                parent._modules.update({each: Int8Part(joint, index) for index, each in enumerate(names)})
            else:
                parent._modules[name] = Int8TextLinear(*weight_and_bias(layer))
    model.eval().requires_grad_(False)


def _all_but(module: nn.Module, but: tuple[nn.Module, ...]) -> Iterator[nn.Module]:
    if module in but:
        return
    yield module
    for child in module.children():
        yield from _all_but(child, but)


__all__ = [
    "Int8Joint",
    "Int8Part",
    "Int8TextLinear",
    "has_fbgemm",
    "has_int8_kernels",
    "in_two_parts",
    "many_rows",
    "pack",
    "quantize_text_side",
    "way_for",
    "weight_and_bias",
]
