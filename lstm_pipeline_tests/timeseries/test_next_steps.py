"""The steps that follow: over changes of the clock, as they are written and read back, and when they are due."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.timeseries.timeline import (
    Kind,
    Timeline,
    is_sub_daily,
    read_stamps,
    regular_grid,
    to_steps,
)
from lstm_pipeline_tests.timeseries.test_timeline import BERLIN, US, grid, shown, stamps


@pytest.mark.parametrize(
    ("frequency", "last", "expected"),
    [
        ("h", "2024-02-28 23:00", ["2024-02-29 00:00:00", "2024-02-29 01:00:00"]),
        ("D", "2024-02-28", ["2024-02-29 00:00:00", "2024-03-01 00:00:00"]),
        ("B", "2024-03-01", ["2024-03-04 00:00:00", "2024-03-05 00:00:00"]),
        ("W-SUN", "2024-02-25", ["2024-03-03 00:00:00", "2024-03-10 00:00:00"]),
        ("MS", "2024-11-01", ["2024-12-01 00:00:00", "2025-01-01 00:00:00"]),
        ("ME", "2024-01-31", ["2024-02-29 00:00:00", "2024-03-31 00:00:00"]),
        ("ME", "2023-01-31 12:00", ["2023-02-28 12:00:00", "2023-03-31 12:00:00"]),
        ("BME", "2024-02-29", ["2024-03-29 00:00:00", "2024-04-30 00:00:00"]),
        ("QS-JAN", "2024-10-01", ["2025-01-01 00:00:00", "2025-04-01 00:00:00"]),
        ("QE-MAR", "2024-03-31", ["2024-06-30 00:00:00", "2024-09-30 00:00:00"]),
        ("YS-JAN", "2024-01-01", ["2025-01-01 00:00:00", "2026-01-01 00:00:00"]),
        ("2D", "2024-02-28", ["2024-03-01 00:00:00", "2024-03-03 00:00:00"]),
    ],
)
def test_the_next_steps(frequency: str, last: str, expected: list[str]) -> None:
    timeline = Timeline("t", frequency, "UTC", "timestamp")
    assert shown(timeline.next_steps(pd.Timestamp(last), 2)) == expected
    assert len(timeline.next_steps(pd.Timestamp(last), 0)) == 0


def column(timeline: Timeline, steps: pd.DatetimeIndex) -> list[Any]:
    values: list[Any] = timeline.column_of(steps).to_pylist()
    return values


def test_hours_continue_through_both_changes_of_the_clock() -> None:
    timeline = Timeline("t", "h", BERLIN, "timestamp")
    spring = timeline.next_steps(pd.Timestamp("2024-03-30 23:00"), 3)  # 00:00 in Berlin
    assert shown(timeline.wall_clock(spring)) == ["2024-03-31 01:00:00", "2024-03-31 03:00:00", "2024-03-31 04:00:00"]
    autumn = timeline.next_steps(pd.Timestamp("2024-10-26 23:00"), 4)
    assert [value.isoformat() for value in column(timeline, autumn)] == [
        "2024-10-27T02:00:00", "2024-10-27T02:00:00", "2024-10-27T03:00:00", "2024-10-27T04:00:00",
    ]  # fmt: skip
    zoned = column(Timeline("t", "h", BERLIN, "timestamptz"), autumn)
    assert zoned == [dt.datetime(2024, 10, 27, hour, tzinfo=dt.UTC) for hour in range(4)]


def test_days_are_days_of_the_wall_clock_in_each_kind_of_column() -> None:
    days = Timeline("t", "D", BERLIN, "date").next_steps(pd.Timestamp("2024-10-26"), 2)
    assert column(Timeline("t", "D", BERLIN, "date"), days) == [dt.date(2024, 10, 27), dt.date(2024, 10, 28)]
    assert column(Timeline("t", "D", BERLIN, "timestamp"), days) == [
        dt.datetime(2024, 10, 27), dt.datetime(2024, 10, 28),
    ]  # fmt: skip
    assert column(Timeline("t", "D", BERLIN, "timestamptz"), days) == [
        dt.datetime(2024, 10, 26, 22, tzinfo=dt.UTC), dt.datetime(2024, 10, 27, 23, tzinfo=dt.UTC),
    ]  # fmt: skip


def test_a_midnight_that_does_not_exist_is_the_first_moment_of_its_day() -> None:
    """In São Paulo the clock went from 2018-11-03 24:00 to 2018-11-04 01:00."""
    timeline = Timeline("t", "D", "America/Sao_Paulo", "timestamptz")
    assert column(timeline, stamps("2018-11-04")) == [dt.datetime(2018, 11, 4, 3, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("frequency", "kind"),
    [
        *itertools.product(["10min", "30min", "h", "2h", "6h"], ["timestamp", "timestamptz"]),
        *itertools.product(["D", "B", "W-SUN", "MS", "ME"], ["timestamp", "timestamptz", "date"]),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/New_York", "Asia/Kolkata"])
def test_written_stamps_are_read_back(frequency: str, kind: Kind, zone: str) -> None:
    sub_daily = is_sub_daily(frequency)
    timeline = Timeline("t", frequency, zone, kind)
    for start in ("2024-03-08", "2024-03-28", "2024-10-24", "2024-10-31"):
        last = regular_grid(grid(frequency, 3, start), frequency)[-1]
        steps = timeline.next_steps(last, 400 if sub_daily else 40)
        written = timeline.column_of(steps)
        assert written.type == {"date": pa.date32(), "timestamp": US, "timestamptz": pa.timestamp("us", "UTC")}[kind]
        found, found_kind = read_stamps(pa.chunked_array([written]), "t")
        assert found_kind == kind
        if not (sub_daily and kind == "timestamp" and zone != "UTC" and _cut_hour(timeline, steps)):
            assert to_steps(found, kind, zone, sub_daily=sub_daily).equals(steps)


def _cut_hour(timeline: Timeline, steps: pd.DatetimeIndex) -> bool:
    """Whether the steps begin or end inside the hour that occurs twice."""
    wall = timeline.wall_clock(steps)
    return bool(np.isin(wall[[0, -1]], wall[wall.tz_localize(timeline.timezone, ambiguous="NaT").isna()]).any())


def test_a_timeline_is_plain_data() -> None:
    timeline = Timeline("date", "MS", BERLIN, "date")
    assert timeline.to_dict() == {"column": "date", "frequency": "MS", "timezone": BERLIN, "kind": "date"}
    assert Timeline(**timeline.to_dict()) == timeline


@pytest.mark.parametrize(
    ("frequency", "last", "moment", "found"),
    [
        ("D", "2024-05-01", "2024-05-03 23:59", (2, "2024-05-03")),
        ("D", "2024-05-01", "2024-05-02", (1, "2024-05-02")),
        ("D", "2024-05-01", "2024-05-01 23:59:59", (0, "2024-05-01")),
        ("D", "2024-05-03", "2024-05-01 12:00", (-2, "2024-05-01")),
        ("10min", "2024-05-01 06:00", "2024-05-01 06:29", (2, "2024-05-01 06:20")),
        ("MS", "2024-05-01", "2024-07-31", (2, "2024-07-01")),
        ("ME", "2024-04-30", "2024-05-30", (0, "2024-04-30")),
        ("MS", "2024-07-01", "2024-05-15", (-2, "2024-05-15")),
        ("B", "2024-05-03", "2024-05-05", (0, "2024-05-03")),  # a Friday and the Sunday after it
        ("B", "2024-05-03", "2024-05-06", (1, "2024-05-06")),
    ],
)
def test_the_step_that_is_due(frequency: str, last: str, moment: str, found: tuple[int, str]) -> None:
    timeline = Timeline("date", frequency, "UTC", "timestamp")
    count, due = timeline.due(pd.Timestamp(last), pd.Timestamp(moment))
    assert (count, due) == (found[0], pd.Timestamp(found[1]))


def test_rows_are_due_as_their_weekly_pattern_says() -> None:
    days = pd.bdate_range("2024-04-01", "2024-05-03")
    timeline = Timeline("date", "rows", "UTC", "date").learning(days)
    assert timeline.due(days[-1], pd.Timestamp("2024-05-05")) == (0, days[-1])
    assert timeline.due(days[-1], pd.Timestamp("2024-05-14")) == (7, pd.Timestamp("2024-05-14"))
    assert timeline.due(days[-1], pd.Timestamp("2024-05-01 12:00"))[0] < 0


def test_a_moment_is_read_on_the_step_clock() -> None:
    time = dt.datetime(2024, 5, 1, 23, 30, tzinfo=dt.UTC)
    berlin = [Timeline("date", frequency, "Europe/Berlin", "timestamp").moment(time) for frequency in ("h", "D")]
    assert berlin == [pd.Timestamp("2024-05-01 23:30"), pd.Timestamp("2024-05-02 01:30")]
