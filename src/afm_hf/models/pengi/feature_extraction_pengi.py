"""Feature extractor of Pengi: 44.1 kHz audio, 7 s, a mel bank built for 32 kHz."""

from typing import Any

from ..common.feature_extraction_afm import AfmFeatureExtractor


class PengiFeatureExtractor(AfmFeatureExtractor):
    r"""[`AfmFeatureExtractor`] with Pengi's settings, which are CLAP 2023's."""

    def __init__(self, mel_sampling_rate: int | None = 32000, max_length_s: float = 7.0, **kwargs: Any) -> None:
        super().__init__(mel_sampling_rate=mel_sampling_rate, max_length_s=max_length_s, **kwargs)


__all__ = ["PengiFeatureExtractor"]
