"""The residuals of a forecast, actual minus forecast: for a good model they are noise around zero."""

from __future__ import annotations

import numpy as np

from lstm_pipeline.arrays import Float64

DEFINITIONS = {
    "mean": "mean of actual minus one-step-ahead forecast: the bias",
    "std": "standard deviation of the residuals",
    "autocorrelation": "correlation of each residual with the one before; near 0 if there was nothing left to learn",
    "skewness": "0 if errors above and below are alike",
    "excess_kurtosis": "0 for a normal distribution, above 0 for heavier tails",
    "normality_p": "p-value of the Jarque-Bera test (1980) of a normal distribution; small: not normal",
}

Summary = dict[str, float | None]


def residual_summary(residuals: Float64) -> Summary:
    """Mean, spread, autocorrelation and normality of one feature's residuals.

    Args:
        residuals: (n,) actual minus forecast in time order; NaN is ignored.

    Returns:
        statistic → value; None where it is undefined.
    """
    from scipy import stats  # takes half a second to import, nothing after scikit-learn, which imports it too

    known = residuals[~np.isnan(residuals)]
    if len(known) < 3:
        return dict.fromkeys(DEFINITIONS)
    mean, std = float(known.mean()), float(known.std())
    if std <= 1e-12 * max(abs(mean), np.finfo(float).tiny):
        return {**dict.fromkeys(DEFINITIONS), "mean": mean, "std": std}
    standard = (known - mean) / std
    return {
        "mean": mean,
        "std": std,
        "autocorrelation": _autocorrelation(residuals),
        "skewness": float(stats.skew(standard)),
        "excess_kurtosis": float(stats.kurtosis(standard)),
        "normality_p": float(stats.jarque_bera(standard).pvalue),
    }


def _autocorrelation(residuals: Float64) -> float | None:
    """Correlation of neighbours, both known; None where either side does not vary."""
    paired = ~np.isnan(residuals[:-1]) & ~np.isnan(residuals[1:])
    before, after = residuals[:-1][paired], residuals[1:][paired]
    varies = len(before) > 2 and before.std() > 0 and after.std() > 0
    return float(np.corrcoef(before, after)[0, 1]) if varies else None
