"""Forecasts and intervals are within the bounds of their features, and so is what is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.backtesting.contenders import contest_of
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.champion import Contender, _errors
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.evaluation import evaluate, forecast_one_step
from lstm_pipeline.forecasting.group_models import GroupModel
from lstm_pipeline.forecasting.notes import data_notes
from lstm_pipeline.forecasting.rolling import roll_held_out
from lstm_pipeline.registry.records import BoundRecord, ModelMetadata
from lstm_pipeline_tests.mill import (
    HORIZON,
    LENGTH,
    PREDICTED,
    linear_ensemble,
    mill_dataset,
    mill_project,
    mill_table,
    publish_mill,
    train_mill,
    with_column,
)

OWN_UNITS = {"power": "none", "warmth": "none"}


def bounded(dataset: Dataset, terms: Any, bounds: dict[str, tuple[float | None, float | None]]) -> Ensemble:
    """Linear networks in the features' own units, whose features have bounds."""
    members = []
    for model in linear_ensemble(dataset, terms, OWN_UNITS).models:
        own = {
            name: BoundRecord(min=low, max=high)
            for name, (low, high) in bounds.items()
            if name in model.metadata.predicted_features
        }
        metadata = ModelMetadata.model_validate({**model.metadata.model_dump(), "bounds": own})
        members.append(GroupModel(metadata, model.scaler, model.network))
    return Ensemble(members, "v0")


FALLING = {"load": [(1, "load", -2.0)], "parts": [(1, "parts", 3.0)], "heat": [(1, "heat", 1.0)]}
"""`load` turns negative and grows, `parts` (20 at most) triples at each step, `heat` stays."""


def test_a_forecast_is_within_its_bounds() -> None:
    free = bounded(mill_dataset(), FALLING, {}).predict(mill_table(), 3)
    assert free["load"].min() < 0
    assert free["parts"].max() > 100
    found = bounded(mill_dataset(), FALLING, {"load": (0, None), "parts": (None, 100.5)}).predict(mill_table(), 3)
    assert (found["load"] == np.maximum(free["load"], 0)).all()
    assert (found["parts"] == np.minimum(free["parts"], 100)).all()  # whole numbers within the bound
    assert (found["heat"] == free["heat"]).all()


def test_naive_parts_of_a_blend_are_kept_within_the_bounds_as_well() -> None:
    values = mill_table()["load"].to_numpy().copy()
    values[-1] = -7.0
    table = with_column(mill_table(), "load", values)
    ensemble = bounded(mill_dataset(), {}, {"load": (0, None)})
    weights = np.tile([0.0, 0, 1], (3, 1))  # the last value
    record = Calibration(tuple(PREDICTED), weights).to_record()
    found = Ensemble(ensemble.models, "v0", record).predict(table, 2)
    assert found["load"].tolist() == [0, 0]


def test_intervals_are_within_the_bounds() -> None:
    offsets = {80: (np.full((2, 3), -1e6), np.full((2, 3), 1e6))}
    record = Calibration(tuple(PREDICTED), np.tile([1.0, 0, 0], (3, 1)), offsets).to_record()
    plain = bounded(mill_dataset(), FALLING, {"load": (0, 55), "parts": (2.5, 30.5)})
    found = Ensemble(plain.models, "v0", record).predict(mill_table(), 2, intervals=[80])
    assert (found["load_lo_80"].tolist(), found["load_hi_80"].tolist()) == ([0, 0], [55, 55])
    assert (found["parts_lo_80"].tolist(), found["parts_hi_80"].tolist()) == ([3, 3], [30, 30])
    assert (found["heat_lo_80"] < -9e5).all()


def test_a_forecast_that_is_not_finite_is_refused_whatever_the_bounds() -> None:
    terms = {"load": [(1, "load", 3e38)]}
    with pytest.raises(DataError, match=r"the forecast of load.* is not finite"):
        bounded(mill_dataset(), terms, {"load": (0, 100)}).predict(mill_table(), 3)


