"""Batch norms that are not trained stand still.

In training mode a batch norm moves its running statistics whether or not its weights learn. An adapter (LoRA, ...) is
saved without them, so that the model that is loaded again would not be the one that was trained. Here a batch norm
whose weight takes no gradient stays in evaluation mode; it may learn as a whole, and is then saved, with PEFT's
`modules_to_save`.
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers.utils import logging

from .text_side_afm import is_adapter

logger = logging.get_logger(__name__)


class StillBatchNorms:
    """Mixin of models, before `PreTrainedModel`: `train()` leaves batch norms that are not trained as they are."""

    def train(self, mode: bool = True) -> Any:
        """As everywhere, but batch norms whose weight takes no gradient stay in evaluation mode."""
        model: nn.Module = super().train(mode)  # type: ignore[misc]
        if mode:
            hold_untrained_batch_norms(model)
        return model


def hold_untrained_batch_norms(model: nn.Module) -> int:
    """Puts batch norms whose weight takes no gradient into evaluation mode; returns how many these are."""
    still = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.weight is not None and not module.weight.requires_grad
    ]
    for norm in still:
        norm.eval()
    if still and any(map(is_adapter, model.modules())):
        logger.warning_once(
            "The batch norms that an adapter does not train keep their running statistics, because an adapter is saved "
            "without them. To train them too, name their module in `modules_to_save`."
        )
    return len(still)


__all__ = ["StillBatchNorms", "hold_untrained_batch_norms"]
