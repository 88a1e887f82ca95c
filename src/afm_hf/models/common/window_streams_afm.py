"""The windows of long clips, made while they are embedded: an hour takes no more memory than a minute."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch.nn import functional as F

from ...audio.audio_checks import AudioDecodeError

# Windows whose log-mels are computed at a time.
WINDOWS_AT_A_TIME = 16

Made = tuple[
    torch.Tensor, torch.Tensor
]  # features (windows, 1, frames, mels), and what part of each is heard (windows,)


class WindowStream(Iterator[Made]):
    """
    The windows of a clip, some at a time.

    Args:
        windows: Their samples, `(length,)` each.
        make: Features and shares of some windows, `(windows, length)`.
        silence: The error of a clip in which nothing is heard.
    """

    def __init__(
        self, windows: Iterator[torch.Tensor], make: Callable[[torch.Tensor], Made], silence: AudioDecodeError
    ) -> None:
        self._windows, self._make, self._silence = windows, make, silence
        self._has_begun = False

    def __next__(self) -> Made:
        some = list(islice(self._windows, WINDOWS_AT_A_TIME))
        if not some:
            raise StopIteration if self._has_begun else self._silence
        self._has_begun = True
        return self._make(torch.stack(some))

    def skip(self) -> None:
        """Read the rest without making anything of it: what is wrong with the clip comes to light."""
        for _ in self._windows:
            pass


class LongClips:
    """
    Clips of a batch that are too long for their windows to be held, by their place in it.

    It stands among the tensors of a batch, and goes with them to devices and other processes.

    Args:
        clips: For each place what gives the windows of the clip anew.
    """

    def __init__(self, clips: Mapping[int, Callable[[], Iterator[Made]]]) -> None:
        self.clips = dict(clips)

    def to(self, *args: Any, **kwargs: Any) -> "LongClips":
        """As of tensors; there is nothing to move yet."""
        return self

    def is_floating_point(self) -> bool:
        """As of tensors."""
        return False

    @torch.no_grad()
    def embed(self, model: Any, place: int) -> torch.Tensor:
        """The embedding of a clip by a CLAP, float32 `(dim,)`, L2-normalised: the mean by what is heard."""
        total: Any = 0.0
        weight: Any = 0.0
        for features, shares in self.clips[place]():
            made = model.get_audio_features(features.to(model.device), normalize=False).pooler_output
            shares = shares.to(made.device)
            total = total + (made.float() * shares[:, None]).sum(dim=0)
            weight = weight + shares.sum()
        return F.normalize(total / weight, dim=-1)


def stack_windows(clips: list[list[Made]]) -> dict[str, torch.Tensor]:
    """Windows and shares of each clip -> `(batch, windows, 1, frames, mels)`, filled up, and `(batch, windows)`."""
    most = max(sum(len(shares) for _, shares in parts) for parts in clips)
    first = clips[0][0][0]
    features = first.new_zeros(len(clips), most, *first.shape[1:])
    mask = first.new_zeros(len(clips), most)
    for row, parts in enumerate(clips):
        begin = 0
        while parts:  # each is let go once it is copied
            windows, shares = parts.pop(0)
            features[row, begin : begin + len(windows)] = windows
            mask[row, begin : begin + len(windows)] = shares
            begin += len(windows)
    return {"input_features": features, "input_features_mask": mask}


__all__ = ["LongClips", "WindowStream", "stack_windows"]
