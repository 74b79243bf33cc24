"""Timestamps stored as text: what is recognised, and what is refused."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.sql import running as sql
from lstm_pipeline.tables.reading import read_table
from lstm_pipeline_tests.tables.files import US, UTC, read, read_schema, refusal, write

AT = dt.datetime


@pytest.mark.parametrize(
    ("texts", "kind", "expected"),
    [
        (["2024-01-31 13:00:00", "2024-01-31T14:30"], US, [AT(2024, 1, 31, 13), AT(2024, 1, 31, 14, 30)]),
        (["1990/1/1 0:00", "1990/1/2 0:00"], US, [AT(1990, 1, 1), AT(1990, 1, 2)]),
        (["2024-01-31 13:00:00.25"], US, [AT(2024, 1, 31, 13, 0, 0, 250_000)]),
        (["2024-01-31", "2024-1-1"], pa.date32(), [dt.date(2024, 1, 31), dt.date(2024, 1, 1)]),
        (["2024-01-31", "2024-01-31 01:00"], US, [AT(2024, 1, 31), AT(2024, 1, 31, 1)]),
        (["2024-01-31T13:00:00Z"], UTC, [AT(2024, 1, 31, 13, tzinfo=dt.UTC)]),
        (["2024-01-31 13:00:00+02:00"], UTC, [AT(2024, 1, 31, 11, tzinfo=dt.UTC)]),
        (["31.01.2024 13:00"], US, [AT(2024, 1, 31, 13)]),
        (["1.2.2024"], pa.date32(), [dt.date(2024, 2, 1)]),
        (["31/01/2024", "01/02/2024"], pa.date32(), [dt.date(2024, 1, 31), dt.date(2024, 2, 1)]),
        (["12/31/2024 1:00", "01/02/2024 2:00"], US, [AT(2024, 12, 31, 1), AT(2024, 1, 2, 2)]),
        (["05/05/2024"], pa.date32(), [dt.date(2024, 5, 5)]),
        (["2024-01-31 13:00:00", ""], US, [AT(2024, 1, 31, 13), None]),
    ],
)
def test_timestamp_column(tmp_path: Path, texts: list[str], kind: pa.DataType, expected: list[Any]) -> None:
    csv = read(tmp_path, "t,v\n" + "".join(f"{text},1\n" for text in texts), "t")
    assert csv.schema.field("t").type == kind
    assert csv.column("t").to_pylist() == expected
    nullable = [text or None for text in texts]
    columns = {"v": [1] * len(texts), "t": pa.array(nullable, pa.large_string())}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_table(str(tmp_path / "t.parquet"), timestamp_col="t")
    assert table.schema == read_schema(str(tmp_path / "t.parquet"), timestamp_col="t")
    assert table.column("t").to_pylist() == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["2024-01-31 13:00", "soon", "2024-02-30 00:00", "", "x", "y"],
            "column 't': 4 of 6 values are not timestamps (row 2: 'soon', row 3: '2024-02-30 00:00', row 5: 'x', ...); "
            "expected values like 2024-01-31 13:00:00",
        ),
        (["01/02/2024", "03/04/2024"], "'01/02/2024' can be read day-first or month-first; write dates as 2024-01-31"),
        (
            ["2024-01-31 13:00:00Z", "2024-01-31 14:00:00"],
            "only some values have a UTC offset; write all values with one, or none",
        ),
        (["infinity", "epoch"], "2 of 2 values are not timestamps"),
        (["13", "14a"], "2 of 2 values are not timestamps"),
        (["31/12/2024", "12/31/2024"], "1 of 2 values is not a timestamp"),
    ],
)
def test_timestamp_column_refused(tmp_path: Path, texts: list[str], message: str) -> None:
    uri = write(tmp_path, "data.csv", "t,v\n" + "".join(f"{text},1\n" for text in texts))
    assert message in refusal(uri, "t")


def test_dates_beside_the_timestamp_column_are_not_guessed(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b,c\n2024-01-31,01/02/2024,2024-01-31\n2024-02-01,02/02/2024,later\n")
    assert table.schema.types == [pa.date32(), pa.string(), pa.string()]


def test_a_timestamp_column_that_is_not_text_stays(tmp_path: Path) -> None:
    assert read(tmp_path, "t\n1704067200\n", "t").schema.types == [pa.int64()]
    assert read(tmp_path, "v\n1\n", "absent").schema.types == [pa.int64()]
    assert read(tmp_path, "t,v\n,1\n,2\n", "t").schema.types == [US, pa.int64()]


def days(pattern: str, first: str, count: int, step: int = 1) -> list[str]:
    start = dt.date.fromisoformat(first)
    return [(start + dt.timedelta(step * day)).strftime(pattern) for day in range(count)]


def hours(pattern: str, first: str, count: int) -> list[str]:
    return [(AT.fromisoformat(first) + dt.timedelta(hours=hour)).strftime(pattern) for hour in range(count)]


@pytest.mark.parametrize(
    ("texts", "first", "last"),
    [
        (days("%y-%m-%d", "2024-01-14", 25), "2024-01-14", "2024-02-07"),  # 24-01-14 could be 24 January 2014
        (days("%d.%m.%y", "2024-01-14", 25), "2024-01-14", "2024-02-07"),
        (days("%y/%m/%d", "2001-02-01", 40), "2001-02-01", "2001-03-12"),
        (days("%m/%d/%y", "2001-02-01", 12, 31), "2001-02-01", "2002-01-08"),
        (days("%y.%m.%d", "2024-01-14", 25)[::-1], "2024-02-07", "2024-01-14"),
        (hours("%d.%m.%y %H:%M", "2024-01-14", 72), "2024-01-14", "2024-01-16 23:00"),
        (hours("%y-%m-%d %H:%M", "2024-01-01", 72), "2024-01-01", "2024-01-03 23:00"),
        (hours("%d/%m/%y %H:%M", "2001-02-01", 72), "2001-02-01", "2001-02-03 23:00"),
        (days("%y-%m-%d", "2023-11-01", 92) * 2, "2023-11-01", "2024-01-31"),  # two entities, one after the other
    ],
)
def test_order_and_spacing_tell_where_a_short_year_is(tmp_path: Path, texts: list[str], first: str, last: str) -> None:
    found = read(tmp_path, "t,v\n" + "".join(f"{text},1\n" for text in texts), "t").column("t").to_pylist()
    assert [str(found[0]), str(found[-1])] == [
        str(AT.fromisoformat(end)) if ":" in texts[0] else end for end in (first, last)
    ]


@pytest.mark.parametrize(
    ("texts", "ways"),
    [
        (["24-01-14"], "dd-MM-yy or yy-MM-dd"),
        (["01/02/03"], "dd/MM/yy, MM/dd/yy or yy/MM/dd"),
        (days("%y-%m-%d", "2024-01-01", 31), "dd-MM-yy or yy-MM-dd"),  # or 24 January of 31 years
        (days("%d.%m.%y", "2024-01-01", 31), "dd.MM.yy or yy.MM.dd"),
        (days("%d/%m/%y", "2003-02-01", 12), "dd/MM/yy, MM/dd/yy or yy/MM/dd"),
        (hours("%d.%m.%y %H:%M", "2024-01-14", 24), "dd.MM.yy HH:mm or yy.MM.dd HH:mm"),
    ],
)
def test_a_short_year_that_nothing_tells_is_refused(tmp_path: Path, texts: list[str], ways: str) -> None:
    uri = write(tmp_path, "data.csv", "t,v\n" + "".join(f"{text},1\n" for text in texts))
    assert f"column 't': {texts[0]!r} can be read as {ways}, and the other values do not tell;" in refusal(uri, "t")


@pytest.mark.parametrize(
    "texts",
    [["01.01.2024 23:00", "01.01.2024 24:00"], ["2024-01-01 23:00", "2024-01-01T24:00"],
     ["01/31/24 23:00:00", "01/31/24 24:00:00"]],
)  # fmt: skip
def test_24_00_is_the_midnight_after(tmp_path: Path, texts: list[str]) -> None:
    last, midnight = read(tmp_path, "t,v\n" + "".join(f"{text},1\n" for text in texts), "t").column("t").to_pylist()
    assert midnight - last == dt.timedelta(hours=1)
    assert (midnight.hour, midnight.day) == (0, 1 if "31" in texts[0] else 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1990Q4", dt.date(1990, 10, 1)), ("1990-Q1", dt.date(1990, 1, 1)), ("Q2 1990", dt.date(1990, 4, 1)),
        ("2021-W01", dt.date(2021, 1, 4)), ("2020-W53", dt.date(2020, 12, 28)), ("2020-W53-7", dt.date(2021, 1, 3)),
        ("2024-366", dt.date(2024, 12, 31)), ("01.02.2024 00:15 - 01.02.2024 00:30", AT(2024, 2, 1, 0, 15)),
        ("2024-02-01 00:15 - 00:30", AT(2024, 2, 1, 0, 15)),
    ],
)  # fmt: skip
def test_shapes_that_no_pattern_has_are_told_with_the_expression_that_reads_them(
    tmp_path: Path, text: str, expected: dt.date
) -> None:
    said = refusal(write(tmp_path, "data.csv", f"the t,v\n{text},1\n{text},2\n"), "the t")
    written = re.search(r"write `(\* REPLACE \(.*\))` in a select_expression", said)
    assert written, said
    table = pa.table({"the t": [f" {text}"]})
    found = sql.select(table, [written.group(1)], as_of=dt.date(2024, 1, 1), timezone="UTC")
    assert found["the t"].to_pylist() == [expected]


def test_a_few_rows_of_another_kind_are_told_how_to_be_left_out(tmp_path: Path) -> None:
    uri = write(
        tmp_path, "data.csv", "t,v\n" + "".join(f"{d},1\n" for d in days("%Y-%m-%d", "2024-01-01", 30)) + "Total,9\n"
    )
    said = refusal(uri, "t")
    assert "1 of 31 values is not a timestamp (row 31: 'Total'); correct it, or leave such rows out: write " in said
    assert "missing_values: ['Total'] at the input, and a filter that the column IS NOT NULL" in said
