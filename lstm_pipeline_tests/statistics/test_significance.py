"""Diebold–Mariano: small cases worked out by hand."""

import math

import numpy as np
import pytest

from lstm_pipeline.statistics.significance import diebold_mariano, holm, overlapping_origins, robust_diebold_mariano

ZERO = np.zeros(4)


def test_without_overlap_it_is_the_t_test_of_the_mean_difference() -> None:
    # d = 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5, so DM = 3 / √(3.5 / 4);
    # corrected by √((4 + 1 - 2) / 4): 3 / √(14 / 3 / 4), the t statistic with the unbiased variance 14 / 3
    test = diebold_mariano(np.array([1.0, 2, 3, 6]), ZERO, 0)
    assert test is not None
    assert test.statistic == pytest.approx(3 / np.sqrt(14 / 3 / 4))
    # Student's t of 3 degrees of freedom in closed form: F(t) = 1/2 + (x / (1 + x²) + arctan x) / π, x = t / √3
    x = test.statistic / np.sqrt(3)
    assert test.p_value == pytest.approx(2 * (0.5 - (x / (1 + x**2) + np.arctan(x)) / np.pi))


def test_overlap_enters_with_bartletts_weights_and_the_correction_of_1997() -> None:
    # d = 1, 3, 5, 3, 3: mean 3, deviations -2, 0, 2, 0, 0; g(0) = 8 / 5, g(1) = 0, g(2) = -4 / 5
    # q = 2: w = 8 / 5 + 2 (2/3 · 0 + 1/3 · -4/5) = 16 / 15; h = 3: (5 + 1 - 6 + 3 · 2 / 5) / 5 = 6 / 25
    difference = np.array([1.0, 3, 5, 3, 3])
    test = diebold_mariano(difference + 10, np.full(5, 10.0), 2)
    assert test is not None
    assert test.statistic == pytest.approx(3 / np.sqrt(16 / 15 / 5) * np.sqrt(6 / 25))
    # Student's t of 4 degrees of freedom: F(t) = 1/2 + 3/8 · s (1 - s² / 12), s = t / √(1 + t² / 4)
    s = test.statistic / np.sqrt(1 + test.statistic**2 / 4)
    assert test.p_value == pytest.approx(1 - 2 * (3 / 8) * s * (1 - s**2 / 12))


def test_it_is_two_sided() -> None:
    first, second = np.array([1.0, 4, 2, 8, 5]), np.array([2.0, 3, 9, 8, 7])
    one, other = diebold_mariano(first, second, 1), diebold_mariano(second, first, 1)
    assert one is not None
    assert other is not None
    assert one.statistic == -other.statistic < 0
    assert one.p_value == other.p_value


def test_the_variance_is_never_negative() -> None:
    # alternating: g(1) = -3/4, g(2) = 1/2 of g(0) = 1, and the plain sum g(0) + 2 g(1) = -1/2
    test = diebold_mariano(np.array([3.0, 1, 3, 1]), ZERO, 1)
    assert test is not None
    assert test.statistic == pytest.approx(2 / np.sqrt((1 - 0.75) / 4) * np.sqrt((5 - 4 + 2 / 4) / 4))
    noise = np.random.default_rng(3).normal(size=(50, 12))
    assert all(diebold_mariano(row, -row, lags) for row in noise for lags in range(11))


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
    """Losses of four-step forecasts are a moving sum; a test without lags would find differences everywhere."""
    steps = np.random.default_rng(11).normal(size=(400, 103))
    losses = np.stack([steps[:, lag : lag + 100] for lag in range(4)]).sum(axis=0)
    tests = [diebold_mariano(row, np.zeros(100), 3) for row in losses]
    naive = [diebold_mariano(row, np.zeros(100), 0) for row in losses]
    assert 0.02 < np.mean([test is not None and test.p_value < 0.05 for test in tests]) < 0.16
    assert np.mean([test is not None and test.p_value < 0.05 for test in naive]) > 0.25


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
    test = robust_diebold_mariano(np.array([1.0, 2, 3, 6]), ZERO, 0)
    assert test is not None
    cosine = np.sqrt(0.5) * (5 * np.cos(np.pi / 8) + np.cos(3 * np.pi / 8))
    assert test.statistic == pytest.approx(3 / (cosine / 2))
    assert test.p_value == pytest.approx(2 * (0.5 - np.arctan(test.statistic) / np.pi))
    swapped = robust_diebold_mariano(ZERO, np.array([1.0, 2, 3, 6]), 0)
    assert swapped is not None
    assert (swapped.statistic, swapped.p_value) == pytest.approx((-test.statistic, test.p_value))


def test_degrees_of_freedom_are_at_most_the_forecasts_that_do_not_overlap() -> None:
    values = np.random.default_rng(6).normal(size=64) + 1
    none, some, many, too_many = (robust_diebold_mariano(values, np.zeros(64), overlap) for overlap in (0, 7, 31, 63))
    assert none is not None
    assert some is not None
    assert many is not None
    assert none == robust_diebold_mariano(values, np.zeros(64), 9)  # v = 0.4 · 16 = 6, and 64 / 10 is 6
    assert robust_diebold_mariano(values, np.zeros(64), 12) != none  # 64 / 13 is 4
    assert many.p_value > none.p_value
    assert too_many is None


def test_a_missing_loss_is_ignored_and_no_variation_is_no_test() -> None:
    values = np.array([1.0, 2, np.nan, 3, 6])
    assert robust_diebold_mariano(values, np.zeros(5), 0) == robust_diebold_mariano(values[[0, 1, 3, 4]], ZERO, 0)
    assert robust_diebold_mariano(np.full(30, 2.0), np.full(30, 1.0), 3) is None
    assert robust_diebold_mariano(np.full(30, 2.0), np.full(30, 2.0), 3) is None


def test_losses_that_stay_alike_longer_than_forecasts_overlap_are_rarely_called_different() -> None:
    """400 times 300 differences with an autocorrelation of 0.8 and the mean 0; forecasts overlap with 4 others."""
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(400, 400))
    series = np.zeros((400, 400))
    for step in range(1, 400):
        series[:, step] = 0.8 * series[:, step - 1] + noise[:, step]
    zeros = np.zeros(300)
    found = {
        test: np.mean([(result := test(row[100:], zeros, 4)) is not None and result.p_value < 0.05 for row in series])
        for test in (diebold_mariano, robust_diebold_mariano)
    }
    assert found[diebold_mariano] > 0.15
    assert found[robust_diebold_mariano] < 0.1


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
