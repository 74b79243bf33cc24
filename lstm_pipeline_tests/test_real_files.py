"""Situations from public bug reports, from a file to a forecast: the right value, or one message.

The further inputs of each kind, made by code, are tested in `timeseries/test_rhythm.py` (rhythms and rows),
`forecasting/test_notes.py` (rows at the end, late starts), `reporting/test_names.py` (names) and
`forecasting/test_frames.py` (frames of the Python API).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstm_pipeline.api import Project, load_project
from lstm_pipeline.forecasting import Ensemble
from lstm_pipeline.projects import data_problems
from lstm_pipeline.reporting import note_lines
from lstm_pipeline_tests.mill import project_of

CASES = Path(__file__).parent / "cases"


def case(name: str, folder: Path) -> Project:
    shutil.copytree(CASES / name, folder / name)
    return load_project(folder / name / "spec.yaml", str(folder / "storage"))


@pytest.fixture(scope="module")
def weekly(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = case("04_weekly_column_in_daily_data", tmp_path_factory.mktemp("weekly"))
    project.train()
    project.publish()
    return project


def test_a_weekly_column_in_daily_data_costs_no_window(weekly: Project) -> None:
    """It cost 120 of 139 training windows, and its intervals had no width and missed their forecast."""
    version = weekly.registry.load()
    metadata = version.models["default"].record.metadata
    assert metadata.training["windows"]["train"] >= 138  # its first value is in the second row
    assert metadata.carried_forward == {"weekly": 7}
    record = version.record.metadata
    assert record.evaluation["origins"] == 48
    assert note_lines(version.record) == [
        "default: a, weekly",
        "note: columns with a rhythm of their own hold each value until the next one: weekly (every 7 steps at most)",
        "note: 95 % intervals pool neighbouring lead times, as fewer than 39 errors are known at each, for weekly",
    ]
    found = weekly.forecast()
    assert (found["weekly_lo_95"] <= found["weekly_lo_80"]).all()
    assert (found["weekly_lo_80"] < found["weekly"]).all()
    assert (found["weekly"] < found["weekly_hi_80"]).all()
    assert (found["weekly_hi_80"] <= found["weekly_hi_95"]).all()


def test_a_frame_with_another_column_of_mixed_types(weekly: Project) -> None:
    ensemble = Ensemble.of(weekly.registry, weekly.registry.load())
    frame = pd.read_csv(weekly.loaded.folder / "data.csv")  # dates as text
    noted = frame.assign(note=["a", 1] * (len(frame) // 2))
    pd.testing.assert_frame_equal(ensemble.predict(noted, 2), ensemble.predict(frame, 2))
    np.testing.assert_array_equal(ensemble.predict(frame, 2)["a"], weekly.forecast()["a"][:2])


@pytest.mark.slow
def test_rows_at_the_end_that_hold_a_date_only(tmp_path: Path) -> None:
    project = case("12_empty_rows_at_the_end", tmp_path)
    project.train()
    version = project.publish()
    assert str(project.forecast()["date"].iloc[0])[:10] == "2023-09-18"  # not 2023-09-28, after the empty rows
    note = "note: 10 rows at the end hold a timestamp and nothing else and are left off: the last observed row is "
    assert note + "2023-09-17 00:00:00" in note_lines(version.record)


def test_a_dollar_in_a_name_is_published_and_forecast(tmp_path: Path) -> None:
    project = case("05_dollar_in_column_name", tmp_path)
    project.train()
    assert project.publish().record.version == "v1"
    assert "revenue_per_$_of_$_spend" in project.forecast().columns


@pytest.mark.parametrize("name", ["model_version", "_predicted_at", "MODEL_VERSION"])
def test_a_column_with_the_name_of_one_that_every_forecast_has(tmp_path: Path, name: str) -> None:
    project = case("07_column_named_model_version", tmp_path)
    data = project.loaded.folder / "data.csv"
    data.write_text(data.read_text().replace("model_version", name, 1))
    (problem,) = data_problems(project)
    assert problem.place == "model_metadata.transformations[0].features_to_predict"
    assert f"'{name}' is a predicted feature, but every forecast has a column" in problem.message
    assert f"drop_cols: [{name}]" in problem.message


def sessions(folder: Path, frequency: str) -> Project:
    """Two months of half-hourly prices of an exchange that is open from 9:30 to 16:00 on working days."""
    days = pd.bdate_range("2024-01-02", "2024-02-29").drop(pd.Timestamp("2024-01-15"))
    stamps = [day + pd.Timedelta(minutes=570 + 30 * half) for day in days for half in range(13)]
    price = 100 + np.sin(2 * np.pi * np.arange(len(stamps)) / 13)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"time": stamps, "price": price}).to_csv(folder / "prices.csv", index=False)
    step = {"timestamp_col": "time", "model_bucket": "models", "project_name": "exchange"}
    source = {"prices": {"input_type": "file", "uri": "prices.csv"}}
    training = {"transform": "regression_training_lstm", "input": "prices", "output": "metadata", "epochs": 1,
                "sequence_length": 26, "frequency": frequency, "models_config": {"default": {"units": 3}}}  # fmt: skip
    prediction = {"transform": "regression_prediction_lstm", "input": "prices", "output": "forecast",
                  "forecast_horizon": 14}  # fmt: skip
    spec = {
        "model_metadata": {
            "inputs": source, "transformations": [{**training, **step}], "finalisers": {"input": "metadata"}
        },
        "predictions": {
            "inputs": source, "transformations": [{**prediction, **step}], "finalisers": {"input": "forecast"}
        },
    }  # fmt: skip
    project_of(folder, spec, "exchange.yaml")
    return load_project(folder / "exchange.yaml", str(folder / "storage"))


@pytest.mark.slow
def test_the_sessions_of_an_exchange_follow_each_other_without_gaps(tmp_path: Path) -> None:
    project = sessions(tmp_path, "rows")
    assert data_problems(project) == []
    project.train()
    metadata = project.publish() and project.registry.load().models["default"].record.metadata
    assert (metadata.frequency, metadata.season_length, metadata.row_step) == ("rows", 13, "30min")
    assert metadata.filled_values == {}
    found = project.forecast()["time"]
    assert found.dt.strftime("%a %d %H:%M").tolist()[::13] == ["Fri 01 09:30", "Mon 04 09:30"]
    assert found.iloc[12] == pd.Timestamp("2024-03-01 15:30")
