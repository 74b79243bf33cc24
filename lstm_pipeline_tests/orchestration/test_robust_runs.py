"""Groups that fail, runs that carry on, storage faults that pass, tags that cannot be found."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance import InstanceRef
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from lstm_pipeline.errors import DataError, TrainingError
from lstm_pipeline.forecasting import training
from lstm_pipeline.orchestration import failures, resources, stages
from lstm_pipeline.orchestration.coordinator import TaggingRunCoordinator
from lstm_pipeline.orchestration.dead_runs import owner_tags
from lstm_pipeline.orchestration.jobs import build_job
from lstm_pipeline.orchestration.keys import GROUPS_TAG
from lstm_pipeline.orchestration.pods import pod_tags
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.launching import GROUPS, Place, place
from lstm_pipeline_tests.orchestration.plant import tiny_project

FAILED, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as here:
        yield here


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is trained, in `groups`; a group in `broken` fails with its error."""
    seen: dict[str, Any] = {"groups": [], "broken": {}}
    train_group = training.train_group

    def watched(run: Any, group: str) -> Any:
        seen["groups"].append(group)
        if group in seen["broken"]:
            raise seen["broken"][group]
        return train_group(run, group)

    monkeypatch.setattr(training, "train_group", watched)
    return seen


@pytest.mark.slow
def test_a_failed_group_without_a_model_publishes_nothing_and_the_next_run_carries_on(
    plant: Place, trainings: dict[str, Any]
) -> None:
    trainings["broken"] = {"middle": TrainingError("the loss is not finite")}
    first = plant.run(plant.launch("tiny_plant_train_and_forecast"))
    assert first.status is FAILED
    expected = "group 'middle': the loss is not finite. The candidates of energy, water are kept."
    assert plant.failure(first.run_id) == expected
    assert plant.project.registry.versions() == []
    assert plant.made("trained_model", first.run_id) == ["energy", "water"]

    trainings["groups"], trainings["broken"] = [], {}
    second = plant.reexecute(first.run_id)
    assert second.status is SUCCESS
    assert trainings["groups"] == ["middle"]
    assert plant.project.registry.versions() == ["v1"]
    assert plant.pinned() == {"energy": first.run_id, "middle": second.run_id, "water": first.run_id}
    assert plant.made("cleaned_data", second.run_id) == []
    assert plant.made("trained_model", second.run_id) == ["middle"]
    assert plant.made("predictions", second.run_id) == [None]
    told = "already trained in this run or in the one that it carries on: energy, water"
    assert told in plant.logged(second.run_id)

    trainings["groups"] = []
    whole = plant.reexecute(second.run_id, "ALL_STEPS")
    assert sorted(trainings["groups"]) == list(GROUPS)
    assert plant.pinned() == dict.fromkeys(GROUPS, whole.run_id)


@pytest.mark.slow
def test_a_failed_group_with_a_model_in_use_holds_up_no_other(plant: Place, trainings: dict[str, Any]) -> None:
    zeroth = plant.run(plant.launch("tiny_plant_train"))
    trainings["broken"] = {"middle": TrainingError("the loss is not finite")}
    first = plant.run(plant.launch("tiny_plant_train_and_forecast"))
    assert first.status is FAILED
    assert plant.failure(first.run_id) == (
        "group 'middle': the loss is not finite. energy, water are published, with the models in use of middle; to "
        "train only middle, re-execute this run from its failure"
    )
    assert plant.project.registry.versions() == ["v1", "v2"]
    assert plant.pinned() == {"energy": first.run_id, "middle": zeroth.run_id, "water": first.run_id}
    assert plant.made("model_metadata", first.run_id) == [None]
    assert plant.made("predictions", first.run_id) == [None]

    trainings["groups"], trainings["broken"] = [], {}
    second = plant.reexecute(first.run_id)
    assert second.status is SUCCESS
    assert trainings["groups"] == ["middle"]
    assert plant.project.registry.versions() == ["v1", "v2", "v3"]
    assert plant.pinned() == {"energy": first.run_id, "middle": second.run_id, "water": first.run_id}

    trainings["broken"] = {group: TrainingError("the loss is not finite") for group in GROUPS}
    third = plant.run(plant.launch("tiny_plant_train"))
    assert third.status is FAILED
    assert plant.project.registry.versions() == ["v1", "v2", "v3"]


