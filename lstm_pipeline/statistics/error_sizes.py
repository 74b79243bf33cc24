"""How large a forecast's errors are likely to be: by the phase of the season and by the height of the forecast.

Traffic is easy to forecast at night and hard at rush hour, and clean air varies less than dirty air. Errors divided by
their likely size are alike, so that intervals made of them are narrow where little happens and wide where much does
(normalised conformal prediction, Papadopoulos et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

_MOST_PHASES = 168
_HEIGHTS = 8
_EXPECTED = 100.0
"""How many independent errors of ordinary size each phase and height is supposed to have had before any was seen."""
_ROUNDS = 2


@dataclass(frozen=True)
class ErrorSizes:
    """The size of errors as a multiple of its mean at the same lead time.

    Attributes:
        season: steps of a season; 1: there is none.
        phases: (K, P) multiple by phase; K phases of a season, of several steps each where a season has many.
        edges: (G - 1, P) ascending: the forecasts above which the next height begins.
        heights: (G, P) multiple by the height of the forecast.
    """

    season: int
    phases: Float64
    edges: Float64
    heights: Float64

    @staticmethod
    def alike(features: int) -> ErrorSizes:
        """Errors of the same size everywhere."""
        return ErrorSizes(1, np.ones((1, features)), np.zeros((0, features)), np.ones((1, features)))

    def of(self, forecast: Float64, first: Integers) -> Float64:
        """The multiple for each value.

        Args:
            forecast: (B, H, P).
            first: (B,) the number of the first step that each origin forecasts; step 0 has phase 0.

        Returns:
            (B, H, P) above 0.
        """
        columns = np.arange(forecast.shape[2])
        phase, height = self.classes(forecast, first)
        return np.asarray(self.phases[phase, columns] * self.heights[height, columns])

    def classes(self, forecast: Float64, first: Integers) -> tuple[Integers, Integers]:
        """(B, H, P) the phase and the height of each value."""
        steps = first[:, None] + np.arange(forecast.shape[1])
        phase = steps % self.season * len(self.phases) // self.season
        height = np.zeros(forecast.shape, np.int64)
        for edges in self.edges:
            height += ~(forecast <= edges)  # all features at once; NaN is above every edge
        return np.broadcast_to(phase[..., None], forecast.shape), height


def fit_sizes(errors: Float64, forecast: Float64, first: Integers, season: int, share: Float64) -> ErrorSizes:
    """The sizes of past errors.

    Absolute errors are fitted by a product of three means, of their lead time, phase and height, in turns (iterative
    proportional fitting). A phase or height with few errors is close to 1: each one has seen 100 independent errors of
    ordinary size beforehand.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN is ignored.
        forecast: (n, H, P).
        first: (n,) the number of the first step that each origin forecasts.
        season: steps of a season.
        share: (H, P) how many independent errors one error is worth, from `independent_share`.
    """
    known = np.isfinite(errors) & np.isfinite(forecast)
    size, width = np.abs(np.where(known, errors, 0.0)), errors.shape[2]
    by_lead = size.sum(axis=0) / np.maximum(known.sum(axis=0), 1)  # (H, P)
    ordinary = by_lead.mean(axis=0)
    ordinary[ordinary == 0] = 1.0  # a feature without errors
    before = _EXPECTED / share.mean(axis=0) * ordinary  # (P,)
    phases = min(season, _MOST_PHASES)
    found = ErrorSizes(season, np.ones((phases, width)), _edges(forecast, known), np.ones((_HEIGHTS, width)))
    classes = found.classes(forecast, first)
    factors = [found.phases, found.heights]
    columns = np.arange(width)
    for _ in range(_ROUNDS):
        for index, (own, other) in enumerate(zip(classes, classes[::-1], strict=True)):
            expected = np.where(known, by_lead * factors[1 - index][other, columns], 0.0)
            sums = [_sums(each, own, len(factors[index])) for each in (size, expected)]
            factors[index] = (sums[0] + before) / (sums[1] + before)
    return ErrorSizes(season, factors[0], found.edges, factors[1])


def _edges(forecast: Float64, known: np.ndarray) -> Float64:
    """(G - 1, P) quantiles of the known forecasts; 0 for a feature without any."""
    levels = np.arange(1, _HEIGHTS) / _HEIGHTS
    if len(forecast) and known.all():
        return np.asarray(np.quantile(forecast.reshape(-1, forecast.shape[2]).T, levels, axis=1))  # all at once
    columns = [forecast[..., index][known[..., index]] for index in range(forecast.shape[2])]
    found = [np.quantile(own, levels) if len(own) else np.zeros(_HEIGHTS - 1) for own in columns]
    return np.reshape(found, (len(columns), _HEIGHTS - 1)).T


def _sums(values: Float64, classes: Integers, count: int) -> Float64:
    """(n, H, P) values and their classes -> (count, P) sums by class."""
    width = values.shape[2]
    places = (classes * width + np.arange(width)).ravel()
    sums = np.bincount(places, weights=values.ravel(), minlength=count * width).astype(np.float64)
    return sums.reshape(count, width)
