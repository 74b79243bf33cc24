"""Cluster settings as the pods of runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.coordinator import tags_of
from lstm_pipeline.orchestration.jobs import build_jobs
from lstm_pipeline.orchestration.keys import run_tags
from lstm_pipeline.orchestration.pods import changed_pod_tag, cpu_quantity, memory_quantity, pod_tags
from lstm_pipeline.projects import load_project
from lstm_pipeline_tests.orchestration.kubernetes_cluster import check_manifest, launched
from lstm_pipeline_tests.orchestration.plant import write_project

DOCUMENTED = {
    "docker_tag": "0.0.58",
    "executor_core_request": "800m",
    "executor_core_limit": "4000m",
    "executor_instances": 1,
    "executor_memory": "7168m",
    "driver_memory": "3072m",
}
DOCUMENTED_POD = (
    '{"container_config": {"resources": {"limits": {"cpu": "4", "memory": "7Gi"}, '
    '"requests": {"cpu": "800m", "memory": "7Gi"}}}}'
)

DEFAULTS = {
    "run_k8s_config": {
        "container_config": {"resources": {"requests": {"cpu": "1", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}}
    }
}


@pytest.fixture(autouse=True)
def no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSTM_PIPELINE_IMAGE", raising=False)


def both(**quantities: str) -> dict[str, dict[str, str]]:
    return {"limits": quantities, "requests": quantities}


@pytest.mark.parametrize(
    ("config", "container"),
    [
        ({"executor_memory": "4g"}, {"resources": both(memory="4Gi")}),
        ({"executor_memory": "512m"}, {"resources": both(memory="512Mi")}),
        ({"executor_memory": "1.5g"}, {"resources": both(memory="1536Mi")}),
        ({"executor_core_request": 0.5}, {"resources": {"requests": {"cpu": "500m"}}}),
        ({"executor_cores": "2"}, {"resources": {"requests": {"cpu": "2"}}}),
        ({"executor_core_limit": "1.5"}, {"resources": both(cpu="1500m")}),
        (
            {"executor_core_request": 1, "driver_core_limit": 2, "driver_memory": "2g"},
            {"resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}},
        ),
    ],
)
def test_exact_tags(config: dict[str, Any], container: dict[str, Any]) -> None:
    (tag,) = pod_tags(config).items()
    assert tag == ("dagster-k8s/config", json.dumps({"container_config": container}, sort_keys=True))


def test_the_documented_settings() -> None:
    assert pod_tags(DOCUMENTED) == {"dagster-k8s/config": DOCUMENTED_POD}


@pytest.mark.parametrize(
    "config", [{}, {"executor_instances": 3}, {"docker_tag": "1"}, {"executor_memory": "plenty", "executor_cores": 0}]
)
def test_no_tag_where_nothing_can_be_asked_of_a_pod(config: dict[str, Any]) -> None:
    assert pod_tags(config) == {}


def test_an_image_only_where_its_name_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_IMAGE", "registry.example.com:5000/plant/lstm-pipeline")
    image = {"image": "registry.example.com:5000/plant/lstm-pipeline:0.0.58"}
    assert json.loads(pod_tags({"docker_tag": "0.0.58"})["dagster-k8s/config"]) == {"container_config": image}
    assert pod_tags({"docker_tag": "no tag"}) == {}
    assert pod_tags({}) == {}


@pytest.mark.parametrize(("size", "text"), [(1000, "1000"), (2**10, "1Ki"), (3 * 2**29, "1536Mi"), (2**50, "1Pi")])
def test_memory_quantities(size: int, text: str) -> None:
    assert memory_quantity(size) == text


def test_cpu_quantities() -> None:
    assert [cpu_quantity(count) for count in (1, 999, 1000, 1001, 64_000)] == ["1m", "999m", "1", "1001m", "64"]


ASKED = {"lstm_pipeline/executor_memory": "2g", "lstm_pipeline/executor_core_request": "1", **pod_tags(
    {"executor_memory": "2g", "executor_core_request": "1"}
)}  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "container"),
    [
        ({}, None),
        ({"site": "north"}, None),
        (ASKED, None),
        ({"lstm_pipeline/executor_memory": "2g"}, None),
        (
            {"lstm_pipeline/executor_memory": "16g"},
            {"resources": {"limits": {"memory": "16Gi"}, "requests": {"cpu": "1", "memory": "16Gi"}}},
        ),
        (
            {**ASKED, "lstm_pipeline/executor_core_limit": "4"},
            {"resources": {"limits": {"cpu": "4", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}},
        ),
        # what makes no sense changes nothing, and takes nothing else away
        ({"lstm_pipeline/executor_memory": "lots"}, None),
        (
            {"lstm_pipeline/executor_memory": "lots", "lstm_pipeline/executor_core_request": "2"},
            {"resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "2", "memory": "2Gi"}}},
        ),
        # the run's own words for its pod are the last ones
        ({"lstm_pipeline/executor_memory": "16g", "dagster-k8s/config": "{}"}, None),
    ],
)
def test_a_run_may_ask_for_more(tags: dict[str, str], container: dict[str, Any] | None) -> None:
    found = changed_pod_tag(ASKED, tags)
    assert (json.loads(found)["container_config"] if found else None) == container


def test_a_change_keeps_the_image_and_what_makes_no_sense_changes_nothing() -> None:
    declared = {
        "lstm_pipeline/docker_tag": "7",
        "dagster-k8s/config": '{"container_config": {"image": "lstm-pipeline:7"}}',
    }
    changed = changed_pod_tag(declared, {"lstm_pipeline/driver_memory": "2g"})
    assert changed is not None
    assert json.loads(changed) == {"container_config": {"image": "lstm-pipeline:7", "resources": both(memory="2Gi")}}
    assert changed_pod_tag({}, {"lstm_pipeline/driver_memory": "lots"}) is None


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: lstm_pipeline.orchestration.coordinator, class: TaggingRunCoordinator}\n"
    )
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as found:
        yield found


@dg.job
def training() -> None: ...


def location() -> ManagedGrpcPythonEnvCodeLocationOrigin:
    return ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name="lstm_pipeline.definitions"), location_name="x"
    )


def run_of(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run of a job, as the UI makes it: with the job's tags and its own."""
    repository = RepositoryPythonOrigin(
        "/opt/venv/bin/python",
        ModuleCodePointer("lstm_pipeline.definitions", "defs", None),
        container_image="registry.example.com/lstm-pipeline:1",
    )
    return instance.create_run_for_job(
        training,
        tags=tags,
        job_code_origin=JobPythonOrigin("training", repository),
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location(), "__repository__"), "training"),
    )


