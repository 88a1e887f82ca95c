"""Feature extractor of YAMNet: patches of 0.96 s of its log-mel spectrogram."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ...audio.audio_checks import Waveform
from ...audio.log_mel import framed_spectrum, htk_mel_bank
from ..common.feature_extraction_afm import AfmFeatureExtractor

LOG_OFFSET = 0.001


class AfmYamnetFeatureExtractor(AfmFeatureExtractor):
    r"""
    [`AfmFeatureExtractor`] with YAMNet's front-end (tensorflow/models, `research/audioset/yamnet/features.py`):
    `log(mel + 0.001)` of the magnitudes, frames of 25 ms every 10 ms, 64 mel bands of HTK's scale from 125 to 7500 Hz.

    A clip becomes windows of 0.975 s, every 0.48 s, of 96 frames each: `input_features`
    `(batch, windows, 1, 96, 64)` with `input_features_mask`. Its end is filled with silence up to a whole window, as in
    the official code.

    Args:
        sampling_rate (`int`, *optional*, defaults to 16000): Rate in Hz to which audio is resampled.
        max_length_s (`float`, *optional*, defaults to 0.975): Length of a window in seconds.
        window_hop_s (`float`, *optional*, defaults to 0.48): Seconds from one window to the next.
        win_length (`int`, *optional*, defaults to 400): Samples of a frame; the FFT is over `n_fft`, 512.
        truncation (`str`, *optional*, defaults to `"segments"`):
            All windows from the first sample on (silent ones are left out); or `"windows"`, from the first sound on; or
            one: `"first"`, `"center"`, `"random"`.
        padding (`str`, *optional*, defaults to `"zero"`): How a clip shorter than a window is filled up.
        **kwargs: Others of [`AfmFeatureExtractor`].
    """

    def __init__(
        self,
        sampling_rate: int = 16000,
        feature_size: int = 64,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 160,
        fmin: float = 125.0,
        fmax: float = 7500.0,
        max_length_s: float = 0.975,
        window_hop_s: float | None = 0.48,
        truncation: str = "segments",
        padding: str = "zero",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            feature_size=feature_size,
            sampling_rate=sampling_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            fmin=fmin,
            fmax=fmax,
            max_length_s=max_length_s,
            window_hop_s=window_hop_s,
            truncation=truncation,
            padding=padding,
            **kwargs,
        )
        self.win_length = win_length

    def log_mel(self, waveforms: torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
        """`(batch, samples)` -> `(batch, 1 + (samples - win_length) // hop_length, feature_size)`, float32."""
        waveforms = waveforms.to(device).float()
        magnitude = framed_spectrum(waveforms, self.n_fft, self.win_length, self.hop_length).abs()
        return (magnitude @ self.mel_bank(waveforms.device) + LOG_OFFSET).log()

    def mel_bank(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """The mel filter bank, float32 `(n_fft / 2 + 1, feature_size)`."""
        return htk_mel_bank(
            self.n_fft, self.feature_size, self.sampling_rate, float(self.fmin), float(self.fmax), torch.device(device)
        )

    def _to_whole_windows(self, parts: Iterator[Waveform], length: int, hop: int) -> Iterator[Waveform]:
        """The end of a long clip is filled with silence up to a whole window."""
        seen = 0
        for part in parts:
            seen += len(part)
            yield part
        if seen > length:
            yield np.zeros(math.ceil((seen - length) / hop) * hop + length - seen, np.float32)


__all__ = ["AfmYamnetFeatureExtractor"]
