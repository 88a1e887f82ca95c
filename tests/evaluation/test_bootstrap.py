"""Intervals hold what they promise, and do not depend on how the draws are cut."""

import numpy as np
import pytest

from afm_hf.evaluation import bootstrap
from afm_hf.evaluation.bootstrap import Sums, bootstrap_interval, paired_bootstrap


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(0).normal(5, 2, 400)
    result = bootstrap_interval(values, seed=3)
    error = values.std() / 20
    assert result.value == pytest.approx(values.mean())
    assert result.low == pytest.approx(result.value - 1.96 * error, abs=0.1 * error)
    assert result.high == pytest.approx(result.value + 1.96 * error, abs=0.1 * error)


def test_one_seed_gives_one_interval_in_any_portions(monkeypatch):
    values = np.random.default_rng(0).random(50)
    first = bootstrap_interval(values, resamples=999)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 777)
    assert bootstrap_interval(values, resamples=999).to_dict() == first.to_dict()
    assert bootstrap_interval(values, resamples=999, seed=1).low != first.low


def test_a_figure_of_sums_is_resampled_as_a_whole():
    """F1 from (true positives, false ones, missed ones), against resampling item by item."""
    table = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(float)

    def f1(sums):
        return 2 * sums[..., 0] / (2 * sums[..., 0] + sums[..., 1] + sums[..., 2])

    result = bootstrap_interval(table, f1, resamples=4000)
    generator = np.random.default_rng(1)
    slow = [f1(table[generator.integers(0, 60, 60)].sum(0)) for _ in range(4000)]
    assert [result.low, result.high] == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.01)
    assert bootstrap_interval(Sums(table, f1), resamples=4000).to_dict() == result.to_dict()
    pair = paired_bootstrap(Sums(table, f1), Sums(table[::-1], f1), resamples=500)
    assert pair.difference == pytest.approx(0) and pair.low < 0 < pair.high


def test_copies_of_an_item_do_not_narrow_the_interval_of_groups():
    values = np.random.default_rng(0).random(40)
    once = bootstrap_interval(values)
    copies = bootstrap_interval(np.repeat(values, 5), groups=np.repeat(np.arange(40), 5).tolist())
    naive = bootstrap_interval(np.repeat(values, 5))
    assert copies.count == 40 and copies.value == pytest.approx(once.value)
    assert [copies.low, copies.high] == pytest.approx([once.low, once.high])
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_pairs_find_a_small_difference_on_hard_and_easy_items():
    generator = np.random.default_rng(0)
    hardness = generator.normal(0, 10, 300)
    result = paired_bootstrap(hardness + 0.5 + generator.normal(0, 1, 300), hardness + generator.normal(0, 1, 300))
    assert result.low > 0 and result.p_value < 0.001
    assert result.difference == pytest.approx(result.first - result.second)


def test_equal_models_have_no_difference():
    values = np.random.default_rng(0).random(30)
    result = paired_bootstrap(values, values)
    assert (result.difference, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_p_values_under_no_difference_are_evenly_spread():
    generator = np.random.default_rng(0)
    p = [paired_bootstrap(*generator.normal(size=(2, 60)), resamples=300).p_value for _ in range(200)]
    assert 0.4 < np.mean(p) < 0.6 and 0.01 < np.mean(np.array(p) < 0.05) < 0.11


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([1.0]), "1 items"),
        (lambda: bootstrap_interval([1.0, 2.0], groups=["a", "a"]), "1 items"),
        (lambda: bootstrap_interval([1.0, 2.0], groups=["a"]), "1 groups for 2 items"),
        (lambda: bootstrap_interval([1.0, float("nan")]), "1 numbers"),
        (lambda: bootstrap_interval([[1.0], [2.0]]), r"shape \(2, 1\)"),
        (lambda: bootstrap_interval([1, 0], resamples=0), "`resamples` is 0"),
        (lambda: bootstrap_interval([1, 0], confidence=95), "`confidence` 95"),
        (lambda: bootstrap_interval([[1, 0], [0, 1]], lambda sums: sums[..., 0] / sums[..., 1]), "not finite in"),
        (lambda: paired_bootstrap([1, 0], [1, 0, 1]), "2 items, the second 3"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_be_drawn_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
