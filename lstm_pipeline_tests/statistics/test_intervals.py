"""Prediction intervals: ranks by hand, what is known at which origin, and nominal coverage."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.intervals import (
    Bounds,
    around,
    errors_needed,
    fit_offsets,
    independent_share,
    interval_offsets,
    pooled_offsets,
)

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


def sliding_coverage(
    errors: Float64,
    scored: range,
    level: int,
    recent: int,
    make: Callable[[Float64, int], Bounds] = interval_offsets,
) -> Float64:
    """(P,) the coverage of intervals around forecasts of 0, each made of the latest errors before its origin."""
    inside = []
    for origin in scored:
        lower, upper = make(errors[max(0, origin - recent) : origin], level)
        held = (errors[origin] >= np.minimum(lower, 0)) & (errors[origin] <= np.maximum(upper, 0))
        inside.append(np.where(np.isnan(lower), NAN, held))
    return np.nanmean(np.concatenate(inside), axis=0) if len(inside) else np.full(errors.shape[2], NAN)


def normal(origins: int, horizon: int = 1, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).normal(size=(origins, horizon, 2))


@pytest.mark.parametrize("level", [50, 80, 90, 95])
@pytest.mark.parametrize("recent", [39, 199])
def test_coverage_of_independent_errors_is_nominal(level: int, recent: int) -> None:
    """Exchangeable errors are inside with a known probability, skewed ones too."""
    errors = np.random.default_rng(7).exponential(size=(3000, 1, 2)) - np.log(2)  # as an interval contains its forecast
    found = sliding_coverage(errors, range(500, 3000), level, recent)
    low, high = exact(recent, level)
    expected = (high - low) / (recent + 1)
    assert expected >= level / 100 - 1e-12
    # neighbouring intervals share most errors: coverage varies with the bounds and with the 2500 draws
    deviation = np.sqrt(expected * (1 - expected) * (1 / 2500 + 2 / (recent + 2) * recent / 2500))
    np.testing.assert_allclose(found, expected, atol=4 * deviation)


# too few errors


@pytest.mark.parametrize(("level", "need"), [(80, 9), (90, 19), (95, 39), (99, 199), (50, 3), (1, 2), (97, 66)])
def test_how_many_errors_an_interval_needs(level: int, need: int) -> None:
    """(n + 1) · a is at least 1 for n = need, and below 1 for one less."""
    tail = Fraction(100 - level, 200)
    assert errors_needed(level) == need
    assert need * tail < 1 <= (need + 1) * tail


def test_with_enough_errors_nothing_is_pooled() -> None:
    errors = np.random.default_rng(3).normal(size=(39, 4, 3))
    for found, expected in zip(pooled_offsets(errors, 95), interval_offsets(errors, 95), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_too_few_errors_are_pooled_with_those_of_the_nearest_lead_times() -> None:
    """Three errors at each of five lead times; a level of 80 needs nine: the lead time and its neighbours."""
    errors = np.array([[10.0, 20, 30, 40, 50], [11, 21, 31, 41, 51], [12, 22, 32, 42, 52]])[:, :, None]
    lower, upper = pooled_offsets(errors, 80)
    # in the middle three lead times are nine errors; at the ends the two next ones are needed as well
    assert lower[:, 0].tolist() == [10, 10, 20, 30, 30]
    assert upper[:, 0].tolist() == [32, 32, 42, 52, 52]


def test_each_feature_is_pooled_by_itself() -> None:
    errors = np.random.default_rng(4).normal(size=(12, 3, 2))
    errors[4:, :, 1] = NAN
    lower, upper = pooled_offsets(errors, 80)
    own = interval_offsets(errors, 80)
    np.testing.assert_array_equal(lower[:, 0], own[0][:, 0])
    assert lower[1, 1] == np.nanmin(errors[:, :, 1])  # twelve errors of three lead times
    assert upper[0, 1] == np.nanmax(errors[:, :, 1])  # eight of two would be too few


def test_where_even_all_lead_times_are_too_few_there_is_no_interval() -> None:
    errors = np.random.default_rng(5).normal(size=(7, 5, 2))  # 35 errors; a level of 95 needs 39
    for bound in pooled_offsets(errors, 95):
        assert np.isnan(bound).all()
    for bound in pooled_offsets(errors, 80):
        assert np.isfinite(bound).all()


@pytest.mark.parametrize("shape", [(5, 10, 2), (12, 3, 1), (38, 2, 2), (1, 40, 1)])
def test_pooled_intervals_cover_at_least_their_level(shape: tuple[int, int, int]) -> None:
    """Independent errors: the interval of the errors seen holds new ones as often as its level says."""
    generator, inside = np.random.default_rng(6), []
    for _ in range(400):
        lower, upper = pooled_offsets(generator.normal(size=shape), 80)
        new = generator.normal(size=shape[1:])
        inside.append(((new >= lower) & (new <= upper))[np.isfinite(lower)])
    assert np.concatenate(inside).mean() > 0.78


def test_pooled_intervals_begin_where_enough_is_known() -> None:
    errors = normal(60)
    late, every = (sliding_coverage(errors, range(begin, 60), 95, 100, pooled_offsets) for begin in (39, 1))
    assert 0.85 < late.min() <= 1
    np.testing.assert_array_equal(late, every)
    for known in (1, 20, 38):
        assert np.isnan(pooled_offsets(errors[:known], 95)).all()


# overlapping forecasts


def test_how_many_independent_errors_one_is_worth() -> None:
    """Errors 2, 1, 0, 2: of their sum of squares, 9, neighbours share 2 · 1 + 1 · 0 + 0 · 2 and the next but one 2."""
    errors = np.array([2.0, 1, 0, 2])[:, None, None].repeat(3, axis=1)
    found = independent_share(errors, np.arange(4))[:, 0]
    assert found.tolist() == pytest.approx([1, 1 / (1 + 2 * (2 / 9) ** 2), 1 / (1 + 2 * (2 * (2 / 9) ** 2))])
    assert independent_share(errors, 3 * np.arange(4)).tolist() == [[1.0]] * 3  # no two forecasts overlap
    assert independent_share(errors, np.array([0, 1, 2, 90]))[:, 0].tolist() == pytest.approx(found.tolist())
    assert independent_share(errors[:1], np.array([7])).tolist() == [[1.0]] * 3


def test_errors_that_are_not_alike_are_worth_themselves_however_much_forecasts_overlap() -> None:
    noise = np.random.default_rng(5).normal(size=(400, 20, 1))
    walks = noise[:, :1].cumsum(axis=0) - np.concatenate([np.zeros((20, 1, 1)), noise[:-20, :1].cumsum(axis=0)])
    assert independent_share(noise, np.arange(400)).min() > 0.75
    assert independent_share(walks.repeat(20, axis=1), np.arange(400))[-1, 0] < 0.15
    assert independent_share(-noise.repeat(1, axis=2), np.arange(400)).shape == (20, 1)
    signs = np.array([1.0, -1] * 50)[:, None, None].repeat(2, axis=1)
    assert independent_share(signs, np.arange(100)).tolist() == [[1.0], [1.0]]  # the opposite is no likeness
    assert independent_share(np.full((9, 4, 1), NAN), np.arange(9)).tolist() == [[1.0]] * 4


def test_the_bounds_of_errors_that_are_worth_fewer() -> None:
    """39 errors 1, 2, …, 39, worth 39, 19.5 and 7.8: of 80 % the ranks ⌈39 · 20.5 · 0.9 / 19.5⌉ = 37 and 40 - 37.

    7.8 are fewer than the nine that two tails need: the interval is symmetric, its rank ⌈39 · 8.8 · 0.8 / 7.8⌉ = 36.
    """
    errors = np.random.default_rng(1).permutation(np.arange(1.0, 40))[:, None, None].repeat(3, axis=1)
    lower, upper = interval_offsets(errors, 80, np.array([1, 0.5, 0.2])[:, None])
    assert lower[:, 0].tolist() == [4, 3, -36]
    assert upper[:, 0].tolist() == [36, 37, 36]


def test_the_symmetric_interval_is_of_absolute_errors() -> None:
    errors = np.array([-5.0, 1, -2, 3, -4, NAN])[:, None, None]
    lower, upper = interval_offsets(errors, 40, np.array([[0.4]]))  # worth two of the three it needs: ⌈5 · 3 · 0.4 / 2⌉
    assert (lower[0, 0], upper[0, 0]) == (-3, 3)
    lower, upper = interval_offsets(errors, 95, np.array([[0.4]]))  # beyond the largest
    assert (lower[0, 0], upper[0, 0]) == (-5, 5)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("count", [5, 40, 128])
def test_errors_that_are_worth_fewer_make_wider_intervals(count: int, share: float) -> None:
    errors = np.random.default_rng(count).normal(size=(count, 1, 4))
    for level in (50, 80, 95):
        own, wider = (interval_offsets(errors, level, s) for s in (None, np.full((1, 4), share)))
        assert (wider[1] - wider[0] >= own[1] - own[0] - 1e-12).all()


def test_levels_do_not_cross_where_one_is_symmetric_and_another_is_not() -> None:
    """64 errors that are half alike; 14 steps ahead they are worth about 15: enough for 80 %, not for 95 %."""
    generator = np.random.default_rng(2)
    errors = generator.exponential(size=(64, 14, 3)) - 0.3
    found = fit_offsets(errors, np.arange(64), [95, 80, 50])
    assert list(found) == [95, 80, 50]
    for inner, outer in ((50, 80), (80, 95)):
        assert (found[outer][0] <= found[inner][0]).all()
        assert (found[outer][1] >= found[inner][1]).all()
    assert (found[95][0][-1] == -found[95][1][-1]).all()
    assert (found[80][0][-1] != -found[80][1][-1]).all()


def test_intervals_hold_random_walks() -> None:
    """Forecasts of the last value of random walks, ten steps ahead from 60 origins next to each other.

    As if they were independent, the errors give intervals that hold 70 % and 91 %.
    """
    generator, steps, inside = np.random.default_rng(3), 10, []
    for _ in range(300):
        walk = generator.normal(size=80).cumsum()
        errors = np.array([walk[i + 1 : i + 1 + steps] - walk[i] for i in range(60)])[..., None]
        new = walk[-steps:] - walk[-steps - 1]
        bounds = fit_offsets(errors, np.arange(60), [80, 95])
        naive = [interval_offsets(errors, level) for level in (80, 95)]
        inside.append([(lo[-1, 0] <= new[-1] <= hi[-1, 0]) for lo, hi in (*bounds.values(), *naive)])
    shares = np.mean(inside, axis=0)
    assert 0.76 < shares[0] < 0.9
    assert 0.88 < shares[1] < 0.99
    assert (shares[2:] < shares[:2]).all()


def test_an_interval_contains_its_forecast_and_stays_within_the_limits() -> None:
    forecast = np.array([[5.0, 5.0], [99.0, -1.0]])
    offsets = np.array([[2.0, -7], [-1, NAN]]), np.array([[4.0, -2], [3, 8]])
    lower, upper = around(forecast, offsets)
    np.testing.assert_array_equal(lower, [[5, -2], [98, NAN]])
    np.testing.assert_array_equal(upper, [[9, 5], [102, 7]])
    lower, upper = around(forecast, offsets, (np.array([0.0, 0]), np.array([100, np.inf])))
    np.testing.assert_array_equal(lower, [[5, 0], [98, NAN]])
    np.testing.assert_array_equal(upper, [[9, 5], [100, 7]])
