"""
Views of a clip: what it might also have sounded like. Plain torch, seeded.

For test-time adaptation, whose paper (arXiv 2402.09585) masks stripes of time and frequency; gain, noise and crops, and
all sizes here, are ours. A view may be several of these at once; the first view is always the clip as it is.
"""

import dataclasses
import math
from typing import Any

import torch

from ...audio.audio_windows import SILENCE


@dataclasses.dataclass(frozen=True, kw_only=True)
class AfmAugmentation:
    """
    How views differ from their clip.

    Args:
        gain_db (`float`, *optional*, defaults to 6.0): The level changes by up to so many dB, up or down; 0 for none.
        noise_db (`float`, *optional*, defaults to 20.0):
            White noise so many dB to 20 dB more below the clip's mean power; `None` for none.
        crop (`float`, *optional*, defaults to 0.5):
            The shortest part that is cut out, as a share of the clip (of the model's window, if that is shorter); 1 for
            all of it. It lies anywhere in the clip.
        time_stripes, mel_stripes (`int`, *optional*, default to 2): Stripes that are covered; 0 for none.
        time_width, mel_width (`float`, *optional*, default to 0.1):
            Their largest width, as a share of the frames and of the mel bands.

    Raises:
        ValueError: a number makes no sense.
    """

    gain_db: float = 6.0
    noise_db: float | None = 20.0
    crop: float = 0.5
    time_stripes: int = 2
    time_width: float = 0.1
    mel_stripes: int = 2
    mel_width: float = 0.1

    def __post_init__(self) -> None:
        for name, least, most in (
            ("gain_db", 0, 60),
            ("noise_db", -20, 120),
            ("crop", 0.01, 1),
            ("time_stripes", 0, 100),
            ("time_width", 0, 1),
            ("mel_stripes", 0, 100),
            ("mel_width", 0, 1),
        ):
            value = getattr(self, name)
            if name == "noise_db" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise ValueError(f"`{name}` of the augmentation is {value!r}; expected a number in [{least}, {most}].")

    def views(self, waveform: torch.Tensor, extractor: Any, count: int, seed: int = 0) -> torch.Tensor:
        """
        Log-mels of views, as the model takes them.

        Args:
            waveform (`torch.Tensor` of shape `(samples,)`): The clip, float32, at the extractor's rate.
            extractor ([`AfmFeatureExtractor`]): Fills what is too short and makes the log-mels.
            count (`int`): How many.
            seed (`int`): Same seed, same views.

        Returns:
            `torch.Tensor` of shape `(count, 1, frames, mels)`, float32 dB.
        """
        generator = torch.Generator().manual_seed(seed)
        window = extractor.clip_samples(extractor.max_length_s)
        heard = [self._waveform(waveform, window, generator) for _ in range(count)]
        options = {"sampling_rate": extractor.sampling_rate, "truncation": "first", "return_tensors": "pt"}
        options["allow_silence"] = True  # a gain may have made a faint view fainter
        log_mel = extractor([part.numpy() for part in heard], **options)["input_features"]
        return self._cover(log_mel, generator)

    def _waveform(self, clip: torch.Tensor, window: int, generator: torch.Generator) -> torch.Tensor:
        """One view of the samples, at most a window long."""
        longest = min(len(clip), window)
        length = max(1, round(longest * _between(self.crop, 1.0, generator)))
        start = int(torch.randint(len(clip) - length + 1, (), generator=generator))
        view = clip[start : start + length]
        if float(view.abs().max()) < SILENCE:  # nothing to hear here: the loudest part instead
            start = min(max(0, int(clip.abs().argmax()) - length // 2), len(clip) - length)
            view = clip[start : start + length]
        view = view * 10 ** (_between(-self.gain_db, self.gain_db, generator) / 20)
        if self.noise_db is not None:
            noise = torch.randn(len(view), generator=generator)
            below = _between(self.noise_db, self.noise_db + 20, generator)
            view = view + noise * view.square().mean().sqrt() * 10 ** (-below / 20)
        return view

    def _cover(self, log_mel: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`(views, 1, frames, mels)` with stripes at each view's mean level."""
        views, _, frames, mels = log_mel.shape
        covered = _stripes(views, frames, self.time_stripes, self.time_width, generator)[:, None, :, None]
        covered = covered | _stripes(views, mels, self.mel_stripes, self.mel_width, generator)[:, None, None, :]
        return torch.where(covered, log_mel.mean(dim=(1, 2, 3), keepdim=True), log_mel)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _stripes(rows: int, size: int, count: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """`(rows, size)`, true inside one of `count` random stripes, each of 0 to `share * size` places."""
    widths = (torch.rand(rows, count, 1, generator=generator) * (math.floor(share * size) + 1)).long()
    starts = (torch.rand(rows, count, 1, generator=generator) * (size - widths + 1)).long()
    place = torch.arange(size)
    return ((place >= starts) & (place < starts + widths)).any(dim=1)


__all__ = ["AfmAugmentation"]
