"""mlforecast with LightGBM: lags, rolling means, the clock and seasonal differences, as its guides use them.

One global model of all features, which are standardised beforehand; LightGBM's own defaults. Each step's forecast is
read as a lag by the next ones. No intervals: mlforecast's conformal ones are for the series that it was trained on, and
a forecast from another origin is one of a new series to it.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import Differences

from benchmarks.peers.exchange import Forecasts, Task
from benchmarks.peers.forecasters.frames import before_test, by_origin, histories

_CELLS = 3_000_000  # values in a frame of histories


def light_gbm(task: Task, budget: float) -> Forecasts:
    """The budget is not needed: a fit takes seconds."""
    scaled, mean, spread = task.standardised()
    season = task.season
    lags = sorted({*range(1, 8), season - 1, season, season + 1, 2 * season})
    library = MLForecast(
        models={"LightGBM": lightgbm.LGBMRegressor(random_state=0, verbosity=-1, n_jobs=1)},
        freq=task.frequency,
        lags=lags,
        lag_transforms={1: [RollingMean(season)], season: [RollingMean(season)]},
        date_features=_date_features(task.frequency),
        target_transforms=[Differences([season])],
    )
    library.fit(before_test(scaled, clock=True), static_features=[])
    length = 4 * season + max(lags)
    width = len(task.names)
    found = []
    for part in np.array_split(task.origins, -(-len(task.origins) * width * length // _CELLS)):
        predicted = library.predict(task.horizon, new_df=histories(scaled, part, length, clock=True))
        found.append(by_origin(predicted, "LightGBM", (len(part), task.horizon, width)))
    return Forecasts(task.origins, np.concatenate(found)).in_units(mean, spread)


def _date_features(frequency: str) -> list[str]:
    within_day = pd.tseries.frequencies.to_offset(frequency) < pd.Timedelta(days=1) if frequency != "D" else False
    return ["hour", "dayofweek", "month"] if within_day else ["dayofweek", "month"]
