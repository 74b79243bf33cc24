"""Back-tests of the mill: exact scores, no leaks, and a user's mistakes."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.backtesting import contenders
from lstm_pipeline.backtesting.backtest import Backtest, BacktestOptions, backtest, read_protocol
from lstm_pipeline.backtesting.classical import STATISTICAL
from lstm_pipeline.backtesting.retraining import known_before, retrain
from lstm_pipeline.errors import DataError, RegistryError, TrainingError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.publishing import publish
from lstm_pipeline.forecasting.rolling import roll_from
from lstm_pipeline.projects.project import Project
from lstm_pipeline.reporting.drawing import draw_backtest
from lstm_pipeline.statistics.metrics import NAMES
from lstm_pipeline_tests.mill import (
    GROUPS,
    HORIZON,
    LENGTH,
    PREDICTED,
    TINY,
    mill_dataset,
    mill_project,
    mill_step,
    mill_table,
    poisoned,
    publish_mill,
    train_mill,
    with_column,
)
from lstm_pipeline_tests.test_cli import command, fresh_command

module = importlib.import_module("lstm_pipeline.backtesting.backtest")  # the room's face has a function of that name
TEST, ROWS, SEASON = 96, 120, 7
METHODS = ["ensemble", "seasonal_naive", "last_value", "drift", "linear"]


@pytest.fixture(scope="module", autouse=True)
def _without_the_extra() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "is_installed", lambda: False)
        yield


@pytest.fixture(scope="module")
def found(mill: Project) -> Backtest:
    return backtest(mill, mill_table())


def metrics_of(result: Backtest, method: str) -> dict[str, dict[str, float | None]]:
    whole = result.table.filter(pc.field("lead").is_null()).to_pylist()
    rows = [row for row in whole if row["method"] == method and row["feature"] is not None]
    return {row["feature"]: {name: row[name] for name in NAMES} for row in rows}


def test_the_ensemble_scores_as_it_did_when_it_was_published(mill: Project, found: Backtest) -> None:
    record = mill.registry.ensemble_record().metadata
    published = record.feature_metrics["rolled"]
    scores = metrics_of(found, "ensemble")
    assert list(scores) == PREDICTED
    for name in PREDICTED:
        assert scores[name] == pytest.approx(published[name])
    means = found.table.filter(pc.field("lead").is_null() & pc.field("group").is_null()).to_pylist()
    by_method = {row["method"]: row for row in means}
    assert list(by_method) == METHODS  # without a blend the ensemble is the networks alone, and `network` is dropped
    assert by_method["seasonal_naive"]["rmse"] == pytest.approx(record.baseline_metrics["seasonal_naive"]["rmse"])
    assert by_method["last_value"]["mase"] == pytest.approx(record.baseline_metrics["last_value"]["mase"])
    assert {row["origins"] for row in means} == {record.evaluation["origins"]} == {20}


def test_protocol_and_shapes(found: Backtest) -> None:
    assert found.contest.actual.shape == (20, HORIZON, 3)
    assert {name: values.shape for name, values in found.contest.forecasts.items()} == dict.fromkeys(
        METHODS, (20, HORIZON, 3)
    )
    assert found.protocol == read_protocol(found.table)
    assert found.protocol["version"] == "v1"
    assert found.protocol["horizon"] == HORIZON
    assert found.protocol["overlapping_origins"] == HORIZON - 1
    assert found.protocol["first_origin"] == "2024-03-25T00:00:00" == found.origins[0].isoformat()
    assert found.table.num_rows == len(METHODS) * (1 + HORIZON) * (1 + 2 + 3)
    assert draw_backtest("mill", found.table).startswith(b"\x89PNG")


def test_drift_and_linear_are_made_of_the_rows_before_the_origin(found: Backtest) -> None:
    values = mill_table()["load"].to_numpy()
    slope = (values[TEST - 1] - values[TEST - LENGTH]) / (LENGTH - 1)
    expected = values[TEST - 1] + slope * np.arange(1, HORIZON + 1)
    np.testing.assert_allclose(found.contest.forecasts["drift"][0, :, 0], expected)
    errors = found.contest.actual - found.contest.forecasts["linear"]
    naive = found.contest.actual - found.contest.forecasts["last_value"]
    assert (np.mean(errors**2, axis=(0, 1)) < np.mean(naive**2, axis=(0, 1))).all()  # there is a season to learn


def test_simple_methods_learn_from_the_training_rows_and_forecast_from_the_window_alone(
    mill: Project, found: Backtest
) -> None:
    values = mill_table()["load"].to_numpy().copy()
    values[77 : TEST - LENGTH] += 5  # validation rows before the first window
    spoilt = backtest(mill, poisoned(with_column(mill_table(), "load", values), TEST, 1e9), BacktestOptions(origins=1))
    for method, forecast in found.contest.forecasts.items():
        np.testing.assert_allclose(spoilt.contest.forecasts[method], forecast[:1], rtol=1e-6, err_msg=method)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (BacktestOptions(origins=3), [96, 106, 115]),
        (BacktestOptions(origins=1), [96]),
        (BacktestOptions(origins=99), list(range(96, 116))),
        (BacktestOptions(stride=8), [96, 104, 112]),
        (BacktestOptions(stride=500), [96]),
    ],
)
def test_origins_are_spread_evenly_or_a_stride_apart(
    mill: Project, options: BacktestOptions, expected: Sequence[int]
) -> None:
    assert backtest(mill, mill_table(), options).contest.first.tolist() == expected


def test_all_that_a_version_has_not_seen_is_held_out(mill: Project) -> None:
    """Even if today's data would be split elsewhere."""
    grown = backtest(mill, mill_table(rows=150), BacktestOptions(stride=10))
    assert grown.contest.first.tolist() == [96, 106, 116, 126, 136]
    shrunk = backtest(mill, mill_table().slice(20), BacktestOptions(origins=2))
    assert shrunk.contest.first.tolist() == [96 - 20, 115 - 20]
    ensemble = Ensemble.of(mill.registry, mill.registry.load())
    whole = roll_from(mill_dataset(), ensemble, np.array([96, 115]), HORIZON)
    np.testing.assert_allclose(shrunk.contest.forecasts["ensemble"], whole.method("network"), rtol=1e-5)


