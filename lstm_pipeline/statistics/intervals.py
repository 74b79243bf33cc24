"""Prediction intervals from the errors of earlier forecasts: split conformal, one lead time at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

Bounds = tuple[Float64, Float64]
"""Lower and upper bounds, or how far they are from a forecast; arrays of one shape."""

Limits = tuple[Float64, Float64]
"""The smallest and the largest possible value of each feature, (P,) each; infinite where there is none."""


def interval_offsets(errors: Float64, level: int, share: Float64 | None = None) -> Bounds:
    """How far an interval reaches below and above a forecast.

    Each side leaves out half of the errors that the interval may miss, so a skewed feature has a skewed interval. With
    n errors at a lead time, the bounds are the ⌊(n + 1) a⌋-th smallest and the ⌈(n + 1)(1 - a)⌉-th smallest error,
    a = (100 - level) / 200 (Lei et al. 2018, applied to each side separately). With too few errors for that, they are
    the smallest and the largest error.

    If the n errors are worth only m independent ones, the upper bound is the ⌈n (m + 1)(1 - a) / m⌉-th smallest error,
    and the lower one has the same rank from the other end. Where m is below `errors_needed`, the tails of both sides
    are taken together: the interval is symmetric, and reaches as far as the ⌈n (m + 1) level / 100 m⌉-th smallest
    absolute error.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN is ignored.
        level: percentage of values that the interval should contain.
        share: (H, P) m / n, from `independent_share`; None: all errors are independent.

    Returns:
        Two arrays (H, P) to add to a forecast; NaN where no error is known.
    """
    ordered = np.sort(errors, axis=0)  # NaN last
    counts = (~np.isnan(errors)).sum(axis=0)  # (H, P)
    shares = np.ones(counts.shape) if share is None else share
    upper = _widened(counts, shares, (100 + level) / 200)
    lower, high = (_at(ordered, rank, counts) for rank in (counts + 1 - upper, upper))
    few = (shares < 1) & (counts * shares < errors_needed(level))
    if few.any():
        reach = _at(np.sort(np.abs(errors), axis=0), _widened(counts, shares, level / 100), counts)
        lower, high = np.where(few, -reach, lower), np.where(few, reach, high)
    return lower, high


def independent_share(errors: Float64, first: Integers) -> Float64:
    """How many independent errors one error is worth, by lead time and feature.

    Forecasts h steps ahead from origins less than h rows apart share steps, so their errors may be alike: those of a
    random walk nearly are, those of noise are not. n errors whose correlation at a distance of k origins is r(k) are
    worth n / (1 + 2 Σ r(k)²) independent ones: whether both of two errors are large depends on the square of their
    correlation, as it does for squared Gaussian values. The sum is over the origins whose forecasts overlap. Errors are
    not centred, because the mean of so few dependent ones says little, and negative correlations count as none.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; 0 where not finite.
        first: (n,) the first row that each origin forecasts, ascending.

    Returns:
        (H, P) above 0, at most 1.
    """
    count, horizon = errors.shape[:2]
    if count < 2:
        return np.ones(errors.shape[1:])
    known = np.where(np.isfinite(errors), errors, 0.0)
    largest = np.abs(known).max(axis=0)
    scaled = known / np.where(largest > 0, largest, 1.0)  # their squares are finite
    energy = np.einsum("nhp,nhp->hp", scaled, scaled)
    energy[energy == 0] = 1.0
    apart = float(np.median(np.diff(first)))
    squares = np.zeros(errors.shape[1:])
    for distance in range(1, count):
        lead = int(distance * apart)  # the first lead time of which forecasts that far apart overlap
        if lead >= horizon:
            break
        products = np.einsum("nhp,nhp->hp", scaled[distance:, lead:], scaled[:-distance, lead:])
        squares[lead:] += np.maximum(products / energy[lead:], 0.0) ** 2
    return np.asarray(1 / (1 + 2 * squares))


def errors_needed(level: int) -> int:
    """The fewest errors n of which an interval can be made: (n + 1) a is at least 1, with a = (100 - level) / 200."""
    return -(-200 // (100 - level)) - 1


def pooled_offsets(errors: Float64, level: int, share: Float64 | None = None) -> Bounds:
    """`interval_offsets` where there are enough errors; otherwise of neighbouring lead times together.

    A lead time with fewer than `errors_needed` takes in the errors of the nearest ones, equally many before and after
    it as far as there are, until there are enough. So no interval claims a level that its errors cannot show.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN is ignored.
        level: percentage of values that the interval should contain.
        share: (H, P) as in `interval_offsets`.

    Returns:
        Two arrays (H, P) to add to a forecast; NaN for features with too few errors over all lead times.
    """
    lower, upper = interval_offsets(errors, level, share)
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
                low, high = interval_offsets(pool, level, None if share is None else share[lead : lead + 1, taken])
                lower[lead, taken], upper[lead, taken] = low[0], high[0]
                poor = poor[~enough]
            if not len(poor):
                break
    return lower, upper


def nested(offsets: Mapping[int, Bounds]) -> dict[int, Bounds]:
    """Widens each interval to contain those of lower levels, which may come from other lead times where errors are few.

    Args:
        offsets: level in percent → lower and upper offsets, (H, P) each.
    """
    found: dict[int, Bounds] = {}
    before: Bounds | None = None
    for level in sorted(offsets):
        lower, upper = offsets[level]
        if before is not None:
            lower = np.where(np.isnan(before[0]), lower, np.minimum(lower, before[0]))
            upper = np.where(np.isnan(before[1]), upper, np.maximum(upper, before[1]))
            before = (np.fmin(lower, before[0]), np.fmax(upper, before[1]))
        else:
            before = (lower, upper)
        found[level] = (lower, upper)
    return {level: found[level] for level in offsets}


def fit_offsets(errors: Float64, first: Integers, levels: Sequence[int]) -> dict[int, Bounds]:
    """The offsets of all levels, none of which crosses another.

    Args:
        errors: (n, H, P) actual minus forecast, by origin, lead time and feature; NaN is ignored.
        first: (n,) the first row that each origin forecasts, ascending.
        levels: percentages of values that the intervals should contain.

    Returns:
        Level → lower and upper offsets, (H, P) each; NaN for features with too few errors over all lead times.
    """
    share = independent_share(errors, first)
    return nested({level: pooled_offsets(errors, level, share) for level in levels})


def around(forecast: Float64, offsets: Bounds, limits: Limits | None = None) -> Bounds:
    """The bounds of intervals around forecasts.

    They always contain the forecast: if past errors were all on one side, the other bound is the forecast itself. They
    are within the limits, as the forecast must be.

    Args:
        forecast: (…, P).
        offsets: of the same shape.
        limits: of the features.
    """
    lower, upper = np.minimum(forecast + offsets[0], forecast), np.maximum(forecast + offsets[1], forecast)
    return (lower, upper) if limits is None else (np.clip(lower, *limits), np.clip(upper, *limits))


def within(values: Float64, limits: Limits | None) -> Float64:
    """(…, P) values within the limits; those that are not finite stay, so that they are noticed."""
    if limits is None:
        return values
    return np.where(np.isfinite(values), np.clip(values, *limits), values)


def _widened(counts: Integers, shares: Float64, probability: float) -> Integers:
    """The rank ⌈n (m + 1) p / m⌉ among n errors that are worth m = n · share independent ones, at least one."""
    worth = np.maximum(counts * shares, 1.0)
    # to nine decimals, so that a rank that is a whole number is not rounded up; n / m is exactly 1 if m = n
    rank = np.round(np.maximum(counts, 1) / worth * ((worth + 1) * probability), 9)
    return np.ceil(rank).astype(np.int64)


def _at(ordered: Float64, ranks: Integers, counts: Integers) -> Float64:
    """(n, H, P) ascending, (H, P) ranks from 1 → (H, P); beyond the first and the last one, these."""
    rows = np.clip(ranks, 1, np.maximum(counts, 1)) - 1
    found: Float64 = np.take_along_axis(ordered, rows[None], axis=0)[0]
    return found


def interval_columns(name: str, level: int) -> tuple[str, str]:
    """The names of the columns that hold an interval's lower and upper bounds."""
    return f"{name}_lo_{level}", f"{name}_hi_{level}"
