"""Calibration: the blend with naive forecasts, prediction intervals, and their record in a version."""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.calibration import METHODS, Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.evaluation import calibrate, evaluate
from lstm_pipeline.forecasting.rolling import roll_held_out
from lstm_pipeline.registry.records import CalibrationRecord, EnsembleMetadata
from lstm_pipeline.statistics.adaptive_intervals import RECENT_ORIGINS, Held, Widths, fit_intervals
from lstm_pipeline.statistics.blending import fit_blend
from lstm_pipeline.statistics.interval_scores import IntervalScores
from lstm_pipeline.statistics.intervals import errors_needed, interval_columns
from lstm_pipeline.statistics.residuals import residual_summary
from lstm_pipeline_tests.forecasting.make_golden import INPUT, STORE
from lstm_pipeline_tests.mill import (
    HORIZON,
    LENGTH,
    PREDICTED,
    linear_ensemble,
    mill_dataset,
    mill_table,
    with_column,
)

NAN = float("nan")
OWN_UNITS = {"power": "none", "warmth": "none"}
VALIDATION, TEST, ROWS, SEASON = 77, 96, 120, 7
WEIGHTS = {"load": (0.5, 0.3, 0.2), "parts": (0, 0, 1), "heat": (1, 0, 0)}


def zeros(dataset: Dataset) -> Ensemble:
    """Networks that forecast 0 in the features' own units."""
    return linear_ensemble(dataset, {}, OWN_UNITS)


def calibrated(dataset: Dataset, weights: Any = None, offsets: Any = None) -> Ensemble:
    """The same with a calibration."""
    plain = zeros(dataset)
    table = np.array([(weights or WEIGHTS)[name] for name in PREDICTED], float)
    return Ensemble(plain.models, "v0", Calibration(tuple(PREDICTED), table, offsets or {}).to_record())


def reach(steps: int, size: float) -> tuple[Float64, Float64]:
    """Feature p, lead time h reaches size · (p + 1) + h below and ten times that above."""
    above = size * np.arange(1, 4) + np.arange(steps)[:, None]
    return -above, 10 * above


def last_values(name: str, rows: int = 1) -> Float64:
    values: Float64 = mill_table()[name].to_numpy().astype(np.float64)[-rows:]
    return values


# the record


def test_a_calibration_comes_back_from_its_record_by_name() -> None:
    lower, upper = np.array([[-1.0, -2], [-3, NAN]]), np.array([[1.0, 2], [NAN, 4]])
    weights, coverage = np.array([[0.25, 0.75, 0], [1, 0, 0]]), {95: np.array([0.5, NAN])}
    scores = IntervalScores(coverage, {95: np.array([NAN, 12.5])}, np.array([0.1, NAN]))
    given = Calibration(("load", "heat"), weights, {95: (lower, upper), 80: (lower / 2, upper / 2)}, scores)
    record = CalibrationRecord.model_validate_json(given.to_record().model_dump_json())
    assert record.blend["load"] == {"network": 0.25, "seasonal_naive": 0.75, "last_value": 0}
    assert record.intervals["heat"]["95"].lower == [-2, None]
    assert record.coverage == {"95": {"load": 0.5, "heat": None}}
    assert record.interval_score == {"95": {"load": None, "heat": 12.5}}
    assert record.wql == {"load": 0.1, "heat": None}
    found = Calibration.from_record(record, ["heat", "load"])
    assert found.names == ("heat", "load")
    np.testing.assert_array_equal(found.weights, weights[::-1])
    assert sorted(found.offsets) == [80, 95]
    np.testing.assert_array_equal(found.offsets[95][0], lower[:, ::-1])
    np.testing.assert_array_equal(found.offsets[80][1], upper[:, ::-1] / 2)


