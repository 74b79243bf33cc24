"""What a person is told about the data: other rhythms, late starts, lost windows, rows left off, constants."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError, SpecError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.notes import data_notes, described_data
from lstm_pipeline.projects import checks
from lstm_pipeline_tests.mill import (
    AS_OF,
    LENGTH,
    PREDICTED,
    ROWS,
    linear_ensemble,
    mill_dataset,
    mill_project,
    mill_spec,
    mill_table,
    project_of,
    with_column,
)

NAN = float("nan")


def holed(name: str, keep: Any, table: pa.Table | None = None) -> pa.Table:
    """The mill's table with a column that has values in some rows only."""
    table = mill_table() if table is None else table
    values = table[name].to_numpy().astype(float)
    return with_column(table, name, np.where(keep, values, NAN))


def notes(table: pa.Table, **step: Any) -> list[str]:
    return data_notes(mill_dataset(table, **step))


ROW = np.arange(ROWS)


def test_ordinary_data_needs_no_note() -> None:
    assert notes(mill_table()) == []


def test_a_weekly_column_is_carried_forward_and_costs_no_window() -> None:
    """Under interpolation, only windows that end in a week's last row or in its value were left: two of seven."""
    table = holed("wind", ROW % 7 == 3)
    dataset = mill_dataset(table)
    clean = mill_dataset()
    assert dataset.filled.carried == {"wind": 7}
    after = slice(3, None)
    expected = table["wind"].to_numpy()[3 + (ROW[after] - 3) // 7 * 7]
    np.testing.assert_array_equal(dataset.filled.values[after, dataset.columns(["wind"])[0]], expected)
    found, every = (each.windows(PREDICTED, LENGTH) for each in (dataset, clean))
    assert found.train.tolist() == every.train[3:].tolist()  # all but the windows before the first value
    assert found.test.tolist() == every.test.tolist()
    assert notes(table) == [
        "columns with a rhythm of their own hold each value until the next one: wind (every 7 steps at most)"
    ]


def test_a_monthly_column_outlasts_max_gap() -> None:
    table = mill_table(rows=400)
    first = np.array([day.day == 1 for day in table["date"].to_pylist()])
    dataset = mill_dataset(holed("wind", first, table))
    assert dataset.filled.carried == {"wind": 31}
    assert dataset.filled.usable[int(np.flatnonzero(first)[0]) :].all()
    assert not dataset.filled.foreknowing.any()


def test_the_rhythm_is_learnt_from_the_training_rows_alone() -> None:
    table = holed("wind", (ROW % 7 == 3) | (ROW >= 77))
    assert mill_dataset(table).filled.carried == {"wind": 7}
    assert mill_dataset(holed("wind", (ROW % 7 == 3) | (ROW < 77))).filled.carried == {}


def test_a_forecast_carries_the_same_columns_forward_as_training() -> None:
    table = holed("wind", ROW % 7 == 3)
    dataset = mill_dataset(table)
    plain = linear_ensemble(dataset, {})
    ensemble = Ensemble(
        [
            type(model)(model.metadata.model_copy(update={"carried_forward": {"wind": 7}}), model.scaler, model.network)
            for model in plain.models
        ]
    )
    found = ensemble.read_history(table).filled.values[:, dataset.columns(["wind"])[0]]
    assert found[-3] == table["wind"].to_numpy()[115]
    between = slice(101, 108)  # from one value to the next
    assert len(set(found[between])) == 1
    assert len(set(plain.read_history(table).filled.values[between, dataset.columns(["wind"])[0]])) == 7


def test_a_column_with_few_values_is_named_with_the_way_to_drop_it() -> None:
    table = holed("wind", np.isin(ROW, [1, 4, 33, 60, 74, 101]))
    found = notes(table, missing="mask")
    assert found == ["'wind' has values in 5.0% of the rows; to leave it out, set drop_cols: [wind]"]


def test_a_column_that_starts_late_or_ends_early_is_named() -> None:
    assert notes(holed("wind", ROW >= 30)) == [
        "30 of 112 windows (27%) are lost to missing values: wind 30; set missing: ffill or mask, raise max_gap, or "
        "leave the column out: drop_cols: [wind]",
        "'wind' starts at 2024-01-19 00:00:00, row 31 of 120, and no window can begin earlier; to leave it out, set "
        "drop_cols: [wind]",
    ]
    assert notes(holed("wind", ROW < 100)) == [
        "'wind' ends at 2024-03-28 00:00:00, row 100 of 120; to leave it out, set drop_cols: [wind]"
    ]


def test_lost_windows_are_pointed_out_above_a_fifth() -> None:
    few = ~np.isin(ROW, [20, 40, 60, 80, 100])
    assert notes(holed("wind", few)) == []
    many = ~np.isin(ROW, np.random.default_rng(2).choice(np.arange(10, 110), 40, replace=False))
    # two of the forty lie at the end of a part, where no later value is known
    (note,) = notes(holed("wind", many))
    assert note == (
        "38 of 112 windows (34%) are lost to missing values: wind 38; set missing: ffill or mask, raise max_gap, or "
        "leave the column out: drop_cols: [wind]"
    )
    assert notes(holed("wind", many), missing="ffill") == []


def test_where_no_window_is_left_the_error_names_the_columns() -> None:
    table = holed("wind", ROW % 40 == 3, holed("heat", ROW != 50))
    with pytest.raises(
        DataError, match=r"training, test.* 106 of 112 windows \(95%\) are lost to missing values: wind 106, heat 1$"
    ):
        mill_dataset(table)


def test_a_window_shorter_than_a_season_is_pointed_out() -> None:
    (note,) = notes(mill_table(), sequence_length=5)
    assert note.startswith(
        "a window of sequence_length 5 is shorter than a season (7 steps), so the networks cannot see"
    )
    assert notes(mill_table(), sequence_length=7) == []


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1])
def test_a_constant_column_is_named(value: float) -> None:
    table = with_column(mill_table(), "heat", np.full(ROWS, value))
    dataset = mill_dataset(table)
    assert dataset.constant == ("heat",)
    assert data_notes(dataset) == [
        "constant in the training rows, and forecast as that constant for as long as they stay so: heat"
    ]


