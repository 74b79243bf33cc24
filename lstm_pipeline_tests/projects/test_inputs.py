"""The SQL steps before and after the training and prediction steps."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.projects.inputs import chain_to, finish, input_preview, prediction_input, training_input
from lstm_pipeline.tables.parquet import ParquetFiles
from lstm_pipeline_tests.mill import AS_OF, filtered, mill_project, mill_spec, mill_table, project_of, selected


def test_the_as_of_date_selects_the_rows(tmp_path: Path) -> None:
    project = mill_project(tmp_path)
    table = training_input(project, dt.date(2024, 1, 31))
    assert table.column_names == mill_table().column_names
    assert table["date"].to_pylist()[-1] == dt.date(2024, 1, 31)
    assert table.num_rows == 43
    assert prediction_input(project, AS_OF)["date"].to_pylist()[0] == dt.date(2024, 4, 2)  # 60 days before


def test_steps_run_in_the_order_of_their_names_not_of_the_file(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["model_metadata"]["transformations"][:1] = [
        selected("features", "doubled", "date", "load * 2 as load", "heat", "parts", "wind", "note"),
        filtered("heat < 0", output="unused"),
        filtered("load > 90", "doubled"),
    ]
    table = training_input(project_of(tmp_path, spec), AS_OF)
    expected = [2 * value for value in mill_table()["load"].to_pylist() if 2 * value > 90]
    assert table["load"].to_pylist() == expected


def test_the_steps_that_lead_to_a_frame(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["predictions"]["transformations"][1]["input"] = "twice"
    spec["predictions"]["transformations"].insert(1, filtered("load > 0", "recent", "twice"))
    spec["predictions"]["transformations"] += [selected("forecast", "a", "*"), selected("a", "b", "*")]
    spec["predictions"]["finalisers"]["input"] = "b"
    product = project_of(tmp_path, spec).spec.predictions
    name, steps = chain_to(product, "twice")
    assert (name, [step.output for step in steps]) == ("features", ["recent", "twice"])
    name, steps = chain_to(product, "b", "forecast")
    assert (name, [step.output for step in steps]) == ("forecast", ["a", "b"])
    with pytest.raises(
        DataError, match="only SQL steps up to this frame, but 'forecast' is the output of regression_prediction_lstm"
    ):
        chain_to(product, "b")


def test_the_steps_after_the_prediction_run_on_its_output(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["predictions"]["transformations"].append(selected("forecast", "final", "cast(load as integer) as load"))
    spec["predictions"]["finalisers"]["input"] = "final"
    project = project_of(tmp_path, spec)
    table = pa.table({"load": [1.9, -1.9], "heat": [0.0, 0.0]})
    finished = finish(project, project.spec.predictions, "forecast", table, AS_OF)
    assert finished.to_pydict() == {"load": [1, -1]}  # like Spark, the cast truncates
    assert finish(project, project.spec.model_metadata, "model_metadata", table, AS_OF) is table


def test_an_empty_frame_is_reported_with_its_chain(tmp_path: Path) -> None:
    project = mill_project(tmp_path)
    with pytest.raises(DataError) as error:
        prediction_input(project, dt.date(2030, 1, 1))
    assert str(error.value) == (
        f"'recent' has no rows. Input: features ({tmp_path / 'mill.parquet'}). Transformations: "
        "filter_with_condition → recent. As-of date: 2030-01-01. filter_with_condition → recent leaves none of 120 "
        "rows (condition: date >= current_date() - interval '60' day); 'date' holds 2023-12-20 to 2024-04-17; change "
        "the condition, or give newer data"
    )


def test_an_error_in_a_transformation_names_the_transformation(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["model_metadata"]["transformations"][0]["condition"] = "lod > 3"
    with pytest.raises(DataError, match=r"filter_with_condition → cleaned: .*column 'lod'\. Did you mean 'load'"):
        training_input(project_of(tmp_path, spec), AS_OF)


def test_a_missing_input_is_reported_with_the_nearest_file(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["catalog"]["mill-features"] = "mil.parquet"
    with pytest.raises(DataError, match=r"mil\.parquet: no such file or folder\. Did you mean 'mill\.parquet'"):
        training_input(project_of(tmp_path, spec), AS_OF)


def test_paths_are_relative_to_the_spec_and_may_contain_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mill_spec()
    spec["catalog"]["mill-features"] = "${MILL_DATA:-data}/mill.parquet"
    (tmp_path / "project" / "data").mkdir(parents=True)
    pq.write_table(mill_table(), tmp_path / "project" / "data" / "mill.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILL_DATA", raising=False)
    project = project_of(tmp_path / "project", spec)
    assert training_input(project, AS_OF).num_rows == 120
    assert input_preview(project, project.spec.predictions, "recent") == (
        "${MILL_DATA:-…}/mill.parquet",
        10,
    )
    (tmp_path / "other").mkdir()
    pq.write_table(mill_table(rows=100), tmp_path / "other" / "mill.parquet")
    monkeypatch.setenv("MILL_DATA", str(tmp_path / "other"))
    assert training_input(project, AS_OF).num_rows == 100


def test_a_file_input_may_be_csv(tmp_path: Path) -> None:
    spec = mill_spec()
    for product in ("model_metadata", "predictions"):
        spec[product]["inputs"]["features"] = {"input_type": "file", "uri": "mill.csv"}
    pacsv.write_csv(mill_table(), tmp_path / "mill.csv")
    table = training_input(project_of(tmp_path, spec), AS_OF)
    assert table.equals(mill_table())


def test_only_the_rows_and_columns_that_the_steps_need_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mill_spec()
    condition = "date >= current_date() - interval '9' day and note is not null"
    spec["model_metadata"]["transformations"][:1] = [
        filtered(condition, "features", "recent"),
        selected("recent", "cleaned", "date", "load * 2 as load", "heat", "parts"),
    ]
    read: list[pa.Table] = []
    original = ParquetFiles.read

    def spy(*args: Any) -> pa.Table:
        read.append(original(*args))
        return read[-1]

    monkeypatch.setattr(ParquetFiles, "read", spy)
    project = project_of(tmp_path, spec)
    table = training_input(project, dt.date(2024, 4, 17))
    assert read[0].column_names == ["date", "load", "heat", "parts", "note"]
    assert read[0].num_rows == table.num_rows == 10
    assert table["load"].to_pylist() == [2 * value for value in mill_table()["load"].to_pylist()[-10:]]
    assert prediction_input(project, AS_OF).column_names == mill_table().column_names  # no select: nothing is dropped
    assert read[1].num_rows == 16  # of 120: 60 days before the as-of date


def test_the_as_of_date_is_a_day_of_the_projects_time_zone(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["timezone"] = "Pacific/Auckland"
    spec["model_metadata"]["transformations"][0]["condition"] = "date < current_date()"
    instants = mill_table()["date"].cast(pa.timestamp("us", "UTC"))
    table = mill_table().set_column(0, "date", instants)
    tmp_path.joinpath("a").mkdir()
    pq.write_table(table, tmp_path / "a" / "mill.parquet", row_group_size=7)
    found = training_input(project_of(tmp_path / "a", spec), dt.date(2024, 1, 31))
    # the day in Auckland begins at 11:00 UTC the day before
    assert found["date"].to_pylist()[-1] == dt.datetime(2024, 1, 30, tzinfo=dt.UTC)
