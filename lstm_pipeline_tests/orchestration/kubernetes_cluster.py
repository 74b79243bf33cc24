"""Dagster's launcher for Kubernetes, on a cluster that only writes down what it is asked for; Kubernetes' schemas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import kubernetes
import kubernetes_validate
import yaml
from dagster_k8s import K8sRunLauncher
from kubernetes.utils.quantity import parse_quantity

NOWHERE = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
users: [{name: me, user: {}}]
"""
VERSION = "1.34"
"""Of Kubernetes, whose schemas the manifests have to fit."""


class WrittenDown:
    """The part of Kubernetes' batch API that a launch uses."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []

    def create_namespaced_job(self, body: Any, namespace: str, **_: Any) -> None:
        self.jobs.append(manifest(body))


def manifest(body: Any) -> dict[str, Any]:
    """An object of the client's as it goes over the wire."""
    found = kubernetes.client.ApiClient().sanitize_for_serialization(body)
    assert isinstance(found, dict)
    return found


def launched(
    instance: dg.DagsterInstance, run: dg.DagsterRun, folder: Path, config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest of the job that the launcher asks Kubernetes for."""
    file = folder / "kubeconfig"
    file.write_text(NOWHERE)
    batch = WrittenDown()
    settings = {
        "instance_config_map": "dagster-instance",
        "service_account_name": "dagster",
        "dagster_home": "/opt/dagster/dagster_home",
        "postgres_password_secret": "dagster-postgresql",
        "load_incluster_config": False,
        "kubeconfig_file": str(file),
        **(config or {}),
    }
    launcher = K8sRunLauncher(k8s_client_batch_api=batch, k8s_client_core_api=SimpleNamespace(), **settings)
    launcher.register_instance(instance)
    launcher.launch_run(SimpleNamespace(dagster_run=run))  # type: ignore[arg-type]
    (job,) = batch.jobs
    return job


def check_manifest(document: Mapping[str, Any]) -> None:
    """Raises if a manifest does not fit Kubernetes' schema, unknown keys included, or has a quantity that is none."""
    kubernetes_validate.validate(document, VERSION, strict=True)
    for container in containers(document):
        for part in ("requests", "limits"):
            quantities = container.get("resources", {}).get(part, {})
            assert all(parse_quantity(text) > 0 for text in quantities.values()), quantities
        requests, limits = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
        for name in requests.keys() & limits.keys():
            assert parse_quantity(requests[name]) <= parse_quantity(limits[name]), (name, requests, limits)


def containers(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload's pods; empty for what has none."""
    spec = document.get("spec", {}) or {}
    pod = spec.get("template", {}).get("spec", spec) if isinstance(spec, dict) else {}
    return [*pod.get("initContainers", []), *pod.get("containers", [])] if isinstance(pod, dict) else []


def documents(text: str) -> list[dict[str, Any]]:
    """The manifests in a text of several YAML documents."""
    return [document for document in yaml.safe_load_all(text) if document]