# rows at the end


def longer(days: int, **values: Any) -> pa.Table:
    """The mill's table and more days, in which only some columns have values."""
    table = mill_table()
    more = mill_table(ROWS + days).slice(ROWS)
    empty = {field.name: pa.array(values.get(field.name, [None] * days), field.type) for field in table.schema} | {
        "date": more["date"].combine_chunks()
    }
    return pa.concat_tables([table, pa.table(empty, schema=table.schema)])


@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask", "error"])
@pytest.mark.parametrize("days", [1, 10, 40])
def test_rows_at_the_end_without_a_value_change_nothing(rule: str, days: int, caplog: pytest.LogCaptureFixture) -> None:
    """40 days are more than max_gap; they must not split the series either."""
    dataset, clean = mill_dataset(longer(days), missing=rule), mill_dataset(missing=rule)
    assert dataset.fingerprint() == clean.fingerprint()
    assert dataset.split == clean.split
    hold = "row at the end holds" if days == 1 else "rows at the end hold"
    left = "is" if days == 1 else "are"
    note = (
        f"{days} {hold} a timestamp and nothing else and {left} left off: the last observed row is 2024-04-17 00:00:00"
    )
    assert data_notes(dataset) == [note]
    repeat = linear_ensemble(clean, {name: [(1, name, 1.0)] for name in PREDICTED})
    with caplog.at_level(logging.WARNING):
        found = repeat.predict(longer(days), 3)
    told = [record.message for record in caplog.records if record.name.startswith("lstm_pipeline")]
    assert told == [f"the prediction input: {note}"]
    pd.testing.assert_frame_equal(found, repeat.predict(mill_table(), 3))


def test_with_future_covariates_the_plan_stays_and_the_rows_after_it_are_left_off() -> None:
    step = {"future_covariates": ["wind"]}
    table = longer(6, wind=[1.0, 1.0, 1.0, 1.0, None, None])
    dataset = mill_dataset(table, **step)
    assert len(dataset.series) == ROWS
    assert data_notes(dataset)[0].startswith("2 rows at the end hold a timestamp and nothing else and are left off")
    history = linear_ensemble(dataset, {}).read_history(table)
    assert history.plan[:4].tolist() == [[1.0]] * 4


def test_a_plan_that_is_not_declared_is_pointed_out() -> None:
    (note,) = [note for note in notes(longer(3, wind=[1.0, 1.0, 1.0])) if "predicted" in note]
    assert note == (
        "in the last 3 rows no predicted feature has a value, only wind; if such values are known in advance, list "
        "them in future_covariates, and the forecast starts after 2024-04-17 00:00:00"
    )


