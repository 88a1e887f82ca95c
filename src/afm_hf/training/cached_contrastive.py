"""
Contrastive training with large batches in little memory: GradCache (Gao et al., 2021, arXiv 2101.06983).

The loss needs the embeddings of the whole batch, but the towers need not hold the graphs of all at once. First all
chunks are embedded without a graph, then the loss gives the gradient of each embedding, then each chunk is embedded
again, with a graph and the same random numbers, and the gradient goes on into the towers. Loss and gradients are those
of the plain batch; the price is one more forward pass.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from .freezing import batch_norms_in_training
from .losses import ContrastiveLoss

EMBEDDINGS = ("audio_embeds", "text_embeds")
NUM_PAIRS = "num_pairs"


class _RandomState:
    """State of the random generators of the CPU and of one device."""

    def __init__(self, device: torch.device) -> None:
        self.devices = [device] if device.type == "cuda" else []
        self.cpu = torch.get_rng_state()
        self.others = [torch.cuda.get_rng_state(one) for one in self.devices]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside, the numbers that followed the record come again; outside, nothing has happened."""
        with torch.random.fork_rng(devices=self.devices):
            torch.set_rng_state(self.cpu)
            for device, state in zip(self.devices, self.others, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


def unwrap(model: nn.Module) -> Any:
    """The model inside DistributedDataParallel, DataParallel and `torch.compile`."""
    inner: Any = model
    while hasattr(inner, "module") or hasattr(inner, "_orig_mod"):
        inner = inner.module if hasattr(inner, "module") else inner._orig_mod
    return inner


def caption_ids(input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """A number for each text `(texts,)`, int64, the same for the same tokens, however they are padded."""
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    rows = [ids[kept.bool()].cpu().numpy().astype(np.int64) for ids, kept in zip(input_ids, mask, strict=True)]
    digests = [hashlib.sha256(row.tobytes()).digest()[:8] for row in rows]
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests], device=input_ids.device)


def negative_ids(inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """Numbers of the texts of a batch with negatives, by which the loss knows a pair's own text; else None."""
    if inputs.get(NUM_PAIRS) is None or "input_ids" not in inputs:
        return None
    return caption_ids(inputs["input_ids"], inputs.get("attention_mask"))


def split_inputs(inputs: Mapping[str, Any], chunk_size: int) -> list[dict[str, Any]]:
    """
    Inputs of a model in chunks of pairs; what is no tensor goes to every chunk.

    With `num_pairs` among them audios and texts may have different numbers of negatives behind the pairs; each is then
    cut into as many parts as the pairs alone would be.

    Raises:
        ValueError: if `chunk_size` is below 1, or the tensors have different numbers of rows, or there is none.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` is {chunk_size}; expected 1 or more pairs.")
    rows = {name: len(value) for name, value in inputs.items() if isinstance(value, torch.Tensor) and value.ndim}
    if inputs.get(NUM_PAIRS) is not None and rows:
        count = -(-inputs[NUM_PAIRS] // chunk_size)
        parts = {name: inputs[name].tensor_split(count) for name in rows}
        others = {name: value for name, value in inputs.items() if name not in rows and name != NUM_PAIRS}
        return [{**others, **{name: parts[name][index] for name in rows}} for index in range(count)]
    if len(set(rows.values())) != 1:
        raise ValueError(f"The inputs of contrastive training have one row a pair, but their rows are {rows}.")
    return [
        {name: value[start : start + chunk_size] if name in rows else value for name, value in inputs.items()}
        for start in range(0, next(iter(rows.values())), chunk_size)
    ]


def cached_contrastive(
    model: Any,
    inputs: Mapping[str, Any],
    chunk_size: int,
    loss: ContrastiveLoss | None = None,
    backward: Callable[[torch.Tensor], Any] = torch.Tensor.backward,
) -> torch.Tensor:
    r"""
    Adds the gradients of the contrastive loss of a whole batch to the model's parameters, chunk by chunk.

    Works inside `torch.autocast`, with frozen parts, and in DistributedDataParallel, where gradients are exchanged
    once.

    Args:
        model ([`ClapAfmModel`]): The model, plain or wrapped for distributed training, in training mode.
        inputs (`dict`):
            What the model is called with; the first dimension counts pairs, and what is behind `num_pairs` of them,
            if that is given, negatives.
        chunk_size (`int`): Pairs that are embedded at a time with a graph.
        loss ([`ContrastiveLoss`], *optional*): One that does not gather across processes, for example.
        backward (`Callable`, *optional*): Called with a scalar in place of `scalar.backward()`, to scale it.

    Returns:
        The loss of this process's pairs, without graph.

    Raises:
        ValueError: if a batch norm would normalise by the statistics of a chunk, the inputs do not fit together, or
            nothing is to be trained.
    """
    chunks = split_inputs({**inputs, "return_loss": False}, chunk_size)
    inner = unwrap(model)
    device = next(inner.parameters()).device
    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_RandomState(device))
            outputs = inner(**chunk)
            if names := batch_norms_in_training(inner):
                raise ValueError(
                    f"{len(names)} batch norms (the first is {names[0]!r}) would normalise each chunk by itself, which "
                    "is not the loss of the whole batch. Call `freeze_batch_norms(model)` first, or train without "
                    "chunks."
                )
            parts.append([outputs[name].detach() for name in EMBEDDINGS])
    torch.clear_autocast_cache()  # weights cast without a graph would be taken again, and get no gradient
    leaves = [torch.cat(column).requires_grad_() for column in zip(*parts, strict=True)]
    scale = inner.logit_scale.detach().clone().requires_grad_()
    value = (loss or ContrastiveLoss())(*leaves, scale, inputs.get(NUM_PAIRS), negative_ids(inputs))
    value.backward()
    gradients: list[Any] = [leaf.grad for leaf in leaves]

    starts = dict.fromkeys(EMBEDDINGS, 0)
    for index, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
        is_last = index == len(chunks) - 1
        # Only the last backward pass exchanges gradients, those of all chunks and of the scale.
        with nullcontext() if is_last or not hasattr(model, "no_sync") else model.no_sync():
            with state.again():
                outputs = model(**chunk)
            terms = []
            for name, gradient in zip(EMBEDDINGS, gradients, strict=True):
                start = starts[name]
                starts[name] += len(outputs[name])
                if outputs[name].requires_grad:
                    terms.append((outputs[name] * gradient[start : starts[name]]).sum())
            if is_last and inner.logit_scale.requires_grad:
                terms.append((inner.logit_scale * scale.grad).sum())
            if terms:
                backward(torch.stack(terms).sum())
            elif is_last:
                raise ValueError("Nothing is to be trained: no embedding has a gradient, nor has `logit_scale`.")
    return value.detach()


__all__ = ["cached_contrastive", "caption_ids", "negative_ids", "split_inputs"]
