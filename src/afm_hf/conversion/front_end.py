"""The feature extractor as part of a graph: samples to windows, to another rate, to log-mels, in operators of ONNX.

Runtimes without Python have samples and no log-mels. What [`AfmFeatureExtractor`] does of a call is here once more, as
modules that export: where something is heard, the windows of a clip, soxr's filter as a convolution, STFT and mel bank.
Tests hold it against the feature extractor. What cannot be done in a graph is to refuse a clip: a silent one gets a
share of 0, and with it scores that are no numbers.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..audio.audio_resampling import resample_soxr
from ..audio.audio_windows import BLOCKS_PER_S, SHORTEST_S, SILENCE
from ..audio.log_mel import FLOOR
from ..models.common.feature_extraction_afm import IN_WINDOWS, AfmFeatureExtractor
from ..models.effects_cnn.feature_extraction_afm_effects_cnn import GAIN, LARGEST, AfmEffectsCnnFeatureExtractor
from ..models.encoders.feature_extraction_afm_encoders import AfmEarsFeatureExtractor
from ..models.yamnet.feature_extraction_afm_yamnet import LOG_OFFSET, AfmYamnetFeatureExtractor

MOST_WEIGHTS = 4_000_000  # of a resampler: rates without a common divisor make one filter per sample of a second


class CutWindows(nn.Module):
    """The windows of one clip, as the feature extractor cuts them: `(1, 1, samples)` -> `(windows, length)`.

    Beside them it gives their shares `(windows,)` in which something is heard, 0 for those that are not to be counted.

    Args:
        extractor ([`AfmFeatureExtractor`]): Whose settings it follows.

    Raises:
        ValueError: the extractor takes a random part of a clip, or fills up with something else than silence.
    """

    def __init__(self, extractor: AfmFeatureExtractor) -> None:
        super().__init__()
        if extractor.truncation == "random":
            raise ValueError(
                "The feature extractor takes a random part of long clips, which a graph does not. Set its "
                '`truncation` to "first", "center" or "windows".'
            )
        if extractor.padding_value:
            raise ValueError(f"`padding_value` is {extractor.padding_value}; only 0 is exported.")
        self.truncation, self.padding = extractor.truncation, extractor.padding
        self.length = extractor.clip_samples(extractor.max_length_s)
        self.hop = extractor.clip_samples(extractor.window_hop_s) if extractor.window_hop_s else self.length
        self.silence = 0.0 if extractor.allow_silence else SILENCE
        self.least = round(SHORTEST_S * extractor.sampling_rate)
        self.block = min(self.length, max(1, extractor.sampling_rate // BLOCKS_PER_S))

    def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clip = samples.reshape(-1)
        place = torch.arange(clip.shape[0], device=clip.device)
        seen = place[-1] + 1  # a tensor: what is compared with it stays a part of the graph
        begin, end = self._part(clip, place, seen)
        heard = end - begin
        number = self._numbers(seen)
        start = torch.minimum(number * self.hop, (heard - self.length).clamp(min=0))
        counted = (number == 0) | ((number - 1) * self.hop + self.length < heard)
        inside = torch.arange(self.length, device=clip.device)
        if self.padding == "repeat":
            inside = inside % torch.maximum(heard, seen.clamp(max=self.least))
        at = start[:, None] + inside  # (windows, length)
        windows = clip[(begin + at).clamp(max=seen - 1)] * (at < heard)
        return windows, self._shares(windows) * counted

    def _numbers(self, seen: torch.Tensor) -> torch.Tensor:
        """0, 1, ... for as many windows as the whole clip has; those that the part does not need are not counted."""
        if self.truncation not in IN_WINDOWS:
            return torch.zeros(1, dtype=torch.long, device=seen.device)
        most = (seen - min(self.length, self.hop) + self.hop - 1) // self.hop + 1
        # A number of the graph's own: of one that follows from a shape an export would want to know whether it is 1.
        return torch.arange(most.item(), device=seen.device)

    def _part(self, clip: torch.Tensor, place: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where in a clip the part begins and ends that is heard or cut into windows."""
        if self.truncation == "segments":
            return torch.zeros_like(seen), seen
        if self.truncation != "windows":
            surplus = (seen - self.length).clamp(min=0)
            begin = surplus // 2 if self.truncation == "center" else torch.zeros_like(seen)
            return begin, begin + seen.clamp(max=self.length)
        heard, long = clip.abs() >= self.silence, seen > self.length
        first, last = torch.where(heard, place, seen).amin(dim=0), torch.where(heard, place, -1).amax(dim=0)
        return torch.where(long & (last >= 0), first, 0), torch.where(long & (last >= 0), last + 1, seen)

    def _shares(self, windows: torch.Tensor) -> torch.Tensor:
        """What part of each window something is heard in; without windows whether anything is."""
        if self.truncation not in IN_WINDOWS:
            return (windows.abs().amax(dim=-1) >= self.silence).float()
        blocks = windows[:, : self.length // self.block * self.block].abs().unflatten(1, (-1, self.block))
        return (blocks.amax(dim=-1) >= self.silence).float().mean(dim=-1)


class Resampler(nn.Module):
    """soxr's filter as a convolution with a kernel for each phase: `(windows, samples)` -> `(windows, resampled)`.

    The kernels are soxr's answers to single impulses. The same numbers but for the first few samples, of which soxr
    cuts off what would ring before the clip.

    Args:
        orig, new (`int`): Rates in Hz.
        samples (`int`): Length of a window at the first of them.

    Raises:
        ValueError: the rates have so small a common divisor that the kernels would need too many weights.
    """

    kernel: torch.Tensor

    def __init__(self, orig: int, new: int, samples: int) -> None:
        super().__init__()
        divisor = math.gcd(orig, new)
        self.step, phases = orig // divisor, new // divisor
        reach = math.ceil(512 * max(1.0, orig / new) / self.step) + 1  # blocks of input on each side, far enough
        if self.step * phases * (2 * reach + 1) > MOST_WEIGHTS:
            raise ValueError(f"A graph that resamples from {orig} to {new} Hz would be too large.")
        impulses = np.zeros((self.step, (2 * reach + 1) * self.step), np.float32)
        impulses[np.arange(self.step), reach * self.step + np.arange(self.step)] = 1.0
        answers = resample_soxr(impulses, self.step, phases).reshape(self.step, 2 * reach + 1, phases)
        # Output block `b` takes of input block `b + d` what an impulse in the middle gives `d` blocks before.
        kernel = answers[:, ::-1].transpose(2, 1, 0).reshape(phases, -1)
        used = np.flatnonzero(np.abs(kernel).max(axis=0) > 1e-8)
        self.before = int(reach * self.step - used[0])
        self.resampled = -(-samples * new // orig)
        self.rounded = round(samples * new / orig)  # what soxr gives; the feature extractor fills up with a zero
        self.blocks = -(-self.resampled // phases)
        taps = int(used[-1] + 1 - used[0])
        self.behind = (self.blocks - 1) * self.step + taps - self.before - samples
        self.register_buffer("kernel", torch.from_numpy(np.ascontiguousarray(kernel[:, None, used[0] : used[-1] + 1])))

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        padded = F.pad(waveforms[:, None], (self.before, max(0, self.behind)))
        phases = F.conv1d(padded, self.kernel, stride=self.step)[:, :, : self.blocks]  # (windows, phases, blocks)
        resampled = phases.transpose(1, 2).flatten(1)[:, : min(self.rounded, self.resampled)]
        return F.pad(resampled, (0, max(0, self.resampled - self.rounded)))


class LogMels(nn.Module):
    """The front-end of one encoder: `(windows, samples)` -> `(windows, frames, mels)`.

    Args:
        extractor ([`AfmFeatureExtractor`]): Whose settings it follows; its class decides which of the three it is.
    """

    window: torch.Tensor
    bank: torch.Tensor

    def __init__(self, extractor: AfmFeatureExtractor) -> None:
        super().__init__()
        self.kind = _front_end_of(extractor)
        self.centred = self.kind is AfmFeatureExtractor
        self.n_fft, self.hop = extractor.n_fft, extractor.hop_length
        width = int(getattr(extractor, "win_length", self.n_fft))
        self.beside = (self.n_fft - width) // 2  # a shorter window stands in the middle of its FFT
        window = torch.hann_window(width, periodic=True)
        self.register_buffer("window", F.pad(window, (self.beside, self.n_fft - width - self.beside)))
        self.register_buffer("bank", extractor.mel_bank().clone())

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        if self.kind is AfmEffectsCnnFeatureExtractor:
            waveforms = waveforms / waveforms.abs().amax(dim=-1, keepdim=True).clamp(min=1e-6)
        if self.centred:
            waveforms = F.pad(waveforms[:, None], (self.n_fft // 2, self.n_fft // 2), mode="reflect")[:, 0]
        elif self.beside:
            waveforms = F.pad(waveforms, (self.beside, self.beside))
        spectrum = torch.view_as_real(
            torch.stft(waveforms, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        )  # (windows, bins, frames, 2)
        power = spectrum.square().sum(dim=-1).transpose(1, 2)  # (windows, frames, bins)
        if self.kind is AfmYamnetFeatureExtractor:
            return (power.sqrt() @ self.bank + LOG_OFFSET).log()
        if self.kind is AfmEffectsCnnFeatureExtractor:
            return (GAIN * (power @ self.bank) + 1).log10() / LARGEST
        return 10.0 * (power @ self.bank).clamp(min=FLOOR).log10()


class FrontEnd(nn.Module):
    """Windows `(windows, length)` to `input_features` `(windows, 1, frames, mels)`, of one ear or several side by side.

    Args:
        extractor ([`AfmFeatureExtractor`]): Of the model.

    Raises:
        ValueError: it makes features that are not known here.
    """

    def __init__(self, extractor: AfmFeatureExtractor) -> None:
        super().__init__()
        several = isinstance(extractor, AfmEarsFeatureExtractor)
        ears = cast(AfmEarsFeatureExtractor, extractor).front_ends() if several else [extractor]
        length = extractor.clip_samples(extractor.max_length_s)
        rates = [(extractor.sampling_rate, ear.sampling_rate) for ear in ears]
        self.resamplers = nn.ModuleList(
            nn.Identity() if orig == new else Resampler(orig, new, length) for orig, new in rates
        )
        self.log_mels = nn.ModuleList(LogMels(ear) for ear in ears)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        heard = [log_mel(resampler(windows)) for resampler, log_mel in zip(self.resamplers, self.log_mels, strict=True)]
        frames = max(features.shape[1] for features in heard)
        filled = [F.pad(each, (0, 0, 0, frames - each.shape[1])) for each in heard]
        return torch.cat(filled, dim=-1).unsqueeze(1)


def _front_end_of(extractor: Any) -> type[AfmFeatureExtractor]:
    """Which class's log-mel it is: subclasses that have none of their own are of their parent's kind."""
    makes: Callable[..., Any] | None = getattr(type(extractor), "log_mel", None)
    kinds = (AfmFeatureExtractor, AfmYamnetFeatureExtractor, AfmEffectsCnnFeatureExtractor)
    for kind in kinds:
        if makes is kind.log_mel:
            return kind
    raise ValueError(
        f"The features of {type(extractor).__name__} are not known to the export; expected an extractor of "
        f"{', '.join(kind.__name__ for kind in kinds)}, or several of them as {AfmEarsFeatureExtractor.__name__}."
    )


__all__ = ["CutWindows", "FrontEnd"]
