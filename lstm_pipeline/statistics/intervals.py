"""Prediction intervals from what earlier forecasts missed by: split conformal, lead time by lead time."""

from __future__ import annotations

import numpy as np

from lstm_pipeline.arrays import Float64, Integers


def interval_offsets(errors: Float64, level: int) -> tuple[Float64, Float64]:
    """How far an interval reaches below and above a forecast.

    Each side leaves out half of what the interval may leave out, so a skewed feature gets a skewed interval. With n
    errors of a lead time the bounds are the ⌊(n + 1) a⌋-th smallest and the ⌈(n + 1)(1 - a)⌉-th, a = (100 - level) /
    200 (Lei et al. 2018, each side for itself); with too few errors for that, the smallest and the largest one.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN does not count.
        level: percent that the interval is to hold.

    Returns:
        Two arrays (H, P) to add to a forecast; NaN where there is no error to go by.
    """
    ordered = np.sort(errors, axis=0)  # NaN last
    counts = (~np.isnan(errors)).sum(axis=0)  # (H, P)
    ranks = (counts + 1) * (100 - level) // 200, -(-(counts + 1) * (100 + level) // 200)  # whole numbers: exact
    low, high = (np.clip(rank, 1, np.maximum(counts, 1)) - 1 for rank in ranks)
    lower, upper = (np.take_along_axis(ordered, rank[None], axis=0)[0] for rank in (low, high))
    return lower, upper


def rolling_coverage(errors: Float64, first: Integers, scored: Integers, level: int, recent: int) -> Float64:
    """Share of values inside their interval, each interval made of errors that were known when it was needed.

    Args:
        errors: (B, H, P) actual minus forecast, origins in time order.
        first: (B,) the first row that each origin forecasts.
        scored: origins to score.
        level: percent that intervals are to hold.
        recent: how many of the latest complete origins an interval is made of.

    Returns:
        (P,); NaN where nothing could be scored.
    """
    horizon, inside, counted = errors.shape[1], np.zeros(errors.shape[2]), np.zeros(errors.shape[2])
    for origin in scored:
        known = np.flatnonzero(first + horizon <= first[origin])[-recent:]
        if not len(known):
            continue
        lower, upper = interval_offsets(errors[known], level)
        there = ~np.isnan(errors[origin]) & ~np.isnan(lower)
        inside += (there & (errors[origin] >= lower) & (errors[origin] <= upper)).sum(axis=0)
        counted += there.sum(axis=0)
    return np.where(counted > 0, inside / np.maximum(counted, 1), np.nan)


def interval_columns(name: str, level: int) -> tuple[str, str]:
    """Names of the columns that hold an interval's bounds."""
    return f"{name}_lo_{level}", f"{name}_hi_{level}"
