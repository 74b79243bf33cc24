"""Reading: the real files, small hand-made ones, and what each unreadable one is told."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.tables import parquet as parquet_files
from lstm_pipeline.tables.reading import open_source, read_schema, read_table

DATA = Path(os.environ.get("LSTM_PIPELINE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets in {DATA}; set LSTM_PIPELINE_DATA")

US = pa.timestamp("us")
UTC = pa.timestamp("us", "UTC")


def write(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def read(folder: Path, text: str | bytes, timestamp_col: str | None = None, name: str = "data.csv") -> pa.Table:
    uri = write(folder, name, text)
    table = read_table(uri, timestamp_col=timestamp_col)
    assert read_schema(uri, timestamp_col=timestamp_col) == table.schema
    return table


def refusal(uri: str | Path, timestamp_col: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_table(str(uri), timestamp_col=timestamp_col)
    with pytest.raises(DataError) as again:
        read_schema(str(uri), timestamp_col=timestamp_col)
    assert str(again.value) == str(caught.value)
    assert str(caught.value).startswith((str(uri).split("*")[0], "the URI"))
    return str(caught.value)


# --- real files ------------------------------------------------------------------------------------------------------


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
def test_real_files_of_two_kinds_of_columns_are_no_set() -> None:
    message = refusal(f"{DATA}/*.csv")
    assert "beijing_pm25.csv: not the columns of ETTh1.csv: it lacks ['HUFL'" in message


# --- CSV -------------------------------------------------------------------------------------------------------------


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
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 values, the first line names 2 columns"),
        ("a,b\n1,2\n1\n", "line 3 has 1 values, the first line names 2 columns"),
        ('a,b\n"x,1\n2,3\n', "is a quote open, or the text not UTF-8?"),
        ("a,b,a\n1,2,3\n", "column name 'a' is there twice (first as 'a')"),
        ("date,b,Date\n1,2,3\n", "column name 'Date' is there twice (first as 'date')"),
        (",b\n1,2\n", "column 1 has no name (a pandas index? write with index=False)"),
        ("a,b\nä,1\n".encode("latin-1"), "not UTF-8"),
        ("ä,b\n1,1\n".encode("latin-1"), "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
    ],
)
def test_csv_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refusal(write(tmp_path, "data.csv", text))


def test_csv_that_is_no_gzip(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_text("a,b\n1,2\n")
    assert "data.csv.gz: cannot be read; is it complete, and of the kind its name says?" in refusal(
        tmp_path / "data.csv.gz"
    )


# --- timestamps ------------------------------------------------------------------------------------------------------

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
            "column 't': 4 of 6 values are no timestamps (row 2: 'soon', row 3: '2024-02-30 00:00', row 5: 'x', ...); "
            "expected such as 2024-01-31 13:00:00",
        ),
        (["01/02/2024", "03/04/2024"], "is '01/02/2024' day-first or month-first? Write dates as 2024-01-31"),
        (["2024-01-31 13:00:00Z", "2024-01-31 14:00:00"], "only some times have an offset from UTC"),
        (["infinity", "epoch"], "2 of 2 values are no timestamps"),
        (["13", "14a"], "2 of 2 values are no timestamps"),
        (["31/12/2024", "12/31/2024"], "1 of 2 values are no timestamps"),
    ],
)
def test_timestamp_column_refused(tmp_path: Path, texts: list[str], message: str) -> None:
    uri = write(tmp_path, "data.csv", "t,v\n" + "".join(f"{text},1\n" for text in texts))
    assert message in refusal(uri, "t")


def test_dates_beside_the_timestamp_column_are_not_guessed(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b,c\n2024-01-31,01/02/2024,2024-01-31\n2024-02-01,02/02/2024,later\n")
    assert table.schema.types == [pa.date32(), pa.string(), pa.string()]


def test_a_timestamp_column_that_is_no_text_stays(tmp_path: Path) -> None:
    assert read(tmp_path, "t\n1704067200\n", "t").schema.types == [pa.int64()]
    assert read(tmp_path, "v\n1\n", "absent").schema.types == [pa.int64()]
    assert read(tmp_path, "t,v\n,1\n,2\n", "t").schema.types == [US, pa.int64()]


# --- sets of files ---------------------------------------------------------------------------------------------------


def parquet(folder: Path, name: str, **columns: Any) -> None:
    pq.write_table(pa.table(columns), folder / name)


def test_folder_of_parquet_in_the_order_of_names(tmp_path: Path) -> None:
    parquet(tmp_path, "part-2.parquet", b=["z"], a=[3])
    parquet(tmp_path, "part-1.PARQUET", a=[1, 2], b=["x", "y"])
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".part-0.parquet.crc").write_text("junk")
    for hidden in ("_old.parquet", ".part-0.parquet"):
        parquet(tmp_path, hidden, a=[0], b=["hidden"])
    (tmp_path / "README.md").write_text("not data")
    for uri in (str(tmp_path), f"{tmp_path}/", f"file://{tmp_path}", f"{tmp_path}/part-*", f"{tmp_path}/*[tT]"):
        assert read_table(uri).to_pydict() == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
        assert read_schema(uri) == pa.schema([("a", pa.int64()), ("b", pa.string())])


def test_folder_of_csv_shares_types(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "d,a,b,c\n2024-01-01,1,,x\n")
    write(tmp_path, "2.csv.gz", "a,d,b,c\n2.5,2024-01-02,7,\n")
    write(tmp_path, "3.csv", "d,a,b,c\n")
    table = read_table(str(tmp_path), timestamp_col="d")
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    assert table.to_pydict() == {"d": days, "a": [1.0, 2.5], "b": [None, 7], "c": ["x", None]}
    assert table.schema.types == [pa.date32(), pa.float64(), pa.int64(), pa.string()]
    assert read_schema(str(tmp_path), timestamp_col="d") == table.schema


def test_names_with_pattern_characters_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("a[1].csv", "a1.csv", "b c;'\"?*.csv"):
        write(tmp_path, name, f"name\n{name.replace(chr(34), '')}\n")
    assert read_table(str(tmp_path / "a[1].csv")).to_pydict() == {"name": ["a[1].csv"]}
    assert read_table(str(tmp_path / "b c;'\"?*.csv")).num_rows == 1
    assert read_table(str(tmp_path / "a[0-9].csv")).to_pydict() == {"name": ["a1.csv"]}


def test_another_file_system(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/reading-test/in/1.csv", b"a,t\n1,2024-01-01 01:00\n")
    memory.pipe("/reading-test/in/2.csv.gz", gzip.compress(b"a,t\n2,2024-01-01 02:00\n"))
    parquet(tmp_path, "p.parquet", a=[1], t=["2024-01-01 01:00"])
    memory.pipe("/reading-test/p.parquet", (tmp_path / "p.parquet").read_bytes())
    try:
        assert read_table("memory:///reading-test/in", timestamp_col="t").column("a").to_pylist() == [1, 2]
        assert read_table("memory:///reading-test/in/*.csv").column("a").to_pylist() == [1]
        table = read_table("memory:///reading-test/p.parquet", timestamp_col="t")
        assert table.schema == pa.schema([("a", pa.int64()), ("t", US)])
        assert read_schema("memory:///reading-test/p.parquet", timestamp_col="t") == table.schema
        assert "memory:///reading-test/q.parquet: no such file or folder; nearest: p.parquet" in refusal(
            "memory:///reading-test/q.parquet"
        )
    finally:
        memory.rm("/reading-test", recursive=True)


def test_parquet_types_stay(tmp_path: Path) -> None:
    columns = {
        "t": pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
        "i": pa.array([1, None], pa.int16()),
        "f": pa.array([1.5, None], pa.float32()),
        "c": pa.array(["x", None]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.pq")
    assert read_table(str(tmp_path / "a.pq")).schema == pa.table(columns).schema


def test_sets_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}: no .parquet, .pq, .csv, .csv.gz file in this folder" in refusal(tmp_path)
    (tmp_path / "year=2024").mkdir()
    assert "it has 1 sub-folders, name one or use a glob" in refusal(tmp_path)
    assert "nothing matches the pattern" in refusal(tmp_path / "*.parquet")
    write(tmp_path, "sales.csv", "a\n1\n")
    assert refusal(tmp_path / "sale.csv") == f"{tmp_path}/sale.csv: no such file or folder; nearest: sales.csv"
    parquet(tmp_path, "a.parquet", a=[1])
    assert "files of different kinds (1 CSV, 1 Parquet); keep one kind, or name it by a glob" in refusal(tmp_path)
    write(tmp_path, "notes.txt", "a\n1\n")
    expected = f"{tmp_path}/notes.txt: unknown kind of file; expected a name that ends in one of .parquet, .pq, .csv"
    assert expected in refusal(tmp_path / "notes.txt")
    assert expected in refusal(tmp_path / "*.*")
    assert "Unsupported filesystem: 'foo'" in refusal("foo://bucket/x.csv")
    assert "the URI is empty" in refusal("")


def test_parquet_sets_refused(tmp_path: Path) -> None:
    parquet(tmp_path, "1.parquet", a=[1], b=[1.5])
    parquet(tmp_path, "2.parquet", a=["x"], b=[1.5])
    assert "column 'a' is int64 in 1.parquet but string in 2.parquet; write the files with one type" in refusal(
        tmp_path
    )
    parquet(tmp_path, "2.parquet", a=[1], c=[1.5])
    assert "2.parquet: not the columns of 1.parquet: it lacks ['b'] and has ['c'] besides" in refusal(tmp_path)
    parquet(tmp_path, "2.parquet", a=[1])
    assert "2.parquet: not the columns of 1.parquet: it lacks ['b']" in refusal(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"PAR1 torn off")
    assert "cannot be read; is it complete, and of the kind its name says?" in refusal(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("names", [["a", "a"], ["date", "DATE"], ["a", ""]])
def test_parquet_names_refused(tmp_path: Path, names: list[str]) -> None:
    pq.write_table(pa.table([[1], [2]], names=names), tmp_path / "a.parquet")
    message = "column 2 has no name" if "" in names else f"column name {names[1]!r} is there twice"
    assert message in refusal(tmp_path / "a.parquet")


def test_csv_sets_refused(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a,b\n1,2\n")
    write(tmp_path, "2.csv", "a,b\nx,2\n")
    message = refusal(tmp_path)
    assert "column 'a' has types that do not go together: int64 in 1.csv, string in 2.csv" in message
    write(tmp_path, "2.csv", "a,c\n1,2\n")
    assert "2.csv: not the columns of 1.csv: it lacks ['b'] and has ['c'] besides" in refusal(tmp_path)


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "not allowed to read it" in refusal(path)


# --- columns and rows ------------------------------------------------------------------------------------------------

ROWS = 3000
WIDE = pa.table(
    {
        "day": [dt.date(2020, 1, 1) + dt.timedelta(row) for row in range(ROWS)],
        **{f"v{number}": [float(hash((number, row)) % 99_991) for row in range(ROWS)] for number in range(20)},
        "pm2.5": [row % 7 for row in range(ROWS)],
        "pm2": [{"5": row} for row in range(ROWS)],
        "text": pa.array([str(row) for row in range(ROWS)]).dictionary_encode(),
        "list": [[row] * (row % 3) for row in range(ROWS)],
    }
)
LATE = pc.field("day") >= dt.date(2027, 1, 1)
CHOICES: list[tuple[list[str] | None, pc.Expression | None]] = [
    (None, None), (["v3", "day"], None), (["pm2.5"], None), (["pm2", "list", "text"], None), (None, LATE),
    (["v19", "day"], LATE), (["v1"], LATE), (["day"], pc.field("day") > dt.date(2999, 1, 1)), (["v1", "absent"], None),
]  # fmt: skip


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int, int]]]:
    """Ranges asked of a file system that is not local, on which `WIDE` is in two files."""
    asked: list[tuple[str, int, int]] = []
    original = MemoryFileSystem.cat_file

    def cat_file(self: MemoryFileSystem, path: str, start: int, end: int, **options: Any) -> bytes:
        asked.append((path.rsplit("/", 1)[-1], start, end))
        return bytes(original(self, path, start=start, end=end, **options))

    memory = fsspec.filesystem("memory")
    for name, part in (("1.parquet", WIDE.slice(0, 2000)), ("2.parquet", WIDE.slice(2000))):
        with memory.open(f"/wide/{name}", "wb") as file:
            pq.write_table(part, file, row_group_size=500)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    yield asked
    memory.rm("/wide", recursive=True)


def expected(columns: list[str] | None, where: pc.Expression | None) -> pa.Table:
    rows = WIDE if where is None else WIDE.filter(where)
    return rows.select([name for name in WIDE.column_names if columns is None or name in columns])


@pytest.mark.parametrize(("columns", "where"), CHOICES)
def test_columns_and_rows(
    tmp_path: Path, fetched: list[tuple[str, int, int]], columns: list[str] | None, where: pc.Expression | None
) -> None:
    pq.write_table(WIDE, tmp_path / "wide.parquet", row_group_size=500)
    for uri in (str(tmp_path), "memory:///wide", "memory:///wide/*.parquet"):
        assert read_table(uri, columns=columns, where=where).equals(expected(columns, where))


@pytest.mark.parametrize(
    ("tail", "gap", "longest", "block"),
    [(1, 0, 100, 1), (100, 10_000, 1000, 5000), (10**6, 0, 10**6, 10**6), (1 << 16, 0, 10**6, 10**4)],
)
def test_however_the_ranges_are_cut(
    fetched: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch, tail: int, gap: int, longest: int, block: int
) -> None:
    for name, value in (("_TAIL", tail), ("_GAP", gap), ("_LONGEST", longest), ("_BLOCK", block)):
        monkeypatch.setattr(parquet_files, name, value)
    for columns, where in CHOICES:
        assert read_table("memory:///wide", columns=columns, where=where).equals(expected(columns, where))


def test_no_byte_is_fetched_that_is_not_needed(
    fetched: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(parquet_files, "_TAIL", 1 << 16)
    monkeypatch.setattr(parquet_files, "_GAP", 0)
    source = open_source("memory:///wide")
    sizes = {name: memory.size(f"/wide/{name}") for name in ("1.parquet", "2.parquet")}
    assert fetched == [(name, size - (1 << 16), size) for name, size in sizes.items()]
    fetched.clear()
    assert source.read(columns=["day", "v7"], where=LATE).num_rows == 443
    assert {name for name, _, _ in fetched} == {"2.parquet"}
    assert len(fetched) == 2  # day and v7 of one of the six row groups
    group = pq.read_metadata(memory.open("/wide/2.parquet")).row_group(1)
    assert sum(end - start for _, start, end in fetched) == sum(
        group.column(number).total_compressed_size for number in (0, 8)
    )


def test_a_small_file_is_fetched_once(fetched: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "_TAIL", 1 << 20)
    assert read_table("memory:///wide", columns=["v2", "list"]).num_rows == ROWS
    assert [name for name, _, _ in fetched] == ["1.parquet", "2.parquet"]


def test_a_file_that_shrinks_while_it_is_read(fetched: list[tuple[str, int, int]]) -> None:
    source = open_source("memory:///wide/1.parquet")
    fsspec.filesystem("memory").pipe("/wide/1.parquet", b"PAR1")
    with pytest.raises(DataError, match=r"1\.parquet: cannot be read; .*\(.*1\.parquet has become shorter"):
        source.read()


def test_a_file_that_is_replaced_while_it_is_read(fetched: list[tuple[str, int, int]]) -> None:
    source = open_source("memory:///wide")
    memory = fsspec.filesystem("memory")
    memory.pipe("/wide/0.parquet", b"a further one is no fault")
    assert source.read(columns=["v1"]).num_rows == ROWS
    memory.rm("/wide/0.parquet")
    content = memory.store["/wide/1.parquet"].getvalue()
    memory.pipe("/wide/1.parquet", content)  # whoever wrote it may have written anything
    with pytest.raises(DataError, match=r"^memory:///wide: it was replaced while being read; run again$"):
        source.read(columns=["v1"])
    assert open_source("memory:///wide").read(columns=["v1"]).num_rows == ROWS


def test_text_times_are_read_from_all_rows_whatever_is_asked_for(tmp_path: Path) -> None:
    parquet(tmp_path, "a.parquet", t=["01/02/2024", "13/02/2024"], v=[1, 2], w=[3, 4])
    for where in (None, pc.field("v") < 2):
        table = read_table(str(tmp_path), columns=["t", "v"], where=where, timestamp_col="t")
        assert table.to_pydict() == {"t": [dt.date(2024, 2, 1), dt.date(2024, 2, 13)], "v": [1, 2]}
    assert read_table(str(tmp_path), columns=["t"], timestamp_col="t").num_rows == 2
    assert read_table(str(tmp_path), columns=["w"], timestamp_col="t").to_pydict() == {"w": [3, 4]}


def test_csv_gives_the_columns_and_all_rows(tmp_path: Path) -> None:
    uri = write(tmp_path, "data.csv", "a,b,c\n1,2,3\n4,5,6\n")
    assert read_table(uri, columns=["c", "a"], where=pc.field("a") > 1).to_pydict() == {"a": [1, 4], "c": [3, 6]}


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    parquet(tmp_path / "real", "a.parquet", a=[1])
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "real" / "a.parquet")
    (tmp_path / "broken.parquet").symlink_to(tmp_path / "nowhere")
    for uri in ("folder", "link.parquet", "link.*", "folder/*.parquet"):
        assert read_table(str(tmp_path / uri)).to_pydict() == {"a": [1]}
    assert "no such file or folder" in refusal(tmp_path / "broken.parquet")


# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("ab,;\t\n\r\"'#1.5-/: NA\\", max_size=60).map(str.encode)))
def test_any_bytes_give_a_table_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.csv", "a.csv.gz", "a.parquet"):
        (folder / name).write_bytes(data)
        try:
            table = read_table(str(folder / name), timestamp_col="a")
        except DataError:
            continue
        assert len({column.lower() for column in table.column_names}) == table.num_columns >= 1


CELLS = st.one_of(st.none(), st.integers(-(2**53), 2**53))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(CELLS, st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))), min_size=1))
def test_numbers_survive_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, Any]]) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    lines = "".join(f"{'' if a is None else a},{'' if b is None else repr(b)},k\n" for a, b in rows)
    table = read(folder, f"a,b,key\n{lines}")
    assert table.column("a").to_pylist() == [a for a, _ in rows]
    assert table.column("b").to_pylist() == [b for _, b in rows]
