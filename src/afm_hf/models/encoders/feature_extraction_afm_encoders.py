"""Feature extractor for several encoders that hear the same clip: the features of each, side by side."""

from typing import Any

import torch

from ...audio.audio_resampling import resample_soxr
from ..common.feature_extraction_afm import AfmFeatureExtractor
from ..effects_cnn.feature_extraction_afm_effects_cnn import AfmEffectsCnnFeatureExtractor
from ..yamnet.feature_extraction_afm_yamnet import AfmYamnetFeatureExtractor

KINDS: dict[str, type[AfmFeatureExtractor]] = {
    each.__name__: each for each in (AfmFeatureExtractor, AfmYamnetFeatureExtractor, AfmEffectsCnnFeatureExtractor)
}


class AfmEarsFeatureExtractor(AfmFeatureExtractor):
    r"""
    [`AfmFeatureExtractor`] for an [`AfmEarsModel`]: one clip, cut or filled up once, heard by several front-ends.

    `input_features` are `(batch, 1, frames, mels)`: the features of the ears lie side by side in the last dimension,
    those of fewer frames filled up with zeros.

    Args:
        ears (`list[dict]` or `list[AfmFeatureExtractor]`):
            The front-ends: settings of each with its `feature_extractor_type`, or the extractors themselves. Each
            resamples to its own rate.
        sampling_rate (`int`, *optional*): Rate in Hz to which clips are read; the highest of the ears if not given.
        max_length_s (`float`, *optional*, defaults to 2.415): Length of a clip, and of a window, in seconds.
        **kwargs: `padding`, `truncation`, `window_hop_s`, `channels`, ... of [`AfmFeatureExtractor`].

    Raises:
        ValueError: there is no ear, or one is of a type that is not known.
    """

    def __init__(
        self, ears: Any = (), sampling_rate: int | None = None, max_length_s: float = 2.415, **kwargs: Any
    ) -> None:
        front_ends = [_front_end(ear, number) for number, ear in enumerate(ears)]
        if not front_ends:
            raise ValueError("`ears` names no front-end; give at least one.")
        rate = sampling_rate or max(ear.sampling_rate for ear in front_ends)
        unused = {"feature_size": sum(ear.feature_size for ear in front_ends), "fmin": 0.0, "fmax": rate / 2}
        super().__init__(sampling_rate=rate, max_length_s=max_length_s, **{**kwargs, **unused})
        self.ears = [ear.to_dict() for ear in front_ends]

    def log_mel(self, waveforms: torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
        """`(batch, samples)` -> `(batch, most frames, all mels)`, float32."""
        heard = [self._hear(ear, waveforms, device) for ear in self.front_ends()]
        frames = max(features.shape[1] for features in heard)
        filled = [torch.nn.functional.pad(each, (0, 0, 0, frames - each.shape[1])) for each in heard]
        return torch.cat(filled, dim=-1)

    def front_ends(self) -> list[AfmFeatureExtractor]:
        """The extractors of the ears."""
        return [_front_end(ear, number) for number, ear in enumerate(self.ears)]

    def frames(self) -> list[int]:
        """Frames of a clip that each ear reads: what `frames` of an [`AfmEarsConfig`] must be."""
        silence = torch.zeros(1, self.clip_samples(self.max_length_s))
        return [self._hear(ear, silence, "cpu").shape[1] for ear in self.front_ends()]

    def _hear(self, ear: AfmFeatureExtractor, waveforms: torch.Tensor, device: str | torch.device) -> torch.Tensor:
        if ear.sampling_rate != self.sampling_rate:
            at_its_rate = resample_soxr(waveforms.cpu().numpy(), self.sampling_rate, ear.sampling_rate)
            waveforms = torch.from_numpy(at_its_rate)
        return ear.log_mel(waveforms, device)


def _front_end(ear: Any, number: int) -> AfmFeatureExtractor:
    if hasattr(ear, "log_mel"):  # of whatever copy of the class, as in a Hub repo with code
        return ear
    settings = dict(ear)
    kind = KINDS.get(str(settings.pop("feature_extractor_type", "")))
    if kind is None:
        raise ValueError(
            f"ears[{number}] is of the type {dict(ear).get('feature_extractor_type')!r}; expected one of "
            f"{', '.join(KINDS)}."
        )
    return kind(**settings)


__all__ = ["AfmEarsFeatureExtractor"]
