"""The prediction step: its forecast, and every input it refuses while leaving the storage untouched."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError, RegistryError, SpecError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.forecast import Forecast, forecast
from lstm_pipeline.projects.inputs import prediction_input
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.mill import (
    AS_OF,
    HORIZON,
    LENGTH,
    PREDICTED,
    linear_ensemble,
    mill_dataset,
    mill_table,
    publish_mill,
    respecified,
    train_mill,
    with_column,
)
from lstm_pipeline_tests.stubs import tree

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def forecast_of(project: Project, table: pa.Table | None = None) -> Forecast:
    table = prediction_input(project, AS_OF) if table is None else table
    return forecast(project, table, as_of=AS_OF, predicted_at=NOON)


def with_values(name: str, rows: slice, value: float | None) -> pa.Table:
    table = mill_table()
    values = table[name].to_numpy().astype(np.float64)
    values[rows] = np.nan if value is None else value
    return with_column(table, name, values)


# the forecast


def test_one_row_per_step_with_every_feature_the_time_and_the_version(mill: Project) -> None:
    table = forecast_of(mill).table
    assert table.column_names == ["date", *PREDICTED, "_predicted_at", "model_version"]
    assert table.num_rows == HORIZON
    assert table["date"].to_pylist() == [dt.date(2024, 4, 18) + dt.timedelta(days=step) for step in range(HORIZON)]
    assert set(table["_predicted_at"].to_pylist()) == {dt.datetime(2024, 6, 1, 10, tzinfo=dt.UTC)}
    assert str(table.schema.field("_predicted_at").type) == "timestamp[us, tz=UTC]"
    assert set(table["model_version"].to_pylist()) == {"v1"}
    assert table["parts"].type == pa.int64()


def test_transformations_and_schema_are_applied_after_the_step(own_mill: Project) -> None:
    def format_and_describe(spec: dict[str, Any]) -> None:
        expressions = ["cast(parts as integer) as parts", "date", "load / 2 as half"]
        product = spec["predictions"]
        product["transformations"].append(
            {"transform": "select_expression", "input": "forecast", "output": "final", "expressions": expressions}
        )
        product["finalisers"] = {"input": "final"}
        fields = {"date": "DATE", "half": "DOUBLE", "parts": "INTEGER"}
        product["details"] = {
            "fields": [{"name": name, "data_type": {"column_type": kind}} for name, kind in fields.items()]
        }

    result = forecast_of(respecified(own_mill, format_and_describe))
    assert [str(field.type) for field in result.table.schema] == ["date32[day]", "double", "int32"]
    assert result.table.column_names == ["date", "half", "parts"]
    assert result.table["half"].to_pylist() == [value / 2 for value in result.raw["load"].to_pylist()]


def test_a_requested_or_rolled_back_version_makes_the_forecast(own_mill: Project) -> None:
    train_mill(own_mill, "run2", ["warmth"])
    publish_mill(own_mill)
    assert forecast_of(own_mill).ensemble.version == "v2"
    changed = respecified(own_mill, lambda spec: spec["predictions"]["transformations"][1].update(version="v1"))
    assert forecast_of(changed).ensemble.version == "v1"
    own_mill.registry.roll_back("v1")
    assert set(forecast_of(own_mill).table["model_version"].to_pylist()) == {"v1"}


# refused inputs

REFUSED: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "too few rows": (
        lambda: mill_table().slice(0, LENGTH - 1),
        rf"needs a history of {LENGTH} steps \(the models' sequence_length\), found {LENGTH - 1} \(2023-12-20",
    ),
    "one row": (lambda: mill_table().slice(0, 1), f"needs a history of {LENGTH} steps .*, found 1 "),
    "no rows": (lambda: mill_table().slice(0, 0), "there are no rows"),
    "columns that are missing": (
        lambda: mill_table().drop_columns(["heat", "wind"]),
        "lacks columns that the models were trained on: heat, wind; its columns: date, load, parts, note",
    ),
    "no timestamps": (lambda: mill_table().drop_columns(["date"]), "models were trained on: date; its columns: load"),
    "text in a feature": (
        lambda: with_column(mill_table(), "load", ["forty"] * 120),
        r"these are not numeric here: load \(string\)",
    ),
    "flags in a feature": (
        lambda: with_column(mill_table(), "wind", [True] * 120),
        r"these are not numeric here: wind \(bool\)",
    ),
    "a feature without a value": (lambda: with_values("load", slice(None), None), "without a single value: load"),
    "weekly rows": (
        lambda: mill_table().take(np.arange(0, 120, 7)),
        r"trained with steps of D \(1 days.*found 7 days .* between most rows",
    ),
    "every third day": (lambda: mill_table().take(np.arange(0, 120, 3)), "found 3 days .* between most rows"),
    "hourly rows": (
        lambda: with_column(mill_table(), "date", pd.date_range("2024-01-01", periods=120, freq="h").to_numpy()),
        r"does not fit the models \(trained with steps of D\).*are not on the grid of D",
    ),
    "a long gap at the end": (
        lambda: with_values("heat", slice(95, None), None),
        r"the last 8 steps of the history have a gap longer than max_gap \(24\) in heat: 8 steps .*first at 2024-04-10",
    ),
    "a long gap before the last rows": (
        lambda: pa.concat_tables([mill_table().slice(0, 80), mill_table().slice(110)]).slice(0, 86),
        r"max_gap \(24\) in heat, load, parts, … \(4 in total\): 2 steps cannot be filled, the first at 2024-04-06",
    ),
    "infinite values": (
        lambda: with_values("wind", slice(117, 118), np.inf),
        r"infinite values: 1 in 'wind' \(first at 2024-04-15",
    ),
    "infinite values far back": (lambda: with_values("load", slice(0, 1), -np.inf), "infinite values: 1 in 'load'"),
    "a repeated timestamp": (
        lambda: pa.concat_tables([mill_table(), mill_table().slice(119)]),
        r"1 of 121 rows repeat a timestamp \(first: 2024-04-17",
    ),
    "a null timestamp": (
        lambda: with_column(mill_table(), "date", [None, *mill_table()["date"].to_pylist()[1:]]),
        r"1 of 120 values is null \(row 1\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unfit_input_is_refused_and_storage_stays_as_it_was(own_mill: Project, case: str) -> None:
    make, message = REFUSED[case]
    before = tree(own_mill.storage)
    with pytest.raises(DataError, match=message):
        forecast_of(own_mill, make())
    assert tree(own_mill.storage) == before
    assert own_mill.registry.resolve() == "v1"


def test_a_single_row_with_values_is_not_a_series() -> None:
    """One row without values and, ten days later, one with: all steps between them would be made up."""
    table = mill_table().take([0, 10])
    for name in ("load", "heat", "wind", "parts"):
        table = with_column(table, name, [None, table[name][0].as_py()])
    with pytest.raises(DataError, match=r"steps of D \(1 days.*found a single row with values"):
        linear_ensemble(mill_dataset(), {}).read_history(table)


def test_a_short_gap_at_the_end_is_filled_with_the_last_value() -> None:
    window = linear_ensemble(mill_dataset(), {}).read_history(with_values("heat", slice(117, None), None))
    heat = mill_table()["heat"][116].as_py()
    np.testing.assert_array_equal(window.filled.values[-3:, 0], [heat] * 3)


def test_missing_rows_before_the_window_do_not_matter() -> None:
    ensemble = linear_ensemble(mill_dataset(), {"load": [(1, "load", 1.0)]})
    table = pa.concat_tables([mill_table().slice(0, 10), mill_table().slice(70)])
    pd.testing.assert_frame_equal(ensemble.predict(table, 3), ensemble.predict(mill_table(), 3))


@pytest.mark.parametrize(("rule", "kept"), [("last", 70.0), ("mean", None)])
def test_repeated_stamps_are_merged_as_in_training(own_mill: Project, rule: str, kept: float | None) -> None:
    """The rule of the training step is part of what the models were trained on."""
    twice = pa.concat_tables([mill_table(), with_column(mill_table(), "load", np.full(120, 70.0)).slice(119)])
    project = respecified(own_mill, lambda spec: None, on_duplicates=rule)
    train_mill(project, "run2")
    publish_mill(project)
    window = forecast_of(project, twice).history
    expected = kept or (70.0 + mill_table()["load"][119].as_py()) / 2
    assert window.filled.values[-1, 1] == expected
    assert window.series.duplicates == 1


def test_a_sequence_length_other_than_the_trained_one_names_both(own_mill: Project) -> None:
    def ask_for(length: int) -> Callable[[dict[str, Any]], None]:
        return lambda spec: spec["predictions"]["transformations"][1].update(sequence_length=length)

    before = tree(own_mill.storage)
    with pytest.raises(SpecError, match="expected 8, as in the training step, found 9"):
        respecified(own_mill, ask_for(9))
    changed = respecified(
        own_mill, ask_for(9), sequence_length=9
    )  # both steps of the spec change, but the models are not trained again
    with pytest.raises(
        DataError, match="sequence_length is 9 in the prediction step, but version v1 was trained with 8"
    ):
        forecast_of(changed)
    assert tree(own_mill.storage) == before
    assert forecast_of(respecified(own_mill, ask_for(8))).raw.num_rows == HORIZON


@pytest.mark.parametrize("name", ["model.keras", "scaler.json"])
def test_a_file_with_another_checksum_is_named(own_mill: Project, name: str) -> None:
    path = Path(own_mill.storage) / "models/mill/models/warmth/v1" / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    before = tree(own_mill.storage)
    with pytest.raises(RegistryError, match=rf"warmth/v1/{name} is not the file that was published"):
        forecast_of(own_mill)
    with pytest.raises(RegistryError, match=rf"warmth/v1/{name} is not the file that was published"):
        Ensemble.load(own_mill.storage, "mill")
    assert tree(own_mill.storage) == before


def test_a_missing_version_is_refused_with_the_existing_ones(own_mill: Project) -> None:
    changed = respecified(own_mill, lambda spec: spec["predictions"]["transformations"][1].update(version="v7"))
    with pytest.raises(RegistryError, match="no version v7; its versions are v1"):
        forecast_of(changed)
