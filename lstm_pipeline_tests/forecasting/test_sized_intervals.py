"""Intervals in units of the errors' size: their record in a version, and their place in time."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.evaluation import calibrate
from lstm_pipeline.forecasting.rolling import roll_held_out
from lstm_pipeline.registry.records import CalibrationRecord
from lstm_pipeline.statistics.error_sizes import ErrorSizes
from lstm_pipeline.timeseries.series import Series, build_series
from lstm_pipeline_tests.mill import PREDICTED, linear_ensemble, mill_dataset, mill_table

NAN = float("nan")
ORIGIN = pd.Timestamp("2024-04-17")
SIZES = ErrorSizes(
    7, np.array([[1.0, 0.5], [2.0, 0.25], [3.0, 4.0]]), np.array([[10.0, -1.0]]), np.array([[1.0, 0.5], [8.0, 16.0]])
)
OFFSETS = {80: (np.array([[-1.0, -2], [-3, -4]]), np.array([[10.0, 20], [30, 40]]))}


def made(**changes: Any) -> Calibration:
    """Two features, two steps ahead, three phases of a week and two heights."""
    given = Calibration(("load", "heat"), np.tile([1.0, 0, 0], (2, 1)), OFFSETS, sizes=SIZES, origin=ORIGIN)
    return replace(given, **changes)


def read_back(calibration: Calibration) -> CalibrationRecord:
    """From JSON, as strictly as a registry reads its records."""
    return CalibrationRecord.model_validate(json.loads(calibration.to_record().model_dump_json()), strict=True)


# the record


def test_sizes_come_back_from_their_record_by_name() -> None:
    given = made()
    record = read_back(given)
    assert record.error_sizes is not None
    assert (record.error_sizes.season, record.error_sizes.origin) == (7, dt.datetime(2024, 4, 17))
    assert record.error_sizes.features["load"].model_dump() == {
        "phases": [1, 2, 3], "edges": [10], "heights": [1, 8]
    }  # fmt: skip
    assert record.error_sizes.features["heat"].heights == [0.5, 16]
    for order, columns in ((["load", "heat"], [0, 1]), (["heat", "load"], [1, 0])):
        found = Calibration.from_record(record, order)
        assert found.origin == ORIGIN
        assert found.sizes is not None
        assert found.sizes.season == 7
        for name in ("phases", "edges", "heights"):
            np.testing.assert_array_equal(getattr(found.sizes, name), getattr(SIZES, name)[:, columns])
        for first in (-9, 1, 5):
            forecast = np.array([[9.0, -7], [11, 3]])
            bounds = found.interval(forecast[:, columns], 80, first)
            for side, expected in zip(bounds, given.interval(forecast, 80, first), strict=True):
                np.testing.assert_array_equal(side, expected[:, columns])


def test_bounds_by_hand() -> None:
    """Phases of 7 · k / 3 steps begin at 0, 3 and 5: the fourth and the fifth step have the second one."""
    lower, upper = made().interval(np.array([[9.0, -7], [11, 3], [0, 0]]), 80, 4)
    np.testing.assert_array_equal(lower, [[9 - 2 * 1, -7 - 0.125 * 2], [11 - 24 * 3, 3 - 64 * 4], [NAN, NAN]])
    np.testing.assert_array_equal(upper, [[9 + 2 * 10, -7 + 0.125 * 20], [11 + 24 * 30, 3 + 64 * 40], [NAN, NAN]])


def test_an_origin_within_a_day_comes_back_to_the_microsecond() -> None:
    origin = pd.Timestamp("2024-03-31 01:10:00.000007")
    assert Calibration.from_record(read_back(made(origin=origin)), ["load", "heat"]).origin == origin


def test_a_record_of_an_earlier_release_has_the_bounds_it_had() -> None:
    plain = json.loads(made(sizes=None, origin=None).to_record().model_dump_json())
    assert plain.pop("error_sizes") is None
    found = Calibration.from_record(CalibrationRecord.model_validate(plain), ["heat", "load"])
    assert found.sizes is None
    assert found.origin is None
    forecast = np.array([[100.0, -50], [0, 1]])
    for first in (-3, 0, 1, 10**6):
        lower, upper = found.interval(forecast, 80, first)
        np.testing.assert_array_equal(lower, forecast + OFFSETS[80][0][:, ::-1])
        np.testing.assert_array_equal(upper, forecast + OFFSETS[80][1][:, ::-1])


def damaged(**features: Any) -> CalibrationRecord:
    data = json.loads(made().to_record().model_dump_json())
    for name, factors in features.items():
        if factors is None:
            del data["error_sizes"]["features"][name]
        else:
            data["error_sizes"]["features"][name] = {
                "phases": [1.0] * 3,
                "edges": [1.0],
                "heights": [1.0, 1],
                **factors,
            }
    return CalibrationRecord.model_validate(data)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (damaged(heat=None), "it has error sizes of load, but the models predict heat, load"),
        (damaged(wind={}), "it has error sizes of heat, load, wind, but the models predict heat, load"),
        (damaged(heat={"phases": [1.0] * 2}), "the error sizes of its features have different numbers of phases or"),
        (damaged(heat={"edges": []}), "different numbers of phases or heights, or impossible ones"),
        (damaged(heat={"heights": [1.0] * 3}), "different numbers of phases or heights, or impossible ones"),
        (damaged(heat={"edges": [1.0, 2], "heights": [1.0] * 3}), "different numbers of phases or heights"),
        (damaged(heat={"edges": []}, load={"edges": []}), "or impossible ones"),  # two heights without an edge
        (damaged(heat={"phases": [1.0] * 8}, load={"phases": [1.0] * 8}), "or impossible ones"),  # of seven steps
    ],
)
def test_sizes_that_do_not_fit_are_refused(record: CalibrationRecord, message: str) -> None:
    with pytest.raises(RegistryError) as caught:
        Calibration.from_record(record, ["load", "heat"])
    assert str(caught.value).startswith("the version's calibration does not match its models: ")
    assert message in str(caught.value)


def test_without_sizes_or_an_origin_the_record_has_none() -> None:
    assert made(sizes=None).to_record().error_sizes is None
    assert made(origin=None).to_record().error_sizes is None


# steps


def series_of(steps: pd.DatetimeIndex, frequency: str) -> Series:
    table = pa.table({"t": pa.array(steps.to_numpy().astype("datetime64[us]")), "v": np.arange(float(len(steps)))})
    return build_series(table, "t", ["v"], timezone="UTC", frequency=frequency)


@pytest.mark.parametrize("frequency", ["10min", "h", "D", "B", "W-MON", "MS", "QS-JAN"])
def test_steps_after_another_one(frequency: str) -> None:
    """The hundred steps from a Monday on, which begins a month and a quarter: the history is the 40 from 30 on."""
    grid = pd.date_range("2024-01-01", periods=100, freq=frequency)
    history = series_of(grid[30:70], frequency)
    for place in (30, 31, 68, 69):  # within the history
        assert history.steps_after(grid[place]) == 70 - place
    for place in (29, 28, 7, 0):  # before it
        assert history.steps_after(grid[place]) == 70 - place
    for place in (70, 71, 99):  # after it
        assert history.steps_after(grid[place]) == 70 - place


@pytest.mark.parametrize("frequency", ["10min", "D", "B", "MS"])
def test_steps_without_a_row_count(frequency: str) -> None:
    grid = pd.date_range("2024-01-01", periods=60, freq=frequency)
    history = series_of(grid[20:50].delete(range(4, 19)), frequency)
    assert len(history) == 30
    for place in (0, 20, 23, 30, 40, 49):  # 30 had no row
        assert history.steps_after(grid[place]) == 50 - place


def sessions(count: int) -> pd.DatetimeIndex:
    """Mondays to Fridays at 9 and 15 o'clock."""
    hours = pd.date_range("2024-01-01", periods=2 * count, freq="h")
    return hours[(hours.dayofweek < 5) & ((hours.hour == 9) | (hours.hour == 15))]


