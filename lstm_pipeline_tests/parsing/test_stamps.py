"""Whether a column can be timestamps: what numbers count, the range, values far away, the order of rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.parsing.stamps import in_time_order, own_zone, stamp_problem, time_order
from lstm_pipeline.sql import select

DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(40)]
HOURS = [dt.datetime(2024, 1, 30) + dt.timedelta(hours=hour) for hour in range(40)]


def epoch(scale: int) -> list[int]:
    return [int(stamp.replace(tzinfo=dt.UTC).timestamp()) * scale for stamp in HOURS]


@pytest.mark.parametrize(
    ("values", "what", "expected"),
    [
        (list(range(1980, 2020)), "years", [dt.date(year, 1, 1) for year in range(1980, 2020)]),
        ([year * 100 + month for year in (2023, 2024) for month in range(1, 13)], "months (yyyyMM)",
         [dt.date(year, month, 1) for year in (2023, 2024) for month in range(1, 13)]),
        ([int(day.strftime("%Y%m%d")) for day in DAYS], "days (yyyyMMdd)", DAYS),
        ([int(stamp.strftime("%Y%m%d%H")) for stamp in HOURS], "hours (yyyyMMddHH)", HOURS),
        ([int(stamp.strftime("%Y%m%d%H%M")) for stamp in HOURS], "minutes (yyyyMMddHHmm)", HOURS),
        ([int(stamp.strftime("%Y%m%d%H%M%S")) for stamp in HOURS], "seconds (yyyyMMddHHmmss)", HOURS),
        (epoch(1), "seconds since 1970", HOURS),
        ([float(value) for value in epoch(1)], "seconds since 1970", HOURS),
        (epoch(10**3), "milliseconds since 1970", HOURS),
        (epoch(10**6), "microseconds since 1970", HOURS),
        (epoch(10**9), "nanoseconds since 1970", HOURS),
        (list(range(45_292, 45_332)), "Excel's days since 1899-12-30", DAYS),
        ([45_321 + hour / 24 for hour in range(40)], "Excel's days since 1899-12-30", HOURS),
    ],
)  # fmt: skip
def test_the_expression_of_the_message_makes_the_timestamps(values: list[Any], what: str, expected: list[Any]) -> None:
    table = pa.table({"t": values, "v": values})
    problem = stamp_problem(table["t"], "t")
    assert problem is not None
    assert f"look like {what}; write `* REPLACE (" in problem
    expression = problem.split("write `", 1)[1].split("`", 1)[0]
    made = select(table, [expression], as_of=dt.date(2024, 1, 1))
    found = [stamp.replace(tzinfo=None) if isinstance(stamp, dt.datetime) else stamp for stamp in made["t"].to_pylist()]
    assert found == expected
    assert stamp_problem(made["t"], "t") is None


def test_numbers_that_count_nothing_known() -> None:
    problem = stamp_problem(pa.chunked_array([[1, 2, 3]]), "t")
    assert problem is not None
    assert "the values 1 to 3 look like no usual count of time" in problem
    assert "timestamps: {start: …, frequency: …}" in problem


def stamps(*values: Any) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([np.datetime64(value, "us") for value in values])])


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (stamps("2024-01-01", "12024-01-01"), "1 of 2 values are outside the years 1 to 9999 (first: the year 12024)"),
        (stamps("-0100-01-01", "2024-01-01"), "first: the year -100"),
        (stamps("0023-01-01", *DAYS), "1 different value lies centuries or decades from the others (0023-01-01; the "
         "others are 2024-01-01 to 2024-02-09); correct them, or keep the others with the filter `t BETWEEN "
         "'2024-01-01' AND '2024-02-10'`"),
        (stamps(*DAYS, "2222-01-01", "9999-12-31"), "2 different values lie centuries or decades"),
        (stamps("1970-01-01", *DAYS), "1970-01-01; the others are 2024-01-01"),
        (pa.chunked_array([pa.array([dt.date(1900, 1, 1), *DAYS])]), "1900-01-01; the others"),
    ],
)  # fmt: skip
def test_implausible_stamps(column: pa.ChunkedArray, said: str) -> None:
    problem = stamp_problem(column, "t")
    assert problem is not None
    assert said in problem


@pytest.mark.parametrize(
    "column",
    [
        stamps(*DAYS),
        stamps(*[f"{year}-01-01" for year in range(1500, 2000)]),
        stamps(*[f"{year}-01-01" for year in range(1000, 2000, 100)]),
        stamps("1990-01-01", "2030-01-01", "2030-01-02"),
        stamps("0001-01-01", "9999-12-31"),
        pa.chunked_array([pa.array([None, *DAYS])]),
        pa.chunked_array([pa.array([], pa.timestamp("us"))]),
    ],
)
def test_plausible_stamps(column: pa.ChunkedArray) -> None:
    assert stamp_problem(column, "t") is None


@pytest.mark.parametrize(
    ("zone", "own"),
    [
        (None, None), ("UTC", None), ("+00:00", None), ("Etc/UTC", None), ("Europe/Berlin", "Europe/Berlin"),
        ("+02:00", "Etc/GMT-2"), ("-05:00", "Etc/GMT+5"), ("+05:30", None),
    ],
)  # fmt: skip
def test_own_zone(zone: str | None, own: str | None) -> None:
    assert own_zone(pa.timestamp("us", zone)) == own
    assert own_zone(pa.date32()) is None


def test_the_order_of_rows() -> None:
    def table(*days: int) -> pa.Table:
        return pa.table({"t": [DAYS[day] for day in days], "n": list(range(len(days)))})

    assert [time_order(table(*days)["t"]) for days in ((0, 1, 1, 2), (2, 1, 1, 0), (1, 2, 0), (1,), ())] == [
        "rising", "falling", "mixed", "rising", "rising",
    ]  # fmt: skip
    assert in_time_order(table(2, 1, 1, 0), "t")["n"].to_pylist() == [3, 2, 1, 0]
    assert in_time_order(table(1, 2, 1, 0), "t")["n"].to_pylist() == [3, 0, 2, 1]
