"""Shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.mill import copied, mill_project, publish_mill, train_mill

# the storage suite's fault matrix is printed at the end of a run
from lstm_pipeline_tests.storage.matrix import pytest_terminal_summary as pytest_terminal_summary

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With v1 of the runs `run1`. To be read only: take `own_mill` to change something."""
    project = mill_project(tmp_path_factory.mktemp("mill"))
    train_mill(project, "run1")
    publish_mill(project)
    return project


@pytest.fixture
def own_mill(mill: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    return copied(mill, tmp_path / "own")
