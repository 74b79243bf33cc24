"""Strength of season and trend: 1 and 0 where they must be, and one case by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.statistics.strength import (
    Stationarity,
    Strength,
    can_test_stationarity,
    stationarity,
    strength,
)

CYCLE = np.tile([1.0, -2.0, 0.0, 1.0], 10)


def test_a_pure_season_has_strength_one_and_no_trend() -> None:
    found = strength(CYCLE, 4)
    assert found.season == pytest.approx(1)
    assert found.trend is None  # neither trend nor remainder vary


def test_a_straight_line_is_all_trend() -> None:
    found = strength(CYCLE + np.arange(40.0), 4)
    assert found.season == pytest.approx(1)
    assert found.trend == pytest.approx(1)


def test_noise_has_neither() -> None:
    found = strength(np.random.default_rng(1).normal(size=3000), 7)
    assert found.season is not None
    assert found.trend is not None
    assert found.season < 0.02
    assert found.trend < 0.2  # an average over seven steps of noise still varies a little


def test_by_hand() -> None:
    """A season of two steps: the average of three with weights 1, 2, 1; then the means of the odd and even steps."""
    values = np.array([0.0, 4, 0, 8, 0, 4])
    trend = np.array([2.0, 3, 4, 3])  # of steps 1 to 4: (0 + 8 + 0) / 4, (4 + 0 + 8) / 4, (0 + 16 + 0) / 4, …
    season = np.array([3.0, -3, 3, -3])  # of 2, -3, 4, -3
    noise = np.array([-1.0, 0, 1, 0])
    found = strength(values, 2)
    assert found.season == pytest.approx(1 - noise.var() / (season + noise).var())
    assert found.trend == pytest.approx(max(0, 1 - noise.var() / (trend + noise).var()))


def test_without_a_season_there_is_only_a_trend() -> None:
    found = strength(np.arange(40.0), 1)
    assert found.season is None
    assert found.trend == pytest.approx(1)


@pytest.mark.parametrize("values", [np.arange(14.0), np.full(40, np.nan), np.empty(0)])
def test_too_few_values_tell_nothing(values: np.ndarray) -> None:
    assert strength(values, 7) == Strength(None, None)


def test_missing_values_are_left_out() -> None:
    values = CYCLE + 3 * np.arange(40.0)
    values[[5, 21]] = np.nan
    found = strength(values, 4)
    assert found.season == pytest.approx(1)


@pytest.mark.skipif(not can_test_stationarity(), reason="statsmodels is not installed")
def test_stationarity_tells_noise_from_a_random_walk() -> None:
    noise = np.random.default_rng(2).normal(size=400)
    level, walk = stationarity(noise), stationarity(noise.cumsum())
    assert level.adf is not None
    assert walk.adf is not None
    assert level.adf < 0.01 < 0.1 < walk.adf
    assert level.kpss == pytest.approx(0.1)
    assert walk.kpss == pytest.approx(0.01)
    assert stationarity(np.ones(400)) == Stationarity(None, None)
