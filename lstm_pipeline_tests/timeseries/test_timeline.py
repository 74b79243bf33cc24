"""The time axis: inferring frequencies, and clocks through daylight saving."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.timeline import (
    Kind,
    common_step,
    fixed_step,
    infer_frequency,
    is_sub_daily,
    off_grid,
    offset_of,
    read_stamps,
    regular_grid,
    to_steps,
)

BERLIN = "Europe/Berlin"
US = pa.timestamp("us")


def stamps(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(list(texts)).as_unit("us")


def shown(steps: pd.DatetimeIndex) -> list[str]:
    return [str(step) for step in steps]


def grid(frequency: str, count: int = 30, start: str = "2023-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=count, freq=frequency, unit="us")


def berlin(first: str, last: str, frequency: str) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """The same steps in UTC and in Berlin's wall-clock time."""
    utc = pd.date_range(first, last, freq=frequency, unit="us")
    return utc, utc.tz_localize("UTC").tz_convert(BERLIN).tz_localize(None)


# --- frequencies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "inferred"),
    [
        ("10min", "10min"), ("15min", "15min"), ("h", "h"), ("2h", "2h"), ("12h", "12h"), ("90min", "90min"),
        ("30s", "30s"), ("D", "D"), ("2D", "2D"), ("10D", "10D"), ("36h", "36h"), ("B", "B"),
        ("W-MON", "W-MON"), ("W-TUE", "W-TUE"), ("W-SUN", "W-SUN"), ("2W-WED", "14D"),
        ("MS", "MS"), ("ME", "ME"), ("BMS", "BMS"), ("BME", "BME"),
        ("QS-JAN", "QS-JAN"), ("QS-FEB", "QS-FEB"), ("QE-DEC", "QE-MAR"), ("QE-JAN", "QE-JAN"),
        ("YS-JAN", "YS-JAN"), ("YS-JUL", "YS-JUL"), ("YE-DEC", "YE-DEC"), ("YE-MAR", "YE-MAR"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("holes", [[], [3, 4, 11]])
def test_the_frequency_is_found_with_and_without_gaps(declared: str, inferred: str, holes: list[int]) -> None:
    steps = grid(declared)
    seen = steps.delete(holes)
    assert infer_frequency(seen) == inferred
    assert shown(regular_grid(seen, inferred)) == shown(steps)
    assert len(off_grid(seen, inferred)) == 0


@pytest.mark.parametrize(
    ("texts", "inferred"),
    [
        (("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"), "D"),  # no weekend included: both fit
        (("2024-01-04", "2024-01-05", "2024-01-08"), "B"),
        (("2024-01-04", "2024-01-05", "2024-01-06"), "D"),
        (("2024-01-01", "2024-02-01", "2024-03-01"), "MS"),
        (("2024-01-31", "2024-02-29", "2024-03-31"), "ME"),
        (("2023-02-01", "2023-03-01", "2023-03-29"), "28D"),
        (("2024-01-01 06:00", "2024-02-01 06:00", "2024-03-01 06:00"), "MS"),
        (("2022-01-01", "2023-01-01", "2024-01-01"), "YS-JAN"),
        (("2024-01-01 00:00:00.000001", "2024-01-01 00:00:00.000002", "2024-01-01 00:00:00.000003"), "us"),
    ],
)
def test_the_frequency_of_three_stamps(texts: tuple[str, ...], inferred: str) -> None:
    assert infer_frequency(stamps(*texts)) == inferred


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["10min", "h", "12h", "D", "B", "W-FRI", "MS", "ME", "QS-FEB", "YE-DEC", "2D"]),
    st.lists(st.integers(1, 38), max_size=10, unique=True),
    st.dates(dt.date(1975, 1, 1), dt.date(2080, 1, 1)),
)
def test_every_timestamp_is_on_the_inferred_grid(frequency: str, holes: list[int], start: dt.date) -> None:
    steps = grid(frequency, 40, str(start)).delete(holes)
    found = infer_frequency(steps)
    assert set(steps) <= set(regular_grid(steps, found))
    assert len(regular_grid(steps, found)) <= 40 + (frequency == "B") * 20


