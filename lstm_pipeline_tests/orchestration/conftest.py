"""A fresh instance, and a project whose retraining sensor is told what monitoring finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lstm_pipeline.monitoring import Reason
from lstm_pipeline.orchestration import sensors
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Registry
from lstm_pipeline_tests.orchestration.automated import RETRAIN, automated, fresh_instance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with fresh_instance(tmp_path) as here:
        yield here


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return automated(tmp_path / "project", retrain=RETRAIN)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Reason]:
    """The reasons that monitoring finds; v3 is in use."""
    reasons: list[Reason] = []
    monkeypatch.setattr(sensors, "look", lambda project, retrain, now: (list(reasons), []))
    monkeypatch.setattr(Registry, "resolve", lambda self, version=None: "v3")
    monkeypatch.setattr(sensors, "_in_use", lambda project: {})
    return reasons
