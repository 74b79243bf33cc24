"""Forecasts of held-out rows, made for a report: what the record keeps only as sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.forecasting import (
    METHODS,
    Dataset,
    Ensemble,
    affordable_origins,
    evaluate_one_step,
    held_out_origins,
    roll_from,
)
from lstm_pipeline.reporting.html.facts import HeldOut, Residuals
from lstm_pipeline.statistics import (
    BASELINES,
    autocorrelations,
    correlation_bound,
    ljung_box,
    partial_autocorrelations,
    residual_summary,
)

ENSEMBLE = "ensemble"
MOST_ORIGINS = 128
"""Origins that are scored by lead time: enough for a curve, and made in seconds."""
MOST_ROWS = 600
"""The latest held-out rows, which are shown beside their forecasts."""
_LAGS = 40


def forecast_held_out(
    dataset: Dataset, ensemble: Ensemble, horizon: int, say: Callable[[str], None] = lambda text: None
) -> HeldOut | None:
    """Forecasts the test part of a dataset, one step ahead and over the horizon.

    Args:
        ensemble: networks that have not seen the test part, with the version's calibration.
        horizon: steps of a forecast, cut to the length of the test part.
        say: a progress listener.

    Returns:
        None if no forecast fits into the test part.
    """
    split, length = dataset.split, ensemble.metadata.sequence_length
    horizon = min(horizon, split.rows - split.test)
    every = held_out_origins(dataset, length, horizon, split.rows, start=split.test)
    if not len(every):
        return None
    most = min(MOST_ORIGINS, affordable_origins(ensemble, horizon))
    spread = held_out_origins(dataset, length, horizon, most, start=split.test)
    chain = _chain(every, horizon, max(split.test, split.rows - MOST_ROWS))
    first = np.union1d(spread, chain)
    say(f"forecasting {horizon:,} steps from {len(first):,} held-out origins")
    rolled = roll_from(dataset, ensemble, first, horizon)
    blended = ensemble.calibration.blended(rolled.forecasts)
    scored = np.isin(first, spread)
    part = rolled.at(scored)
    methods = {ENSEMBLE: blended[scored], **{name: part.method(name) for name in BASELINES}}
    if ensemble.calibration.is_blend:
        methods["network"] = part.method(METHODS[0])
    joined = np.full((split.rows - split.test, len(rolled.names)), np.nan)
    for origin in chain:
        begin = int(origin) - split.test
        joined[begin : begin + horizon] = blended[int(np.searchsorted(first, origin))]
    say("forecasting every held-out row one step ahead")
    residuals = {
        name: residuals_of(values, dataset.season)
        for each in evaluate_one_step(dataset, ensemble.models)
        for name, values in each.residuals.items()
    }
    rows = slice(split.test, split.rows)
    return HeldOut(
        dataset.series.timeline.wall_clock(dataset.series.steps[rows]),
        rolled.names,
        len(spread),
        horizon,
        {name: part.score(forecast) for name, forecast in methods.items()},
        {name: _by_lead(part.actual, forecast) for name, forecast in methods.items()},
        dataset.observed_values[rows][:, dataset.columns(rolled.names)],
        joined,
        residuals,
    )


def with_calibration(ensemble: Ensemble, published: Ensemble) -> Ensemble:
    """The networks of one ensemble with the calibration of another."""
    ensemble.calibration = replace(published.calibration, limits=ensemble.limits)
    return ensemble


def residuals_of(values: Float64, season: int) -> Residuals:
    """Residuals and what they show: lags reach over two seasons, but not beyond a fifth of the values.

    Args:
        values: (n,) in time order.
    """
    known = int((~np.isnan(values)).sum())
    lags = max(1, min(_LAGS, max(10, 2 * season), known // 5))
    correlations = autocorrelations(values, lags)
    return Residuals(
        values,
        residual_summary(values),
        correlations,
        partial_autocorrelations(correlations),
        correlation_bound(known),
        ljung_box(correlations, known),
    )


def _chain(origins: Integers, horizon: int, begin: int) -> Integers:
    """Origins whose forecasts follow each other without overlap, so that each row has one forecast, from a row on."""
    chosen: list[int] = []
    for origin in origins[origins >= begin].tolist():
        if not chosen or origin >= chosen[-1] + horizon:
            chosen.append(origin)
    return np.array(chosen, np.int64)


def _by_lead(actual: Float64, forecast: Float64) -> Float64:
    """(B, H, P), (B, H, P) → (H, P) root mean squared error; NaN where nothing was observed."""
    squares = (actual - forecast) ** 2
    counts = (~np.isnan(squares)).sum(axis=0)
    return np.asarray(np.sqrt(np.where(counts > 0, np.nansum(squares, axis=0) / np.maximum(counts, 1), np.nan)))
