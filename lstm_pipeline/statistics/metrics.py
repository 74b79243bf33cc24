"""Accuracy of forecasts, per feature, in the features' own units. Missing actual values are ignored.

scikit-learn's metrics reject NaN, and have neither MASE nor this SMAPE.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from lstm_pipeline.arrays import Float64

DEFINITIONS = {
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "smape": "mean of 200 |actual - forecast| / (|actual| + |forecast|), in percent from 0 to 200, 0/0 = 0; undefined "
    "where every actual value is 0",
    "mase": "mae / mean |y(t) - y(t - season)| of the training rows (Hyndman & Koehler 2006)",
    "r2": "1 - mse / variance of the actual values",
    "skill": "1 - mse / mse of the seasonal naive forecast at the same steps; below 0 is worse than naive",
    "one_step": "each forecast is made from the observed values of the window before it, over the test part",
    "rolled": "forecasts over the whole horizon, each step fed back as input, from origins spread over the test part",
    "ensemble": "rmse, mae and smape of the ensemble are means of the rolled metrics over all features",
}

NAMES = ("rmse", "mae", "smape", "mase", "r2", "skill")

Metrics = dict[str, float | None]

_ROUNDING = 1e-9


def rmse(actual: Float64, forecast: Float64) -> Float64:
    """(…, F), (…, F) → (F,)."""
    return np.sqrt(_mean((actual - forecast) ** 2))


def mae(actual: Float64, forecast: Float64) -> Float64:
    """(…, F), (…, F) → (F,)."""
    return _mean(np.abs(actual - forecast))


def smape(actual: Float64, forecast: Float64) -> Float64:
    """(…, F), (…, F) → (F,) in percent, 0 to 200."""
    size = np.abs(actual) + np.abs(forecast)
    error = np.abs(actual - forecast)
    return _mean(np.where(size == 0, 0.0, 200 * error / np.where(size == 0, 1.0, size)))


def r2(actual: Float64, forecast: Float64) -> Float64:
    """(…, F), (…, F) → (F,); NaN for features whose actual values do not vary."""
    mean = _mean(actual)
    spread = _mean((actual - mean) ** 2)
    varies = spread > (1e-12 * mean) ** 2  # rounding of the mean leaves constant values a tiny spread
    return 1 - _ratio(_mean((actual - forecast) ** 2), np.where(varies, spread, 0.0))


def scaled_rmse(actual: Float64, forecast: Float64, scale: Float64) -> Float64:
    """The rmse divided by the denominator of MASE, so that features of different units can be averaged.

    Args:
        actual, forecast: (…, F) observed values, NaN where nothing was observed, and their forecast.
        scale: (F,) from `naive_scale`.

    Returns:
        (F,); infinite where the forecast of an observed value is not finite; otherwise NaN for features without a scale
        or without an observed value.
    """
    observed = ~np.isnan(actual)
    wrong = observed & ~np.isfinite(forecast)
    error = np.where(observed & ~wrong, actual - np.where(wrong, 0.0, forecast), np.nan)
    rounding = _ROUNDING * _mean(np.abs(actual))
    scaled = _ratio(np.sqrt(_mean(error**2)), scale, above=rounding)
    return np.where(wrong.reshape(-1, wrong.shape[-1]).any(axis=0), np.inf, scaled)


def naive_scale(training: Float64, season: int) -> Float64:
    """(N, F) training rows → (F,) mean absolute change over one season: the denominator of MASE."""
    lag = season if season < len(training) else 1
    return _mean(np.abs(training[lag:] - training[:-lag]))


def score(
    actual: Float64, forecast: Float64, naive: Float64, scale: Float64, names: Sequence[str]
) -> dict[str, Metrics]:
    """All metrics of each feature.

    Args:
        actual, forecast, naive: (…, F) observed values, forecast, seasonal naive forecast.
        scale: (F,) from `naive_scale`.

    Returns:
        feature → metric → value; None where a metric is undefined, e.g. the skill of a constant feature.
    """
    error, naive_error = _mean((actual - forecast) ** 2), _mean((actual - naive) ** 2)
    rounding = _ROUNDING * _mean(np.abs(actual))  # a naive error below it means the series repeats exactly
    columns = {
        "rmse": rmse(actual, forecast),
        "mae": mae(actual, forecast),
        "smape": np.where(_mean(np.abs(actual)) > 0, smape(actual, forecast), np.nan),
        "mase": _ratio(mae(actual, forecast), scale, above=rounding),
        "r2": r2(actual, forecast),
        "skill": 1 - _ratio(error, naive_error, above=rounding**2),
    }
    return {
        name: {metric: _plain(values[index]) for metric, values in columns.items()} for index, name in enumerate(names)
    }


def mean_over_features(by_feature: Mapping[str, Metrics]) -> Metrics:
    """Mean of each metric over the features that have it: an undefined one, e.g. the sMAPE of zeros, is left out."""
    means: Metrics = {}
    for metric in NAMES:
        defined = [value for metrics in by_feature.values() if (value := metrics.get(metric)) is not None]
        means[metric] = float(np.mean(defined)) if defined else None
    return means


def left_out(by_feature: Mapping[str, Metrics], metrics: Sequence[str] = NAMES) -> dict[str, list[str]]:
    """Metric → the features whose value is undefined, and which its mean therefore leaves out."""
    found = {metric: [name for name, own in by_feature.items() if own.get(metric) is None] for metric in metrics}
    return {metric: names for metric, names in found.items() if names}


def _mean(values: Float64) -> Float64:
    """Mean over all axes but the last; NaN is ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of a feature without values is NaN
        return np.asarray(np.nanmean(values.reshape(-1, values.shape[-1]), axis=0))


def _ratio(numerator: Float64, denominator: Float64, above: Float64 | float = 0.0) -> Float64:
    """NaN where the denominator does not exceed a bound."""
    defined = denominator > above
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), np.nan)


def _plain(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
