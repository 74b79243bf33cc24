"""Shapes of files: long tables, files without a date, dates whose hour is elsewhere, newest first, nothing left."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lstm_pipeline.projects import checks
from lstm_pipeline.projects.inputs import training_input
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.tables import notes_of
from lstm_pipeline.tables.parquet import ParquetFiles
from lstm_pipeline.timeseries.series import build_series
from lstm_pipeline_tests.projects.real_files import AS_OF, complaints, daily, rows, small_project
from lstm_pipeline_tests.tables.test_csv_files import DATA, needs_data

WELLS = "date,well,oil,gas,note\n" + "".join(
    f"2024-01-{day:02d},{well},{10 * day + number},{day}.5,x\n"
    for day in range(1, 11)
    for number, well in enumerate(("B-2", "A 1"))
)

# --- long tables ------------------------------------------------------------------------------------------------------


def test_a_long_table_becomes_one_column_per_value_and_entity(tmp_path: Path) -> None:
    table = rows(small_project(tmp_path, WELLS, pivot={"entity": "well", "values": ["oil", "gas"]}))
    assert table.column_names == ["date", "oil_A 1", "oil_B-2", "gas_A 1", "gas_B-2"]
    assert table.num_rows == 10
    assert table.slice(1, 1).to_pylist() == [
        {"date": dt.date(2024, 1, 2), "oil_A 1": 21, "oil_B-2": 20, "gas_A 1": 2.5, "gas_B-2": 2.5}
    ]
    assert table.schema.field("oil_A 1").type == pa.int64()


def test_an_entity_without_a_row_has_a_null_there(tmp_path: Path) -> None:
    text = "date,id,v\n2024-01-01,7,1\n2024-01-01,8,2\n2024-01-02,7,3\n2024-01-03,7,4\n2024-01-03,8,5\n"
    table = rows(small_project(tmp_path, text, pivot={"entity": "id", "values": ["v"]}))
    assert table.to_pydict() == {
        "date": [dt.date(2024, 1, day) for day in (1, 2, 3)],
        "v_7": [1, 3, 4],
        "v_8": [2, None, 5],
    }


def test_a_long_parquet_table_with_a_dictionary_of_entities(tmp_path: Path) -> None:
    days = [dt.datetime(2024, 1, day) for day in (1, 2, 3, 4) for _ in range(2)]
    data = pa.table({"date": days, "shop": pa.array(["s", "t"] * 4).dictionary_encode(), "sold": list(range(8))})
    table = rows(small_project(tmp_path, data, pivot={"entity": "shop", "values": ["sold"]}))
    assert table.to_pydict() == {
        "date": [dt.datetime(2024, 1, day) for day in (1, 2, 3, 4)],
        "sold_s": [0, 2, 4, 6],
        "sold_t": [1, 3, 5, 7],
    }


@pytest.mark.parametrize(
    ("text", "pivot", "said"),
    [
        (WELLS, {"entity": "wel", "values": ["oil"]}, "pivot: there is no column 'wel'. Did you mean 'well'?"),
        (WELLS, {"entity": "well", "values": ["oils"]}, "pivot: there is no column 'oils'. Did you mean 'oil'?"),
        (WELLS, {"entity": "date", "values": ["oil"]}, "pivot: 'date' is the timestamp column; it is neither entity"),
        (WELLS + "2024-01-01,A 1,1,1,x\n", {"entity": "well", "values": ["oil"]},
         "pivot: 1 row repeats the timestamp and 'well' of another one (first: 2024-01-01, 'A 1')"),
        (WELLS + "2024-01-11,,1,1,x\n", {"entity": "well", "values": ["oil"]},
         "pivot: 1 of 21 rows have no 'well'"),
        (WELLS.replace("A 1", "b-2"), {"entity": "well", "values": ["oil"]},
         "pivot: two columns would be named 'oil_b-2' (also 'oil_B-2'; case is ignored)"),
        ("date,id,v\n" + "".join(f"2024-01-01,{number},1\n" for number in range(2_001)),
         {"entity": "id", "values": ["v"]}, "holds 2,001 different entities, which would be 2,001 columns; at most"),
        ("date,id,v\n2024-01-01,1.5,2\n", {"entity": "id", "values": ["v"]}, "column 'id' is double; expected text or"),
    ],
)  # fmt: skip
def test_a_pivot_that_does_not_fit(tmp_path: Path, text: str, pivot: dict[str, Any], said: str) -> None:
    assert said in complaints(small_project(tmp_path, text, pivot=pivot))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WELLS, "10 of 20 rows repeat a timestamp; 'well' tells these rows apart (2 values: B-2, A 1), so this is a "
         "long table; write `pivot: {entity: well, values: [oil, gas]}` at the input"),
        ("date,store_nr,sales,customers\n" + "".join(f"2024-01-0{day},{shop},{day * shop},3\n" for day in range(1, 8)
         for shop in (4, 9, 11)), "write `pivot: {entity: store_nr, values: [sales, customers]}` at the input"),
        ("date,country-code,cases\n" + "".join(f"2024-01-0{day},{code},{day}\n" for day in range(1, 8)
         for code in ("DE", "FR", "IT")), "write `pivot: {entity: 'country-code', values: [cases]}` at the input"),
    ],
)  # fmt: skip
def test_a_long_table_is_pointed_out(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaints(small_project(tmp_path, text))


def test_duplicates_that_the_spec_merges_are_no_long_table(tmp_path: Path) -> None:
    assert rows(small_project(tmp_path, WELLS, training={"on_duplicates": "mean"})).num_rows == 20


# --- files without a date ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "zone", "expected"),
    [
        ({"start": "2017-01-01", "frequency": "D"}, "UTC", [dt.date(2017, 1, 1), dt.date(2017, 1, 2)]),
        ({"start": "2017-01-01", "frequency": "10min"}, "UTC",
         [dt.datetime(2017, 1, 1), dt.datetime(2017, 1, 1, 0, 10)]),
        ({"start": "2017-01-01 06:30", "frequency": "h"}, "UTC",
         [dt.datetime(2017, 1, 1, 6, 30), dt.datetime(2017, 1, 1, 7, 30)]),
        ({"start": "2017-07-01", "frequency": "h"}, "Europe/Berlin",
         [dt.datetime(2017, 6, 30, 22, tzinfo=dt.UTC), dt.datetime(2017, 6, 30, 23, tzinfo=dt.UTC)]),
        ({"start": "2017-01-01", "frequency": "MS"}, "UTC", [dt.date(2017, 1, 1), dt.date(2017, 2, 1)]),
    ],
)  # fmt: skip
def test_rows_are_numbered_in_time(tmp_path: Path, given: dict[str, str], zone: str, expected: list[Any]) -> None:
    table = rows(small_project(tmp_path, "a,b\n1,2\n3,4\n5,6\n7,8\n", timestamps=given, timezone=zone))
    assert table.column_names == ["date", "a", "b"]
    assert table["date"].to_pylist()[:2] == expected
    assert table["b"].to_pylist() == [2, 4, 6, 8]


def test_numbered_rows_can_be_filtered(tmp_path: Path) -> None:
    data = pa.table({"a": list(range(10))})
    steps = [{"condition": "date >= '2017-01-08'"}]
    project = small_project(tmp_path, data, timestamps={"start": "2017-01-01", "frequency": "D"}, steps=steps)
    assert rows(project).to_pydict() == {"date": [dt.date(2017, 1, day) for day in (8, 9, 10)], "a": [7, 8, 9]}


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("date,a\n2024-01-01,1\n", {"start": "2017-01-01", "frequency": "D"},
         "timestamps: there is a column 'date' already"),
        ("a\n1\n2\n", {"start": "2017-01-01", "frequency": "fortnight"},
         "timestamps: frequency 'fortnight' is not a pandas offset"),
        ("a\n1\n2\n", {"start": "2017-01-15", "frequency": "MS"},
         "timestamps: 2017-01-15 is no step of MS; the next one is 2017-02-01 00:00:00: start there"),
        ("a\n" + "1\n" * 90, {"start": "9990-01-01", "frequency": "YS"}, "outside the years 1 to 9999"),
    ],
)  # fmt: skip
def test_given_timestamps_that_do_not_fit(tmp_path: Path, text: str, given: dict[str, str], said: str) -> None:
    assert said in complaints(small_project(tmp_path, text, timestamps=given))


# --- a date in several columns ----------------------------------------------------------------------------------------


def advised(folder: Path, project: Project, text: str, **changes: Any) -> pa.Table:
    """The rows after the expressions that the message of a project proposes."""
    said = complaints(project)
    assert "add a select_expression with expressions: [" in said, said
    written = said.split("with expressions: ", 1)[1].split("\n", 1)[0]
    return rows(small_project(folder, text, steps=[{"expressions": yaml.safe_load(written)}], **changes))


HOURS = [(day, hour) for day in (1, 2, 3) for hour in range(24)]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("date,hr,v", "2024-01-{day:02d},{hour},{hour}"),
        ("date,Hour Ending,v", "2024-01-{day:02d},{next},{hour}"),
        ("date,Time,v", "{day:02d}/01/2024,{hour:02d}:00:00,{hour}"),
        ("date,time,v", "2024-01-{day:02d},{hour:02d}:00,{hour}"),
        ("date,Time,v", "1/{day}/24,{hour}:00,{hour}"),
        ("date,hour,v", "{day:02d}.01.2024,{hour},{hour}"),
        ("date,time,v", "{day:02d}/01/2024,{hour:02d}.00.00,{hour}"),
    ],
)
def test_the_hour_is_in_another_column(tmp_path: Path, header: str, line: str) -> None:
    lines = [line.format(day=day + 20, hour=hour, next=hour + 1) for day, hour in HOURS]
    text = header + "\n" + "\n".join(lines) + "\n"
    table = advised(tmp_path, small_project(tmp_path, text), text)
    assert table["date"].to_pylist() == [dt.datetime(2024, 1, day + 20, hour) for day, hour in HOURS]
    assert table.column_names == ["v", "date"]


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("year,month,day,hour,v", "2024,1,{day},{hour},{hour}", dt.datetime(2024, 1, 1, 1)),
        ("No,Year,Month,Day,Hour,v", "{no},2024,1,{day},{hour},{hour}", dt.datetime(2024, 1, 1, 1)),
        ("YEAR,MO,DY,v", "2024,{day},1,{hour}", dt.date(2024, 1, 1)),
        ("year,month,day,hour,minute,v", "2024,1,{day},{hour},30,1", dt.datetime(2024, 1, 1, 1, 30)),
    ],
)
def test_the_date_is_in_parts(tmp_path: Path, header: str, line: str, expected: Any) -> None:
    lines = [line.format(no=number, day=day, hour=hour) for number, (day, hour) in enumerate(HOURS)]
    text = (
        header + "\n" + "\n".join(lines[: len(lines) if "our" in header else 72 : 1 if "our" in header else 24]) + "\n"
    )
    table = advised(tmp_path, small_project(tmp_path, text), text)
    assert table["date"].to_pylist()[1 if "our" in header else 0] == expected


@needs_data
@pytest.mark.parametrize(
    ("name", "stamps", "count"), [("bike_hour.csv", "dteday", 17_379), ("beijing_pm25.csv", "date", 43_824)]
)
def test_real_files_with_the_hour_in_another_column(tmp_path: Path, name: str, stamps: str, count: int) -> None:
    text = (DATA / name).read_text()
    project = small_project(tmp_path, text, timestamp_col=stamps)
    table = advised(tmp_path, project, text, timestamp_col=stamps)
    assert table.num_rows == count
    assert (table[stamps][1].as_py() - table[stamps][0].as_py()) == dt.timedelta(hours=1)


# --- the order of rows ------------------------------------------------------------------------------------------------


def test_unsorted_rows_are_sorted_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    project = small_project(tmp_path, "date,v\n2024-01-02,2\n2024-01-01,1\n2024-01-04,4\n2024-01-03,3\n")
    with caplog.at_level(logging.WARNING):
        assert training_input(project, AS_OF)["v"].to_pylist() == [1, 2, 3, 4]
    assert "the rows are not in the order of time; they are sorted by 'date'" in caplog.text


def test_newest_first_keeps_the_doubled_hour_in_order(tmp_path: Path) -> None:
    clock = [f"2023-10-29 {text}" for text in ("00:00", "01:00", "02:00", "02:00", "03:00", "04:00")]
    lines = [f"{stamp},{number}" for number, stamp in enumerate(clock)]
    for name, ordered in (("oldest", lines), ("newest", lines[::-1])):
        (tmp_path / name).mkdir()
        project = small_project(tmp_path / name, "date,v\n" + "\n".join(ordered) + "\n", timezone="Europe/Berlin")
        table = rows(project)
        assert table["v"].to_pylist() == [0, 1, 2, 3, 4, 5]
        series = build_series(table, "date", ["v"], timezone="Europe/Berlin")
        assert series.values[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
        assert series.steps[0] == pd.Timestamp("2023-10-28 22:00")


# --- nothing left -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"condition": "v > 100"}], "f0 leaves none of 10 rows (condition: v > 100); 'v' holds 0 to 9; change"),
        ([{"condition": "v < 5"}, {"condition": "kind = 'A'"}],
         "f1 leaves none of 5 rows (condition: kind = 'A'); 'kind' holds 'a', 'b'; change"),
        ([{"expressions": ["date", "v * 2 AS w"]}, {"condition": "w > 50 and date > '2024-01-05'"}],
         "f1 leaves none of 10 rows (condition: w > 50 and date > '2024-01-05'); 'w' holds 0 to 18; 'date' holds "
         "2024-01-01 to 2024-01-10; change"),
        ([{"condition": "gone is not null"}], "'gone' holds only nulls; change"),
    ],
)  # fmt: skip
def test_the_step_that_leaves_nothing_is_named(tmp_path: Path, steps: list[dict[str, Any]], said: str) -> None:
    lines = "".join(f"{day},{value},{'ab'[int(value) % 2]},\n" for day, value in daily(10))
    project = small_project(tmp_path, "date,v,kind,gone\n" + lines, steps=steps)
    assert said in complaints(project)


def test_a_file_without_rows(tmp_path: Path) -> None:
    assert "The input itself has no rows" in complaints(small_project(tmp_path, "date,v\n"))


# --- notes ------------------------------------------------------------------------------------------------------------


def test_notes_travel_with_the_frame_and_hide_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project(tmp_path, "date,v\n2024-01-02,2\n2024-01-01,1\n2024-01-03,3\n")
    path = tmp_path / "small.yaml"
    path.write_text(path.read_text().replace("uri: data.csv", "uri: ${PLACE}/data.csv"))
    monkeypatch.setenv("PLACE", str(tmp_path))
    project = load_project(path, str(tmp_path / "storage"))
    table = training_input(project, AS_OF)
    pq.write_table(table, tmp_path / "kept.parquet")
    for kept in (table, pq.read_table(tmp_path / "kept.parquet")):
        [note] = notes_of(kept)
        assert "the rows are not in the order of time" in note
        assert str(tmp_path) not in note


def test_a_big_input_is_checked_by_its_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [dt.date(2000, 1, 1) + dt.timedelta(days=day) for day in range(1_000)]
    project = small_project(
        tmp_path, pa.table({"date": days, "v": list(range(1_000))}), steps=[{"condition": "v >= 100"}]
    )
    monkeypatch.setattr(checks, "MOST_CELLS", 200)
    read: list[int] = []
    original = ParquetFiles.read

    def spy(*args: Any) -> pa.Table:
        table = original(*args)
        read.append(table.num_rows)
        return table

    monkeypatch.setattr(ParquetFiles, "read", spy)
    assert complaints(project) == ""
    assert read == [100, 100]  # of 900, for each of the two data products


def big_csv(value: str = "{day}.5", late: int = 0, last: str = "", count: int = 1_000) -> str:
    """Days; the column `late` has its first value in row `late`."""
    first = dt.date(2000, 1, 1)
    lines = [
        f"{(first + dt.timedelta(days=day)):%d/%m/%Y},{value.format(day=day)},{day if day >= late else ''}"
        for day in range(count)
    ]
    return "\n".join(["date,v,late", *lines[:-1], last or lines[-1], ""])


def test_a_big_csv_file_is_checked_by_its_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_CELLS", 30)
    project = small_project(tmp_path, big_csv(late=4_900, count=5_000))  # DuckDB looks at 2,048 rows at least
    found = checks.checked_data(project, AS_OF)
    assert found.problems == []
    assert found.frame is not None
    assert not found.frame.complete
    assert found.frame.table.slice(8).to_pylist() == [
        {"date": dt.date(2000, 1, 9), "v": 8.5, "late": None},  # all rows tell day and month, and the type of `late`
        {"date": dt.date(2000, 1, 10), "v": 9.5, "late": None},
    ]
    assert found.frame.table.schema.types == [pa.date32(), pa.float64(), pa.int64()]
    assert training_input(project, AS_OF).num_rows == 5_000


@pytest.mark.parametrize("condition", ["v >= 900", "date >= '2002-01-01'"])
def test_all_rows_of_a_big_csv_file_are_read_if_none_of_the_first_ones_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    monkeypatch.setattr(checks, "MOST_CELLS", 30)
    found = checks.checked_data(small_project(tmp_path, big_csv(), steps=[{"condition": condition}]), AS_OF)
    assert found.problems == []
    assert found.frame is not None
    assert found.frame.complete
    assert found.frame.table.num_rows == (100 if "v" in condition else 269)
    folder = tmp_path / "none"
    folder.mkdir()
    none = small_project(folder, big_csv(), steps=[{"condition": "v < 0"}])
    assert "leaves none of 1,000 rows" in complaints(none)


def test_a_check_of_the_first_rows_fails_for_no_later_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_CELLS", 30)
    assert complaints(small_project(tmp_path, big_csv(last="26/09/2002,?,5"))) == ""
    monkeypatch.setattr(checks, "MOST_CELLS", 3_001)
    assert "1 of 1,000 values is not a number (first: '?' in line 1001 of data.csv)" in complaints(
        small_project(tmp_path, big_csv(last="26/09/2002,?,5"))
    )


def test_files_after_the_first_rows_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small_project(tmp_path, "")
    (tmp_path / "data.csv").unlink()
    folder = tmp_path / "data.csv"
    folder.mkdir()
    for number in range(3):
        days = [f"{dt.date(2024, 1, 1) + dt.timedelta(days=10 * number + day)},{day}" for day in range(10)]
        (folder / f"{number}.csv").write_text("\n".join(["date,v", *days, ""]))
    for cells, count, complete in ((24, 12, False), (40, 20, False), (60, 30, False), (62, 30, True)):
        monkeypatch.setattr(checks, "MOST_CELLS", cells)
        found = checks.checked_data(project, AS_OF)
        assert found.problems == []
        assert found.frame is not None
        assert (found.frame.table.num_rows, found.frame.complete) == (count, complete)
