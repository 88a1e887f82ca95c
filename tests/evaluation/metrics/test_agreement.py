"""Krippendorff's alpha against the figures of his paper, and what it must be at the ends."""

import numpy as np
import pytest

from afm_hf.evaluation.metrics.agreement import agreement, by_rater_and_item, krippendorff_alpha

N = np.nan
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_paper(level, alpha):
    assert krippendorff_alpha(PUBLISHED, level) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_the_order_of_raters_and_items_does_not_matter(level):
    table, generator = np.array(PUBLISHED), np.random.default_rng(0)
    mixed = generator.permutation(generator.permutation(table).T).T
    assert krippendorff_alpha(mixed, level) == pytest.approx(krippendorff_alpha(table, level))


def test_full_agreement_is_one_chance_is_zero_and_the_opposite_is_below():
    values = np.random.default_rng(0).integers(1, 6, (2, 4000)).astype(float)
    assert krippendorff_alpha([values[0], values[0]]) == pytest.approx(1.0)
    assert krippendorff_alpha(values) == pytest.approx(0.0, abs=0.05)
    assert krippendorff_alpha([values[0], 6 - values[0]]) < -0.5


def test_where_all_ratings_are_the_same_there_is_no_alpha():
    assert np.isnan(krippendorff_alpha([[3, 3, 3], [3, 3, 3]]))


def test_the_interval_holds_the_alpha_and_pairs_are_counted():
    found = agreement([[1, 2, 3, 5, N], [1, 2, 4, 3, 2]], resamples=200)
    assert found.low <= found.alpha <= found.high
    assert (found.raters, found.count) == (2, 4)
    assert (found.exact, found.near) == (pytest.approx(0.5), pytest.approx(0.75))


@pytest.mark.parametrize(
    ("ratings", "level", "words"),
    [([[1, 2]], "ordinal", "two ratings"), ([1, 2], "ordinal", "expected"), ([[1], [1]], "ratio", "expected one of")],
)
def test_what_has_no_agreement_is_refused(ratings, level, words):
    with pytest.raises(ValueError, match=words):
        krippendorff_alpha(ratings, level)


def test_single_ratings_become_a_table():
    raters, items, table = by_rater_and_item([("b", "x", 1), ("a", "x", 2), ("a", "y", 3)])
    assert (raters, items) == (["b", "a"], ["x", "y"])
    assert np.array_equal(table, [[1, N], [2, 3]], equal_nan=True)
    with pytest.raises(ValueError, match="'a' has rated 'x' twice"):
        by_rater_and_item([("a", "x", 1), ("a", "x", 2)])
