"""Scores on the test part, recomputed by hand for networks that forecast zero, the truth, or the last value."""

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.evaluation import evaluate
from lstm_pipeline.forecasting.rolling import MAX_ORIGINS, held_out_origins
from lstm_pipeline.statistics.metrics import NAMES
from lstm_pipeline_tests.mill import (
    LENGTH,
    PREDICTED,
    ROWS,
    linear_ensemble,
    mill_dataset,
    mill_table,
    with_column,
)

VALIDATION, TEST, SEASON = 77, 96, 7
OWN_UNITS = {"power": "none", "warmth": "none"}


def zeros(dataset: Dataset) -> Ensemble:
    """Forecasts 0 in the features' own units."""
    return linear_ensemble(dataset, {}, OWN_UNITS)


def column(table: pa.Table, name: str) -> Float64:
    return table[name].to_numpy().astype(np.float64)


def by_hand(actual: Float64, forecast: Float64, naive: Float64, training: Float64) -> dict[str, float]:
    """The metrics of one feature by their definitions; NaN in `actual` does not count."""
    observed = ~np.isnan(actual)
    actual, forecast, naive = actual[observed], forecast[observed], naive[observed]
    error, size = actual - forecast, np.abs(actual) + np.abs(forecast)
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "smape": float(np.mean([200 * abs(e) / s if s else 0.0 for e, s in zip(error, size, strict=True)])),
        "mase": float(np.abs(error).mean() / np.nanmean(np.abs(training[SEASON:] - training[:-SEASON]))),
        "r2": float(1 - (error**2).mean() / actual.var()),
        "skill": float(1 - (error**2).mean() / ((actual - naive) ** 2).mean()),
    }


@pytest.mark.parametrize("name", PREDICTED)
def test_a_forecast_of_zeros_scores_as_computed_by_hand(name: str) -> None:
    table, dataset = mill_table(), mill_dataset()
    found, values = evaluate(dataset, zeros(dataset), 5).by_feature, column(table, name)
    rows = np.arange(TEST, ROWS)
    one_step = by_hand(values[rows], np.zeros(24), values[rows - SEASON], values[:VALIDATION])
    assert one_step["rmse"] == pytest.approx(np.sqrt((values[TEST:] ** 2).mean()))
    assert found["one_step"][name] == pytest.approx(one_step)
    # 20 origins: the first forecast row is 96 to 115; seasonal naive from the seven rows before the origin
    steps = np.arange(TEST, ROWS - 4)[:, None] + np.arange(5)
    naive = values[steps - SEASON]
    rolled = by_hand(values[steps].ravel(), np.zeros(100), naive.ravel(), values[:VALIDATION])
    assert found["rolled"][name] == pytest.approx(rolled)


def test_the_seasonal_naive_of_a_long_horizon_repeats_the_season_before_the_origin() -> None:
    table, dataset = mill_table(), mill_dataset()
    evaluation, values = evaluate(dataset, zeros(dataset), 20), column(table, "load")
    origins = np.arange(TEST, ROWS - 19)
    steps = origins[:, None] + np.arange(20)
    naive = values[origins[:, None] - SEASON + np.arange(20) % SEASON]
    rolled = by_hand(values[steps].ravel(), np.zeros(steps.size), naive.ravel(), values[:VALIDATION])
    assert evaluation.by_feature["rolled"]["load"] == pytest.approx(rolled)
    columns = [column(table, name) for name in PREDICTED]
    last_value = [np.sqrt(((values[steps] - values[origins - 1][:, None]) ** 2).mean()) for values in columns]
    assert evaluation.baselines["last_value"]["rmse"] == pytest.approx(np.mean(last_value))


def test_persistence_scores_as_the_last_value_baseline() -> None:
    dataset = mill_dataset()
    ensemble = linear_ensemble(dataset, {name: [(1, name, 1.0)] for name in PREDICTED})
    evaluation = evaluate(dataset, ensemble, 5)
    for metric in NAMES:
        found = np.mean([evaluation.by_feature["rolled"][name][metric] for name in PREDICTED])
        assert found == pytest.approx(evaluation.baselines["last_value"][metric], rel=1e-5)


def test_a_perfect_forecast_has_no_error_and_no_defined_skill_where_the_naive_one_has_none() -> None:
    days = np.arange(ROWS)
    table = with_column(mill_table(), "load", 3.0 * (days % 7))
    table = with_column(table, "heat", 5.0 * (days % 5))
    table = with_column(table, "parts", days % 2)
    dataset = mill_dataset(table)
    terms = {"load": [(7, "load", 1.0)], "heat": [(5, "heat", 1.0)], "parts": [(2, "parts", 1.0)]}
    evaluation = evaluate(dataset, linear_ensemble(dataset, terms), 12)
    for part in ("one_step", "rolled"):
        for name in PREDICTED:
            metrics = evaluation.by_feature[part][name]
            assert metrics["rmse"] == pytest.approx(0, abs=1e-5)
            assert metrics["r2"] == pytest.approx(1)
            assert metrics["skill"] == (None if name == "load" else pytest.approx(1))
        assert evaluation.by_feature[part]["load"]["mase"] is None  # the training part repeats its season exactly
    assert evaluation.baselines["seasonal_naive"]["rmse"] > 0
    assert evaluation.baselines["last_value"]["skill"] < 1


