"""A real instance and code location. Runs are launched as the UI and the daemon do, and executed in this process."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import dagster._daemon  # before its scheduler, which it imports in a circle
import pandas as pd
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster_graphql.test.utils import define_out_of_process_workspace, execute_dagster_graphql

from lstm_pipeline.orchestration.keys import asset_key
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline_tests.orchestration.plant import SMALL, write_project

GROUPS = ("energy", "middle", "water")
LAUNCH = """mutation($given: ExecutionParams!) { launchRun(executionParams: $given) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
}}"""
REEXECUTE = """mutation($given: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $given) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
}}"""
SETTINGS = """
telemetry: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
run_launcher: {module: dagster._core.launcher.sync_in_memory_run_launcher, class: SyncInMemoryRunLauncher}
"""


@dataclass
class Place:
    """A project with three groups, and Dagster around it."""

    folder: Path
    project: Project
    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    def launch(self, job: str, config: Mapping[str, Any] | None = None, **tags: str) -> dict[str, Any]:
        """Starts a job as its page's button and its launchpad do; returns the answer."""
        given = {
            "selector": {"jobName": job, **self._location()},
            "mode": "default",
            "runConfigData": json.dumps(config or {}),
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        return self._ask(LAUNCH, given)["launchRun"]

    def reexecute(self, run_id: str, strategy: str = "FROM_FAILURE") -> dg.DagsterRun:
        """Starts a run again as the run's page does."""
        answer = self._ask(REEXECUTE, {"parentRunId": run_id, "strategy": strategy})["launchRunReexecution"]
        return self.run(answer)

    def run(self, answer: Mapping[str, Any]) -> dg.DagsterRun:
        """The run that an answer names; it has ended."""
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run = self.instance.get_run_by_id(answer["run"]["runId"])
        assert run is not None
        return run

    def tick(self, schedule: str) -> list[dg.DagsterRun]:
        """Lets the daemon's scheduler see a day pass for one schedule; returns the runs that it started."""
        before = self.runs()
        request = self.workspace.create_request_context()
        repository = next(iter(request.get_code_location_entries().values())).code_location.get_repositories()
        found = next(iter(repository.values())).get_schedule(schedule)
        self.instance.start_schedule(found)
        now = dt.datetime.now(dt.UTC)
        for when in (now, now + dt.timedelta(days=1)):
            list(launch_scheduled_runs(self.workspace, logging.getLogger(), when, {}))
        self.instance.stop_schedule(found.get_remote_origin_id(), found.selector_id, found)
        return [run for run in self.instance.get_runs() if run.run_id not in before]

    def runs(self) -> set[str]:
        return {run.run_id for run in self.instance.get_runs()}

    def trained_by(self, run_id: str) -> list[str]:
        """The groups with a candidate of this run."""
        return [group for group in GROUPS if self.project.registry.candidates.exists(group, run_id)]

    def pinned(self) -> dict[str, str]:
        """Group → the run that trained its model in the version in use."""
        members = self.project.registry.ensemble_record().metadata.individual_models
        return {member.model_name: member.run_id for member in members}

    def made(self, asset: str, run_id: str) -> list[str | None]:
        """The partitions of an asset that a run materialised, [None] if it has none."""
        key = asset_key(self.project.name, asset)
        records = self.instance.fetch_materializations(key, limit=1000).records
        return sorted((record.partition_key for record in records if record.run_id == run_id), key=str)

    def failure(self, run_id: str) -> str:
        """What a failed step says."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run_id) if entry.dagster_event]
        (failed,) = [event for event in events if event.is_step_failure]
        data: Any = failed.step_failure_data
        return str(data.user_failure_data.description)

    def logged(self, run_id: str) -> list[str]:
        return [entry.user_message for entry in self.instance.all_logs(run_id) if entry.dagster_event is None]

    def _location(self) -> dict[str, str]:
        (entry,) = self.workspace.create_request_context().get_code_location_entries().values()
        assert entry.code_location is not None, entry.load_error
        return {"repositoryLocationName": entry.origin.location_name, "repositoryName": "__repository__"}

    def _ask(self, query: str, given: Mapping[str, Any]) -> dict[str, Any]:
        context: Any = self.workspace.create_request_context()
        answer = execute_dagster_graphql(context, query, {"given": given})
        return dict(answer.data)


@contextmanager
def place(folder: Path, prepare: Callable[[Path], None] = lambda projects: None, **training: Any) -> Iterator[Place]:
    """A place of its own, whose data ends today.

    Args:
        prepare: changes what is in the folder of projects before anything reads it.
    """
    projects, home = folder / "projects", folder / "home"
    groups = {"energy": ["power"], "middle": ["flow"], "water": ["passes"]}
    options = {"feature_groups": groups, "models_config": dict.fromkeys(groups, SMALL), "epochs": 1, **training}
    path = write_project(projects, **options)
    csv = projects / "plant.csv"
    frame = pd.read_csv(csv)
    frame["date"] = pd.date_range(end=pd.Timestamp.now("UTC").date(), periods=len(frame), freq="D")
    frame.to_csv(csv, index=False)
    prepare(projects)
    home.mkdir()
    (home / "dagster.yaml").write_text(SETTINGS)
    # Dagster keeps the job that this process ran last: the place before had one of the same name, and its own folder
    ReconstructableJob.get_repository_definition.cache_clear()
    ReconstructableJob.get_definition.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.setenv("LSTM_PIPELINE_PROJECTS", str(projects))
        patch.setenv("LSTM_PIPELINE_STORAGE", str(folder / "storage"))
        location = str(Path(__file__).with_name("location.py"))
        with (
            dg.DagsterInstance.get() as instance,
            define_out_of_process_workspace(location, "defs", instance) as workspace,
        ):
            yield Place(folder, load_project(path, str(folder / "storage")), instance, workspace)
