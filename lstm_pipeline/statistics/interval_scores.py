"""Scores of prediction intervals: coverage, interval score and weighted quantile loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.intervals import Bounds

DEFINITIONS = {
    "coverage": "share of the values inside their interval",
    "interval_score": "mean of upper - lower + 2 / a (lower - actual if below, actual - upper if above), a = 1 - level "
    "/ 100; smaller is better (Gneiting & Raftery 2007)",
    "wql": "weighted quantile loss: the mean over the forecast, as the median, and the bounds of all intervals of "
    "twice their quantile losses, divided by the sum of |actual|; smaller is better, and undefined where every actual "
    "value is 0",
}


def interval_score(actual: Float64, lower: Float64, upper: Float64, level: int) -> Float64:
    """The width of each interval, plus 2 / a times what a value outside it is away, a = 1 - level / 100.

    The score is proper: it is smallest, in the mean, for the true quantiles (Gneiting & Raftery 2007, "Strictly Proper
    Scoring Rules, Prediction, and Estimation", equation 43).

    Args:
        actual, lower, upper: arrays of one shape.
        level: percentage of values that the interval should contain.

    Returns:
        An array of the same shape, in the unit of the values; NaN where one of the three is.
    """
    with np.errstate(invalid="ignore"):  # around an infinite forecast
        outside = np.maximum(lower - actual, 0.0) + np.maximum(actual - upper, 0.0)
        return np.asarray(upper - lower + 200 / (100 - level) * outside)


def quantile_loss(actual: Float64, forecast: Float64, bounds: Mapping[int, Bounds]) -> Float64:
    """The mean of twice the quantile losses of a forecast, taken for the median, and of the bounds of its intervals.

    This is the weighted interval score of Bracher et al. (2021), (|actual - forecast| + sum of a · interval score) /
    (2 K + 1) for K levels: an interval score times a is the sum of twice the quantile losses of both bounds. Divided by
    the sum of |actual|, it is the weighted quantile loss.

    Args:
        actual, forecast: arrays of one shape.
        bounds: level in percent → lower and upper bounds, of the same shape.

    Returns:
        An array of the same shape, in the unit of the values; NaN where a value or a bound is.
    """
    total = np.abs(actual - forecast)
    for level, (lower, upper) in bounds.items():
        total = total + (100 - level) / 100 * interval_score(actual, lower, upper, level)
    return np.asarray(total / (2 * len(bounds) + 1))


@dataclass(frozen=True)
class IntervalScores:
    """Scores of intervals, by feature.

    Attributes:
        coverage: level in percent → (P,) share of the values inside the interval; NaN where nothing could be scored.
        interval_score: level in percent → (P,) mean interval score, in the feature's own unit.
        wql: (P,) weighted quantile loss, over the values that have an interval of every level.
    """

    coverage: dict[int, Float64]
    interval_score: dict[int, Float64]
    wql: Float64


class IntervalTally:
    """Scores intervals, one forecast after the other.

    Args:
        levels: levels of the intervals in percent.
        features: number of features (P).
    """

    def __init__(self, levels: Sequence[int], features: int) -> None:
        self._levels = levels
        self._counts, self._inside, self._sums = (np.zeros((len(levels), features)) for _ in range(3))
        self._loss, self._size = np.zeros(features), np.zeros(features)

    def add(self, actual: Float64, forecast: Float64, bounds: Mapping[int, Bounds]) -> None:
        """Adds a forecast.

        Args:
            actual, forecast: (H, P) the observed values, NaN where nothing was observed, and their forecast.
            bounds: level → lower and upper bounds, (H, P) each; NaN where there is no interval.
        """
        for index, level in enumerate(self._levels):
            lower, upper = bounds[level]
            score = interval_score(actual, lower, upper, level)
            self._counts[index] += (~np.isnan(score)).sum(axis=0)
            self._inside[index] += ((actual >= lower) & (actual <= upper)).sum(axis=0)
            self._sums[index] += np.nansum(score, axis=0)
        losses = quantile_loss(actual, forecast, bounds)
        self._loss += np.nansum(losses, axis=0)
        self._size += np.where(np.isnan(losses), 0.0, np.abs(actual)).sum(axis=0, where=~np.isnan(actual))

    def scores(self) -> IntervalScores:
        """The scores over all forecasts."""
        coverage, means = _ratio(self._inside, self._counts), _ratio(self._sums, self._counts)
        return IntervalScores(
            dict(zip(self._levels, coverage, strict=True)),
            dict(zip(self._levels, means, strict=True)),
            _ratio(self._loss, self._size),
        )


def _ratio(numerator: Float64, denominator: Float64) -> Float64:
    """NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)
