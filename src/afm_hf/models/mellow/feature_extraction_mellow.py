"""Feature extractor of Mellow: 32 kHz audio, 10 s, a mel bank for 32 kHz."""

from typing import Any

from ..common.feature_extraction_afm import AfmFeatureExtractor


class MellowFeatureExtractor(AfmFeatureExtractor):
    r"""[`AfmFeatureExtractor`] with Mellow's settings."""

    def __init__(self, sampling_rate: int = 32000, max_length_s: float = 10.0, **kwargs: Any) -> None:
        super().__init__(sampling_rate=sampling_rate, max_length_s=max_length_s, **kwargs)


__all__ = ["MellowFeatureExtractor"]
