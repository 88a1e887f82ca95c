"""Linear layers on CPUs, without gradients: weights in oneDNN's own layout, bias and GELU in the same pass.

`torch.nn.functional.linear` first spreads the bias over its output, then adds the product to it; a GELU reads and
writes everything once more. oneDNN, which is part of torch, does all in one pass over weights that it has laid out for
its kernels. That layout is a copy, so that it is made only where a model is loaded to be run, by
[`pack_linear_layers`], and used only while the weights are those that were copied. What is not exactly a linear layer
of torch (a layer of PEFT, one with hooks, a quantised one) is called as it is.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import NewGELUActivation

from .int8_afm import Int8Linear

_PACKED = "_afm_packed"
_ROWS = 256  # a hint for the layout; any number of rows can be multiplied with it


class _Packed:
    """A weight in oneDNN's layout, made when it is first used, and of which weight it is."""

    def __init__(self) -> None:
        self.weight: torch.Tensor | None = None
        self._of: tuple[int, int] | None = None

    def of(self, layer: nn.Linear) -> torch.Tensor:
        """The layer's weight in that layout; made anew where it has changed (except through `.data`)."""
        state = (layer.weight.data_ptr(), layer.weight._version)
        if self.weight is None or self._of != state:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _ROWS)
            self._of = state
        return self.weight

    def __reduce__(self) -> Any:
        return _Packed, ()  # what is in that layout can be neither copied nor pickled


def pack_linear_layers(model: nn.Module) -> None:
    """
    Lets the linear layers of a model that is to be run, not trained, keep their weights in oneDNN's layout, too.

    It takes as much memory again as these weights, once they are used. Weights that are changed later are noticed, but
    not through `.data` within the same memory.

    Args:
        model (`torch.nn.Module`): On a CPU, in float32; layers of other kinds are left alone.
    """
    for layer in model.modules():
        if type(layer) is nn.Linear and layer.weight.dtype == torch.float32 and layer.weight.device.type == "cpu":
            setattr(layer, _PACKED, _Packed())


def fuse_gelus(model: nn.Module) -> None:
    """
    Lets GPT-2's GELU (the one with a tanh), which transformers writes in pieces, be computed in one pass.

    Args:
        model (`torch.nn.Module`): One that is to be run, on any device.
    """
    parent: Any
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is NewGELUActivation:
                parent._modules[name] = nn.GELU("tanh")


def linear(layer: nn.Module, inputs: torch.Tensor, gelu: bool = False) -> torch.Tensor:
    """
    `layer(inputs)`, and the exact GELU of it if asked for: `(..., in_features)` -> `(..., out_features)`.

    Args:
        layer (`torch.nn.Module`): A linear layer, or what stands in its place.
        inputs (`torch.Tensor`): In the layer's dtype.
        gelu (`bool`, *optional*): Whether a GELU follows. Without gradients it takes the place of the layer's result.
    """
    if isinstance(layer, Int8Linear):
        return layer(inputs, gelu)
    if _can_be_packed(layer, inputs):
        what: tuple[str, list[Any], str] = ("gelu", [], "none") if gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(inputs, getattr(layer, _PACKED).of(layer), layer.bias, *what)
    outputs = layer(inputs)
    if not gelu:
        return outputs
    # In place: this is the largest activation of a model, and a second one would leave the cache.
    return F.gelu(outputs) if torch.is_grad_enabled() else torch.ops.aten.gelu_(outputs)


def _can_be_packed(layer: nn.Module, inputs: torch.Tensor) -> bool:
    """Whether the layer may be packed, is still nothing but a product and a bias, and nobody looks on."""
    if _PACKED not in vars(layer) or type(layer) is not nn.Linear or not is_undisturbed(inputs):
        return False
    weight = layer.weight
    return (
        type(inputs) is torch.Tensor
        and type(weight) is nn.Parameter
        and not weight.is_inference()  # counts no changes
        and not (layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))
        and inputs.dtype == weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


def is_undisturbed(inputs: torch.Tensor) -> bool:
    """Whether something is computed on a CPU, without gradients, now and by torch itself: not traced or exported."""
    return (
        inputs.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
    )


__all__ = ["fuse_gelus", "is_undisturbed", "linear", "pack_linear_layers"]
