"""What feature extractors and processors return: a batch whose log-mels stay in fp32."""

from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature

KEPT = ("input_features", "views", "input_features_mask")  # log-mels, and what part of a window is heard


class AfmBatchFeature(BatchFeature):
    """
    A [`BatchFeature`] whose `to` moves all tensors, and casts all floating ones but log-mels.

    `inputs.to(model.device, torch.bfloat16)` is how inputs are brought to a model in half precision, and pipelines do
    so by themselves. But log-mels span some 100 dB: with three digits the quiet parts are lost before the model's batch
    norm, which works in fp32, has brought them near. The models cast what comes behind it.
    """

    def to(self, *args: Any, **kwargs: Any) -> "AfmBatchFeature":
        """As the stock one, but log-mels keep their dtype."""
        kept = {name: self.data[name] for name in KEPT if isinstance(self.data.get(name), torch.Tensor)}
        super().to(*args, **kwargs)
        for name, log_mels in kept.items():
            device = self.data[name].device
            self.data[name] = log_mels.to(device, non_blocking=kwargs.get("non_blocking", False))
        return self


__all__ = ["AfmBatchFeature"]