@pytest.mark.slow
def test_the_rows_from_an_origin_on_leave_its_forecasts_bit_identical(tmp_path: Path) -> None:
    """With retraining and a new blend at each origin; this holds for the naive and linear methods as well."""
    project = mill_project(tmp_path, blend_baseline=True)
    options, stages = BacktestOptions(stride=10, retrain_every=1), []
    clean = backtest(project, mill_table(), options, on_stage=stages.append)
    assert clean.contest.first.tolist() == [96, 106]
    assert stages[0] == "retraining 1 of 2: on the 96 rows before 2024-03-25 00:00:00"
    spoilt = backtest(project, poisoned(mill_table(), 106, 1e9), options)
    assert (clean.contest.actual[1] != spoilt.contest.actual[1]).any()
    assert set(clean.contest.forecasts) == {*METHODS, "network"}
    for method, forecast in clean.contest.forecasts.items():
        np.testing.assert_array_equal(spoilt.contest.forecasts[method], forecast, err_msg=method)
    nearer = backtest(project, poisoned(mill_table(), 105, 60.0), options)
    assert (nearer.contest.forecasts["network"][1] != clean.contest.forecasts["network"][1]).all()
    np.testing.assert_array_equal(nearer.contest.forecasts["network"][0], clean.contest.forecasts["network"][0])
    assert not (tmp_path / "storage").exists()  # no candidate, no version


@pytest.mark.slow
def test_a_retraining_serves_the_origins_up_to_the_next_and_depends_on_its_rows_alone(
    mill: Project, tmp_path: Path
) -> None:
    project, reports = mill_project(tmp_path), []
    options = BacktestOptions(stride=4, retrain_every=3)
    found = backtest(
        project, mill_table(), options, on_epoch=lambda group, report: reports.append((group, report.epoch))
    )
    assert found.contest.first.tolist() == [96, 100, 104, 108, 112]
    assert {group for group, _ in reports} == set(GROUPS)
    assert len(reports) == 2 * 2 * 2  # retrainings, groups, epochs
    assert found.protocol["version"] is None
    later = backtest(project, poisoned(mill_table(), 108, 1e9), options)
    expected = found.contest.forecasts["ensemble"]
    np.testing.assert_array_equal(later.contest.forecasts["ensemble"][:4], expected[:4])
    assert (
        later.contest.forecasts["ensemble"][4] != expected[4]
    ).all()  # its window holds poison, its training rows do not
    once = backtest(mill, mill_table(), BacktestOptions(stride=4)).contest.forecasts["linear"]
    np.testing.assert_allclose(found.contest.forecasts["linear"][:3], once[:3])
    assert (found.contest.forecasts["linear"][3:] != once[3:]).all()  # fitted anew as well


