"""How good the forecasts of several contestants were, on what they all forecast."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64
from lstm_pipeline.forecasting import Dataset, build_dataset
from lstm_pipeline.monitoring.contestants import Contestant, Issued
from lstm_pipeline.projects import training_input


@dataclass(frozen=True)
class LiveErrors:
    """Errors of forecasts that came true, over the origins from which every contestant forecast.

    Attributes:
        origins: how many origins that were.
        values: how many forecast values were compared, features counted singly.
        rmse: contestant → feature → root mean squared error, in the feature's own units; None without a value.
        mase: contestant → mean over the features of the mean absolute error, divided by the feature's mean absolute
            change over a season in the first rows of the input (Hyndman & Koehler 2006).
        relative: contestant → geometric mean over the features of the rmse divided by that of the last contestant.
    """

    origins: int
    values: int
    rmse: dict[str, dict[str, float | None]]
    mase: dict[str, float | None]
    relative: dict[str, float | None]


def live_errors(contestants: Sequence[Contestant], day: dt.date) -> LiveErrors | None:
    """Scores the forecasts on the rows that the input has at the end of a day; None if none has come true."""
    project = contestants[0].project
    spec = project.spec
    dataset = build_dataset(training_input(project, day), spec.training, spec.timezone)
    origins = sorted(set.intersection(*(set(one.issued) for one in contestants)))
    found = {one.name: _errors([one.issued[origin] for origin in origins], dataset) for one in contestants}
    names = list(next(iter(found.values())))
    values = sum(len(errors) for errors in next(iter(found.values())).values())
    if not values:
        return None
    rmse = {name: {feature: _rmse(errors) for feature, errors in by.items()} for name, by in found.items()}
    scale = dict(zip(dataset.series.names, dataset.error_scale, strict=True))
    mase = {
        name: _mean([_mae(errors) / scale[feature] for feature, errors in by.items() if len(errors) and scale[feature]])
        for name, by in found.items()
    }
    base = rmse[contestants[-1].name]
    relative = {name: _ratio(by, base, names) for name, by in rmse.items()}
    return LiveErrors(len(origins), values, rmse, mase, relative)


def _errors(issued: Sequence[Issued], dataset: Dataset) -> dict[str, Float64]:
    """Feature → (n,) forecast minus what was observed."""
    series = dataset.series
    observed = pd.DataFrame(series.values, index=series.steps, columns=list(series.names))
    errors: dict[str, list[Float64]] = {name: [] for name in dataset.features.predicted}
    for one in issued:
        actual = observed.reindex(one.steps)
        for index, name in enumerate(one.names):
            found = one.values[:, index] - actual[name].to_numpy()
            errors[name].append(found[np.isfinite(found)])
    return {name: np.concatenate([np.empty(0), *parts]) for name, parts in errors.items()}


def _rmse(errors: Float64) -> float | None:
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else None


def _mae(errors: Float64) -> float:
    return float(np.mean(np.abs(errors)))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _ratio(by: Mapping[str, float | None], base: Mapping[str, float | None], names: Sequence[str]) -> float | None:
    pairs = [(by[name], base[name]) for name in names]
    logs = [np.log(one / other) for one, other in pairs if one and other]
    return float(np.exp(np.mean(logs))) if logs else None
