"""How good forecasts are on the held-out test part: one step ahead, and rolled over the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.forecasting.dataset import Dataset, network_rows
from lstm_pipeline.timeseries.arrays import Float64, Integers
from lstm_pipeline.timeseries.baselines import seasonal_rows
from lstm_pipeline.timeseries.metrics import Metrics, mean_over_features, naive_scale, score
from lstm_pipeline.timeseries.windows import window_starts

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.ensemble import Ensemble

MAX_ORIGINS = 64
"""Origins of a rolled evaluation: enough for a stable mean, few enough to cost seconds."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of an ensemble on the test part.

    Attributes:
        by_feature: `one_step` and `rolled` → feature → metrics.
        baselines: name of a naive forecast → its metrics, rolled, as means over features.
        protocol: from how many origins, over how many steps.
    """

    by_feature: dict[str, dict[str, Metrics]]
    baselines: dict[str, Metrics]
    protocol: dict[str, Any]


def score_one_step(dataset: Dataset, names: Sequence[str], targets: Integers, forecast: Float64) -> dict[str, Metrics]:
    """Scores forecasts of single rows.

    Args:
        targets: (n,) rows that were forecast.
        forecast: (n, P) in own units.
    """
    columns = dataset.columns(names)
    lag = np.maximum(targets - dataset.season, 0)
    naive = dataset.filled.values[lag][:, columns]
    return score(_actual(dataset, targets, columns), forecast, naive, _scale(dataset, columns), names)


def evaluate(dataset: Dataset, ensemble: Ensemble, horizon: int) -> Evaluation:
    """Scores an ensemble on the test part.

    Args:
        horizon: steps of a rolled forecast; where the test part is shorter, its length.
    """
    one_step: dict[str, Metrics] = {}
    from lstm_pipeline.network.training import predict_steps

    for member in ensemble.members:
        names, length = member.metadata.predicted_features, member.metadata.sequence_length
        rows = network_rows(dataset.series, dataset.filled, member.scaler, dataset.calendar)
        starts = dataset.windows(names, length, member.metadata.chunk_length).test
        scaled = predict_steps(member.network, rows, starts, length)[:, 0]
        forecast = member.scaler.subset(names).inverse(scaled.astype(np.float64))
        one_step |= score_one_step(dataset, names, starts + length, forecast)
    rolled, baselines, protocol = _evaluate_rolled(dataset, ensemble, horizon)
    return Evaluation({"one_step": one_step, "rolled": rolled}, baselines, protocol)


def _evaluate_rolled(
    dataset: Dataset, ensemble: Ensemble, horizon: int
) -> tuple[dict[str, Metrics], dict[str, Metrics], dict[str, Any]]:
    length = ensemble.metadata.sequence_length
    horizon = min(horizon, dataset.split.rows - dataset.split.test)
    starts = rolling_origins(dataset, length, horizon)
    protocol = {"horizon": horizon, "origins": len(starts), "season_length": dataset.season}
    names = ensemble.predicted
    if not len(starts):
        return {name: {} for name in names}, {}, protocol
    columns = dataset.columns(names)
    forecast = ensemble.roll(dataset.series, dataset.filled, starts, horizon)  # (B, H, P)
    first = starts + length
    actual = _actual(dataset, first[:, None] + np.arange(horizon), columns)
    seasonal = _seasonal(dataset, first, horizon, dataset.season)[..., columns]
    last_value = _seasonal(dataset, first, horizon, 1)[..., columns]
    scale = _scale(dataset, columns)
    baselines = {
        name: mean_over_features(score(actual, naive, seasonal, scale, names))
        for name, naive in (("seasonal_naive", seasonal), ("last_value", last_value))
    }
    return score(actual, forecast, seasonal, scale, names), baselines, protocol


def rolling_origins(dataset: Dataset, length: int, horizon: int) -> Integers:
    """First rows of at most `MAX_ORIGINS` windows, evenly spread, whose whole horizon lies in the test part."""
    everything = np.ones(len(dataset.series), bool)
    starts = window_starts(dataset.filled.usable, dataset.filled.foreknowing, everything, length)
    first = starts + length
    fitting = starts[(first >= dataset.split.test) & (first + horizon <= dataset.split.rows)]
    if len(fitting) <= MAX_ORIGINS:
        return fitting
    return fitting[np.linspace(0, len(fitting) - 1, MAX_ORIGINS).round().astype(np.int64)]


def _seasonal(dataset: Dataset, first: Integers, horizon: int, season: int) -> Float64:
    """(B, H, F) the seasonal naive from the rows before each first forecast row."""
    rows = np.stack([seasonal_rows(int(row), horizon, season) for row in first])
    return dataset.filled.values[rows]


def _actual(dataset: Dataset, rows: Integers, columns: list[int]) -> Float64:
    """(…, P) what was observed in these rows; NaN where nothing was, so that filled values never count."""
    values = np.where(dataset.filled.observed[rows], dataset.filled.values[rows], np.nan)
    return values[..., columns]


def _scale(dataset: Dataset, columns: list[int]) -> Float64:
    rows = slice(0, dataset.split.validation)
    training = np.where(dataset.filled.observed[rows], dataset.filled.values[rows], np.nan)
    return naive_scale(training[:, columns], dataset.season)