@pytest.mark.parametrize("count", [0, 1, 2])
def test_two_stamps_have_no_frequency(count: int) -> None:
    with pytest.raises(DataError) as caught:
        infer_frequency(grid("D", count))
    assert str(caught.value) == (
        f"cannot infer the frequency from {count} distinct timestamp{'' if count == 1 else 's'}; "
        "set it with 'frequency'"
    )


def test_timestamps_off_every_grid_are_counted_and_shown() -> None:
    steps = grid("h", 20).delete([5]).append(stamps("2023-01-01 20:00:07", "2023-01-01 21:30:00")).sort_values()
    with pytest.raises(DataError) as caught:
        infer_frequency(steps)
    assert str(caught.value) == (
        "cannot infer the frequency: most timestamps are 0 days 01:00:00 apart, but 2 of 21 are not on that grid "
        "(first: 2023-01-01 20:00:07, 2023-01-01 21:30:00); set 'frequency', or move the timestamps onto a grid with "
        "date_trunc in a select_expression"
    )


@pytest.mark.parametrize("frequency", ["10min", "h", "D", "B"])
def test_one_wrong_stamp_does_not_fill_the_memory(frequency: str) -> None:
    far = pd.date_range("2999-01-01", periods=12, freq="D", unit="us")
    wrong = far[far.isin(pd.date_range(far[0], far[-1], freq=frequency, unit="us"))][:1]
    steps = grid(frequency, 50, "2024-01-01").append(wrong)
    with pytest.raises(DataError) as caught:
        regular_grid(steps, frequency)
    text = str(caught.value)
    assert text.startswith(f"51 rows from 2024-01-01 00:00:00 to {wrong[0]} would be ")
    assert text.endswith(f" steps of {frequency}; check for a wrong timestamp or a wrong 'frequency'")


def test_ordinary_gaps_are_not_taken_for_wrong_timestamps() -> None:
    assert len(regular_grid(stamps("2012-10-02 09:00", "2013-10-02 09:00"), "h")) == 365 * 24 + 1


@pytest.mark.parametrize(
    ("frequency", "off"),
    [
        ("h", ["2024-01-01 02:30:00"]),
        ("30min", []),
        ("2h", ["2024-01-01 01:00:00", "2024-01-01 02:30:00"]),
        ("W-MON", ["2024-01-01 01:00:00", "2024-01-01 02:30:00"]),
        ("MS", ["2024-01-01 01:00:00", "2024-01-01 02:30:00"]),
        ("ME", ["2024-01-01 00:00:00", "2024-01-01 01:00:00", "2024-01-01 02:30:00"]),
    ],
)
def test_stamps_off_the_grid(frequency: str, off: list[str]) -> None:
    steps = stamps("2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:30")
    assert shown(off_grid(steps, frequency)) == off


@pytest.mark.parametrize(
    ("frequency", "reason"),
    [
        ("", "Invalid frequency: ."),
        ("foo", None),
        ("M", None),
        ("H", None),
        ("5", None),
        ("0D", "it does not move forward"),
        ("-1D", "it does not move forward"),
        ("-1MS", "it does not move forward"),
        ("ns", "it is finer than a microsecond"),
        ("1500ns", "it is finer than a microsecond"),
        ("100000000D", "Cannot cast 1200000000 days 00:00:00 to unit='us' without overflow."),
        ("99999YS", None),
        ("9" * 30 + "D", "Python int too large to convert to C long"),
    ],
)
def test_invalid_frequencies_are_refused(frequency: str, reason: str | None) -> None:
    with pytest.raises(DataError) as caught:
        offset_of(frequency)
    head = f"frequency '{frequency}' is not a pandas offset (e.g. 10min, h, D, B, W-MON, MS): "
    assert str(caught.value).startswith(head)
    if reason is not None:
        assert str(caught.value) == head + reason


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("0123456789DhminusWMQYSEB-. TUJAN"), max_size=8))
def test_any_text_is_a_frequency_or_a_data_error(text: str) -> None:
    try:
        offset = offset_of(text)
    except DataError:
        return
    assert pd.Timestamp("2024-01-01") + offset > pd.Timestamp("2024-01-01")


