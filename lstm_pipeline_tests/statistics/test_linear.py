import numpy as np
import pytest

from lstm_pipeline.statistics import linear
from lstm_pipeline.statistics.linear import LinearForm, LinearMap, fit_linear


def test_a_map_is_applied_to_the_changes_from_the_last_value() -> None:
    # window 1, 4, 6: changes -5, -2, 0
    weights = np.array([[1.0, 0], [0, 2], [7, 7]])
    values = np.array([[9.0], [1], [4], [6], [0]])
    np.testing.assert_allclose(LinearMap(weights).forecast(values, np.array([4])), [[[6 - 5], [6 - 4]]])


def test_a_linear_recursion_is_found() -> None:
    """A wave follows y(t) = 2 cos(w) y(t - 1) - y(t - 2), whatever its phase and amplitude."""
    days = np.arange(200)[:, None]
    values = np.sin(2 * np.pi * days / 7 + np.array([0.3, 2.0])) * np.array([1.0, 0.5])
    found = fit_linear(values, np.arange(100), LinearForm(14, 5))
    forecast = found.forecast(values, np.array([150, 180]))
    expected = np.stack([values[150:155], values[180:185]])
    np.testing.assert_allclose(forecast, expected, atol=1e-3)


def rows_of(values: np.ndarray, starts: np.ndarray, length: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Changes from the last value, one row per window and feature."""
    rows = values[starts[:, None] + np.arange(length + horizon)]
    changes = np.moveaxis(rows - rows[:, length - 1 : length], 2, 1).reshape(-1, length + horizon)
    return changes[:, :length], changes[:, length:]


def ridge(x: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
    squares = x.T @ x
    return np.asarray(
        np.linalg.solve(squares + share * np.trace(squares) / len(squares) * np.eye(len(squares)), x.T @ y)
    )


@pytest.mark.parametrize("noise", [0.01, 3.0])
def test_the_latest_windows_choose_the_penalty(noise: float) -> None:
    """The map they judge is fitted to the windows whose horizon ends before the first row they forecast."""
    generator = np.random.default_rng(5)
    values = generator.normal(size=(120, 2)).cumsum(axis=0) + noise * generator.normal(size=(120, 2))
    starts = np.arange(90)
    earlier = rows_of(values, starts[starts + 3 <= 72], 6, 3)
    later = rows_of(values, starts[72:], 6, 3)
    errors = [float(np.sum((later[0] @ ridge(*earlier, share) - later[1]) ** 2)) for share in linear.RIDGES]
    best = linear.RIDGES[int(np.argmin(errors))]
    found = fit_linear(values, starts, LinearForm(6, 3))
    np.testing.assert_allclose(found.weights, ridge(*rows_of(values, starts, 6, 3), best), atol=1e-9)
    np.testing.assert_allclose(found.weights[5], 0)  # the last value's own change is always 0


def test_noise_asks_for_a_larger_penalty() -> None:
    wave = np.sin(2 * np.pi * np.arange(200) / 7)[:, None]
    noisy = np.random.default_rng(5).normal(size=(200, 1)).cumsum(axis=0)
    sizes = [np.abs(fit_linear(values, np.arange(160), LinearForm(14, 5)).weights).sum() for values in (wave, noisy)]
    assert sizes[0] > 5 * sizes[1]


def test_the_map_does_not_depend_on_units() -> None:
    values = np.random.default_rng(5).normal(size=(120, 2)).cumsum(axis=0)
    found = fit_linear(values, np.arange(90), LinearForm(6, 3))
    np.testing.assert_allclose(fit_linear(values * 1000, np.arange(90), LinearForm(6, 3)).weights, found.weights)


def test_a_seasonal_map_is_applied_to_rows_at_the_same_position_in_the_season() -> None:
    # season 2: the oldest row, 9, is ignored; level 3; the changes at the two positions are (1, -1) and (3, 0)
    weights = np.array([[1.0, 0.5], [2.0, 0.0]])
    values = np.array([[9.0], [4], [6], [2], [3], [0]])
    found = LinearMap(weights, season=2, level="last")
    assert found.length == 4
    expected = [3 + 1 - 2, 3 + 3 + 0, 3 + 0.5, 3 + 1.5]
    np.testing.assert_allclose(found.forecast(values, np.array([5])), np.array(expected)[None, :, None])
    np.testing.assert_allclose(found.forecast(values, np.array([5]), 3), np.array(expected[:3])[None, :, None])


def test_a_map_from_the_mean_is_applied_to_the_changes_from_it() -> None:
    values = np.array([[1.0], [4], [np.nan], [7], [0]])  # mean 4
    found = LinearMap(np.array([[1.0], [1], [5], [2]]), level="mean").forecast(values, np.array([4]))
    np.testing.assert_allclose(found, [[[4 - 3 + 0 + 5 * 0 + 2 * 3]]])


@pytest.mark.parametrize("horizon", [12, 10, 5])
def test_a_seasonal_map_is_found(horizon: int) -> None:
    """Every position follows the same rule: each season is the one before, times -0.9."""
    start = np.random.default_rng(8).normal(size=(6, 3))
    values = np.concatenate([start * (-0.9) ** season for season in range(20)])
    found = fit_linear(values, np.arange(80), LinearForm(15, horizon, season=6, level="mean"))
    assert found.weights.shape == (2, -(-horizon // 6))
    forecast = found.forecast(values, np.array([100]), horizon)
    np.testing.assert_allclose(forecast[0], values[100 : 100 + horizon], atol=2e-2)


def test_blocks_and_thinning_change_nothing_but_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=(100, 2))
    whole = fit_linear(values, np.arange(80), LinearForm(6, 3))
    monkeypatch.setattr(linear, "_BLOCK", 50)
    np.testing.assert_allclose(fit_linear(values, np.arange(80), LinearForm(6, 3)).weights, whole.weights)
    monkeypatch.setattr(linear, "MAX_WINDOWS", 40)
    thinned = fit_linear(values, np.arange(80), LinearForm(6, 3))
    chosen = np.linspace(0, 79, 20).round().astype(int)
    monkeypatch.setattr(linear, "MAX_WINDOWS", 1000)
    np.testing.assert_allclose(thinned.weights, fit_linear(values, chosen, LinearForm(6, 3)).weights)


@pytest.mark.parametrize("values", [np.full((20, 1), 3.0), np.full((20, 1), np.nan)], ids=["constant", "missing"])
def test_with_nothing_to_learn_it_forecasts_the_last_value(values: np.ndarray) -> None:
    for starts in (np.arange(5), np.arange(0)):
        found = fit_linear(values, starts, LinearForm(4, 2))
        assert not found.weights.any()
    given = np.arange(8.0)[:, None]
    np.testing.assert_array_equal(found.forecast(given, np.array([6])), [[[5.0], [5.0]]])


def test_missing_values_count_as_no_change_and_are_never_learnt() -> None:
    values = np.random.default_rng(7).normal(size=(60, 1))
    found = fit_linear(values, np.arange(40), LinearForm(4, 2))
    holed = values.copy()
    holed[50:] = np.nan
    np.testing.assert_array_equal(fit_linear(holed, np.arange(44), LinearForm(4, 2)).weights != 0, found.weights != 0)
    window = np.array([[2.0], [np.nan], [5.0], [np.nan]])
    filled = np.array([[2.0], [5.0], [5.0], [5.0]])
    at = np.array([4])
    np.testing.assert_allclose(found.forecast(window, at), found.forecast(filled, at))
    assert np.isnan(found.forecast(np.full((4, 1), np.nan), at)).all()
