"""Sounds for the tests of audio in: made, written in any format, and read again with what was said about them."""

import io
import warnings
from typing import Any

import numpy as np
import soundfile

from afm_hf.audio.audio_loading import decode_audio

RATE = 16_000


def chirp(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """(channels, samples) float32 that is nowhere like it is elsewhere."""
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (200 + 90 * c + 40 * t) * t) for c in range(channels)]).astype(np.float32)


def written(samples: np.ndarray, rate: int = RATE, **options: Any) -> bytes:
    """(channels, samples) -> the bytes of a file, 16-bit WAV unless told."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, rate, **{"format": "WAV", **options})
    return buffer.getvalue()


def mp3(samples: np.ndarray, rate: int = RATE) -> bytes:
    """MP3 of variable bit rate, whose first frame tells the number of frames."""
    return written(
        samples, rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.5
    )


def read(source: Any, **options: Any) -> tuple[np.ndarray, str]:
    """(channels, samples) and all warnings as one text."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        waveform, _ = decode_audio(source, name="it", **options)
    return waveform, " | ".join(str(warning.message) for warning in told)


def whole(source: Any, **options: Any) -> np.ndarray:
    """The same of a file about which there is nothing to say."""
    waveform, told = read(source, **options)
    assert not told, told
    return waveform
