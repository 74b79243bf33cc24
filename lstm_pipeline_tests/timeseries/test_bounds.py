"""Bounds that a spec states, the zero that training rows tell, and values outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.timeseries.bounds import bound_lines, bound_problems, described_bound, resolve_bounds
from lstm_pipeline.timeseries.features import feature_problems, resolve_features
from lstm_pipeline.timeseries.series import build_series
from lstm_pipeline_tests.mill import PREDICTED, mill_step, mill_table, with_column

SCHEMA = mill_table().schema  # `parts` is an integer, `wind` is context


def found(column: str, values: list[float], **changes: Any) -> Any:
    """The bounds of a column with these training values; the others are far from zero."""
    names = ["heat", "load", "parts", "wind"]
    training = np.full((len(values), 4), 50.0)
    training[:, names.index(column)] = values
    step = mill_step(preset=None, **changes)
    return resolve_bounds(resolve_features(SCHEMA, step), training, step, names).get(column)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("load", [0, 3.5, 100], (0.0, None)),  # an amount that can be nothing
        ("load", [0.5, 3.5, 100], None),  # a temperature in summer is not negative either
        ("load", [-1e-9, 3.5, 100], None),
        ("load", [np.nan, 0, 3], (0.0, None)),
        ("load", [0, 0, 0], None),  # of which nothing is known
        ("load", [np.nan, np.nan, np.nan], None),
        ("parts", [1, 5, 100], (0.0, None)),  # a count that comes close to zero
        ("parts", [2, 5, 100], None),
        ("parts", [0, 5, 9], (0.0, None)),
        ("parts", [-1, 5, 100], None),
        ("wind", [0, 1, 2], None),  # not predicted
    ],
)
def test_zero_is_found_in_the_training_rows(column: str, values: list[float], expected: Any) -> None:
    assert found(column, values) == expected


def test_what_the_spec_states_replaces_what_is_found() -> None:
    counts = [0.0, 5.0, 9.0]
    assert found("load", counts, bounds={"load": {"max": 10}}) == (None, 10)
    assert found("load", counts, bounds={"load": {"min": -1, "max": 10.5}}) == (-1, 10.5)
    assert found("load", counts, bounds={"load": {}}) is None
    assert found("load", counts, bounds={"heat": {"min": 0}}) == (0.0, None)


def test_the_documented_system_finds_no_bounds_and_keeps_stated_ones() -> None:
    step = mill_step(bounds={"heat": {"max": 9}})
    assert step.preset == "documented"
    features = resolve_features(SCHEMA, step)
    assert resolve_bounds(features, np.array([[0.0], [1]]).repeat(4, 1), step, ["heat", "load", "parts", "wind"]) == {
        "heat": (None, 9)
    }


def test_bounds_in_words() -> None:
    assert described_bound((0, 100.5)) == "from 0 to 100.5"
    assert described_bound((0, None)) == "of at least 0"
    assert described_bound((None, 12345.0)) == "of at most 12,345"
    assert bound_lines({}, {}) == []
    assert bound_lines({"load": (0, 9), "parts": (0, None)}, {"load": object()}) == [
        "bounds: load from 0 to 9, parts of at least 0 (found in the training rows)"
    ]


def test_values_outside_are_told_with_the_furthest() -> None:
    values = mill_table()["load"].to_numpy().copy()
    values[[3, 7, 9]] = (-2, -5, 101)
    table = with_column(mill_table(), "load", values)
    step = mill_step(bounds={"load": {"min": 0, "max": 100}, "heat": {"min": 0}, "parts": {}})
    series = build_series(table, "date", ["heat", "load", "parts", "wind"], timezone="UTC")
    assert list(bound_problems(series, step)) == [
        (
            "load",
            "expected values from 0 to 100, found 3 values outside, the furthest -5 at 2023-12-27 00:00:00; correct or "
            "filter these rows, or widen the bound",
        )
    ]
    values[[3, 7, 9]] = (0, 100, np.nan)
    series = build_series(with_column(table, "load", values), "date", ["heat", "load"], timezone="UTC")
    assert list(bound_problems(series, step)) == []


@pytest.mark.parametrize(
    ("name", "bound", "message"),
    [
        ("laod", {"min": 0}, "there is no column 'laod'. Did you mean 'load'?"),
        ("wind", {"min": 0}, "'wind' is not predicted, and bounds are of forecasts; remove it from bounds"),
        ("note", {"min": 0}, "'note' is not predicted, and bounds are of forecasts; remove it from bounds"),
        (
            "parts",
            {"min": 0.2, "max": 0.8},
            "'parts' is an integer; expected bounds with a whole number between them, found 0.2 to 0.8; widen them",
        ),
    ],
)
def test_bounds_that_fit_no_predicted_column(name: str, bound: Any, message: str) -> None:
    assert list(feature_problems(SCHEMA, mill_step(bounds={name: bound}))) == [(("bounds", name), message)]


def test_bounds_of_predicted_columns_are_no_problem() -> None:
    every = {name: {"min": 0.5, "max": 2} for name in PREDICTED}
    assert list(feature_problems(SCHEMA, mill_step(bounds=every))) == []
    alone = pa.schema([("date", pa.date32()), ("load", pa.float64())])
    step = mill_step(features_to_predict=None, feature_groups=None, models_config={}, drop_cols=[], bounds={"load": {}})
    assert list(feature_problems(alone, step)) == []
