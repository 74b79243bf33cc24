"""From a table to a regular series: sorting, duplicates, gaps, types of values, and real files with known flaws."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.tables.reading import read_table
from lstm_pipeline.timeseries.series import Series, build_series
from lstm_pipeline.timeseries.timeline import Timeline

DATA = Path(os.environ.get("LSTM_PIPELINE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets in {DATA}; set LSTM_PIPELINE_DATA")

US = pa.timestamp("us")
BERLIN = "Europe/Berlin"
NAN = float("nan")


def hours(*numbers: float) -> pa.Array:
    return pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(hours=number) for number in numbers], US)


def series(times: pa.Array, values: Any, **options: Any) -> Series:
    table = pa.table({"t": times, "v": values if isinstance(values, pa.Array) else pa.array(values, pa.float64())})
    return build_series(table, "t", ["v"], **{"timezone": "UTC", **options})


def refused(times: pa.Array, values: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        series(times, values, **options)
    return str(caught.value)


def column(found: Series) -> list[float]:
    values: list[float] = found.values[:, 0].tolist()
    return values


def test_rows_are_sorted_and_holes_are_nan() -> None:
    found = series(hours(6, 0, 1, 4, 2), [6.0, 0.0, 1.0, 4.0, 2.0])
    assert found.timeline == Timeline("t", "h", "UTC", "timestamp")
    np.testing.assert_equal(column(found), [0.0, 1.0, 2.0, NAN, 4.0, NAN, 6.0])
    assert [step.hour for step in found.steps] == [0, 1, 2, 3, 4, 5, 6]
    assert (len(found), found.duplicates, found.inserted) == (7, 0, 2)
    assert found.names == ("v",)


def test_columns_keep_the_requested_order() -> None:
    table = pa.table({"b": [1.0, 2, 3], "t": hours(0, 1, 2), "a": [4, 5, 6], "other": ["x", "y", "z"]})
    found = build_series(table, "t", ["b", "a"], timezone="UTC")
    assert found.names == ("b", "a")
    assert found.values.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert found.values.dtype == np.float64
    assert build_series(table, "t", [], timezone="UTC").values.shape == (3, 0)


@pytest.mark.parametrize(("rule", "expected"), [("mean", [0.0, 15.0, 2.0, NAN]), ("last", [0.0, 20.0, NAN, NAN])])
def test_duplicates_are_merged(rule: str, expected: list[float]) -> None:
    """`last` is the last row of the input, even if it is missing; `mean` ignores missing values."""
    times, values = hours(1, 2, 0, 1, 2, 3, 3), [10.0, 2.0, 0.0, 20.0, None, None, None]
    found = series(times, values, on_duplicates=rule)
    np.testing.assert_equal(column(found), expected)
    assert (found.duplicates, found.inserted) == (3, 0)


def test_duplicates_are_an_error_that_counts_and_shows_them() -> None:
    assert refused(hours(0, 1, 1, 1, 2, 2, 3, 3, 4, 4), range(10)) == (
        "timestamp column 't': 5 of 10 rows repeat a timestamp (first: 2024-01-01 01:00:00, 2024-01-01 02:00:00, "
        "2024-01-01 03:00:00); remove them, or set on_duplicates to mean or last"
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None, 3]), [1.0, NAN, 3.0]),
        (pa.array([2**60 + 1, None, -(2**60)]), [float(2**60), NAN, -float(2**60)]),  # too many digits for a float
        (pa.array([2**63 + 5, None, 1], pa.uint64()), [float(2**63), NAN, 1.0]),
        (pa.array([2**53 + 1, 2, 3]), [float(2**53), 2.0, 3.0]),
        (pa.array([Decimal("1.25"), None, Decimal("-0.50")]), [1.25, NAN, -0.5]),
        (pa.array([1.5, NAN, None]), [1.5, NAN, NAN]),
        (pa.array([0.5, 1, None], pa.float32()), [0.5, 1.0, NAN]),
        (pa.array([7, None, 255], pa.uint8()), [7.0, NAN, 255.0]),
        (pa.array([None, None, None], pa.float64()), [NAN, NAN, NAN]),
    ],
)
def test_kinds_of_numbers(values: pa.Array, expected: list[float]) -> None:
    np.testing.assert_equal(column(series(hours(0, 1, 2), values)), expected)


def test_infinite_values_are_errors_that_count_and_show_them() -> None:
    infinite = [1.0, float("inf"), 2.0, -float("inf")]
    table = pa.table({"t": hours(3, 2, 1, 0), "ok": [1.0] * 4, "a": infinite, "b": [1.0, 2.0, 3.0, float("inf")]})
    with pytest.raises(DataError) as caught:
        build_series(table, "t", ["ok", "a", "b"], timezone="UTC")
    assert str(caught.value) == (
        "infinite values: 2 in 'a' (first at 2024-01-01 02:00:00), 1 in 'b' (first at 2024-01-01 00:00:00); set them "
        "to null or remove the rows"
    )


def test_missing_columns_and_rows() -> None:
    table = pa.table({"t": hours(0, 1, 2), "v": [1.0, 2, 3]})
    with pytest.raises(DataError, match=r"^columns are missing: x, y; found: t, v$"):
        build_series(table, "t", ["x", "v", "y"], timezone="UTC")
    with pytest.raises(DataError, match=r"^columns are missing: time; found: t, v$"):
        build_series(table, "time", ["v"], timezone="UTC")
    with pytest.raises(DataError, match=r"^there are no rows; check whether the filter removes all of them$"):
        build_series(table.slice(0, 0), "t", ["v"], timezone="UTC")


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows_need_a_declared_frequency(rows: int) -> None:
    assert "set it with 'frequency'" in refused(hours(*range(rows)), range(rows))
    assert len(series(hours(*range(rows)), range(rows), frequency="h")) == rows
    assert len(series(hours(0, 5), [0.0, 1.0], frequency="h")) == 6


def test_stamps_off_the_declared_grid() -> None:
    assert refused(hours(0, 1, 1.5, 2, 3.25), range(5), frequency="h") == (
        "2 of 5 timestamps are not on the grid of h from 2024-01-01 00:00:00 (first: 2024-01-01 01:30:00, 2024-01-01 "
        "03:15:00); set another 'frequency', or move them onto the grid with date_trunc"
    )


def test_a_declared_frequency_is_used_as_it_is() -> None:
    found = series(hours(0, 1, 2, 3), range(4), frequency="30min")
    assert found.timeline.frequency == "30min"
    np.testing.assert_equal(column(found), [0.0, NAN, 1.0, NAN, 2.0, NAN, 3.0])


def test_one_wrong_stamp_is_a_clear_error() -> None:
    times = pa.array([*hours(*range(40)).to_pylist(), dt.datetime(2924, 1, 1)], US)
    expected = "41 rows from 2024-01-01 00:00:00 to 2924-01-01 00:00:00 would be 7,889,232 steps of h; "
    for options in ({}, {"frequency": "h"}):
        message = refused(times, range(41), **options)
        assert message == expected + "check for a wrong timestamp or a wrong 'frequency'"


def test_null_stamps() -> None:
    assert refused(pa.array([None, dt.datetime(2024, 1, 1)], US), [1.0, 2.0]).startswith(
        "timestamp column 't': 1 of 2 values is null (row 1)"
    )


# --- time zones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frequency", ["15min", "30min", "h", "2h"])
@pytest.mark.parametrize("first", ["2024-03-30 12:00", "2024-10-26 12:00"])
@pytest.mark.parametrize("inferred", [True, False])
def test_naive_stamps_through_a_change_of_the_clock(frequency: str, first: str, inferred: bool) -> None:
    utc = pd.date_range(first, periods=100, freq=frequency, unit="us")
    wall = utc.tz_localize("UTC").tz_convert(BERLIN).tz_localize(None)
    options = {} if inferred else {"frequency": frequency}
    found = series(pa.array(wall.to_numpy()), np.arange(100.0), timezone=BERLIN, **options)
    assert found.steps.equals(utc)
    assert column(found) == list(range(100))
    assert (found.timeline.frequency, found.inserted, found.duplicates) == (frequency, 0, 0)
    written = found.timeline.column_of(found.steps)
    assert written.equals(pa.array(wall.to_numpy()))


def test_the_two_rows_of_a_repeated_hour_keep_their_order_when_the_rest_is_shuffled() -> None:
    clock = ["2024-10-27 03:00", "2024-10-27 02:00", "2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 04:00"]
    times = pa.array([dt.datetime.fromisoformat(text) for text in clock], US)
    found = series(times, [3.0, 2.0, 1.0, 2.5, 4.0], timezone=BERLIN)
    assert column(found) == [1.0, 2.0, 2.5, 3.0, 4.0]


def test_daily_instants_are_days_whatever_their_length() -> None:
    days = pd.date_range("2024-10-20", periods=14, freq="D", tz=BERLIN)
    times = pa.array(days.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]"))
    found = series(times.cast(pa.timestamp("us", "UTC")), range(14), timezone=BERLIN)
    assert (found.timeline.frequency, found.timeline.kind, found.inserted) == ("D", "timestamptz", 0)
    assert str(found.steps[7]) == "2024-10-27 00:00:00"
    # in UTC the same rows are not on a grid of days
    with pytest.raises(DataError, match="are not on that grid"):
        series(times.cast(pa.timestamp("us", "UTC")), range(14), timezone="UTC")


def test_hours_in_a_zone_are_counted_in_utc() -> None:
    utc = pd.date_range("2024-10-26", periods=72, freq="h", unit="us")
    times = pa.array(utc.to_numpy()).cast(pa.timestamp("us", "UTC"))
    found = series(times, range(72), timezone=BERLIN)
    assert found.steps.equals(utc)
    assert found.timeline.kind == "timestamptz"


def test_dates_are_not_instants() -> None:
    times = pa.array([dt.date(2024, 3, 30) + dt.timedelta(days=day) for day in range(4)])
    found = series(times, range(4), timezone=BERLIN)
    assert (found.timeline.frequency, found.timeline.kind) == ("D", "date")


@given(st.permutations(range(8)), st.sets(st.integers(1, 6), max_size=3))
def test_the_order_of_the_rows_does_not_matter(order: list[int], missing: set[int]) -> None:
    kept = [number for number in order if number not in missing]
    if len(kept) < 7:  # the most common step could be a different one
        kept += [number + 8 for number in range(4)]
    found = series(hours(*kept), [float(number) for number in kept])
    expected = series(hours(*sorted(kept)), [float(number) for number in sorted(kept)])
    np.testing.assert_equal(found.values, expected.values)
    assert found.steps.equals(expected.steps)


# --- real files ------------------------------------------------------------------------------------------------------


@needs_data
def test_metro_traffic_has_7629_duplicates_and_2588_gaps() -> None:
    table = read_table(str(DATA / "metro_traffic.csv"), timestamp_col="date_time")
    with pytest.raises(DataError, match=r"7,629 of 48,204 rows repeat a timestamp \(first: 2012-10-10 07:00:00, "):
        build_series(table, "date_time", ["temp"], timezone="UTC")
    found = build_series(table, "date_time", ["temp", "traffic_volume"], timezone="UTC", on_duplicates="last")
    assert found.timeline.frequency == "h"
    assert found.duplicates == 7629
    gaps = np.diff(np.flatnonzero(~np.isnan(found.values[:, 1])))
    assert int((gaps > 1).sum()) == 2588
    assert len(found) == 48204 - 7629 + found.inserted


@needs_data
def test_metro_traffic_through_the_winter_clock_of_its_zone() -> None:
    """Its timestamps are local and contain each hour only once: the error must say so clearly."""
    table = read_table(str(DATA / "metro_traffic.csv"), timestamp_col="date_time")
    with pytest.raises(
        DataError, match=r"not valid wall-clock times in America/Chicago: .*set the spec's timezone to UTC"
    ):
        build_series(table, "date_time", ["temp"], timezone="America/Chicago", on_duplicates="last")


@needs_data
def test_bike_hours_with_their_gaps() -> None:
    table = read_table(str(DATA / "bike_hour.csv"))
    start = table["dteday"].cast(US).to_numpy() + table["hr"].to_numpy().astype("timedelta64[h]")
    found = build_series(table.append_column("t", pa.array(start)), "t", ["cnt", "temp"], timezone="UTC")
    assert (found.timeline.frequency, len(found), found.inserted, found.duplicates) == ("h", 17544, 165, 0)
    gaps = np.diff(np.flatnonzero(~np.isnan(found.values[:, 0])))
    assert int((gaps > 1).sum()) == 75


@needs_data
def test_exchange_rates_are_daily_without_a_gap() -> None:
    table = read_table(str(DATA / "exchange_rate.csv"), timestamp_col="date")
    names = [name for name in table.column_names if name != "date"]
    found = build_series(table, "date", names, timezone="UTC")
    assert (found.timeline.frequency, len(found), found.inserted, found.duplicates) == ("D", 7588, 0, 0)
    assert not np.isnan(found.values).any()
