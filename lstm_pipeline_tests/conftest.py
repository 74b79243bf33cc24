"""Shared by all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.mill import copied, mill_project, publish_mill, train_mill

# the storage suite's fault matrix is printed at the end of a run
from lstm_pipeline_tests.storage.matrix import pytest_terminal_summary as pytest_terminal_summary

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


@pytest.fixture(scope="module", autouse=True)
def _no_search_for_garbage_in_what_stays(_nothing_frozen_at_the_end: None) -> None:
    """Libraries have half a million objects, which Python would look through again and again while graphs are built."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _nothing_frozen_at_the_end() -> Iterator[None]:
    yield
    gc.unfreeze()  # or libraries complain of what they leave behind


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
