"""Diebold–Mariano: small cases worked out by hand."""

import math

import numpy as np
import pytest

from lstm_pipeline.statistics.significance import diebold_mariano, holm, overlapping_origins

ZERO = np.zeros(4)


def test_it_is_two_sided() -> None:
    first, second = np.array([1.0, 4, 2, 8, 5]), np.array([2.0, 3, 9, 8, 7])
    one, other = diebold_mariano(first, second, 1), diebold_mariano(second, first, 1)
    assert one is not None
    assert other is not None
    assert one.statistic == -other.statistic < 0
    assert one.p_value == other.p_value


@pytest.mark.parametrize(
    ("difference", "overlap"),
    [([], 0), ([1.0], 0), ([1.0, 2, 4], 2), ([0.0, 0, 0, 0], 0), ([0.1, 0.1, 0.1, 0.1], 1), ([np.nan, 2.0], 0)],
)
def test_without_enough_information_there_is_no_result(difference: list[float], overlap: int) -> None:
    assert diebold_mariano(np.array(difference), np.zeros(len(difference)), overlap) is None


def test_missing_losses_are_ignored() -> None:
    holed = diebold_mariano(np.array([1.0, np.nan, 2, 3, 6]), np.zeros(5), 0)
    assert holed == diebold_mariano(np.array([1.0, 2, 3, 6]), ZERO, 0)


def test_equally_good_forecasts_rarely_differ_significantly() -> None:
    """Losses of four-step forecasts are a moving sum; a t test of their mean would find differences everywhere."""
    steps = np.random.default_rng(11).normal(size=(400, 103))
    losses = np.stack([steps[:, lag : lag + 100] for lag in range(4)]).sum(axis=0)
    tests = [diebold_mariano(row, np.zeros(100), 3) for row in losses]
    assert 0.02 < np.mean([test is not None and test.p_value < 0.05 for test in tests]) < 0.1
    t_statistics = losses.mean(axis=1) / (losses.std(axis=1, ddof=1) / np.sqrt(100))
    assert np.mean(np.abs(t_statistics) > 1.984) > 0.25


@pytest.mark.parametrize(
    ("first", "horizon", "expected"),
    [
        ([10, 11, 12, 13, 14, 15, 16], 5, 4),  # ⌈5 / 1⌉ - 1
        ([10, 12, 14, 16, 18], 5, 2),  # ⌈5 / 2⌉ - 1
        ([10, 15, 20], 5, 0),
        ([10, 20, 30], 5, 0),
        ([10, 20, 24, 40], 5, 1),  # the smallest distance decides
        ([10, 11, 12], 30, 2),  # all of them
        ([10], 30, 0),
    ],
)
def test_origins_overlap_as_far_as_their_forecasts_do(first: list[int], horizon: int, expected: int) -> None:
    assert overlapping_origins(np.array(first), horizon) == expected


# losses that stay alike for long


def test_one_cosine_by_hand() -> None:
    # n = 4, so v = 0.4 · 4^(2/3) = 1.008, rounded down; d = 1, 2, 3, 6 has the mean 3 and, with c = cos(π / 8) and
    # s = cos(3 π / 8), Λ = √(1/2) (c + 2 s - 3 s - 6 c); Student's t of 1 degree of freedom is Cauchy's distribution
    test = diebold_mariano(np.array([1.0, 2, 3, 6]), ZERO, 0)
    assert test is not None
    cosine = np.sqrt(0.5) * (5 * np.cos(np.pi / 8) + np.cos(3 * np.pi / 8))
    assert test.statistic == pytest.approx(3 / (cosine / 2))
    assert test.p_value == pytest.approx(2 * (0.5 - np.arctan(test.statistic) / np.pi))


def test_degrees_of_freedom_are_at_most_the_forecasts_that_do_not_overlap() -> None:
    values = np.random.default_rng(6).normal(size=64) + 1
    none, some, many, too_many = (diebold_mariano(values, np.zeros(64), overlap) for overlap in (0, 7, 31, 63))
    assert none is not None
    assert some is not None
    assert many is not None
    assert none == diebold_mariano(values, np.zeros(64), 9)  # v = 0.4 · 16 = 6, and 64 / 10 is 6
    assert diebold_mariano(values, np.zeros(64), 12) != none  # 64 / 13 is 4
    assert many.p_value > none.p_value
    assert too_many is None


def test_a_missing_loss_is_ignored_and_no_variation_is_no_test() -> None:
    values = np.array([1.0, 2, np.nan, 3, 6])
    assert diebold_mariano(values, np.zeros(5), 0) == diebold_mariano(values[[0, 1, 3, 4]], ZERO, 0)
    assert diebold_mariano(np.full(30, 2.0), np.full(30, 1.0), 3) is None
    assert diebold_mariano(np.full(30, 2.0), np.full(30, 2.0), 3) is None


def test_losses_that_stay_alike_longer_than_forecasts_overlap_are_rarely_called_different() -> None:
    """400 times 300 differences with an autocorrelation of 0.8 and the mean 0; forecasts overlap with 4 others."""
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(400, 400))
    series = np.zeros((400, 400))
    for step in range(1, 400):
        series[:, step] = 0.8 * series[:, step - 1] + noise[:, step]
    tests = [diebold_mariano(row[100:], np.zeros(300), 4) for row in series]
    assert 0.02 < np.mean([test is not None and test.p_value < 0.05 for test in tests]) < 0.1


# many tests


def test_holm_multiplies_the_smallest_by_all_tests_and_the_next_by_one_less() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and none is below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4]) == [0.4]
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_what_was_not_tested_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.04]) == pytest.approx([None, 0.04, None, 0.04])
    assert holm([None, None]) == [None, None]


def test_of_many_equal_forecasts_few_are_called_significant() -> None:
    """1,000 times 20 dependent tests without a difference: at least one significant in at most 5 % of them."""
    rng = np.random.default_rng(5)
    values = 0.7 * rng.normal(size=(1000, 1)) + np.sqrt(1 - 0.7**2) * rng.normal(size=(1000, 20))
    p_values = [[math.erfc(abs(value) / math.sqrt(2)) for value in row] for row in values]
    raw = np.mean([min(row) < 0.05 for row in p_values])
    adjusted = np.mean([min(holm(row)) < 0.05 for row in p_values])  # type: ignore[type-var]
    assert raw > 0.3
    assert adjusted < 0.05
