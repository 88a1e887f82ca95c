"""CLAP's symmetric contrastive loss over the pairs of all processes, exact in value and gradient.

Every process compares its own audios with the texts of all processes, and its own texts with all audios (arXiv
2206.04769, section 2.1). The gather carries gradients, so the mean of the processes' losses and gradients, which is
what DistributedDataParallel makes, equals loss and gradient of one process with all pairs.
"""

from collections.abc import Sequence

import torch
from torch import distributed, nn
from torch.nn import functional as F

from ..models.clap_afm.losses_clap_afm import check_num_pairs, say_if_nothing_is_learned, without_own_texts


def gather_with_gradient(rows_here: torch.Tensor) -> tuple[torch.Tensor, int]:
    """
    Rows of all processes, in the order of their ranks, and where this process's own begin.

    Processes may have different numbers of rows. Gradients flow back to the process that made a row.

    Args:
        rows_here (`torch.Tensor` of shape `(rows, ...)`):
            This process's rows, perhaps none; what follows is the same everywhere. Integers have no gradients.

    Returns:
        `(all rows, dim)`, and the offset of this process's rows; the input and 0 without distributed training.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return rows_here, 0
    own = torch.tensor([len(rows_here)], device=rows_here.device)
    counts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, own)
    rows = [int(count) for count in counts]
    if not max(rows):
        return rows_here, 0
    # Filled up to the longest, because a collective wants equal shapes; the filling is cut off again.
    filling = rows_here.new_zeros(max(rows) - len(rows_here), *rows_here.shape[1:])
    parts = _all_gather(torch.cat([rows_here, filling]).contiguous())
    kept = [part[:count] for part, count in zip(parts, rows, strict=True)]
    return torch.cat(kept), sum(rows[: distributed.get_rank()])


def _all_gather(filled: torch.Tensor) -> Sequence[torch.Tensor]:
    """Equal shapes of all processes; with gradients where numbers have any."""
    if filled.is_floating_point():
        from torch.distributed.nn.functional import all_gather

        gathered: Sequence[torch.Tensor] = all_gather(filled)
        return gathered
    parts = [torch.empty_like(filled) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, filled)
    return parts


class ContrastiveLoss(nn.Module):
    """
    Symmetric cross-entropy of scaled similarities; the text at each place belongs to the audio at the same place.

    What stands behind the pairs, if `num_pairs` says how many these are, is negatives of your own, of all pairs of all
    processes: texts for the audios, audios for the texts. A negative text that is a pair's own is none for that pair.

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

    def forward(
        self,
        audio_embeds: torch.Tensor,
        text_embeds: torch.Tensor,
        logit_scale: torch.Tensor,
        num_pairs: int | None = None,
        text_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        The loss of this process's pairs, in fp32 or fp64; the mean over the processes is the loss of all pairs.

        Args:
            audio_embeds, text_embeds (`torch.Tensor` of shape `(pairs, dim)`):
                L2-normalised. With `num_pairs` they may be followed by negatives, not as many in both.
            logit_scale (`torch.Tensor` of shape `()`): Logarithm of what similarities are multiplied by.
            num_pairs (`int`, *optional*): How many are pairs; all if not given.
            text_ids (`torch.Tensor` of shape `(texts,)`, *optional*):
                A number for each text, int64, the same for the same words, by which a negative is known to be a pair's
                own text. Given in all processes or in none.

        Raises:
            ValueError: if the embeddings are no two matrices of one shape, there are none, or the scale is no scalar.
        """
        _check_pairs(audio_embeds, text_embeds, logit_scale, num_pairs)
        dtype = torch.promote_types(audio_embeds.dtype, torch.float32)
        audio, text, scale = audio_embeds.to(dtype), text_embeds.to(dtype), logit_scale.to(dtype).exp().reshape(())
        pairs = len(audio) if num_pairs is None else num_pairs
        all_audio, offset, all_pairs = self._all(audio, pairs)
        if audio.requires_grad or text.requires_grad:  # in training
            say_if_nothing_is_learned(len(all_audio))
        all_text, _, _ = self._all(text, pairs)
        target = offset + torch.arange(pairs, device=audio.device)
        # (pairs, all pairs + negatives) each
        logits = scale * audio[:pairs] @ all_text.t()
        if text_ids is not None:
            negatives = self._all(text_ids, pairs)[0][all_pairs:]
            logits = without_own_texts(logits, all_pairs, text_ids[:pairs, None] == negatives)
        of_audio = F.cross_entropy(logits, target)
        of_text = F.cross_entropy(scale * text[:pairs] @ all_audio.t(), target)
        loss = (of_audio + of_text) / 2
        if all_pairs == pairs:
            return loss
        # A mean over processes of means over unequal numbers of pairs would weigh the pairs of the short ones more.
        return loss * (pairs * distributed.get_world_size() / all_pairs)

    def _all(self, rows: torch.Tensor, pairs: int) -> tuple[torch.Tensor, int, int]:
        """Pairs of all processes and behind them all negatives; where our own pairs begin; how many pairs there are."""
        if not self.gather:
            return rows, 0, pairs
        of_pairs, offset = gather_with_gradient(rows[:pairs])
        negatives, _ = gather_with_gradient(rows[pairs:])
        return torch.cat([of_pairs, negatives]), offset, len(of_pairs)


def _check_pairs(
    audio_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor, num_pairs: int | None
) -> None:
    if num_pairs is not None and audio_embeds.ndim == text_embeds.ndim == 2:
        check_num_pairs(num_pairs, len(audio_embeds), len(text_embeds))
        audio_embeds, text_embeds = audio_embeds[:num_pairs], text_embeds[:num_pairs]
    if audio_embeds.ndim != 2 or audio_embeds.shape != text_embeds.shape or not len(audio_embeds):
        raise ValueError(
            "The contrastive loss pairs each audio with the text at its place: expected two matrices of one shape "
            f"(pairs, dim) with at least one pair, got audio {tuple(audio_embeds.shape)} and text "
            f"{tuple(text_embeds.shape)}."
        )
    if logit_scale.numel() != 1:
        raise ValueError(f"`logit_scale` is one number, but has shape {tuple(logit_scale.shape)}.")


__all__ = ["ContrastiveLoss", "gather_with_gradient"]