def test_rows_count_as_they_are_within_the_history_and_as_their_pattern_before_it() -> None:
    rows = sessions(24 * 7 * 6)  # ten rows a week, twelve weeks
    assert len(rows) == 120
    history = series_of(rows[40:100].delete(range(25, 29)), "rows")  # two holidays
    assert len(history) == 56
    assert history.steps_after(rows[40]) == 56
    assert history.steps_after(rows[64]) == 56 - 24
    assert history.steps_after(rows[69]) == 56 - 25  # the first one after the holidays
    assert history.steps_after(rows[99]) == 1
    assert history.steps_after(rows[39]) == 61  # as if there were no holidays
    assert history.steps_after(rows[0]) == 100
    assert history.steps_after(rows[104]) == -4


# the place in time


WEEK = ErrorSizes(7, np.arange(1.0, 8)[:, None] * np.array([1, 10, 100.0]), np.zeros((0, 3)), np.ones((1, 3)))


def sized(sizes: ErrorSizes = WEEK) -> Ensemble:
    """Networks that forecast 0, whose intervals reach as far as their errors are likely to be large."""
    plain = linear_ensemble(mill_dataset(), {}, {"power": "none", "warmth": "none"})
    offsets = {80: (np.full((14, 3), -1.0), np.full((14, 3), 1.0))}
    calibration = Calibration(tuple(PREDICTED), np.tile([1.0, 0, 0], (3, 1)), offsets, sizes=sizes, origin=ORIGIN)
    return Ensemble(plain.models, "v0", calibration.to_record())


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 120), (50, 120), (107, 120), (0, 119), (3, 123), (118, 130), (119, 140), (200, 299), (1, 64)]
)
def test_a_phase_is_a_place_in_time_wherever_the_history_begins_and_ends(begin: int, end: int) -> None:
    """The origin is row 119; histories begin and end before and after it."""
    ensemble = sized()
    found = ensemble.forecast_table(ensemble.read_history(mill_table(300).slice(begin, end - begin)), 14, [80])
    days = np.array([(pd.Timestamp(day) - ORIGIN).days for day in found["date"].to_pylist()])
    assert days.tolist() == list(range(end - 119, end - 105))
    for unit, name in zip((1, 10, 100), PREDICTED, strict=True):
        for side, sign in (("lo", -1), ("hi", 1)):
            np.testing.assert_allclose(found[f"{name}_{side}_80"].to_numpy(), sign * unit * (1 + days % 7), atol=1e-4)


