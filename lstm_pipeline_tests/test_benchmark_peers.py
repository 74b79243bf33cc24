"""Peers are scored from the origins of this project's own evaluation, and by its formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.beside_peers import same_seconds, tables
from benchmarks.peer_scores import Reference, own_wql, scores_of
from benchmarks.peers.exchange import Forecasts, Task
from lstm_pipeline.statistics import naive_forecasts

FIRST = np.array([8, 10, 12, 14])
HORIZON, SEASON = 3, 2
VALUES = np.random.default_rng(7).normal(10.0, 2.0, (17, 2))


@pytest.fixture
def task() -> Task:
    times = np.datetime64("2026-01-01", "ns") + np.arange(17) * np.timedelta64(1, "h")
    return Task("made", VALUES, ("a", "b"), times, "h", 6, 12, FIRST[2:], HORIZON, SEASON, 4)


@pytest.fixture
def reference() -> Reference:
    """Forecasts of this project that are off by 1 everywhere; the last two origins are the task's."""
    actual = VALUES[FIRST[:, None] + np.arange(HORIZON)]
    seasonal = naive_forecasts(VALUES, FIRST, HORIZON, SEASON)[0]
    tested, ones = np.array([False, False, True, True]), np.ones(2)
    limits = np.stack([-np.inf * ones, np.inf * ones])
    return Reference(("a", "b"), FIRST, tested, actual, seasonal, actual + 1, 2 * ones, 4 * ones, limits, 1, {})


def test_the_exchange_keeps_series_origins_and_forecasts(task: Task, tmp_path: Path) -> None:
    task.save(tmp_path / "task.npz")
    kept = Task.load(tmp_path / "task.npz")
    for name in ("values", "times", "origins"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(task, name))
    same = {name: getattr(task, name) for name in ("values", "times", "origins")}
    assert replace(kept, **same) == replace(task, **same)
    bounds = {80: (np.zeros((2, 3, 2)), np.ones((2, 3, 2)))}
    Forecasts(task.origins, np.full((2, 3, 2), 0.5), bounds, "cut", {"seconds": 2.5}).save(tmp_path / "forecasts.npz")
    found = Forecasts.load(tmp_path / "forecasts.npz")
    assert (found.origins.tolist(), found.note, found.cost) == ([12, 14], "cut", {"seconds": 2.5})
    assert (found.forecast.sum(), found.bounds[80][0].sum(), found.bounds[80][1].sum()) == (6.0, 0.0, 12.0)


def test_a_peer_sees_features_standardised_by_the_rows_before_the_test_part(task: Task) -> None:
    scaled, mean, spread = task.standardised()
    np.testing.assert_allclose(scaled.values[:12].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.values[:12].std(axis=0), 1)
    assert abs(scaled.values.mean()) > 1e-3
    back = Forecasts(task.origins, scaled.values[None], {80: (scaled.values[None] - 1, scaled.values[None])})
    np.testing.assert_allclose(back.in_units(mean, spread).forecast[0], VALUES)
    np.testing.assert_allclose(back.in_units(mean, spread).bounds[80][0][0], VALUES - spread)


def test_origins_are_spread_evenly_over_the_tasks(task: Task) -> None:
    many = replace(task, origins=np.arange(100, 201))
    assert many.spread_origins(5).tolist() == [100, 125, 150, 175, 200]
    assert task.spread_origins(9).tolist() == [12, 14]


def test_a_perfect_peer_has_skill_1_and_the_seasonal_naive_forecast_0(reference: Reference) -> None:
    perfect = scores_of(reference, Forecasts(FIRST[2:], reference.actual[2:]))
    assert (perfect["skill"], perfect["mase"], perfect["origins"]) == (1.0, 0.0, 2)
    naive = scores_of(reference, Forecasts(FIRST[2:], reference.seasonal[2:]))
    assert naive["skill"] == pytest.approx(0.0)
    assert naive["own"]["mase"] == pytest.approx(0.5)  # off by 1, in units of 2


def test_a_peer_on_some_origins_is_scored_with_this_projects_forecasts_of_those(reference: Reference) -> None:
    errors = reference.actual[3] - reference.seasonal[3]
    found = scores_of(reference, Forecasts(FIRST[3:], reference.actual[3:] + 2))
    assert found["skill"] == pytest.approx(np.mean(1 - 4 / (errors**2).mean(axis=0)))
    assert found["own"]["skill"] == pytest.approx(np.mean(1 - 1 / (errors**2).mean(axis=0)))


def test_what_was_not_observed_does_not_count(reference: Reference) -> None:
    gap = reference.actual.copy()
    gap[2, 0, 0] = np.nan
    forecast = reference.actual[2:].copy()
    forecast[0, 0, 0] = 1e6
    assert scores_of(replace(reference, actual=gap), Forecasts(FIRST[2:], forecast))["skill"] == 1.0


def test_a_published_protocol_is_scored_in_standard_deviations(reference: Reference) -> None:
    found = scores_of(reference, Forecasts(FIRST[2:], reference.actual[2:] - 2), published=True)
    assert (found["mse"], found["mae"]) == (pytest.approx(0.25), pytest.approx(0.5))
    assert found["own"] == {"mse": pytest.approx(1 / 16), "mae": pytest.approx(0.25)}