def test_what_is_known_before_an_origin() -> None:
    step, dataset = mill_step(), mill_dataset()
    known = known_before(dataset, step, 100, 4)
    assert (known.split.validation, known.split.test, known.split.rows) == (80, 100, 104)
    np.testing.assert_array_equal(known.series.values[:100], dataset.series.values[:100])
    assert not known.series.values[100:].any()
    assert known.series.steps.equals(dataset.series.steps[:104])
    assert len(known_before(dataset, step, 120, 9).series) == 129  # beyond the last row


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BacktestOptions(origins=0), "origins: expected at least 1, found 0"),
        (BacktestOptions(stride=-2), "stride: expected at least 1, found -2"),
        (BacktestOptions(retrain_every=0), "retrain_every: expected at least 1, found 0"),
        (BacktestOptions(origins=2, stride=2), "origins and stride cannot be combined"),
        (BacktestOptions(version="v1", retrain_every=2), "version and retrain_every cannot be combined"),
    ],
)
def test_invalid_options(mill: Project, options: BacktestOptions, message: str) -> None:
    with pytest.raises(DataError, match=message):
        backtest(mill, mill_table(), options)


def test_what_does_not_fit_is_reported_in_one_clear_message(mill: Project, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="has no version v9; its versions are v1"):
        backtest(mill, mill_table(), BacktestOptions(version="v9"))
    with pytest.raises(RegistryError, match="has no version yet"):
        backtest(mill_project(tmp_path / "none"), mill_table())
    with pytest.raises(DataError, match="no rows are held out: v1 was trained and validated on rows up to 2024-03-24"):
        backtest(mill, mill_table().slice(0, TEST))
    with pytest.raises(
        DataError, match=r"need the rows that v1 was trained on \(up to 2024-03-05.*but the data begins at 2024-02-28"
    ):
        backtest(mill, mill_table().slice(70))
    holed = np.where(np.isin(np.arange(ROWS), [95, 103, 107]), np.nan, mill_table()["load"])
    far = with_column(
        mill_table(), "load", holed
    )  # the first window without a gap ends at row 115, four rows before the end
    with pytest.raises(
        DataError, match=r"test part \(24 rows\): each one needs 8 usable rows .* and 5 rows from it on"
    ):
        backtest(mill_project(tmp_path / "far", max_gap=0), far, BacktestOptions(retrain_every=1))
    other = mill_project(tmp_path / "other", feature_groups={"all": PREDICTED}, models_config={})
    with pytest.raises(RegistryError, match="v1 has the groups power, warmth, but the spec has all; train again"):
        backtest(Project(other.loaded, mill.storage), mill_table())


