"""Live widths learned from scored blocks, by hand: a horizon of three days, blocks of a month."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lstm_pipeline.forecasting import Author, LiveWidths, store_live_widths
from lstm_pipeline.forecasting.live_widths import KEPT, read_live_widths
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.housekeeping import prune
from lstm_pipeline.verification.scoring import Block
from lstm_pipeline.verification.widths import learned
from lstm_pipeline_tests.verification.issuing import issue, project_in, publish, rows, scored, write_input

LOAD = [10.0, 20.0, 12.0, 22.0, 15.0, 21.0, 16.0]
"""From the 27th of January to the 2nd of February."""
BOUNDS = {80: (1.0, 1.0), 95: (2.0, 2.0)}


def day(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def logs(state: LiveWidths, feature: str = "load") -> dict[int, float]:
    return {level: own[feature].logarithm for level, own in state.levels.items() if feature in own}


# from issued forecasts to the file


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Forecasts from the 29th and the 30th, whose errors are 2, 1, -1 and 0, 3, 0."""
    own = project_in(tmp_path)
    write_input(own, rows(range(27, 34), LOAD))
    issue(own, "2024-01-29", {"load": [20.0, 14.0, 22.0]}, bounds=BOUNDS)
    issue(own, "2024-01-30", {"load": [15.0, 18.0, 16.0]}, bounds=BOUNDS)
    return own


def test_one_block_by_hand(project: Project) -> None:
    """Of six values, two are outside 80 %, one is outside 95 %. Three forecasts overlap: the step is 2 · 0.3 / 4."""
    scored(project)
    (state,) = read_live_widths(project)["v1"]
    assert state.until == day("2024-02-02")
    assert logs(state) == pytest.approx({80: 0.15 * (2 / 6 - 0.2), 95: 0.15 * (1 / 6 - 0.05)}, abs=1e-6)
    assert [(own["load"].values, own["load"].inside) for own in state.levels.values()] == [(6, 4), (6, 5)]


def test_the_next_block_goes_on_from_the_one_before(project: Project) -> None:
    """February: distances of 29 days and 1, 15 in the middle, so that a step is 2 · 0.3 / (1 + 3 / 15)."""
    issue(project, "2024-02-28", {"load": [0.0, 0.0, 0.0]}, bounds={80: (1.0, 1.0)})
    issue(project, "2024-02-29", {"load": [0.0, 0.0, 0.0]}, bounds={80: (1.0, 1.0)})
    write_input(project, rows([*range(27, 34), 60, 61, 62, 63], [*LOAD, 0.5, 9.0, 9.0, 9.0]))
    scored(project)
    first, second = read_live_widths(project)["v1"]
    assert (first.until, second.until) == (day("2024-02-02"), day("2024-03-03"))
    assert logs(second)[80] == pytest.approx(0.15 * (2 / 6 - 0.2) + 0.5 * (5 / 6 - 0.2), abs=1e-6)
    assert logs(second)[95] == logs(first)[95]  # no longer among the levels, and not forgotten
    assert (second.levels[80]["load"].values, second.levels[80]["load"].inside) == (12, 5)


def test_a_block_teaches_when_all_its_steps_have_come_and_not_before(project: Project) -> None:
    write_input(project, rows(range(27, 33), LOAD[:6]))  # the last step of the second forecast is missing
    scored(project)
    assert read_live_widths(project) == {"v1": []}
    write_input(project, rows(range(27, 34), LOAD))
    scored(project)
    assert len(read_live_widths(project)["v1"]) == 1


def test_a_block_that_may_still_grow_teaches_nothing(tmp_path: Path) -> None:
    own = project_in(tmp_path)
    write_input(own, rows(range(1, 8), LOAD))
    issue(own, "2024-01-03", {"load": [20.0, 14.0, 22.0]}, bounds=BOUNDS)
    issue(own, "2024-01-04", {"load": [15.0, 18.0, 16.0]}, bounds=BOUNDS)
    scored(own)
    assert read_live_widths(own) == {"v1": []}
    issue(own, "2024-02-04", {"load": [15.0, 18.0, 16.0]}, bounds=BOUNDS)  # the next month has begun
    scored(own)
    (state,) = read_live_widths(own)["v1"]
    assert state.until == day("2024-01-07")


def test_the_file_is_made_anew_and_the_same_whatever_was_there(project: Project) -> None:
    store, path = project.registry.store, project.registry.layout.live_widths
    scored(project)
    before = store.read(path)
    store.write(path, b"{damaged")
    scored(project)
    assert store.read(path) == before
    scored(project, afresh=True)
    assert store.read(path) == before


