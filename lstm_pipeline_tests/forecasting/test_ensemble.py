"""Rolling forward: the inputs of each step, checked with networks whose weights are set by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.history import History
from lstm_pipeline.forecasting.inputs import NetworkInputs
from lstm_pipeline.projects.project import Project
from lstm_pipeline.timeseries.calendar import ALL, calendar_matrix
from lstm_pipeline_tests.mill import (
    FEATURES,
    LENGTH,
    PREDICTED,
    linear_ensemble,
    linear_member,
    mill_dataset,
    mill_step,
    mill_table,
    with_column,
)


def values_of(table: pa.Table, name: str) -> Float64:
    return np.asarray(table[name].to_numpy(), np.float64)


# known sequences are continued exactly


def test_persistence_repeats_the_last_row() -> None:
    table = mill_table()
    ensemble = linear_ensemble(mill_dataset(table), {name: [(1, name, 1.0)] for name in PREDICTED})
    forecast = ensemble.predict(table, 6)
    for name in PREDICTED:
        np.testing.assert_allclose(forecast[name], [values_of(table, name)[-1]] * 6, rtol=1e-6)


def test_a_line_is_continued() -> None:
    """y(t) = 2 y(t-1) - y(t-2): each step needs the one before it, in the right place of the window."""
    line = 100.0 - 2.5 * np.arange(120)
    table = with_column(mill_table(), "load", line)
    ensemble = linear_ensemble(mill_dataset(table), {"load": [(1, "load", 2.0), (2, "load", -1.0)]})
    expected = 100.0 - 2.5 * np.arange(120, 140)
    np.testing.assert_allclose(ensemble.predict(table, 20)["load"], expected, rtol=1e-5)


@pytest.mark.parametrize("lag", [1, 3, LENGTH])
def test_a_copy_of_an_earlier_step_repeats_the_last_rows(lag: int) -> None:
    table = mill_table()
    ensemble = linear_ensemble(mill_dataset(table), {name: [(lag, name, 1.0)] for name in PREDICTED})
    forecast = ensemble.predict(table, 20)
    for name in PREDICTED:
        last = values_of(table, name)[-lag:]
        np.testing.assert_allclose(forecast[name], np.resize(last, 20), rtol=1e-6)


def test_one_groups_forecast_is_another_groups_input_in_the_next_step() -> None:
    """heat(t) = load(t-1), load(t) = heat(t-1), in scaled units, over two groups: the two swap at every step."""
    table, dataset = mill_table(), mill_dataset()
    ensemble = linear_ensemble(dataset, {"load": [(1, "heat", 1.0)], "heat": [(1, "load", 1.0)]})
    forecast, scaler = ensemble.predict(table, 4), dataset.scaler("standard")
    last = dict(zip(FEATURES, scaler.transform(dataset.filled.values[-1]), strict=True))
    heat, load = last["heat"], last["load"]
    for name, scaled in (("load", [heat, load, heat, load]), ("heat", [load, heat, load, heat])):
        np.testing.assert_allclose(forecast[name], scaler.subset([name]).inverse(np.array(scaled)), rtol=1e-6)


def test_several_windows_at_once_roll_as_each_alone() -> None:
    dataset = mill_dataset()
    ensemble = linear_ensemble(dataset, mixed_terms(dataset))
    starts = np.array([90, 3, 57])
    together = ensemble.roll(dataset.series, dataset.filled, starts, 9)
    assert together.shape == (3, 9, 3)
    for index, start in enumerate(starts):
        alone = ensemble.roll(dataset.series, dataset.filled, np.array([start]), 9)
        np.testing.assert_allclose(together[index], alone[0], rtol=1e-6)


# a reference in numpy


def mixed_terms(dataset: Dataset, seed: int = 5) -> dict[str, Any]:
    """Every target as a sum of every input at three lags, with weights small enough not to diverge."""
    columns, random = [*dataset.series.names, *dataset.calendar], np.random.default_rng(seed)
    return {
        target: [(lag, column, random.normal(0, 0.1)) for lag in (1, 2, LENGTH) for column in columns]
        for target in PREDICTED
    }


def window_of(dataset: Dataset) -> History:
    return History(dataset.series, dataset.filled, np.empty((0, 0)))


def rolled_in_numpy(dataset: Dataset, ensemble: Ensemble, horizon: int) -> Float64:
    """(H, P) in float64 and own units; each network is called alone, in the units it was trained in."""
    series = dataset.series
    values, calendar_names = dataset.filled.values[-LENGTH:].copy(), ensemble.metadata.calendar_features
    dates = series.steps[-LENGTH:].append(series.timeline.next_steps(series.steps[-1], horizon + 1))
    calendar = calendar_matrix(series.timeline.wall_clock(dates), calendar_names)
    season, out = dataset.season, []
    for step in range(horizon):
        row: dict[str, float] = {}
        for member in ensemble.models:
            scaled = member.scaler.transform(values[-LENGTH:])
            window = np.concatenate([scaled, calendar[step + 1 : step + 1 + LENGTH]], axis=1)
            names = member.metadata.predicted_features
            output = np.asarray(member.network(window[None].astype(np.float32), training=False), np.float64).ravel()
            row |= dict(zip(names, member.scaler.subset(names).inverse(output), strict=True))
        out.append([row[name] for name in ensemble.predicted])
        row |= {name: values[-season][FEATURES.index(name)] for name in ensemble.context}
        values = np.concatenate([values, [[row[name] for name in FEATURES]]])
    return np.array(out)


@pytest.mark.parametrize(
    "kinds",
    [
        {"power": "standard", "warmth": "standard"},
        {"power": "minmax", "warmth": "robust"},
        {"power": "robust", "warmth": "standard"},
        {"power": "none", "warmth": "minmax"},
    ],
    ids=lambda kinds: "-".join(kinds.values()),
)
def test_group_models_with_different_scalers_roll_as_the_reference(kinds: dict[str, str]) -> None:
    dataset = mill_dataset()
    ensemble = linear_ensemble(dataset, mixed_terms(dataset), kinds)
    found = ensemble.forecast(window_of(dataset), 15)
    np.testing.assert_allclose(found, rolled_in_numpy(dataset, ensemble, 15), rtol=2e-4)


def test_a_trained_ensemble_rolls_as_the_reference(mill: Project) -> None:
    ensemble = Ensemble.of(mill.registry, mill.registry.load())
    dataset = mill_dataset()
    found = ensemble.forecast(window_of(dataset), 15)
    np.testing.assert_allclose(found, rolled_in_numpy(dataset, ensemble, 15), rtol=1e-4)


# the calendar of a step


def spread(frequency: str, kind: str, timezone: str, first: str, rows: int) -> pa.Table:
    """A table over `rows` steps of a frequency, in a column of the given kind."""
    steps = pd.date_range(first, periods=rows, freq=frequency, tz=timezone)
    if kind == "timestamptz":
        stamps = pa.array(steps.tz_convert("UTC").tz_localize(None).to_numpy()).cast(pa.timestamp("us"))
        stamps = stamps.cast(pa.timestamp("us", tz="UTC"))
    else:
        stamps = pa.array(steps.tz_localize(None).to_numpy().astype("datetime64[us]"))
    number = np.arange(rows, dtype=np.float64)
    return pa.table({"date": stamps, "load": number, "wind": number % 5})


@pytest.mark.parametrize(
    ("frequency", "kind", "timezone", "first"),
    [
        ("D", "timestamp", "UTC", "2024-01-01"),  # a leap day, month ends, quarter ends
        ("D", "timestamptz", "Europe/Berlin", "2024-02-01"),  # a day of 23 hours
        ("h", "timestamptz", "Europe/Berlin", "2024-03-26"),  # spring forward on the 31st
        ("h", "timestamptz", "Europe/Berlin", "2024-10-22"),  # fall back on the 27th
        ("h", "timestamp", "America/New_York", "2024-10-29"),  # the same on a naive wall clock, 3 November
        ("15min", "timestamptz", "Australia/Lord_Howe", "2024-04-06"),  # half an hour back on the 7th
        ("B", "timestamp", "UTC", "2024-01-01"),
        ("MS", "timestamp", "UTC", "2010-01-01"),
        ("ME", "timestamp", "UTC", "2010-01-31"),
        ("QS-JAN", "timestamp", "UTC", "1990-01-01"),
        ("W-SUN", "timestamp", "UTC", "2023-01-01"),
    ],
)
def test_a_roll_feeds_the_calendar_that_training_rows_of_the_same_dates_have(
    frequency: str, kind: str, timezone: str, first: str
) -> None:
    rows, horizon = 160, 100
    step = mill_step(
        features_to_predict=["load"], feature_groups=None, models_config={}, drop_cols=[], calendar_features=list(ALL)
    )
    table = spread(frequency, kind, timezone, first, rows)
    whole = build_dataset(table, step, timezone)
    assert len(whole.series) == rows
    expected = whole.rows(whole.scaler("standard"))[:, 2:]
    ensemble = linear_ensemble(whole, {})
    # from the end of a part of the rows, as a forecast
    part = build_dataset(table.slice(0, rows - horizon), step, timezone)
    fed = known_calendar(ensemble, part, [len(part.series) - LENGTH], horizon)
    np.testing.assert_array_equal(fed[0], expected[rows - horizon :])
    # from within the rows, as an evaluation; the last roll continues past their end
    starts = [0, 13, rows - LENGTH - 30]
    fed = known_calendar(ensemble, whole, starts, 40)
    for index, start in enumerate(starts):
        first_row = start + LENGTH
        inside = min(40, rows - first_row)
        np.testing.assert_array_equal(fed[index][:inside], expected[first_row : first_row + inside])


def known_calendar(ensemble: Ensemble, dataset: Dataset, starts: Sequence[int], horizon: int) -> Any:
    """(B, H, K) the calendar columns that a roll is given."""
    inputs = NetworkInputs(dataset.series, dataset.filled, ensemble.models[0].scaler, dataset.calendar)
    known = inputs.known(np.array(starts), LENGTH, horizon, ensemble.context, dataset.season)
    return known[:, :, len(ensemble.context) :]


@pytest.mark.parametrize("name", ["month", "dayofweek", "quarter_sin"])
def test_a_network_reads_the_calendar_of_the_step_it_forecasts(name: str) -> None:
    table = mill_table(first="2023-12-01")  # the last row is 29 March
    dataset = mill_dataset(table)
    assert name in dataset.calendar
    forecast = linear_ensemble(dataset, {"load": [(1, name, 1.0)]}).predict(table, 10)
    assert str(forecast["date"][2]) == "2024-04-01"
    expected = calendar_matrix(pd.DatetimeIndex(forecast["date"]), [name])[:, 0]
    scaled = dataset.scaler("standard").subset(["load"]).transform(forecast[["load"]].to_numpy())
    np.testing.assert_allclose(scaled[:, 0], expected, atol=1e-6)


# context


@pytest.mark.parametrize(("season", "period"), [(None, 7), (3, 3), (LENGTH, LENGTH), (LENGTH + 1, 1)])
def test_context_follows_its_seasonal_naive_forecast(season: int | None, period: int) -> None:
    """Read back through a network that repeats the last row's `wind` as `load`."""
    table = mill_table()
    dataset = mill_dataset(table, season_length=season)
    forecast = linear_ensemble(dataset, {"load": [(1, "wind", 1.0)]}).predict(table, 20)
    wind = values_of(table, "wind")
    fed = np.append(wind[-1], np.resize(wind[-period:], 19))  # the first step sees the last observed row
    scaler = dataset.scaler("standard")
    scaled = scaler.subset(["wind"]).transform(fed[:, None])
    np.testing.assert_allclose(forecast["load"], scaler.subset(["load"]).inverse(scaled)[:, 0], rtol=1e-6)