def test_too_many_origins_for_memory(mill: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CELLS", 10)
    grown = mill_table(rows=200)
    with pytest.raises(DataError, match="expected at most 64: give fewer origins or a longer stride"):
        backtest(mill, grown, BacktestOptions(stride=1))
    assert len(backtest(mill, grown).contest.first) == 64


def test_a_horizon_longer_than_the_test_part_is_cut_to_it(mill: Project) -> None:
    found = backtest(mill, mill_table().slice(0, TEST + 3))
    assert found.contest.first.tolist() == [TEST]
    assert found.contest.horizon == 3
    assert {test.p_value for test in found.comparisons} == {None}


def test_slow_methods_start_from_a_few_origins_and_know_all_rows_before_each(
    mill: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_values(values: Float64, horizon: int, season: int) -> Float64:
        return np.broadcast_to(values[-1], (2, horizon, values.shape[1])) + np.array([0.0, 1.0])[:, None, None]

    monkeypatch.setattr(module, "is_installed", lambda: True)
    monkeypatch.setattr(contenders, "statistical_forecasts", last_values)
    monkeypatch.setattr(contenders, "STATISTICAL_ORIGINS", 3)
    stages: list[str] = []
    found = backtest(mill, mill_table(), on_stage=stages.append)
    assert stages == [f"ets and theta: origin {number} of 3" for number in (1, 2, 3)]
    assert np.flatnonzero(found.contest.made("ets")).tolist() == [0, 10, 19]
    naive = found.contest.forecasts["last_value"][[0, 10, 19]]
    np.testing.assert_array_equal(found.contest.forecasts["ets"][[0, 10, 19]], naive)
    np.testing.assert_array_equal(found.contest.forecasts["theta"][[0, 10, 19]], naive + 1)
    assert {test.origins for test in found.comparisons if test.method == "ets"} == {3}


def test_a_version_of_older_models_is_held_out_from_where_it_was_published(own_mill: Project) -> None:
    """Its blend was fitted on the validation part of the data it was published with."""
    publish(own_mill, mill_table(rows=150), {}, run_id="later")
    found = backtest(own_mill, mill_table(rows=150), BacktestOptions(origins=2))
    assert found.protocol["version"] == "v2"
    assert found.contest.first.tolist() == [120, 145]


def test_refitted_networks_are_not_the_ones_that_are_scored(tmp_path: Path) -> None:
    options = {**TINY, "refit": True}
    project = mill_project(tmp_path, models_config={"power": options, "warmth": options})
    train_mill(project, "run1")
    published = publish_mill(project).record.metadata.feature_metrics["rolled"]
    found = backtest(project, mill_table())
    assert metrics_of(found, "ensemble")["load"] == pytest.approx(published["load"])
    seen = Ensemble.of(project.registry, project.registry.load())
    final = roll_from(mill_dataset(), seen, found.contest.first, HORIZON).method("network")
    assert (final != found.contest.forecasts["ensemble"]).any()


@pytest.mark.parametrize(
    ("preset", "expected"),
    [pytest.param(None, {"network", "linear map"}, marks=pytest.mark.slow), ("documented", set())],
    ids=["default", "documented"],
)
def test_a_retraining_trains_what_a_training_does(preset: str | None, expected: set[str]) -> None:
    """The options that the data tells are those of all rows; they do not count as the spec's own."""
    small = {**TINY, "segment_units": 4, "segment_length": 4}
    step = mill_step(preset=preset, epochs=1, models_config=dict.fromkeys(GROUPS, small))
    found = retrain(mill_dataset(preset=preset), step, 96, train_horizon=HORIZON, horizon=HORIZON, on_epoch=None)
    for model in found.ensemble.models:
        assert {variant.label for variant in model.metadata.variants} == expected
        assert model.metadata.hyperparameters["preset"] == preset


def test_a_failed_retraining_is_reported_in_one_clear_message(tmp_path: Path) -> None:
    options = {**TINY, "learning_rate": 1e30, "activation": "relu"}
    project = mill_project(tmp_path, models_config={"power": options, "warmth": TINY})
    with pytest.raises(TrainingError, match="group 'power'") as caught:
        backtest(project, mill_table(), BacktestOptions(origins=1, retrain_every=1))
    assert "kept" not in str(caught.value)


def run_cli(project: Project, *arguments: str, how: Any = command) -> subprocess.CompletedProcess[str]:
    found: subprocess.CompletedProcess[str] = how(
        project.loaded.folder, "backtest", "mill.yaml", "--as-of", "2024-06-01", *arguments
    )
    return found


@pytest.mark.slow
def test_the_command_line(own_mill: Project) -> None:
    result = run_cli(own_mill, "--origins", "12", "--version", "v1", how=fresh_command)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "Back-test of v1: 12 origins from 2024-03-25T00:00:00" in result.stdout
    assert "By feature: the ensemble, and the best other method" in result.stdout
    data = Path(own_mill.storage) / "models" / "mill" / "data"
    assert f"scores: {data}/backtest.parquet" in result.stdout
    assert (data / "backtest.png").read_bytes().startswith(b"\x89PNG")
    table = pq.read_table(data / "backtest.parquet")
    assert read_protocol(table)["origins"] == 12
    assert table.schema.metadata[b"lstm_pipeline/as_of"] == b"2024-06-01"
    expected = backtest(own_mill, mill_table(), BacktestOptions(origins=12)).table
    fast = table.filter(~pc.field("method").isin(STATISTICAL))
    assert fast.select(["method", "lead", "rmse"]).equals(expected.select(["method", "lead", "rmse"]))


@pytest.mark.slow
def test_the_command_line_retrains_and_stores_no_model(tmp_path: Path) -> None:
    result = run_cli(mill_project(tmp_path), "--stride", "20", "--retrain-every", "1")
    assert result.returncode == 0, result.stderr
    assert "retraining 1 of 1: on the 96 rows before 2024-03-25 00:00:00" in result.stdout
    assert "power: epoch 2/2" in result.stdout
    assert "Back-test of models retrained at every origin: 1 origin from" in result.stdout
    assert [path.name for path in (tmp_path / "storage" / "models" / "mill").iterdir()] == ["data"]


@pytest.mark.slow
def test_mistakes_on_the_command_line(tmp_path: Path) -> None:
    project = mill_project(tmp_path)
    for arguments, message in (
        (("--origins", "0"), "0 is not in the range x>=1"),
        (("--stride", "0"), "0 is not in the range x>=1"),
        (("--origins", "2", "--stride", "2"), "--origins and --stride cannot be combined"),
        (("--version", "v1", "--retrain-every", "2"), "use one of them"),
    ):
        result = run_cli(project, *arguments)
        assert result.returncode == 2
        assert message in result.stderr
    result = run_cli(project)
    assert result.returncode == 1
    assert result.stderr.startswith("failed: project 'mill' has no version yet")
    assert "Traceback" not in result.stdout + result.stderr