@pytest.mark.parametrize(
    ("frequency", "step", "sub_daily"),
    [
        ("10min", "10min", True), ("12h", "12h", True), ("23h", "23h", True), ("24h", "24h", False),
        ("D", "1D", False), ("2D", "2D", False), ("36h", "36h", False), ("7D", "7D", False),
        ("W-SUN", None, False), ("B", None, False), ("MS", None, False), ("YE", None, False),
    ],
)  # fmt: skip
def test_steps_of_fixed_length(frequency: str, step: str | None, sub_daily: bool) -> None:
    assert fixed_step(offset_of(frequency)) == (None if step is None else pd.Timedelta(step))
    assert is_sub_daily(frequency) is sub_daily


def test_the_common_step_is_the_most_frequent_distance() -> None:
    assert common_step(stamps("2024-01-01", "2024-01-02", "2024-01-05", "2024-01-06")) == pd.Timedelta("1D")
    assert common_step(stamps("2024-01-01", "2024-01-02", "2024-01-05")) == pd.Timedelta("1D")  # a tie: the shorter one


# --- the column ------------------------------------------------------------------------------------------------------

SIX = dt.datetime(2024, 3, 31, 6)


@pytest.mark.parametrize(
    ("column", "kind", "first"),
    [
        (pa.array([dt.date(2024, 3, 31)]), "date", "2024-03-31"),
        (pa.array([dt.date(2024, 3, 31)], pa.date64()), "date", "2024-03-31"),
        (pa.array([dt.date(1, 1, 1)]), "date", "0001-01-01"),
        (pa.array([dt.date(9999, 12, 31)]), "date", "9999-12-31"),
        (pa.array([SIX], US), "timestamp", "2024-03-31 06:00"),
        (pa.array([SIX], pa.timestamp("s")), "timestamp", "2024-03-31 06:00"),
        (pa.array([SIX], pa.timestamp("ns")), "timestamp", "2024-03-31 06:00"),
        (pa.array([SIX], pa.timestamp("us", "UTC")), "timestamptz", "2024-03-31 06:00"),
        (pa.array([SIX], pa.timestamp("ms", BERLIN)), "timestamptz", "2024-03-31 06:00"),  # Arrow stores UTC
    ],
)
def test_columns_that_are_timestamps(column: pa.Array, kind: Kind, first: str) -> None:
    found, found_kind = read_stamps(pa.chunked_array([column]), "t")
    assert found_kind == kind
    assert found.equals(stamps(first))
    assert found.unit == "us"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["2024-01-01"]), "expected a date or a timestamp, found string; convert it with a select_expression, "
         "e.g. to_timestamp(…)"),
        (pa.array([20240101]), "expected a date or a timestamp, found int64; convert it with a select_expression, "
         "e.g. to_timestamp(…)"),
        (pa.array([None]), "expected a date or a timestamp, found null; convert it with a select_expression, e.g. "
         "to_timestamp(…)"),
        (pa.array([dt.time(1)]), "expected a date or a timestamp, found time64[us]; convert it with a "
         "select_expression, e.g. to_timestamp(…)"),
        (pa.array([SIX, None, SIX, None, None, None], US),
         "4 of 6 values are null (rows 2, 4, 5, …); remove them with the filter: t is not null"),
        (pa.array([1], pa.timestamp("ns")), "Casting from timestamp[ns] to timestamp[us] would lose data: 1; cast it "
         "to TIMESTAMP in a select_expression"),
    ],
)  # fmt: skip
def test_columns_that_are_not_timestamps_are_refused(column: pa.Array, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_stamps(pa.chunked_array([column]), "t")
    assert str(caught.value) == f"timestamp column 't': {message}"


def test_a_column_in_many_chunks() -> None:
    parts = [pa.array([dt.date(2024, 1, day)]) for day in (1, 2)]
    assert shown(read_stamps(pa.chunked_array(parts), "t")[0]) == ["2024-01-01 00:00:00", "2024-01-02 00:00:00"]


# --- the clock -------------------------------------------------------------------------------------------------------

# Berlin: 2024-03-31 02:00 is followed by 03:00 (01:00 UTC); 2024-10-27 03:00 is followed by 02:00 (01:00 UTC)
SPRING, AUTUMN = ("2024-03-29", "2024-04-02"), ("2024-10-25", "2024-10-29")


@pytest.mark.parametrize("frequency", ["10min", "15min", "30min", "h", "2h", "3h", "4h", "6h", "8h", "12h"])
@pytest.mark.parametrize("change", [SPRING, AUTUMN])
def test_wall_clock_times_are_unambiguous_when_the_clock_changes(frequency: str, change: tuple[str, str]) -> None:
    utc, wall = berlin(*change, frequency)
    assert to_steps(wall, "timestamp", BERLIN, sub_daily=True).equals(utc)


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Europe/Dublin", "America/Sao_Paulo"])
def test_other_zones(zone: str) -> None:
    utc = pd.date_range("2017-01-01", "2018-12-31", freq="30min", unit="us")
    wall = utc.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    assert to_steps(wall, "timestamp", zone, sub_daily=True).equals(utc)


def test_the_hour_that_occurs_twice_in_exact_timestamps() -> None:
    wall = stamps("2024-10-27 01:30", "2024-10-27 02:00", "2024-10-27 02:30", "2024-10-27 02:00", "2024-10-27 02:30",
                  "2024-10-27 03:00")  # fmt: skip
    assert shown(to_steps(wall, "timestamp", BERLIN, sub_daily=True)) == [
        "2024-10-26 23:30:00", "2024-10-27 00:00:00", "2024-10-27 00:30:00", "2024-10-27 01:00:00",
        "2024-10-27 01:30:00", "2024-10-27 02:00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("2024-10-27 00:00", "2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 03:00"),
         "2024-10-27 02:00:00 occurs twice when the clock is set back, but appears only once here"),
        (("2024-10-27 02:15",),
         "2024-10-27 02:15:00 occurs twice when the clock is set back, but appears only once here"),
        (("2024-03-31 01:00", "2024-03-31 02:30"),
         "2024-03-31 02:30:00 is a nonexistent time due to daylight savings time. Try using the 'nonexistent' "
         "argument."),
    ],
)  # fmt: skip
def test_nonexistent_and_ambiguous_wall_clock_times_are_refused(texts: tuple[str, ...], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        to_steps(stamps(*texts), "timestamp", BERLIN, sub_daily=True)
    assert str(caught.value) == (
        f"the timestamps are not valid wall-clock times in {BERLIN}: {reason}. If they ignore daylight saving, set the "
        "spec's timezone to UTC or to a fixed zone, e.g. Etc/GMT-1"
    )


def test_clocks_that_need_no_conversion() -> None:
    texts = ("2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 03:00", "2024-03-31 02:30")
    plain = stamps(*texts)
    assert to_steps(plain, "timestamp", "UTC", sub_daily=True).equals(plain)
    assert to_steps(plain, "timestamp", BERLIN, sub_daily=False).equals(plain)
    assert to_steps(plain, "date", BERLIN, sub_daily=True).equals(plain)
    assert to_steps(plain, "timestamptz", BERLIN, sub_daily=True).equals(plain)
    fixed = to_steps(plain, "timestamp", "Etc/GMT-1", sub_daily=True)
    assert shown(fixed)[0] == "2024-10-27 00:00:00"


def test_daily_instants_are_days_of_the_wall_clock() -> None:
    """Midnights in Berlin are 23, 24 or 25 hours apart; each interval is one day."""
    instants = stamps("2024-10-25 22:00", "2024-10-26 22:00", "2024-10-27 23:00", "2024-10-28 23:00")
    days = to_steps(instants, "timestamptz", BERLIN, sub_daily=False)
    assert shown(days) == [f"2024-10-{day} 00:00:00" for day in (26, 27, 28, 29)]
    assert infer_frequency(days) == "D"


def test_midnights_of_another_zone_are_told_from_rows_off_the_grid() -> None:
    days = pd.date_range("2024-03-20", "2024-04-10", tz="Europe/Berlin").tz_convert("UTC").tz_localize(None)
    with pytest.raises(
        DataError, match=r"midnights of a time zone .*: name it with the spec's timezone, e\.g\. Europe"
    ):
        infer_frequency(days)
    moved = days.to_series().where(days != days[5], days[5] + pd.Timedelta(minutes=7))
    with pytest.raises(DataError) as caught:
        infer_frequency(pd.DatetimeIndex(moved))
    assert "midnights" not in str(caught.value)
