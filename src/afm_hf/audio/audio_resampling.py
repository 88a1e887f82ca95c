"""Changing the sampling rate: soxr, and the numerics of torchaudio without torchaudio."""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .audio_checks import AudioDecodeError, UnavailableError, Waveform, optional


def resample_soxr(waveform: Waveform, orig: int, new: int) -> Waveform:
    soxr = _soxr()
    length = -(-waveform.shape[1] * new // orig)
    resampled = np.zeros((waveform.shape[0], length), np.float32)
    for channel, row in enumerate(waveform):  # one by one: all at once needs three times the memory
        samples = soxr.resample(np.ascontiguousarray(row), orig, new, quality="HQ")[:length]
        resampled[channel, : len(samples)] = samples  # soxr rounds the length; this rounds it up, as the other does
    return resampled


def resample_parts(parts: Iterable[Waveform], orig: int, new: int, method: str = "soxr") -> Iterator[Waveform]:
    """One channel, part after part `(samples,)`: the numbers of the whole, few of them at a time."""
    if orig == new:
        return iter(parts)
    return _parts_by_soxr(parts, orig, new) if method == "soxr" else _parts_by_sinc(parts, orig, new)


def _parts_by_soxr(parts: Iterable[Waveform], orig: int, new: int) -> Iterator[Waveform]:
    stream = _soxr().ResampleStream(orig, new, 1, dtype="float32", quality="HQ")
    came = gone = 0
    for part in parts:
        came += len(part)
        made = stream.resample_chunk(np.ascontiguousarray(part))
        gone += len(made)
        if len(made):
            yield made
    left = -(-came * new // orig) - gone  # the whole length is rounded up, as there
    rest = stream.resample_chunk(np.empty(0, np.float32), last=True)[: max(0, left)]
    if left > 0:
        yield np.pad(rest, (0, left - len(rest)))


def _soxr() -> Any:
    try:
        return optional("soxr")
    except UnavailableError as why:
        raise AudioDecodeError("<waveform>", f"soxr cannot be used: {why}", "Run `pip install soxr`.") from None


def resample_sinc(waveform: Waveform, orig: int, new: int) -> Waveform:
    """(channels, samples) by windowed sinc: output `k * new + p` is a dot product around input `k * orig`.

    A plain strided convolution has `2 * width + orig` taps for each of `new` phases, nearly all of them zero: gigabytes
    for 7999 Hz -> 44100 Hz. Here every phase keeps the `2 * width + 2` taps that can differ from zero.
    """
    divisor = math.gcd(orig, new)
    orig, new = orig // divisor, new // divisor
    kernel, first, width = _sinc_kernel(orig, new)
    taps = kernel.shape[1]
    samples = waveform.shape[1]
    blocks = samples // orig + 1
    resampled = np.empty((waveform.shape[0], -(-samples * new // orig)), np.float32)
    for channel, row in enumerate(waveform):
        padded = np.pad(row, (width, blocks * orig + taps - samples))
        resampled[channel] = _sinc_blocks(padded, blocks, orig, kernel, first)[: resampled.shape[1]]
    return resampled


def _parts_by_sinc(parts: Iterable[Waveform], orig: int, new: int) -> Iterator[Waveform]:
    divisor = math.gcd(orig, new)
    orig, new = orig // divisor, new // divisor
    kernel, first, width = _sinc_kernel(orig, new)
    taps = kernel.shape[1]
    held = np.zeros(width, np.float32)  # from the first sample on that the next block needs
    came = gone = 0
    for part in parts:
        came += len(part)
        held = np.concatenate([held, part])
        blocks = max(0, len(held) - taps) // orig
        if blocks:
            yield _sinc_blocks(held, blocks, orig, kernel, first)
            held, gone = held[blocks * orig :], gone + blocks * new
    left = -(-came * new // orig) - gone
    blocks = -(-left // new)
    if blocks:
        padded = np.pad(held, (0, max(0, blocks * orig + taps - len(held))))
        yield _sinc_blocks(padded, blocks, orig, kernel, first)[:left]


def _sinc_blocks(padded: Waveform, blocks: int, orig: int, kernel: Waveform, first: npt.NDArray[np.int64]) -> Waveform:
    """Samples of some blocks, the first of which begins with the first of `padded`: `(blocks * new,)`."""
    taps = kernel.shape[1]
    # (samples,) -> (blocks, orig + taps), neighbours overlapping by `taps`
    windows = np.lib.stride_tricks.sliding_window_view(padded, orig + taps)[: blocks * orig : orig]
    total = np.zeros((blocks, len(kernel)), np.float32)
    for tap in range(taps):
        total += windows[:, first + tap] * kernel[:, tap]
    return total.reshape(-1)


@functools.lru_cache(maxsize=16)
def _sinc_kernel(orig: int, new: int) -> tuple[Waveform, npt.NDArray[np.int64], int]:
    """For coprime rates: taps (new, 2 * width + 2), first input sample of each phase (new,), and width."""
    crossings, rolloff = 6, 0.99
    base = min(orig, new) * rolloff
    width = math.ceil(crossings * orig / base)
    phase = np.arange(new)
    first = phase * orig // new
    inputs = (first[:, None] + np.arange(2 * width + 2) - width) / orig  # (new, taps)
    # Parity: torchaudio rounds the phases to float32 and computes all else in float64 (8e-6 off without the rounding).
    outputs = phase.astype(np.float32) / np.float32(new)
    t = np.clip((inputs - outputs.astype(np.float64)[:, None]) * base, -crossings, crossings)
    kernel = np.sinc(t) * np.cos(t * math.pi / crossings / 2) ** 2 * (base / orig)
    return kernel.astype(np.float32), first, width
