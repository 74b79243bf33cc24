"""Features that stay where they have been for a whole window: found in the past, and kept in forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.group_models import GroupModel
from lstm_pipeline.forecasting.resting import resting_features
from lstm_pipeline.forecasting.tasks import TrainingRun
from lstm_pipeline.forecasting.training import train_group
from lstm_pipeline.registry import Registry
from lstm_pipeline.storage import Store
from lstm_pipeline_tests.mill import (
    HORIZON,
    LENGTH,
    PREDICTED,
    ROWS,
    linear_ensemble,
    mill_dataset,
    mill_step,
    mill_table,
    with_column,
)

TEST = mill_dataset().split.test
BUSY: Float64 = 5 + np.arange(ROWS) % 3.0
"""Never the same twice in a row."""


def found(heat: Any, **step: Any) -> list[str]:
    return resting_features(mill_dataset(with_column(mill_table(), "heat", heat), **step), ["load", "heat"], HORIZON)


def test_a_feature_that_has_never_rested_would_stay_at_rest() -> None:
    assert found(BUSY) == ["load", "heat"]


def test_a_feature_that_rests_for_long_stays_at_rest() -> None:
    heat = BUSY.copy()
    heat[20:] = 0
    assert found(heat) == ["load", "heat"]


@pytest.mark.parametrize(("pause", "rests"), [(LENGTH - 1, True), (LENGTH, False), (LENGTH + 6, False)])
def test_a_pause_as_long_as_a_window_tells_that_rests_end(pause: int, rests: bool) -> None:
    """A shorter pause is never a whole window, so that it tells nothing."""
    heat = BUSY.copy()
    for begin in (10, 40):
        heat[begin : begin + pause] = 0
    assert ("heat" in found(heat)) == rests


def test_one_value_in_a_hundred_may_differ() -> None:
    """From row 7 on every window is at rest; the one change, at the end of the rows that count, ends few rests."""
    heat = np.zeros(ROWS)
    heat[TEST - 1] = 1
    assert ("heat" in found(heat)) == (HORIZON / ((TEST - LENGTH) * HORIZON) <= 0.01)
    heat[TEST - 3 :] = 1
    assert "heat" not in found(heat)


def test_nothing_of_the_test_part_is_used() -> None:
    heat = BUSY.copy()
    heat[TEST : TEST + LENGTH] = 0  # a rest that ends
    assert "heat" in found(heat)


def test_missing_values_neither_end_a_rest_nor_prolong_it() -> None:
    heat = BUSY.copy()
    heat[20:60] = 0
    heat[25:27] = np.nan
    before = heat.copy()
    before[60] = np.nan
    assert "heat" not in found(heat, missing="mask")
    assert "heat" not in found(before, missing="mask")


def resting(names: list[str], table: Any) -> Ensemble:
    plain = linear_ensemble(mill_dataset(table), {name: [(1, name, 0.5)] for name in PREDICTED})
    changed = {"resting_features": names}
    return Ensemble(
        [GroupModel(each.metadata.model_copy(update=changed), each.scaler, each.network) for each in plain.models]
    )


def test_a_forecast_from_a_rest_is_the_rest() -> None:
    heat = BUSY.copy()
    heat[-LENGTH:] = 0.3
    table = with_column(mill_table(), "heat", heat)
    assert resting(["heat"], table).predict(table, 6)["heat"].tolist() == [0.3] * 6
    assert 0.3 not in resting([], table).predict(table, 6)["heat"].tolist()
    assert resting(["heat", "load"], table).predict(table, 6)["load"].nunique() == 6  # it is not at rest
    heat[-LENGTH] = 0.31
    table = with_column(mill_table(), "heat", heat)
    assert 0.3 not in resting(["heat"], table).predict(table, 6)["heat"].tolist()


@pytest.mark.parametrize("preset", [None, "documented"])
def test_a_trained_model_records_what_rests(tmp_path: Path, preset: str | None) -> None:
    step = {"epochs": 1, "preset": preset}
    dataset = mill_dataset(with_column(mill_table(), "heat", BUSY), **step)
    run = TrainingRun(dataset, mill_step(**step), Registry(Store(str(tmp_path)), "models", "mill"), HORIZON, "run")
    stored = train_group(run, "warmth")
    assert stored.record.metadata.resting_features == (["heat"] if preset is None else [])
