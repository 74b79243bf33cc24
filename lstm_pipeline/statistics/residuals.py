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


def autocorrelations(residuals: Float64, lags: int) -> Float64:
    """Autocorrelation at lags 1 to `lags`: sum of (x(t) - m)(x(t+k) - m) over all pairs / sum of (x(t) - m)².

    Args:
        residuals: (n,) in time order; pairs with a NaN are left out (Parzen 1963).
        lags: the longest lag; cut to the number of values minus 1.

    Returns:
        (K,); empty if the values do not vary.
    """
    known = ~np.isnan(residuals)
    if known.sum() < 3:
        return np.empty(0)
    centred = np.where(known, residuals - residuals[known].mean(), 0.0)
    total = float(centred @ centred)
    if total <= 1e-24 * known.sum() * float(np.abs(residuals[known]).max()) ** 2:
        return np.empty(0)
    return np.array([centred[:-lag] @ centred[lag:] / total for lag in range(1, min(lags, len(centred) - 1) + 1)])


def partial_autocorrelations(correlations: Float64) -> Float64:
    """Partial autocorrelation at each lag, by the recursion of Durbin (1960) and Levinson (1947).

    Args:
        correlations: (K,) autocorrelation at lags 1 to K.

    Returns:
        (K,); NaN from the lag on at which the values are foretold exactly.
    """
    found = np.full(len(correlations), np.nan)
    weights: Float64 = np.empty(0)
    for lag, correlation in enumerate(correlations):
        rest = 1.0 - float(weights @ correlations[:lag])
        if rest <= 1e-12:
            break
        partial = (correlation - float(weights @ correlations[:lag][::-1])) / rest
        weights = np.append(weights - partial * weights[::-1], partial)
        found[lag] = partial
    return found


def correlation_bound(count: int) -> float:
    """Autocorrelations of `count` independent values lie within plus or minus this 95 times in 100: 1.96 / √n."""
    return float(1.96 / np.sqrt(count)) if count else float("inf")


def ljung_box(correlations: Float64, count: int) -> float | None:
    """p-value of the test of Ljung & Box (1978) that no autocorrelation is left: small means that some is.

    Q = n (n + 2) Σ r(k)² / (n - k) is compared with a chi-squared distribution with K degrees of freedom.

    Args:
        correlations: (K,) autocorrelation at lags 1 to K.
        count: how many values they are made of (n).

    Returns:
        None if there are no correlations, or no more values than lags.
    """
    lags = len(correlations)
    if not lags or count <= lags:
        return None
    from scipy import stats

    statistic = count * (count + 2) * float((correlations**2 / (count - np.arange(1, lags + 1))).sum())
    return float(stats.chi2.sf(statistic, lags))


def normal_quantiles(residuals: Float64, most: int = 100) -> tuple[Float64, Float64]:
    """The two sides of a Q-Q plot: quantiles of a standard normal distribution, and those of the residuals.

    Quantile i of m is at the probability (i - 0.5) / m (Hazen 1914).

    Args:
        residuals: (n,); NaN is ignored.
        most: the largest number of quantiles; if there are fewer values, each is a quantile.

    Returns:
        (m,), (m,) ascending.
    """
    known = np.sort(residuals[~np.isnan(residuals)])
    if not len(known):
        return np.empty(0), np.empty(0)
    from scipy import stats

    shares = (np.arange(min(most, len(known))) + 0.5) / min(most, len(known))
    found = known if len(known) <= most else np.quantile(known, shares, method="hazen")
    return np.asarray(stats.norm.ppf(shares), np.float64), found
