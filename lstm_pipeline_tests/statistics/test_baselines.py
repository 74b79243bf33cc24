"""Naive forecasts: which rows are repeated, and the drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.statistics.baselines import (
    BASELINES,
    drift_forecasts,
    naive_forecasts,
    seasonal_rows,
)


@pytest.mark.parametrize(
    ("length", "horizon", "season", "rows"),
    [
        (10, 5, 3, [7, 8, 9, 7, 8]),
        (10, 3, 1, [9, 9, 9]),
        (10, 2, 7, [3, 4]),
        (7, 8, 7, [0, 1, 2, 3, 4, 5, 6, 0]),
        (6, 3, 7, [5, 5, 5]),  # history shorter than a season: its last row
        (1, 2, 24, [0, 0]),
        (10, 0, 3, []),
    ],
)
def test_which_rows_are_repeated(length: int, horizon: int, season: int, rows: list[int]) -> None:
    assert seasonal_rows(length, horizon, season).tolist() == rows


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 50))
def test_the_rows_are_the_same_phase_of_the_latest_season(length: int, horizon: int, season: int) -> None:
    rows = seasonal_rows(length, horizon, season)
    period = season if season <= length else 1
    for step, row in enumerate(rows):
        assert length - period <= row < length
        assert (length + step - row) % period == 0


def test_seasonal_naive_in_exact_numbers() -> None:
    history = np.arange(12, dtype=np.float64).reshape(6, 2)  # (L, F)
    assert history[seasonal_rows(6, 4, 3)].tolist() == [[6, 7], [8, 9], [10, 11], [6, 7]]
    batch = np.stack([history, history * 10])  # (B, L, F)
    assert batch[:, seasonal_rows(6, 4, 3)][1].tolist() == [[60, 70], [80, 90], [100, 110], [60, 70]]
    seasonal, _ = naive_forecasts(history, np.array([6, 6]), 4, 3)
    assert seasonal.shape == (2, 4, 2)
    assert seasonal[1].tolist() == [[6, 7], [8, 9], [10, 11], [6, 7]]


def test_a_missing_value_of_the_last_season_is_missing_in_the_forecast() -> None:
    seasonal, _ = naive_forecasts(np.array([[1.0], [np.nan], [3.0]]), np.array([3]), 3, 2)
    np.testing.assert_equal(seasonal[0], [[np.nan], [3.0], [np.nan]])


def test_drift_extrapolates_the_mean_slope_of_the_window() -> None:
    values = np.array([[9.0, 0], [1, 5], [4, 5], [7, 5], [0, 0]])
    # three rows before row 4: 1, 4, 7 has the slope (7 - 1) / 2
    assert drift_forecasts(values, np.array([4]), 3, 2).tolist() == [[[10, 5], [13, 5]]]
    assert drift_forecasts(values, np.array([3, 4]), 1, 2)[:, :, 0].tolist() == [[4, 4], [7, 7]]


def test_naive_forecasts_in_exact_numbers() -> None:
    values = np.arange(20, dtype=np.float64).reshape(10, 2)  # row r holds 2r and 2r + 1
    found = naive_forecasts(values, np.array([4, 10, 2]), 4, 3)
    assert found.shape == (len(BASELINES), 3, 4, 2)
    seasonal, last = found
    assert seasonal[:, :, 0].tolist() == [[2, 4, 6, 2], [14, 16, 18, 14], [2, 2, 2, 2]]  # row 2: no season yet
    assert last[:, :, 0].tolist() == [[6, 6, 6, 6], [18, 18, 18, 18], [2, 2, 2, 2]]
    np.testing.assert_array_equal(found[..., 1], found[..., 0] + 1)
    assert naive_forecasts(values, np.array([], int), 4, 3).shape == (2, 0, 4, 2)
    assert BASELINES == ("seasonal_naive", "last_value")


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 9))
def test_naive_forecasts_use_only_the_rows_before(first: int, horizon: int, season: int) -> None:
    values = np.random.default_rng(1).normal(size=(13, 2))
    clean = naive_forecasts(values, np.array([first]), horizon, season)
    values[first:] = np.nan
    np.testing.assert_array_equal(naive_forecasts(values, np.array([first]), horizon, season), clean)
    np.testing.assert_array_equal(clean[0, 0], values[:first][seasonal_rows(first, horizon, season)])
