"""Scores of an ensemble on the held-out test part, and the calibration fitted on held-out forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.forecasting.calibration import METHODS, Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.rolling import Rolled, roll_held_out
from lstm_pipeline.statistics import (
    BASELINES,
    RECENT_ORIGINS,
    Held,
    Metrics,
    errors_needed,
    fit_blend,
    independent_share,
    mean_over_features,
    rolling_intervals,
    score,
    within,
)
from lstm_pipeline.wording import listed, number, plain

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.ensemble import Ensemble, GroupModel


@dataclass(frozen=True)
class OneStep:
    """Forecasts of the test part one step ahead, compared with the observed values.

    Attributes:
        metrics: feature → metrics.
        residuals: feature → (n,) observed value minus forecast for each row of the test part; NaN where nothing was
            observed or nothing was forecast.
    """

    metrics: dict[str, Metrics]
    residuals: dict[str, Float64]


@dataclass(frozen=True)
class Evaluation:
    """Scores of an ensemble on the test part.

    Attributes:
        by_feature: `one_step` and `rolled` → feature → metrics.
        baselines: name of another method → its rolled metrics, as means over features.
        calibration: blend and intervals, fitted on held-out rows.
        residuals: feature → (n,) residuals one step ahead, as in `OneStep`.
        protocol: the horizon, the number of origins and the season.
    """

    by_feature: dict[str, dict[str, Metrics]]
    baselines: dict[str, Metrics]
    calibration: Calibration
    residuals: dict[str, Float64]
    protocol: dict[str, Any]


def evaluate(
    dataset: Dataset, ensemble: Ensemble, horizon: int, *, blends: bool = False, levels: Sequence[int] = ()
) -> Evaluation:
    """Scores an ensemble on the test part.

    The blend with naive forecasts is fitted on the validation part alone. Intervals are made of the errors from the
    latest held-out origins. They are scored on the test part, where each interval is made only of errors that were
    known at its origin.

    Args:
        ensemble: networks that have not seen the test part.
        horizon: steps per rolled forecast, cut to the length of the test part.
        blends: whether the networks' forecasts are blended with naive ones.
        levels: levels of the intervals in percent.
    """
    one_step = evaluate_one_step(dataset, ensemble.models)
    metrics = {name: each.metrics[name] for each in one_step for name in each.metrics}
    residuals = {name: each.residuals[name] for each in one_step for name in each.residuals}
    split = dataset.split
    horizon = min(horizon, split.rows - split.test)
    rolled = roll_held_out(dataset, ensemble, horizon)
    calibration = calibrate(dataset, rolled, blends=blends, levels=levels)
    tested = rolled.at(rolled.within(split.test, split.rows))
    protocol = {"horizon": horizon, "origins": len(tested.first), "season_length": dataset.season}
    by_feature: dict[str, Metrics] = {name: {} for name in rolled.names}
    baselines: dict[str, Metrics] = {}
    if len(tested.first):
        by_feature = tested.score(calibration.blended(tested.forecasts))
        others = [*BASELINES, *(["network"] if calibration.is_blend else [])]
        baselines = {name: mean_over_features(tested.score(tested.method(name))) for name in others}
    return Evaluation({"one_step": metrics, "rolled": by_feature}, baselines, calibration, residuals, protocol)


def evaluate_one_step(dataset: Dataset, models: Sequence[GroupModel]) -> list[OneStep]:
    """Scores group models one step ahead on the test part."""
    found = []
    for model, (targets, forecast) in zip(models, forecast_one_step(dataset, models), strict=True):
        names, first = model.metadata.predicted_features, dataset.split.test
        columns = np.array(dataset.columns(names), np.int64)
        actual = dataset.observed_values[np.ix_(targets, columns)]
        naive = dataset.filled.values[np.ix_(np.maximum(targets - dataset.season, 0), columns)]
        metrics = score(actual, forecast, naive, dataset.error_scale[columns], names)
        residuals = np.full((dataset.split.rows - first, len(names)), np.nan)
        residuals[targets - first] = actual - forecast
        found.append(OneStep(metrics, dict(zip(names, residuals.T, strict=True))))
    return found


def forecast_one_step(dataset: Dataset, models: Sequence[GroupModel]) -> list[tuple[Integers, Float64]]:
    """Forecasts each row of the test part from the window before it.

    Returns:
        Of each model the (n,) row numbers, and their (n, P) forecasts in the features' own units.
    """
    from lstm_pipeline.network.bank import first_steps  # TensorFlow takes seconds to import
    from lstm_pipeline.network.shelf import as_network

    starts = _test_starts(dataset, models)
    alike: dict[tuple[object, ...], list[int]] = {}  # models that read the same rows
    for place, model in enumerate(models):
        scaler, record = model.scaler, model.metadata
        of_scaler = scaler.centre.tobytes(), scaler.scale.tobytes(), scaler.names
        key = *of_scaler, record.sequence_length, record.chunk_length  # a longer chunk reads more known rows
        alike.setdefault(key, []).append(place)
    found: list[tuple[Integers, Float64]] = [(np.empty(0, np.int64), np.empty((0, 0)))] * len(models)
    for places in alike.values():
        read = np.unique(np.concatenate([starts[place] for place in places]))
        networks = [as_network(models[place].source) for place in places]
        rows = dataset.rows(models[places[0]].scaler)
        for place, scaled in zip(places, first_steps(networks, rows, read), strict=True):
            model = models[place]
            own = scaled[np.searchsorted(read, starts[place])].astype(np.float64)
            forecast = model.scaler.subset(model.metadata.predicted_features).inverse(own)
            found[place] = starts[place] + model.metadata.sequence_length, within(forecast, model.limits)
    return found


def _test_starts(dataset: Dataset, models: Sequence[GroupModel]) -> list[Integers]:
    """Of each model the (n,) first rows of its windows in the test part."""
    known: dict[tuple[int, int, bytes], Integers] = {}
    starts = []
    for model in models:
        record = model.metadata
        names, length, chunk = record.predicted_features, record.sequence_length, record.chunk_length
        key = length, chunk, dataset.filled.observed[:, dataset.columns(names)].any(axis=1).tobytes()
        if key not in known:
            known[key] = dataset.windows(names, length, chunk).test
        starts.append(known[key])
    return starts


def calibrate(dataset: Dataset, rolled: Rolled, *, blends: bool, levels: Sequence[int]) -> Calibration:
    """The blend that is best on the validation part, and intervals made of errors in all held-out rows."""
    weights = blend_weights(dataset, rolled) if blends else Calibration.none(rolled.names).weights
    blend = Calibration(rolled.names, weights, limits=rolled.limits)
    if not levels or not len(rolled.first):
        return blend
    last = len(dataset.series) - 1  # the step from which steps are counted
    held = Held(rolled.actual, blend.blended(rolled.forecasts), rolled.first - last, dataset.season, rolled.limits)
    tested = np.flatnonzero(rolled.within(dataset.split.test, dataset.split.rows))
    made = rolling_intervals(held, tested, levels)
    recent = held.part(len(held.first) - RECENT_ORIGINS, len(held.first))
    errors = recent.errors / made.latest.sizes.of(recent.forecast, recent.first)
    return Calibration(
        rolled.names,
        weights,
        made.latest.offsets,
        made.scores,
        tuple(interval_notes(errors, rolled.names, levels, recent.first)),
        rolled.limits,
        made.latest.sizes,
        dataset.series.steps[last],
    )


def interval_notes(
    errors: Float64, names: Sequence[str], levels: Sequence[int], first: Integers | None = None
) -> Iterator[str]:
    """Which intervals are wider, are made of the errors of several lead times, or do not exist, for want of errors.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature, in any unit.
        first: (n,) the first row that each origin forecasts; None: no two forecasts overlap.
    """
    counts = (~np.isnan(errors)).sum(axis=0)  # (H, P)
    worth = counts * (1.0 if first is None else independent_share(errors, first))
    for level in levels:
        need = errors_needed(level)
        few, none = (counts < need).any(axis=0), counts.sum(axis=0) < need
        for flags, text in (
            (few & ~none, "{level} % intervals pool neighbouring lead times, as fewer than {need} errors are known at "
             "each, for {names}"),
            (none, "no {level} % interval, as fewer than {need} errors are known over all lead times, for {names}"),
        ):  # fmt: skip
            if flags.any():
                shown = listed([plain(name) for name, flag in zip(names, flags, strict=True) if flag])
                yield text.format(level=level, need=need, names=shown)
        dependent = ((worth < need) & (counts >= need)).any(axis=0)
        if dependent.any():
            least = np.where(counts >= need, worth, np.inf)[:, dependent].min()
            shown = listed([plain(name) for name, flag in zip(names, dependent, strict=True) if flag])
            yield (
                f"{level} % intervals are wider and symmetric at some lead times, as the errors of overlapping "
                f"forecasts are alike and worth as few as {number(float(least))} independent ones of {need} that are "
                f"needed, for {shown}"
            )


def blend_weights(dataset: Dataset, rolled: Rolled) -> Float64:
    """(P, M) weights fitted on the observed values of the validation part alone."""
    split = dataset.split
    validation = rolled.at(np.asarray((rolled.first >= split.validation) & (rolled.first < split.test)))
    rows = validation.first[:, None] + np.arange(rolled.horizon)
    actual = np.where(rows[..., None] < split.test, validation.actual, np.nan)
    # there is no seasonal naive forecast before a whole season has been observed
    usable = [method for method in METHODS if method != "seasonal_naive" or dataset.season <= split.validation]
    indices = [METHODS.index(method) for method in usable]
    weights = np.zeros((len(rolled.names), len(METHODS)))
    alone = np.eye(len(usable))[0]  # naive forecasts must prove their worth
    weights[:, indices] = fit_blend(actual, validation.forecasts[indices], alone, rolled.absolute)
    return weights