def test_intervals_are_the_same_whether_the_history_begins_earlier_or_later() -> None:
    ensemble, table = sized(), mill_table(300)
    late = ensemble.forecast_table(ensemble.read_history(table.slice(150, 50)), 10, [80])
    for begin in (0, 100, 119, 120, 149, 151, 190):
        history = ensemble.read_history(table.slice(begin, 200 - begin))
        assert ensemble.forecast_table(history, 10, [80]).equals(late)


def test_a_gap_in_the_history_moves_no_phase() -> None:
    ensemble, table = sized(), mill_table(300)
    whole = ensemble.forecast_table(ensemble.read_history(table.slice(0, 200)), 10, [80])
    kept = pa.concat_tables([table.slice(0, 100), table.slice(125, 75)])  # the origin's own row is missing
    assert ensemble.forecast_table(ensemble.read_history(kept), 10, [80]).equals(whole)


def test_sizes_are_of_the_height_of_the_forecast_itself() -> None:
    """`heat` is forecast as 0, at the second height; an interval of the first one would be narrower."""
    sizes = ErrorSizes(1, np.ones((1, 3)), np.array([[5.0, 5, -5]]), np.array([[2.0, 3, 4], [20, 30, 40]]))
    found = sized(sizes).predict(mill_table(), 2, intervals=[80])
    for name, reach in zip(PREDICTED, (2, 3, 40), strict=True):
        np.testing.assert_allclose(found[f"{name}_hi_80"], reach, atol=1e-4)
        np.testing.assert_allclose(found[f"{name}_lo_80"], -reach, atol=1e-4)


@pytest.mark.parametrize("wild", [np.inf, -np.inf, 1e200, 1e300])
def test_one_wild_forecast_leaves_the_other_errors_their_intervals(wild: float) -> None:
    dataset = mill_dataset()
    plain = linear_ensemble(dataset, {name: [(1, name, 1.0)] for name in PREDICTED})
    rolled = roll_held_out(dataset, plain, 5)
    rolled.forecasts[0, 20, 1, 0] = wild
    record = calibrate(dataset, rolled, blends=False, levels=[80]).to_record()
    offsets = record.intervals[PREDICTED[0]]["80"]
    assert all(each is not None and abs(each) < 1e3 for each in (*offsets.lower, *offsets.upper))
