"""Situations from public bug reports and public files: the value that is read, or the message that refuses the file.

The inputs are in `lstm_pipeline_tests/cases`; each has the spec that was tried.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.dataset import build_dataset
from lstm_pipeline.projects.inputs import prediction_input, training_input
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.timeseries.timeline import Timeline
from lstm_pipeline_tests.projects.real_files import AS_OF, CASES, case, complaints, rows


def changed(name: str, folder: Path, options: dict[str, Any] | None = None, steps: list[str] | None = None) -> Project:
    """A case whose spec follows the advice of its message."""
    spec = yaml.safe_load((CASES / name / "spec.yaml").read_text())
    spec["catalog"]["x"] = str(CASES / name / spec["catalog"]["x"])
    for product in ("model_metadata", "predictions"):
        spec[product]["inputs"]["features"].update(options or {})
        if steps is not None:
            chain = spec[product]["transformations"][-1:]
            select = {"transform": "select_expression", "input": "features", "output": "mended", "expressions": steps}
            spec[product]["transformations"] = [select, {**chain[0], "input": "mended"}]
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return load_project(folder / "spec.yaml", str(folder / "storage"))


def refused(name: str) -> str:
    """The message of a case, which `validate` and a run give alike."""
    project = case(name)
    said = complaints(project)
    for read in (training_input, prediction_input):
        with pytest.raises(DataError) as caught:
            read(project, AS_OF)
        assert str(caught.value) in said
    return said.replace(str(CASES), "")


def test_02_two_digit_years_follow_posix() -> None:
    dates = rows(case("02_two_digit_year"))["date"]
    assert (dates[0].as_py(), dates[-1].as_py()) == (dt.date(2023, 1, 1), dt.date(2023, 10, 27))


def test_02_yyyy_wants_four_digits(tmp_path: Path) -> None:
    project = changed("02_two_digit_year", tmp_path, steps=["* REPLACE (to_date(date, 'dd/MM/yyyy') AS date)"])
    assert "expected a year of four digits (yyyy in dd/MM/yyyy), found '01/01/23'" in complaints(project)
    project = changed("02_two_digit_year", tmp_path, steps=["* REPLACE (to_date(date, 'dd/MM/yy') AS date)"])
    assert rows(project)["date"][-1].as_py() == dt.date(2023, 10, 27)


@pytest.mark.parametrize(
    ("name", "column", "said", "advice"),
    [
        ("question_marks", "voltage", "3 of 260 values are not numbers (first: '?' in line 52 of data.csv)",
         {"missing_values": ["?"]}),
        ("fred_dot", "DGS10", "3 of 100 values are not numbers (first: '.' in line 7 of data.csv)",
         {"missing_values": ["."]}),
        ("decimal_comma", "CO(GT)", "400 of 400 values are not numbers (first: '100,1' in line 2 of data.csv)",
         {"decimal": ","}),
        ("thousands_group", "sales", "400 of 400 values are not numbers (first: '10,012.6' in line 2 of data.csv)",
         {"thousands": ","}),
    ],
)  # fmt: skip
def test_03_numbers_that_are_text(tmp_path: Path, name: str, column: str, said: str, advice: dict[str, Any]) -> None:
    message = refused(f"03_numbers_that_are_text/{name}")
    assert f"column {column!r} is text, so it would be no feature: {said}" in message
    [(key, value)] = advice.items()
    assert f"write {key}: {value!r} at the input, or list {column!r} in drop_cols" in message
    table = rows(changed(f"03_numbers_that_are_text/{name}", tmp_path, advice))
    assert pa.types.is_floating(table.schema.field(column).type)
    assert table[column].null_count == (3 if "missing_values" in advice else 0)


def test_03_values_of_the_mended_columns(tmp_path: Path) -> None:
    comma = rows(changed("03_numbers_that_are_text/decimal_comma", tmp_path, {"decimal": ","}))
    assert comma.slice(0, 1).to_pylist() == [
        {"Date": dt.date(2023, 1, 1), "CO(GT)": 100.1, "PT08.S1(CO)": 100, "T": 100.2}
    ]
    assert rows(changed("03_numbers_that_are_text/thousands_group", tmp_path, {"thousands": ","}))["sales"][
        0
    ].as_py() == (10_012.6)
    assert rows(case("03_numbers_that_are_text/plus_sign"))["change"].to_pylist()[:3] == [0.13, 7.69, 10.39]


@pytest.mark.parametrize(
    ("name", "column", "first", "last"),
    [
        ("ampm_same_name", "date", dt.datetime(2013, 12, 31), dt.datetime(2014, 1, 12, 11)),
        ("month_same_name", "Month", dt.date(1949, 1, 1), dt.date(1960, 12, 1)),
        ("us_dates_same_name", "date", dt.date(2023, 1, 1), dt.date(2023, 2, 10)),
    ],
)
def test_08_a_step_converts_the_date_under_its_own_name(name: str, column: str, first: Any, last: Any) -> None:
    stamps = rows(case(f"08_date_converted_under_its_own_name/{name}"))[column]
    assert (stamps[0].as_py(), stamps[-1].as_py()) == (first, last)


@pytest.mark.parametrize("name", ["tz_daily_Berlin", "tz_daily_Berlin_trunc", "tz_winter"])
def test_10_a_columns_own_zone_is_used(name: str) -> None:
    project = case(f"10_daily_stamps_with_zone/{name}")
    stamps = rows(project)["date"]
    assert stamps.type == pa.timestamp("us", "Europe/Berlin")
    assert {(stamp.hour, stamp.minute) for stamp in stamps.to_pylist()} == {(0, 0)}
    assert len({stamp.date() for stamp in stamps.to_pylist()}) == len(stamps)


@pytest.mark.parametrize(
    ("name", "said", "expressions", "first", "last"),
    [
        ("epoch_ms_hint", "260 of 260 values are outside the years 1 to 9999 (first: the year 55970)",
         "timestamp_millis(date) AS date", dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 11, 19)),
        ("epoch_ms_raw", "is int64, not a date or a timestamp: the values 1704067200000 to 1705863600000 look like "
         "milliseconds", "* REPLACE (timestamp_millis(date) AS date)",
         dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 21, 19)),
        ("excel_serial", "the values 45000 to 45099 look like Excel's days since 1899-12-30",
         "date_add('1899-12-30', date) AS date", dt.date(2023, 3, 15), dt.date(2023, 6, 22)),
        ("year_hint", "numbers were taken for seconds; the values 1850 to 2023 look like years",
         "make_date(date, 1, 1) AS date", dt.date(1850, 1, 1), dt.date(2023, 1, 1)),
    ],
)  # fmt: skip
def test_11_whole_numbers_as_stamps(
    tmp_path: Path, name: str, said: str, expressions: str, first: Any, last: Any
) -> None:
    message = refused(f"11_whole_number_stamps/{name}")
    assert said in message
    assert f"write `{expressions}` in " in message
    steps = [expressions] if expressions.startswith("*") else [expressions, "a"]
    stamps = rows(changed(f"11_whole_number_stamps/{name}", tmp_path, steps=steps))["date"].to_pylist()
    ends = [
        stamp.replace(tzinfo=None) if isinstance(stamp, dt.datetime) else stamp for stamp in (stamps[0], stamps[-1])
    ]
    assert ends == [first, last]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("int_then_double", [pa.timestamp("us"), pa.float64(), pa.float64()]),
        ("ms_ns_stamps", [pa.timestamp("us"), pa.float64()]),
        ("null_type_in_one", [pa.timestamp("us"), pa.float64(), pa.float64()]),
    ],
)
def test_13_parquet_types_that_differ_without_loss(name: str, kinds: list[pa.DataType]) -> None:
    table = rows(case(f"13_parquet_types_differ_between_files/{name}"))
    assert table.schema.types == kinds
    assert table.num_rows == 400
    stamps = table["date"].to_pylist()
    assert stamps == [dt.datetime(2023, 1, 1) + dt.timedelta(days=day) for day in range(400)]
    if name == "int_then_double":
        assert table["a"].to_pylist()[199:202] == [3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("name", "names"), [("hdr_trailing", ["date", "close"]), ("header_spaces", ["date", "open", "high"])]
)
def test_15_names_are_trimmed(name: str, names: list[str]) -> None:
    table = rows(case(f"15_spaces_in_the_header/{name}"))
    assert table.column_names == names
    assert table.column(1)[0].as_py() == 100.13


@pytest.mark.parametrize("name", ["mixed_eol", "sep_line", "trailing_delims"])
def test_17_csv_that_excel_and_cat_write(name: str) -> None:
    table = rows(case(f"17_csv_that_excel_and_cat_write/{name}"))
    assert table.column_names == ["date", "a"]
    assert table.num_rows == 100
    assert table["a"].to_pylist()[:2] == [100.13, 107.69]
    assert table["a"].to_pylist()[-2:] == [98.66, 106.42]


@pytest.mark.parametrize("name", ["tz_daily_Berlin", "tz_daily_Berlin_trunc", "tz_winter"])
def test_10_days_are_days_of_the_columns_own_zone(name: str) -> None:
    project = case(f"10_daily_stamps_with_zone/{name}")
    dataset = build_dataset(training_input(project, AS_OF), project.spec.training, project.spec.timezone)
    assert dataset.series.timeline == Timeline("date", "D", "Europe/Berlin", "timestamptz")
    assert dataset.series.inserted == 0
    first = {"tz_winter": "2023-11-01"}.get(name, "2023-01-01")
    assert str(dataset.series.steps[0]) == f"{first} 00:00:00"


def test_10_a_zone_that_the_spec_names_goes_first(tmp_path: Path) -> None:
    named = changed("10_daily_stamps_with_zone/tz_daily_Berlin", tmp_path)
    path = tmp_path / "spec.yaml"
    path.write_text(path.read_text() + "timezone: UTC\n")
    named = load_project(path, str(tmp_path / "storage"))
    said = "every value is midnight in Europe/Berlin, the column's own time zone, but not in UTC, the spec's"
    assert f"{said}; write `timezone: Europe/Berlin`, or remove the spec's timezone" in complaints(named)
    path.write_text(path.read_text().replace("timezone: UTC", "timezone: Europe/Berlin"))
    named = load_project(path, str(tmp_path / "storage"))
    assert complaints(named) == ""
    dataset = build_dataset(training_input(named, AS_OF), named.spec.training, named.spec.timezone)
    assert dataset.series.timeline.timezone == "Europe/Berlin"
