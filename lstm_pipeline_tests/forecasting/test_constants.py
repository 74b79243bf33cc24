"""Constant columns are forecast as their constant, and intervals contain what is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.evaluation import interval_notes
from lstm_pipeline.forecasting.group_models import GroupModel
from lstm_pipeline.statistics.intervals import nested
from lstm_pipeline_tests.mill import GROUPS, PREDICTED, ROWS, linear_ensemble, mill_dataset, mill_table, with_column

OFF: dict[str, Any] = {"heat": [(1, "load", 0.3)], "load": [(1, "load", 0.5)], "parts": [(1, "parts", 1.0)]}
"""A network whose forecast of `heat` is never its last value."""


def flagged(dataset: Dataset, scaler: str = "standard") -> Ensemble:
    """The linear ensemble with the constants of its training data in its records, as trained models have them."""
    plain = linear_ensemble(dataset, OFF, dict.fromkeys(GROUPS, scaler))
    return Ensemble(
        [
            GroupModel(
                model.metadata.model_copy(update={"constant_features": list(dataset.constant)}),
                model.scaler,
                model.network,
            )
            for model in plain.models
        ]
    )


def table_of(heat: Any) -> pa.Table:
    return with_column(mill_table(), "heat", heat)


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, -1e6, 1 / 3])
def test_a_constant_column_is_forecast_as_exactly_that_constant(value: float, scaler: str) -> None:
    table = table_of(np.full(ROWS, value))
    found = flagged(mill_dataset(table), scaler).predict(table, 12)
    assert found["heat"].tolist() == [value] * 12
    assert found["load"].nunique() == 12  # the other features are forecast as ever
    unflagged = linear_ensemble(mill_dataset(table), OFF, dict.fromkeys(GROUPS, scaler)).predict(table, 12)
    assert unflagged["heat"].tolist() != [value] * 12


def test_a_constant_integer_column() -> None:
    table = mill_table().set_column(3, "parts", pa.array([7] * ROWS))
    found = flagged(mill_dataset(table)).predict(table, 4)
    assert found["parts"].tolist() == [7] * 4


def test_a_column_that_has_left_its_constant_is_forecast_by_its_network() -> None:
    """Constant in the training rows, and later something else: its constant is no longer true."""
    heat = np.full(ROWS, 5.0)
    heat[100:] = 6.0
    table = table_of(heat)
    dataset = mill_dataset(table)
    assert dataset.constant == ("heat",)
    assert 5.0 not in flagged(dataset).predict(table, 3)["heat"].tolist()
    assert 6.0 not in flagged(dataset).predict(table, 3)["heat"].tolist()
    heat[-1] = 5.0
    assert 5.0 not in flagged(dataset).predict(table_of(heat), 3)["heat"].tolist()


def test_a_constant_with_missing_values_stays_one() -> None:
    heat = np.full(ROWS, 5.0)
    heat[[50, 115]] = np.nan
    table = table_of(heat)
    assert flagged(mill_dataset(table)).predict(table, 3)["heat"].tolist() == [5.0] * 3
    masked = mill_dataset(table, missing="mask")
    assert flagged(masked).predict(table, 3)["heat"].tolist() == [5.0] * 3


def test_a_nearly_constant_column_is_none() -> None:
    heat = np.full(ROWS, 5.0)
    heat[10] = 5.0 + 1e-9
    assert mill_dataset(table_of(heat)).constant == ()
    heat[10] = 5.0 + 1e-15  # rounding
    assert mill_dataset(table_of(heat)).constant == ("heat",)


# intervals


def calibrated(lower: float, upper: float) -> Ensemble:
    ensemble = linear_ensemble(mill_dataset(), {name: [(1, name, 0.9)] for name in PREDICTED})
    shape = (5, len(PREDICTED))
    offsets = {80: (np.full(shape, lower), np.full(shape, upper))}
    ensemble.calibration = Calibration(tuple(PREDICTED), ensemble.calibration.weights, offsets)
    return ensemble


@pytest.mark.parametrize(("lower", "upper"), [(-2.0, 2.0), (0.1, 0.2), (-0.2, -0.1), (0.0, 0.0)])
def test_an_interval_contains_its_forecast_as_it_is_shown(lower: float, upper: float) -> None:
    """Past errors all on one side, and integers whose rounding crosses a bound."""
    found = calibrated(lower, upper).predict(mill_table(), 5, intervals=[80])
    for name in PREDICTED:
        assert (found[f"{name}_lo_80"] <= found[name]).all()
        assert (found[name] <= found[f"{name}_hi_80"]).all()
    raw = calibrated(lower, upper).forecast(calibrated(0, 0).read_history(mill_table()), 5)
    np.testing.assert_allclose(found["load_lo_80"], raw[:, 0] + min(lower, 0))
    np.testing.assert_allclose(found["load_hi_80"], raw[:, 0] + max(upper, 0))
    assert (found["parts"] != raw[:, 1]).any()


def test_beyond_the_calibrated_horizon_there_is_still_no_interval() -> None:
    found = calibrated(-1.0, 1.0).predict(mill_table(), 7, intervals=[80])
    assert found["parts_lo_80"].isna().tolist() == [False] * 5 + [True] * 2


def test_a_wider_level_contains_a_narrower_one() -> None:
    """The higher level is of other errors where its own are too few."""
    inner, outer = (
        (np.array([[-3.0, -1.0]]), np.array([[1.0, 2.0]])),
        (np.array([[-2.0, -4.0]]), np.array([[5.0, 1.5]])),
    )
    found = nested({95: outer, 80: inner})
    assert list(found) == [95, 80]
    assert [bound.tolist() for bound in found[95]] == [[[-3.0, -4.0]], [[5.0, 2.0]]]
    assert [bound.tolist() for bound in found[80]] == [bound.tolist() for bound in inner]
    nan = np.full((1, 2), np.nan)
    assert np.isnan(nested({80: inner, 95: (nan, nan)})[95]).all()
    assert nested({80: (nan, nan), 95: outer})[95][0].tolist() == outer[0].tolist()


def test_pooled_and_absent_intervals_are_told() -> None:
    errors = np.zeros((12, 5, 3))
    errors[5:, :, 1] = np.nan  # five errors at each lead time, 25 over all
    errors[:, :, 2] = np.nan
    assert list(interval_notes(errors, ["a", "b", "c"], [80, 95])) == [
        "80 % intervals pool neighbouring lead times, as fewer than 9 errors are known at each, for b",
        "no 80 % interval, as fewer than 9 errors are known over all lead times, for c",
        "95 % intervals pool neighbouring lead times, as fewer than 39 errors are known at each, for a",
        "no 95 % interval, as fewer than 39 errors are known over all lead times, for b, c",
    ]
    assert list(interval_notes(np.zeros((39, 5, 1)), ["a"], [80, 95])) == []
    apart = 5 * np.arange(39)
    assert list(interval_notes(np.zeros((39, 5, 1)), ["a"], [80, 95], apart)) == []


def test_errors_of_overlapping_forecasts_are_told_to_be_worth_less() -> None:
    """39 errors of 1: at a lead time of 5 steps, those of four neighbours on each side are alike."""
    found = list(interval_notes(np.ones((39, 5, 1)), ["a"], [80, 95], np.arange(39)))
    worth = 39 / (1 + 2 * sum((1 - k / 39) ** 2 for k in range(1, 5)))
    assert found == [
        f"80 % intervals are wider and symmetric at some lead times, as the errors of overlapping forecasts are alike "
        f"and worth as few as {worth:.4g} independent ones of 9 that are needed, for a",
        f"95 % intervals are wider and symmetric at some lead times, as the errors of overlapping forecasts are alike "
        f"and worth as few as {worth:.4g} independent ones of 39 that are needed, for a",
    ]