def unreachable() -> DataError:
    error = DataError("s3://bucket/plant.csv: the store could not be reached")
    error.transient = True
    return error


def run_in_process(project: Project, kind: str = "train", **tags: str) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(jobs=[build_job(project, kind)], resources=resources(project.storage))
    job = definitions.resolve_job_def(f"tiny_plant_{kind}")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            run_config={"as_of": "2024-06-01"}, instance=instance, tags=tags, raise_on_error=False
        )


def faults(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    """The prediction input cannot be read, once for each error."""
    read = stages.read_recent_data

    def faulty(project: Project, as_of: dt.date) -> stages.Made:
        if errors:
            raise errors.pop(0)
        return read(project, as_of)

    monkeypatch.setattr(stages, "read_recent_data", faulty)
    monkeypatch.setattr(failures, "DELAY", 0.01)


def retries(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)


def description(result: dg.ExecuteInProcessResult) -> str:
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data: Any = failed.step_failure_data
    return str(data.user_failure_data.description)


def test_a_storage_fault_that_passes_is_tried_again_and_a_mistake_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tiny_project(tmp_path)
    errors: list[Exception] = [unreachable(), unreachable(), unreachable()]
    faults(monkeypatch, errors)
    result = run_in_process(project, "forecast")
    assert retries(result) == 3
    assert "has no version yet" in description(result)  # the second step's
    errors += [unreachable() for _ in range(4)]
    result = run_in_process(project, "forecast")
    assert retries(result) == 3
    assert description(result) == "s3://bucket/plant.csv: the store could not be reached"
    for error in (DataError("plant.csv: no such file"), ValueError("a defect")):
        errors[:] = [error]
        result = run_in_process(project, "forecast")
        assert not result.success
        assert retries(result) == 0
    errors[:] = [unreachable()]
    assert retries(run_in_process(project, "forecast", **owner_tags())) == 0  # a person waits for the command


def test_waits_grow_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    for attempt in (0, 0, 1, 2):
        context = SimpleNamespace(run=SimpleNamespace(tags={}), retry_number=attempt)
        with pytest.raises(dg.RetryRequested) as caught, failures.user_errors(context):
            raise unreachable()
        waits.append(caught.value.seconds_to_wait)
    assert waits[0] != waits[1]
    for wait, middle in zip(waits, (15, 15, 30, 60), strict=True):
        assert middle / 2 <= wait <= middle * 1.5


@pytest.mark.slow
def test_training_that_lost_its_store_goes_on_with_the_groups_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: dict[str, Any]
) -> None:
    monkeypatch.setattr(failures, "DELAY", 0.01)
    trainings["broken"] = {"water": unreachable()}
    sleep, seen = failures.random.uniform, trainings

    def mended(low: float, high: float) -> float:
        seen["broken"] = {}
        return sleep(low, high)

    monkeypatch.setattr(failures.random, "uniform", mended)
    project = tiny_project(tmp_path, epochs=1)
    result = run_in_process(project)
    assert result.success
    assert sorted(trainings["groups"][:2]) == ["energy", "water"]
    assert trainings["groups"][2:] == ["water"]
    assert project.registry.versions() == ["v1"]


class Asked:
    """What a workspace knows about assets."""

    def __init__(self, metadata: dict[str, Any] | None) -> None:
        self._metadata = metadata

    @property
    def asset_graph(self) -> Any:
        if self._metadata is None:
            raise RuntimeError("the code location is being loaded")
        node = SimpleNamespace(metadata=self._metadata)
        return SimpleNamespace(get=lambda key: node, has=lambda key: key.path[-1] == "model")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: lstm_pipeline.orchestration.coordinator, class: TaggingRunCoordinator}\n"
        "concurrency: {runs: {max_concurrent_runs: 2}}\n"
    )
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as instance:
        yield instance


@dg.job
def waiting() -> None: ...


