"""Whether one forecast is better than another by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

_ROUNDING = 1e-24


@dataclass(frozen=True)
class DieboldMariano:
    """The result of a Diebold-Mariano test.

    Attributes:
        statistic: above 0 if the losses of the first forecast are larger.
        p_value: two-sided; the probability of a statistic at least this far from 0 if both forecasts are equally good.
    """

    statistic: float
    p_value: float


def diebold_mariano(first: Float64, second: Float64, overlap: int) -> DieboldMariano | None:
    """Tests whether two forecasts of the same origins have the same expected loss (Diebold & Mariano 1995).

    The losses' difference d may be autocorrelated beyond the steps that forecasts share: one forecast is ahead for
    weeks, in one season or kind of weather, so that many origins tell little more than one. Therefore the long-run
    variance of n differences is estimated by cosines, as the mean of v squares Λ(j)², Λ(j) = √(2 / n) Σ d(t) cos(π j
    (t - 1/2) / n), t = 1 … n, and the statistic is compared with Student's t of v degrees of freedom. v = 0.4 n^(2/3),
    and at most n / (overlap + 1): the number of forecasts that do not overlap (Lazarus, Lewis, Stock & Watson 2018,
    "HAR Inference: Recommendations for Practice").

    Args:
        first, second: (n,) losses by origin, in time order; an origin where either is NaN is ignored.
        overlap: the largest distance, in origins, at which two forecasts still share steps.

    Returns:
        The result, or None if there are too few origins for that overlap or the difference never varies.
    """
    difference = _differences(first, second)
    count = len(difference)
    if overlap + 1 >= count:
        return None
    freedom = max(1, min(int(0.4 * count ** (2 / 3)), count // (overlap + 1)))
    angles = np.pi * np.arange(1, freedom + 1)[:, None] * (np.arange(count) + 0.5) / count
    variance = float(np.mean(2 / count * (np.cos(angles) @ (difference - difference.mean())) ** 2))
    if variance <= _ROUNDING * float(np.mean(difference**2)):
        return None
    return _against_student(float(difference.mean() / np.sqrt(variance / count)), freedom)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for their number (Holm 1979).

    If those below 0.05 are called significant, the probability that even one of them is so by chance is at most 5 %,
    however the tests depend on each other: features of one plant rarely err independently.

    Args:
        p_values: None where there was no test; these do not count.

    Returns:
        The adjusted values in the same order, at least as large as the given ones and at most 1.
    """
    known = sorted((value, index) for index, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, index) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        adjusted[index] = largest
    return adjusted


def overlapping_origins(first: Integers, horizon: int) -> int:
    """The largest distance, in origins, at which two forecasts still have a step in common.

    For origins `stride` rows apart this is ⌈horizon / stride⌉ - 1; if distances differ, the smallest ones decide.

    Args:
        first: (B,) the first row that each origin forecasts, ascending.
    """
    apart = 0
    while apart + 1 < len(first) and (first[apart + 1 :] - first[: -apart - 1]).min() < horizon:
        apart += 1
    return apart


def _differences(first: Float64, second: Float64) -> Float64:
    difference = first - second
    return np.asarray(difference[~np.isnan(difference)])


def _against_student(statistic: float, freedom: int) -> DieboldMariano:
    from scipy.special import stdtr  # takes a third of a second to import

    return DieboldMariano(statistic, float(2 * stdtr(freedom, -abs(statistic))))
