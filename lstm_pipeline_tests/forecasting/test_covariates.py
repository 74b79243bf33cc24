"""Future covariates: a row carries the next step's value, and a forecast needs a plan."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError, SpecError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.projects.checks import data_problems
from lstm_pipeline.projects.project import load_project
from lstm_pipeline.timeseries.series import split_plan
from lstm_pipeline_tests.mill import (
    FEATURES,
    LENGTH,
    ROWS,
    linear_ensemble,
    mill_dataset,
    mill_project,
    mill_table,
    publish_mill,
    train_mill,
)

COVARIATES: dict[str, Any] = {"future_covariates": ["wind"]}
PLAN = [0.1, 0.4, 0.2, 0.35, 0.25]


def with_plan(plan: list[float | None]) -> pa.Table:
    """The mill's rows, followed by rows that give the wind alone."""
    table = mill_table()
    first = pd.Timestamp(table["date"][-1].as_py()) + pd.Timedelta(days=1)
    days = pd.date_range(first, periods=len(plan)).to_numpy().astype("datetime64[D]")
    columns = {name: pa.nulls(len(plan), table.schema.field(name).type) for name in table.column_names}
    return pa.concat_tables(
        [table, pa.table({**columns, "date": pa.array(days), "wind": pa.array(plan, pa.float64())})]
    )


def test_a_row_carries_the_covariate_of_the_step_after_it() -> None:
    dataset = mill_dataset(**COVARIATES)
    rows, scaler = dataset.rows(dataset.scaler("standard")), dataset.scaler("standard").subset(["wind"])
    assert dataset.known[-1] == "next wind"
    wind = scaler.transform(dataset.series.values[:, [FEATURES.index("wind")]])[:, 0]
    np.testing.assert_allclose(rows[:-1, -1], wind[1:], rtol=1e-5)
    np.testing.assert_allclose(rows[:, FEATURES.index("wind")], wind, rtol=1e-5)
    assert dataset.features.covariates == ("wind",)
    assert dataset.features.context == ("wind",)


def test_planned_rows_are_not_trained_on() -> None:
    planned, plain = mill_dataset(with_plan([*PLAN]), **COVARIATES), mill_dataset(**COVARIATES)
    assert len(planned.series) == ROWS
    assert planned.split == plain.split
    assert planned.fingerprint() == plain.fingerprint()
    series, plan = split_plan(plain.series, ["wind"])
    assert (len(series), plan.shape) == (ROWS, (0, 1))


def repeats_the_plan(dataset: Dataset) -> Any:
    """Forecasts the load as the wind of the same step, in scaled units."""
    return linear_ensemble(dataset, {"load": [(1, "next wind", 1.0)]})


def test_a_roll_reads_the_plan_of_each_step() -> None:
    dataset = mill_dataset(**COVARIATES)
    forecast = repeats_the_plan(dataset).predict(with_plan([*PLAN]), len(PLAN))
    scaler = dataset.scaler("standard")
    expected = scaler.subset(["wind"]).transform(np.array(PLAN)[:, None])
    found = scaler.subset(["load"]).transform(forecast[["load"]].to_numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (
        str(forecast["date"].iloc[0])[:10]
        == str(pd.Timestamp(mill_table()["date"][-1].as_py()).date() + pd.Timedelta(days=1))[:10]
    )


def test_held_out_forecasts_read_the_observed_covariates() -> None:
    dataset = mill_dataset(**COVARIATES)
    ensemble = repeats_the_plan(dataset)
    start = 60
    rolled = ensemble.roll(dataset.series, dataset.filled, np.array([start]), 5)[0, :, ensemble.predicted.index("load")]
    scaler, wind = dataset.scaler("standard"), FEATURES.index("wind")
    observed = dataset.series.values[start + LENGTH : start + LENGTH + 5, [wind]]
    expected = scaler.subset(["load"]).inverse(scaler.subset(["wind"]).transform(observed))[:, 0]
    np.testing.assert_allclose(rolled, expected, rtol=1e-5)


@pytest.mark.parametrize("plan", [PLAN[:4], [0.1, None, 0.3, 0.2, 0.2], []])
def test_a_forecast_without_a_plan_for_each_step_is_refused(plan: list[float | None]) -> None:
    ensemble = repeats_the_plan(mill_dataset(**COVARIATES))
    with pytest.raises(
        DataError, match=r"future_covariates: expected values of wind for 5 steps after the last observed one"
    ):
        ensemble.predict(with_plan(plan), 5)


@pytest.mark.slow
def test_a_trained_project_forecasts_with_a_plan(tmp_path: Path) -> None:
    project = mill_project(tmp_path, preset=None, **COVARIATES)
    train_mill(project, "run1")
    version = publish_mill(project)
    metadata = version.models["power"].record.metadata
    assert metadata.future_covariates == ["wind"]
    assert metadata.hyperparameters["known_future"] is True
    from lstm_pipeline import Ensemble

    ensemble = Ensemble.load(project.storage, "mill")
    calm, windy = (ensemble.predict(with_plan([speed] * 5), 5)[["load", "heat"]].to_numpy() for speed in (0.1, 0.9))
    assert np.isfinite(calm).all()
    assert not np.allclose(calm, windy)


def test_unknown_covariates_are_named(tmp_path: Path) -> None:
    project = mill_project(tmp_path, future_covariates=["wnd", "note2"])
    problems = [str(problem) for problem in data_problems(load_project(project.loaded.source, project.storage))]
    assert any("there is no column 'wnd'. Did you mean 'wind'?" in problem for problem in problems)


def test_a_covariate_that_is_predicted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="future_covariates"):
        mill_project(tmp_path, future_covariates=["load"])


def test_an_unknown_country_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="ISO 3166"):
        mill_project(tmp_path, holidays="XX")
