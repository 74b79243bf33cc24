"""Statistics of residuals: numbers by hand, and the published formulas as an oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.residuals import (
    DEFINITIONS,
    Summary,
    autocorrelations,
    correlation_bound,
    ljung_box,
    normal_quantiles,
    partial_autocorrelations,
    residual_summary,
)

NAN = np.nan


def summary(*residuals: float) -> Summary:
    return residual_summary(np.array(residuals, np.float64))


def test_numbers_by_hand() -> None:
    found = summary(0, 2, 0, 2, 6)
    assert list(found) == list(DEFINITIONS)
    # mean 2, deviations -2, 0, -2, 0, 4: squares 24, cubes 48, fourth powers 288
    assert found["mean"] == 2
    assert found["std"] == pytest.approx(np.sqrt(24 / 5))
    assert found["skewness"] == pytest.approx(48 / 5 / (24 / 5) ** 1.5)
    assert found["excess_kurtosis"] == pytest.approx(288 / 5 / (24 / 5) ** 2 - 3)
    assert found["normality_p"] == pytest.approx(np.exp(-5 / 12 * (found["skewness"] ** 2 + (2.5 - 3) ** 2 / 4)))
    # (0, 2), (2, 0), (0, 2), (2, 6): deviations (-1, 1, -1, 1) and (-0.5, -2.5, -0.5, 3.5), product 2, squares 4, 19
    assert found["autocorrelation"] == pytest.approx(2 / np.sqrt(4 * 19))


def test_an_alternating_series_is_anticorrelated_and_a_slope_correlated() -> None:
    assert summary(1, -1, 1, -1, 1)["autocorrelation"] == pytest.approx(-1)
    assert summary(1, 2, 3, 4)["autocorrelation"] == pytest.approx(1)


DRAWS: dict[str, Callable[[np.random.Generator, int], Float64]] = {
    "normal": lambda generator, count: generator.normal(size=count),
    "skewed": lambda generator, count: generator.exponential(size=count),
    "heavy": lambda generator, count: generator.standard_t(5, size=count),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("count", [3, 20, 400])
def test_shape_and_normality_follow_the_formulas(draw: str, count: int) -> None:
    """Jarque & Bera (1980): n/6 (S² + K²/4) is chi-squared with two degrees of freedom."""
    generator = np.random.default_rng(count)
    values: Float64 = DRAWS[draw](generator, count)
    found, moments = summary(*values), {power: ((values - values.mean()) ** power).mean() for power in (2, 3, 4)}
    skewness, kurtosis = moments[3] / moments[2] ** 1.5, moments[4] / moments[2] ** 2 - 3
    assert found["normality_p"] == pytest.approx(np.exp(-count / 12 * (skewness**2 + kurtosis**2 / 4)), rel=1e-9)
    assert found["skewness"] == pytest.approx(skewness)
    assert found["excess_kurtosis"] == pytest.approx(kurtosis)


def test_neither_mean_nor_unit_changes_the_shape() -> None:
    values = np.random.default_rng(1).gamma(2, size=50)
    found, other = summary(*values), summary(*(1e6 + 1000 * values))
    for name in ("autocorrelation", "skewness", "excess_kurtosis", "normality_p"):
        assert other[name] == pytest.approx(found[name], rel=1e-4)


def test_missing_residuals_are_ignored_and_join_no_neighbours() -> None:
    found = summary(0, 2, NAN, 1, 3, NAN, 5, 4)
    assert found["mean"] == pytest.approx(15 / 6)
    # only the pairs (0, 2), (1, 3), (5, 4)
    assert found["autocorrelation"] == pytest.approx(np.corrcoef([0, 1, 5], [2, 3, 4])[0, 1])


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [NAN, NAN, NAN, 1.0, 2.0]])
def test_too_few_residuals_have_no_statistics(values: list[float]) -> None:
    assert summary(*values) == dict.fromkeys(DEFINITIONS)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_residuals_that_never_vary_have_mean_and_deviation_only(value: float) -> None:
    found = summary(*[value] * 7)
    assert found["mean"] == pytest.approx(value)
    assert found["std"] == pytest.approx(0, abs=1e-6)
    assert {name: number for name, number in found.items() if number is not None}.keys() == {"mean", "std"}


def test_pairs_that_do_not_vary_have_no_autocorrelation() -> None:
    assert summary(0, 0, 0, 0, 5)["autocorrelation"] is None  # the earlier ones of the pairs never vary
    assert summary(1, 2, NAN, 3)["autocorrelation"] is None  # one pair


def test_autocorrelations_by_hand() -> None:
    # mean 2, deviations -2, 0, -2, 0, 4: squares 24; lag 1: 0, 0, 0, 0; lag 2: 4 + 0 - 8; lag 3: 0 + 0
    found = autocorrelations(np.array([0.0, 2, 0, 2, 6]), 3)
    np.testing.assert_allclose(found, [0, -4 / 24, 0], atol=1e-15)


def test_autocorrelations_leave_out_pairs_with_a_missing_value() -> None:
    # mean 2, deviations -2, 0, -, 0, 2: squares 8; lag 1: 0 + 0; lag 2: 0; lag 3: 0 + 0; lag 4: -4
    found = autocorrelations(np.array([0.0, 2, NAN, 2, 4]), 9)
    np.testing.assert_allclose(found, [0, 0, 0, -0.5], atol=1e-15)


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [0.1] * 9, [NAN] * 5, [-1e9] * 4])
def test_values_that_do_not_vary_have_no_autocorrelations(values: list[float]) -> None:
    assert len(autocorrelations(np.array(values, np.float64), 4)) == 0


def test_partial_autocorrelations_by_hand() -> None:
    # lag 2: (r2 - r1²) / (1 - r1²); of an AR(1) with r(k) = 0.5^k it is 0
    np.testing.assert_allclose(partial_autocorrelations(np.array([0.5, 0.4])), [0.5, 0.15 / 0.75])
    np.testing.assert_allclose(partial_autocorrelations(np.array([0.5, 0.25, 0.125])), [0.5, 0, 0], atol=1e-15)


def test_partial_autocorrelations_solve_the_yule_walker_equations() -> None:
    correlations = autocorrelations(np.random.default_rng(3).normal(size=60).cumsum(), 6)
    found = partial_autocorrelations(correlations)
    whole = np.append(1.0, correlations)
    for order in range(1, 7):
        matrix = whole[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
        assert found[order - 1] == pytest.approx(np.linalg.solve(matrix, correlations[:order])[-1])


def test_partial_autocorrelations_end_where_all_is_foretold() -> None:
    found = partial_autocorrelations(np.array([1.0, 1.0, 1.0]))
    assert found[0] == 1
    assert np.isnan(found[1:]).all()


def test_ljung_box_by_hand() -> None:
    # n = 10, r = 0.5, 0.2: Q = 10 · 12 · (0.25 / 9 + 0.04 / 8) = 3.9333; with two degrees of freedom p = exp(-Q / 2)
    assert ljung_box(np.array([0.5, 0.2]), 10) == pytest.approx(np.exp(-120 * (0.25 / 9 + 0.04 / 8) / 2))


def test_ljung_box_needs_correlations_and_values() -> None:
    assert ljung_box(np.empty(0), 10) is None
    assert ljung_box(np.array([0.5, 0.2]), 2) is None


def test_the_bound_of_a_correlation() -> None:
    assert correlation_bound(196) == pytest.approx(0.14)
    assert correlation_bound(0) == np.inf


def test_quantiles_of_few_values_are_the_values() -> None:
    theory, sample = normal_quantiles(np.array([3.0, NAN, 1.0, 2.0]))
    np.testing.assert_array_equal(sample, [1, 2, 3])
    # probabilities 1/6, 1/2, 5/6
    np.testing.assert_allclose(theory, [-0.967422, 0, 0.967422], atol=1e-6)
    assert len(normal_quantiles(np.array([NAN]))[0]) == 0


def test_quantiles_of_many_values_are_as_many_as_wanted() -> None:
    theory, sample = normal_quantiles(np.arange(1000.0), 4)
    # Hazen: value number 1000 p + 0.5, counted from 1
    np.testing.assert_allclose(sample, [124.5, 374.5, 624.5, 874.5])
    np.testing.assert_allclose(theory, [-1.150349, -0.318639, 0.318639, 1.150349], atol=1e-6)
