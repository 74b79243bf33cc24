"""Networks before their training, and options that are refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import tasks
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.projects.inputs import prediction_input
from lstm_pipeline.projects.project import load_project
from lstm_pipeline.spec import TrainingStep
from lstm_pipeline.statistics.linear import LinearForm, fit_linear
from lstm_pipeline_tests.mill import (
    AS_OF,
    GROUPS,
    HORIZON,
    LENGTH,
    PREDICTED,
    TINY,
    mill_dataset,
    mill_project,
    mill_step,
    mill_table,
    publish_mill,
    train_mill,
)
from lstm_pipeline_tests.mill import with_column as replaced

SEASON = 3


def untrained(**options: Any) -> tuple[Any, Any]:
    """The task and the untrained network of the group `power` on a table with a gap in its training part."""
    table = mill_table()
    load = table["load"].to_numpy().copy()
    load[20:24] = np.nan
    sizes = {"segment_units": 4, "segment_length": 4, "feature_units": 4, "output_chunk_length": HORIZON}
    config = {**TINY, **sizes, **options}
    step = {"preset": None, "models_config": {"power": config}, "season_length": SEASON}
    task = prepared(mill_dataset(replaced(table, "load", load), **step), mill_step(**step))
    return task, tasks.untrained(task, task.windows.train)


def prepared(dataset: Dataset, step: TrainingStep) -> tasks.TrainingTask:
    """The task of the group `power`."""
    return tasks.prepare(dataset, step, "power", tasks.resolve_options(dataset, step, "power", HORIZON))


@pytest.mark.parametrize("level", ["last", "mean"])
@pytest.mark.parametrize("highway", ["shared", "per_feature", "seasonal"])
def test_training_starts_at_the_ridge_regression(highway: str, level: Any) -> None:
    task, model = untrained(highway=highway, window_normalization=level, network="both")
    data, starts = task.data, np.array([0, 40, 100])
    values = np.where(data.observed > 0, data.targets, np.nan).astype(np.float64)
    assert np.isnan(values).any()
    season = SEASON if highway == "seasonal" else 1
    windows = data.values[starts[:, None] + np.arange(LENGTH)]
    future = data.values[starts[:, None] + LENGTH - 1 + np.arange(HORIZON)][..., task.shape.feature_count :]
    found = model([windows, future]).numpy()
    columns = [[0], [1]] if highway == "per_feature" else [[0, 1]]
    filled = data.targets.astype(np.float64)
    for part in columns:
        fitted = fit_linear(values[:, part], task.windows.train, LinearForm(LENGTH, HORIZON, season, level))
        assert np.abs(fitted.weights).max() > 0.01
        forecast = fitted.forecast(filled[:, part], starts + LENGTH, HORIZON)
        if level == "mean" and season > 1:  # the network takes its level from all rows, the map from whole seasons only
            rows = filled[:, part][starts[:, None] + np.arange(LENGTH)]
            level_of_all, level_read = rows.mean(axis=1), rows[:, LENGTH % season :].mean(axis=1)
            share = np.repeat(1 - fitted.weights.sum(axis=0), season)[:HORIZON]
            forecast += (level_of_all - level_read)[:, None] * share[None, :, None]
        np.testing.assert_allclose(found[..., part], forecast, atol=1e-4)


@pytest.mark.parametrize("level", ["none", "standard", "seasonal"])
def test_other_levels_start_at_zero(level: str) -> None:
    _, model = untrained(highway="shared", window_normalization=level, network="segments")
    assert not model.get_layer("highway").kernel.numpy().any()


@pytest.mark.parametrize("level", ["none", "last", "mean", "standard"])
@pytest.mark.parametrize("highway", ["shared", "per_feature", "seasonal"])
def test_a_feature_network_reads_the_ridge_regression_of_every_feature(highway: str, level: str) -> None:
    """On changes from the last row whatever the level: the map of those is the same on any scale."""
    task, model = untrained(highway=highway, window_normalization=level, network="features")
    values = np.where(task.data.observed > 0, task.data.targets, np.nan).astype(np.float64)
    form = LinearForm(LENGTH, HORIZON, SEASON if highway == "seasonal" else 1, "last")
    kernel = model.get_layer("linear_forecast").kernel.numpy()
    if highway != "per_feature":
        np.testing.assert_allclose(kernel, fit_linear(values, task.windows.train, form).weights, atol=1e-6)
        return
    assert len(kernel) == task.shape.feature_count > len(task.names)  # one for each feature that is read
    for column in range(task.shape.feature_count):
        target = list(task.shape.target_columns).index(column) if column in task.shape.target_columns else None
        part = task.data.values[:, [column]] if target is None else values[:, [target]]
        fitted = fit_linear(part.astype(np.float64), task.windows.train, form)
        np.testing.assert_allclose(kernel[column], fitted.weights, atol=1e-6)


def test_a_feature_network_starts_at_no_regression_after_a_seasonal_level() -> None:
    _, model = untrained(highway="shared", window_normalization="seasonal", network="features")
    assert not model.get_layer("linear_forecast").kernel.numpy().any()


def test_each_of_two_averaged_networks_starts_at_its_own_ridge_regression() -> None:
    """Segments at that of changes from the mean, the feature network at that of changes from the last row."""
    task, model = untrained(highway="shared", window_normalization="mean", network="segments_and_features")
    values = np.where(task.data.observed > 0, task.data.targets, np.nan).astype(np.float64)
    for name, level in (("member_1_highway", "mean"), ("member_2_linear_forecast", "last")):
        fitted = fit_linear(values, task.windows.train, LinearForm(LENGTH, HORIZON, 1, level))
        np.testing.assert_allclose(model.get_layer(name).kernel, fitted.weights, atol=1e-6)


@pytest.mark.parametrize(
    ("option", "instead"), [("highway", "'shared'"), ("window_normalization", "'last'")], ids=["highway", "level"]
)
def test_a_window_shorter_than_a_season_is_refused(option: str, instead: str) -> None:
    config = {name: {**TINY, option: "seasonal"} for name in GROUPS}
    step = {"preset": None, "models_config": config, "season_length": LENGTH + 1}
    with pytest.raises(DataError) as caught:
        prepared(mill_dataset(**step), mill_step(**step))
    assert str(caught.value) == (
        f"{option}: 'seasonal' needs windows of at least one season (9 steps), found sequence_length 8; increase "
        f"sequence_length, set season_length, or use {instead}"
    )


@pytest.mark.slow
def test_a_feature_network_is_published_and_rolls_beside_segments_of_another_length(tmp_path: Path) -> None:
    sizes = {**TINY, "segment_units": 4, "feature_units": 4}
    features = {**sizes, "network": "features", "window_normalization": "standard", "output_chunk_length": 2}
    config = {"power": {**sizes, "network": "segments"}, "warmth": features}
    project = mill_project(tmp_path, preset=None, models_config=config, epochs=1)
    train_mill(project, "run1")
    publish_mill(project)
    again = load_project(tmp_path / "mill.yaml", project.storage)
    version = again.registry.load()
    assert version.models["warmth"].record.metadata.hyperparameters["network"] == "features"
    found = Ensemble.of(again.registry, version).predict(prediction_input(again, AS_OF), HORIZON)
    assert np.isfinite(found[PREDICTED].to_numpy()).all()
    assert found.shape == (HORIZON, 1 + len(PREDICTED))
