"""Feature extractor of aiSFX's encoder: blocks of 2.3 s of its log-mel spectrogram."""

from typing import Any

import torch

from ...audio.log_mel import framed_spectrum, htk_mel_bank
from ..common.feature_extraction_afm import AfmFeatureExtractor

GAIN = 1e4
LARGEST = 9.457798957824707  # the largest value in the authors' training data, by which they divide


class AfmEffectsCnnFeatureExtractor(AfmFeatureExtractor):
    r"""
    [`AfmFeatureExtractor`] with the front-end of aiSFX (Ma and Lerch, ISMIR 2022): `log10(10000 x + 1)` of the power in
    96 mel bands of HTK's scale, each of which sums up to 1, over all frequencies; frames of 2048 samples every 1024 at
    44.1 kHz.

    The authors' loader brings clips to one loudness; here every window is scaled to a peak of 1.

    Args:
        sampling_rate (`int`, *optional*, defaults to 44100): Rate in Hz to which audio is resampled.
        max_length_s (`float`, *optional*, defaults to 2.345):
            Length of a window in seconds: 100 frames, without the part of the last one that is not whole.
        **kwargs: Others of [`AfmFeatureExtractor`].
    """

    def __init__(
        self,
        sampling_rate: int = 44100,
        feature_size: int = 96,
        n_fft: int = 2048,
        hop_length: int = 1024,
        fmin: float = 0.0,
        fmax: float = 22050.0,
        max_length_s: float = 2.3455,
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
            **kwargs,
        )

    def log_mel(self, waveforms: torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
        """`(batch, samples)` -> `(batch, 1 + (samples - n_fft) // hop_length, feature_size)`, float32."""
        waveforms = waveforms.to(device).float()
        scaled = waveforms / waveforms.abs().amax(dim=-1, keepdim=True).clamp(min=1e-6)
        power = framed_spectrum(scaled, self.n_fft, self.n_fft, self.hop_length).abs().square()
        return (GAIN * (power @ self.mel_bank(waveforms.device)) + 1).log10() / LARGEST

    def mel_bank(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """The mel filter bank, float32 `(n_fft / 2 + 1, feature_size)`, each band of sum 1."""
        bank = htk_mel_bank(
            self.n_fft, self.feature_size, self.sampling_rate, float(self.fmin), float(self.fmax), torch.device(device)
        )
        return bank / bank.sum(dim=0, keepdim=True).clamp(min=1e-12)


__all__ = ["AfmEffectsCnnFeatureExtractor"]
