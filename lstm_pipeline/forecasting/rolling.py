"""Forecasts from many origins of the held-out rows, beside what came and what naive forecasts said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.forecasting.calibration import METHODS, Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.statistics.baselines import naive_forecasts
from lstm_pipeline.timeseries.windows import window_starts

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.ensemble import Ensemble

MAX_ORIGINS = 512
"""Origins of an evaluation: enough for the tails of intervals, few enough to cost seconds."""
_FEWEST_ORIGINS = 64
_MAX_PASSES = 2048
_MAX_CELLS = 2**24


@dataclass(frozen=True)
class Rolled:
    """Forecasts over a horizon from several origins, in time order, in own units.

    Attributes:
        names: (P,) features.
        first: (B,) the first row that each origin forecasts.
        actual: (B, H, P) what was observed; NaN where nothing was, so that filled values never count.
        forecasts: (M, B, H, P) the forecasts that `METHODS` names.
    """

    names: tuple[str, ...]
    first: Integers
    actual: Float64
    forecasts: Float64

    @property
    def horizon(self) -> int:
        """Steps of a forecast (H)."""
        return int(self.actual.shape[1])

    def method(self, name: str) -> Float64:
        """(B, H, P) of one of `METHODS`."""
        forecast: Float64 = self.forecasts[METHODS.index(name)]
        return forecast

    def within(self, start: int, end: int) -> Flags:
        """(B,) origins whose whole horizon lies in the rows from `start` on and before `end`."""
        return np.asarray((self.first >= start) & (self.first + self.horizon <= end))

    def at(self, origins: Flags) -> Rolled:
        """Some of the origins."""
        return replace(
            self, first=self.first[origins], actual=self.actual[origins], forecasts=self.forecasts[:, origins]
        )

    def blended(self, calibration: Calibration) -> Float64:
        """(B, H, P) what the ensemble forecasts."""
        return calibration.blended(self.forecasts)


def roll_held_out(dataset: Dataset, ensemble: Ensemble, horizon: int, most: int = MAX_ORIGINS) -> Rolled:
    """Rolls an ensemble from origins spread evenly over the validation and the test part.

    Args:
        horizon: steps of a forecast.
        most: origins, at most.
    """
    names, length = tuple(ensemble.predicted), ensemble.metadata.sequence_length
    passes = max(-(-horizon // member.metadata.chunk_length) for member in ensemble.models)
    affordable = min(_MAX_CELLS // (horizon * len(names)), _MAX_PASSES // passes)
    first = held_out_origins(dataset, length, horizon, min(most, max(_FEWEST_ORIGINS, affordable)))
    return roll_from(dataset, ensemble, first, horizon)


def roll_from(dataset: Dataset, ensemble: Ensemble, first: Integers, horizon: int) -> Rolled:
    """Rolls an ensemble from these origins.

    Args:
        first: (B,) the first row that each origin forecasts.
    """
    names = tuple(ensemble.predicted)
    columns = dataset.columns(names)
    rows = first[:, None] + np.arange(horizon)
    observed = np.where(dataset.filled.observed, dataset.filled.values, np.nan)
    forecasts = np.empty((len(METHODS), len(first), horizon, len(names)))
    if len(first):
        starts = first - ensemble.metadata.sequence_length
        forecasts[0] = ensemble.roll(dataset.series, dataset.filled, starts, horizon)
        forecasts[1:] = naive_forecasts(dataset.filled.values, first, horizon, dataset.season)[..., columns]
    return Rolled(names, first, observed[rows][..., columns], forecasts)


def held_out_origins(dataset: Dataset, length: int, horizon: int, most: int, start: int | None = None) -> Integers:
    """First forecast rows of at most `most` windows, evenly spread, whose whole horizon is held out.

    Args:
        length: rows a window.
        start: row from which on everything is held out; None: the first row of the validation part.
    """
    everything = np.ones(len(dataset.series), bool)
    first = window_starts(dataset.filled.usable, dataset.filled.foreknowing, everything, length) + length
    begin = dataset.split.validation if start is None else start
    fitting = first[(first >= begin) & (first + horizon <= dataset.split.rows)]
    if len(fitting) <= most:
        return fitting
    return np.asarray(fitting[np.linspace(0, len(fitting) - 1, most).round().astype(np.int64)], np.int64)