def test_pruned_forecasts_have_taught_for_good(project: Project) -> None:
    publish(project, "run1")
    publish(project, "run2")
    scored(project)
    before = read_live_widths(project)
    removed = prune(project.registry, 1, now=dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
    assert any("origin=" in str(one.path) for one in removed)
    assert not project.registry.store.files(project.registry.layout.forecasts)
    issue(project, "2024-02-02", {"load": [1.0, 1.0, 1.0]}, version="v2")  # so that blocks are scored at all
    scored(project)
    after = read_live_widths(project)
    assert after["v1"] == before["v1"]
    assert after["v2"] == []


# from blocks to widths


def block(bucket: str, origins: Sequence[str], inside: Mapping[str, int], ends: str, **changes: Any) -> Block:
    """A block with intervals of 80 %, three steps ahead; `inside` is feature → number of values inside."""
    count = len(origins)
    sums = np.zeros((9, changes.pop("horizon", 3), len(inside)))
    sums[6], sums[7, 0] = count, [*inside.values()]
    facts: dict[str, Any] = {
        "version": "v1", "bucket": bucket, "files": {},
        "features": {name: Author("g", "v1", "r", 1.0) for name in inside},
        "levels": (80,), "frequency": "D", "timezone": "UTC", "needed": 0, "begins": 0,
        "ahead": (day(origins[0]), day(ends)), "fingerprint": "", "origins": np.array([day(one) for one in origins]),
        "predicted": np.zeros(count, np.int64), "complete": np.ones(count, bool), "by_lead": sums,
        "by_origin": np.zeros((6, count, len(inside))),
    }  # fmt: skip
    return Block(**{**facts, **changes})


def days(first: str, count: int) -> list[str]:
    return [str(one.date()) for one in pd.date_range(first, periods=count)]


def test_every_version_begins_at_training_widths() -> None:
    old = block("2024-01", days("2024-01-01", 31), {"load": 0}, "2024-02-03")
    new = block("2024-02", days("2024-02-01", 29), {"load": 87}, "2024-03-03", version="v2")
    found = learned([old, new])
    assert list(found) == ["v1", "v2"]
    assert logs(found["v1"][0]) == {80: 1.1}
    assert logs(found["v2"][0]) == {80: pytest.approx(2.0 * -0.2, rel=1e-12)}  # 29 · 0.3 / 4 is above 2


def test_features_of_which_nothing_came_are_left_as_they_are() -> None:
    first = block("2024-01", ["2024-01-30", "2024-01-31"], {"load": 0, "heat": 6}, "2024-02-03")
    second = block("2024-02", ["2024-02-28", "2024-02-29"], {"heat": 6}, "2024-03-03")
    states = learned([first, second])["v1"]
    assert logs(states[0]) == {80: pytest.approx(0.15 * 0.8)}
    assert logs(states[1]) == logs(states[0])
    assert logs(states[1], "heat")[80] < logs(states[0], "heat")[80] == pytest.approx(-0.15 * 0.2)


def test_a_feature_without_any_interval_is_left_out() -> None:
    own = block("2024-01", ["2024-01-30", "2024-01-31"], {"load": 0, "heat": 0}, "2024-02-03")
    own.by_lead[6, :, 1] = 0
    (state,) = learned([own])["v1"]
    assert list(state.levels[80]) == ["load"]


def test_a_long_forecast_that_comes_true_late_teaches_last() -> None:
    """States are in the order in which they became known: a forecast of January reaches until June."""
    long = block("2024-01", ["2024-01-31"], {"load": 3}, "2024-06-01")
    short = block("2024-02", ["2024-02-29"], {"load": 0}, "2024-03-03")
    states = learned([long, short])["v1"]
    assert [state.until for state in states] == [day("2024-03-03"), day("2024-06-01")]
    assert logs(states[0])[80] == pytest.approx(0.3 / (1 + 3 / 29) * 0.8)
    assert logs(states[1])[80] == pytest.approx(logs(states[0])[80] - 0.15 * 0.2)


def test_forecasts_overlap_those_of_the_block_before() -> None:
    """One forecast a day, 72 hours ahead: three overlap, though each block has one."""
    options: dict[str, Any] = {"frequency": "h", "horizon": 72}
    first = block("2024-01-01", ["2024-01-01T06"], {"load": 0}, "2024-01-04T06", **options)
    second = block("2024-01-02", ["2024-01-02T06"], {"load": 0}, "2024-01-05T06", **options)
    states = learned([first, second])["v1"]
    assert logs(states[0])[80] == pytest.approx(0.15 * 0.8)  # nothing is known of the distance
    assert logs(states[1])[80] == pytest.approx(0.15 * 0.8 + 0.3 / 4 * 0.8)


@pytest.mark.parametrize("frequency", ["MS", "rows"])
def test_steps_without_a_fixed_length_overlap_by_the_time_they_take(frequency: str) -> None:
    own = block("2024-01", ["2024-01-01", "2024-01-31"], {"load": 0}, "2024-04-30", frequency=frequency)
    assert logs(learned([own])["v1"][0])[80] == pytest.approx(0.6 / (1 + 90 / 30) * 0.8)


def test_blocks_that_are_not_complete_are_skipped_and_later_ones_count() -> None:
    first = block("2024-01", ["2024-01-31"], {"load": 0}, "2024-02-03", complete=np.zeros(1, bool))
    second = block("2024-02", ["2024-02-29"], {"load": 0}, "2024-03-03")
    (state,) = learned([first, second])["v1"]
    assert state.until == day("2024-03-03")


def test_the_latest_states_are_kept(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    found = learned([block(text, [text], {"load": 0}, f"{text}T12") for text in days("2024-01-01", KEPT + 6)])
    store_live_widths(project, found)
    kept = read_live_widths(project)["v1"]
    assert len(kept) == KEPT
    assert [state.until for state in kept] == [state.until for state in found["v1"][-KEPT:]]
