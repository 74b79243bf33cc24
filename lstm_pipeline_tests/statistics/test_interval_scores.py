"""Scores of intervals by hand, and what they must be for quantiles that are right."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.statistics.adaptive_intervals import Held, rolling_intervals
from lstm_pipeline.statistics.interval_scores import IntervalTally, interval_score, quantile_loss

NAN = np.nan


def test_interval_scores_by_hand() -> None:
    """Width 4; two below costs 2 / 0.2 times 2, one above 2 / 0.2 times 1 (Gneiting & Raftery 2007, equation 43)."""
    actual = np.array([0.0, 2, 3, 6, 7, NAN])
    found = interval_score(actual, np.full(6, 2.0), np.full(6, 6.0), 80)
    np.testing.assert_allclose(found, [4 + 20, 4, 4, 4, 4 + 10, NAN])
    assert interval_score(np.array([7.0]), np.array([2.0]), np.array([6.0]), 95) == pytest.approx([4 + 40])
    assert np.isnan(interval_score(actual, np.full(6, NAN), np.full(6, 6.0), 80)).all()


def pinball(actual: float, quantile: float, probability: float) -> float:
    return max(probability * (actual - quantile), (probability - 1) * (actual - quantile))


@pytest.mark.parametrize("actual", [-3.0, 0.5, 4.0, 9.0, 30.0])
def test_the_quantile_loss_is_the_mean_over_all_quantiles(actual: float) -> None:
    bounds = {80: (1.0, 7.0), 50: (2.0, 5.0)}
    quantiles = {0.1: 1.0, 0.25: 2.0, 0.5: 4.0, 0.75: 5.0, 0.9: 7.0}
    expected = np.mean([2 * pinball(actual, value, probability) for probability, value in quantiles.items()])
    arrays = {level: (np.array([low]), np.array([high])) for level, (low, high) in bounds.items()}
    assert quantile_loss(np.array([actual]), np.array([4.0]), arrays) == pytest.approx([expected])
    assert quantile_loss(np.array([actual]), np.array([4.0]), {}) == pytest.approx([abs(actual - 4)])


def test_scores_over_forecasts_by_hand() -> None:
    """Two forecasts of 10, two steps ahead, with the interval [8, 12]; 10 and 13 come, then 7 and nothing."""
    tally, bounds = IntervalTally([80], 1), {80: (np.full((2, 1), 8.0), np.full((2, 1), 12.0))}
    for actual in ([10.0, 13], [7, NAN]):
        tally.add(np.array(actual)[:, None], np.full((2, 1), 10.0), bounds)
    found = tally.scores()
    assert found.coverage[80].tolist() == [pytest.approx(1 / 3)]
    assert found.interval_score[80].tolist() == [pytest.approx((4 + 14 + 14) / 3)]
    losses = (0 + 0.2 * 4) / 3, (3 + 0.2 * 14) / 3, (3 + 0.2 * 14) / 3
    assert found.wql.tolist() == [pytest.approx(sum(losses) / (10 + 13 + 7))]


def test_values_without_every_interval_are_not_in_the_weighted_loss() -> None:
    """The second step has an interval of 80 % alone: it counts for its coverage and its score, not for the loss."""
    tally, low, high = IntervalTally([80, 95], 1), np.array([[8.0], [8]]), np.array([[12.0], [12]])
    tally.add(np.array([[10.0], [13]]), np.full((2, 1), 10.0), {80: (low, high), 95: (low - [[1], [NAN]], high + 1)})
    found = tally.scores()
    assert (found.coverage[80][0], found.coverage[95][0]) == (0.5, 1)
    assert (found.interval_score[80][0], found.interval_score[95][0]) == (pytest.approx(9), pytest.approx(6))
    assert found.wql.tolist() == [pytest.approx((0 + 0.2 * 4 + 0.05 * 6) / 5 / 10)]


def test_scores_over_origins_by_hand() -> None:
    """One step per origin, forecasts of 10, 1 or 2 off at first: nine errors make the interval of 80 %, [8, 12]."""
    errors = np.array([-1.0, 1, -2, 2, 1, -1, 1, -1, 1, 0, 3, NAN])[:, None, None]
    held = Held(10 + errors, np.full(errors.shape, 10.0), np.arange(12))
    found = rolling_intervals(held, np.array([9, 10, 11]), [80], 9).scores
    # origin 9 has [8, 12] and comes to 10: the next interval is narrower, exp(-0.3 / 2 · 0.2); origin 10 forgets the
    # first, has otherwise the same interval, and comes to 13
    narrower = 2 * np.exp(-0.15 * 0.2)
    outside = 2 * narrower + 2 / 0.2 * (3 - narrower)
    assert found.coverage[80].tolist() == [0.5]
    assert found.interval_score[80].tolist() == [pytest.approx((4 + outside) / 2)]
    losses = (0 + 0.2 * 4) / 3, (3 + 0.2 * outside) / 3
    assert found.wql.tolist() == [pytest.approx(sum(losses) / (10 + 13))]


def test_scores_are_of_intervals_within_the_limits() -> None:
    errors = np.array([-1.0, 1, -2, 2, 1, -1, 1, -1, 1, 3])[:, None, None]
    held = Held(1 + errors, np.full(errors.shape, 1.0), np.arange(10), limits=(np.zeros(1), np.array([2.5])))
    found = rolling_intervals(held, np.array([9]), [80], 9).scores  # [-1, 3] within [0, 2.5]; 4 comes
    assert found.interval_score[80].tolist() == [pytest.approx(2.5 + 10 * 1.5)]


def test_without_intervals_or_values_there_is_no_score() -> None:
    held = Held(np.zeros((20, 1, 1)), np.zeros((20, 1, 1)), np.arange(20))
    empty = rolling_intervals(held, np.array([], int), [80], 9).scores
    assert np.isnan(empty.coverage[80]).all()
    assert np.isnan(empty.interval_score[80]).all()
    assert np.isnan(empty.wql).all()
    zeros = rolling_intervals(held, np.array([15]), [80], 9).scores
    assert zeros.interval_score[80].tolist() == [0]
    assert np.isnan(zeros.wql).all()  # the sum of |actual| is 0
    assert rolling_intervals(held, np.array([15]), [], 9).scores.coverage == {}


def test_the_true_quantiles_have_the_smallest_score() -> None:
    actual = np.random.default_rng(1).normal(size=40_000)
    scores = {z: interval_score(actual, np.full(40_000, -z), np.full(40_000, z), 80).mean() for z in (1.0, 1.2816, 1.6)}
    assert min(scores, key=scores.__getitem__) == 1.2816