def test_context_is_not_forecast() -> None:
    ensemble = linear_ensemble(mill_dataset(), {})
    assert ensemble.context == ["wind"]
    assert list(ensemble.predict(mill_table(), 2).columns) == ["date", *PREDICTED]


# the forecast


def test_integers_are_rounded_half_to_even() -> None:
    wind = [1.0, 3.0, 5.0, 7.0, -1.0, -3.0, 4.98, 5.02]  # the last eight rows; halves of them are forecast in turn
    table = with_column(mill_table(), "wind", np.resize(wind, 120))
    terms = {"parts": [(LENGTH, "wind", 0.5)], "load": [(LENGTH, "wind", 0.5)]}
    ensemble = linear_ensemble(mill_dataset(table), terms, {"power": "none", "warmth": "none"})
    window = ensemble.read_history(table)
    forecast = ensemble.forecast_table(window, 8)
    assert forecast["parts"].to_pylist() == [0, 2, 2, 4, 0, -2, 2, 3]
    assert forecast["parts"].type == pa.int64()
    np.testing.assert_allclose(forecast["load"], np.array(wind) / 2, rtol=1e-6)


def test_stamps_follow_the_last_row_at_the_frequency() -> None:
    table = mill_table(rows=100, first="2023-11-20")
    forecast = linear_ensemble(mill_dataset(table), {}).predict(table, 3)
    assert [str(day) for day in forecast["date"]] == ["2024-02-28", "2024-02-29", "2024-03-01"]


