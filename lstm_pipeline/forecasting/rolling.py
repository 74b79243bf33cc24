"""Forecasts from many origins in the held-out rows, beside naive forecasts and the observed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.forecasting.calibration import METHODS
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.statistics import Limits, Metrics, naive_forecasts, score
from lstm_pipeline.timeseries import window_starts

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.ensemble import Ensemble

MAX_ORIGINS = 512
"""Most origins of an evaluation: enough for the tails of intervals, few enough to take seconds."""
_FEWEST_ORIGINS = 64
_MAX_PASSES = 2048
_MAX_CELLS = 2**24
_MAX_FORECASTS = 2**19
"""Most forecasts of single features: with thousands of features, fewer origins say enough about the ensemble."""


@dataclass(frozen=True)
class Rolled:
    """Forecasts over a horizon from several origins, in time order, in the features' own units.

    Attributes:
        names: (P,) features.
        first: (B,) the first row that each origin forecasts.
        actual: (B, H, P) the observed values; NaN where nothing was observed.
        forecasts: (M, B, H, P) one forecast for each of `METHODS`.
        scale: (P,) the unit of mase.
        limits: the smallest and the largest possible value of each feature; None: there are none.
        absolute: (P,) the features whose networks are trained with absolute errors; None: no feature's are.
    """

    names: tuple[str, ...]
    first: Integers
    actual: Float64
    forecasts: Float64
    scale: Float64
    limits: Limits | None = None
    absolute: Flags | None = None

    @property
    def horizon(self) -> int:
        """Steps of a forecast (H)."""
        return int(self.actual.shape[1])

    def method(self, name: str) -> Float64:
        """(B, H, P) the forecast of one of `METHODS`."""
        forecast: Float64 = self.forecasts[METHODS.index(name)]
        return forecast

    def within(self, start: int, end: int) -> Flags:
        """(B,) flags of the origins whose whole horizon lies in rows `start` to `end - 1`."""
        return np.asarray((self.first >= start) & (self.first + self.horizon <= end))

    def at(self, origins: Flags) -> Rolled:
        """The flagged origins alone."""
        return replace(
            self, first=self.first[origins], actual=self.actual[origins], forecasts=self.forecasts[:, origins]
        )

    def of(self, names: Sequence[str]) -> Rolled:
        """Some of the features alone."""
        places = {name: place for place, name in enumerate(self.names)}
        at = [places[name] for name in names]
        return replace(
            self,
            names=tuple(names),
            actual=self.actual[..., at],
            forecasts=self.forecasts[..., at],
            scale=self.scale[at],
            limits=None if self.limits is None else (self.limits[0][at], self.limits[1][at]),
            absolute=None if self.absolute is None else self.absolute[at],
        )

    def score(self, forecast: Float64) -> dict[str, Metrics]:
        """Feature → metrics of a forecast (B, H, P) from the same origins."""
        return score(self.actual, forecast, self.method("seasonal_naive"), self.scale, self.names)


def roll_held_out(dataset: Dataset, ensemble: Ensemble, horizon: int, most: int = MAX_ORIGINS) -> Rolled:
    """Rolls an ensemble from origins spread evenly over the validation and test parts.

    Args:
        horizon: steps per forecast.
        most: the largest number of origins.
    """
    length = ensemble.metadata.sequence_length
    first = held_out_origins(dataset, length, horizon, min(most, affordable_origins(ensemble, horizon)))
    return roll_from(dataset, ensemble, first, horizon)


def affordable_origins(ensemble: Ensemble, horizon: int) -> int:
    """The largest number of origins whose forecasts fit into memory and take seconds; at most `MAX_ORIGINS`."""
    passes = max(-(-horizon // member.metadata.chunk_length) for member in ensemble.models)
    features = len(ensemble.predicted)
    affordable = min(_MAX_CELLS // (horizon * features), _MAX_PASSES // passes, _MAX_FORECASTS // features)
    return min(MAX_ORIGINS, max(_FEWEST_ORIGINS, affordable))


def roll_from(dataset: Dataset, ensemble: Ensemble, first: Integers, horizon: int) -> Rolled:
    """Rolls an ensemble from the given origins.

    Args:
        first: (B,) the first row that each origin forecasts.
        horizon: steps per forecast.
    """
    names = tuple(ensemble.predicted)
    columns = dataset.columns(names)
    rows = first[:, None] + np.arange(horizon)
    forecasts = np.empty((len(METHODS), len(first), horizon, len(names)))
    if len(first):
        starts = first - ensemble.metadata.sequence_length
        forecasts[0] = ensemble.roll(dataset.series, dataset.filled, starts, horizon)
        forecasts[1:] = naive_forecasts(dataset.filled.values, first, horizon, dataset.season)[..., columns]
    actual = dataset.observed_values[rows][..., columns]
    return Rolled(names, first, actual, forecasts, dataset.error_scale[columns], ensemble.limits, ensemble.absolute)


def held_out_origins(dataset: Dataset, length: int, horizon: int, most: int, start: int | None = None) -> Integers:
    """(B,) the first row that each of at most `most` evenly spread origins forecasts; its whole horizon is held out.

    Args:
        length: rows per window.
        horizon: steps per forecast.
        most: the largest number of origins.
        start: the first held-out row; None for the first row of the validation part.
    """
    everything = np.ones(len(dataset.series), bool)
    first = window_starts(dataset.filled.usable, dataset.filled.foreknowing, everything, length) + length
    begin = dataset.split.validation if start is None else start
    fitting = first[(first >= begin) & (first + horizon <= dataset.split.rows)]
    return evenly_spread(fitting, most)


def evenly_spread(rows: Integers, most: int) -> Integers:
    """At most so many of the rows, from the first to the last."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)], np.int64)
