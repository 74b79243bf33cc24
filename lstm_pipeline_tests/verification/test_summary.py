"""The summary of live accuracy: which forecasts count, beside which error on the test part."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.projects.project import Project
from lstm_pipeline.verification import LatestError, live_accuracy
from lstm_pipeline_tests.verification.issuing import NOW, issue, project_in, publish, rows, scored, write_input


def day(number: int) -> str:
    return f"2024-01-{number:02d}"


def issue_off_by(
    project: Project, number: int, error: float, version: str = "v1", run: str = "run1", **more: Any
) -> None:
    """A forecast from a day, which is wrong by so much in each of its three steps; actual values are 0."""
    names = more.pop("names", ("load", "heat"))
    trained = more.pop("trained", dict.fromkeys(("power", "warmth"), run))
    values = {name: [error] * 3 for name in names}
    issue(project, day(number), values, version=version, trained=trained, **more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Ten days of zeros, v1 with an error of 2 on its test part."""
    own = project_in(tmp_path)
    write_input(own, rows(range(1, 11), [0.0] * 10))
    assert publish(own, "run1") == "v1"
    return own


def test_the_error_over_the_complete_forecasts(project: Project) -> None:
    for number, error in ((5, 1.0), (6, 2.0), (7, 4.0), (8, 100.0)):  # the last one lacks a day
        issue_off_by(project, number, error)
    summary = scored(project).summary
    assert (summary.version, summary.last, summary.scored_at) == ("v1", 20, NOW)
    load = summary.features["load"]
    assert (load.group, load.run_id, load.forecasts, load.test_rmse) == ("power", "run1", 3, 2.0)
    assert load.rmse == pytest.approx((21 / 3) ** 0.5)
    assert load.factor == pytest.approx((21 / 3) ** 0.5 / 2)
    assert load.versions == {"v1": LatestError(load.rmse, 3)}
    assert live_accuracy(project) == summary


def test_only_the_latest_forecasts_count(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    path = project.loaded.folder / "mill.yaml"
    path.write_text(path.read_text() + "automation:\n  retrain:\n    accuracy: {factor: 1.5, forecasts: 2}\n")
    project = project_in_again(project)
    write_input(project, rows(range(1, 11), [0.0] * 10))
    publish(project, "run1")
    for number, error in ((7, 1.0), (5, 50.0), (6, 3.0)):
        issue_off_by(project, number, error)
    load = scored(project).summary.features["load"]
    assert (load.rmse, load.forecasts) == (pytest.approx(5**0.5), 2)


def project_in_again(project: Project) -> Project:
    from lstm_pipeline.projects.project import load_project

    return load_project(project.loaded.folder / "mill.yaml", project.storage)


def test_retraining_starts_anew_and_a_model_that_was_taken_over_goes_on(project: Project) -> None:
    """v2 has a new model of power, and the model of warmth that v1 had."""
    issue_off_by(project, 5, 3.0)
    assert publish(project, "run2", groups=("power",), rmse=1.0) == "v2"
    summary = scored(project).summary
    load, heat = summary.features["load"], summary.features["heat"]
    assert (summary.version, load.run_id, load.forecasts, load.rmse, load.factor) == ("v2", "run2", 0, None, None)
    assert load.versions == {"v1": LatestError(3.0, 1)}
    assert (heat.run_id, heat.forecasts, heat.rmse, heat.test_rmse, heat.factor) == ("run1", 1, 3.0, 1.0, 3.0)
    issue_off_by(project, 6, 1.0, version="v2", trained={"power": "run2", "warmth": "run1"})
    summary = scored(project).summary
    load, heat = summary.features["load"], summary.features["heat"]
    assert (load.rmse, load.forecasts) == (1.0, 1)
    assert load.versions == {"v1": LatestError(3.0, 1), "v2": LatestError(1.0, 1)}
    assert (heat.rmse, heat.forecasts) == (pytest.approx(5**0.5), 2)


def test_a_model_that_forecast_twice_from_an_origin_counts_once(project: Project) -> None:
    """In v1, and a minute later in v2, which took it over."""
    issue_off_by(project, 5, 3.0)
    publish(project, "run2", groups=("power",))
    later = NOW + dt.timedelta(minutes=1)
    issue_off_by(project, 5, 7.0, version="v2", trained={"power": "run2", "warmth": "run1"}, made=later)
    heat = scored(project).summary.features["heat"]
    assert (heat.rmse, heat.forecasts) == (7.0, 1)


def test_a_rolled_back_version_counts_its_own_forecasts(project: Project) -> None:
    issue_off_by(project, 5, 3.0)
    publish(project, "run2")
    issue_off_by(project, 6, 1.0, version="v2", run="run2")
    assert scored(project).summary.features["load"].rmse == 1.0
    project.registry.roll_back("v1")
    summary = scored(project).summary
    assert (summary.version, summary.features["load"].rmse) == ("v1", 3.0)


def test_a_gap_that_is_never_filled_does_not_hold_a_forecast_up(project: Project) -> None:
    write_input(project, rows([1, 2, 3, 4, 5, 6, 7], [0.0] * 7))
    issue_off_by(project, 5, 3.0)
    assert scored(project).summary.features["load"].forecasts == 0
    write_input(project, rows([1, 2, 3, 4, 5, 6, 7, 9], [0.0] * 8))  # without the 8th
    load = scored(project).summary.features["load"]
    assert (load.forecasts, load.rmse) == (1, 3.0)


def test_a_test_error_of_zero_or_none_has_no_factor(project: Project) -> None:
    issue_off_by(project, 5, 3.0)
    publish(project, "run1", rmse=0.0)
    load = scored(project).summary.features["load"]
    assert (load.rmse, load.test_rmse, load.factor) == (3.0, 0.0, None)


def test_without_a_version_or_forecasts_there_are_no_features(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    assert live_accuracy(project) is None
    summary = scored(project).summary
    assert (summary.version, summary.features) == (None, {})
    assert live_accuracy(project) == summary
    publish(project, "run1")
    assert scored(project).summary.version == "v1"


def test_the_summary_alone_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    issue_off_by(project, 5, 3.0)
    expected, read = scored(project).summary, []
    store = type(project.registry.store)
    genuine = store.read
    monkeypatch.setattr(store, "read", lambda self, path: (read.append(path.name), genuine(self, path))[1])
    monkeypatch.setattr(store, "names", None)
    assert live_accuracy(project) == expected
    assert read == ["summary.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"features": {"load": 1}}', '{"features": []}'])
def test_a_damaged_summary_is_an_error_and_is_written_anew(project: Project, text: str) -> None:
    path = project.registry.layout.accuracy
    project.registry.store.write(path, text.encode())
    with pytest.raises(RegistryError, match=r"summary\.json is damaged"):
        live_accuracy(project)
    scored(project)
    assert live_accuracy(project) is not None
