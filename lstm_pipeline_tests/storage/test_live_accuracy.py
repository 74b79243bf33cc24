"""Issued forecasts and their scores on S3: the same as on the local disk."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lstm_pipeline.forecasting.issued import issued_forecasts
from lstm_pipeline.forecasting.live_widths import known_widths
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.housekeeping import prune
from lstm_pipeline.verification.accuracy import LiveAccuracy
from lstm_pipeline.verification.summary import live_accuracy
from lstm_pipeline_tests.storage.servers import Place
from lstm_pipeline_tests.verification.issuing import issue, project_in, publish, rows, scored, write_input


def filled(folder: Path, storage: str) -> tuple[Project, list[LiveAccuracy]]:
    """Scored after two forecasts, after a repeated run, and after a correction."""
    project = project_in(folder, storage)
    load = [10.0, 20.0, 12.0, 22.0, 15.0, 21.0, 16.0]
    write_input(project, rows(range(1, 8), load))
    publish(project, "run1")
    for day in (3, 4):
        issue(project, f"2024-01-{day:02d}", {"load": [20.0, 14.0, 22.0]}, trained={"power": "run1"})
    steps = [scored(project), scored(project)]
    issue(project, "2024-01-04", {"load": [15.0, 18.0, 16.0]}, trained={"power": "run1"})
    steps.append(scored(project))
    write_input(project, rows(range(1, 8), [*load[:6], 17.0]))
    steps.append(scored(project))
    return project, steps


@pytest.mark.parametrize("where", ["on_rclone", "on_moto"])
def test_scores_are_those_of_the_local_disk(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    place: Place = request.getfixturevalue(where)
    local, expected = filled(tmp_path / "local", str(tmp_path / "storage"))
    remote, found = filled(tmp_path / "remote", place.uri)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.table.equals(theirs.table)
        assert ours.summary == theirs.summary
    assert [each.scored for each in found] == [1, 0, 1, 1]
    assert live_accuracy(remote) == live_accuracy(local) == found[-1].summary
    names = [(one.origin, one.version, one.run_id, one.size) for one in issued_forecasts(remote)]
    assert names == [(one.origin, one.version, one.run_id, one.size) for one in issued_forecasts(local)]
    assert len(names) == 2
    assert prune(remote.registry, 1) == []


@pytest.mark.parametrize("where", ["on_rclone", "on_moto"])
def test_live_widths_are_the_same_bytes(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    place: Place = request.getfixturevalue(where)
    written = []
    for name, storage in (("local", str(tmp_path / "storage")), ("remote", place.uri)):
        project = project_in(tmp_path / name, storage)
        write_input(project, rows(range(30, 35), [15.0, 18.0, 16.0, 15.0, 19.0]))
        for day in (30, 31):
            issue(project, f"2024-01-{day}", {"load": [18.0, 16.0, 15.0]}, bounds={80: (0.5, 0.5)})
        scored(project)
        written.append(project.registry.store.read(project.registry.layout.live_widths))
        found, note = known_widths(project, "v1", pd.Timestamp("2024-02-03"))
        assert note is None
        assert found is not None
        assert found.levels[80]["load"].values == 6
    assert written[0] == written[1]
