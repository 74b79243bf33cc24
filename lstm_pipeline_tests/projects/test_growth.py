"""What a look at an input finds, and what it reads for that."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import s3fs

from lstm_pipeline.errors import DataError
from lstm_pipeline.projects import growth
from lstm_pipeline.projects.growth import InputState, input_state
from lstm_pipeline.projects.inputs import recent_training_input, training_input
from lstm_pipeline.projects.project import Project
from lstm_pipeline.projects.provenance import provenance_of, with_provenance
from lstm_pipeline.registry.records import InputRecord
from lstm_pipeline_tests.mill import AS_OF, filtered, mill_spec, mill_table, project_of, selected
from lstm_pipeline_tests.storage.servers import forget_clients, rclone_server, running, use


def project_at(folder: Path, uri: str, **spec: Any) -> Project:
    return project_of(folder, {**mill_spec(), "catalog": {"mill-features": uri}, **spec})


def look(project: Project, before: InputState | None = None) -> InputState:
    return input_state(project, project.spec.model_metadata, before and before.seen)


def part(first: str, rows: int = 10) -> pa.Table:
    return mill_table(rows, first)


def write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(table, path)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("uri", ["parts", "parts/*.{}", "parts/a.{}"])
def test_rows_and_times_of_a_file_a_folder_and_a_glob(tmp_path: Path, uri: str, ending: str) -> None:
    (tmp_path / "parts").mkdir()
    write = pq.write_table if ending == "parquet" else write_csv
    names = ["a"] if "a." in uri else ["a", "b"]
    for name, first in zip(names, ("2024-01-01", "2024-01-11"), strict=False):
        write(part(first), tmp_path / "parts" / f"{name}.{ending}")
    found = look(project_at(tmp_path, uri.format(ending)))
    last = "2024-01-10" if len(names) == 1 else "2024-01-20"
    assert (found.rows, found.files) == (10 * len(names), len(names))
    assert (found.oldest, found.newest) == ("2024-01-01T00:00:00.000000", f"{last}T00:00:00.000000")
    assert found.bytes_read > 0


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_unchanged_files_are_not_opened(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    write = pq.write_table if ending == "parquet" else write_csv
    write(part("2024-01-01"), folder / f"a.{ending}")
    write(part("2024-01-11"), folder / f"b.{ending}")
    project = project_at(tmp_path, "parts")
    first = look(project)
    opened = []
    read = growth.read_extents

    def noted(found: Any, reading: Any) -> Any:
        opened.append([file.name for file in found.files])
        return read(found, reading)

    monkeypatch.setattr(growth, "read_extents", noted)
    again = look(project, first)
    assert again == InputState(first.rows, first.oldest, first.newest, first.fingerprint, 2)
    assert (opened, again.bytes_read) == ([], 0)
    write(part("2024-01-21"), folder / f"c.{ending}")
    grown = look(project, again)
    assert (opened, grown.rows, grown.files) == ([[f"c.{ending}"]], 30, 3)
    assert grown.fingerprint != first.fingerprint
    (folder / f"a.{ending}").unlink()
    fewer = look(project, grown)
    assert (len(opened), fewer.rows, fewer.oldest) == (1, 20, "2024-01-11T00:00:00.000000")
    assert len(fewer.seen) == 2  # what is gone is forgotten


def test_a_file_that_is_written_anew_with_the_same_size_is_looked_at_again(tmp_path: Path) -> None:
    project = project_at(tmp_path, "one.csv")
    write_csv(part("2024-01-01"), tmp_path / "one.csv")
    first = look(project)
    write_csv(part("2023-01-01"), tmp_path / "one.csv")
    os.utime(tmp_path / "one.csv", (1, 1))
    again = look(project, first)
    assert (again.newest, again.bytes_read) == ("2023-01-10T00:00:00.000000", (tmp_path / "one.csv").stat().st_size)


STAMPS = [dt.datetime(2024, 1, 31, 13), dt.datetime(2024, 2, 1, 2, 30)]


@pytest.mark.parametrize(
    ("column", "newest"),
    [
        (pa.array(STAMPS, pa.timestamp("us")), "2024-02-01T02:30:00.000000"),
        (pa.array(STAMPS, pa.timestamp("ns")), "2024-02-01T02:30:00.000000"),
        (pa.array(STAMPS, pa.timestamp("ms", "Europe/Berlin")), "2024-02-01T02:30:00.000000"),  # given in UTC
        (pa.array(["2024-01-31 13:00", "2024-02-01 02:30"]), "2024-02-01T02:30:00.000000"),
        (pa.array(["31.01.2024", "1.2.2024"]), "2024-02-01T00:00:00.000000"),
        (pa.array(["soon", "later"]), None),
        (pa.nulls(2, pa.timestamp("us")), None),
        (pa.array([1, 2]), None),
    ],
)
@pytest.mark.parametrize("statistics", [True, False])
def test_timestamps_of_every_kind_with_and_without_statistics(
    tmp_path: Path, column: pa.Array, newest: str | None, statistics: bool
) -> None:
    table = pa.table({"load": [1.0, 2.0], "date": column})
    pq.write_table(table, tmp_path / "in.parquet", write_statistics=statistics, row_group_size=1)
    found = look(project_at(tmp_path, "in.parquet"))
    assert (found.rows, found.newest) == (2, newest)


def test_an_input_without_the_timestamp_column_has_rows_only(tmp_path: Path) -> None:
    table = mill_table(20).rename_columns(["day", "load", "heat", "parts", "wind", "note"])
    spec = mill_spec()
    spec["model_metadata"]["transformations"][0] = selected("features", "cleaned", "day AS date", "load")
    for name in ("in.parquet", "in.csv"):
        (pq.write_table if name.endswith("parquet") else write_csv)(table, tmp_path / name)
        found = look(project_at(tmp_path, name, model_metadata=spec["model_metadata"]))
        assert (found.rows, found.oldest, found.newest) == (20, None, None)


def test_files_without_rows_have_no_times_and_hide_none(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    pq.write_table(part("2024-01-01"), tmp_path / "parts" / "a.parquet")
    pq.write_table(part("2024-01-01", 0), tmp_path / "parts" / "b.parquet")
    found = look(project_at(tmp_path, "parts"))
    assert (found.rows, found.newest) == (10, "2024-01-10T00:00:00.000000")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.parquet", None, "no such file or folder"),
        ("broken.parquet", b"PAR1 and no more", "cannot be read"),
        ("empty.csv", b"", "the file is empty"),
        ("broken.csv", b'date,load\n2024-01-01,"1\n', "broken.csv"),
    ],
)
def test_an_input_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        look(project_at(tmp_path, name))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "buckets" / "bucket"
    folder.mkdir(parents=True)
    with running(rclone_server(tmp_path / "buckets", tmp_path / "log")) as server:
        use(server.endpoint, monkeypatch)
        yield folder
    forget_clients()


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_growth_on_s3(bucket: Path, tmp_path: Path, ending: str) -> None:
    write = pq.write_table if ending == "parquet" else write_csv
    store = s3fs.S3FileSystem(use_listings_cache=False)
    for name, first in (("a", "2024-01-01"), ("b", "2024-01-11")):
        write(part(first), tmp_path / f"{name}.{ending}")
    store.put(str(tmp_path / f"a.{ending}"), f"bucket/in/a.{ending}")
    project = project_at(tmp_path, "s3://bucket/in")
    first = look(project)
    assert (first.rows, first.newest) == (10, "2024-01-10T00:00:00.000000")
    assert look(project, first).bytes_read == 0
    store.put(str(tmp_path / f"b.{ending}"), f"bucket/in/b.{ending}")
    grown = look(project, first)
    size = (tmp_path / f"b.{ending}").stat().st_size
    assert (grown.rows, grown.newest, grown.bytes_read) == (20, "2024-01-20T00:00:00.000000", size)


# --- reading options -------------------------------------------------------------------------------------------------


def with_options(folder: Path, uri: str, **options: Any) -> Project:
    """A project that reads its training input with these options and no SQL."""
    spec = mill_spec()
    spec["model_metadata"]["inputs"]["features"].update(options)
    spec["model_metadata"]["transformations"][0] = filtered("true")
    return project_at(folder, uri, model_metadata=spec["model_metadata"])


def same_as_in_training(project: Project, rows: int, oldest: str, newest: str) -> InputState:
    """A look finds what training records, and a second one reads nothing."""
    state, record = look(project), provenance_of(training_input(project, AS_OF))
    assert (state.rows, state.oldest, state.newest) == (rows, f"{oldest}.000000", f"{newest}.000000")
    assert record is not None
    assert (record.rows, record.oldest, record.newest) == (state.rows, state.oldest, state.newest)
    again = look(project, state)
    assert (again, again.bytes_read) == (
        InputState(rows, state.oldest, state.newest, state.fingerprint, state.files),
        0,
    )
    return state


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_long_table_has_one_row_for_each_timestamp(tmp_path: Path, ending: str) -> None:
    days = [f"2024-01-0{day}" for day in (1, 2, 3) for _ in "ab"]
    long = pa.table({"date": days, "well": ["a", "b"] * 3, "oil": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    (pq.write_table if ending == "parquet" else write_csv)(long, tmp_path / f"in.{ending}")
    project = with_options(tmp_path, f"in.{ending}", pivot={"entity": "well", "values": ["oil"]})
    same_as_in_training(project, 3, "2024-01-01T00:00:00", "2024-01-03T00:00:00")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_without_timestamps_have_those_of_the_spec(tmp_path: Path, ending: str) -> None:
    (tmp_path / "parts").mkdir()
    for name in "ab":
        table = pa.table({"load": [1.0, 2.0, 3.0]})
        (pq.write_table if ending == "parquet" else write_csv)(table, tmp_path / "parts" / f"{name}.{ending}")
    project = with_options(tmp_path, "parts", timestamps={"start": "2017-01-01 06:00", "frequency": "h"})
    same_as_in_training(project, 6, "2017-01-01T06:00:00", "2017-01-01T11:00:00")


def test_files_that_only_together_tell_the_order_of_day_and_month(tmp_path: Path) -> None:
    """The first file alone could be February to April, or the 2nd of months."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.csv").write_text("date,load\n02/01/2024,1\n03/01/2024,2\n")
    (tmp_path / "parts" / "b.csv").write_text("date,load\n30/01/2024,3\n31/01/2024,4\n")
    state = same_as_in_training(with_options(tmp_path, "parts"), 4, "2024-01-02T00:00:00", "2024-01-31T00:00:00")
    (tmp_path / "parts" / "c.csv").write_text("date,load\n01/02/2024,5\n")
    grown = look(with_options(tmp_path, "parts"), state)
    assert (grown.rows, grown.newest, grown.files) == (5, "2024-02-01T00:00:00.000000", 3)


