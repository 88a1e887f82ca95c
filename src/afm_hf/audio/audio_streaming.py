"""The samples of a clip part after part, for those who need not have all of them at once."""

from collections.abc import Iterator

from .audio_checks import Waveform
from .audio_loading import AudioSource, load_audio

_PART_S = 10  # a part is short beside what is made of it, and long enough for its overhead not to matter


def stream_audio(
    source: AudioSource,
    sampling_rate: int,
    *,
    channels: str = "mean",
    resampler: str = "soxr",
    source_sampling_rate: int | None = None,
    name: str | None = None,
) -> Iterator[Waveform]:
    """The samples that [`load_audio`] gives, in parts of float32 `(samples,)`; its arguments and errors."""
    waveform = load_audio(
        source,
        sampling_rate,
        channels=channels,
        resampler=resampler,
        source_sampling_rate=source_sampling_rate,
        name=name,
    )
    size = _PART_S * sampling_rate
    for start in range(0, len(waveform), size):
        yield waveform[start : start + size]


__all__ = ["stream_audio"]
