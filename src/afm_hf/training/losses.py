"""CLAP's symmetric contrastive loss over the pairs of all processes, exact in value and gradient.

Every process compares its own audios with the texts of all processes, and its own texts with all audios (arXiv
2206.04769, section 2.1). The gather carries gradients, so the mean of the processes' losses and gradients, which is
what DistributedDataParallel makes, equals loss and gradient of one process with all pairs.
"""

import torch
from torch import distributed, nn
from torch.nn import functional as F

from ..models.clap_afm.losses_clap_afm import say_if_nothing_is_learned


def gather_with_gradient(embeddings: torch.Tensor) -> tuple[torch.Tensor, int]:
    """
    Rows of all processes, in the order of their ranks, and where this process's own begin.

    Processes may have different numbers of rows. Gradients flow back to the process that made a row.

    Args:
        embeddings (`torch.Tensor` of shape `(rows, dim)`): This process's rows; `dim` is the same everywhere.

    Returns:
        `(all rows, dim)`, and the offset of this process's rows; the input and 0 without distributed training.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return embeddings, 0
    from torch.distributed.nn.functional import all_gather

    own = torch.tensor([len(embeddings)], device=embeddings.device)
    counts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, own)
    rows = [int(count) for count in counts]
    # Filled up to the longest, because a collective wants equal shapes; the filling is cut off again.
    filled = F.pad(embeddings, (0, 0, 0, max(rows) - len(embeddings))).contiguous()
    parts = [part[:count] for part, count in zip(all_gather(filled), rows, strict=True)]
    return torch.cat(parts), sum(rows[: distributed.get_rank()])


class ContrastiveLoss(nn.Module):
    """
    Symmetric cross-entropy of scaled similarities; the text at each place belongs to the audio at the same place.

    Args:
        gather (`bool`, *optional*, defaults to `True`):
            Whether the pairs of the other processes count as negatives. Without it each process is by itself.

    Example:
    ```python
    >>> import torch
    >>> from afm_hf.training.losses import ContrastiveLoss

    >>> embeds = torch.eye(4)
    >>> round(ContrastiveLoss()(embeds, embeds, torch.tensor(0.0)).item(), 3)
    0.744

    ```
    """

    def __init__(self, gather: bool = True) -> None:
        super().__init__()
        self.gather = gather

    def forward(self, audio_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
        """
        The loss of this process's pairs, in fp32 or fp64; the mean over the processes is the loss of all pairs.

        Args:
            audio_embeds, text_embeds (`torch.Tensor` of shape `(pairs, dim)`): L2-normalised.
            logit_scale (`torch.Tensor` of shape `()`): Logarithm of what similarities are multiplied by.

        Raises:
            ValueError: if the embeddings are no two matrices of one shape, there are none, or the scale is no scalar.
        """
        _check_pairs(audio_embeds, text_embeds, logit_scale)
        dtype = torch.promote_types(audio_embeds.dtype, torch.float32)
        audio, text, scale = audio_embeds.to(dtype), text_embeds.to(dtype), logit_scale.to(dtype).exp().reshape(())
        pairs = len(audio)
        all_audio, offset = gather_with_gradient(audio) if self.gather else (audio, 0)
        if audio.requires_grad or text.requires_grad:  # in training
            say_if_nothing_is_learned(len(all_audio))
        all_text = gather_with_gradient(text)[0] if self.gather else text
        target = offset + torch.arange(pairs, device=audio.device)
        # (pairs, all pairs) each
        of_audio = F.cross_entropy(scale * audio @ all_text.t(), target)
        of_text = F.cross_entropy(scale * text @ all_audio.t(), target)
        loss = (of_audio + of_text) / 2
        if len(all_audio) == pairs:
            return loss
        # A mean over processes of means over unequal numbers of pairs would weigh the pairs of the short ones more.
        return loss * (pairs * distributed.get_world_size() / len(all_audio))


def _check_pairs(audio_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor) -> None:
    if audio_embeds.ndim != 2 or audio_embeds.shape != text_embeds.shape or not len(audio_embeds):
        raise ValueError(
            "The contrastive loss pairs each audio with the text at its place: expected two matrices of one shape "
            f"(pairs, dim) with at least one pair, got audio {tuple(audio_embeds.shape)} and text "
            f"{tuple(text_embeds.shape)}."
        )
    if logit_scale.numel() != 1:
        raise ValueError(f"`logit_scale` is one number, but has shape {tuple(logit_scale.shape)}.")


__all__ = ["ContrastiveLoss", "gather_with_gradient"]