def test_the_scores_of_intervals_come_back_from_their_record() -> None:
    scores = IntervalScores({80: np.array([0.75])}, {80: np.array([4.5])}, np.array([0.25]))
    record = Calibration(("load",), np.eye(3)[:1], {80: reach(2, 1)}, scores).to_record()
    found = Calibration.from_record(record, ["load"]).scores
    assert found is not None
    assert found.coverage == {80: pytest.approx([0.75])}
    assert found.interval_score == {80: pytest.approx([4.5])}
    assert found.wql == pytest.approx([0.25])
    earlier = record.model_copy(update={"interval_score": {}, "wql": {}})  # of a release that did not score them
    found = Calibration.from_record(earlier, ["load"]).scores
    assert found is not None
    assert found.coverage == {80: pytest.approx([0.75])}
    assert found.interval_score == {}
    assert np.isnan(found.wql).tolist() == [True]


def test_without_a_record_the_ensemble_is_its_networks_alone() -> None:
    found = Calibration.from_record(CalibrationRecord(), ["load", "heat"])
    assert found.weights.tolist() == [[1, 0, 0]] * 2
    assert not found.is_blend
    assert not found.needs_season
    assert not found.offsets


@pytest.mark.parametrize(
    ("weights", "is_blend", "needs_season"),
    [((1, 0, 0), False, False), ((0.5, 0, 0.5), True, False), ((0.9, 0.1, 0), True, True)],
)
def test_what_a_blend_needs(weights: tuple[float, ...], is_blend: bool, needs_season: bool) -> None:
    found = Calibration(("load", "heat"), np.array([(1, 0, 0), weights], float))
    assert (found.is_blend, found.needs_season) == (is_blend, needs_season)


def test_a_record_of_other_features_is_refused() -> None:
    record = Calibration(("load",), np.eye(3)[:1], {80: reach(2, 1)}).to_record()
    with pytest.raises(
        RegistryError, match=r"the version's calibration does not match its models: it blends load, but .* heat$"
    ):
        Calibration.from_record(record, ["heat"])
    uneven = record.model_copy(update={"intervals": {**record.intervals, "heat": {}}, "blend": {
        "load": record.blend["load"], "heat": record.blend["load"]}})  # fmt: skip
    with pytest.raises(RegistryError, match="different levels or different numbers of steps"):
        Calibration.from_record(uneven, ["load", "heat"])


def test_a_version_of_an_earlier_release_is_its_networks_alone() -> None:
    ensemble = Ensemble.load(str(STORE), "mill")
    assert not ensemble.calibration.is_blend
    with pytest.raises(
        RegistryError, match=r"this version has no 80 % intervals \(available levels: none\); add the level"
    ):
        ensemble.predict(pq.read_table(INPUT), 3, intervals=[80])
    assert EnsembleMetadata.model_fields["calibration"].default == CalibrationRecord()


# intervals of a forecast


def test_an_interval_is_as_long_as_the_forecast() -> None:
    calibration = Calibration.none(PREDICTED)
    calibration = Calibration(calibration.names, calibration.weights, {80: reach(3, 1.0)})
    for steps in (1, 2, 3, 5):
        values = np.full((steps, 3), 100.0)
        lower, upper = calibration.interval(values, 80, 1)
        expected = np.full((steps, 3), NAN)
        expected[:3] = (np.arange(1, 4) + np.arange(3)[:, None])[:steps]
        np.testing.assert_array_equal(lower, 100 - expected)
        np.testing.assert_array_equal(upper, 100 + 10 * expected)


def test_an_unpublished_level_is_refused_with_the_published_ones() -> None:
    ensemble = calibrated(mill_dataset(), offsets={95: reach(3, 2), 80: reach(3, 1)})
    with pytest.raises(RegistryError) as caught:
        ensemble.predict(mill_table(), 3, intervals=[80, 90])
    assert str(caught.value) == (
        "this version has no 90 % intervals (available levels: 80, 95); add the level to "
        "prediction_intervals of the prediction step and publish again (materialise model_metadata, or run with "
        "--only train)"
    )


