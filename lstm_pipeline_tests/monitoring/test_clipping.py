from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lstm_pipeline.errors import DataError
from lstm_pipeline.monitoring.clipping import ClippedInputs
from lstm_pipeline.projects import Project, load_project, training_input
from lstm_pipeline_tests.orchestration.plant import spec, tiny_project


def days_of(project: Project, as_of: str = "2030-01-01") -> list[str]:
    return [str(day)[:10] for day in training_input(project, dt.date.fromisoformat(as_of))["date"].to_pylist()]


def test_rows_appear_with_their_day_and_only_the_inputs_change(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    inputs = ClippedInputs(project, tmp_path / "work")
    assert (inputs.first_day, inputs.last_day) == (dt.date(2024, 1, 1), dt.date(2024, 4, 29))
    clipped = inputs.project(tmp_path / "store")
    for day, rows in (("2024-01-03", 3), ("2024-01-04", 4), ("2024-04-01", 92)):
        inputs.advance(dt.date.fromisoformat(day))
        found = days_of(clipped)
        assert (len(found), found[0], found[-1]) == (rows, "2024-01-01", day)
    assert clipped.storage == str(tmp_path / "store")
    assert not (tmp_path / "storage").exists()
    assert clipped.spec.training == project.spec.training
    assert len(list((tmp_path / "work").iterdir())) == 1  # training and prediction read the same input


def test_a_day_ends_in_the_zone_of_the_project(tmp_path: Path) -> None:
    instants = pd.date_range("2024-03-09 21:00", periods=40, freq="h", tz="UTC")
    table = pa.table({"date": pa.array(instants), "power": range(40), "flow": range(40), "passes": range(40)})
    pq.write_table(table, tmp_path / "plant.parquet")
    written = {**spec(), "timezone": "America/New_York", "catalog": {"plant": "plant.parquet"}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(written))
    project = load_project(tmp_path / "tiny.yaml", str(tmp_path / "storage"))
    inputs = ClippedInputs(project, tmp_path / "work")
    clipped = inputs.project(tmp_path / "store")
    for day, last in ((9, "2024-03-10T04:00:00+00:00"), (10, "2024-03-11T03:00:00+00:00")):  # 24 hours, then 23
        inputs.advance(dt.date(2024, 3, day))
        times = training_input(clipped, dt.date(2030, 1, 1))["date"].to_pylist()
        assert times[-1] == dt.datetime.fromisoformat(last)


def test_the_day_is_that_of_the_select_steps_and_filters_do_not_count(tmp_path: Path) -> None:
    written = spec()
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=5).strftime("%Y-%m-%d"), "hr": 0, "power": 1.0})
    frame.to_csv(tmp_path / "plant.csv", index=False)
    made: dict[str, Any] = {
        "transform": "select_expression",
        "input": "features",
        "output": "selected",
        "expressions": ["date_add(day, 1) as date", "power"],
    }
    for product in ("model_metadata", "predictions"):
        steps = written[product]["transformations"]
        steps[0] = {**steps[0], "input": "selected"}
        steps.insert(0, made)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(written))
    inputs = ClippedInputs(load_project(tmp_path / "tiny.yaml", str(tmp_path)), tmp_path / "work")
    inputs.advance(dt.date(2024, 1, 3))
    assert days_of(inputs.project(tmp_path)) == ["2024-01-02", "2024-01-03"]


def test_of_the_future_only_the_covariates_of_the_horizon_are_known(tmp_path: Path) -> None:
    project = tiny_project(tmp_path, future_covariates=["outside"])
    inputs = ClippedInputs(project, tmp_path / "work")
    clipped = inputs.project(tmp_path / "store")
    for day in (dt.date(2024, 1, 3), dt.date(2024, 1, 10)):
        inputs.advance(day)
        rows = training_input(clipped, dt.date(2030, 1, 1)).to_pylist()
        assert rows[-6]["date"] == day
        assert rows[-6]["power"] is not None
        ahead = [(row["power"], row["flow"], row["passes"]) for row in rows[-5:]]
        assert ahead == [(None, None, None)] * 5
        first = (day - dt.date(2024, 1, 1)).days
        assert [row["outside"] for row in rows[-5:]] == [(first + step) % 7 for step in range(1, 6)]


def test_an_input_without_the_timestamp_is_refused(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    pd.DataFrame({"dat": [1], "power": [2.0]}).to_csv(tmp_path / "plant.csv", index=False)
    with pytest.raises(DataError, match=r"expected a column 'date', found dat, power"):
        ClippedInputs(project, tmp_path / "work")
    pd.DataFrame({"date": [1], "power": [2.0]}).to_csv(tmp_path / "plant.csv", index=False)
    with pytest.raises(DataError, match=r"expected dates or times in 'date', found int64"):
        ClippedInputs(project, tmp_path / "more")
