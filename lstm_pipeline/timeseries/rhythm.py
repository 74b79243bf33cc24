"""Rhythms: columns that have values only at certain steps, and sessions that follow each other without gaps.

A weekly figure in a daily table has six empty rows of seven, yet nothing is missing: its last value holds until the
next one is due. A trading calendar has rows only while the exchange is open.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Flags, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.wording import counted

WEEK = pd.Timedelta(days=7) // pd.Timedelta(microseconds=1)
DAY = WEEK // 7
_A_MONDAY = 4 * DAY
"""January 5th, 1970, in microseconds since the first."""

_FEWEST_GAPS = 4
_REGULAR = 0.9
"""The share of gaps, or of a place's rows, that must agree for a rhythm."""
_TOLERANCE = 0.15
"""Months and quarters are not all equally long."""
_FEWEST_PERIODS = 3
_WEEKS = 8
"""A pattern of rows is learnt from so many of the latest weeks."""


def own_rhythms(observed: Flags, wall_clock: pd.DatetimeIndex, names: tuple[str, ...]) -> dict[str, int]:
    """The columns whose gaps are their own rhythm.

    A rhythm is a distance between values that hardly varies (every seventh step, monthly), or the same places of every
    day or week at which the column has values (working days, opening hours), with the others empty.

    Args:
        observed: (N, F) where a value was observed; of the training rows alone, so that no later row decides.
        wall_clock: (N,) the steps.
        names: (F,) the columns.

    Returns:
        column → the usual number of steps from one value to the next, at its longest.
    """
    gaps = {name: _usual_gap(column, wall_clock) for name, column in zip(names, observed.T, strict=True)}
    return {name: gap for name, gap in gaps.items() if gap is not None}


def _usual_gap(observed: Flags, wall_clock: pd.DatetimeIndex) -> int | None:
    at = np.flatnonzero(observed)
    gaps = np.diff(at)
    if len(gaps) < _FEWEST_GAPS or not (gaps > 1).any():
        return None
    median = float(np.median(gaps))
    regular = np.abs(gaps - median) <= _TOLERANCE * median
    if median >= 2 and regular.mean() >= _REGULAR:
        return int(gaps[regular].max())
    inside = slice(int(at[0]), int(at[-1]) + 1)
    return _gap_between_places(observed[inside], wall_clock[inside])


def _gap_between_places(observed: Flags, wall_clock: pd.DatetimeIndex) -> int | None:
    """The longest stretch between the places of a day, or else of a week, at which there are always values."""
    instants = wall_clock.as_unit("us").asi8
    for period in (DAY, WEEK):
        _, place, rows = np.unique(_in_week(instants) % period, return_inverse=True, return_counts=True)
        if len(rows) < 2 or rows.min() < _FEWEST_PERIODS:
            continue
        share = np.bincount(place, weights=observed) / rows
        filled = share >= _REGULAR
        if (filled | (share <= 1 - _REGULAR)).all() and filled.any() and not filled.all():
            return int(np.diff(np.flatnonzero(filled[place])).max())
    return None


def _in_week(instants: Integers) -> Integers:
    """Microseconds since Monday, 00:00."""
    return np.asarray((instants - _A_MONDAY) % WEEK, np.int64)


# --- rows that follow each other without gaps ------------------------------------------------------------------------


def weekly_pattern(steps: pd.DatetimeIndex) -> tuple[int, ...]:
    """The times of the week at which the latest rows lie, in microseconds since Monday, 00:00.

    A time counts if the rows have it in at least half of the latest `_WEEKS` weeks, so that a holiday does not matter.

    Raises:
        DataError: the rows cover less than two weeks, or do not repeat from week to week.
    """
    instants = steps.as_unit("us").asi8
    recent = instants[instants > instants[-1] - _WEEKS * WEEK]
    span = int(recent[-1] - recent[0])
    times, rows = np.unique(_in_week(recent), return_counts=True)
    first = (times - _in_week(recent[:1])[0]) % WEEK  # from the first row to a time's first occurrence
    chances = (span - first) // WEEK + 1  # how often each time occurs from the first row to the last
    kept = 2 * rows >= chances
    known = bool(len(steps) > 1) and span >= 2 * WEEK - DAY and bool(kept.any())
    if not known or rows[kept].sum() < _REGULAR * len(recent) or rows[kept].sum() < 0.75 * chances[kept].sum():
        raise DataError(
            f"frequency 'rows' continues the weekly pattern of the rows, and the last {counted(len(recent), 'row')} "
            f"({steps[len(steps) - len(recent)]} to {steps[-1]}) have none: expected at least two weeks of rows whose "
            "times of the week repeat; set a pandas offset instead, e.g. bh (business hours), B (business days) or 5min"
        )
    return tuple(int(time) for time in times[kept])


def continued(last: pd.Timestamp, count: int, pattern: tuple[int, ...]) -> pd.DatetimeIndex:
    """The `count` steps after `last` on a weekly pattern.

    Raises:
        OverflowError: they end beyond the range of timestamps.
    """
    now = int(last.to_datetime64().astype("datetime64[us]").astype(np.int64))
    times = np.array(pattern, np.int64)
    inside = int(_in_week(np.array([now]))[0])
    start = int(np.searchsorted(times, inside, side="right"))
    weeks, places = np.divmod(start + np.arange(count, dtype=np.int64), len(times))
    if now + (count // len(times) + 1) * WEEK > np.iinfo(np.int64).max:
        raise OverflowError
    return pd.DatetimeIndex((now - inside + weeks * WEEK + times[places]).astype("datetime64[us]"))


def pattern_season(pattern: tuple[int, ...]) -> int:
    """Rows per season: per day if a day has several, else per week."""
    _, rows = np.unique(np.array(pattern, np.int64) // DAY, return_counts=True)
    counts, days = np.unique(rows, return_counts=True)
    usual = int(counts[days.argmax()])
    return usual if usual > 1 else len(pattern)