def test_intervals_follow_the_features_and_are_missing_beyond_their_horizon() -> None:
    ensemble = calibrated(mill_dataset(), offsets={95: reach(3, 2), 80: reach(3, 1)})
    plain, found = ensemble.predict(mill_table(), 4), ensemble.predict(mill_table(), 4, intervals=[95, 80])
    bounds = [label for level in (95, 80) for name in PREDICTED for label in interval_columns(name, level)]
    assert bounds[:3] == ["load_lo_95", "load_hi_95", "parts_lo_95"]
    assert list(found.columns) == ["date", *PREDICTED, *bounds]
    assert plain.equals(found[plain.columns])
    np.testing.assert_allclose(found["load"] - found["load_lo_80"], [1, 2, 3, NAN])
    np.testing.assert_allclose(found["heat_hi_95"] - found["heat"], [60, 70, 80, NAN])
    assert list(ensemble.predict(mill_table(), 2, intervals=[80]).columns) == ["date", *PREDICTED, *bounds[6:]]
    table = ensemble.forecast_table(ensemble.read_history(mill_table()), 4, [80])
    assert table["load_lo_80"].null_count == 1


def test_bounds_of_an_integer_are_around_its_unrounded_forecast() -> None:
    weights = {**WEIGHTS, "parts": (0.5, 0, 0.5)}
    found = calibrated(mill_dataset(), weights, {80: reach(1, 1)}).predict(mill_table(), 1, intervals=[80])
    half = last_values("parts")[0] / 2
    assert found["parts"][0] == np.rint(half)
    assert found["parts_lo_80"][0] == pytest.approx(half - 2)


def test_a_bound_never_replaces_a_feature() -> None:
    table = mill_table().append_column("load_lo_80", mill_table()["load"])
    groups = {"power": ["load", "load_lo_80", "parts"], "warmth": ["heat"]}
    names = [name for members in groups.values() for name in members]
    dataset = mill_dataset(table, feature_groups=groups, features_to_predict=names)
    record = Calibration(tuple(names), np.tile(np.eye(3)[0], (4, 1)), {80: (np.ones((2, 4)), np.ones((2, 4)))})
    ensemble = Ensemble(zeros(dataset).models, "v0", record.to_record())
    with pytest.raises((DataError, RegistryError), match="load_lo_80"):
        ensemble.predict(table, 2, intervals=[80])


# the blend in a forecast


@pytest.mark.parametrize("steps", [1, 5, 16])
def test_a_forecast_is_the_blend_of_networks_and_naive_forecasts(steps: int) -> None:
    found = calibrated(mill_dataset()).predict(mill_table(), steps)
    season = np.resize(last_values("load", SEASON), steps)
    np.testing.assert_allclose(found["load"], 0.3 * season + 0.2 * last_values("load")[0])
    np.testing.assert_array_equal(found["parts"], [last_values("parts")[0]] * steps)
    np.testing.assert_allclose(found["heat"], 0, atol=1e-4)


def test_a_season_longer_than_a_window_is_read_from_the_rows_before_it() -> None:
    dataset = mill_dataset(season_length=50)
    weights = dict.fromkeys(PREDICTED, (0, 1, 0))
    found = calibrated(dataset, weights).predict(mill_table(), 60)
    np.testing.assert_allclose(found["load"], np.resize(last_values("load", 50), 60))
    np.testing.assert_allclose(calibrated(dataset, weights).predict(mill_table().slice(70), 60)["load"], found["load"])


def test_a_history_shorter_than_a_season_is_refused_only_where_a_season_is_needed() -> None:
    dataset, short = mill_dataset(season_length=50), mill_table().slice(71)
    with pytest.raises(DataError) as caught:
        calibrated(dataset).predict(short, 3)
    assert str(caught.value) == (
        "this version blends its networks with the seasonal naive forecast, which needs a history of 50 steps, found "
        "49 (2024-02-29 00:00:00 to 2024-04-17 00:00:00); extend the prediction input further back"
    )
    without = dict.fromkeys(PREDICTED, (0.5, 0, 0.5))
    found = calibrated(dataset, without).predict(short, 3)
    np.testing.assert_allclose(found["load"], last_values("load")[0] / 2)


