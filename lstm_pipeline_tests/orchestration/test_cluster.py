"""A cluster of real processes loses workers to `kill -9`: the back-fill ends complete, and nothing comes twice."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from benchmarks.large_plant import AS_OF, group_names, write_plant
from examples.cluster.local import LocalCluster
from examples.cluster.ports import free_port
from examples.cluster.processes import ClusterError
from examples.cluster.programs import missing_programs
from lstm_pipeline.forecasting import Ensemble
from lstm_pipeline.projects import load_project, training_input
from lstm_pipeline_tests.orchestration.daemon import wait_until
from lstm_pipeline_tests.orchestration.gate import Gate
from lstm_pipeline_tests.storage.proxy import proxy

REQUIRED = "LSTM_PIPELINE_CLUSTER_TEST"
"""Set where the test has to run: a missing program is a failure then."""
PROJECT, GROUPS = "plant", group_names(12)
PAUSED = GROUPS[0]
"""The group whose training is held in the middle, by a module that workers import."""
PAUSING = "lstm_pipeline_tests.orchestration.pausing"
TAG = "dagster-celery/task_id"
RUNS = """query { runsOrError { ... on Runs { results {
  runId status tags { key value } assetSelection { path } creationTime endTime } } } }"""
EVENTS = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection(limit: 1000) { events {
  __typename ... on MessageEvent { message timestamp } } } } } }"""


@dataclass
class Plant:
    """A cluster, the gate before its store, and what a test asks them."""

    cluster: LocalCluster
    gate: Gate

    def runs(self, asset: str, status: str | None = None) -> list[dict[str, Any]]:
        found = self.cluster.ask(RUNS)["runsOrError"]["results"]
        return [
            run
            for run in found
            if {"path": [PROJECT, asset]} in (run["assetSelection"] or []) and status in (None, run["status"])
        ]

    def running(self, asset: str, groups: str | None = None) -> str:
        """The only run that is carrying out an asset, or some of its groups."""
        wanted = {"key": "lstm_pipeline/groups", "value": groups}
        (found,) = [run for run in self.runs(asset, "STARTED") if groups is None or wanted in run["tags"]]
        return str(found["runId"])

    def messages(self, run_id: str) -> list[str]:
        events = self.cluster.ask(EVENTS, id=run_id)["runOrError"]["eventConnection"]["events"]
        return [event["message"] for event in events]

    def worker_of(self, run_id: str) -> int:
        """The number of the worker that carries out a run."""
        (run,) = [run for run in self.cluster.ask(RUNS)["runsOrError"]["results"] if run["runId"] == run_id]
        (task,) = [tag["value"] for tag in run["tags"] if tag["key"] == TAG]
        broker = self.cluster.environment["CELERY_BROKER_URL"]
        with Celery(broker=broker, backend=broker) as app:
            name = app.AsyncResult(task).info["hostname"]
        return int(name.partition("@")[0].removeprefix("worker"))

    def retried(self, run_id: str, killed: float) -> None:
        """Waits until a run has failed and another one does it again; says how long both took."""
        wait_until(lambda: bool(self._again(run_id)), 180, f"{run_id} is retried", 0.5)
        runs = self.cluster.ask(RUNS)["runsOrError"]["results"]
        failed = next(run["endTime"] for run in runs if run["runId"] == run_id and run["status"] == "FAILURE")
        (retry,) = self._again(run_id)
        again = next(run["creationTime"] for run in runs if run["runId"] == retry)
        print(f"{failed - killed:.0f} s from kill -9 to the failure, {again - killed:.0f} s to the retry")

    def _again(self, run_id: str) -> list[str]:
        of = {"key": "dagster/parent_run_id", "value": run_id}
        return [run["runId"] for run in self.cluster.ask(RUNS)["runsOrError"]["results"] if of in run["tags"]]


@contextmanager
def started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    missing = missing_programs()
    if missing and not os.environ.get(REQUIRED):
        pytest.skip(missing)
    assert not missing
    linear = {group: {"network": "linear"} for group in GROUPS}
    step = {"epochs": 3, "patience": 3, "groups_per_run": 3, "models_config": linear}
    write_plant(folder / "projects", len(GROUPS), 1, 600, name=PROJECT, step=step)
    gate, port = Gate(), free_port()
    with proxy(port, gate) as through:
        variables = {
            "LSTM_PIPELINE_PROJECTS": str(folder / "projects"),
            "AWS_ENDPOINT_URL": through.endpoint,
            "PAUSED_GROUP": PAUSED,
            "PAUSED_FILE": str(folder / "paused"),
        }
        cluster = LocalCluster(folder / "cluster", variables=variables, ports={"s3": port}, modules=[PAUSING])
        for name, value in cluster.environment.items():
            if name.startswith(("AWS_", "LSTM_PIPELINE_")):
                monkeypatch.setenv(name, value)
        try:
            cluster.start()
            yield Plant(cluster, gate)
        except BaseException:
            for log in sorted((cluster.folder / "logs").glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-2000:]}")
            raise
        finally:
            gate.release()
            cluster.stop()
            cluster.remove()


