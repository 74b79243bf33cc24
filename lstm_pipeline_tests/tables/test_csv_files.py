"""CSV: real files, small hand-made ones, and the message for each one that is refused."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec import ReadingOptions
from lstm_pipeline.storage import unpacking
from lstm_pipeline.tables.reading import read_table
from lstm_pipeline_tests.tables.files import US, read, read_schema, refusal, write

DATA = Path(os.environ.get("LSTM_PIPELINE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets in {DATA}; set LSTM_PIPELINE_DATA")

# --- real files -------------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize(
    ("name", "timestamp_col", "rows", "types"),
    [
        ("energydata_complete.csv", "date", 19_735, [US, pa.int64(), pa.int64(), *[pa.float64()] * 26]),
        ("ETTh1.csv", "date", 17_420, [US, *[pa.float64()] * 7]),
        ("ETTm1.csv", "date", 69_680, [US, *[pa.float64()] * 7]),
        ("exchange_rate.csv", "date", 7_588, [US, *[pa.float64()] * 8]),
        (
            "bike_hour.csv",
            "dteday",
            17_379,
            [pa.int64(), pa.date32(), *[pa.int64()] * 8, *[pa.float64()] * 4, *[pa.int64()] * 3],
        ),
        (
            "metro_traffic.csv",
            "date_time",
            48_204,
            [pa.string(), *[pa.float64()] * 3, pa.int64(), pa.string(), pa.string(), US, pa.int64()],
        ),
        (
            "beijing_pm25.csv",
            None,
            43_824,
            [*[pa.int64()] * 7, pa.float64(), pa.float64(), pa.string(), pa.float64(), pa.int64(), pa.int64()],
        ),
    ],
)
def test_real_file(name: str, timestamp_col: str | None, rows: int, types: list[pa.DataType]) -> None:
    table = read_table(str(DATA / name), timestamp_col=timestamp_col)
    assert table.num_rows == rows
    assert table.schema.types == types
    assert read_schema(str(DATA / name), timestamp_col=timestamp_col) == table.schema


@needs_data
def test_real_values() -> None:
    energy = read_table(str(DATA / "energydata_complete.csv"), timestamp_col="date").slice(0, 1).to_pylist()[0]
    assert (energy["date"], energy["Appliances"], energy["T1"]) == (dt.datetime(2016, 1, 11, 17), 60, 19.89)
    assert energy["T6"] == 7.026666666669947 or energy["T6"] == 7.02666666666667
    rates = read_table(str(DATA / "exchange_rate.csv"), timestamp_col="date")
    assert rates.column_names == ["date", "0", "1", "2", "3", "4", "5", "6", "OT"]
    assert rates.column("date").to_pylist() == [dt.datetime(1990, 1, 1) + dt.timedelta(days=day) for day in range(7588)]
    pm = read_table(str(DATA / "beijing_pm25.csv")).column("pm2.5")
    assert (pm.null_count, pm[0].as_py(), pm[24].as_py()) == (2067, None, 129)
    assert read_table(str(DATA / "metro_traffic.csv")).column("holiday")[0].as_py() == "None"


@needs_data
def test_real_files_with_different_columns_are_refused_as_a_set() -> None:
    message = refusal(f"{DATA}/*.csv")
    assert "beijing_pm25.csv: expected the same columns as in ETTh1.csv; missing: HUFL" in message


# --- small files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
        ("a;b\n1,5;x\n", {"a": ["1,5"], "b": ["x"]}),
        ("a\tb\n1\t2.5\n", {"a": [1], "b": [2.5]}),
        ("a|b\n1|2\n", {"a": [1], "b": [2]}),
        ("a,b\r\n1,2\r\n", {"a": [1], "b": [2]}),
        ("\ufeffa,b\n1,2\n", {"a": [1], "b": [2]}),
        ("a\n1\n2\n", {"a": [1, 2]}),
        ('"a","b"\n"  60"," 7.5"\n', {"a": [60], "b": [7.5]}),
        ('"a,1","b"\n"x,y","p\nq"\n', {"a,1": ["x,y"], "b": ["p\nq"]}),
        ('a,b\n"say ""hi""",1\n', {"a": ['say "hi"'], "b": [1]}),
        ("a,b\nNA,1\n2,\nNaN,NULL\n", {"a": [None, 2, None], "b": [1, None, None]}),
        ("a,b\n1,007\n2.5,012\n", {"a": [1.0, 2.5], "b": ["007", "012"]}),
        ("a,b\ntrue,1\nfalse,2\n", {"a": [True, False], "b": [1, 2]}),
        ("a,b\n9223372036854775808,1\n", {"a": [9223372036854775808.0], "b": [1]}),
        ("#a,b\n#1,2\n", {"#a": ["#1"], "b": [2]}),
        ("a,b\n1,2\n\n3,4\n\n\n", {"a": [1, 3], "b": [2, 4]}),
        ("a,b\n", {"a": [], "b": []}),
        ("a,b", {"a": [], "b": []}),
        ("2020,2021\n1,2\n", {"2020": [1], "2021": [2]}),
        ("a,b\n01:02:03,x\n", {"a": ["01:02:03"], "b": ["x"]}),
    ],
)
def test_csv(tmp_path: Path, text: str, expected: dict[str, list[Any]]) -> None:
    assert read(tmp_path, text).to_pydict() == expected
    assert read(tmp_path, text, name="data.CSV.gz".lower()).to_pydict() == expected


