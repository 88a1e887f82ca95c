"""Feature extractor for speech encoders that read waveforms: 16 kHz, mean 0 and variance 1."""

from typing import Any

import torch

from ..common.feature_extraction_afm import AfmFeatureExtractor


class AfmSpeechFeatureExtractor(AfmFeatureExtractor):
    r"""
    [`AfmFeatureExtractor`] without the spectrogram: `input_features` are `(batch, 1, samples, 1)`, float32.

    Each clip is cut or filled up as with the others, then brought to mean 0 and variance 1, as Wav2Vec2 was trained.

    Args:
        sampling_rate (`int`, *optional*, defaults to 16000): Rate in Hz to which audio is resampled.
        max_length_s (`float`, *optional*, defaults to 5.0): Length of a clip in seconds.
        **kwargs: `padding`, `truncation`, `window_hop_s`, `channels` and `resampler` of [`AfmFeatureExtractor`].
    """

    def __init__(self, sampling_rate: int = 16000, max_length_s: float = 5.0, **kwargs: Any) -> None:
        unused = {"feature_size": 1, "n_fft": 400, "hop_length": 1, "fmin": 0.0, "fmax": sampling_rate / 2}
        super().__init__(sampling_rate=sampling_rate, max_length_s=max_length_s, **{**kwargs, **unused})

    def log_mel(self, waveforms: torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
        """No spectrogram: `(batch, samples)` -> `(batch, samples, 1)`, each clip of mean 0 and variance 1."""
        waveforms = waveforms.to(device).float()
        centred = waveforms - waveforms.mean(dim=-1, keepdim=True)
        return (centred / (centred.var(dim=-1, correction=0, keepdim=True) + 1e-7).sqrt())[..., None]


__all__ = ["AfmSpeechFeatureExtractor"]
