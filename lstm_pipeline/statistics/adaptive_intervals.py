"""Intervals as time goes on: made of the latest errors, and as wide as the last ones should have been."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.statistics.error_sizes import ErrorSizes, fit_sizes
from lstm_pipeline.statistics.interval_scores import IntervalScores, IntervalTally
from lstm_pipeline.statistics.intervals import (
    Bounds,
    Limits,
    around,
    errors_needed,
    fit_offsets,
    independent_share,
    nested,
)

RECENT_ORIGINS = 256
"""Number of origins whose errors make an interval: the latest ones, as older errors may have had another size."""
_STEP = 0.3
_LARGEST_STEP = 2.0
"""Of many forecasts at once. The share outside falls by at most 0.48 where the logarithm of the width of normal errors
rises by 1, so that a larger step would go further than to the right width, and then back and forth."""

_AT_ONCE = 128
"""Features that intervals are made of at a time."""


@dataclass(frozen=True)
class Held:
    """Forecasts from several origins, in time order, beside what came.

    Attributes:
        actual: (B, H, P) the observed values; NaN where nothing was observed.
        forecast: (B, H, P).
        first: (B,) the number of the first step that each origin forecasts.
        season: steps of a season; 1: there is none.
        limits: lower and upper limits of the features, (P,) each; None: there are none.
    """

    actual: Float64
    forecast: Float64
    first: Integers
    season: int = 1
    limits: Limits | None = None

    @property
    def errors(self) -> Float64:
        """(B, H, P) actual minus forecast."""
        return self.actual - self.forecast

    def part(self, begin: int, end: int) -> Held:
        """The forecasts from some successive origins."""
        kept = slice(max(0, begin), end)
        return replace(self, actual=self.actual[kept], forecast=self.forecast[kept], first=self.first[kept])

    def features(self, begin: int, end: int) -> Held:
        """The same forecasts of some successive features."""
        limits = None if self.limits is None else (self.limits[0][begin:end], self.limits[1][begin:end])
        return replace(self, actual=self.actual[..., begin:end], forecast=self.forecast[..., begin:end], limits=limits)


@dataclass(frozen=True)
class Intervals:
    """Intervals around any forecast of the same features.

    Attributes:
        offsets: level in percent → lower and upper offsets in units of the errors' size, (H, P) each; NaN where there
            is no interval.
        sizes: of the errors.
    """

    offsets: Mapping[int, Bounds]
    sizes: ErrorSizes

    def around(self, forecast: Float64, first: int, limits: Limits | None = None) -> dict[int, Bounds]:
        """Level → lower and upper bounds of a forecast, (H, P) each; NaN at lead times without offsets.

        Args:
            forecast: (H, P).
            first: the number of the first step that is forecast.
            limits: of the features.
        """
        sizes = self.sizes.of(forecast[None], np.array([first]))[0]
        found = {}
        for level, offsets in self.offsets.items():
            reach = np.full((2, *forecast.shape), np.nan)
            for side, offset in zip(reach, offsets, strict=True):
                side[: len(offset)] = offset[: len(forecast)]
            lower, upper = reach * sizes
            found[level] = around(forecast, (lower, upper), limits)
        return found

    def scaled(self, factors: Mapping[int, Float64]) -> Intervals:
        """The intervals with their widths multiplied by a factor for each level and feature, (P,)."""
        scaled = {level: (low * factors[level], high * factors[level]) for level, (low, high) in self.offsets.items()}
        return replace(self, offsets=nested(scaled))


def fit_intervals(held: Held, levels: Sequence[int]) -> Intervals:
    """Intervals made of the errors of past forecasts.

    Args:
        held: the past forecasts.
        levels: percentages of values that the intervals should contain.
    """
    errors = held.errors
    sizes = fit_sizes(errors, held.forecast, held.first, held.season, independent_share(errors, held.first))
    return Intervals(fit_offsets(errors / sizes.of(held.forecast, held.first), held.first, levels), sizes)


@dataclass(frozen=True)
class Widths:
    """How much wider intervals are than the errors that they are made of, learned from what fell outside.

    When the share m of values outside an interval of level l is known, its width is multiplied by the exponential of
    g (m - (1 - l / 100)): adaptive conformal inference (Gibbs & Candès 2021), applied to the width, as in Angelopoulos
    et al. (2023), in place of the level. Forecasts that overlap tell of the same steps, so that g is 0.3 / (1 + d) for
    d forecasts a horizon. Widths stay between a half and three times what the errors say.

    Attributes:
        logarithms: level in percent → (P,) logarithm of the factor; a level that is left out has a factor of 1.
        step: g.
    """

    LEAST: ClassVar[float] = -0.7
    MOST: ClassVar[float] = 1.1

    logarithms: Mapping[int, Float64]
    step: float

    @staticmethod
    def step_of(overlapping: float, forecasts: int = 1) -> float:
        """The step g for some forecasts of which the values become known together.

        Args:
            overlapping: d, how many forecasts are made in the time of one horizon.
            forecasts: how many they are.
        """
        return min(_STEP * forecasts / (1 + overlapping), _LARGEST_STEP)

    @staticmethod
    def unknown(held: Held, levels: Sequence[int]) -> Widths:
        """The widths before anything is known of these forecasts: those that the errors say."""
        horizon, features = held.actual.shape[1:]
        apart = float(np.median(np.diff(held.first))) if len(held.first) > 1 else float(horizon)
        return Widths({level: np.zeros(features) for level in levels}, Widths.step_of(horizon / apart))

    @property
    def factors(self) -> dict[int, Float64]:
        """Level → (P,) the factor."""
        return {level: np.exp(own) for level, own in self.logarithms.items()}

    def after(self, actual: Float64, bounds: Mapping[int, Bounds]) -> Widths:
        """The widths when the values of a forecast are known.

        Args:
            actual: (H, P) the observed values; NaN where nothing was observed.
            bounds: level → its interval's bounds, (H, P) each; nothing is learned about levels that are left out.
        """
        counts = {}
        for level, (lower, upper) in bounds.items():
            known = ~np.isnan(actual) & ~np.isnan(lower)
            outside = known & ((actual < lower) | (actual > upper))
            counts[level] = known.sum(axis=0), outside.sum(axis=0)
        return self.after_counts(counts)

    def after_counts(self, counts: Mapping[int, tuple[Float64 | Integers, Float64 | Integers]]) -> Widths:
        """The widths when it is known how many values fell outside.

        Args:
            counts: level → how many values have an interval and how many of them are outside it, (P,) each; nothing is
                learned about levels that are left out and features without values.
        """
        found = dict(self.logarithms)
        for level, (values, outside) in counts.items():
            share = outside / np.maximum(values, 1)
            change = np.where(values > 0, share - (1 - level / 100), 0.0)
            found[level] = np.clip(found.get(level, 0.0) + self.step * change, self.LEAST, self.MOST)
        return replace(self, logarithms=found)


@dataclass(frozen=True)
class Rolling:
    """Intervals that were made from origin to origin.

    Attributes:
        scores: how good they were at the scored origins.
        latest: made of the latest forecasts, all of which have come true.
    """

    scores: IntervalScores
    latest: Intervals


def rolling_intervals(held: Held, scored: Integers, levels: Sequence[int], recent: int = RECENT_ORIGINS) -> Rolling:
    """Makes intervals at each origin, of errors already known there, and scores some of them.

    They are fitted anew when a tenth more errors are known, or an eighth of the most that they are made of. Their
    widths change at every origin (`Widths`).

    Args:
        held: the forecasts.
        scored: (S,) which origins to score.
        levels: levels of the intervals in percent.
        recent: how many of the latest complete forecasts intervals are made of.
    """
    # features do not depend on each other: a few at a time stay in the cache, and several threads work on them
    parts = [held.features(begin, begin + _AT_ONCE) for begin in range(0, held.actual.shape[2], _AT_ONCE)]
    if len(parts) < 2:
        return _rolling(held, scored, levels, recent)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(lambda part: _rolling(part, scored, levels, recent), parts))
    scores = [each.scores for each in made]
    joined = IntervalScores(
        {level: np.concatenate([each.coverage[level] for each in scores]) for level in levels},
        {level: np.concatenate([each.interval_score[level] for each in scores]) for level in levels},
        np.concatenate([each.wql for each in scores]),
    )
    return Rolling(joined, _side_by_side([each.latest for each in made]))


def _side_by_side(parts: Sequence[Intervals]) -> Intervals:
    """The intervals of different features as those of all."""
    offsets = {}
    for level in parts[0].offsets:
        lower, upper = zip(*(part.offsets[level] for part in parts), strict=True)
        offsets[level] = np.concatenate(lower, axis=1), np.concatenate(upper, axis=1)
    sizes = [part.sizes for part in parts]
    tables = (
        np.concatenate([getattr(each, name) for each in sizes], axis=1) for name in ("phases", "edges", "heights")
    )
    return Intervals(offsets, ErrorSizes(sizes[0].season, *tables))


def _rolling(held: Held, scored: Integers, levels: Sequence[int], recent: int) -> Rolling:
    """`rolling_intervals` of all features at once."""
    tally, widths = IntervalTally(levels, held.actual.shape[2]), Widths.unknown(held, levels)
    waiting: deque[tuple[int, dict[int, Bounds]]] = deque()
    wanted = set(scored.tolist())
    for origin, known, fitted in _fits(held, levels, recent):
        while waiting and waiting[0][0] < known:
            past, bounds = waiting.popleft()
            widths = widths.after(held.actual[past], bounds)
        bounds = fitted.scaled(widths.factors).around(held.forecast[origin], int(held.first[origin]), held.limits)
        if origin in wanted:
            tally.add(held.actual[origin], held.forecast[origin], bounds)
        sound = {level: own for level, own in bounds.items() if min(known, recent) >= errors_needed(level)}
        waiting.append((origin, sound))
    for past, bounds in waiting:
        widths = widths.after(held.actual[past], bounds)
    latest = fit_intervals(held.part(len(held.first) - recent, len(held.first)), levels)
    return Rolling(tally.scores(), latest.scaled(widths.factors))


def _fits(held: Held, levels: Sequence[int], recent: int) -> Iterator[tuple[int, int, Intervals]]:
    """Each origin at which an error is known, how many forecasts are complete there, and the intervals fitted last."""
    complete = np.searchsorted(held.first, held.first - held.actual.shape[1], side="right")
    count = 0
    for origin, known in enumerate(complete.tolist()):
        if known - count >= max(1, min(count / 10, recent / 8)):
            count = known
            fitted = fit_intervals(held.part(count - recent, count), levels)
        if count:
            yield origin, known, fitted
