"""Whether the newest values of a feature have moved away from those that a model was trained on.

The score is the first Wasserstein distance between a stretch of rows and the reference, in standard deviations of the
reference: a shift of one standard deviation scores about 1, whatever the feature's unit. Features with fewer than 20
different values, where distances between values may mean nothing, are compared by their shares instead (total
variation: the share of the rows that would have to change their value).

A season and autocorrelation move every stretch a little, so a score says little by itself. Drift is a score above what
past stretches of the same length had, each compared with all other rows. `python -m benchmarks.drift` measures false
alarms and detection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

QUANTILES = 200
FEW_VALUES = 20
"""With fewer different values than this, a feature is compared by shares."""

LENGTHS = tuple(25 * 2**power for power in range(9))
"""Rows of the stretches that a reference knows: 25, 50 … 6,400."""

_FEWEST_STRETCHES = 10  # side by side in the reference; the largest of fewer says too little about what is usual
_MOST_STRETCHES = 200  # looked at for each length: their largest is hardly ever exceeded, and time stays bounded
_OBSERVED = 0.5  # share of a stretch that must have been observed


@dataclass(frozen=True)
class DriftReference:
    """What a feature looked like when a model was trained.

    Attributes:
        scale: standard deviation, in the feature's unit; 0 for a constant.
        quantiles: 200 quantiles at equal distances, in the feature's unit; empty if shares are compared.
        shares: (value, its share of the rows) in the order of the values; empty if quantiles are compared.
        limits: rows of a stretch → the score that only drift exceeds.
    """

    scale: float
    quantiles: tuple[float, ...]
    shares: tuple[tuple[float, float], ...]
    limits: dict[int, float]


@dataclass(frozen=True)
class Drift:
    """How far the newest rows of a feature have moved.

    Attributes:
        score: in standard deviations or, with few different values, as a share of the rows.
        limit: the score that only drift exceeds, from past stretches of this or the next shorter known length.
        rows: length of the stretch.
    """

    score: float
    limit: float
    rows: int

    def exceeds(self, threshold: float) -> bool:
        """Whether the feature has moved by more than a threshold, and further than ever before."""
        return self.score > max(threshold, self.limit)


def drift_reference(values: Float64, season: int) -> DriftReference | None:
    """What has to be known of a feature to recognise drift later.

    A limit is the largest score of past stretches times 1 + 3 / n, where n of them fit side by side: the fewer there
    are, the less their largest says.

    Args:
        values: (N,) in time order, one per step; NaN where nothing was observed.
        season: steps per season. Stretches are at least two seasons long.

    Returns:
        The reference; None if there are too few rows for ten stretches of at least 25 rows and two seasons.
    """
    known = values[np.isfinite(values)]
    lengths = [length for length in LENGTHS if length >= 2 * season and length * _FEWEST_STRETCHES <= len(values)]
    if not lengths or not len(known):
        return None
    known.sort()
    starts = np.flatnonzero(np.diff(known, prepend=-np.inf))  # of the runs of equal values
    quantiles: tuple[float, ...] = ()
    shares: tuple[tuple[float, float], ...] = ()
    if len(starts) < FEW_VALUES:
        counts = np.diff(starts, append=len(known))
        shares = tuple(zip(known[starts].tolist(), (counts / len(known)).tolist(), strict=True))
    else:
        places = (np.arange(QUANTILES) + 0.5) / QUANTILES * (len(known) - 1)
        quantiles = tuple(np.interp(places, np.arange(len(known)), known).tolist())
    scale = float(known.std()) if len(starts) > 1 else 0.0
    bare = DriftReference(scale, quantiles, shares, {})
    limits = {length: limit for length in lengths if (limit := _limit(values, length, bare)) is not None}
    return DriftReference(scale, quantiles, shares, limits) if limits else None


def drift_rows(reference: DriftReference, rows: int) -> int:
    """Length of the stretches that are compared if `rows` are asked for: at least the shortest known one."""
    return max(rows, min(reference.limits))


def rows_to_read(rows: int) -> int:
    """How many of the newest rows `measure_drift` needs for stretches of so many rows."""
    return rows + rows // 2


def measure_drift(recent: Float64, reference: DriftReference, rows: int) -> Drift | None:
    """How far the newest rows of a feature have moved away from the reference.

    The score is that of the newest stretch or of the stretch half a length earlier, whichever is smaller, so that a few
    odd rows do not count.

    Args:
        recent: (n,) the newest values in time order; NaN where nothing was observed.
        reference: what the feature looked like at training.
        rows: length of a stretch; see `drift_rows`.

    Returns:
        The result; None if there are too few values.
    """
    length = drift_rows(reference, rows)
    if len(recent) < rows_to_read(length):
        return None
    starts = np.array([len(recent) - rows_to_read(length), len(recent) - length])
    scores = _scores(recent, starts, length, reference)
    limit = reference.limits[max(known for known in reference.limits if known <= length)]
    return None if np.isnan(scores).any() else Drift(float(scores.min()), limit, length)


def _limit(values: Float64, length: int, reference: DriftReference) -> float | None:
    """The score that only drift exceeds; None if too little was observed."""
    apart = length // 2
    starts: Integers = np.arange(0, len(values) - length - apart + 1, apart)
    if len(starts) > _MOST_STRETCHES:
        starts = starts[np.linspace(0, len(starts) - 1, _MOST_STRETCHES).round().astype(np.int64)]
    first, second = (_scores(values, starts + shift, length, reference) for shift in (0, apart))
    scores = np.minimum(first, second)  # as in `measure_drift`
    if np.isnan(scores).all():
        return None
    # With the distribution F of all N rows and G of the n rows of a stretch, that of the other rows is
    # (N F - n G) / (N - n), so the stretch's distance from them is N / (N - n) times that from all rows.
    others = len(values) / (len(values) - length)
    side_by_side = min(len(values) / length, _MOST_STRETCHES)
    return float(np.nanmax(scores)) * others * (1 + 3 / side_by_side)


def _scores(values: Float64, starts: Integers, length: int, reference: DriftReference) -> Float64:
    """(S,) the score of each stretch; NaN where too little was observed."""
    stretches = values[starts[:, None] + np.arange(length)]
    known = np.isfinite(stretches)
    counts = known.sum(axis=1)
    ordered = np.sort(np.where(known, stretches, np.nan), axis=1)  # NaN comes last
    found = np.full(len(stretches), np.nan)
    for count in np.unique(counts[counts >= _OBSERVED * length]):
        same = counts == count
        if reference.shares:
            found[same] = _total_variation(ordered[same, :count], reference.shares)
        else:
            found[same] = _wasserstein(ordered[same, :count], np.array(reference.quantiles)) / reference.scale
    return found


def _wasserstein(ordered: Float64, quantiles: Float64) -> Float64:
    """(S,) the area between the quantile functions of (S, n) ordered samples and of (q,) ordered values.

    The same as `scipy.stats.wasserstein_distance`, for many samples of one size at once.
    """
    count, other = ordered.shape[1], len(quantiles)
    edges = np.union1d(np.arange(count + 1) * other, np.arange(other + 1) * count)  # in units of 1 / (n q), exactly
    apart = np.abs(ordered[:, edges[:-1] // other] - quantiles[edges[:-1] // count])
    distances: Float64 = apart @ (np.diff(edges) / (count * other))
    return distances


def _total_variation(samples: Float64, shares: tuple[tuple[float, float], ...]) -> Float64:
    """(S,) half of the sum of the differences between the shares of (S, n) samples and those of the reference."""
    found = np.array([(samples == value).mean(axis=1) for value, _ in shares])  # (V, S)
    new = 1 - found.sum(axis=0)  # values that the reference does not have
    expected = np.array([share for _, share in shares])
    variation: Float64 = (np.abs(found - expected[:, None]).sum(axis=0) + new) / 2
    return variation
