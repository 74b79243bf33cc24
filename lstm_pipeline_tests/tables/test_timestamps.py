"""Timestamps stored as text: what is recognised, and what is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.tables.reading import read_schema, read_table
from lstm_pipeline_tests.tables.files import US, UTC, read, refusal, write

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
