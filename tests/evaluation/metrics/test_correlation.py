"""Correlations: those of scipy, on whole lists and on resamples."""

import numpy as np
import pytest
from scipy import stats

from afm_hf.evaluation.metrics import correlation
from afm_hf.evaluation.metrics.correlation import bootstrap_mean, correlate

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def ratings(count, seed=0, ties=True):
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=count)
    opinions = 3 + scores + generator.normal(size=count)
    return scores, (np.round(opinions) if ties else opinions)


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize(("count", "ties"), [(3, False), (40, False), (40, True), (700, True)])
def test_the_statistics_are_those_of_scipy(name, count, ties):
    x, y = ratings(count, ties=ties)
    if ties:
        x = np.round(x, 1)
    assert getattr(correlate(x, y, resamples=0), name) == pytest.approx(SCIPY[name](x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("name", SCIPY)
def test_weights_count_a_pair_as_often_as_it_was_drawn(name):
    x, y = ratings(30)
    weights = np.random.default_rng(1).multinomial(30, np.full(30, 1 / 30), size=5).astype(float)
    got = getattr(correlation, name)(x, y, weights)
    for value, row in zip(got, weights.astype(int), strict=True):
        assert value == pytest.approx(SCIPY[name](np.repeat(x, row), np.repeat(y, row)).statistic, abs=1e-12)


def test_the_interval_is_that_of_the_draws_and_repeats():
    x, y = ratings(25)
    result = correlate(x, y, resamples=200, confidence=0.9, seed=7)
    draws = np.random.default_rng(7).multinomial(25, np.full(25, 1 / 25), size=200)
    values = [stats.pearsonr(np.repeat(x, row), np.repeat(y, row)).statistic for row in draws]
    np.testing.assert_allclose(result.pearson_interval, np.quantile(values, [0.05, 0.95]), atol=1e-12)
    assert result == correlate(x, y, resamples=200, confidence=0.9, seed=7)
    assert result != correlate(x, y, resamples=200, confidence=0.9, seed=8)
    assert result.settings == {"resamples": 200, "confidence": 0.9, "seed": 7}


def test_a_constant_list_has_no_correlation():
    result = correlate([0.1] * 5, [1, 2, 3, 4, 5])
    assert result.pearson is result.spearman is result.kendall is None
    assert result.pearson_interval is None
    some = correlate([0, 0, 1], [1, 2, 3], resamples=300)  # some draws are constant; the others make the interval
    assert np.isfinite(some.pearson_interval).all() and some.pearson <= 1


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        values = generator.normal(size=40)
        low, high = bootstrap_mean(values, resamples=300, seed=seed)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(4,\)"):
        correlate([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="3 pairs or more, but there are 2"):
        correlate([1, 2], [1, 2])
    with pytest.raises(ValueError, match="second list holds nan at place 1"):
        correlate([1, 2, 3], [1, float("nan"), 3])
    with pytest.raises(ValueError, match="confidence"):
        correlate([1, 2, 3], [1, 2, 3], confidence=95)
    with pytest.raises(ValueError, match="list of numbers"):
        bootstrap_mean([])
