"""In which number format a model computes: one choice, `dtype`, for pipelines, the embedder and every command."""

from typing import Any

import torch
from transformers.utils import logging

logger = logging.get_logger(__name__)

DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")


def pick_dtype(dtype: str | None, device: str | torch.device = "cpu") -> str | None:
    """
    The number format that is meant by `dtype` on a device; logs what was picked of itself.

    Args:
        dtype (`str`, *optional*):
            `"auto"` is `"bfloat16"` where the processor (or GPU) has instructions for it, else `"float32"`. Others mean
            themselves; `None` is the checkpoint's own.
        device (`str` or `torch.device`): Where the model will run.

    Returns:
        `None`, `"float32"`, `"bfloat16"`, `"float16"` or `"int8"`.

    Raises:
        ValueError: there is no such format, or the device cannot have it.

    Example:
    ```python
    >>> pick_dtype("float32")
    'float32'
    >>> pick_dtype("float64")
    Traceback (most recent call last):
    ...
    ValueError: dtype is 'float64'; expected auto, float32, bfloat16, float16, int8, or None for the checkpoint's own.

    ```
    """
    if dtype is None:
        return None
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; expected {', '.join(DTYPES)}, or None for the checkpoint's own.")
    place = torch.device(device)
    if dtype == "auto":
        picked = "bfloat16" if has_bfloat16(place) else "float32"
        logger.info(f"dtype='auto' picked {picked} on {place.type}.")
        return picked
    if dtype == "int8" and place.type != "cpu":
        raise ValueError(f"dtype='int8' is for CPUs, but the model is to run on {place}. Take dtype='bfloat16' there.")
    if dtype == "bfloat16" and not has_bfloat16(place):
        logger.warning_once(
            f"This {'processor' if place.type == 'cpu' else place.type} has no instructions for bfloat16: it is less "
            "exact than float32 and probably slower. dtype='auto' picks what suits the machine."
        )
    return dtype


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 numbers itself: what has no such instructions is slower than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return device.type in ("xpu", "npu")
    # Not torch's "is supported", which is also true where oneDNN imitates it with float32 instructions.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(bool(known()) for name in names if (known := getattr(torch.cpu, name, None)) is not None)


def precision_of(model: Any) -> str:
    """The number format of a loaded model: `"int8"`, `"float32"`, ..."""
    from ..models.common.int8_afm import is_int8

    return "int8" if is_int8(model) else str(model.dtype).removeprefix("torch.")


__all__ = ["DTYPES", "has_bfloat16", "pick_dtype", "precision_of"]
