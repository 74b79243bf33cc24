"""Forecasts of the same rows by the ensemble and by simpler methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.backtesting.classical import STATISTICAL, statistical_forecasts
from lstm_pipeline.forecasting import Calibration, Dataset, Rolled
from lstm_pipeline.statistics import BASELINES, Limits, LinearForm, drift_forecasts, fit_linear
from lstm_pipeline.timeseries import window_starts

OnStage = Callable[[str], None]
"""A progress listener, called with one line of text."""

ENSEMBLE = "ensemble"
STATISTICAL_ORIGINS = 20
"""The largest number of origins from which the slow classical methods forecast."""


@dataclass(frozen=True)
class Contest:
    """Forecasts by several methods from the same origins, and the observed values.

    Attributes:
        names: (P,) features.
        first: (B,) the first row that each origin forecasts, ascending.
        actual: (B, H, P) the observed values in their own units; NaN where nothing was observed.
        forecasts: method → (B, H, P); NaN at the origins that a method leaves out.
        limits: the smallest and the largest possible value of each feature; None: there are none.
        own_limits: method → limits of its own, in place of `limits`.
    """

    names: tuple[str, ...]
    first: Integers
    actual: Float64
    forecasts: Mapping[str, Float64]
    limits: Limits | None = None
    own_limits: Mapping[str, Limits | None] = field(default_factory=dict)

    def limits_of(self, method: str) -> Limits | None:
        """The limits within which a method's intervals stay."""
        return self.own_limits.get(method, self.limits)

    @property
    def horizon(self) -> int:
        """Steps of a forecast (H)."""
        return int(self.actual.shape[1])

    def made(self, method: str) -> Flags:
        """(B,) flags of the origins from which a method forecasts."""
        return np.asarray(~np.isnan(self.forecasts[method]).all(axis=(1, 2)))


def contest_of(dataset: Dataset, known: Dataset, rolled: Rolled, calibration: Calibration, length: int) -> Contest:
    """The ensemble's forecasts beside those of all fast methods.

    Args:
        dataset: the rows that are forecast.
        known: the linear map is fitted on its training part.
        rolled: the forecasts of the networks and the naive ones.
        calibration: the blend that makes the ensemble's forecast.
        length: rows per window.
    """
    names, values = rolled.names, dataset.filled.values[:, dataset.columns(rolled.names)]
    forecasts = {ENSEMBLE: calibration.blended(rolled.forecasts), "network": rolled.method("network")}
    forecasts |= {name: rolled.method(name) for name in BASELINES}
    forecasts["drift"] = drift_forecasts(values, rolled.first, length, rolled.horizon)
    forecasts["linear"] = _linear(known, names, values, rolled.first, length, rolled.horizon)
    return Contest(names, rolled.first, rolled.actual, forecasts, rolled.limits)


def joined(parts: Sequence[Contest], *, blended: bool) -> Contest:
    """Joins the contests of successive origins.

    Args:
        blended: whether the ensemble blends its networks with naive forecasts; otherwise the method `network`, which is
            the same as the ensemble, is dropped.
    """
    names = [name for name in parts[0].forecasts if blended or name != "network"]
    return Contest(
        parts[0].names,
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.actual for part in parts]),
        {name: np.concatenate([part.forecasts[name] for part in parts]) for name in names},
        parts[0].limits,
    )


def with_statistical(dataset: Dataset, fast: Contest, on_stage: OnStage) -> Contest:
    """Adds the classical methods, which forecast from a few evenly spread origins."""
    values = dataset.filled.values[:, dataset.columns(fast.names)]
    count = min(STATISTICAL_ORIGINS, len(fast.first))
    chosen = np.linspace(0, len(fast.first) - 1, count).round().astype(np.int64)
    made = np.full((len(STATISTICAL), *fast.actual.shape), np.nan)
    for number, origin in enumerate(chosen, 1):
        on_stage(f"{' and '.join(STATISTICAL)}: origin {number} of {count}")
        made[:, origin] = statistical_forecasts(values[: fast.first[origin]], fast.horizon, dataset.season)
    forecasts = {**fast.forecasts, **dict(zip(STATISTICAL, made, strict=True))}
    return replace(fast, forecasts=forecasts)


def _linear(
    known: Dataset, names: Sequence[str], values: Float64, first: Integers, length: int, horizon: int
) -> Float64:
    """(B, H, P) forecasts of a linear map fitted on the training part, in scaled units."""
    scaler = known.scaler("standard").subset(names)
    everything = np.ones(len(known.series), bool)
    starts = window_starts(known.filled.usable, known.filled.foreknowing, everything, length, horizon)
    training = starts[starts + length + horizon <= known.split.validation]
    scaled = scaler.transform(known.filled.values[:, known.columns(names)])
    linear = fit_linear(scaled, training, LinearForm(length, horizon))
    return scaler.inverse(linear.forecast(scaler.transform(values), first))
