"""Live widths at forecast time: which are known, what they change, and that their file never stops a forecast."""

from __future__ import annotations

import datetime as dt
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.dataset import build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.forecast import Forecast, forecast
from lstm_pipeline.forecasting.issued import Issue, issued_forecasts, keep_issued, read_issued
from lstm_pipeline.forecasting.live_widths import (
    LiveWidth,
    LiveWidths,
    known_widths,
    read_live_widths,
    store_live_widths,
)
from lstm_pipeline.orchestration.metadata import forecast_metadata
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.mill import LENGTH, linear_ensemble
from lstm_pipeline_tests.verification.issuing import AS_OF, NOW, project_in, row, rows, scored, write_input

TRIPLE, HALF = float(np.log(3)), float(np.log(0.5))
QUIET, SEASON = 60, 210
"""Days before and after the errors triple."""


def state(until: str, load: float = 0.0, heat: float = 0.0, level: int = 80) -> LiveWidths:
    widths = {"load": LiveWidth(load, 420, 256), "heat": LiveWidth(heat, 100, 90)}
    return LiveWidths(int(np.datetime64(until, "us").astype(np.int64)), {level: widths})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_in(tmp_path)


@pytest.fixture(scope="module")
def noise() -> pa.Table:
    """White noise around 40 and 70, which triples after 60 days."""
    values = np.random.default_rng(3).normal(size=(2, QUIET + SEASON))
    values[:, QUIET:] *= 3
    return rows(range(1, QUIET + SEASON + 1), (40 + values[0]).tolist(), (70 + values[1]).tolist())