def test_two_digit_years_of_one_row_are_not_read_alone(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, day in (("a", "24-01-14"), ("b", "24-01-15"), ("c", "24-02-01")):
        (tmp_path / "parts" / f"{name}.csv").write_text(f"date,load\n{day},1\n")
    same_as_in_training(with_options(tmp_path, "parts"), 3, "2024-01-14T00:00:00", "2024-02-01T00:00:00")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("date;load\n05.01.2024;1,5\n06.02.2024;2,5\n;\n", {"decimal": ","}),
        ("date|load\n05.01.2024|1\n06.02.2024|?\n|\n", {"delimiter": "|", "missing_values": ["?"]}),
    ],
)
def test_csv_is_counted_as_its_options_read_it(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    """A row without any value is a row of the file, in both counts."""
    (tmp_path / "in.csv").write_text(text)
    project = with_options(tmp_path, "in.csv", timestamp_format="dd.MM.yyyy", **options)
    same_as_in_training(project, 3, "2024-01-05T00:00:00", "2024-02-06T00:00:00")


def test_other_options_make_other_extents_of_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("date,load\n01/02/2024,1\n02/02/2024,2\n")
    first = look(with_options(tmp_path, "in.csv", timestamp_format="dd/MM/yyyy"))
    second = look(with_options(tmp_path, "in.csv", timestamp_format="MM/dd/yyyy"), first)
    assert (first.newest, second.newest) == ("2024-02-02T00:00:00.000000", "2024-02-02T00:00:00.000000")
    assert (first.oldest, second.oldest) == ("2024-02-01T00:00:00.000000", "2024-01-02T00:00:00.000000")


# --- what a cleaned table was made from ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mill.parquet", "mill.csv"])
def test_a_cleaned_table_knows_its_whole_input_and_the_sql_it_went_through(tmp_path: Path, name: str) -> None:
    """The filter keeps 6 of 120 rows; what is compared later is the input."""
    spec = mill_spec()
    steps = [filtered("date  >= '2024-01-31'", output="late"), selected("late", "cleaned", "date", "load", "heat")]
    spec["model_metadata"]["transformations"][:1] = [*steps]
    (pq.write_table if name.endswith("parquet") else write_csv)(mill_table(), tmp_path / name)
    project = project_at(tmp_path, name, model_metadata=spec["model_metadata"])
    table, state = training_input(project, AS_OF), look(project)
    assert table.num_rows == 78
    assert provenance_of(table) == InputRecord(
        rows=120, oldest="2023-12-20T00:00:00.000000", newest="2024-04-17T00:00:00.000000",
        fingerprint=state.fingerprint, files=1,
        steps=["filter_with_condition: date >= '2024-01-31'", "select_expression: date, load, heat"],
    )  # fmt: skip
    assert (state.rows, state.oldest, state.newest) == (120, "2023-12-20T00:00:00.000000", "2024-04-17T00:00:00.000000")


def test_a_record_in_a_table_that_was_changed_by_others_is_none() -> None:
    table = mill_table(3)
    assert provenance_of(table) is None
    assert provenance_of(table.replace_schema_metadata({b"lstm_pipeline/input": b'{"rows": -1}'})) is None
    record = InputRecord(rows=3, oldest=None, newest=None, fingerprint="x", files=1)
    marked = with_provenance(table.replace_schema_metadata({b"other": b"kept"}), record)
    assert (provenance_of(marked), marked.schema.metadata[b"other"]) == (record, b"kept")


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")])
def test_only_recent_rows_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    table = mill_table()
    table = table.set_column(0, "date", table["date"].cast(pa.timestamp("us")).cast(kind))
    pq.write_table(table, tmp_path / "mill.parquet")
    project = project_at(tmp_path, "mill.parquet")
    recent = recent_training_input(project, AS_OF, dt.datetime(2024, 4, 8))
    assert recent.equals(training_input(project, AS_OF).slice(110))