def test_less_than_a_season_of_history_can_be_published_and_forecast_from() -> None:
    dataset = mill_dataset(season_length=200)
    plain = zeros(dataset)
    record = evaluate(dataset, plain, HORIZON, blends=True).calibration.to_record()
    assert len(Ensemble(plain.models, "v0", record).predict(mill_table(), 3)) == 3


# the calibration of an evaluation


def columns_of(rows: Any) -> Float64:
    table = mill_table()
    return np.stack([table[name].to_numpy().astype(np.float64)[rows] for name in PREDICTED], axis=-1)


def held_out(first: Any, steps: int = HORIZON) -> tuple[Float64, Float64]:
    """Observed values and the three methods' forecasts, computed by hand, for networks that forecast 0."""
    ahead = np.arange(steps)
    actual = columns_of(first[:, None] + ahead)
    seasonal = columns_of(first[:, None] - SEASON + ahead % SEASON)
    last = columns_of(np.broadcast_to(first[:, None] - 1, (len(first), steps)))
    return actual, np.stack([np.zeros_like(actual), seasonal, last])


def test_weights_are_fitted_on_the_observed_values_of_the_validation_part() -> None:
    dataset = mill_dataset()
    found = evaluate(dataset, zeros(dataset), HORIZON, blends=True).calibration
    first = np.arange(VALIDATION, TEST)
    actual, forecasts = held_out(first)
    seen = (first[:, None] + np.arange(HORIZON) < TEST)[..., None]  # the last origins reach into the test part
    expected = fit_blend(np.where(seen, actual, np.nan), forecasts, np.eye(len(forecasts))[0])
    np.testing.assert_allclose(found.weights, expected, atol=1e-6)
    assert found.is_blend
    assert not found.offsets
    alone = evaluate(dataset, zeros(dataset), HORIZON, blends=False).calibration
    assert alone.weights.tolist() == [[1, 0, 0]] * 3


def test_a_validation_part_shorter_than_the_horizon_still_gives_a_blend() -> None:
    dataset = mill_dataset()
    assert evaluate(dataset, zeros(dataset), 20, blends=True).calibration.is_blend


def test_the_blend_is_scored_beside_each_of_its_parts() -> None:
    dataset = mill_dataset()
    evaluation = evaluate(dataset, zeros(dataset), HORIZON, blends=True)
    actual, forecasts = held_out(np.arange(TEST, ROWS - HORIZON + 1))
    blended = np.einsum("mbhp,pm->bhp", forecasts, evaluation.calibration.weights)
    for index, name in enumerate(PREDICTED):
        expected = np.sqrt(((actual - blended)[..., index] ** 2).mean())
        assert evaluation.by_feature["rolled"][name]["rmse"] == pytest.approx(expected)
    assert set(evaluation.baselines) == {*METHODS}
    for method, forecast_ in zip(METHODS, forecasts, strict=True):
        expected = np.mean(np.sqrt(((actual - forecast_) ** 2).mean(axis=(0, 1))))
        assert evaluation.baselines[method]["rmse"] == pytest.approx(expected)


