"""Eight-bit audio encoders on CPUs: weights and activations as integers, multiplied by oneDNN's VNNI kernels.

Weights are rounded once, each output channel with a step of its own. Activations are rounded as they come, with a step
and a zero for what is worked on at a time: no recordings are needed to prepare a model, and since encoders then hear
one clip (or window) at a time, a clip's embedding does not depend on the others of its batch. What is no linear layer
and no dense convolution (norms, attention, the first layer on the log-mel), and all of YAMNet, stays in fp32, and
so do projections and the text side.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

LEFT_ALONE = ("afm_yamnet",)
FEWEST_CHANNELS = 8  # of a convolution's input: the first ones hear the log-mel itself
_NO_POST_OP: tuple[str, list[Any], str] = ("none", [], "")


class Int8Layer(nn.Module):
    """Rounded weights `(out, in, ...)`, a step of each output channel, the bias in fp32.

    Args:
        weight (`torch.Tensor`): `(out, in, ...)`, in any floating-point format.
        bias (`torch.Tensor`, *optional*): `(out,)`.
    """

    weight: torch.Tensor
    step: torch.Tensor
    zeros: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        weight = weight.detach().float()
        step = (weight.flatten(1).abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        rounded = torch.round(weight / step.view(-1, *[1] * (weight.ndim - 1)))
        self.register_buffer("weight", rounded.to(torch.int8).contiguous())
        self.register_buffer("step", step)
        self.register_buffer("zeros", torch.zeros(len(step), dtype=torch.long), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach().float())
        self._packed: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # oneDNN's own layout can be neither copied nor pickled

    def _apply(self, fn: Any, recurse: bool = True) -> nn.Module:
        """As everywhere, but steps and biases stay in fp32, whatever the model is cast to."""
        kept = {name: getattr(self, name) for name in ("step", "bias")}
        super()._apply(fn, recurse)
        for name, tensor in kept.items():
            if tensor is not None:
                setattr(self, name, tensor.to(self.weight.device))
        check_is_cpu(self.weight.device)
        return self

    def _check(self, inputs: torch.Tensor) -> None:
        if self.training:
            raise ValueError("Eight-bit weights cannot be trained. Load the model with dtype='float32' for training.")
        check_is_cpu(inputs.device)


class Int8Linear(Int8Layer):
    """A linear layer in eight bits; float32 `(..., in_features)` -> float32 `(..., out_features)`."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.weight, layer.bias)

    def forward(self, inputs: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        self._check(inputs)
        if self._packed is None:
            self._packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
        numbers, step, zero = rounded(inputs.reshape(-1, inputs.shape[-1]))
        post_op = ("gelu", [], "none") if gelu else _NO_POST_OP
        outputs = torch.ops.onednn.qlinear_pointwise(
            numbers, step, zero, self._packed, self.step, self.zeros, self.bias, 1.0, 0, torch.float32, *post_op
        )
        return outputs.view(*inputs.shape[:-1], -1)


class Int8Conv2d(Int8Layer):
    """A dense convolution in eight bits; float32 `(batch, in, height, width)` -> float32 `(batch, out, ...)`."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer.weight, layer.bias)
        self.stride, self.padding, self.dilation = layer.stride, layer.padding, layer.dilation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self._check(inputs)
        geometry = (list(self.stride), list(self.padding), list(self.dilation), 1)
        numbers, step, zero = rounded(inputs.contiguous(memory_format=torch.channels_last))
        if self._packed is None:
            self._packed = torch.ops.onednn.qconv_prepack(self.weight, self.step, step, zero, *geometry)
        return torch.ops.onednn.qconv_pointwise(
            numbers, step, zero, self._packed, self.step, self.zeros, self.bias,
            *geometry, 1.0, 0, torch.float32, *_NO_POST_OP,
        )  # fmt: skip


def rounded(inputs: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """
    Numbers as uint8, with their step and zero: `inputs` is about `(numbers - zero) * step`.

    Raises:
        ValueError: there is something that is no number, or has no end, among them.
    """
    low, high = (float(end) for end in torch.aminmax(inputs))
    low, high = min(low, 0.0), max(high, 0.0)
    if not high - low < float("inf"):  # NaN is not, either
        raise ValueError("An activation of the audio encoder is infinite or no number, which eight bits cannot hold.")
    step = max((high - low) / 254, 1e-30)
    zero = round(-low / step)
    # Cutting off what follows the point, half a step higher, is rounding; 254 steps leave room for it at both ends.
    numbers = torch.add(torch.tensor(zero + 0.5), inputs.float(), alpha=1 / step)
    return numbers.to(torch.uint8), step, zero


def check_is_cpu(device: torch.device) -> None:
    """Raises a `ValueError` on all other devices."""
    if device.type != "cpu":
        raise ValueError(f"dtype='int8' is for CPUs, but the model is on {device}. Take dtype='bfloat16' there.")


def check_can_be_saved(model: nn.Module) -> None:
    """Raises a `ValueError` if some of a model's layers are in eight bits, which files do not hold."""
    if is_int8(model):
        raise ValueError(
            "A model in eight bits cannot be saved: its weights were rounded while it was loaded. Keep the "
            "checkpoint, and load it with dtype='int8' where it runs."
        )


def quantize_audio_encoder(model: Any) -> Any:
    """
    Puts a CLAP's audio encoder into eight bits, in place; the model is then in evaluation mode, on the CPU.

    Args:
        model ([`ClapAfmModel`]): In float32.

    Returns:
        The same model.

    Raises:
        ValueError: it is no CLAP of this package, has nothing that could be in eight bits, or the processor cannot
            multiply eight-bit numbers fast (VNNI).
    """
    tower = getattr(model, "audio_model", None)
    if tower is None:
        raise ValueError(
            f"dtype='int8' is for the audio encoder of a CLAP of this package; a {type(model).__name__} has none. Take "
            "dtype='float32' or 'bfloat16'."
        )
    if not has_vnni():
        raise ValueError(
            "dtype='int8' needs a processor with VNNI instructions, which this one lacks. Take dtype='float32'."
        )
    model.eval().to(device="cpu", dtype=torch.float32)
    if not quantize_encoder_layers(tower):
        raise ValueError(
            f"The audio encoder of this {type(model).__name__} has no linear layer and no dense convolution that could "
            "be in eight bits. Take dtype='float32'."
        )
    return model


def quantize_encoder_layers(encoder: nn.Module) -> int:
    """Puts what can be of an audio encoder, in float32 and on the CPU, into eight bits; gives the number of layers."""
    found: list[tuple[nn.Module, str, Any]] = [
        (parent, name, layer)
        for parent in _of_even_activations(encoder)
        for name, layer in parent.named_children()
        if _fits(layer)
    ]
    for parent, name, layer in found:
        small = Int8Conv2d(layer) if isinstance(layer, nn.Conv2d) else Int8Linear(layer)
        parent._modules[name] = small.eval()
    return len(found)


def _of_even_activations(module: nn.Module) -> Iterator[nn.Module]:
    """
    All modules but those of YAMNet: between its depthwise convolutions some channels are so much louder than the others
    that one step for all of them leaves nothing of the rest (cosine to fp32 of 0.1 for some clips).
    """
    if getattr(getattr(module, "config", None), "model_type", None) in LEFT_ALONE:
        return
    yield module
    for child in module.children():
        yield from _of_even_activations(child)


def _fits(layer: nn.Module) -> bool:
    if type(layer) is nn.Linear:
        return True
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.in_channels >= FEWEST_CHANNELS
        and not isinstance(layer.padding, str)
        and layer.padding_mode == "zeros"
    )


def has_vnni() -> bool:
    """Whether the processor multiplies eight-bit numbers without intermediate rounding, and torch makes use of it."""
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    return bool(known is not None and known() and torch.backends.mkldnn.is_available())


def is_int8(model: nn.Module) -> bool:
    """Whether some of its layers are in eight bits."""
    return any(isinstance(module, Int8Layer) for module in model.modules())


__all__ = [
    "Int8Conv2d",
    "Int8Layer",
    "Int8Linear",
    "check_can_be_saved",
    "check_is_cpu",
    "has_vnni",
    "is_int8",
    "quantize_audio_encoder",
    "quantize_encoder_layers",
]
