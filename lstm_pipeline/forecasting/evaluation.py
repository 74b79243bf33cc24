"""How good forecasts are on the held-out test part, and what the validation part teaches about them before."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.arrays import Float32, Float64, Integers
from lstm_pipeline.forecasting.calibration import METHODS, Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.rolling import Rolled, roll_held_out
from lstm_pipeline.network.runtime import cores
from lstm_pipeline.statistics.baselines import BASELINES
from lstm_pipeline.statistics.blending import fit_blend
from lstm_pipeline.statistics.intervals import interval_offsets, rolling_coverage
from lstm_pipeline.statistics.metrics import Metrics, mean_over_features, naive_scale, score
from lstm_pipeline.statistics.scaling import Scaler

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.ensemble import Ensemble, GroupModel

RECENT_ORIGINS = 128
"""Origins whose errors make an interval: the latest ones, since errors of long ago may have had another size."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of an ensemble on the test part.

    Attributes:
        by_feature: `one_step` and `rolled` → feature → metrics.
        baselines: name of another forecast → its metrics, rolled, as means over features.
        calibration: blend and intervals, fitted on held-out rows.
        residuals: feature → (n,) actual minus the networks' one-step forecast, one a row of the test part; NaN where
            nothing came or nothing was forecast.
        protocol: from how many origins, over how many steps.
    """

    by_feature: dict[str, dict[str, Metrics]]
    baselines: dict[str, Metrics]
    calibration: Calibration
    residuals: dict[str, Float64]
    protocol: dict[str, Any]


def forecast_one_step(
    dataset: Dataset, network: Any, scaler: Scaler, rows: Float32, names: Sequence[str], length: int, chunk: int
) -> tuple[Integers, Float64]:
    """Forecasts each row of the test part from the window before it.

    Args:
        network: of the features `names`, in the units of `scaler`.
        rows: (N, D) what it reads, as `Dataset.rows` gives them.
        length: rows a window.
        chunk: steps that the network forecasts at a time; the first one counts.

    Returns:
        (n,) the rows and (n, P) their forecasts in own units.
    """
    from lstm_pipeline.network.training import predict_steps  # TensorFlow takes seconds to import

    starts = dataset.windows(names, length, chunk).test
    scaled = predict_steps(network, rows, starts, length)[:, 0]
    return starts + length, scaler.subset(names).inverse(scaled.astype(np.float64))


def score_one_step(dataset: Dataset, names: Sequence[str], targets: Integers, forecast: Float64) -> dict[str, Metrics]:
    """Scores forecasts of single rows.

    Args:
        targets: (n,) rows that were forecast.
        forecast: (n, P) in own units.
    """
    columns = dataset.columns(names)
    lag = np.maximum(targets - dataset.season, 0)
    naive = dataset.filled.values[lag][:, columns]
    return score(_actual(dataset, targets, columns), forecast, naive, training_scale(dataset, names), names)


def evaluate(
    dataset: Dataset, ensemble: Ensemble, horizon: int, *, blends: bool = False, levels: Sequence[int] = ()
) -> Evaluation:
    """Scores an ensemble on the test part.

    The blend with naive forecasts is fitted on the validation part alone. Intervals are made of the errors of the
    latest held-out origins; their coverage is that of the test part, each interval there made of what was known then.

    Args:
        ensemble: networks that have not seen the test part.
        horizon: steps of a rolled forecast; where the test part is shorter, its length.
        blends: whether naive forecasts guard the networks' ones.
        levels: of the intervals, in percent.
    """
    one_step, residuals = _evaluate_one_step(dataset, ensemble)
    split = dataset.split
    horizon = min(horizon, split.rows - split.test)
    rolled = roll_held_out(dataset, ensemble, horizon)
    in_test = rolled.within(split.test, split.rows)
    tested = rolled.at(in_test)
    calibration = calibrate(dataset, rolled, blends=blends, levels=levels)
    protocol = {"horizon": horizon, "origins": len(tested.first), "season_length": dataset.season}
    if not len(tested.first):
        by_feature: dict[str, Metrics] = {name: {} for name in rolled.names}
        return Evaluation({"one_step": one_step, "rolled": by_feature}, {}, calibration, residuals, protocol)
    by_feature = score_rolled(dataset, tested, tested.blended(calibration))
    others = [*BASELINES, *(["network"] if calibration.is_blend else [])]
    baselines = {name: mean_over_features(score_rolled(dataset, tested, tested.method(name))) for name in others}
    return Evaluation({"one_step": one_step, "rolled": by_feature}, baselines, calibration, residuals, protocol)


def score_rolled(dataset: Dataset, rolled: Rolled, forecast: Float64) -> dict[str, Metrics]:
    """Scores of forecasts (B, H, P) of the same origins."""
    scale = training_scale(dataset, rolled.names)
    return score(rolled.actual, forecast, rolled.method("seasonal_naive"), scale, rolled.names)


def calibrate(dataset: Dataset, rolled: Rolled, *, blends: bool, levels: Sequence[int]) -> Calibration:
    """The blend that was best on the validation part, and intervals from all held-out rows."""
    split, networks = dataset.split, Calibration.none(rolled.names)
    weights = networks.weights
    if blends:
        weights = _guard(dataset, rolled)
    blend = Calibration(rolled.names, weights)
    if not levels or not len(rolled.first):
        return blend
    errors = rolled.actual - rolled.blended(blend)
    scored = np.flatnonzero(rolled.within(split.test, split.rows))
    offsets = {level: interval_offsets(errors[-RECENT_ORIGINS:], level) for level in levels}
    coverage = {level: rolling_coverage(errors, rolled.first, scored, level, RECENT_ORIGINS) for level in levels}
    return Calibration(rolled.names, weights, offsets, coverage)


def _guard(dataset: Dataset, rolled: Rolled) -> Float64:
    """(P, M) weights fitted on what came in the validation part, and on nothing after it."""
    split = dataset.split
    validation = rolled.at(np.asarray((rolled.first >= split.validation) & (rolled.first < split.test)))
    rows = validation.first[:, None] + np.arange(rolled.horizon)
    actual = np.where(rows[..., None] < split.test, validation.actual, np.nan)
    # a history shorter than a season has no seasonal naive to go by
    usable = [method for method in METHODS if method != "seasonal_naive" or dataset.season <= split.validation]
    places = [METHODS.index(method) for method in usable]
    weights = np.zeros((len(rolled.names), len(METHODS)))
    weights[:, places] = fit_blend(actual, validation.forecasts[places])
    return weights


def training_scale(dataset: Dataset, names: Sequence[str]) -> Float64:
    """(P,) the unit of mase: how much the features change over a season in the training part."""
    rows = slice(0, dataset.split.validation)
    training = np.where(dataset.filled.observed[rows], dataset.filled.values[rows], np.nan)
    return naive_scale(training[:, dataset.columns(names)], dataset.season)


def _evaluate_one_step(dataset: Dataset, ensemble: Ensemble) -> tuple[dict[str, Metrics], dict[str, Float64]]:
    def forecast(member: GroupModel) -> tuple[Integers, Float64]:
        metadata = member.metadata
        names, length, chunk = metadata.predicted_features, metadata.sequence_length, metadata.chunk_length
        rows = dataset.rows(member.scaler)
        return forecast_one_step(dataset, member.network, member.scaler, rows, names, length, chunk)

    with ThreadPoolExecutor(cores()) as pool:
        forecasts = list(pool.map(forecast, ensemble.models))
    scores: dict[str, Metrics] = {}
    residuals: dict[str, Float64] = {}
    for member, (targets, made) in zip(ensemble.models, forecasts, strict=True):
        names = member.metadata.predicted_features
        scores |= score_one_step(dataset, names, targets, made)
        actual = _actual(dataset, targets, dataset.columns(names))
        found = np.full((dataset.split.rows - dataset.split.test, len(names)), np.nan)  # rows without a forecast stay
        found[targets - dataset.split.test] = actual - made
        residuals |= dict(zip(names, found.T, strict=True))
    return scores, residuals


def _actual(dataset: Dataset, rows: Integers, columns: list[int]) -> Float64:
    """(…, P) what was observed in these rows; NaN where nothing was, so that filled values never count."""
    values = np.where(dataset.filled.observed[rows], dataset.filled.values[rows], np.nan)
    return values[..., columns]
