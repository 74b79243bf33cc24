"""Calendar features: exact encodings, the units that can vary, and no row that depends on another."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.timeseries.calendar import ALL, DOCUMENTED, PERIODS, calendar_matrix, calendar_names, holiday_name
from lstm_pipeline.timeseries.timeline import Timeline

HALF_ROOT_3 = 3**0.5 / 2


def encode(stamp: str, *names: str) -> list[float]:
    values: list[float] = calendar_matrix(pd.DatetimeIndex([stamp]), names)[0].tolist()
    return values


@pytest.mark.parametrize(
    ("stamp", "hour", "dayofweek", "month", "quarter"),
    [
        ("2024-01-01 00:00", -0.5, -0.5, -0.5, -0.5),  # a Monday in January: the lowest of each
        ("2024-12-29 23:59:59", 0.5, 0.5, 0.5, 0.5),  # a Sunday in December: the highest
        ("2024-07-03 12:00", 12 / 23 - 0.5, 2 / 6 - 0.5, 6 / 11 - 0.5, 2 / 3 - 0.5),
        ("2024-02-29 06:30", 6 / 23 - 0.5, 3 / 6 - 0.5, 1 / 11 - 0.5, -0.5),
    ],
)
def test_plain_units_run_from_minus_a_half_to_a_half(
    stamp: str, hour: float, dayofweek: float, month: float, quarter: float
) -> None:
    np.testing.assert_allclose(encode(stamp, *PERIODS), [hour, dayofweek, month, quarter], atol=1e-7)


@pytest.mark.parametrize(
    ("stamp", "name", "sine", "cosine"),
    [
        ("2024-01-01 00:00", "hour", 0, 1), ("2024-01-01 06:00", "hour", 1, 0), ("2024-01-01 12:59", "hour", 0, -1),
        ("2024-01-01 18:00", "hour", -1, 0), ("2024-01-01 01:00", "hour", np.sin(np.pi / 12), np.cos(np.pi / 12)),
        ("2024-01-01", "dayofweek", 0, 1), ("2024-01-02", "dayofweek", np.sin(2 * np.pi / 7), np.cos(2 * np.pi / 7)),
        ("2024-01-07", "dayofweek", -np.sin(2 * np.pi / 7), np.cos(2 * np.pi / 7)),
        ("2024-01-31", "month", 0, 1), ("2024-02-01", "month", 0.5, HALF_ROOT_3), ("2024-04-30", "month", 1, 0),
        ("2024-07-01", "month", 0, -1), ("2024-12-31", "month", -0.5, HALF_ROOT_3),
        ("2024-03-31", "quarter", 0, 1), ("2024-04-01", "quarter", 1, 0), ("2024-09-30", "quarter", 0, -1),
        ("2024-10-01", "quarter", -1, 0),
    ],
)  # fmt: skip
def test_waves_place_a_unit_on_the_circle(stamp: str, name: str, sine: float, cosine: float) -> None:
    np.testing.assert_allclose(encode(stamp, f"{name}_sin", f"{name}_cos"), [sine, cosine], atol=1e-7)


def test_the_matrix_has_a_column_for_each_name_in_the_order_asked() -> None:
    found = calendar_matrix(pd.DatetimeIndex(["2024-01-01 06:00", "2024-04-02"]), ["quarter_sin", "hour_sin"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 1], [1, 0]], atol=1e-7)
    assert calendar_matrix(pd.DatetimeIndex(["2024-01-01"]), []).shape == (1, 0)
    assert calendar_matrix(pd.DatetimeIndex([]), ALL).shape == (0, 12)


@given(st.lists(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)), min_size=1, max_size=5))
def test_a_row_does_not_depend_on_the_others(times: list[dt.datetime]) -> None:
    together = calendar_matrix(pd.DatetimeIndex(times), ALL)
    for row, time in enumerate(times):
        assert calendar_matrix(pd.DatetimeIndex([time]), ALL)[0].tobytes() == together[row].tobytes()
    assert (np.abs(together) <= 1 + 1e-6).all()


ALL_UNITS, DAILY, MONTHLY, QUARTERLY = (
    ["hour", "dayofweek", "month", "quarter"], ["dayofweek", "month", "quarter"], ["month", "quarter"], ["quarter"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("frequency", "units"),
    [
        ("10min", ALL_UNITS), ("h", ALL_UNITS), ("12h", ALL_UNITS), ("D", DAILY), ("24h", DAILY), ("B", DAILY),
        ("2D", DAILY), ("W-SUN", MONTHLY), ("7D", MONTHLY), ("MS", MONTHLY), ("ME", MONTHLY), ("BME", MONTHLY),
        ("QS-JAN", QUARTERLY), ("QE-DEC", QUARTERLY), ("YS-JAN", []), ("YE-DEC", []),
    ],
)  # fmt: skip
def test_units_that_cannot_vary_are_left_out(frequency: str, units: list[str]) -> None:
    expected = units + [f"{unit}_{wave}" for unit in units for wave in ("sin", "cos")]
    assert list(calendar_names(frequency, None)) == expected


@pytest.mark.parametrize("frequency", ["10min", "12h", "D", "B", "W-SUN", "MS", "QS-JAN", "YS-JAN"])
def test_each_name_varies_at_the_frequency_it_is_used_for(frequency: str) -> None:
    steps = pd.date_range("2023-01-01", periods=1000 if frequency == "10min" else 400, freq=frequency)
    names = [name for name in calendar_names(frequency, None) if name in ("hour", "dayofweek")]
    assert (np.ptp(calendar_matrix(steps, names), axis=0) > 0.5).all()


def test_names_chosen_by_hand() -> None:
    assert calendar_names("D", "documented") == DOCUMENTED == (
        "hour", "dayofweek", "month", "quarter", "hour_sin", "hour_cos", "dayofweek_sin", "dayofweek_cos",
    )  # fmt: skip
    assert calendar_names("YS", ["hour", "month_sin"]) == ("hour", "month_sin")
    assert calendar_names("h", []) == ()


def test_hours_are_those_of_the_wall_clock_on_both_sides_of_a_change() -> None:
    timeline = Timeline("t", "h", "Europe/Berlin", "timestamp")
    spring = timeline.next_steps(pd.Timestamp("2024-03-31 00:00"), 2)  # 01:00 in Berlin; then 03:00 and 04:00
    np.testing.assert_allclose(
        calendar_matrix(timeline.wall_clock(spring), ["hour"])[:, 0], np.array([3, 4]) / 23 - 0.5, atol=1e-7
    )
    autumn = timeline.next_steps(pd.Timestamp("2024-10-26 23:00"), 3)
    np.testing.assert_allclose(
        calendar_matrix(timeline.wall_clock(autumn), ["hour"])[:, 0], np.array([2, 2, 3]) / 23 - 0.5, atol=1e-7
    )


def test_days_are_those_of_the_wall_clock() -> None:
    timeline = Timeline("t", "D", "Asia/Tokyo", "timestamptz")
    np.testing.assert_allclose(
        calendar_matrix(timeline.wall_clock(pd.DatetimeIndex(["2024-01-01"])), ["dayofweek", "hour"]), [[-0.5, -0.5]]
    )


def test_holidays_are_those_of_the_country_whatever_the_hour() -> None:
    assert holiday_name("DE") == "holiday_DE"
    stamps = pd.DatetimeIndex(["2024-12-24", "2024-12-25 13:00", "2024-12-27", "2025-01-01"])
    assert calendar_matrix(stamps, ["holiday_DE"])[:, 0].tolist() == [0, 1, 0, 1]
    both = calendar_matrix(pd.DatetimeIndex(["2024-07-04", "2024-03-31"]), ["holiday_US-CA", "hour", "holiday_DE"])
    assert both[:, 0].tolist() == [1, 1]  # Independence Day, Cesar Chavez Day
    assert both[:, 2].tolist() == [0, 0]
