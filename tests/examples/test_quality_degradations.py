"""The degradations of the example do what their levels say, and change no loudness."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import quality_degradations as study

from afm_hf.evaluation.degradations import add_noise, clip, low_pass, rms

RATE = 16000
CLIP = np.random.default_rng(0).normal(size=RATE) * np.linspace(0.1, 0.3, RATE)


@pytest.mark.parametrize("kind", study.STUDIES)
def test_every_level_is_further_from_the_original_and_as_loud(kind):
    distances = []
    for level in study.STUDIES[kind][2]:
        (worse,) = study.degraded([CLIP], kind, level, RATE)
        assert worse.shape == CLIP.shape and rms(worse) == pytest.approx(rms(CLIP))
        spectra = [np.abs(np.fft.rfft(x)) for x in (CLIP, worse)]  # MP3 shifts the samples
        distances.append(np.linalg.norm(spectra[0] - spectra[1]))
    assert distances[-1] > distances[0] > 0


def test_the_levels_mean_what_they_say():
    generator = np.random.default_rng(1)
    noise = add_noise(CLIP, 10, RATE, generator) - CLIP
    assert 20 * np.log10(rms(CLIP) / rms(noise)) == pytest.approx(10, abs=0.2)
    clipped = clip(CLIP, 0.2, RATE, generator)
    assert np.mean(clipped != CLIP) == pytest.approx(0.2, abs=0.001)
    spectrum = np.abs(np.fft.rfft(low_pass(CLIP, 2000, RATE, generator)))
    assert spectrum[2001:].max() < 1e-9 < spectrum[1999]