def test_a_peers_wql_is_that_of_its_own_bounds(reference: Reference) -> None:
    """Exact forecasts in intervals of ± 1: five terms, of which the intervals cost width times (100 − level) / 100."""
    actual = reference.actual[2:]
    found = scores_of(reference, Forecasts(FIRST[2:], actual, {80: (actual - 1, actual + 1), 95: (actual - 1, actual)}))
    size = np.abs(actual).mean(axis=(0, 1))
    assert found["wql"] == pytest.approx(np.mean((0.2 * 2 + 0.05 * 1) / 5 / size))
    assert found["coverage"] == {"80": 1.0, "95": 1.0}


def test_this_projects_wql_is_made_of_errors_that_were_known(reference: Reference) -> None:
    """All forecasts were 1 too high, the first 2: intervals reach from 2 below the forecast to it.

    Origin 13 is the first that knows the 39 errors that 95 % needs, over three lead times. Nothing was outside 80 % at
    origins 9 to 12, so that this one is narrower by four times exp(-0.3 / 2 · 0.2).
    """
    first = np.arange(20) * HORIZON
    actual = np.broadcast_to(np.array([10.0, 20]), (20, HORIZON, 2)).copy()
    own = actual + 1
    actual[0] -= 1
    many = replace(reference, first=first, tested=first >= 13 * HORIZON, actual=actual, own=own)
    expected = np.mean((1 + 0.2 * 2 * np.exp(-0.15 * 0.2 * 4) + 0.05 * 2) / 5 / np.array([10, 20]))
    assert own_wql(many, np.array([13])) == pytest.approx(expected)
    later = actual.copy()
    later[14:] = 1e6
    assert own_wql(replace(many, actual=later), np.array([13])) == pytest.approx(expected)
    known = actual.copy()
    known[12] = 1e6
    assert own_wql(replace(many, actual=known), np.array([13])) > 100 * expected
    assert own_wql(many, np.array([12])) is None  # too little was known there
    assert own_wql(many, np.array([0])) is None  # and nothing here


def test_this_projects_intervals_know_its_season(reference: Reference) -> None:
    """Errors of every second step are ten times as large; origins three steps apart begin at either."""
    first = np.arange(300) * HORIZON
    hard = (first[:, None] + np.arange(HORIZON)) % 2 == 0
    errors = np.random.default_rng(3).normal(size=(300, HORIZON, 2)) * np.where(hard, 10, 1)[..., None]
    own = np.full(errors.shape, 50.0)
    many = replace(reference, first=first, tested=first >= 300, actual=own + errors, own=own)
    found, unknown = (own_wql(replace(many, season=season), np.arange(100, 300)) for season in (2, 1))
    assert found is not None
    assert unknown is not None
    assert found < 0.95 * unknown


def test_a_reference_keeps_its_season_and_arrays(reference: Reference, tmp_path: Path) -> None:
    replace(reference, season=24, cost={"seconds": 2.5}).save(tmp_path / "made.reference.npz")
    found = Reference.load(tmp_path / "made.reference.npz")
    assert (found.names, found.season, found.cost) == (("a", "b"), 24, {"seconds": 2.5})
    for name in ("first", "tested", "actual", "seasonal", "own", "scale", "unit", "limits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(reference, name))


@pytest.mark.parametrize(
    ("forecasts", "message"),
    [
        (Forecasts(FIRST[1:3], np.ones((2, 3, 2))), r"the task's origins, found others: rows \[10\]"),
        (Forecasts(FIRST[2:], np.zeros((2, 3, 1))), r"shape \(2, 3, 2\), found \(2, 3, 1\)"),
        (Forecasts(FIRST[2:], np.full((2, 3, 2), np.nan)), "finite forecasts, found 12 others"),
    ],
)
def test_forecasts_of_something_else_are_refused(reference: Reference, forecasts: Forecasts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores_of(reference, forecasts)


@pytest.mark.parametrize(("taken", "budget"), [(249.0, 249.0), (19.0, 60.0)])
def test_a_peer_has_the_seconds_that_this_project_took(
    reference: Reference, tmp_path: Path, taken: float, budget: float
) -> None:
    replace(reference, cost={"processor_seconds": taken}).save(tmp_path / "reference.npz")
    assert same_seconds(tmp_path / "reference.npz") == budget


def test_a_table_has_this_projects_score_from_the_same_few_origins_beside() -> None:
    cost = {"processor_seconds": 1.0, "peak_mb": 2.0, "mase": 1.0, "wql": None}
    own = {**cost, "skill": 0.5}
    rows = [
        {"spec": "x", "peer": "NHITS", "skill": 0.25, "origins": 9, "own": own, **cost},
        {"spec": "x", "peer": "MSTL", "skill": -0.125, "origins": 4, "own": {**own, "skill": 0.375}, **cost},
    ]
    shown = tables(rows).splitlines()
    assert "| **this project** | 0.500 |" in shown
    assert "| NHITS | 0.250 |" in shown
    assert "| MSTL | −0.125 (here 0.375) |" in shown
