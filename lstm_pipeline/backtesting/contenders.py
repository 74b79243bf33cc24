"""Forecasts of the same rows by different methods, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.backtesting.classical import STATISTICAL, statistical_forecasts
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.rolling import Rolled
from lstm_pipeline.statistics.baselines import BASELINES, drift_forecasts
from lstm_pipeline.statistics.linear import LinearForm, fit_linear
from lstm_pipeline.timeseries.windows import window_starts

OnStage = Callable[[str], None]

ENSEMBLE = "ensemble"
STATISTICAL_ORIGINS = 20
"""Origins from which the slow classical methods forecast, at most."""


@dataclass(frozen=True)
class Contest:
    """What several methods forecast from the same origins, and what came.

    Attributes:
        names: (P,) features.
        first: (B,) the first row that each origin forecasts, ascending.
        actual: (B, H, P) what was observed, in own units; NaN where nothing was.
        forecasts: method → (B, H, P); NaN at origins that a method leaves out.
    """

    names: tuple[str, ...]
    first: Integers
    actual: Float64
    forecasts: Mapping[str, Float64]

    @property
    def horizon(self) -> int:
        """Steps of a forecast (H)."""
        return int(self.actual.shape[1])

    def made(self, method: str) -> Flags:
        """(B,) the origins from which a method forecasts anything."""
        return np.asarray(~np.isnan(self.forecasts[method]).all(axis=(1, 2)))


def contest(dataset: Dataset, known: Dataset, rolled: Rolled, calibration: Calibration, length: int) -> Contest:
    """The ensemble beside all fast methods.

    Args:
        dataset: whose rows are forecast.
        known: whose training part a linear map is fitted on.
        rolled: the networks' forecasts and the naive ones.
        length: rows of a window.
    """
    names, values = rolled.names, dataset.filled.values[:, dataset.columns(rolled.names)]
    forecasts = {ENSEMBLE: rolled.blended(calibration), "network": rolled.method("network")}
    forecasts |= {name: rolled.method(name) for name in BASELINES}
    forecasts["drift"] = drift_forecasts(values, rolled.first, length, rolled.horizon)
    forecasts["linear"] = _linear(known, names, values, rolled.first, length, rolled.horizon)
    return Contest(names, rolled.first, rolled.actual, forecasts)


def joined(parts: Sequence[Contest], *, blended: bool) -> Contest:
    """Contests of later and later origins as one.

    Args:
        blended: whether the ensemble is more than its networks, so that they are worth a line of their own.
    """
    names = [name for name in parts[0].forecasts if blended or name != "network"]
    return Contest(
        parts[0].names,
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.actual for part in parts]),
        {name: np.concatenate([part.forecasts[name] for part in parts]) for name in names},
    )


def with_statistical(dataset: Dataset, found: Contest, on_stage: OnStage) -> Contest:
    """Adds classical methods, from a few evenly spread origins."""
    values = dataset.filled.values[:, dataset.columns(found.names)]
    count = min(STATISTICAL_ORIGINS, len(found.first))
    chosen = np.linspace(0, len(found.first) - 1, count).round().astype(np.int64)
    made = np.full((len(STATISTICAL), *found.actual.shape), np.nan)
    for number, origin in enumerate(chosen, 1):
        on_stage(f"{' and '.join(STATISTICAL)}: origin {number} of {count}")
        made[:, origin] = statistical_forecasts(values[: found.first[origin]], found.horizon, dataset.season)
    forecasts = {**found.forecasts, **dict(zip(STATISTICAL, made, strict=True))}
    return Contest(found.names, found.first, found.actual, forecasts)


def _linear(
    known: Dataset, names: Sequence[str], values: Float64, first: Integers, length: int, horizon: int
) -> Float64:
    """(B, H, P) of a linear map that is fitted on the training rows, in scaled units."""
    scaler = known.scaler("standard").subset(names)
    everything = np.ones(len(known.series), bool)
    starts = window_starts(known.filled.usable, known.filled.foreknowing, everything, length, horizon)
    training = starts[starts + length + horizon <= known.split.validation]
    history = scaler.transform(known.filled.values[:, known.columns(names)])
    found = fit_linear(history, training, LinearForm(length, horizon))
    return scaler.inverse(found.forecast(scaler.transform(values), first))
