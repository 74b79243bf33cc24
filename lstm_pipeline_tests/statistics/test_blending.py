"""Weights of a blend: exact numbers for small cases, properties for all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.blending import blend, fit_blend

NAN = np.nan


def weights_of(*errors: list[float]) -> Float64:
    """Weights of forecasts with these errors, for one feature."""
    forecasts = -np.array(errors, np.float64)[:, :, None]
    found = fit_blend(np.zeros(forecasts.shape[1:]), forecasts)
    assert found.shape == (1, len(errors))
    return found[0]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        # uncorrelated errors: weights are proportional to the inverse squared errors
        ([[2, 0], [0, 2]], [1 / 2, 1 / 2]),
        ([[1, 0], [0, 2]], [4 / 5, 1 / 5]),
        ([[1, 0, 0], [0, 2, 0], [0, 0, 2]], [2 / 3, 1 / 6, 1 / 6]),
        # opposite errors cancel
        ([[1, -1], [-2, 2]], [2 / 3, 1 / 3]),
        ([[3, 3], [-1, -1], [5, -5]], [1 / 4, 3 / 4, 0]),
        # corners: a forecast whose best weight would be negative has weight 0
        ([[1, 1], [2, 2]], [1, 0]),
        ([[2, 2], [1, 1]], [0, 1]),
        ([[5, 1], [1, 1], [1, 3]], [0, 1, 0]),
        ([[0, 0], [1, -1]], [1, 0]),
        ([[1, 2], [0, 0], [3, 4]], [0, 1, 0]),
        # an edge: the worst of three is left out, the other two share
        ([[2, 0, 0], [0, 2, 0], [3, 3, 3]], [1 / 2, 1 / 2, 0]),
        # identical errors: equal shares
        ([[1, 2], [1, 2]], [1 / 2, 1 / 2]),
        ([[1, 2]], [1]),
    ],
)
def test_weights_by_hand(errors: list[list[float]], expected: list[float]) -> None:
    np.testing.assert_allclose(weights_of(*errors), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("errors", "prior", "expected"),
    [
        # G = diag(2, 2), w = (1 - v, v): 2 (1 - v)² + 2 v² + 0.1 · 2 · 2 v² has its minimum at v = 4 / 8.8
        ([[1, -1], [1, 1]], [1, 0], [1 - 1 / 2.2, 1 / 2.2]),
        ([[1, -1], [1, 1]], [0.5, 0.5], [0.5, 0.5]),
        ([[0, 0], [1, 1]], [0.5, 0.5], [1 - 0.1 / 4.2, 0.1 / 4.2]),  # 2 v² + 0.1 · 0.5 · 2 (v - 1/2)²
        ([[1, 1], [0, 0]], [1, 0], [1 / 6, 5 / 6]),  # what is never wrong is moved to, but not wholly
        ([[NAN, 1], [1, NAN]], [0.25, 0.75], [0.25, 0.75]),  # nothing counts
        ([[0, 0], [0, 0]], [0.25, 0.75], [0.25, 0.75]),
        ([[np.inf, 1], [1, 1]], [0.5, 0.5], [0, 1]),
    ],
)
def test_weights_are_shrunk_towards_the_expected_ones(
    errors: list[list[float]], prior: list[float], expected: list[float]
) -> None:
    forecasts = -np.array(errors, np.float64)[:, :, None]
    found = fit_blend(np.zeros(forecasts.shape[1:]), forecasts, np.array(prior))
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-30, 1e-3, 1e6, 1e30])
def test_weights_do_not_depend_on_the_unit(unit: float) -> None:
    found = weights_of([1 * unit, 0], [0, 2 * unit])
    np.testing.assert_allclose(found, [4 / 5, 1 / 5], rtol=1e-6)


def test_every_feature_has_weights_of_its_own() -> None:
    actual = np.zeros((2, 1, 3))  # (B, H, P)
    forecasts = np.array([[[[1, 1, 2]], [[0, 1, 0]]], [[[0, 2, 0]], [[2, 2, 1]]]], np.float64)
    np.testing.assert_allclose(fit_blend(actual, forecasts), [[0.8, 0.2], [1, 0], [0.2, 0.8]], atol=1e-6)


def test_missing_actual_values_are_ignored() -> None:
    actual = np.array([[0.0], [0.0], [NAN]])
    forecasts = np.array([[[1.0], [0.0], [9.0]], [[0.0], [2.0], [NAN]]])
    np.testing.assert_allclose(fit_blend(actual, forecasts), [[0.8, 0.2]], atol=1e-6)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_step_that_one_forecast_misses_is_ignored(lost: int) -> None:
    forecasts = np.array([[1.0, 0, 7], [0, 2.0, 3], [50, 60, 11]])[:, :, None]
    forecasts[lost, 2] = NAN
    np.testing.assert_allclose(fit_blend(np.zeros((3, 1)), forecasts), [[0.8, 0.2, 0]], atol=1e-6)


@pytest.mark.parametrize("steps", [0, 2])
def test_without_any_complete_step_the_first_forecast_has_all_the_weight(steps: int) -> None:
    found = fit_blend(np.full((steps, 5, 2), NAN), np.ones((3, steps, 5, 2)))
    assert found.tolist() == [[1, 0, 0], [1, 0, 0]]


NUMBERS = st.floats(-1e6, 1e6)


def errors_of(count: int) -> Any:
    return st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=count,
                                                        max_size=count))  # fmt: skip


@given(st.integers(1, 3).flatmap(errors_of))
def test_weights_are_shares_and_never_worse_than_the_best_single_forecast(errors: list[list[float]]) -> None:
    found, table = weights_of(*errors), np.array(errors)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    singles = (table**2).mean(axis=1)
    assert ((found @ table) ** 2).mean() <= singles.min() + 1e-8 * singles.sum()


def test_weights_of_four_perfect_forecasts_add_up_to_one() -> None:
    assert weights_of([0, 0], [0, 0], [0, 0], [0, 0]).sum() == pytest.approx(1)


@given(errors_of(3))
def test_no_other_shares_are_better(errors: list[list[float]]) -> None:
    """Compared with a grid of all weights in steps of 0.05."""
    found, table = weights_of(*errors), np.array(errors)
    grid = np.array([(i, j, 20 - i - j) for i in range(21) for j in range(21 - i)]) / 20
    best = ((grid @ table) ** 2).mean(axis=1).min()
    assert ((found @ table) ** 2).mean() <= best + 1e-8 * (table**2).mean(axis=1).sum()


def test_a_forecast_with_infinite_errors_has_no_weight() -> None:
    with np.errstate(invalid="ignore"):
        assert weights_of([np.inf, 1], [1, 1], [3, 3]).tolist() == [0, 1, 0]


# the blend


def test_a_blend_by_hand() -> None:
    forecasts = np.array([[[10.0, 1.0]], [[20.0, 2.0]], [[40.0, 4.0]]])  # (M, H, P)
    weights = np.array([[0.5, 0.25, 0.25], [0, 0, 1]])
    assert blend(forecasts, weights).tolist() == [[20.0, 4.0]]
    many = np.stack([forecasts, forecasts + 1], axis=1)  # (M, B, H, P)
    assert blend(many, weights).tolist() == [[[20.0, 4.0]], [[21.0, 5.0]]]


def test_a_forecast_without_weight_may_be_missing() -> None:
    forecasts = np.array([[[10.0]], [[NAN]], [[30.0]]])
    assert blend(forecasts, np.array([[0.5, 0, 0.5]])).tolist() == [[20.0]]


def test_where_a_weighted_forecast_is_missing_the_first_is_used_alone() -> None:
    forecasts = np.array([[[10.0], [12.0]], [[NAN], [14.0]], [[30.0], [30.0]]])
    assert blend(forecasts, np.array([[0.5, 0.5, 0]])).tolist() == [[10.0], [13.0]]
    assert blend(forecasts, np.array([[0, 0.5, 0.5]])).tolist() == [[10.0], [22.0]]


@given(errors_of(3))
def test_a_blend_lies_between_its_forecasts(values: list[list[float]]) -> None:
    forecasts = np.array(values)[:, :, None]
    found = blend(forecasts, np.array([[0.2, 0.3, 0.5]]))
    slack = 1e-9 * np.abs(forecasts).max() + 1e-300  # numbers this small have no digits to spare
    assert (found >= forecasts.min(axis=0) - slack).all()
    assert (found <= forecasts.max(axis=0) + slack).all()


def test_absolute_errors_ignore_how_far_an_outlier_is() -> None:
    """Forecasts of 0 and 10: the median of the values is 3, their mean 12.7."""
    actual = np.array([2.0, 3, 3, 3, 4, 3, 3, 3, 3, 100])[:, None].repeat(2, axis=1)
    forecasts = np.stack([np.zeros(actual.shape), np.full(actual.shape, 10.0)])
    weights = fit_blend(actual, forecasts, absolute=np.array([True, False]))
    np.testing.assert_allclose(weights, [[0.7, 0.3], [0, 1]], atol=1e-3)


def test_absolute_errors_have_the_weights_of_a_search_over_all() -> None:
    rng = np.random.default_rng(5)
    actual = rng.standard_t(2, size=(400, 1))
    forecasts = np.stack(
        [actual * 0.5 + rng.standard_t(2, size=actual.shape), rng.normal(size=actual.shape), actual + 2]
    )
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 51) for b in np.linspace(0, 1 - a, 51)]
    errors = (actual - forecasts)[..., 0]
    best = min(np.abs(np.array(weights) @ errors).mean() for weights in grid)
    found = np.abs(fit_blend(actual, forecasts, absolute=np.array([True]))[0] @ errors).mean()
    assert found <= best * 1.002
    squares = np.abs(fit_blend(actual, forecasts)[0] @ errors).mean()
    assert squares > found * 1.01


def test_absolute_errors_of_perfect_and_unknown_forecasts() -> None:
    actual = np.array([[1.0], [2], [NAN]])
    forecasts = np.stack([actual, actual + 1])
    flags = np.array([True])
    np.testing.assert_allclose(fit_blend(actual, forecasts, absolute=flags), [[1, 0]], atol=1e-6)
    nothing = np.full((2, 3, 1), NAN)
    assert fit_blend(actual, nothing, np.array([0.0, 1]), flags).tolist() == [[0, 1]]
    infinite = np.stack([np.full(actual.shape, np.inf), actual + 1])
    assert fit_blend(actual, infinite, absolute=flags).tolist() == [[0, 1]]
