"""The tiny project with an `automation` section, and runs as a daemon would have left them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from lstm_pipeline.monitoring import Reason
from lstm_pipeline.orchestration.keys import GROUPS_TAG
from lstm_pipeline.orchestration.sensors import build_retraining_sensor, sensor_name
from lstm_pipeline.orchestration.trainings import SENSOR_TAG
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline_tests.orchestration.plant import write_project

LOCATION = ManagedGrpcPythonEnvCodeLocationOrigin(
    LoadableTargetOrigin(executable_path=sys.executable, module_name="lstm_pipeline.definitions"), location_name="here"
)
STATUS = dg.DagsterRunStatus
ENERGY = Reason("energy", "new_data", "12 new rows of 10", {"rows": 12}, True)
WATER = Reason("water", "max_age", "91 d old of 90 d", {"days": 91}, True)
RETRAIN = {"check_every": "1min", "new_data": {"rows": 10}, "drift": {}, "cooldown": "1d"}


def automated_spec(folder: Path, timezone: str = "UTC", **automation: Any) -> Path:
    path = write_project(folder)
    data = {**yaml.safe_load(path.read_text()), "timezone": timezone, "automation": automation}
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def automated(folder: Path, timezone: str = "UTC", **automation: Any) -> Project:
    return load_project(automated_spec(folder, timezone, **automation), str(folder / "storage"))


@contextmanager
def fresh_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    home = folder / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@dg.job(name="tiny_plant_train_and_forecast")
def training_job() -> None: ...


@dg.job(name="tiny_plant_forecast")
def forecast_job() -> None: ...


@dg.job(name="other_train_and_forecast")
def foreign_job() -> None: ...


def past_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    *groups: str,
    job: dg.JobDefinition = training_job,
    **tags: str,
) -> str:
    """A run in an instance; with groups, one that the retraining sensor asked for."""
    asked = {SENSOR_TAG: sensor_name("tiny-plant"), GROUPS_TAG: ",".join(groups)} if groups else {}
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(LOCATION, "__repository__"), job.name)
    run = instance.create_run_for_job(job, status=status, tags={**asked, **tags}, remote_job_origin=origin)
    return run.run_id


def tick(project: Project, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    sensor = build_retraining_sensor(project)
    assert sensor is not None
    with dg.build_sensor_context(instance, cursor) as context:
        result: Any = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def skipped(project: Project, instance: dg.DagsterInstance, cursor: str | None = None) -> str:
    result = tick(project, instance, cursor)
    assert not result.run_requests
    assert isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""


def request(result: dg.SensorResult) -> dg.RunRequest:
    assert result.run_requests is not None
    (found,) = result.run_requests
    return found