@pytest.mark.slow
def test_killed_workers_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(tmp_path, monkeypatch) as plant:
        cluster, gate = plant.cluster, plant.gate
        back_fill = cluster.back_fill(PROJECT, GROUPS, "cleaned_data", "model_metadata")
        registry = load_project(tmp_path / "projects" / f"{PROJECT}.yaml", "s3://lstm-pipeline").registry
        killed: dict[str, float] = {}

        def kill(run_id: str, successor: int | None = None) -> None:
            number = plant.worker_of(run_id)
            cluster.kill_worker(number)
            killed[run_id] = time.time()
            gate.release()
            cluster.start_worker(successor or number, wait=False)

        # in the middle of a training; the new worker has a new name, so that the old one is missed for being silent
        wait_until((tmp_path / "paused").exists, 300, "a group is being trained", 0.2)
        silent = plant.running("trained_model", ",".join(GROUPS[:3]))
        kill(silent, successor=3)
        assert not registry.candidates.exists(PAUSED, silent)

        # all files of a candidate but its record are uploaded, and another candidate of the run is whole
        seen: Counter[str] = Counter()

        def second(path: str) -> re.Match[str] | None:
            found = re.search(r"/candidates/(?P<group>[^/]+)/(?P<run>[^/]+)/metadata\.json", path)
            if found is not None and found["run"] != silent:
                seen[found["run"]] += 1
                return found if seen[found["run"]] == 2 else None
            return None

        gate.hold(second)
        assert gate.held.wait(240)
        assert gate.match is not None
        half, uploading = gate.match["group"], gate.match["run"]
        kill(uploading)
        kept = [group for group in GROUPS if registry.candidates.exists(group, uploading)]
        assert kept
        assert half not in kept
        plant.retried(silent, killed[silent])
        plant.retried(uploading, killed[uploading])

        # one model of the version is copied, and the next one is not
        copied: set[str] = set()

        def second_copy(path: str) -> re.Match[str] | None:
            found = re.search(rf"/{PROJECT}/models/(?P<group>[^/]+)/v[0-9]+/", path)
            copied.update({found["group"]} if found else ())
            return found if len(copied) > 1 else None

        gate.hold(second_copy)
        assert gate.held.wait(240)
        publishing = plant.running("model_metadata")
        kill(publishing)
        assert registry.versions() == []
        plant.retried(publishing, killed[publishing])

        # the version's record is written, and its publisher dies before it hears of it
        gate.hold(lambda path: re.search(rf"/{PROJECT}/ensembles/(?P<version>v[0-9]+)\.json", path), lost=True)
        assert gate.held.wait(240)
        publishing = plant.running("model_metadata")
        kill(publishing)
        assert gate.match is not None
        published = gate.match["version"]  # v2 if the claim of the dead publisher took v1
        assert registry.versions() == [published]
        plant.retried(publishing, killed[publishing])

        wait_until(lambda: cluster.back_fill_status(back_fill).startswith("COMPLETED"), 240, "the back-fill ends", 0.5)
        assert cluster.back_fill_status(back_fill) == "COMPLETED_SUCCESS"
        assert len(killed) == 4
        for dead in killed:
            assert any("Marking run" in message for message in plant.messages(dead))

        # one whole version, and every candidate once
        assert registry.versions() == [published]
        version = registry.load()  # every file is compared with its checksum
        assert list(version.models) == GROUPS
        pinned = {model.model_name: model.run_id for model in version.record.metadata.individual_models}
        assert len(version.record.metadata.individual_models) == len(pinned) == len(GROUPS)
        runs = {run["runId"] for run in plant.runs("trained_model")}
        whole_ones = {group: [run for run in runs if registry.candidates.exists(group, run)] for group in GROUPS}
        assert whole_ones == {group: [run] for group, run in pinned.items()}
        assert all(pinned[group] == uploading for group in kept)  # the retry took them, and trained only the others
        assert pinned[half] != uploading
        ensemble = Ensemble.load("s3://lstm-pipeline", PROJECT)
        assert ensemble.version == published
        project = load_project(tmp_path / "projects" / f"{PROJECT}.yaml", "s3://lstm-pipeline")
        forecast = ensemble.predict(training_input(project, AS_OF), 3)
        assert forecast.shape[0] == 3


def test_a_cluster_that_runs_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.cluster.local.missing_programs", str)
    monkeypatch.setattr("examples.cluster.local.os.getuid", lambda: 1000)
    cluster = LocalCluster(tmp_path / "cluster", ports={"ui": 4321})
    parts = ("redis", "s3", "postgres", "code", "worker1", "worker2", "daemon", "webserver")
    for name in parts:
        cluster.processes.start(name, ["sleep", "60"], {"PATH": os.environ["PATH"]})
    with pytest.raises(ClusterError) as error:
        cluster.start()
    assert (
        str(error.value) == f"it runs already ({', '.join(parts)}): http://127.0.0.1:4321; `make cluster-stop` ends it"
    )
    cluster.stop()
    assert cluster.processes.listed() == {}


def test_only_the_process_that_was_started_is_ended(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.processes.start("worker1", ["sleep", "60"], {"PATH": os.environ["PATH"]})
    (pid, started) = cluster.processes.listed()["worker1"]
    cluster.processes.file.write_text(f'{{"worker1": [{pid}, "{int(started) - 1}"]}}')  # as if it had the id later
    assert not cluster.processes.alive("worker1")
    with pytest.raises(ClusterError, match=r"^worker1 is not running$"):
        cluster.kill_worker(1)
    cluster.processes.stop(["worker1"])
    assert cluster.processes.listed() == {}
    os.kill(pid, 0)  # it is still there
    cluster.processes.file.write_text(f'{{"worker1": [{pid}, "{started}"]}}')
    cluster.processes.stop(["worker1"])
    with pytest.raises(ClusterError, match=r"^worker1 is not running$"):
        cluster.kill_worker(1)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.cluster.programs.program", lambda name: None)
    assert missing_programs().startswith("the cluster needs Debian packages: apt-get install postgresql redis-server")