def submitted(instance: dg.DagsterInstance, run: dg.DagsterRun, job_tags: dict[str, str]) -> dict[str, str]:
    """The tags of a job's run after it was queued."""
    repository = SimpleNamespace(get_full_job=lambda name: {"training": SimpleNamespace(tags=job_tags)}[name])
    found = SimpleNamespace(get_repository=lambda name: {"__repository__": repository}[name])
    workspace: Any = SimpleNamespace(get_code_location=lambda name: {"x": found}[name])
    return dict(instance.run_coordinator.submit_run(dg.SubmitRunContext(run, workspace)).tags)


def test_a_run_of_a_job_may_ask_for_more_as_well(instance: dg.DagsterInstance) -> None:
    tags = submitted(instance, run_of(instance, {**ASKED, "lstm_pipeline/executor_memory": "16g"}), ASKED)
    assert json.loads(tags["dagster-k8s/config"])["container_config"]["resources"] == {
        "limits": {"memory": "16Gi"},
        "requests": {"cpu": "1", "memory": "16Gi"},
    }
    assert submitted(instance, run_of(instance, ASKED), ASKED)["dagster-k8s/config"] == ASKED["dagster-k8s/config"]
    # a tag that whoever started the run took away stays away
    assert "lstm_pipeline/executor_memory" not in submitted(instance, run_of(instance, {}), ASKED)


def test_jobs_and_assets_have_the_tag(tmp_path: Path) -> None:
    project = load_project(write_project(tmp_path), str(tmp_path / "storage"))
    pod = '{"container_config": {"resources": {"limits": {"memory": "2Gi"}, "requests": {"memory": "2Gi"}}}}'
    assert run_tags(project.spec.model_metadata) == {"lstm_pipeline/executor_memory": "2g", "dagster-k8s/config": pod}
    assert run_tags(project.spec.predictions) == {}
    for job in build_jobs(project):
        expected = None if job.name.endswith("plant_forecast") else pod
        assert job.tags.get("dagster-k8s/config") == expected
        assert {op.tags.get("dagster-k8s/config") for op in job.graph.node_dict.values()} == {expected}
    trained = next(
        one for one in build_assets(project) if isinstance(one, dg.AssetsDefinition) and "trained" in str(one.key)
    )
    assert trained.op.tags["dagster-k8s/config"] == pod
    assert tags_of(trained.metadata_by_key[trained.key])["dagster-k8s/config"] == pod


@pytest.mark.parametrize(
    ("config", "resources"),
    [
        (DOCUMENTED, {"limits": {"cpu": "4", "memory": "7Gi"}, "requests": {"cpu": "800m", "memory": "7Gi"}}),
        ({"executor_memory": "4g"}, {"limits": {"memory": "4Gi"}, "requests": {"cpu": "1", "memory": "4Gi"}}),
        ({"executor_core_limit": "250m"}, both(cpu="250m", memory="3Gi")),
        ({"executor_memory": "plenty"}, {"limits": {"memory": "3Gi"}, "requests": {"cpu": "1", "memory": "3Gi"}}),
    ],
)
def test_the_pod_of_a_run(
    instance: dg.DagsterInstance, tmp_path: Path, config: dict[str, Any], resources: dict[str, Any]
) -> None:
    """As Dagster's own launcher asks Kubernetes for it, with the defaults of `examples/kubernetes/values.yaml`."""
    job = launched(instance, run_of(instance, pod_tags(config)), tmp_path, DEFAULTS)
    check_manifest(job)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == resources
    assert container["image"] == "registry.example.com/lstm-pipeline:1"
    assert container["args"][:5] == ["/opt/venv/bin/python", "-m", "dagster", "api", "execute_run"]


def test_the_pod_has_the_image_of_the_docker_tag(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_IMAGE", "registry.example.com/lstm-pipeline")
    job = launched(instance, run_of(instance, pod_tags(DOCUMENTED)), tmp_path)
    check_manifest(job)
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/lstm-pipeline:0.0.58"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"resources": {"limits": {"memory": "2GB"}}}, "Invalid number format|unknown suffix|GB"),
        ({"resources": {"requests": {"cpu": "4"}, "limits": {"cpu": "2"}}}, "cpu"),
        ({"resources": {"request": {"cpu": "4"}}}, "request"),
    ],
)
def test_a_broken_pod_is_noticed(
    instance: dg.DagsterInstance, tmp_path: Path, broken: dict[str, Any], message: str
) -> None:
    tags = {"dagster-k8s/config": json.dumps({"container_config": broken})}
    with pytest.raises(Exception, match=message):
        check_manifest(launched(instance, run_of(instance, tags), tmp_path))