def test_rows_of_nothing_at_all_are_still_an_error() -> None:
    table = mill_table().set_column(3, "parts", pa.array([None] * ROWS, pa.int64()))
    for name in ("load", "heat", "wind"):
        table = with_column(table, name, np.full(ROWS, NAN)).cast(mill_table().schema)
    with pytest.raises(DataError, match="without a single value: heat, load, parts, wind"):
        mill_dataset(table)


# stand-ins


@pytest.mark.parametrize(
    ("low", "value", "rows", "told"),
    [(100, -999.0, 3, True), (100, 9_999.0, 5, True), (100, -999.0, 2, False), (100, 0.0, 5, False),
     (100, 90.0, 5, False), (-5, -200.0, 4, True)],
)  # fmt: skip
def test_values_that_may_stand_for_missing_ones(low: float, value: float, rows: int, told: bool) -> None:
    wind = low + np.arange(ROWS) % 20.0  # 20 different values from `low` on
    wind[3 : 3 + rows] = value
    found = [note for note in notes(with_column(mill_table(), "wind", wind)) if "missing_values" in note]
    said = (
        f"'wind' is {value:g} in {rows} rows and far from that in all others ({low} to {low + 19}); if it means a "
        f"missing value, write missing_values: [{value:g}] at the input"
    )
    assert found == [said] * told


# names


def test_a_column_named_like_the_calendar_is_refused_before_training() -> None:
    table = mill_table().append_column("month", pa.array([1.0] * ROWS))
    step = {"preset": None, "drop_cols": ["note"]}
    with pytest.raises(DataError, match=r"names of inputs that the product adds \(a calendar feature\): month\. .*"):
        mill_dataset(table, **step)
    assert mill_dataset(table.rename_columns([*table.column_names[:-1], "Month"]), **step).features.context


# validate


def test_validate_describes_the_data(tmp_path: Path) -> None:
    project = mill_project(tmp_path, longer(2))
    assert described_data(project) == [
        "power: load, parts",
        "warmth: heat",
        "input only: wind",
        "ignored: note (in drop_cols)",
        "note: 2 rows at the end hold a timestamp and nothing else and are left off: the last observed row is "
        "2024-04-17 00:00:00",
    ]


def test_of_the_first_rows_of_a_large_input_less_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = mill_project(tmp_path, longer(2))
    monkeypatch.setattr(checks, "MOST_CELLS", 4 * 50)
    found = checks.checked_data(project, AS_OF)
    uses = ["power: load, parts", "warmth: heat", "input only: wind", "ignored: note (in drop_cols)"]
    rows = found.frame and found.frame.table.num_rows
    said = f"note: the input is large, so only its first {rows} rows were looked at"
    assert described_data(project, found.frame) == [*uses, said]
    monkeypatch.setattr(checks, "MOST_CELLS", 4 * 5)  # too few rows for a window in each part say nothing of all rows
    found = checks.checked_data(project, AS_OF)
    assert described_data(project, found.frame)[-1].startswith("note: the input is large")


def test_what_validate_describes_can_be_trained(tmp_path: Path) -> None:
    spec = mill_spec(sequence_length=90)
    with pytest.raises(SpecError, match=r"model_metadata\.transformations\[1\]: parts without a window: training"):
        described_data(project_of(tmp_path, spec))


def test_rows_at_another_pace_than_in_training_are_refused() -> None:
    """There is no grid that could tell, so the time between most rows is compared."""
    dataset = mill_dataset(frequency="rows")
    assert (dataset.row_step, dataset.season, mill_dataset().row_step) == ("D", 7, None)
    plain = linear_ensemble(dataset, {name: [(1, name, 0.9)] for name in PREDICTED})
    ensemble = Ensemble(
        [
            type(model)(model.metadata.model_copy(update={"row_step": "D"}), model.scaler, model.network)
            for model in plain.models
        ]
    )
    daily = linear_ensemble(mill_dataset(), {name: [(1, name, 0.9)] for name in PREDICTED})
    pd.testing.assert_frame_equal(ensemble.predict(mill_table(), 3), daily.predict(mill_table(), 3))
    with pytest.raises(DataError, match=r"trained on rows that are mostly D apart; .* mostly 7D apart"):
        ensemble.predict(mill_table(200).take(list(range(0, 200, 7))), 3)
