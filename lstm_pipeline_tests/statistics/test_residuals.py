"""Statistics of residuals: numbers by hand, and the published formulas as an oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.residuals import DEFINITIONS, Summary, residual_summary

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
