"""The front-end of exported graphs hears what the feature extractor hears, of clips of any length."""

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor

from afm_hf import AfmFeatureExtractor, ClapAfmFeatureExtractor, bundled_model
from afm_hf.conversion.front_end import CutWindows, FrontEnd, Resampler

SMALL = {"feature_size": 16, "sampling_rate": 8000, "n_fft": 256, "hop_length": 80, "fmax": 4000.0, "max_length_s": 0.5}
EXTRACTORS = {
    "two ears": lambda: AutoFeatureExtractor.from_pretrained(bundled_model("clap-small")),
    "first": lambda: AfmFeatureExtractor(**SMALL),
    "center": lambda: AfmFeatureExtractor(truncation="center", padding="zero", **SMALL),
    "segments": lambda: AfmFeatureExtractor(truncation="segments", window_hop_s=0.2, **SMALL),
    "windows": lambda: AfmFeatureExtractor(truncation="windows", padding="zero", window_hop_s=0.6, **SMALL),
    "clap 2023": lambda: ClapAfmFeatureExtractor(max_length_s=0.5),
}


def noise(samples):
    return np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32)


def clips(length):
    """Short, of exactly a window, a sample longer, long; with silence before, in and behind; a click in silence."""
    found = [noise(n) for n in (length // 40, length // 3, length, length + 1, 2 * length, 4 * length + length // 7)]
    gaps, click = noise(7 * length), np.zeros(3 * length, np.float32)
    gaps[: length // 2] = gaps[2 * length : 4 * length + 99] = gaps[-length // 9 :] = 0
    click[length : length + 30] = 0.5
    return [*found, gaps, click]


@pytest.mark.parametrize("name", EXTRACTORS)
@torch.no_grad()
def test_the_windows_and_features_are_the_extractors(name):
    extractor = EXTRACTORS[name]()
    cut, front_end = CutWindows(extractor), FrontEnd(extractor)
    for clip in clips(extractor.clip_samples(extractor.max_length_s)):
        try:
            expected = extractor([clip], sampling_rate=extractor.sampling_rate, return_tensors="pt")
        except ValueError:  # the part that is heard is silent
            assert cut(torch.from_numpy(clip)[None, None])[1].sum() == 0
            continue
        windows, shares = cut(torch.from_numpy(clip)[None, None])
        features = front_end(windows[shares > 0])
        wanted = expected["input_features"].flatten(0, -4)
        assert features.shape == wanted.shape
        # Where there is nearly nothing, decibels follow rounding errors.
        assert (features - wanted).abs().mean() < 1e-4 and (features - wanted).abs().max() < 0.05
        if "input_features_mask" in expected:
            torch.testing.assert_close(shares[shares > 0], expected["input_features_mask"][0])


def test_silence_counts_nothing():
    cut = CutWindows(EXTRACTORS["two ears"]())
    for samples in (1000, 300_000):
        assert cut(torch.zeros(1, 1, samples))[1].sum() == 0


def test_what_no_graph_does_is_said():
    with pytest.raises(ValueError, match='Set its `truncation` to "first"'):
        CutWindows(AfmFeatureExtractor(truncation="random"))
    with pytest.raises(ValueError, match="from 44100 to 16001 Hz"):
        Resampler(44100, 16001, 1000)

    class Other(AfmFeatureExtractor):
        def log_mel(self, waveforms, device="cpu"):
            return waveforms

    with pytest.raises(ValueError, match="The features of Other are not known"):
        FrontEnd(Other())
