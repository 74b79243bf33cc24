"""Runs of Dagster as a tracker shows them."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import mlflow
import pytest

from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.code_location import resources
from lstm_pipeline.orchestration.runs import run_project
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.plant import tiny_project
from lstm_pipeline_tests.orchestration.test_runs import AS_OF
from lstm_pipeline_tests.orchestration.test_runs import dagster_home as dagster_home  # a fixture
from lstm_pipeline_tests.tracking.conftest import tables as tables  # a fixture


@pytest.fixture
def client(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    shutil.copy(tables, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return mlflow.MlflowClient(uri)


def runs(client: mlflow.MlflowClient, kind: str) -> list[Any]:
    experiment = client.get_experiment_by_name("tiny-plant")
    return list(client.search_runs([experiment.experiment_id], f"tags.`lstm_pipeline.kind` = '{kind}'"))


@pytest.mark.slow
def test_a_job_is_a_training_and_registers_its_version(
    tmp_path: Path, dagster_home: Path, client: mlflow.MlflowClient
) -> None:
    assert (
        run_project(tiny_project(tmp_path, enable_mlflow=True, preset="documented"), predict=False, as_of=AS_OF) == "v1"
    )
    (parent,) = runs(client, "training")
    groups = {run.data.tags["lstm_pipeline.group"]: run for run in runs(client, "group")}
    assert sorted(groups) == ["energy", "water"]
    for run in groups.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["lstm_pipeline.run_id"] == parent.data.tags["lstm_pipeline.training"]
        assert Path(client.download_artifacts(run.info.run_id, "loss.png")).read_bytes().startswith(b"\x89PNG")
    champion = client.get_model_version_by_alias("tiny-plant", "champion")
    assert (champion.run_id, champion.tags["lstm_pipeline.version"]) == (parent.info.run_id, "v1")


@pytest.mark.slow
def test_the_partitions_of_a_back_fill_are_one_training(
    tmp_path: Path, dagster_home: Path, client: mlflow.MlflowClient
) -> None:
    project = tiny_project(tmp_path, enable_mlflow=True, preset="documented")
    with dg.DagsterInstance.ephemeral() as here:
        for partition in (None, "energy", "water"):
            materialize(here, project, "trained_model" if partition else "cleaned_data", partition)
    (parent,) = runs(client, "training")
    assert parent.data.tags["lstm_pipeline.training"] == "a back-fill"
    found = {run.data.tags["lstm_pipeline.group"]: run.data.tags for run in runs(client, "group")}
    assert {tags["mlflow.parentRunId"] for tags in found.values()} == {parent.info.run_id}
    assert len({tags["lstm_pipeline.run_id"] for tags in found.values()}) == 2


def materialize(here: dg.DagsterInstance, project: Project, asset: str, partition: str | None) -> None:
    assets = [each for each in build_assets(project) if isinstance(each, dg.AssetsDefinition)]
    result = dg.materialize(
        assets,
        selection=[dg.AssetKey(["tiny-plant", asset])],
        instance=here,
        resources=resources(project.storage),
        partition_key=partition,
        tags={"dagster/backfill": "a back-fill", "lstm_pipeline/as_of": dt.date.isoformat(AS_OF)},
    )
    assert result.success
