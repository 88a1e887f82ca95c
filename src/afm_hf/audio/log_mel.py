"""The front-end's mathematics: waveforms to log-mel spectrograms, as the official code has them of torchlibrosa."""

from functools import lru_cache

import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank

FLOOR = 1e-10  # of the mel power: -100 dB


@lru_cache(maxsize=16)
def mel_bank(n_fft: int, bands: int, rate: int, fmin: float, fmax: float, device: torch.device) -> torch.Tensor:
    """The mel filter bank, float32 `(n_fft / 2 + 1, bands)`: Slaney's scale and normalisation, as in librosa.

    Args:
        n_fft: Samples of an analysis window.
        bands: Mel bands.
        rate: Rate in Hz that the bank is made for.
        fmin, fmax: Its lowest and highest frequency, in Hz.
        device: Where it lies.
    """
    bank = mel_filter_bank(n_fft // 2 + 1, bands, fmin, fmax, rate, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(bank.astype(np.float32)).to(device)


def log_mel(waveforms: torch.Tensor, n_fft: int, hop_length: int, bank: torch.Tensor) -> torch.Tensor:
    """`(..., samples)` at full scale 1 -> `(..., 1 + samples // hop_length, bands)`, float32 dB.

    `10 log10(max(mel power, 1e-10))` of a centred STFT with a Hann window and reflected borders.
    """
    spectrum = torch.stft(
        waveforms.float(),
        n_fft,
        hop_length,
        window=_hann_window(n_fft, waveforms.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )  # (..., n_fft / 2 + 1, frames)
    power = spectrum.real.square() + spectrum.imag.square()  # summing `view_as_real` takes six times as long
    mel = power.transpose(-1, -2) @ bank  # (..., frames, bins) @ (bins, bands)
    return mel.clamp_(min=FLOOR).log10_().mul_(10.0)


def log_mel_of_clips(waveforms: torch.Tensor, n_fft: int, hop_length: int, bank: torch.Tensor) -> torch.Tensor:
    """`(batch, samples)` -> `(batch, frames, bands)`; as [`log_mel`], as fast as the device can."""
    if waveforms.device.type != "cpu":
        return log_mel(waveforms, n_fft, hop_length, bank)
    # A batched STFT is slower per clip on a CPU: its temporaries leave the cache.
    frames = 1 + waveforms.shape[-1] // hop_length
    output = torch.empty(len(waveforms), frames, bank.shape[1])
    for row, waveform in zip(output, waveforms, strict=True):
        row.copy_(log_mel(waveform, n_fft, hop_length, bank))
    return output


@lru_cache(maxsize=16)
def htk_mel_bank(n_fft: int, bands: int, rate: int, fmin: float, fmax: float, device: torch.device) -> torch.Tensor:
    """A mel filter bank of HTK's scale, float32 `(n_fft / 2 + 1, bands)`: triangles of height 1, even in mel.

    The arguments are those of [`mel_bank`].
    """
    bank = mel_filter_bank(
        n_fft // 2 + 1, bands, fmin, fmax, rate, norm=None, mel_scale="htk", triangularize_in_mel_space=True
    )
    return torch.from_numpy(bank.astype(np.float32)).to(device)


def framed_spectrum(waveforms: torch.Tensor, n_fft: int, win_length: int, hop_length: int) -> torch.Tensor:
    """`(..., samples)` -> complex `(..., 1 + (samples - win_length) // hop_length, n_fft / 2 + 1)`.

    Frames begin at the first sample and are whole, without reflected borders: as TensorFlow and Essentia cut them.
    """
    beside = (n_fft - win_length) // 2  # torch.stft centres a shorter window in its FFT
    spectrum = torch.stft(
        torch.nn.functional.pad(waveforms, (beside, n_fft - win_length - beside)),
        n_fft,
        hop_length,
        win_length,
        window=_hann_window(win_length, waveforms.device),
        center=False,
        return_complex=True,
    )  # (..., n_fft / 2 + 1, frames)
    return spectrum.transpose(-1, -2)


@lru_cache(maxsize=16)
def _hann_window(length: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(length, periodic=True, device=device)


__all__ = ["framed_spectrum", "htk_mel_bank", "log_mel", "log_mel_of_clips", "mel_bank"]