def test_a_late_value_decides_the_type(tmp_path: Path) -> None:
    rows = "".join(f"{number}\n" for number in range(50_000))
    assert read(tmp_path, f"a\n{rows}0.5\n").schema.types == [pa.float64()]
    assert read(tmp_path, f"a\n{rows}late\n").schema.types == [pa.string()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; expected a first line with the column names"),
        ("\n\n", "the file is empty"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 values, but the first line names 2 columns"),
        ("a,b\n1,2\n1\n", "line 3 has 1 value, but the first line names 2 columns"),
        ('a,b\n"x,1\n2,3\n', "check for a quote that is not closed and for text that is not UTF-8"),
        ("a,b,a\n1,2,3\n", "column name 'a' appears twice (first as 'a'; case is ignored)"),
        ("date,b,Date\n1,2,3\n", "column name 'Date' appears twice (first as 'date'; case is ignored)"),
        (",b\n1,2\n", "column 1 has no name; if it is a pandas index, write the file with index=False"),
        ("a,b\nä,1\n".encode("latin-1"), "not UTF-8"),
        ("ä,b\n1,1\n".encode("latin-1"), "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
    ],
)
def test_csv_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refusal(write(tmp_path, "data.csv", text))


def test_csv_that_is_not_gzip(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_text("a,b\n1,2\n")
    assert "data.csv.gz: cannot be read; check that the file is complete and that its extension is right" in refusal(
        tmp_path / "data.csv.gz"
    )


# --- properties -------------------------------------------------------------------------------------------------------

CELLS = st.one_of(st.none(), st.integers(-(2**53), 2**53))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(CELLS, st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))), min_size=1))
def test_numbers_survive_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, Any]]) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    lines = "".join(f"{'' if a is None else a},{'' if b is None else repr(b)},k\n" for a, b in rows)
    table = read(folder, f"a,b,key\n{lines}")
    assert table.column("a").to_pylist() == [a for a, _ in rows]
    assert table.column("b").to_pylist() == [b for _, b in rows]


@pytest.mark.parametrize("options", [{}, {"encoding": "latin-1"}], ids=str)
def test_more_text_than_a_compressed_file_may_have_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.setattr(unpacking, "_ROOM", 10**6)
    text = "a,b\n" + "1,2\n" * 10**6
    right, path = write(tmp_path, "right.csv.gz", text[: 10**6]), write(tmp_path, "data.csv.gz", text)
    assert read_table(right, options=ReadingOptions(**options)).num_rows == 249_999
    with pytest.raises(
        DataError,
        match=r"data\.csv\.gz: expected at most 0\.001 GB of text in a compressed file of 0\.00\d+ MB, found more; if "
        r"that is right, unpack the file and use the \.csv",
    ):
        read_table(path, options=ReadingOptions(**options))
