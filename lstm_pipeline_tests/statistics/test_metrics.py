"""Metrics in exact numbers; an undefined metric is None."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.statistics.metrics import (
    DEFINITIONS,
    NAMES,
    Metrics,
    left_out,
    mae,
    mean_over_features,
    naive_scale,
    r2,
    rmse,
    score,
    smape,
)

NAN = float("nan")


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)[:, None]


def one(actual: np.ndarray, forecast: np.ndarray, naive: np.ndarray, scale: float = 1.0) -> Metrics:
    return score(actual, forecast, naive, np.array([scale]), ["a"])["a"]


def test_hand_made_numbers() -> None:
    actual, forecast, naive = column(1, 2, 3, 4), column(2, 2, 1, 5), column(1, 1, 1, 1)
    found = one(actual, forecast, naive, scale=2.0)
    assert found["rmse"] == math.sqrt(6 / 4)  # errors 1, 0, -2, 1
    assert found["mae"] == 1.0
    assert found["smape"] == pytest.approx((200 / 3 + 0 + 200 * 2 / 4 + 200 / 9) / 4, rel=1e-15)
    assert found["mase"] == 0.5
    assert found["r2"] == pytest.approx(1 - 1.5 / 1.25, rel=1e-15)
    assert found["skill"] == pytest.approx(1 - (6 / 4) / (14 / 4), rel=1e-15)
    assert tuple(found) == NAMES
    assert set(NAMES) < set(DEFINITIONS)


@pytest.mark.parametrize(
    ("actual", "forecast", "expected"),
    [
        (0.0, 0.0, 0.0),  # 0/0
        (0.0, 5.0, 200.0),
        (5.0, 0.0, 200.0),
        (1.0, -1.0, 200.0),
        (100.0, 110.0, 200 * 10 / 210),
        (-100.0, -110.0, 200 * 10 / 210),
        (1e-320, 1e-320, 0.0),
    ],
)
def test_smape_of_one_value(actual: float, forecast: float, expected: float) -> None:
    assert smape(column(actual), column(forecast))[0] == pytest.approx(expected, rel=1e-12)


def test_smape_of_two_zeros_is_zero() -> None:
    assert smape(column(0, 0, 1), column(0, 0, 3))[0] == pytest.approx(100 / 3)


def test_missing_actual_values_are_ignored() -> None:
    actual, forecast, naive = column(1, NAN, 3, NAN, 5), column(2, 1e9, 3, -7, 5), column(3, 0, 0, 0, 5)
    whole = one(column(1, 3, 5), column(2, 3, 5), column(3, 0, 5))
    assert one(actual, forecast, naive) == whole
    assert whole["mae"] == 1 / 3
    assert whole["skill"] == 1 - 1 / 13


def test_a_feature_without_actual_values_has_no_metrics() -> None:
    assert one(column(NAN, NAN), column(1, 2), column(1, 1)) == dict.fromkeys(NAMES)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1, -3.3e-5, 1e100])
@pytest.mark.parametrize("rows", [3, 7, 10, 1000])
def test_a_constant_feature_has_neither_r2_nor_skill_nor_mase(value: float, rows: int) -> None:
    """Rounding of the mean must not look like variance."""
    constant = column(*[value] * rows)
    found = one(constant, constant + abs(value) / 2 + 1, constant, scale=naive_scale(constant, 1)[0])
    assert (found["r2"], found["skill"], found["mase"]) == (None, None, None)
    assert found["mae"] == pytest.approx(abs(value) / 2 + 1)


def test_a_feature_that_hardly_varies_still_has_an_r2() -> None:
    actual = column(1e6, 1e6 + 1e-3, 1e6, 1e6 + 1e-3)
    assert r2(actual, actual)[0] == 1.0


def test_metrics_average_over_all_axes_but_the_last() -> None:
    generator = np.random.default_rng(1)
    actual, forecast = generator.normal(size=(2, 5, 4, 3))
    for metric in (rmse, mae, smape, r2):
        np.testing.assert_allclose(metric(actual, forecast), metric(actual.reshape(20, 3), forecast.reshape(20, 3)))
        for feature in range(3):
            alone = metric(actual[..., [feature]], forecast[..., [feature]])
            np.testing.assert_allclose(alone[0], metric(actual, forecast)[feature])


@pytest.mark.parametrize(
    ("season", "expected"),
    [(1, 10 / 4), (2, (2 + 3 + 2) / 3), (4, 4.0), (5, 10 / 4), (99, 10 / 4)],  # a season as long as the rows: lag 1
)
def test_the_denominator_of_mase(season: int, expected: float) -> None:
    assert naive_scale(column(1, 4, 3, 1, 5), season)[0] == expected


def test_the_denominator_of_mase_ignores_missing_values() -> None:
    assert naive_scale(column(1, NAN, 3, 1, 5), 1)[0] == (2 + 4) / 2
    assert np.isnan(naive_scale(column(1), 1)[0])


def test_skill_is_above_zero_only_for_what_beats_the_seasonal_naive() -> None:
    actual, naive = column(1, 2), column(2, 3)
    assert one(actual, actual, naive)["skill"] == 1.0
    assert one(actual, naive, naive)["skill"] == 0.0
    assert one(actual, column(3, 4), naive)["skill"] == -3.0
    assert one(actual, naive, actual)["skill"] is None  # a perfect naive forecast cannot be a denominator


def test_the_mean_over_features_ignores_undefined_metrics() -> None:
    by_feature: dict[str, Metrics] = {
        "a": {"rmse": 1.0, "mae": 2.0, "smape": 3.0, "mase": None, "r2": None, "skill": -1.0},
        "b": {"rmse": 3.0, "mae": 4.0, "smape": 5.0, "mase": 6.0, "r2": None},
    }
    assert mean_over_features(by_feature) == {
        "rmse": 2.0, "mae": 3.0, "smape": 4.0, "mase": 6.0, "r2": None, "skill": -1.0,
    }  # fmt: skip
    assert mean_over_features({}) == dict.fromkeys(NAMES)


FINITE = st.floats(-1e6, 1e6).map(lambda value: value if abs(value) > 1e-6 else 0.0)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20))
def test_bounds(pairs: list[tuple[float, float]]) -> None:
    actual, forecast = column(*(pair[0] for pair in pairs)), column(*(pair[1] for pair in pairs))
    assert 0 <= smape(actual, forecast)[0] <= 200 + 1e-9
    assert mae(actual, forecast)[0] <= rmse(actual, forecast)[0] * (1 + 1e-12)
    assert smape(actual, forecast)[0] == smape(forecast, actual)[0]


# what has no meaning


def test_the_smape_of_zeros_has_no_meaning_and_the_mean_leaves_it_out() -> None:
    actual = np.array([[0.0, 1.0], [0.0, 3.0]])
    forecast = np.array([[0.0, 1.0], [1e-9, 1.0]])
    found = score(actual, forecast, actual + 1, np.ones(2), ["tariff", "sales"])
    assert found["tariff"]["smape"] is None  # one forecast is exact, one is off by nothing, which would be 200 %
    assert found["sales"]["smape"] == 50.0  # 0 and 200 · 2 / 4
    assert mean_over_features(found)["smape"] == 50.0
    assert left_out(found, ("smape", "rmse")) == {"smape": ["tariff"]}
    assert left_out(found, ("rmse",)) == {}


def test_a_column_with_a_few_zeros_keeps_its_smape() -> None:
    found = score(np.array([[0.0], [2.0]]), np.array([[0.0], [2.0]]), np.ones((2, 1)), np.ones(1), ["x"])
    assert found["x"]["smape"] == 0.0