def test_frames_and_tables_of_any_order_forecast_the_same(mill: Project) -> None:
    ensemble = Ensemble.of(mill.registry, mill.registry.load())
    expected = ensemble.predict(mill_table(), 5)
    frame = mill_table().to_pandas().sample(frac=1, random_state=1)[["wind", "load", "date", "parts", "heat", "note"]]
    pd.testing.assert_frame_equal(ensemble.predict(frame, 5), expected)


def test_a_longer_horizon_begins_with_the_shorter_one(mill: Project) -> None:
    ensemble = Ensemble.of(mill.registry, mill.registry.load())
    short, long = ensemble.predict(mill_table(), 3), ensemble.predict(mill_table(), 40)
    pd.testing.assert_frame_equal(long.head(3), short)


def test_only_the_last_window_counts(mill: Project) -> None:
    ensemble = Ensemble.of(mill.registry, mill.registry.load())
    shorter = ensemble.predict(mill_table().slice(120 - LENGTH), 5)
    pd.testing.assert_frame_equal(shorter, ensemble.predict(mill_table(), 5))


@pytest.mark.parametrize("horizon", [0, -1])
def test_a_horizon_without_a_step_is_refused(horizon: int) -> None:
    ensemble = linear_ensemble(mill_dataset(), {})
    with pytest.raises(DataError, match=f"horizon: expected at least 1 step, found {horizon}"):
        ensemble.predict(mill_table(), horizon)


def test_a_forecast_that_is_not_finite_names_its_features() -> None:
    ensemble = linear_ensemble(mill_dataset(), {"load": [(1, "load", 1e38)]})
    with pytest.raises(DataError, match=r"the forecast of load.* is not finite"):
        ensemble.predict(mill_table(), 5)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"sequence_length": 9}, "sequence_length is 8 in the first and 9 in the second"),
        ({"calendar_features": ["month"]}, "feature_columns is"),
        ({"frequency": "2D"}, "frequency is D in the first and 2D in the second"),
    ],
    ids=["sequence_length", "columns", "frequency"],
)
def test_models_that_cannot_be_combined_are_refused(change: dict[str, Any], place: str) -> None:
    every_other = mill_table().take(np.arange(0, 120, 2)) if "frequency" in change else mill_table()
    other = mill_dataset(every_other, **change)
    length = change.get("sequence_length", LENGTH)
    members = [linear_member(mill_dataset(), "power", {}), linear_member(other, "warmth", {}, length=length)]
    with pytest.raises(RegistryError, match=f"'power' and 'warmth' cannot be combined: {place}"):
        Ensemble(members)
