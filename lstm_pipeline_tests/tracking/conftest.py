"""A mill whose spec asks for tracking, and a fresh MLflow database for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest

from lstm_pipeline.projects import Project
from lstm_pipeline.registry import StoredModel
from lstm_pipeline.tracking import connection
from lstm_pipeline_tests.mill import respecified


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which it takes seconds to make."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@dataclass(frozen=True)
class Told:
    """What a tracker has been told."""

    uri: str
    client: mlflow.MlflowClient

    def runs(self, kind: str) -> list[Any]:
        """The runs of a kind, the oldest first."""
        experiment = self.client.get_experiment_by_name("mill")
        return [
            run
            for run in self.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
            if run.data.tags["lstm_pipeline.kind"] == kind
        ]

    def groups(self) -> dict[str, Any]:
        return {run.data.tags["lstm_pipeline.group"]: run for run in self.runs("group")}

    def champion(self) -> Any:
        return self.client.get_model_version_by_alias("mill", "champion")


@pytest.fixture
def told(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """The tracker of the test."""
    file = tmp_path / "mlflow.db"
    shutil.copy(tables, file)
    uri = f"sqlite:///{file}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return Told(uri, mlflow.MlflowClient(uri))


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No warning has been given yet."""
    monkeypatch.setattr(connection, "_told", {})


@pytest.fixture
def project(own_mill: Project) -> Project:
    """With v1 of the run `run1`."""
    return respecified(own_mill, enable_mlflow=True)


@pytest.fixture
def models(project: Project) -> dict[str, StoredModel]:
    """What run1 has trained."""
    return project.registry.trained_by(project.groups, ["run1"])
