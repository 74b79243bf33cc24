"""Intervals from origin to origin: what is known where, widths by hand, leaks, and coverage when errors change."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.statistics import adaptive_intervals
from lstm_pipeline.statistics.adaptive_intervals import (
    Held,
    Intervals,
    Rolling,
    Widths,
    fit_intervals,
    rolling_intervals,
)
from lstm_pipeline.statistics.error_sizes import ErrorSizes, fit_sizes
from lstm_pipeline.statistics.interval_scores import IntervalTally
from lstm_pipeline.statistics.intervals import Bounds, errors_needed, fit_offsets, independent_share

NAN = np.nan


def around_zero(errors: Float64, first: Integers, season: int = 1) -> Held:
    return Held(errors, np.zeros(errors.shape), first, season)


def coverage(errors: Float64, first: Integers, scored: list[int] | Integers, level: int, recent: int) -> list[float]:
    """Of intervals around forecasts of 0."""
    found = rolling_intervals(around_zero(errors, first), np.array(scored, int), [level], recent)
    shares: list[float] = found.scores.coverage[level].tolist()
    return shares


def normal(origins: int, horizon: int = 1, seed: int = 0, features: int = 2) -> Float64:
    return np.random.default_rng(seed).normal(size=(origins, horizon, features))


def same_scores(found: Rolling, expected: Rolling) -> None:
    for level, values in expected.scores.coverage.items():
        np.testing.assert_array_equal(found.scores.coverage[level], values)
        np.testing.assert_array_equal(found.scores.interval_score[level], expected.scores.interval_score[level])
    np.testing.assert_array_equal(found.scores.wql, expected.scores.wql)


# what is known at an origin


def test_coverage_by_hand() -> None:
    """Three steps per origin, one origin per step: origin 5 knows origins 0, 1 and 2, nine errors as 80 % needs."""
    errors = np.array([0.0, 1, 2, 9, 9, 2.5, 1.5, 9])[:, None, None].repeat(3, axis=1)
    errors[5, 0], errors[6, 2], errors[7] = 0.5, NAN, 8.5
    first = np.arange(8)
    assert coverage(errors, first, [5], 80, 10) == [pytest.approx(1 / 3)]  # only the first is within 2 of 0
    assert coverage(errors, first, [6], 80, 10) == [1.0]  # within 9; the third is missing
    assert coverage(errors, first, [5, 6], 80, 10) == [3 / 5]
    assert coverage(errors, first, [7], 80, 3) == [1.0]  # from origins 2, 3 and 4: within 9
    assert np.isnan(coverage(errors, first, [5], 80, 2)).all()  # six errors are too few
    assert coverage(errors, first, [5], 50, 1) == [pytest.approx(1 / 3)]  # of 50 % three are enough, those of origin 2
    assert coverage(errors, first, [7], 50, 1) == [1.0]  # from origin 4 alone
    assert coverage(-errors, first, [5], 80, 3) == [pytest.approx(1 / 3)]  # [-2, 0]
    assert coverage(errors - 9.6, first, [7], 80, 3) == [1.0]  # -1.1, and intervals of -7.6, -0.6 and -0.6
    assert coverage(errors - 9.6, first, [5], 50, 1) == [pytest.approx(2 / 3)]  # -9.1, -7.1 and -7.1 in [-7.6, 0]


def test_only_origins_whose_last_step_was_observed_are_known() -> None:
    first, errors = np.array([0, 2, 4, 6, 8]), normal(5, horizon=4)
    third = np.array([3])
    clean = rolling_intervals(around_zero(errors, first), third, [50], 10)
    assert np.isfinite(clean.scores.interval_score[50]).all()
    for poison in (NAN, 1e9):  # origin 2 forecasts steps 4 to 7, of which 6 and 7 are unknown at step 6
        later = errors.copy()
        later[[2, 4]] = poison
        same_scores(rolling_intervals(around_zero(later, first), third, [50], 10), clean)
    for known in (0, 1):  # whereas steps 2 to 5 were known
        changed = errors.copy()
        changed[known] = np.array([-1e9, 1e9])[[known]]
        changed[1 - known] = -changed[known]
        assert coverage(changed, first, [3], 50, 10) == [1, 1]


def test_only_the_latest_known_origins_are_used() -> None:
    """Eight forecasts of two steps each: enough errors of 80 %, too few to learn widths from."""
    first, errors, scored = 2 * np.arange(30), normal(30, horizon=2), np.arange(20, 30)
    clean = rolling_intervals(around_zero(errors, first), scored, [80], 8)
    errors[:12] = 1e9
    same_scores(rolling_intervals(around_zero(errors, first), scored, [80], 8), clean)
    errors[12] = 1e9
    found = rolling_intervals(around_zero(errors, first), scored, [80], 8)
    assert (found.scores.interval_score[80] > 1e3 * clean.scores.interval_score[80]).all()


def test_where_nothing_can_be_scored_there_is_no_coverage() -> None:
    assert np.isnan(coverage(normal(3), np.arange(3), [0], 80, 10)).all()
    assert np.isnan(coverage(normal(3), np.arange(3), [], 80, 10)).all()
    errors = normal(30)
    errors[:, :, 1] = NAN
    found = coverage(errors, np.arange(30), np.arange(10, 30), 80, 10)
    assert np.isfinite(found).tolist() == [True, False]


def test_origins_that_know_too_little_are_not_scored() -> None:
    held = around_zero(normal(60), np.arange(60))
    late, every = (rolling_intervals(held, np.arange(begin, 60), [95], 100) for begin in (39, 0))
    same_scores(every, late)
    assert np.isnan(rolling_intervals(held, np.arange(39), [95], 100).scores.coverage[95]).all()


def test_intervals_are_fitted_anew_when_a_tenth_more_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    module, sizes = adaptive_intervals, []

    def fit(held: Held, levels: list[int]) -> Intervals:
        sizes.append((int(held.first[0]), int(held.first[-1]) + 1))
        return fit_intervals(held, levels)

    monkeypatch.setattr(module, "fit_intervals", fit)
    held = around_zero(normal(31), np.arange(31))
    rolling_intervals(held, np.arange(31), [80], 1000)
    ends = [*range(1, 12), 13, 15, 17, 19, 21, 24, 27, 30]  # 11 + 2, 21 + 3
    assert sizes == [(0, end) for end in (*ends, 31)]  # the last one is of all forecasts
    sizes.clear()
    rolling_intervals(held, np.arange(31), [80], 20)  # an eighth of 20 is 2.5: after 24, every third
    assert sizes == [(max(0, end - 20), end) for end in (*ends, 31)]
    sizes.clear()
    rolling_intervals(held, np.arange(31), [80], 8)
    assert sizes == [(max(0, end - 8), end) for end in range(1, 32)]


# widths


def one(value: float, steps: int = 1) -> Float64:
    return np.full((steps, 1), value)


def test_widths_by_hand() -> None:
    """Of 80 %, m of the values outside change the logarithm by 0.3 / (1 + d) · (m - 0.2)."""
    held = Held(np.zeros((5, 6, 1)), np.zeros((5, 6, 1)), np.array([0, 2, 4, 6, 20]))  # three forecasts a horizon
    widths = Widths.unknown(held, [80])
    assert widths.step == 0.3 / 4
    assert widths.factors[80].tolist() == [1]
    bounds = {80: (one(-1, 4), one(1, 4))}
    wider = widths.after(np.array([[0.5], [2], [-3], [1]]), bounds)  # a value on the bound is inside
    assert wider.factors[80].tolist() == [pytest.approx(np.exp(0.075 * (0.5 - 0.2)))]
    again = wider.after(one(0, 4), bounds)
    assert again.factors[80].tolist() == [pytest.approx(np.exp(0.075 * (0.5 - 0.2 - 0.2)))]
    assert widths.factors[80].tolist() == [1]  # they are not changed in place


def test_a_single_origin_and_origins_far_apart_have_their_step() -> None:
    assert Widths.unknown(around_zero(normal(1, horizon=6), np.array([3])), [80]).step == 0.3 / 2
    assert Widths.unknown(around_zero(normal(3, horizon=6), np.array([0, 6, 12])), [80]).step == 0.3 / 2
    assert Widths.unknown(around_zero(normal(3, horizon=6), np.array([0, 18, 36])), [80]).step == 0.3 / (1 + 1 / 3)


def test_each_level_and_feature_learns_by_itself() -> None:
    widths = Widths({50: np.zeros(2), 90: np.zeros(2)}, 0.15)
    bounds = {level: (np.full((1, 2), -reach), np.full((1, 2), reach)) for level, reach in ((50, 1.0), (90, 3.0))}
    found = widths.after(np.array([[2.0, 0.0]]), bounds)
    np.testing.assert_allclose(found.logarithms[50], [0.15 * 0.5, -0.15 * 0.5])
    np.testing.assert_allclose(found.logarithms[90], [-0.15 * 0.1, -0.15 * 0.1])
    kept = widths.after(np.array([[2.0, 0.0]]), {50: bounds[50]})  # nothing is learned about levels that are left out
    np.testing.assert_array_equal(kept.logarithms[50], found.logarithms[50])
    assert kept.logarithms[90].tolist() == [0, 0]


def test_unknown_values_and_absent_intervals_teach_nothing() -> None:
    widths = Widths({80: np.array([0.1])}, 0.15)
    bounds = {80: (one(-1, 2), one(1, 2))}
    assert widths.after(one(NAN, 2), bounds).logarithms[80].tolist() == [0.1]
    assert widths.after(one(0, 2), {80: (one(NAN, 2), one(NAN, 2))}).logarithms[80].tolist() == [0.1]
    half = widths.after(np.array([[NAN], [7]]), bounds)  # the share is of the known values
    assert half.logarithms[80].tolist() == [pytest.approx(0.1 + 0.15 * 0.8)]
    half = widths.after(np.array([[7.0], [0]]), {80: (np.array([[NAN], [-1]]), np.array([[NAN], [1]]))})
    assert half.logarithms[80].tolist() == [pytest.approx(0.1 - 0.15 * 0.2)]


@pytest.mark.parametrize(("value", "expected"), [(9.0, 1.1), (0.0, -0.7)])
def test_widths_stay_between_a_half_and_three_times(value: float, expected: float) -> None:
    widths = Widths({50: np.zeros(1)}, 0.15)
    for _ in range(40):
        widths = widths.after(one(value), {50: (one(-1), one(1))})
    assert widths.logarithms[50].tolist() == [expected]
    back = widths.after(one(9 - value), {50: (one(-1), one(1))})  # from there they return at once
    assert back.logarithms[50].tolist() == [pytest.approx(expected - np.sign(expected) * 0.075)]


# the whole


def reference(held: Held, scored: list[int], levels: list[int], recent: int) -> IntervalTally:
    """The same, slowly: at each origin everything is made anew of what is known there; fits are as old as they are."""
    first, horizon = held.first, held.actual.shape[1]
    tally = IntervalTally(levels, held.actual.shape[2])
    made: dict[int, dict[int, Bounds]] = {}
    for origin in range(len(first)):
        fitted, widths = 0, Widths.unknown(held, levels)
        for before in range(origin + 1):
            known = int((first + horizon <= first[before]).sum())
            if known - fitted >= max(1, min(fitted / 10, recent / 8)):
                fitted = known
        known = int((first + horizon <= first[origin]).sum())
        for past in range(known):
            count = int((first + horizon <= first[past]).sum())
            bounds = made.get(past, {})
            sound = {level: own for level, own in bounds.items() if min(count, recent) >= errors_needed(level)}
            widths = widths.after(held.actual[past], sound)
        if not fitted:
            continue
        own = fit_intervals(held.part(fitted - recent, fitted), levels).scaled(widths.factors)
        made[origin] = own.around(held.forecast[origin], int(first[origin]), held.limits)
        if origin in scored:
            tally.add(held.actual[origin], held.forecast[origin], made[origin])
    return tally


@pytest.mark.parametrize(("apart", "recent"), [(1, 25), (3, 12), (5, 40)])
def test_scores_are_those_of_intervals_made_from_scratch_at_each_origin(apart: int, recent: int) -> None:
    generator = np.random.default_rng(apart)
    first = apart * np.arange(60) - 70
    actual, forecast = generator.exponential(size=(2, 60, 3, 2))
    actual[generator.random(actual.shape) < 0.05] = NAN
    held = Held(actual, forecast, first, 4, (np.zeros(2), np.array([4.0, np.inf])))
    scored = [3, 20, 21, 40, 59]
    found = rolling_intervals(held, np.array(scored), [80, 50], recent).scores
    expected = reference(held, scored, [80, 50], recent).scores()
    for level in (80, 50):
        np.testing.assert_allclose(found.coverage[level], expected.coverage[level])
        np.testing.assert_allclose(found.interval_score[level], expected.interval_score[level])
    np.testing.assert_allclose(found.wql, expected.wql)


@pytest.mark.parametrize("origin", [20, 41, 58])
def test_nothing_leaks_from_later_values(origin: int) -> None:
    """What comes at an origin changes no interval that is made before its last step has been observed."""
    held = Held(10 + normal(60, 4, 1), 10 + normal(60, 4, 2), np.arange(60), 7)
    actual = held.actual.copy()
    actual[origin] = 1e6
    changed = Held(actual, held.forecast, held.first, 7)
    before = np.delete(np.arange(min(60, origin + 4)), origin)
    same_scores(rolling_intervals(changed, before, [80, 50], 30), rolling_intervals(held, before, [80, 50], 30))
    if origin + 4 < 60:  # later intervals are others
        after = np.arange(origin + 4, 60)
        found, clean = (rolling_intervals(each, after, [80, 50], 30).scores for each in (changed, held))
        assert (found.interval_score[80] != clean.interval_score[80]).all()


def test_which_origins_are_scored_changes_no_interval() -> None:
    held = around_zero(normal(40, 2), np.arange(40), 5)
    every = rolling_intervals(held, np.arange(40), [80], 20).latest
    none = rolling_intervals(held, np.array([], int), [80], 20).latest
    np.testing.assert_array_equal(every.offsets[80], none.offsets[80])


@pytest.mark.parametrize("level", [50, 80, 90, 95])
def test_coverage_of_independent_errors_is_nominal(level: int) -> None:
    errors = np.random.default_rng(7).exponential(size=(2500, 1, 2)) - np.log(2)
    found = coverage(errors, np.arange(2500), np.arange(300, 2500), level, 199)
    np.testing.assert_allclose(found, level / 100, atol=0.02)


@pytest.mark.parametrize("level", [80, 95])
def test_coverage_recovers_when_errors_grow(level: int) -> None:
    """Errors are three times as large from the middle on; intervals of the errors before them hold far too few."""
    errors = normal(600, 3, seed=5)
    errors[300:] *= 3
    first, last = 3 * np.arange(600), np.arange(350, 600)
    adaptive = np.array(coverage(errors, first, last, level, 256))
    plain = []
    for origin in last:  # the same errors make the intervals, and nothing widens them
        lower, upper = fit_offsets(errors[origin - 256 : origin], first[origin - 256 : origin], [level])[level]
        plain.append((errors[origin] >= lower) & (errors[origin] <= upper))
    share = np.concatenate(plain).mean(axis=0)
    assert (share < level / 100 - 0.02).all()
    assert (adaptive > level / 100 - 0.01).all()
    assert (adaptive < level / 100 + 0.035).all()
    shrinking = np.array(coverage(errors[::-1], first, last, level, 256))
    assert (np.abs(shrinking - level / 100) < 0.035).all()


# intervals around any forecast


def test_the_latest_intervals_are_usable_around_any_forecast() -> None:
    held = around_zero(normal(50, 3), 3 * np.arange(50), 6)
    latest = rolling_intervals(held, np.arange(50), [80], 30).latest
    for steps in (1, 3, 5):
        forecast = 7 + normal(steps, 1, seed=steps)[:, 0]
        lower, upper = latest.around(forecast, -17)[80]
        assert lower.shape == upper.shape == (steps, 2)
        assert (lower[:3] <= forecast[:3]).all()
        assert (upper[:3] >= forecast[:3]).all()
        assert np.isfinite(upper[:3] - lower[:3]).all()
        assert np.isnan(lower[3:]).all()
        assert np.isnan(upper[3:]).all()
    low, high = latest.around(np.zeros((3, 2)), 0, (np.array([-0.1, -np.inf]), np.array([0.1, np.inf])))[80]
    assert (np.abs([low[:, 0], high[:, 0]]) <= 0.1).all()
    assert (high[:, 1] - low[:, 1] > 1).all()


def test_the_latest_intervals_are_of_the_latest_forecasts_and_all_that_was_learned() -> None:
    held = around_zero(normal(50, 2), 2 * np.arange(50))
    latest = rolling_intervals(held, np.array([], int), [80], 20).latest
    plain = fit_intervals(held.part(30, 50), [80])
    np.testing.assert_array_equal(latest.sizes.phases, plain.sizes.phases)
    ratio = np.array(latest.offsets[80]) / np.array(plain.offsets[80])  # (2, H, P)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0], ratio.shape))
    assert (ratio != 1).all()
    actual = held.actual.copy()
    actual[-1] = 0  # inside: the last forecast's values are learned from too
    wide = held.actual.copy()
    wide[-1] = 1e9
    widths = [
        np.array(rolling_intervals(around_zero(each, held.first), np.array([0]), [80], 20).latest.offsets[80])
        / np.array(fit_intervals(around_zero(each, held.first).part(30, 50), [80]).offsets[80])
        for each in (actual, wide)
    ]
    np.testing.assert_allclose(widths[1] / widths[0], np.exp(0.15))  # of 80 %: 0.3 / 2 · (1 - 0)


def test_intervals_are_made_of_errors_divided_by_their_size() -> None:
    """Random walks, whose overlapping forecasts are alike: they count as fewer errors in both fits."""
    walk = normal(90, seed=3)[:, 0].cumsum(axis=0)
    first = np.arange(60) - 500
    held = Held(walk[np.arange(60)[:, None] + 1 + np.arange(8)], walk[:60, None].repeat(8, axis=1), first, 6)
    share = independent_share(held.errors, first)
    assert share.min() < 0.5
    found = fit_intervals(held, [80, 50])
    sizes = fit_sizes(held.errors, held.forecast, first, 6, share)
    np.testing.assert_array_equal(found.sizes.phases, sizes.phases)
    np.testing.assert_array_equal(found.sizes.heights, sizes.heights)
    expected = fit_offsets(held.errors / sizes.of(held.forecast, first), first, [80, 50])
    for level, offsets in found.offsets.items():
        np.testing.assert_array_equal(offsets, expected[level])


def bounds_of(low: list[float], high: list[float]) -> Bounds:
    return np.array(low)[:, None], np.array(high)[:, None]


def test_intervals_are_in_units_of_the_errors_size() -> None:
    """Phases 1 and 3 of two steps; forecasts up to 5 are half as hard, others twice."""
    sizes = ErrorSizes(2, np.array([[1.0], [3]]), np.array([[5.0]]), np.array([[0.5], [2]]))
    lower, upper = Intervals({80: bounds_of([-1, -10], [2, 20])}, sizes).around(np.array([[0.0], [9], [9]]), 1)[80]
    np.testing.assert_array_equal(lower, [[-1.5], [9 - 20], [NAN]])
    np.testing.assert_array_equal(upper, [[3], [9 + 40], [NAN]])


def test_scaled_intervals_do_not_cross() -> None:
    offsets = {95: bounds_of([-2, -4], [2, 4]), 80: bounds_of([-1, -3], [1, 3])}
    intervals = Intervals(offsets, ErrorSizes.alike(1))
    found = intervals.scaled({95: np.array([0.5]), 80: np.array([1.5])}).offsets
    np.testing.assert_array_equal(found[80], np.array(offsets[80]) * 1.5)
    np.testing.assert_array_equal(found[95], np.array(offsets[80]) * 1.5)  # half of it is narrower than that of 80 %
    free = intervals.scaled({95: np.array([2.0]), 80: np.array([0.5])}).offsets
    np.testing.assert_array_equal(free[95], np.array(offsets[95]) * 2)


def test_rolling_intervals_of_a_lower_level_are_inside_those_of_a_higher_one() -> None:
    """Heavy tails, after which both widths differ."""
    errors = np.random.default_rng(9).standard_t(2, size=(200, 2, 3))
    errors[100:] *= np.array([0.2, 1, 4])
    latest = rolling_intervals(around_zero(errors, 2 * np.arange(200), 3), np.arange(200), [95, 80, 50], 60).latest
    found = latest.around(normal(2, 1, features=3)[:, 0], 5)
    for inner, outer in ((50, 80), (80, 95)):
        assert (found[outer][0] <= found[inner][0]).all()
        assert (found[outer][1] >= found[inner][1]).all()
        assert (found[outer][1] - found[outer][0] > 0).all()


def test_a_few_features_at_a_time_have_the_intervals_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, forecast = normal(40, 3, features=5), normal(40, 3, seed=1, features=5)
    errors[7:20, :, 3] = NAN
    limits = np.array([-9.0, -1, -9, -9, -2]), np.full(5, 9.0)
    held = Held(forecast + errors, forecast, np.arange(40), 7, limits)
    expected = rolling_intervals(held, np.arange(20, 40), [50, 80])
    monkeypatch.setattr(adaptive_intervals, "_AT_ONCE", 2)  # of 2, 2 and 1 features
    found = rolling_intervals(held, np.arange(20, 40), [50, 80])
    same_scores(found, expected)
    for level, sides in expected.latest.offsets.items():
        np.testing.assert_allclose(found.latest.offsets[level], sides, rtol=1e-12)
    for name in ("phases", "edges", "heights"):
        np.testing.assert_allclose(getattr(found.latest.sizes, name), getattr(expected.latest.sizes, name), rtol=1e-12)
