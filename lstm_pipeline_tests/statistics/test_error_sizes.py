"""Sizes of errors by phase and height: by hand, from known patterns, and where there is little or nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.statistics.error_sizes import ErrorSizes, fit_sizes
from lstm_pipeline.statistics.intervals import independent_share

NAN = np.nan


def flat(errors: Float64, season: int, share: float = 1.0) -> ErrorSizes:
    """Sizes of errors one origin per step, around forecasts that are all the same."""
    forecast = np.full(errors.shape, 4.0)
    return fit_sizes(errors, forecast, np.arange(len(errors)), season, np.full(errors.shape[1:], share))


def noise(origins: int, horizon: int = 1, features: int = 1, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).normal(size=(origins, horizon, features))


# by hand


def test_phases_by_hand() -> None:
    """50 errors of 3 and 50 of 1, on average 2, and as if 100 of 2 had been seen in each phase before."""
    errors = np.where(np.arange(100) % 2 == 0, 3.0, -1)[:, None, None]
    found = flat(errors, 2)
    np.testing.assert_allclose(found.phases[:, 0], [(150 + 200) / (100 + 200), (50 + 200) / (100 + 200)])
    np.testing.assert_allclose(found.heights[:, 0], np.ones(8))  # all are of one height
    half = flat(errors, 2, 0.5)  # the errors are worth half as many: 200 before
    np.testing.assert_allclose(half.phases[:, 0], [(150 + 400) / (100 + 400), (50 + 400) / (100 + 400)])


def test_heights_by_hand() -> None:
    """Errors of 3 around forecasts of 0 and of 1 around forecasts of 9: the first and the last height."""
    errors, low = np.where(np.arange(100) < 50, 3.0, -1)[:, None, None], np.arange(100)[:, None, None] < 50
    found = fit_sizes(errors, np.where(low, 0.0, 9), np.arange(100), 1, np.ones((1, 1)))
    np.testing.assert_allclose(found.edges[:, 0], [0, 0, 0, 4.5, 9, 9, 9])  # 4.5: between the 50th and the 51st
    np.testing.assert_allclose(found.heights[:, 0], [7 / 6, 1, 1, 1, 5 / 6, 1, 1, 1])
    np.testing.assert_allclose(found.phases, [[1.0]])


def test_phases_and_heights_are_fitted_in_turns_twice() -> None:
    """100 errors of four kinds: two phases, forecasts of 0 (the first height) and 9 (the fourth one)."""
    counts, kinds = np.array([[30, 10], [10, 50]]), np.array([[1.0, 2], [3, 6]])  # by phase and height
    phase, height = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices((2, 2)))
    errors = kinds[phase, height][:, None, None]
    forecast = np.where(height, 9.0, 0)[:, None, None]
    found = fit_sizes(errors, forecast, 2 * np.arange(100) + phase, 2, np.ones((1, 1)))
    mean = (counts * kinds).sum() / 100
    phases = heights = np.ones(2)
    for _ in range(2):
        phases = ((counts * kinds).sum(axis=1) + 100 * mean) / ((counts * mean * heights).sum(axis=1) + 100 * mean)
        heights = ((counts * kinds).sum(axis=0) + 100 * mean) / ((counts.T * mean * phases).sum(axis=1) + 100 * mean)
    np.testing.assert_allclose(found.phases[:, 0], phases)
    np.testing.assert_allclose(found.heights[[0, 3], 0], heights)
    np.testing.assert_allclose(found.heights[[1, 2, 4, 5, 6, 7], 0], 1)


def test_a_second_feature_in_another_unit_has_the_same_sizes() -> None:
    errors, forecast = noise(300, 3), noise(300, 3, seed=1)
    found = fit_sizes(
        np.concatenate([errors, 1000 * errors], axis=2), np.concatenate([forecast, 50 + 7 * forecast], axis=2),
        np.arange(300), 5, np.ones((3, 2)),
    )  # fmt: skip
    np.testing.assert_allclose(found.phases[:, 0], found.phases[:, 1])
    np.testing.assert_allclose(found.heights[:, 0], found.heights[:, 1])
    np.testing.assert_allclose(found.edges[:, 1], 50 + 7 * found.edges[:, 0])


def test_sizes_are_multiples_of_the_mean_at_their_lead_time() -> None:
    """Errors further ahead are larger, which is no matter of the phase, although each lead time has its own phases."""
    errors = np.ones((40, 2, 1)) * np.array([1.0, 100])[:, None]
    found = fit_sizes(errors, np.zeros(errors.shape), 2 * np.arange(40), 2, np.ones((2, 1)))
    np.testing.assert_allclose(found.phases, 1)
    np.testing.assert_allclose(found.heights, 1)


def test_the_multiple_of_a_value_by_hand() -> None:
    sizes = ErrorSizes(
        3, np.array([[1.0, 10], [2, 20], [3, 30]]), np.array([[0.0, 5], [8, 6]]), np.array([[1.0, 1], [0.5, 2], [4, 7]])
    )
    forecast = np.array([[[-1.0, 5.5], [8, 5]], [[9, 99], [0.1, -9]]])  # (B, H, P)
    phase, height = sizes.classes(forecast, np.array([2, 4]))
    assert phase.tolist() == [[[2, 2], [0, 0]], [[1, 1], [2, 2]]]
    assert height.tolist() == [[[0, 1], [1, 0]], [[2, 2], [1, 0]]]  # a forecast on an edge is below it
    assert sizes.of(forecast, np.array([2, 4])).tolist() == [[[3, 60], [0.5, 10]], [[8, 140], [1.5, 30]]]


def test_multiples_are_those_of_their_classes() -> None:
    forecast, first = noise(30, 4, 2), np.arange(-40, 20, 2)
    sizes = fit_sizes(noise(30, 4, 2, 1), forecast, first, 6, np.ones((4, 2)))
    phase, height = sizes.classes(forecast, first)
    found = sizes.of(forecast, first)
    assert found.shape == phase.shape == height.shape == (30, 4, 2)
    for place in np.ndindex(found.shape):
        feature = place[2]
        assert phase[place] == (first[place[0]] + place[1]) % 6
        assert height[place] == (sizes.edges[:, feature] < forecast[place]).sum()
        expected = sizes.phases[phase[place], feature] * sizes.heights[height[place], feature]
        assert found[place] == pytest.approx(expected)


def test_without_a_forecast_all_sizes_are_alike() -> None:
    sizes = flat(np.zeros((0, 2, 3)), season=4)
    np.testing.assert_array_equal(sizes.edges, np.zeros((7, 3)))
    np.testing.assert_array_equal(sizes.of(np.ones((1, 2, 3)), np.array([5])), np.ones((1, 2, 3)))


def test_errors_of_the_same_size_everywhere() -> None:
    alike = ErrorSizes.alike(3)
    assert alike.of(noise(4, 2, 3), np.array([-7, 0, 3, 10**6])).tolist() == np.ones((4, 2, 3)).tolist()


# known patterns


PHASES, HEIGHTS = np.array([0.4, 1.2, 2.0, 0.4]), np.array([0.3, 0.5, 0.8, 1, 1, 1.1, 1.3, 2])


@pytest.mark.parametrize(("by_phase", "by_height"), [(True, False), (False, True), (True, True)])
def test_known_patterns_are_found(by_phase: bool, by_height: bool) -> None:
    generator, first = np.random.default_rng(4), np.arange(20_000)
    forecast = generator.uniform(0, 8, (20_000, 2, 1))
    phases, heights = (
        values if own else np.ones(len(values)) for values, own in ((PHASES, by_phase), (HEIGHTS, by_height))
    )
    steps = first[:, None] + np.arange(2)
    errors = phases[steps % 4][..., None] * heights[forecast.astype(int)] * generator.normal(size=forecast.shape)
    errors *= np.array([1.0, 30])[:, None]
    found = fit_sizes(errors, forecast, first, 4, np.ones((2, 1)))
    np.testing.assert_allclose(found.phases[:, 0], phases, rtol=0.06)
    np.testing.assert_allclose(found.heights[:, 0], heights, rtol=0.08)
    np.testing.assert_allclose(found.edges[:, 0], np.arange(1, 8), rtol=0.03)
    spread = np.abs(errors / found.of(forecast, first))[:, 0]  # divided by its size, no part is larger than another
    np.testing.assert_allclose([spread[phase::4].mean() / spread.mean() for phase in range(4)], 1, atol=0.06)


def test_patterns_that_go_together_are_not_counted_twice() -> None:
    """Forecasts are high in the hard phase: only the product of both factors says how hard it is."""
    generator, first = np.random.default_rng(5), np.arange(20_000)
    hard = (first % 2 == 1)[:, None, None]
    forecast = generator.normal(size=(20_000, 1, 1)) + 6 * hard
    errors = generator.normal(size=forecast.shape) * np.where(hard, 3, 1)
    sizes = fit_sizes(errors, forecast, first, 2, np.ones((1, 1))).of(forecast, first)
    assert sizes[hard].mean() / sizes[~hard].mean() == pytest.approx(3, rel=0.05)


def test_each_feature_has_its_own_pattern() -> None:
    errors = noise(8000, 1, 2) * np.where(np.arange(8000)[:, None] % 2 == 0, [1.5, 1], [0.5, 1])[:, None]
    found = flat(errors, 2)
    np.testing.assert_allclose(found.phases, [[1.5, 1], [0.5, 1]], rtol=0.05)


@pytest.mark.parametrize("origins", [2, 3, 10])
def test_few_errors_change_little(origins: int) -> None:
    errors, forecast = noise(origins, 2, 3), noise(origins, 2, 3, 1)
    found = fit_sizes(errors, forecast, np.arange(origins), 7, np.ones((2, 3)))
    for factors in (found.phases, found.heights):
        assert (np.abs(factors - 1) < 0.06).all()
        assert (factors != 1).any()


def test_a_single_forecast_says_nothing() -> None:
    """Each error is the mean of its lead time."""
    found = fit_sizes(noise(1, 5, 3), noise(1, 5, 3, 1), np.array([3]), 7, np.ones((5, 3)))
    np.testing.assert_allclose(found.phases, 1)
    np.testing.assert_allclose(found.heights, 1)


# seasons


def test_a_season_of_one_step_has_one_phase() -> None:
    found = fit_sizes(noise(200, 2, 2), noise(200, 2, 2, 1), np.arange(200), 1, np.ones((2, 2)))
    assert found.phases.shape == (1, 2)
    np.testing.assert_allclose(found.phases, 1, atol=1e-3)  # a trace of what the heights leave over


@pytest.mark.parametrize(
    ("season", "phases"), [(167, 167), (168, 168), (169, 168), (336, 168), (1000, 168), (52_560, 168)]
)
def test_a_long_season_has_phases_of_several_steps(season: int, phases: int) -> None:
    found = flat(noise(3), season)
    assert found.phases.shape == (phases, 1)
    steps = np.arange(season)
    phase = found.classes(np.zeros((season, 1, 1)), steps)[0].ravel()
    assert (phase[0], phase[-1]) == (0, phases - 1)
    assert (np.diff(phase) >= 0).all()
    lengths = np.bincount(phase)
    assert len(lengths) == phases
    assert set(lengths) <= {season // phases, -(-season // phases)}
    assert (found.classes(np.zeros((season, 1, 1)), steps + season)[0].ravel() == phase).all()


def test_phases_of_a_long_season_are_found() -> None:
    """The first quarter of 2016 steps is hard."""
    errors = noise(40_320) * np.where(np.arange(40_320) % 2016 < 504, 2.5, 0.5)[:, None, None]
    found = flat(errors, 2016).phases[:, 0]
    # 240 errors in each of 168 phases, whose mean absolute error has a deviation of 5 %, and 100 before
    assert found[:42].min() > 1.6
    assert found[:42].mean() == pytest.approx((240 * 2.5 + 100) / 340, rel=0.03)
    assert found[42:].max() < 0.9
    assert found[42:].mean() == pytest.approx((240 * 0.5 + 100) / 340, rel=0.03)


def test_steps_before_the_first_one_have_phases_too() -> None:
    sizes = ErrorSizes(4, np.arange(1.0, 5)[:, None], np.zeros((0, 1)), np.ones((1, 1)))
    assert sizes.of(np.zeros((1, 6, 1)), np.array([-5])).ravel().tolist() == [4, 1, 2, 3, 4, 1]
    errors, forecast = noise(100, 3), noise(100, 3, seed=1)
    found, later = (fit_sizes(errors, forecast, np.arange(100) + add, 5, np.ones((3, 1))) for add in (-105, 10))
    np.testing.assert_array_equal(found.phases, later.phases)
    turned = fit_sizes(errors, forecast, np.arange(100) + 1, 5, np.ones((3, 1)))
    np.testing.assert_allclose(np.roll(found.phases, 1, axis=0), turned.phases)


# nothing to learn from


def sound(sizes: ErrorSizes) -> None:
    for factors in (sizes.phases, sizes.heights):
        assert np.isfinite(factors).all()
        assert (factors > 0).all()
    assert np.isfinite(sizes.edges).all()
    assert (np.diff(sizes.edges, axis=0) >= 0).all()


def test_features_without_errors_have_sizes_of_one() -> None:
    """No error, nothing known, and a constant forecast without errors, beside an ordinary feature."""
    errors, forecast = noise(50, 2, 4), noise(50, 2, 4, 1)
    errors[..., 0], errors[..., 1] = 0, NAN
    errors[..., 2], forecast[..., 2] = 0, 7
    share = independent_share(errors, np.arange(50))
    found = fit_sizes(errors, forecast, np.arange(50), 6, share)
    sound(found)
    assert (found.phases[:, :3] == 1).all()
    assert (found.heights[:, :3] == 1).all()
    assert found.edges[:, 1].tolist() == [0] * 7
    alone = fit_sizes(errors[..., 3:], forecast[..., 3:], np.arange(50), 6, share[:, 3:])
    np.testing.assert_array_equal(found.phases[:, 3:], alone.phases)
    assert (alone.phases != 1).all()


def test_a_lead_time_or_phase_without_errors_is_no_trouble() -> None:
    errors = noise(60, 2)
    errors[:, 1] = NAN
    errors[::3] = 0
    found = fit_sizes(errors, noise(60, 2, seed=1), np.arange(60), 3, np.ones((2, 1)))
    sound(found)
    assert found.phases[0, 0] < found.phases[1:, 0].min()


@pytest.mark.parametrize(("error", "forecast_"), [(NAN, NAN), (np.inf, -np.inf), (-np.inf, np.inf), (1e3, NAN)])
def test_errors_and_forecasts_that_are_not_finite_are_left_out(error: float, forecast_: float) -> None:
    errors, forecast = noise(40, 1, 2), noise(40, 1, 2, 1)
    kept = np.arange(40) != 13
    expected = fit_sizes(errors[kept], forecast[kept], np.arange(40)[kept], 4, np.ones((1, 2)))
    errors[13], forecast[13] = error, forecast_
    found = fit_sizes(errors, forecast, np.arange(40), 4, np.ones((1, 2)))
    sound(found)
    np.testing.assert_allclose(found.phases, expected.phases)
    np.testing.assert_allclose(found.heights, expected.heights)
    np.testing.assert_allclose(found.edges, expected.edges)


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
def test_tiny_and_huge_errors_have_the_sizes_of_ordinary_ones(scale: float) -> None:
    errors = noise(40)
    sound(flat(scale * errors, 4))
    np.testing.assert_allclose(flat(scale * errors, 4).phases, flat(errors, 4).phases)
    assert np.isfinite(flat(errors, 4).of(np.array([[[NAN]], [[np.inf]], [[-np.inf]]]), np.arange(3))).all()
