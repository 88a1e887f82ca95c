"""The windows of long clips, made while they are embedded: an hour takes no more memory than a minute."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from ...audio.audio_ahead import made_ahead
from ...audio.audio_checks import AudioDecodeError

# Windows whose log-mels are computed at a time.
WINDOWS_AT_A_TIME = 8
MOST_PARTS = 6  # of so many windows each, 48 windows; a clip of as many or more is long

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


Windows = Callable[[], Iterable[Made]]  # gives the windows of a clip, each time anew


class StreamedWindows:
    """
    Clips of which some are too long for their windows to be held, in the place of `input_features`.

    All models that take `(batch, windows, 1, frames, mels)` take it, and make the windows while they encode them. It
    stands among the tensors of a batch, and goes with them to devices and other processes.

    Args:
        clips: For each clip what gives its windows.
    """

    def __init__(self, clips: Sequence[Windows]) -> None:
        self.clips = list(clips)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, rows: Iterable[Any]) -> "StreamedWindows":
        """Some of the clips, by their places."""
        return StreamedWindows([self.clips[int(row)] for row in rows])

    def to(self, *args: Any, **kwargs: Any) -> "StreamedWindows":
        """As of tensors. There is nothing to move yet: windows are brought to the encoder when they are made."""
        return self

    def is_floating_point(self) -> bool:
        """As of tensors."""
        return False

    def begin(self) -> "WindowRun":
        """The windows, from the first on."""
        return WindowRun(self.clips)


class WindowRun(Iterator[torch.Tensor]):
    """
    Goes once through the windows of all clips, the next ones in the making while those before are encoded.

    Gives `(windows, 1, frames, mels)`, each of one clip, and leaves out windows in which nothing is heard.

    Attributes:
        rows: the clip of each window given so far, int64 `(windows,)`.
        shares: what part of each window is heard, float32 `(windows,)`.
    """

    def __init__(self, clips: Sequence[Windows]) -> None:
        self._parts = made_ahead((row, made) for row, clip in enumerate(clips) for made in clip())
        self._unheard = set(range(len(clips)))
        self._rows: list[torch.Tensor] = []
        self._shares: list[torch.Tensor] = []

    def __next__(self) -> torch.Tensor:
        for row, (features, shares) in self._parts:
            heard = shares > 0
            if bool(heard.any()):
                self._unheard.discard(row)
                self._shares.append(shares[heard])
                self._rows.append(torch.full_like(self._shares[-1], row, dtype=torch.long))
                return features if bool(heard.all()) else features[heard]
        if self._unheard:
            raise ValueError(f"Nothing is heard in any window of clip {min(self._unheard)} of the batch.")
        raise StopIteration

    @property
    def rows(self) -> torch.Tensor:
        return torch.cat(self._rows)

    @property
    def shares(self) -> torch.Tensor:
        return torch.cat(self._shares)


def held_or_streamed(begin: Callable[[], WindowStream]) -> list[Made] | Windows:
    """
    The windows of a clip if they are few, else what gives them anew. In both cases the clip is read to its end.

    Args:
        begin: Gives the windows.

    Raises:
        AudioDecodeError: the clip cannot be used.
    """
    stream = begin()
    parts = list(islice(stream, MOST_PARTS))
    if len(parts) < MOST_PARTS:
        return parts
    stream.skip()
    return begin


class HeldWindows:
    """
    The windows of a short clip among long ones.

    Args:
        features: `(windows, 1, frames, mels)`.
        shares: What part of each is heard, `(windows,)`; 0 for those that only fill a batch.
    """

    def __init__(self, features: torch.Tensor, shares: torch.Tensor) -> None:
        self.made = (features, shares)

    def __call__(self) -> Iterable[Made]:
        return (self.made,)


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


__all__ = ["HeldWindows", "StreamedWindows", "WindowRun", "WindowStream", "held_or_streamed", "stack_windows"]