@pytest.fixture(scope="module")
def ensemble(noise: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    """v1 forecasts the means of the quiet days, and has the intervals of noise of standard deviation 1."""
    step = project_in(tmp_path_factory.mktemp("step"), sequence_length=LENGTH).spec.training
    dataset = build_dataset(noise.slice(0, QUIET), step, "UTC")
    made = linear_ensemble(dataset, {})
    found = Calibration.none(made.predicted)
    reach = {80: np.full((3, 2), 1.2816), 95: np.full((3, 2), 1.96)}
    offsets = {level: (-side, side) for level, side in reach.items()}
    made.version, made.calibration = "v1", Calibration(found.names, found.weights, offsets)
    return made


def made(project: Project, table: pa.Table, ensemble: Ensemble) -> Forecast:
    return forecast(project, table, as_of=AS_OF, predicted_at=NOW, version=ensemble)


def width(found: Forecast, name: str = "load", level: int = 80) -> list[float]:
    low, high = (found.raw[f"{name}_{side}_{level}"].to_numpy() for side in ("lo", "hi"))
    return list(high - low)


# which are known


def test_states_come_back_as_they_were_stored(project: Project) -> None:
    given = {"v1": [state("2024-01-31"), state("2024-02-29T12", 0.5, -0.25)], "v2": []}
    store_live_widths(project, given)
    assert read_live_widths(project) == given
    data = json.loads(project.registry.store.read(project.registry.layout.live_widths))
    assert data["v1"][1]["until"] == "2024-02-29T12:00:00"
    assert data["v1"][1]["widths"] == {"80": {"load": 0.5, "heat": -0.25}}


@pytest.mark.parametrize(
    ("last", "expected"),
    [("2024-01-30", None), ("2024-01-31", "2024-01-31"), ("2024-02-28", "2024-01-31"), ("2024-02-29", "2024-02-29")],
)
def test_only_what_was_known_at_the_origin_counts(project: Project, last: str, expected: str | None) -> None:
    states = [state("2024-01-31", 0.1), state("2024-02-29", 0.2)]
    store_live_widths(project, {"v1": states, "v2": [state("2023-01-01", 0.9)]})
    found, note = known_widths(project, "v1", pd.Timestamp(last))
    assert note is None
    assert found == (None if expected is None else next(own for own in states if own.until == state(expected).until))


def test_a_version_without_forecasts_and_a_project_without_the_file_have_none(project: Project) -> None:
    assert known_widths(project, "v1", pd.Timestamp("2024-06-01")) == (None, None)
    store_live_widths(project, {"v1": [state("2024-01-31", 0.5)]})
    assert known_widths(project, "v2", pd.Timestamp("2024-06-01")) == (None, None)


GOOD: dict[str, Any] = {
    "until": "2024-01-31T00:00:00", "widths": {"80": {"load": 0.5}}, "values": {"80": {"load": 4}},
    "inside": {"80": {"load": 2}},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b'{"v1": 3}',
        json.dumps({"v1": [{**GOOD, "until": "soon"}]}).encode(),
        json.dumps({"v1": [{**GOOD, "until": None}]}).encode(),
        json.dumps({"v1": [{**GOOD, "until": "2024-01-31T00:00:00+00:00"}]}).encode(),
        json.dumps({"v1": [{**GOOD, "widths": {"80": {"load": 50.0}}}]}).encode(),
        json.dumps({"v1": [{**GOOD, "widths": {"80": {"load": float("nan")}}}]}).encode(),
        json.dumps({"v1": [{**GOOD, "widths": {"80": {"load": "0.5"}}}]}).encode(),
        json.dumps({"v1": [{**GOOD, "widths": {"800": {"load": 0.5}}}]}).encode(),
        json.dumps({"v1": [{**GOOD, "inside": {"80": {"load": 5}}}]}).encode(),
        json.dumps({"v1": [{**GOOD, "values": {}}]}).encode(),
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_means_no_live_widths_and_is_said(
    project: Project, text: bytes, noise: pa.Table, ensemble: Ensemble, caplog: pytest.LogCaptureFixture
) -> None:
    project.registry.store.write(project.registry.layout.live_widths, text)
    with pytest.raises(RegistryError, match=r"widths\.json is damaged"):
        read_live_widths(project)
    with caplog.at_level(logging.WARNING):
        found = made(project, noise.slice(0, QUIET), ensemble)
    assert width(found) == pytest.approx([2 * 1.2816] * 3)
    assert found.widths is None
    (note,) = found.notes
    assert "live widths cannot be read" in note
    assert note in caplog.messages


# what they change


def test_intervals_are_multiplied_by_level_and_feature(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    history = noise.slice(0, QUIET)  # until the 29th of February
    before = made(project, history, ensemble)
    assert (before.widths, before.notes) == (None, ())
    store_live_widths(project, {"v1": [state("2024-02-29", 0.4, HALF), state("2024-03-01", 1.0)]})
    after = made(project, history, ensemble)
    assert after.raw["load"].equals(before.raw["load"])
    assert width(after) == pytest.approx([2 * 1.2816 * np.exp(0.4)] * 3)
    assert width(after, "heat") == pytest.approx([1.2816] * 3)
    assert width(after, "load", 95) == pytest.approx([2 * 1.96] * 3)
    assert after.notes == (
        "80 % intervals of load, heat are 0.5 to 1.5 times as wide as at training: 67 % of 520 values that came true "
        "were inside",
    )
    earlier = made(project, noise.slice(0, QUIET - 1), ensemble)  # nothing was known then
    assert width(earlier) == pytest.approx([2 * 1.2816] * 3)


def test_intervals_stay_nested_and_around_the_forecast(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    store_live_widths(project, {"v1": [state("2024-02-01", TRIPLE, HALF)]})
    found = made(project, noise.slice(0, QUIET), ensemble)
    assert width(found, "load", 95) == pytest.approx(width(found))  # 95 % would be narrower than 80 %
    (low_80, high_80), (low_95, high_95) = found.bounds[80], found.bounds[95]
    values = np.column_stack([found.raw[name].to_numpy() for name in ensemble.predicted])
    assert (low_95 <= low_80).all()
    assert (low_80 <= values).all()
    assert (values <= high_80).all()
    assert (high_80 <= high_95).all()


def test_the_metadata_of_a_forecast_say_how_wide_it_is(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    found = made(project, noise.slice(0, QUIET), ensemble)
    assert "intervals" not in str(forecast_metadata(found, "date")["notes"])
    store_live_widths(project, {"v1": [state("2024-02-01", TRIPLE)]})
    found = made(project, noise.slice(0, QUIET), ensemble)
    assert "80 % intervals of load are 3 times as wide as at training" in str(forecast_metadata(found, "date")["notes"])


@pytest.mark.parametrize(("load", "said"), [(0.04, False), (0.06, True), (-0.04, False), (-0.06, True)])
def test_only_a_difference_of_more_than_five_percent_is_said(load: float, said: bool) -> None:
    own = state("2024-01-01", load)
    assert bool(own.notes(["load", "heat"], [80, 95])) == said
    assert own.notes(["heat"], [80]) == []  # a feature that is not forecast any more is not spoken of
    assert own.notes(["load"], [95]) == []


def test_one_feature_is_said_in_its_own_numbers() -> None:
    assert state("2024-01-01", float(np.log(1.3))).notes(["load", "heat"], [80]) == [
        "80 % intervals of load are 1.3 times as wide as at training: 61 % of 420 values that came true were inside"
    ]


def test_an_ensemble_without_a_project_is_unchanged(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    store_live_widths(project, {"v1": [state("2024-02-01", TRIPLE)]})
    found = ensemble.predict(noise.slice(0, QUIET), 3, intervals=[80])
    assert (found["load_hi_80"] - found["load_lo_80"]).to_numpy() == pytest.approx([2 * 1.2816] * 3)
    made(project, noise.slice(0, QUIET), ensemble)
    pd.testing.assert_frame_equal(ensemble.predict(noise.slice(0, QUIET), 3, intervals=[80]), found)


# what is kept with a forecast


def test_the_factors_are_kept_with_the_forecast(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    own = state("2024-02-01", 0.5)
    other = {name: LiveWidth(0.1, 5, 1) for name in ("load", "gone")}
    store_live_widths(project, {"v1": [LiveWidths(own.until, {**own.levels, 95: other, 50: other})]})
    keep_issued(project, made(project, noise.slice(0, QUIET), ensemble), "run1")
    issue, _ = read_issued(project, issued_forecasts(project)[0])
    assert issue.widths == {
        "80": {"load": pytest.approx(np.exp(0.5)), "heat": 1.0},
        "95": {"load": pytest.approx(np.exp(0.1))},  # neither a removed feature nor a level without intervals
    }


def test_forecasts_of_earlier_releases_still_read(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    keep_issued(project, made(project, noise.slice(0, QUIET), ensemble), "run1")
    issue, _ = read_issued(project, issued_forecasts(project)[0])
    assert issue.widths == {}
    data = json.loads(issue.to_json())
    del data["widths"]
    assert Issue.from_json(json.dumps(data).encode()) == issue
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="factors of widths"):
            Issue.from_json(json.dumps({**data, "widths": {"80": {"load": wrong}}}).encode())


# the whole way


def test_coverage_recovers_after_errors_have_tripled(project: Project, noise: pa.Table, ensemble: Ensemble) -> None:
    """Forecasts of every day, scored every third day; the intervals would have to be three times as wide."""
    for last in range(QUIET, QUIET + SEASON - 3):
        history = noise.slice(0, last)
        keep_issued(project, made(project, history, ensemble), f"run{last}")
        if last % 3 == 0:
            write_input(project, history)
            scored(project)
    write_input(project, noise)
    found = scored(project)
    assert 0.3 < row(found)["coverage_80"] < 0.75
    months: dict[str, list[float]] = {"2024-03": [], "2024-07": [], "2024-08": []}
    actual = {name: noise[name].to_numpy() for name in ("load", "heat")}
    for issued in issued_forecasts(project):
        month = f"{issued.origin:%Y-%m}"
        if month in months:
            issue, table = read_issued(project, issued)
            first = (issued.origin.date() - dt.date(2024, 1, 1)).days + 1
            for name, values in actual.items():
                came = values[first : first + issue.horizon]
                low, high = (table[f"{name}_{side}_80"].to_numpy() for side in ("lo", "hi"))
                months[month] += list((came >= low) & (came <= high))
    shares = {month: float(np.mean(inside)) for month, inside in months.items()}
    assert shares["2024-03"] < 0.45  # the 80 % intervals of training hold a third of such values
    assert 0.7 < np.mean([shares["2024-07"], shares["2024-08"]]) < 0.9
    states = read_live_widths(project)["v1"]
    assert 2.2 < states[-1].levels[80]["load"].factor <= np.exp(1.1) + 1e-6
    assert len(made(project, noise, ensemble).notes) == 2