def submitted(instance: dg.DagsterInstance, metadata: dict[str, Any] | None, **tags: str) -> dg.DagsterRun:
    """A run of assets, as it is after it was queued."""
    keys = frozenset({dg.AssetKey("model"), dg.AssetKey("unknown")})
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, python_file="jobs.py"), location_name="jobs"
    )
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "waiting")
    run = instance.create_run_for_job(waiting, tags=tags, remote_job_origin=origin)
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, TaggingRunCoordinator)
    asked: Any = dg.SubmitRunContext(run._replace(asset_selection=keys), Asked(metadata))
    return coordinator.submit_run(asked)


def test_runs_of_assets_get_their_cluster_settings_and_their_group(queue: dg.DagsterInstance) -> None:
    wanted = {"lstm_pipeline/run_tags": '{"lstm_pipeline/executor_memory": "2g", "lstm_pipeline/docker_tag": "a"}'}
    range_tags = {f"dagster/asset_partition_range_{end}": "water" for end in ("start", "end")}
    run = submitted(queue, wanted, **range_tags, **{"lstm_pipeline/docker_tag": "mine"})
    assert run.status is dg.DagsterRunStatus.QUEUED
    assert run.tags["lstm_pipeline/executor_memory"] == "2g"
    assert run.tags["lstm_pipeline/docker_tag"] == "mine"
    assert run.tags[GROUPS_TAG] == "water"
    assert GROUPS_TAG not in submitted(queue, wanted).tags


def test_a_run_of_assets_may_ask_for_more(queue: dg.DagsterInstance) -> None:
    tags = {"lstm_pipeline/executor_memory": "2g", **pod_tags({"executor_memory": "2g"})}
    wanted = {"lstm_pipeline/run_tags": json.dumps(tags)}
    assert submitted(queue, wanted).tags["dagster-k8s/config"] == tags["dagster-k8s/config"]
    more = submitted(queue, wanted, **{"lstm_pipeline/executor_memory": "16g"})
    assert more.tags["lstm_pipeline/executor_memory"] == "16g"
    assert json.loads(more.tags["dagster-k8s/config"])["container_config"]["resources"] == {
        "limits": {"memory": "16Gi"},
        "requests": {"memory": "16Gi"},
    }
    own = submitted(queue, wanted, **{"lstm_pipeline/executor_memory": "16g", "dagster-k8s/config": "{}"})
    assert own.tags["dagster-k8s/config"] == "{}"


def test_a_run_of_both_data_products_has_what_training_asks_for(queue: dg.DagsterInstance) -> None:
    """`predictions` comes before `trained_model` in the alphabet, but training is what needs the memory."""

    def node(key: dg.AssetKey) -> Any:
        memory = "8g" if key.path[-1] == "trained_model" else "1g"
        tags = {"lstm_pipeline/executor_memory": memory, **pod_tags({"executor_memory": memory})}
        return SimpleNamespace(metadata={"lstm_pipeline/run_tags": json.dumps(tags)})

    keys = frozenset({dg.AssetKey(["plant", "predictions"]), dg.AssetKey(["plant", "trained_model"])})
    run = submitted(queue, {})._replace(asset_selection=keys)
    workspace: Any = SimpleNamespace(asset_graph=SimpleNamespace(get=node, has=lambda key: True))
    coordinator: Any = queue.run_coordinator
    coordinator._tag(dg.SubmitRunContext(run, workspace))
    found = queue.get_run_by_id(run.run_id)
    assert found is not None
    assert found.tags["lstm_pipeline/executor_memory"] == "8g"
    assert found.tags["dagster-k8s/config"] == pod_tags({"executor_memory": "8g"})["dagster-k8s/config"]


@pytest.mark.parametrize("metadata", [None, {"lstm_pipeline/run_tags": "no JSON"}, {}])
def test_a_run_whose_tags_cannot_be_found_is_queued_all_the_same(
    queue: dg.DagsterInstance, metadata: dict[str, Any] | None
) -> None:
    run = submitted(queue, metadata)
    assert run.status is dg.DagsterRunStatus.QUEUED
    assert not [name for name in run.tags if name.startswith("lstm_pipeline/")]
