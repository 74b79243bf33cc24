"""Runs of killed processes are found, those of living ones and of other machines are left alone; fresh homes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.dead_runs import OWNER_TAG, fail_dead_runs, owner_tags
from lstm_pipeline.orchestration.runs import instance, run_project
from lstm_pipeline.projects import load_project
from lstm_pipeline.storage import Owner, Store
from lstm_pipeline_tests.orchestration.plant import write_project
from lstm_pipeline_tests.processes import FORKED, forked


def train(home: str, spec: str, storage: str) -> None:
    os.environ["DAGSTER_HOME"] = home
    run_project(load_project(spec, storage), predict=False)


def wait_for(status: dg.DagsterRunStatus, seconds: float = 90) -> dg.DagsterRun:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with instance() as here:
            runs = list(here.get_runs())
        if runs and runs[0].status is status:
            return runs[0]
        time.sleep(0.2)
    raise AssertionError(f"no run became {status} in {seconds} s: {runs}")


def test_a_killed_run_is_marked_as_failed_and_a_living_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    spec = write_project(tmp_path / "project", epochs=100_000, patience=100_000)
    process = forked(train, str(home), str(spec), str(tmp_path / "storage"))
    process.start()
    try:
        run = wait_for(dg.DagsterRunStatus.STARTED)
        owner = Owner.parse(run.tags[OWNER_TAG])
        assert owner is not None
        assert owner.pid == process.pid
        time.sleep(1)
        with instance() as here:
            assert here.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]
    finally:
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
    with instance() as here:
        assert here.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
        told = [entry.message for entry in here.all_logs(run.run_id)]
        assert any(f"process {process.pid} on host" in text and "ended without finishing" in text for text in told)


def test_runs_of_other_machines_and_of_dagsters_own_launcher_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    elsewhere = {**json.loads(Owner.me().to_json()), "machine": "elsewhere", "pid": 2**22 + 1}
    owners = [json.dumps(elsewhere), "no owner", None]

    with instance() as here:
        for owner in owners:
            tags = {OWNER_TAG: owner} if owner else {}
            here.create_run_for_job(waiting, status=dg.DagsterRunStatus.STARTED, tags=tags)
    with instance() as here:
        assert [run.status for run in here.get_runs()] == [dg.DagsterRunStatus.STARTED] * 3


def dead_owner() -> str:
    return json.dumps({**json.loads(Owner.me().to_json()), "pid": 2**22 + 1})


@dg.job
def waiting() -> None: ...


def test_a_launched_repetition_of_a_dead_run_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has copied the tag of the run that it repeats."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, python_file="jobs.py"), location_name="jobs"
    )
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "waiting")
    with instance() as here:
        started = {"status": dg.DagsterRunStatus.STARTED, "tags": {OWNER_TAG: dead_owner()}}
        launched = here.create_run_for_job(waiting, remote_job_origin=origin, **started).run_id
        dead = here.create_run_for_job(waiting, **started).run_id
        assert fail_dead_runs(here) == [dead]
        assert here.get_run_by_id(launched).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


def test_a_run_that_finished_since_it_was_listed_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with instance() as here:
        tags = {OWNER_TAG: dead_owner()}
        run = here.create_run_for_job(waiting, status=dg.DagsterRunStatus.SUCCESS, tags=tags)
        stale = run.with_status(dg.DagsterRunStatus.STARTED)
        monkeypatch.setattr(here, "get_runs", lambda filters: [stale])
        assert fail_dead_runs(here) == []


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_every_unfinished_status_of_a_dead_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with instance() as here:
        tags = {OWNER_TAG: dead_owner()}
        run = here.create_run_for_job(waiting, status=dg.DagsterRunStatus[status], tags=tags)
    with instance() as here:
        assert here.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


def test_dagster_does_not_retry_a_dead_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("run_retries: {enabled: true, max_retries: 1}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with instance() as here:
        tags = {**owner_tags(), OWNER_TAG: dead_owner()}
        run = here.create_run_for_job(waiting, status=dg.DagsterRunStatus.STARTED, tags=tags)
        assert fail_dead_runs(here) == [run.run_id]
        assert here.get_run_by_id(run.run_id).tags["dagster/will_retry"] == "false"  # type: ignore[union-attr]


def test_a_home_that_stays_locked_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr("lstm_pipeline.orchestration.runs.OPENING_PATIENCE", 0.1)
    store = Store(str(tmp_path))
    with (
        store.locked(store.path("lstm-pipeline.yaml")),
        pytest.raises(PipelineError, match=rf"is locked by process {os.getpid()}.*run again later"),
        instance(),
    ):
        pass
    with instance() as here:
        assert here.get_runs_count() == 0


def open_home(home: str, barrier: object, number: int) -> None:
    os.environ["DAGSTER_HOME"] = home

    @dg.job(name=f"job{number}")
    def nothing() -> None: ...

    barrier.wait()  # type: ignore[attr-defined]
    with instance() as here:
        assert nothing.execute_in_process(instance=here).success
    os._exit(0)


@pytest.mark.parametrize("repetition", [0, *(pytest.param(again, marks=pytest.mark.slow) for again in (1, 2))])
def test_four_processes_create_one_home_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repetition: int
) -> None:
    home = tmp_path / "home"
    barrier = FORKED.Barrier(4)
    processes = [forked(open_home, str(home), barrier, number) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with instance() as here:
        assert sorted(run.job_name for run in here.get_runs()) == [f"job{number}" for number in range(4)]
