"""statsforecast's local models: fitted anew to the latest rows of each series at each origin.

Each fit reads as many rows as `cross_validation` would with its `input_size`: 1,000, or three of the longest season. As
many of the origins are forecast, evenly spread, as the budget has time for, which the first origin measures.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import MSTL, AutoETS, AutoTheta

from benchmarks.peers.exchange import LEVELS, Forecasts, Task
from benchmarks.peers.forecasters.frames import bounds_by_origin, by_origin, histories

_ROWS, _FEWEST_ORIGINS, _MOST_ORIGINS = 1_000, 4, 64

warnings.filterwarnings("ignore")


def auto_ets(task: Task, budget: float) -> Forecasts:
    return _forecast(AutoETS(season_length=task.season), "AutoETS", task, budget)


def auto_theta(task: Task, budget: float) -> Forecasts:
    return _forecast(AutoTheta(season_length=task.season), "AutoTheta", task, budget)


def mstl(task: Task, budget: float) -> Forecasts:
    """The day and the week, or the week alone where a step is a day."""
    return _forecast(MSTL(season_length=_seasons(task)), "MSTL", task, budget)


def _seasons(task: Task) -> list[int]:
    return [task.season, 7 * task.season] if task.season >= 24 else [task.season]


def _forecast(model: Any, name: str, task: Task, budget: float) -> Forecasts:
    length = min(max(_ROWS, 3 * _seasons(task)[-1]), int(task.origins[0]))
    _at(model, name, task, task.origins[:1], length)  # compiles
    began = time.process_time()
    _at(model, name, task, task.origins[:1], length)
    affordable = int(budget / max(1e-3, time.process_time() - began))
    origins = task.spread_origins(min(_MOST_ORIGINS, max(_FEWEST_ORIGINS, affordable)))
    forecasts = _at(model, name, task, origins, length)
    few = len(origins) < len(task.origins)
    note = f"{len(origins)} of {len(task.origins)} origins, {length} rows each" if few else f"{length} rows each"
    return Forecasts(origins, forecasts.forecast, forecasts.bounds, note)


def _at(model: Any, name: str, task: Task, origins: np.ndarray, length: int) -> Forecasts:
    library = StatsForecast([model], freq=1, n_jobs=1)
    predicted: pd.DataFrame = library.forecast(df=histories(task, origins, length), h=task.horizon, level=list(LEVELS))
    shape = (len(origins), task.horizon, len(task.names))
    return Forecasts(origins, by_origin(predicted, name, shape), bounds_by_origin(predicted, name, shape))
