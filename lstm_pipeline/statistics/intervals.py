"""Prediction intervals from the errors of earlier forecasts: split conformal, one lead time at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

Fit = Callable[[Float64, int], tuple[Float64, Float64]]
"""Errors (n, H, P) and a level → the lower and upper offsets (H, P) of an interval."""


def interval_offsets(errors: Float64, level: int) -> tuple[Float64, Float64]:
    """How far an interval reaches below and above a forecast.

    Each side leaves out half of the errors that the interval may miss, so a skewed feature has a skewed interval. With
    n errors at a lead time, the bounds are the ⌊(n + 1) a⌋-th smallest and the ⌈(n + 1)(1 - a)⌉-th smallest error,
    a = (100 - level) / 200 (Lei et al. 2018, applied to each side separately). With too few errors for that, they are
    the smallest and the largest error.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN is ignored.
        level: percentage of values that the interval should contain.

    Returns:
        Two arrays (H, P) to add to a forecast; NaN where no error is known.
    """
    ordered = np.sort(errors, axis=0)  # NaN last
    counts = (~np.isnan(errors)).sum(axis=0)  # (H, P)
    ranks = (counts + 1) * (100 - level) // 200, -(-(counts + 1) * (100 + level) // 200)  # whole numbers: exact
    low, high = (np.clip(rank, 1, np.maximum(counts, 1)) - 1 for rank in ranks)
    lower, upper = (np.take_along_axis(ordered, rank[None], axis=0)[0] for rank in (low, high))
    return lower, upper


def errors_needed(level: int) -> int:
    """The fewest errors n of which an interval can be made: (n + 1) a is at least 1, with a = (100 - level) / 200."""
    return -(-200 // (100 - level)) - 1


def pooled_offsets(errors: Float64, level: int) -> tuple[Float64, Float64]:
    """`interval_offsets` where there are enough errors; otherwise of neighbouring lead times together.

    A lead time with fewer than `errors_needed` takes in the errors of the nearest ones, equally many before and after
    it as far as there are, until there are enough. So no interval claims a level that its errors cannot show.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN is ignored.
        level: percentage of values that the interval should contain.

    Returns:
        Two arrays (H, P) to add to a forecast; NaN for features with too few errors over all lead times.
    """
    lower, upper = interval_offsets(errors, level)
    need = errors_needed(level)
    counts = (~np.isnan(errors)).sum(axis=0)  # (H, P)
    horizon = errors.shape[1]
    for lead in np.flatnonzero((counts < need).any(axis=1)):
        poor = np.flatnonzero(counts[lead] < need)
        lower[lead, poor] = upper[lead, poor] = np.nan
        for reach in range(1, horizon):
            near = slice(max(0, lead - reach), lead + reach + 1)
            enough = counts[near][:, poor].sum(axis=0) >= need
            if enough.any():
                taken = poor[enough]
                pool = errors[:, near][:, :, taken].reshape(-1, 1, len(taken))
                low, high = interval_offsets(pool, level)
                lower[lead, taken], upper[lead, taken] = low[0], high[0]
                poor = poor[~enough]
            if not len(poor):
                break
    return lower, upper


def rolling_coverage(
    errors: Float64, first: Integers, scored: Integers, level: int, recent: int, fit: Fit = interval_offsets
) -> Float64:
    """The share of values inside their interval, where each interval uses only errors already known at its origin.

    Args:
        errors: (B, H, P) actual minus forecast, with origins in time order.
        first: (B,) the first row that each origin forecasts.
        scored: the origins to score.
        level: percentage of values that the intervals should contain.
        recent: how many of the latest complete origins each interval is based on.
        fit: makes an interval of errors: `interval_offsets` or `pooled_offsets`.

    Returns:
        (P,); NaN where nothing could be scored.
    """
    horizon, inside, scored_values = errors.shape[1], np.zeros(errors.shape[2]), np.zeros(errors.shape[2])
    for origin in scored:
        known = np.flatnonzero(first + horizon <= first[origin])[-recent:]
        if not len(known):
            continue
        lower, upper = fit(errors[known], level)
        comparable = ~np.isnan(errors[origin]) & ~np.isnan(lower)
        inside += (comparable & (errors[origin] >= lower) & (errors[origin] <= upper)).sum(axis=0)
        scored_values += comparable.sum(axis=0)
    return np.where(scored_values > 0, inside / np.maximum(scored_values, 1), np.nan)


def interval_columns(name: str, level: int) -> tuple[str, str]:
    """The names of the columns that hold an interval's lower and upper bounds."""
    return f"{name}_lo_{level}", f"{name}_hi_{level}"
