"""Parts of a model that stand still while `Trainer` trains the rest.

`Trainer` calls `model.train()` before every step, which wakes dropout, SpecAugment and the running statistics of batch
norms also where no parameter has a gradient: the trap of the authors' training code. A part frozen here goes back to
evaluation mode whenever it runs, whoever called `train()`.
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def _stand_still(module: nn.Module, _: Any) -> None:
    """Forward pre-hook, a plain function so that copies of the module keep it."""
    if module.training:
        module.eval()


def _hold(module: nn.Module) -> None:
    if _stand_still not in module._forward_pre_hooks.values():
        module.register_forward_pre_hook(_stand_still)
    module.eval()


def freeze(module: nn.Module) -> nn.Module:
    """
    No gradients, and evaluation mode for good: no SpecAugment, no dropout, fixed batch norms.

    Args:
        module (`nn.Module`): A part of a model that runs by being called, for example `clap.audio_model`.

    Returns:
        The module itself.
    """
    module.requires_grad_(False)
    _hold(module)
    return module


def freeze_batch_norms(model: nn.Module) -> int:
    """
    Batch norms keep their running statistics and normalise by them, also in training; their weights may still learn.

    Returns:
        How many batch norms the model has.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        _hold(norm)
    return len(norms)


def batch_norms_in_training(model: nn.Module) -> list[str]:
    """Names of the batch norms that would use the statistics of the batch, as the modules' flags are now."""
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.training]


__all__ = ["batch_norms_in_training", "freeze", "freeze_batch_norms"]
