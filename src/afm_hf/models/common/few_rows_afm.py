"""Products of few rows on CPUs, as a step of beams or of a small batch makes them: bound by reading the weights.

For more than one row the library that torch calls of itself reads them at half the speed or less. oneDNN, which is part
of torch, reads weights of shape `(out, in)` nearly as fast for eight rows as for one. GPT-2's stand the other way
round; where a model is loaded to be run, a turned copy of them is kept. Measured with torch 2.13 and AVX-512, 5 rows:
50 258 words take 30 ms as torch multiplies, 36 with the weights as the left side, 23 here; GPT-2's 768 by 2304 take 1.5
ms and 0.8.
"""

from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from .fused_linear_afm import fuse_gelus, is_undisturbed

# Fewer, and more, are as fast as torch multiplies them; where fewer are, depends on the processor.
LEAST_ROWS = 4 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 2
MOST_ROWS = 64


def are_few_rows(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether `multiply` is faster than torch's own product of inputs `(..., in)` with a weight, and possible."""
    return (
        is_undisturbed(inputs)  # first: a graph that is traced knows neither processors nor numbers of rows
        and LEAST_ROWS <= inputs.numel() // max(1, inputs.shape[-1]) <= MOST_ROWS
        and type(weight) in (nn.Parameter, torch.Tensor)  # not what a library has quantised, or spread over devices
        and inputs.dtype == weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


def multiply(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """As `F.linear`; the weight `(out, in)` lies in memory row by row."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


class FewRowsLinear(nn.Linear):
    """A linear layer of a language model that is run; see [`prepare_for_few_rows`]."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """`(..., in_features)` -> `(..., out_features)`."""
        if are_few_rows(inputs, self.weight) and self.weight.is_contiguous():
            return multiply(inputs, self.weight, self.bias)
        return super().forward(inputs)


class AfmVocabularyHead(FewRowsLinear):
    """A linear layer as wide as a vocabulary."""


class FewRowsConv1D(Conv1D):
    """GPT-2's linear layer, of weights `(in, out)`; see [`prepare_for_few_rows`]."""

    _turned: "_Turned"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(..., in)` -> `(..., out)`."""
        if are_few_rows(x, self.weight) and not self.weight.is_inference():  # which counts no changes
            return multiply(x, self._turned.of(self.weight), self.bias)
        return super().forward(x)


class _Turned:
    """A turned copy of a weight, made when it is first used, and anew where the weight has changed."""

    def __init__(self) -> None:
        self._copy: torch.Tensor | None = None
        self._of: tuple[int, int] | None = None

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """`(in, out)` -> `(out, in)`; changes through `.data` within the same memory are not noticed."""
        state = (weight.data_ptr(), weight._version)
        if self._copy is None or self._of != state:
            self._copy, self._of = weight.detach().t().contiguous(), state
        return self._copy

    def __reduce__(self) -> Any:
        return _Turned, ()


def prepare_for_few_rows(language_model: nn.Module) -> None:
    """
    Prepares a language model that is to be run for decoding beams and small batches on a CPU in float32.

    GPT-2's layers keep a turned copy of their weights once 2 (with AVX-512 4) to 64 rows are multiplied, which takes as
    much memory again; its GELU is computed in one pass. The weights themselves are not touched, and with gradients
    everything is computed as before. What is no linear layer of torch or GPT-2 (a layer of PEFT, a quantised one) is
    left alone.

    Args:
        language_model (`torch.nn.Module`): Of transformers.
    """
    fuse_gelus(language_model)
    layer: Any
    for layer in language_model.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = FewRowsLinear
        elif type(layer) is Conv1D:
            layer.__class__ = FewRowsConv1D
            layer._turned = _Turned()


__all__ = [
    "AfmVocabularyHead",
    "FewRowsConv1D",
    "FewRowsLinear",
    "are_few_rows",
    "multiply",
    "prepare_for_few_rows",
]
