"""What is left of a series when the forecast is taken off: it should be noise around zero."""

from __future__ import annotations

import numpy as np

from lstm_pipeline.arrays import Float64

DEFINITIONS = {
    "mean": "mean of actual minus forecast one step ahead: a bias",
    "std": "standard deviation of the residuals",
    "autocorrelation": "correlation of a residual with the one before it; near 0 where nothing was left to learn",
    "skewness": "0 where misses above and below are alike",
    "excess_kurtosis": "0 for a normal distribution, above 0 with heavier tails",
    "normality_p": "p-value of Jarque & Bera (1980) against a normal distribution; small: not normal",
}

Summary = dict[str, float | None]


def residual_summary(residuals: Float64) -> Summary:
    """Mean, spread, autocorrelation and normality of one feature's residuals.

    Args:
        residuals: (n,) actual minus forecast in time order; NaN does not count.

    Returns:
        statistic → value; None where it is not defined.
    """
    known = residuals[~np.isnan(residuals)]
    there = ~np.isnan(residuals[:-1]) & ~np.isnan(residuals[1:])
    before, after = residuals[:-1][there], residuals[1:][there]
    if len(known) < 3:
        return dict.fromkeys(DEFINITIONS)
    mean, std = float(known.mean()), float(known.std())
    if std <= 1e-12 * max(abs(mean), np.finfo(float).tiny):
        return {**dict.fromkeys(DEFINITIONS), "mean": mean, "std": std}
    standard = (known - mean) / std
    skewness, kurtosis = float((standard**3).mean()), float((standard**4).mean() - 3)
    statistic = len(known) / 6 * (skewness**2 + kurtosis**2 / 4)  # chi-squared with two degrees of freedom
    varies = len(before) > 2 and before.std() > 0 and after.std() > 0
    return {
        "mean": mean,
        "std": std,
        "autocorrelation": float(np.corrcoef(before, after)[0, 1]) if varies else None,
        "skewness": skewness,
        "excess_kurtosis": kurtosis,
        "normality_p": float(np.exp(-statistic / 2)),
    }
