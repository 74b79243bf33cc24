"""Reading: sets of files, other file systems, columns and rows, and the message for each one that is refused."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import os
from collections import Counter
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
from lstm_pipeline.tables.reading import open_source, read_table
from lstm_pipeline_tests.tables.files import US, parquet, read_schema, refusal, write

# --- sets of files ----------------------------------------------------------------------------------------------------


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
        assert "memory:///reading-test/q.parquet: no such file or folder. Did you mean 'p.parquet'?" in refusal(
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
    assert f"{tmp_path}: no .parquet, .pq, .csv or .csv.gz file in this folder" in refusal(tmp_path)
    (tmp_path / "year=2024").mkdir()
    assert "it contains 1 sub-folder: name one of them or use a glob" in refusal(tmp_path)
    assert "no file matches the pattern" in refusal(tmp_path / "*.parquet")
    write(tmp_path, "sales.csv", "a\n1\n")
    assert refusal(tmp_path / "sale.csv") == f"{tmp_path}/sale.csv: no such file or folder. Did you mean 'sales.csv'?"
    (tmp_path / "plant.yaml").write_text("name: plant")
    assert refusal(tmp_path / "plant.csv") == f"{tmp_path}/plant.csv: no such file or folder"  # a spec is no input
    parquet(tmp_path, "a.parquet", a=[1])
    assert "expected files of one kind, found 1 CSV, 1 Parquet; remove one kind or select it with a glob" in refusal(
        tmp_path
    )
    write(tmp_path, "notes.txt", "a\n1\n")
    expected = f"{tmp_path}/notes.txt: unknown file type; expected a name that ends in .parquet, .pq, .csv or .csv.gz"
    assert expected in refusal(tmp_path / "notes.txt")
    assert expected in refusal(tmp_path / "*.*")
    assert "Unsupported filesystem: 'foo'" in refusal("foo://bucket/x.csv")
    assert "the URI is empty" in refusal("")


def test_parquet_sets_refused(tmp_path: Path) -> None:
    parquet(tmp_path, "1.parquet", a=[1], b=[1.5])
    parquet(tmp_path, "2.parquet", a=["x"], b=[1.5])
    assert (
        "column 'a' is int64 in 1.parquet but string in 2.parquet; write it with the same type in all files"
        in refusal(tmp_path)
    )
    parquet(tmp_path, "2.parquet", a=[1], c=[1.5])
    assert "2.parquet: expected the same columns as in 1.parquet; missing: b; unexpected: c" in refusal(tmp_path)
    parquet(tmp_path, "2.parquet", a=[1])
    assert "2.parquet: expected the same columns as in 1.parquet; missing: b" in refusal(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"PAR1 torn off")
    assert "cannot be read; check that the file is complete and that its extension is right" in refusal(tmp_path)
    (tmp_path / "2.parquet").write_bytes(b"")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("names", [["a", "a"], ["date", "DATE"], ["a", ""]])
def test_parquet_names_refused(tmp_path: Path, names: list[str]) -> None:
    pq.write_table(pa.table([[1], [2]], names=names), tmp_path / "a.parquet")
    message = "column 2 has no name" if "" in names else f"column name {names[1]!r} appears twice"
    assert message in refusal(tmp_path / "a.parquet")


def test_csv_sets_refused(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a,b\n1,2\n")
    write(tmp_path, "2.csv", "a,b\nx,2\n")
    message = refusal(tmp_path)
    assert "column 'a' must have one type in all files, found int64 in 1.csv, string in 2.csv" in message
    write(tmp_path, "2.csv", "a,c\n1,2\n")
    assert "2.csv: expected the same columns as in 1.csv; missing: b; unexpected: c" in refusal(tmp_path)


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user can read every file")
    assert "permission denied" in refusal(path)


# --- columns and rows -------------------------------------------------------------------------------------------------

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


class Recorded(io.BytesIO):
    """A file that records which ranges are read."""

    def __init__(self, name: str, content: bytes, ranges: list[tuple[str, int, int]]) -> None:
        super().__init__(content)
        self._name, self._ranges = name, ranges

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()
        data = super().read(size)
        self._ranges.append((self._name, start, start + len(data)))
        return data


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int, int]]]:
    """The ranges read from a file system that is not local, on which `WIDE` is stored in two files."""
    ranges: list[tuple[str, int, int]] = []
    original = MemoryFileSystem.open

    def recording_open(self: MemoryFileSystem, path: str, mode: str = "rb", **options: Any) -> Any:
        file = original(self, path, mode, **options)
        return Recorded(path.rsplit("/", 1)[-1], file.getvalue(), ranges) if mode == "rb" else file

    memory = fsspec.filesystem("memory")
    for name, part in (("1.parquet", WIDE.slice(0, 2000)), ("2.parquet", WIDE.slice(2000))):
        with memory.open(f"/wide/{name}", "wb") as file:
            pq.write_table(part, file, row_group_size=500)
    monkeypatch.setattr(MemoryFileSystem, "open", recording_open)
    yield ranges
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


@pytest.mark.parametrize(("gap", "longest"), [(0, 100), (10_000, 100_000), (0, 10**6), (1 << 16, 1 << 16)])
def test_however_the_ranges_are_cut(
    fetched: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch, gap: int, longest: int
) -> None:
    monkeypatch.setattr(parquet_files, "_GAP", gap)
    monkeypatch.setattr(parquet_files, "_LONGEST", longest)
    for columns, where in CHOICES:
        assert read_table("memory:///wide", columns=columns, where=where).equals(expected(columns, where))


def test_only_the_bytes_that_are_needed_are_fetched(
    fetched: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(parquet_files, "_GAP", 0)
    source = open_source("memory:///wide")
    sizes = {name: memory.size(f"/wide/{name}") for name in ("1.parquet", "2.parquet")}
    assert fetched == [(name, size - (1 << 16), size) for name, size in sizes.items()]
    group = pq.read_metadata(memory.open("/wide/2.parquet")).row_group(1)
    fetched.clear()
    assert source.read(columns=["day", "v7"], where=LATE).num_rows == 443
    assert {name for name, _, _ in fetched} == {"2.parquet"}
    assert len(fetched) == 2  # day and v7 of one of the six row groups
    assert sum(end - start for _, start, end in fetched) == sum(
        group.column(number).total_compressed_size for number in (0, 8)
    )


def test_neighbouring_columns_are_fetched_together(fetched: list[tuple[str, int, int]]) -> None:
    assert read_table("memory:///wide", columns=["v2", "v3", "list"]).num_rows == ROWS
    # the footer; v2 and v3 of the first row group; list and the next group's v2 and v3, and so on; the last list
    assert Counter(name for name, _, _ in fetched) == {"1.parquet": 2 + 4, "2.parquet": 2 + 2}


def test_a_file_that_shrinks_while_it_is_read(fetched: list[tuple[str, int, int]]) -> None:
    source = open_source("memory:///wide/1.parquet")
    fsspec.filesystem("memory").pipe("/wide/1.parquet", b"PAR1")
    with pytest.raises(DataError, match=r"^memory:///wide/1\.parquet: a file was replaced during reading; run again$"):
        source.read()


def test_a_file_that_is_replaced_while_it_is_read(fetched: list[tuple[str, int, int]]) -> None:
    source = open_source("memory:///wide")
    memory = fsspec.filesystem("memory")
    memory.pipe("/wide/0.parquet", b"an additional file is not a fault")
    assert source.read(columns=["v1"]).num_rows == ROWS
    memory.rm("/wide/0.parquet")
    content = memory.store["/wide/1.parquet"].getvalue()
    memory.pipe("/wide/1.parquet", content)  # the same bytes, but the reader cannot know that
    with pytest.raises(DataError, match=r"^memory:///wide: a file was replaced during reading; run again$"):
        source.read(columns=["v1"])
    assert open_source("memory:///wide").read(columns=["v1"]).num_rows == ROWS


def test_timestamps_as_text_are_read_from_all_rows_whichever_are_needed(tmp_path: Path) -> None:
    parquet(tmp_path, "a.parquet", t=["01/02/2024", "13/02/2024"], v=[1, 2], w=[3, 4])
    for where in (None, pc.field("v") < 2):
        table = read_table(str(tmp_path), columns=["t", "v"], where=where, timestamp_col="t")
        assert table.to_pydict() == {"t": [dt.date(2024, 2, 1), dt.date(2024, 2, 13)], "v": [1, 2]}
    assert read_table(str(tmp_path), columns=["t"], timestamp_col="t").num_rows == 2
    assert read_table(str(tmp_path), columns=["w"], timestamp_col="t").to_pydict() == {"w": [3, 4]}


def test_csv_returns_the_columns_and_all_rows(tmp_path: Path) -> None:
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


# --- properties -------------------------------------------------------------------------------------------------------


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
