"""Columns with a rhythm of their own, and rows that follow each other without gaps."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.arrays import Flags
from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.rhythm import own_rhythms, pattern_season, weekly_pattern
from lstm_pipeline.timeseries.season import season_length
from lstm_pipeline.timeseries.series import build_series
from lstm_pipeline.timeseries.timeline import Timeline, common_frequency

DAYS = pd.date_range("2023-01-01", periods=400, unit="us")
HOURS = pd.date_range("2024-03-04", periods=24 * 28, freq="h", unit="us")


def rhythm(clock: pd.DatetimeIndex, observed: Flags) -> int | None:
    return own_rhythms(np.asarray(observed)[:, None], clock, ("x",)).get("x")


@pytest.mark.parametrize(
    ("clock", "observed", "gap"),
    [
        (DAYS, DAYS.day_of_week == 1, 7),
        (DAYS, DAYS.day == 1, 31),
        (DAYS, DAYS.is_month_end, 31),
        (DAYS, DAYS.is_quarter_start, 92),
        (DAYS, DAYS.is_year_start, None),  # two values, so one gap
        (DAYS[DAYS.day_of_week < 5], (DAYS.day_of_week == 3)[DAYS.day_of_week < 5], 5),
        (DAYS, DAYS.day_of_week < 5, 3),  # from Friday to Monday
        (DAYS, np.isin(DAYS.day_of_week, [0, 2, 4]), 3),  # 2, 2 and 3 days: no common distance, but the same places
        (HOURS, (HOURS.hour >= 9) & (HOURS.hour < 17), 17),
        (HOURS, (HOURS.hour >= 9) & (HOURS.hour < 17) & (HOURS.day_of_week < 5), 65),  # Friday 16:00 to Monday 9:00
        (HOURS, HOURS.hour % 3 == 0, 3),
        (pd.date_range("2000-01-01", periods=90, freq="MS"), np.arange(90) % 3 == 0, 3),
    ],
    ids=[
        "weekly", "first of the month", "last of the month", "quarterly", "yearly: too few values",
        "weekly in working days",
        "working days", "three days a week", "opening hours", "opening hours of working days", "every third hour",
        "quarterly in months",
    ],
)  # fmt: skip
def test_a_rhythm_and_its_longest_usual_gap(clock: pd.DatetimeIndex, observed: Flags, gap: int | None) -> None:
    assert rhythm(clock, observed) == gap


def test_a_missing_release_does_not_break_a_rhythm() -> None:
    observed = np.asarray(DAYS.day_of_week == 1)
    observed[np.flatnonzero(observed)[20]] = False
    assert rhythm(DAYS, observed) == 7


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.95])
def test_values_that_are_missing_at_random_are_no_rhythm(share: float) -> None:
    for seed in range(20):
        assert rhythm(DAYS, np.random.default_rng(seed).random(len(DAYS)) < share) is None


@pytest.mark.parametrize(
    "observed",
    [np.ones(400, bool), np.arange(400) > 200, np.zeros(400, bool), np.arange(400) == 7, np.arange(400) // 50 % 2 == 0],
    ids=["always", "starts late", "never", "once", "long gaps"],
)
def test_what_is_no_rhythm(observed: Flags) -> None:
    assert rhythm(DAYS, observed) is None


# frequency: rows


def sessions(first: str, last: str, *times: str) -> pd.DatetimeIndex:
    days = pd.bdate_range(first, last)
    return pd.DatetimeIndex([day + pd.Timedelta(f"{time}:00") for day in days for time in times])


def table_of(stamps: pd.DatetimeIndex) -> pa.Table:
    return pa.table({"t": pa.array(stamps.to_numpy().astype("datetime64[us]")), "price": np.arange(len(stamps)) / 2})


def next_of(stamps: pd.DatetimeIndex, count: int, timezone: str = "UTC") -> list[str]:
    series = build_series(table_of(stamps), "t", ["price"], timezone=timezone, frequency="rows")
    assert (len(series), series.inserted) == (len(stamps), 0)  # whatever lies between the rows is no gap
    steps = series.timeline.next_steps(series.steps[-1], count)
    return [dt.datetime.fromisoformat(str(step)).strftime("%a %d %H:%M") for step in series.timeline.wall_clock(steps)]


@pytest.mark.parametrize(
    ("stamps", "expected", "season"),
    [
        (
            sessions("2024-03-04", "2024-03-28", "09:30", "11:00", "15:30"),
            ["Fri 29 09:30", "Fri 29 11:00", "Fri 29 15:30", "Mon 01 09:30"],
            3,
        ),
        (sessions("2024-03-04", "2024-03-29", "00:00"), ["Mon 01 00:00", "Tue 02 00:00"], 5),
        (
            pd.DatetimeIndex(
                [d for d in pd.date_range("2024-03-03", "2024-03-28") if d.day_of_week in (6, 0, 1, 2, 3)]
            ),
            ["Sun 31 00:00", "Mon 01 00:00", "Tue 02 00:00"],  # an exchange that is open from Sunday to Thursday
            5,
        ),
        (pd.date_range("2024-03-01", "2024-03-31"), ["Mon 01 00:00"], 7),
    ],
    ids=["sessions", "business days", "Sunday to Thursday", "every day"],
)
def test_rows_are_continued_by_their_weekly_pattern(stamps: pd.DatetimeIndex, expected: list[str], season: int) -> None:
    assert next_of(stamps, len(expected)) == expected
    assert next_of(stamps, len(expected), "America/New_York") == expected  # sessions are wall-clock times
    assert pattern_season(weekly_pattern(stamps)) == season


def test_a_holiday_neither_is_a_gap_nor_changes_the_pattern() -> None:
    stamps = sessions("2024-03-04", "2024-03-29", "09:30", "15:30")
    open_days = stamps[stamps.normalize() != pd.Timestamp("2024-03-18")]
    assert next_of(open_days, 2) == ["Mon 01 09:30", "Mon 01 15:30"]


def test_a_forecast_continues_in_the_middle_of_a_session() -> None:
    stamps = sessions("2024-03-04", "2024-03-29", "09:30", "11:00", "15:30")[:-2]
    assert next_of(stamps, 3) == ["Fri 29 11:00", "Fri 29 15:30", "Mon 01 09:30"]


@pytest.mark.parametrize(
    "stamps",
    [
        sessions("2024-03-04", "2024-03-11", "09:30", "15:30"),
        pd.date_range("2020-01-01", periods=60, freq="MS"),
        pd.DatetimeIndex(np.datetime64("2024-01-01") + np.random.default_rng(1).integers(0, 10**6, 300).cumsum()),
    ],
    ids=["one week", "months", "at random"],
)
def test_rows_without_a_weekly_pattern_are_an_error_that_asks_for_an_offset(stamps: pd.DatetimeIndex) -> None:
    with pytest.raises(
        DataError, match=r"^frequency 'rows' continues the weekly pattern of the rows, .* bh \(business"
    ):
        build_series(table_of(stamps), "t", ["price"], timezone="UTC", frequency="rows")


def test_rows_end_before_the_year_10000() -> None:
    stamps = pd.date_range("9999-11-01", periods=40)
    series = build_series(table_of(stamps), "t", ["price"], timezone="UTC", frequency="rows")
    with pytest.raises(DataError, match="would end after the year 9999"):
        series.timeline.next_steps(series.steps[-1], 90)


def test_a_timeline_of_rows_is_plain_data() -> None:
    timeline = Timeline("t", "rows", "UTC", "timestamp").learning(sessions("2024-03-04", "2024-03-29", "00:00"))
    assert timeline.to_dict()["pattern"] == tuple(day * 86_400_000_000 for day in range(5))
    assert Timeline(**timeline.to_dict()) == timeline


# bh


def test_business_hours_have_a_season_of_a_day_and_end_at_five() -> None:
    assert season_length("bh") == 8
    assert season_length("2bh") == 4
    stamps = pd.date_range("2024-03-04 09:00", periods=80, freq="bh")
    for frequency in ("bh", None):
        series = build_series(table_of(stamps), "t", ["price"], timezone="Europe/Berlin", frequency=frequency)
        if frequency:
            assert (len(series), series.inserted) == (80, 0)
            steps = series.timeline.next_steps(series.steps[-1], 9)
            assert [str(step) for step in steps[[0, 7, 8]]] == [
                "2024-03-18 09:00:00", "2024-03-18 16:00:00", "2024-03-19 09:00:00"
            ]  # fmt: skip
        else:
            assert series.timeline.frequency == "h"  # which has gaps every night: bh must be asked for
            assert series.inserted > 0


def test_the_most_frequent_distance_as_an_offset() -> None:
    assert common_frequency(sessions("2024-03-04", "2024-03-29", "09:30", "10:00", "10:30")) == "30min"
    assert common_frequency(DAYS) == "D"
