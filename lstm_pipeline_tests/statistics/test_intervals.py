"""Prediction intervals: ranks by hand, what is known at which origin, and nominal coverage."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.intervals import interval_offsets, rolling_coverage

NAN = np.nan


def ranks(count: int, level: int) -> tuple[int, int]:
    """Which of the shuffled errors 1, 2, …, n are the bounds."""
    errors = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    lower, upper = interval_offsets(errors[:, None, None], level)
    return int(lower[0, 0]), int(upper[0, 0])


@pytest.mark.parametrize(
    ("count", "level", "expected"),
    [
        (9, 80, (1, 9)),  # (9 + 1) · 0.1 = 1
        (19, 80, (2, 18)),
        (19, 90, (1, 19)),  # (19 + 1) · 0.05 = 1
        (39, 95, (1, 39)),  # (39 + 1) · 0.025 = 1
        (39, 80, (4, 36)),
        (39, 50, (10, 30)),
        (127, 80, (12, 116)),  # 12.8 and 115.2: outwards
        (128, 95, (3, 126)),  # 3.225 and 125.775
        (128, 80, (12, 117)),
        (4, 80, (1, 4)),  # too few: the smallest and the largest
        (8, 80, (1, 8)),
        (38, 95, (1, 38)),
        (1, 80, (1, 1)),
        (99, 1, (49, 51)),
        (3, 1, (1, 3)),
        (99, 99, (1, 99)),
    ],
)
def test_which_errors_are_the_bounds(count: int, level: int, expected: tuple[int, int]) -> None:
    assert ranks(count, level) == expected


def exact(count: int, level: int) -> tuple[int, int]:
    tail = Fraction(100 - level, 200)
    low, high = floor((count + 1) * tail), ceil((count + 1) * (1 - tail))
    return min(max(low, 1), count), min(max(high, 1), count)


@pytest.mark.parametrize("level", [50, 80, 90, 95, 99])
def test_the_ranks_are_those_of_exact_fractions(level: int) -> None:
    assert [ranks(count, level) for count in range(1, 300)] == [exact(count, level) for count in range(1, 300)]


@pytest.mark.parametrize(("count", "level"), [(99, 42), (99, 10), (199, 10)])
def test_the_ranks_of_rare_levels_are_those_of_exact_fractions(count: int, level: int) -> None:
    assert ranks(count, level) == exact(count, level)


def test_lead_times_and_features_are_independent() -> None:
    errors = np.arange(9.0)[:, None, None] * np.array([[1, 10], [-1, 100]])  # (9, H, P)
    lower, upper = interval_offsets(errors, 60)  # ranks 2 and 8
    assert lower.tolist() == [[1, 10], [-7, 100]]
    assert upper.tolist() == [[7, 70], [-1, 700]]


def test_a_skewed_feature_has_a_skewed_interval() -> None:
    lower, upper = interval_offsets(np.array([-1.0, 0, 0, 0, 0, 0, 0, 0, 9])[:, None, None], 80)
    assert (lower[0, 0], upper[0, 0]) == (-1, 9)


def test_missing_errors_are_ignored() -> None:
    errors = np.array([NAN, 3, 1, NAN, 2, 4, 5, 6, 7, 8, 9])[:, None, None]
    lower, upper = interval_offsets(errors, 60)
    assert (lower[0, 0], upper[0, 0]) == (2, 8)


def test_without_an_error_there_is_no_interval() -> None:
    for bound in interval_offsets(np.full((3, 2, 1), NAN), 80):
        assert bound.shape == (2, 1)
        assert np.isnan(bound).all()


def test_a_wider_level_has_a_wider_interval() -> None:
    errors = np.random.default_rng(1).normal(size=(50, 3, 2))
    bounds = [interval_offsets(errors, level) for level in range(1, 100)]
    for (low, high), (lower, higher) in pairwise(bounds):
        assert (lower <= low).all()
        assert (higher >= high).all()


# coverage


def normal(origins: int, horizon: int = 1, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).normal(size=(origins, horizon, 2))


def test_coverage_by_hand() -> None:
    """Three steps per origin, one origin per step: origin 5 knows origins 0, 1 and 2."""
    errors = np.array([0.0, 1, 2, 9, 9, 2.5, 1.5, 9])[:, None, None].repeat(3, axis=1)
    errors[5, 0], errors[6, 2] = 0.5, NAN
    first = np.arange(8)
    assert rolling_coverage(errors, first, np.array([5]), 80, 10).tolist() == [1 / 3]  # only the first is within [0, 2]
    assert rolling_coverage(errors, first, np.array([6]), 80, 10).tolist() == [1.0]  # [0, 9]; the third is missing
    assert rolling_coverage(errors, first, np.array([5, 6]), 80, 10).tolist() == [3 / 5]
    assert rolling_coverage(errors, first, np.array([5]), 80, 1).tolist() == [0.0]  # from origin 2 alone: [2, 2]
    assert rolling_coverage(errors, first, np.array([7]), 80, 1).tolist() == [1.0]  # from origin 4 alone: [9, 9]


def test_only_origins_whose_last_step_was_observed_are_known() -> None:
    first = np.array([0, 2, 4, 6, 8])
    errors = normal(5, horizon=4)
    clean = rolling_coverage(errors, first, np.array([3]), 80, 10)
    later = errors.copy()
    later[[2, 4]] = np.nan  # origin 2 forecasts rows 4 to 7, of which 6 and 7 are unknown at row 6
    np.testing.assert_array_equal(rolling_coverage(later, first, np.array([3]), 80, 10), clean)
    later[[2, 4]] = 1e9
    np.testing.assert_array_equal(rolling_coverage(later, first, np.array([3]), 80, 10), clean)
    for known in (0, 1):  # whereas rows 2 to 5 were known
        changed = errors.copy()
        changed[known] = np.array([-1e9, 1e9])[[known]]
        changed[1 - known] = -changed[known]
        assert rolling_coverage(changed, first, np.array([3]), 80, 10).tolist() == [1, 1]


def test_only_the_latest_known_origins_are_used() -> None:
    first, errors = np.arange(30), normal(30)
    clean = rolling_coverage(errors, first, np.arange(20, 30), 80, 5)
    errors[:15] = 1e9
    np.testing.assert_array_equal(rolling_coverage(errors, first, np.arange(20, 30), 80, 5), clean)
    assert rolling_coverage(errors, first, np.arange(20, 30), 80, 6).tolist() != clean.tolist()


def test_where_nothing_can_be_scored_there_is_no_coverage() -> None:
    assert np.isnan(rolling_coverage(normal(3), np.arange(3), np.array([0]), 80, 10)).all()
    assert np.isnan(rolling_coverage(normal(3), np.arange(3), np.array([], int), 80, 10)).all()
    errors = normal(30)
    errors[:, :, 1] = NAN
    found = rolling_coverage(errors, np.arange(30), np.arange(10, 30), 80, 10)
    assert np.isfinite(found).tolist() == [True, False]


@pytest.mark.parametrize("level", [50, 80, 90, 95])
@pytest.mark.parametrize("recent", [39, 199])
def test_coverage_of_independent_errors_is_nominal(level: int, recent: int) -> None:
    """Exchangeable errors are inside with a known probability, skewed ones too."""
    errors = np.random.default_rng(7).exponential(size=(3000, 1, 2))
    found = rolling_coverage(errors, np.arange(3000), np.arange(500, 3000), level, recent)
    low, high = exact(recent, level)
    expected = (high - low) / (recent + 1)
    assert expected >= level / 100 - 1e-12
    # neighbouring intervals share most errors: coverage varies with the bounds and with the 2500 draws
    deviation = np.sqrt(expected * (1 - expected) * (1 / 2500 + 2 / (recent + 2) * recent / 2500))
    np.testing.assert_allclose(found, expected, atol=4 * deviation)