@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask"])
def test_filled_values_never_count(rule: str) -> None:
    table, dropped = mill_table(), [100, 101, 110]
    values = column(table, "load").copy()
    values[[*dropped, 20, 30]] = np.nan
    dataset = mill_dataset(with_column(table, "load", values), missing=rule)
    assert dataset.filled.counts == {"load": 5}
    found = evaluate(dataset, zeros(dataset), 5).by_feature
    ends = [row - LENGTH for row in np.flatnonzero(dataset.filled.foreknowing) + 1]  # windows that must not be used
    targets = [row for row in range(TEST, ROWS) if row - LENGTH not in ends and not np.isnan(values[row])]
    expected = np.sqrt((values[targets] ** 2).mean())
    assert found["one_step"]["load"]["rmse"] == pytest.approx(expected)
    first = held_out_origins(dataset, LENGTH, 5, 100, start=TEST)
    steps = values[first[:, None] + np.arange(5)]
    assert found["rolled"]["load"]["rmse"] == pytest.approx(np.sqrt(np.nanmean(steps**2)))
    training = values[:VALIDATION]
    scale = np.nanmean(np.abs(training[SEASON:] - training[:-SEASON]))
    assert found["one_step"]["load"]["mase"] == pytest.approx(np.abs(values[targets]).mean() / scale)


def test_no_window_ends_in_a_value_interpolated_towards_the_next_row() -> None:
    """Such a window would already contain part of what it forecasts."""
    values = column(mill_table(), "load").copy()
    values[100] = np.nan
    dataset = mill_dataset(with_column(mill_table(), "load", values))
    targets = dataset.windows(["load"], LENGTH).test + LENGTH
    assert sorted(set(range(TEST, ROWS)) - set(targets)) == [
        100,
        101,
    ]  # the first is not observed, the second is foreknown
    assert 101 not in held_out_origins(dataset, LENGTH, 5, 100)


def test_context_is_not_scored() -> None:
    dataset = mill_dataset()
    evaluation = evaluate(dataset, zeros(dataset), 5)
    assert set(evaluation.by_feature["one_step"]) == set(evaluation.by_feature["rolled"]) == set(PREDICTED)


def test_a_horizon_longer_than_the_test_part_is_cut_to_it() -> None:
    dataset = mill_dataset()
    evaluation = evaluate(dataset, zeros(dataset), 1000)
    assert evaluation.protocol == {"horizon": 24, "origins": 1, "season_length": SEASON}


def test_many_origins_are_thinned_out_evenly() -> None:
    dataset = mill_dataset(mill_table(rows=800))
    first = held_out_origins(dataset, LENGTH, 10, 64, start=640)
    assert len(first) == 64 < MAX_ORIGINS
    assert (first[0], first[-1]) == (640, 790)
    assert set(np.diff(first)) <= {2, 3}


def test_rows_within_a_horizon_that_cannot_be_filled_do_not_count() -> None:
    values, gaps = column(mill_table(), "heat").copy(), [97, 103, 109, 115]
    values[gaps] = np.nan
    dataset = mill_dataset(with_column(mill_table(), "heat", values), max_gap=0)
    assert list(held_out_origins(dataset, LENGTH, 24, 100, start=TEST)) == [TEST]
    evaluation = evaluate(dataset, zeros(dataset), 24)
    expected = np.sqrt(np.nanmean(values[TEST:] ** 2))
    assert evaluation.by_feature["rolled"]["heat"]["rmse"] == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask"])
def test_observed_values_and_the_error_scale_are_free_of_filled_and_later_values(rule: str) -> None:
    values = column(mill_table(), "load").copy()
    values[[20, 30, 100]] = np.nan
    dataset = mill_dataset(with_column(mill_table(), "load", values), missing=rule)
    index = dataset.series.names.index("load")
    np.testing.assert_array_equal(dataset.observed_values[:, index], values)
    training = values[:VALIDATION]
    expected = np.nanmean(np.abs(training[SEASON:] - training[:-SEASON]))
    assert dataset.error_scale[index] == pytest.approx(expected, rel=1e-12)
    values[VALIDATION:] *= 9
    later = mill_dataset(with_column(mill_table(), "load", values), missing=rule)
    np.testing.assert_array_equal(later.error_scale, dataset.error_scale)
