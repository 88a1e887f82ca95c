"""What each process of a training with FSDP2 does, for a tiny model."""

import torch
from conformity_models import make_row
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def gradients(model, loss):
    """The loss, and the norm of each gradient by the name of its weight."""
    loss.backward()
    whole = {
        name: value.grad.full_tensor() if hasattr(value.grad, "full_tensor") else value.grad
        for name, value in model.named_parameters()
        if value.grad is not None
    }
    return loss.item(), {name: value.norm().item() for name, value in whole.items()}


def sharded(rank, kind):
    """As [`gradients`], with every block of `_no_split_modules` sharded by itself; and how many blocks these are."""
    row = make_row(kind)
    mesh, blocks = init_device_mesh("cpu", (2,)), 0
    for module in list(row.model.modules()):
        if type(module).__name__ in row.model._no_split_modules:
            fully_shard(module, mesh=mesh)
            blocks += 1
    scalars = {value for value in row.model.parameters() if value.ndim == 0}  # CLAP's temperature, as CLIP's
    fully_shard(row.model, mesh=mesh, ignored_params=scalars)
    return *gradients(row.model, row.loss()), blocks


def split_by_tensors(rank, folder, kind):
    """Logits and a generated answer of a model whose matrices lie in two processes, and how many of them do."""
    from transformers.distributed import DistributedConfig

    row = make_row(kind)
    model = type(row.model).from_pretrained(folder, distributed_config=DistributedConfig(tp_plan="auto", tp_size=2))
    split = sum(hasattr(value, "placements") and value.to_local().shape != value.shape for value in model.parameters())
    return *spoken(model.eval(), row.inputs), split


@torch.no_grad()
def spoken(model, inputs):
    """The logits, as lists, and the tokens of a generated answer."""
    made = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    return model(**inputs).logits.clamp(min=-1e4).tolist(), made.tolist()


def refusal(rank, folder, kind):
    """What is said to who wants the matrices of a model in two processes that has no plan for it."""
    try:
        split_by_tensors(rank, folder, kind)
    except ValueError as error:
        return str(error)
    return ""
