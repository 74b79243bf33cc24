"""Versions compared on S3: the same as on the local disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstm_pipeline.backtesting import compare_versions
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.forecasting.test_champion import LAST, WEEK, ramp_table
from lstm_pipeline_tests.forecasting.test_promotion import plant, published, save
from lstm_pipeline_tests.storage.servers import Place


@pytest.mark.parametrize("where", ["on_rclone", "on_moto"])
@pytest.mark.slow
def test_the_result_is_that_of_the_local_disk(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    place: Place = request.getfixturevalue(where)
    local = plant(tmp_path, promote=None)
    found = []
    for project in (local, Project(local.loaded, place.uri)):
        for run, terms in (("run1", LAST), ("run2", WEEK)):
            save(project, run, terms)
            published(project, run)
        found.append(compare_versions(project, ramp_table(), "v1", "v2"))
    assert found[0].scores == found[1].scores
    assert found[0].differences == found[1].differences
    assert found[0].overall.ahead == "first"
