"""
Contrastive training with large batches in little memory: GradCache (Gao et al., 2021, arXiv 2101.06983).

The loss needs the embeddings of the whole batch, but the towers need not hold the graphs of all at once. First all
chunks are embedded without a graph, then the loss gives the gradient of each embedding, then each chunk is embedded
again, with a graph and the same random numbers, and the gradient goes on into the towers. Loss and gradients are those
of the plain batch; the price is one more forward pass.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from .freezing import batch_norms_in_training
from .losses import ContrastiveLoss

EMBEDDINGS = ("audio_embeds", "text_embeds")


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


def split_inputs(inputs: Mapping[str, Any], chunk_size: int) -> list[dict[str, Any]]:
    """
    Inputs of a model in chunks of pairs; what is no tensor goes to every chunk.

    Raises:
        ValueError: if `chunk_size` is below 1, or the tensors have different numbers of rows, or there is none.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` is {chunk_size}; expected 1 or more pairs.")
    rows = {name: len(value) for name, value in inputs.items() if isinstance(value, torch.Tensor) and value.ndim}
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
        inputs (`dict`): What the model is called with; the first dimension counts pairs.
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
    value = (loss or ContrastiveLoss())(*leaves, scale)
    value.backward()
    gradients: list[Any] = [leaf.grad for leaf in leaves]

    start = 0
    for index, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
        is_last = index == len(chunks) - 1
        # Only the last backward pass exchanges gradients, those of all chunks and of the scale.
        with nullcontext() if is_last or not hasattr(model, "no_sync") else model.no_sync():
            with state.again():
                outputs = model(**chunk)
            end = start + len(outputs[EMBEDDINGS[0]])
            terms = [
                (outputs[name] * gradient[start:end]).sum()
                for name, gradient in zip(EMBEDDINGS, gradients, strict=True)
                if outputs[name].requires_grad
            ]
            if is_last and inner.logit_scale.requires_grad:
                terms.append((inner.logit_scale * scale.grad).sum())
            if terms:
                backward(torch.stack(terms).sum())
            elif is_last:
                raise ValueError("Nothing is to be trained: no embedding has a gradient, nor has `logit_scale`.")
            start = end
    return value.detach()


__all__ = ["cached_contrastive", "split_inputs"]
