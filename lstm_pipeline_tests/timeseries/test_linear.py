import numpy as np
import pytest

from lstm_pipeline.timeseries import linear
from lstm_pipeline.timeseries.linear import LinearMap, fit_linear


def test_a_map_is_applied_to_the_changes_from_the_last_value() -> None:
    # window 1, 4, 6: changes -5, -2, 0
    weights = np.array([[1.0, 0], [0, 2], [7, 7]])
    values = np.array([[9.0], [1], [4], [6], [0]])
    np.testing.assert_allclose(LinearMap(weights).forecast(values, np.array([4])), [[[6 - 5], [6 - 4]]])


def test_a_linear_recursion_is_found() -> None:
    """Of a wave, y(t) = 2 cos(w) y(t - 1) - y(t - 2); features of any phase and size share it."""
    days = np.arange(200)[:, None]
    values = np.sin(2 * np.pi * days / 7 + np.array([0.3, 2.0])) * np.array([1.0, 0.5])
    found = fit_linear(values, np.arange(100), 14, 5)
    forecast = found.forecast(values, np.array([150, 180]))
    expected = np.stack([values[150:155], values[180:185]])
    np.testing.assert_allclose(forecast, expected, atol=1e-3)


def test_the_ridge_is_small_and_does_not_depend_on_units() -> None:
    values = np.random.default_rng(5).normal(size=(120, 2)).cumsum(axis=0)
    starts = np.arange(90)
    found = fit_linear(values, starts, 6, 3)
    np.testing.assert_allclose(fit_linear(values * 1000, starts, 6, 3).weights, found.weights)
    rows = values[starts[:, None] + np.arange(9)]
    changes = np.moveaxis(rows - rows[:, 5:6], 2, 1).reshape(-1, 9)
    least_squares = np.linalg.lstsq(changes[:, :5], changes[:, 6:], rcond=None)[0]
    np.testing.assert_allclose(found.weights[:5], least_squares, atol=2e-3)
    np.testing.assert_allclose(found.weights[5], 0)  # the last value's own change is always 0


def test_blocks_and_thinning_change_nothing_but_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=(100, 2))
    whole = fit_linear(values, np.arange(80), 6, 3)
    monkeypatch.setattr(linear, "_BLOCK", 50)
    np.testing.assert_allclose(fit_linear(values, np.arange(80), 6, 3).weights, whole.weights)
    monkeypatch.setattr(linear, "MAX_WINDOWS", 40)
    thinned = fit_linear(values, np.arange(80), 6, 3)
    chosen = np.linspace(0, 79, 20).round().astype(int)
    monkeypatch.setattr(linear, "MAX_WINDOWS", 1000)
    np.testing.assert_allclose(thinned.weights, fit_linear(values, chosen, 6, 3).weights)


@pytest.mark.parametrize("values", [np.full((20, 1), 3.0), np.full((20, 1), np.nan)], ids=["constant", "missing"])
def test_where_nothing_can_be_learnt_it_says_the_last_value(values: np.ndarray) -> None:
    for starts in (np.arange(5), np.arange(0)):
        found = fit_linear(values, starts, 4, 2)
        assert not found.weights.any()
    given = np.arange(8.0)[:, None]
    np.testing.assert_array_equal(found.forecast(given, np.array([6])), [[[5.0], [5.0]]])


def test_missing_values_count_as_no_change_and_are_never_learnt() -> None:
    values = np.random.default_rng(7).normal(size=(60, 1))
    found = fit_linear(values, np.arange(40), 4, 2)
    holed = values.copy()
    holed[50:] = np.nan
    np.testing.assert_array_equal(fit_linear(holed, np.arange(44), 4, 2).weights != 0, found.weights != 0)
    window = np.array([[2.0], [np.nan], [5.0], [np.nan]])
    filled = np.array([[2.0], [5.0], [5.0], [5.0]])
    at = np.array([4])
    np.testing.assert_allclose(found.forecast(window, at), found.forecast(filled, at))
    assert np.isnan(found.forecast(np.full((4, 1), np.nan), at)).all()