def test_what_is_scored_is_within_the_bounds() -> None:
    dataset = mill_dataset()
    ensemble = bounded(dataset, FALLING, {"load": (0, None)})
    rolled = roll_held_out(dataset, ensemble, HORIZON)
    assert rolled.method("network")[..., 0].min() == 0
    one_step = forecast_one_step(dataset, ensemble.models)[0][1]
    assert one_step[:, 0].max() == 0  # of `load`; all are negative without the bound
    found = evaluate(dataset, ensemble, HORIZON, levels=(80,))
    tested = rolled.at(rolled.within(dataset.split.test, dataset.split.rows))
    squares = (tested.actual - np.maximum(tested.forecasts[0], 0))[..., 0] ** 2
    assert found.by_feature["rolled"]["load"]["rmse"] == pytest.approx(np.sqrt(squares.mean()))
    assert found.calibration.limits is not None
    scores = found.calibration.scores
    assert scores is not None
    free = evaluate(dataset, bounded(dataset, FALLING, {}), HORIZON, levels=(80,)).calibration.scores
    assert free is not None
    assert scores.interval_score[80][0] < free.interval_score[80][0]


def test_a_blend_is_scored_within_the_bounds_in_comparisons_and_back_tests() -> None:
    """The networks forecast 0, the bound of `heat` is above all that the naive forecasts say."""
    dataset = mill_dataset()
    ensemble = bounded(dataset, {}, {"heat": (2000, None)})
    rolled = roll_held_out(dataset, ensemble, HORIZON)
    weights = np.tile([0.0, 0, 1], (3, 1))
    calibration = Ensemble(ensemble.models, "v0", Calibration(tuple(PREDICTED), weights).to_record()).calibration
    contest = contest_of(dataset, dataset, rolled, calibration, LENGTH)
    assert (contest.forecasts["ensemble"][..., 2] == 2000).all()
    assert (contest.forecasts["last_value"][..., 2] < 2000).all()
    assert contest.limits is not None
    errors = _errors(dataset, Contender(ensemble, weights), rolled.first, HORIZON)
    expected = np.sqrt(((rolled.actual[..., 2] - 2000) ** 2).mean()) / rolled.scale[2]
    assert errors[2] == pytest.approx(expected)


@pytest.mark.slow
def test_bounds_are_stated_found_recorded_and_told(tmp_path: Path) -> None:
    """`parts` counts and reaches zero in the training rows; the bounds of `load` are stated."""
    parts = mill_table()["parts"].to_numpy().copy()
    parts[:3] = 0
    table = with_column(mill_table(), "parts", parts)
    own = {"preset": None, "epochs": 1, "bounds": {"load": {"min": 10, "max": 90}}}
    project = mill_project(tmp_path, table, **own)
    dataset = mill_dataset(table, **own)
    assert dataset.bounds == {"load": (10, 90), "parts": (0.0, None)}
    assert dataset.lines()[-1] == "bounds: load from 10 to 90, parts of at least 0 (found in the training rows)"
    train_mill(project, "run")
    version = publish_mill(project)
    bounds = version.models["power"].record.metadata.bounds
    assert bounds == {"load": BoundRecord(min=10, max=90), "parts": BoundRecord(min=0)}
    assert version.models["warmth"].record.metadata.bounds == {}
    assert dataset.lines()[-1] in version.record.metadata.evaluation["columns"]
    ensemble = Ensemble.of(project.registry, version)
    assert ensemble.limits is not None
    assert ensemble.limits[0].tolist() == [10, 0, -np.inf]
    assert ensemble.limits[1].tolist() == [90, np.inf, np.inf]


def test_values_outside_stated_bounds_are_refused_and_later_negative_ones_are_told() -> None:
    with pytest.raises(DataError, match=r"^bounds\.load: expected values from 0 to 40, found \d+ values outside"):
        mill_dataset(bounds={"load": {"min": 0, "max": 40}})
    parts = mill_table()["parts"].to_numpy().copy()
    parts[:3], parts[-2:] = 0, -1
    table = with_column(mill_table(), "parts", parts)
    notes = [note for note in data_notes(mill_dataset(table, preset=None)) if "parts" in note]
    assert notes[-1] == (
        "forecasts of 'parts' are kept at 0 or above, as in the training rows, but 2 later values are negative; to "
        "lift the bound, set bounds: {parts: {}}"
    )
    assert not [note for note in data_notes(mill_dataset(table, preset=None, bounds={"parts": {}})) if "bound" in note]


def test_damaged_bounds_are_told() -> None:
    dataset = mill_dataset()
    with pytest.raises(ValueError, match="bounds of 'load': min 5 is above max 1"):
        bounded(dataset, {}, {"load": (5, 1)})
    record = linear_ensemble(dataset, {}).models[0].metadata.model_dump()
    with pytest.raises(ValueError, match="bounds names 'wind', which is not predicted"):
        ModelMetadata.model_validate({**record, "bounds": {"wind": {"min": 0}}})
