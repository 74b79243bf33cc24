"""Naive forecasts: the baselines a model must beat to be worth training."""

from __future__ import annotations

import numpy as np

from lstm_pipeline.arrays import Float64, Integers


def seasonal_rows(length: int, horizon: int, season: int) -> Integers:
    """Which row of a history of `length` rows the seasonal naive forecast repeats at each of the next `horizon` steps.

    If the history is shorter than a season, its last row is repeated.

    Returns:
        (H,) row numbers.
    """
    period = season if season <= length else 1
    return length - period + np.arange(horizon) % period


BASELINES = ("seasonal_naive", "last_value")


def naive_forecasts(values: Float64, first: Integers, horizon: int, season: int) -> Float64:
    """Naive forecasts of the rows from `first` on, made from the rows before them.

    Args:
        values: (N, F)
        first: (B,) first row that each origin forecasts.

    Returns:
        (2, B, H, F): the last season repeated, and the last value repeated, in the order of `BASELINES`.
    """
    rows = [[seasonal_rows(int(row), horizon, period) for row in first] for period in (season, 1)]
    return values[np.array(rows, np.int64).reshape(len(BASELINES), len(first), horizon)]


def drift_forecasts(values: Float64, first: Integers, length: int, horizon: int) -> Float64:
    """The last value, extrapolated with the mean slope of the window before: y(L) + h (y(L) - y(1)) / (L - 1).

    Args:
        values: (N, F)
        first: (B,) first row that each origin forecasts.
        length: rows of the window (L); the slope of a single row is 0.

    Returns:
        (B, H, F).
    """
    last = values[first - 1]
    slope = (last - values[first - length]) / max(1, length - 1)
    forecast: Float64 = last[:, None] + np.arange(1, horizon + 1)[:, None] * slope[:, None]
    return forecast