def test_intervals_are_made_of_the_errors_of_all_held_out_origins() -> None:
    """Steps are counted from the last row; the widths of 50 % learn from the third complete forecast on."""
    dataset = mill_dataset()
    forecast = roll_held_out(dataset, zeros(dataset), HORIZON).method("network")
    found = evaluate(dataset, zeros(dataset), HORIZON, levels=(80, 50)).calibration
    first = np.arange(VALIDATION, ROWS - HORIZON + 1)
    held = Held(held_out(first)[0], forecast, first - (ROWS - 1), SEASON)
    assert list(found.offsets) == [80, 50]
    assert found.origin == dataset.series.steps[-1]
    widths, waiting = Widths.unknown(held, (80, 50)), []
    covered, scores, counted = ({level: np.zeros(3) for level in (80, 50)} for _ in range(3))
    count = 0
    for index, start in enumerate(first):
        known = int((first + HORIZON <= start).sum())
        while waiting and waiting[0][0] < known:
            past, bounds = waiting.pop(0)
            widths = widths.after(held.actual[past], bounds)
        if not known:
            continue
        if known - count >= max(1, count / 10):
            count = known
        own = fit_intervals(held.part(0, count), (80, 50)).scaled(widths.factors)
        made = own.around(held.forecast[index], int(held.first[index]))
        waiting.append((index, {level: made[level] for level in made if known >= errors_needed(level)}))
        for level, (lower, upper) in made.items() if start >= TEST else ():
            actual = held.actual[index]
            covered[level] += ((actual >= lower) & (actual <= upper)).sum(axis=0)
            outside = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
            scores[level] += (upper - lower + 200 / (100 - level) * outside).sum(axis=0)
            counted[level] += HORIZON
    for past, bounds in waiting:
        widths = widths.after(held.actual[past], bounds)
    expected = fit_intervals(held, (80, 50))
    assert found.sizes is not None
    for name in ("season", "phases", "edges", "heights"):
        np.testing.assert_allclose(getattr(found.sizes, name), getattr(expected.sizes, name))
    for level, offsets in found.offsets.items():
        for side, own_side in zip(offsets, expected.scaled(widths.factors).offsets[level], strict=True):
            np.testing.assert_allclose(side, own_side, rtol=1e-6)
        assert found.scores is not None
        np.testing.assert_allclose(found.scores.coverage[level], covered[level] / counted[level])
        np.testing.assert_allclose(found.scores.interval_score[level], scores[level] / counted[level], rtol=1e-6)


def test_only_the_latest_origins_make_an_interval() -> None:
    """Older ones have a say in how much wider it is, by one factor for each feature."""
    dataset = mill_dataset(mill_table(rows=800))
    rolled = roll_held_out(dataset, zeros(dataset), 7)
    assert len(rolled.first) > RECENT_ORIGINS
    assert (rolled.first[0], rolled.first[-1]) == (512, 793)
    found = calibrate(dataset, rolled, blends=False, levels=[80])
    held = Held(rolled.actual, rolled.method("network"), rolled.first - 799, SEASON)
    expected = fit_intervals(held.part(len(rolled.first) - RECENT_ORIGINS, len(rolled.first)), [80])
    rolled.actual[:-RECENT_ORIGINS] = 1e9
    again = calibrate(dataset, rolled, blends=False, levels=[80])
    for made in (found, again):
        assert made.sizes is not None
        np.testing.assert_allclose(made.sizes.phases, expected.sizes.phases)
        ratio = np.array(made.offsets[80]) / np.array(expected.offsets[80])  # (2, H, P)
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0], ratio.shape))
        assert (ratio > np.exp(-0.7001)).all()
        assert (ratio < np.exp(1.1001)).all()


def test_residuals_are_observed_values_minus_forecasts_of_the_test_part() -> None:
    dataset = mill_dataset()
    found = evaluate(dataset, zeros(dataset), HORIZON).residuals
    assert list(found) == PREDICTED
    for name, residuals in found.items():
        np.testing.assert_allclose(residuals, last_values(name, ROWS - TEST), rtol=1e-6)


def test_residuals_on_both_sides_of_a_gap_are_not_neighbours() -> None:
    values = mill_table()["load"].to_numpy().copy()
    values[105] = np.nan
    dataset = mill_dataset(with_column(mill_table(), "load", values), max_gap=0)
    found = residual_summary(evaluate(dataset, zeros(dataset), HORIZON).residuals["load"])
    there = values.copy()
    there[105 : 105 + LENGTH + 1] = np.nan  # no window reaches these rows
    assert found == pytest.approx(residual_summary(there[TEST:]), rel=1e-5)
