"""How much of a series is season and trend, and whether it returns to a level."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Float64

MOST_TESTED = 2_000
"""Unit root tests look at so many of the latest values: their time grows with the square of the lags."""

_FEWEST = 20


@dataclass(frozen=True)
class Strength:
    """How strong season and trend are, from 0 (none) to 1 (nothing else); None: too few values to tell.

    They are max(0, 1 - Var(R) / Var(S + R)) and max(0, 1 - Var(R) / Var(T + R)) of the decomposition into trend T,
    season S and remainder R (Wang, Smith & Hyndman 2006).
    """

    season: float | None
    trend: float | None


def strength(values: Float64, season: int) -> Strength:
    """The strength of season and trend, by classical decomposition.

    The trend is the centred moving average over a season, with half weights at both ends if a season has an even number
    of steps. The season is the mean of what is left at each of its phases.

    Args:
        values: (N,) in time order; NaN where nothing was observed. Averages with a NaN in them are left out.
        season: steps of a season; 1: there is none, and the trend is the average over seven steps.
    """
    period = season if season > 1 else 7
    if len(values) < 2 * period + 1:
        return Strength(None, None)
    trend = _moving_average(values, period)
    rest = values - trend
    cycle = np.zeros(len(values))
    if season > 1:
        phases = np.arange(len(values)) % season
        means = np.array([_mean(rest[phases == phase]) for phase in range(season)])
        cycle = (means - _mean(means))[phases]
    remainder = rest - cycle
    known = ~np.isnan(remainder)
    if known.sum() < period:
        return Strength(None, None)
    trend_part, cycle_part, noise = trend[known], cycle[known], remainder[known]
    return Strength(_share(noise, cycle_part) if season > 1 else None, _share(noise, trend_part))


def _moving_average(values: Float64, period: int) -> Float64:
    """(N,) centred moving average; NaN at both ends, and where a value is missing."""
    weights = np.full(period, 1 / period)
    if period % 2 == 0:
        weights = np.concatenate([[0.5], np.ones(period - 1), [0.5]]) / period
    half = len(weights) // 2
    found = np.full(len(values), np.nan)
    found[half : len(values) - half] = np.convolve(values, weights, mode="valid")
    return found


def _share(noise: Float64, part: Float64) -> float | None:
    whole = float((part + noise).var())
    size = float(np.abs(part).max(initial=0.0) + np.abs(noise).max(initial=0.0))
    if whole <= (1e-12 * size) ** 2:
        return None
    return max(0.0, 1 - float(noise.var()) / whole)


def _mean(values: Float64) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


@dataclass(frozen=True)
class Stationarity:
    """p-values of two tests with opposite hypotheses; None where a test has no answer.

    Attributes:
        adf: of Dickey & Fuller (1979), augmented: small means that the series returns to its level.
        kpss: of Kwiatkowski et al. (1992): small means that it does not. It is between 0.01 and 0.1, as in their table.
    """

    adf: float | None
    kpss: float | None


def can_test_stationarity() -> bool:
    """Whether statsmodels, which has the tests, is installed."""
    return importlib.util.find_spec("statsmodels") is not None


def stationarity(values: Float64) -> Stationarity:
    """Tests whether a series has a level that it returns to, by its latest values.

    Args:
        values: (N,) in time order; NaN is ignored.

    Raises:
        ImportError: statsmodels is not installed.
    """
    tests = importlib.import_module("statsmodels.tsa.stattools")
    known = values[~np.isnan(values)][-MOST_TESTED:]
    if len(known) < _FEWEST or known.std() <= 1e-12 * np.abs(known).max():
        return Stationarity(None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a p-value beyond the table of KPSS
        return Stationarity(float(tests.adfuller(known)[1]), float(tests.kpss(known, nlags="auto")[1]))
