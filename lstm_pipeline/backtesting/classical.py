"""Classical forecasts of single series, by the optional library statsforecast (the extra `statistics`)."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lstm_pipeline.arrays import Float64

STATISTICAL = ("ets", "theta")
FITTED_ROWS = 1000
"""Rows that a model is fitted on, or four seasons where those are more: what is older hardly counts in them."""
_FEWEST = 10


def is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("statsforecast") is not None


def statistical_forecasts(values: Float64, horizon: int, season: int) -> Float64:
    """Forecasts each feature on its own from all it was, with parameters fitted anew.

    Args:
        values: (N, F) up to the origin; a missing value counts as the last one before.

    Returns:
        (2, H, F): exponential smoothing, its form chosen by AICc (Hyndman & Khandakar 2008), without a season where
        that is longer than 24 steps; the Theta method (Assimakopoulos & Nikolopoulos 2000). NaN where a feature has
        fewer than ten values.
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
                warnings.simplefilter("ignore")  # of constant series, and of seasons that are too long
                result[index, :, feature] = make().forecast(y=history, h=horizon)["mean"]
    return result


def _filled_forward(values: Float64) -> Float64:
    """(N,) -> (n,) without what is before the first value."""
    known = ~np.isnan(values)
    before = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return values[before[before >= 0]]
