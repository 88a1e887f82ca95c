"""Feature extractor of CLAP; the defaults are those of CLAP 2023 (44.1 kHz audio, 7 s, a mel bank built for 32 kHz)."""

from typing import Any

from ..common.feature_extraction_afm import AfmFeatureExtractor


class ClapAfmFeatureExtractor(AfmFeatureExtractor):
    r"""[`AfmFeatureExtractor`] with the settings of CLAP 2023. CLAP 2022 differs in `max_length_s=5.0` and
    `mel_sampling_rate=44100`.
    """

    def __init__(self, mel_sampling_rate: int | None = 32000, max_length_s: float = 7.0, **kwargs: Any) -> None:
        super().__init__(mel_sampling_rate=mel_sampling_rate, max_length_s=max_length_s, **kwargs)


__all__ = ["ClapAfmFeatureExtractor"]
