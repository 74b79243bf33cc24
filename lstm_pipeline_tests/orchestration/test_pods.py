"""Cluster settings as the pods of runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from lstm_pipeline.orchestration.jobs import build_jobs
from lstm_pipeline.orchestration.keys import run_tags
from lstm_pipeline.orchestration.pods import changed_pod_tag, cpu_quantity, memory_quantity, pod_tags
from lstm_pipeline.projects import load_project

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
