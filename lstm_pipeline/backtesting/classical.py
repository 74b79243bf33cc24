"""Classical forecasts of single series by statsforecast, an optional library (the extra `statistics`)."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lstm_pipeline.arrays import Float64

STATISTICAL = ("ets", "theta")
FITTED_ROWS = 1000
"""A model is fitted on the latest 1,000 rows, or on four seasons if that is more: older rows hardly matter to it."""
_FEWEST = 10


def is_installed() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("statsforecast") is not None


def statistical_forecasts(values: Float64, horizon: int, season: int) -> Float64:
    """Forecasts each feature from its own past, with models fitted for this origin.

    Args:
        values: (N, F) values before the origin; a missing one is replaced by the last value before it.
        horizon: steps to forecast (H).
        season: number of steps in a season.

    Returns:
        (2, H, F) forecasts of the methods in `STATISTICAL`. ETS is exponential smoothing with its form chosen by AICc
        (Hyndman & Khandakar 2008), without a season if that is longer than 24 steps. Theta is the Theta method
        (Assimakopoulos & Nikolopoulos 2000). NaN for features with fewer than ten values.
    """
    from statsforecast.models import AutoETS, Theta  # two seconds of import

    recent = values[-max(FITTED_ROWS, 4 * season) :]
    makers: list[Callable[[], Any]] = [lambda: AutoETS(season_length=season), lambda: Theta(season_length=season)]
    result = np.full((len(makers), horizon, values.shape[1]), np.nan)
    for feature in range(values.shape[1]):
        history = _filled_forward(recent[:, feature])
        if len(history) < _FEWEST:
            continue
        for index, make in enumerate(makers):
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # about constant series and long seasons
                result[index, :, feature] = make().forecast(y=history, h=horizon)["mean"]
    return result


def _filled_forward(values: Float64) -> Float64:
    """(N,) -> (n,) gaps filled with the last value; without the rows before the first value."""
    known = ~np.isnan(values)
    before = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return values[before[before >= 0]]
