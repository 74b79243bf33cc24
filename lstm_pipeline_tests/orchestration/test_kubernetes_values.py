"""`examples/kubernetes/values.yaml`: what Dagster's chart makes of it, as far as the values reach.

The chart itself is not at hand. What chart 1.13 does with a value is written down here: which keys it knows, where they
go in a manifest, and where in `dagster.yaml`. The manifests have to fit Kubernetes' schemas, and Dagster has to accept
the settings.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.ref import InstanceRef

from lstm_pipeline.orchestration.coordinator import TaggingRunCoordinator
from lstm_pipeline.orchestration.pods import pod_tags
from lstm_pipeline.projects.project import spec_files
from lstm_pipeline_tests.orchestration.kubernetes_cluster import check_manifest, containers, launched
from lstm_pipeline_tests.orchestration.test_pods import DOCUMENTED, run_of

FOLDER = Path(__file__).parents[2] / "examples/kubernetes"
WORKLOAD = {
    "image", "env", "envConfigMaps", "envSecrets", "labels", "annotations", "nodeSelector", "affinity", "tolerations",
    "podSecurityContext", "securityContext", "resources", "livenessProbe", "readinessProbe", "startupProbe",
    "schedulerName", "volumes", "volumeMounts",
}  # fmt: skip
SCHEMA: dict[str, set[str] | None] = {
    "": {
        "global", "imagePullSecrets", "dagsterWebserver", "dagsterDaemon", "dagster-user-deployments", "runLauncher",
        "computeLogManager", "postgresql", "generatePostgresqlPasswordSecret", "ingress", "retention", "telemetry",
        "serviceAccount", "busybox", "scheduler", "pythonLogs", "concurrency", "additionalInstanceConfig",
    },
    "global": {"postgresqlSecretName", "dagsterHome", "serviceAccountName"},
    "dagsterWebserver": {
        *WORKLOAD, "replicaCount", "nameOverride", "pathPrefix", "service", "workspace", "enableReadOnly",
        "dbStatementTimeout", "dbPoolRecycle", "logLevel", "deploymentLabels",
    },
    "dagsterDaemon": {
        *WORKLOAD, "enabled", "heartbeatTolerance", "runCoordinator", "runMonitoring", "runRetries", "sensors",
        "schedules", "deploymentLabels",
    },
    "dagsterDaemon.runCoordinator": {"enabled", "type", "config"},
    "dagsterDaemon.runCoordinator.config": {"queuedRunCoordinator", "customRunCoordinator"},
    "dagsterDaemon.runCoordinator.config.customRunCoordinator": {"module", "class", "config"},
    "dagsterDaemon.runMonitoring": {
        "enabled", "startTimeoutSeconds", "cancelTimeoutSeconds", "maxResumeRunAttempts", "pollIntervalSeconds",
        "freeSlotsAfterRunEndSeconds",
    },
    "dagsterDaemon.runRetries": {"enabled", "maxRetries", "retryOnAssetOrOpFailure"},
    "runLauncher": {"type", "config"},
    "runLauncher.config.k8sRunLauncher": {
        "image", "imagePullPolicy", "jobNamespace", "loadInclusterConfig", "kubeconfigFile", "envConfigMaps",
        "envSecrets", "envVars", "volumeMounts", "volumes", "labels", "resources", "failPodOnRunFailure",
        "schedulerName", "securityContext", "runK8sConfig",
    },
    "runLauncher.config.k8sRunLauncher.runK8sConfig": {
        "containerConfig", "podSpecConfig", "podTemplateSpecMetadata", "jobSpecConfig", "jobMetadata",
    },
    "dagster-user-deployments": {"enabled", "enableSubchart", "imagePullSecrets", "deployments"},
    "dagster-user-deployments.deployments.0": {
        *WORKLOAD, "name", "dagsterApiGrpcArgs", "codeServerArgs", "port", "includeConfigInLaunchedRuns", "service",
    },
    "computeLogManager": {"type", "config"},
    "computeLogManager.config.s3ComputeLogManager": {
        "bucket", "localDir", "prefix", "useSsl", "verify", "verifyCertPath", "endpointUrl", "skipEmptyFiles",
        "uploadInterval", "uploadExtraArgs",
    },
    "postgresql": {
        "enabled", "image", "postgresqlHost", "postgresqlUsername", "postgresqlPassword", "postgresqlDatabase",
        "postgresqlParams", "postgresqlScheme", "service",
    },
    "ingress": {"enabled", "annotations", "labels", "ingressClassName", "dagsterWebserver"},
    "ingress.dagsterWebserver": {"host", "path", "pathType", "tls", "precedingPaths", "succeedingPaths"},
    "retention": {"enabled", "schedule", "sensor", "autoMaterialize"},
    "telemetry": {"enabled"},
}  # fmt: skip
"""Keys that chart 1.13 knows, by the place of the section that has them."""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as found:
        yield found


@pytest.fixture
def values() -> dict[str, Any]:
    found = yaml.safe_load((FOLDER / "values.yaml").read_text())
    assert isinstance(found, dict)
    return copy.deepcopy(found)


def section(values: Any, place: str) -> Any:
    for key in place.split(".") if place else ():
        values = values[int(key)] if isinstance(values, list) else values[key]
    return values


def unknown_keys(values: dict[str, Any]) -> list[str]:
    return [
        f"{place}.{key}".lstrip(".")
        for place, known in SCHEMA.items()
        for key in section(values, place)
        if known is not None and key not in known
    ]


def deployment(values: dict[str, Any], name: str, part: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """A deployment as the chart makes it of a section."""
    container = {
        "name": name,
        "image": f"{part['image']['repository']}:{part['image']['tag']}",
        "imagePullPolicy": part["image"]["pullPolicy"],
        "args": command,
        "securityContext": part["securityContext"],
        "env": part.get("env", []),
        "envFrom": [
            *({"configMapRef": one} for one in part.get("envConfigMaps", [])),
            *({"secretRef": secret} for secret in part["envSecrets"]),
        ],
        "resources": part["resources"],
        "volumeMounts": part.get("volumeMounts", []),
        **{
            probe: {key: value for key, value in part[probe].items() if key != "enabled"}
            for probe in ("readinessProbe", "livenessProbe", "startupProbe")
            if probe in part
        },
    }
    labels = {"component": name}
    pod = {
        "imagePullSecrets": values["imagePullSecrets"],
        "securityContext": part["podSecurityContext"],
        "containers": [container],
        "volumes": part.get("volumes", []),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def deployments(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (code,) = values["dagster-user-deployments"]["deployments"]
    port = str(values["dagsterWebserver"]["service"]["port"])
    grpc = ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(code["port"]), *code["dagsterApiGrpcArgs"]]
    web = ["dagster-webserver", "-h", "0.0.0.0", "-p", port]
    return {
        "webserver": deployment(values, "webserver", values["dagsterWebserver"], web),
        "daemon": deployment(values, "daemon", values["dagsterDaemon"], ["dagster-daemon", "run"]),
        code["name"]: deployment(values, code["name"], code, grpc),
    }


def launcher_config(values: dict[str, Any]) -> dict[str, Any]:
    """The launcher's part of `dagster.yaml`."""
    found = values["runLauncher"]["config"]["k8sRunLauncher"]
    raw = found["runK8sConfig"]
    names = {
        "containerConfig": "container_config",
        "podSpecConfig": "pod_spec_config",
        "jobSpecConfig": "job_spec_config",
    }
    return {
        "job_namespace": "forecasts",
        "image_pull_policy": found["imagePullPolicy"],
        "image_pull_secrets": values["imagePullSecrets"],
        "service_account_name": "dagster",
        "instance_config_map": "lstm-pipeline-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "dagster_home": "/opt/dagster/dagster_home",
        "env_config_maps": [one["name"] for one in found["envConfigMaps"]],
        "env_secrets": [one["name"] for one in found["envSecrets"]],
        "volumes": found["volumes"],
        "volume_mounts": found["volumeMounts"],
        "run_k8s_config": {names[key]: value for key, value in raw.items()},
    }


def instance_settings(values: dict[str, Any]) -> dict[str, Any]:
    """The parts of `dagster.yaml` that the values change, but for Postgres and the launcher."""
    daemon, logs = values["dagsterDaemon"], values["computeLogManager"]["config"]["s3ComputeLogManager"]
    monitoring, retries = daemon["runMonitoring"], daemon["runRetries"]
    return {
        "run_coordinator": daemon["runCoordinator"]["config"]["customRunCoordinator"],
        "run_monitoring": {
            "enabled": monitoring["enabled"],
            "start_timeout_seconds": monitoring["startTimeoutSeconds"],
            "cancel_timeout_seconds": monitoring["cancelTimeoutSeconds"],
            "max_resume_run_attempts": monitoring["maxResumeRunAttempts"],
            "poll_interval_seconds": monitoring["pollIntervalSeconds"],
            "free_slots_after_run_end_seconds": monitoring["freeSlotsAfterRunEndSeconds"],
        },
        "run_retries": {
            "enabled": retries["enabled"],
            "max_retries": retries["maxRetries"],
            "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
        },
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": values["computeLogManager"]["type"],
            "config": {
                "bucket": logs["bucket"],
                "prefix": logs["prefix"],
                "endpoint_url": logs["endpointUrl"],
                "skip_empty_files": logs["skipEmptyFiles"],
            },
        },
        "retention": {"sensor": {"purge_after_days": values["retention"]["sensor"]["purgeAfterDays"]}},
        "telemetry": values["telemetry"],
    }


def test_the_chart_knows_every_key(values: dict[str, Any]) -> None:
    assert unknown_keys(values) == []
    values["dagsterDaemon"]["runRetries"]["max_retries"] = 1
    values["ingres"] = {}
    assert unknown_keys(values) == ["ingres", "dagsterDaemon.runRetries.max_retries"]


def test_the_deployments_fit_kubernetes_and_nothing_is_root(values: dict[str, Any]) -> None:
    found = deployments(values)
    assert sorted(found) == ["daemon", "lstm-pipeline", "webserver"]
    for document in found.values():
        check_manifest(document)
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001  # as in the Dockerfile
        (container,) = containers(document)
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"].keys() == {"memory"}
        assert {"livenessProbe"} <= container.keys()
    web = found["webserver"]["spec"]["template"]["spec"]["containers"][0]
    assert web["readinessProbe"]["httpGet"]["port"] == web["livenessProbe"]["httpGet"]["port"] == 3000


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ("dagsterDaemon.livenessProbe", "timeoutSecond", 3, "timeoutSecond"),
        ("dagsterWebserver.readinessProbe.httpGet", "port", None, "port|None"),
        ("dagsterWebserver.podSecurityContext", "runAsUser", "root", "root"),
        ("dagsterDaemon.resources.limits", "memory", "512Mi", "memory"),
    ],
)
def test_a_broken_deployment_is_noticed(values: dict[str, Any], place: str, key: str, value: Any, message: str) -> None:
    section(values, place)[key] = value
    with pytest.raises(Exception, match=message):
        list(map(check_manifest, deployments(values).values()))


def test_dagster_accepts_the_settings(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance_settings(values)))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as instance:
        coordinator = instance.run_coordinator
        assert isinstance(coordinator, TaggingRunCoordinator)
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 20
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_start_timeout_seconds == 600
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 2)
        assert instance.run_retries_retry_on_asset_or_op_failure is False
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert not instance.telemetry_enabled


def test_dagster_accepts_postgres(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_postgres import PostgresRunStorage
    from dagster_postgres.utils import pg_url_from_config

    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "only-for-testing")
    found = values["postgresql"]
    database = {
        "username": found["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "hostname": found["postgresqlHost"],
        "db_name": found["postgresqlDatabase"],
        "port": found["service"]["port"],
        "scheme": found["postgresqlScheme"],
    }
    config = process_config(PostgresRunStorage.config_type(), {"postgres_db": database})
    assert config.success, config.errors
    url = "postgresql+psycopg2://dagster:only-for-testing@postgres.example.com:5432/dagster"
    assert config.value is not None
    assert pg_url_from_config(config.value) == url


@pytest.mark.parametrize(
    ("config", "resources"),
    [
        ({}, {"limits": {"memory": "3Gi"}, "requests": {"cpu": "1", "memory": "3Gi"}}),
        (DOCUMENTED, {"limits": {"cpu": "4", "memory": "7Gi"}, "requests": {"cpu": "800m", "memory": "7Gi"}}),
        ({"executor_memory": "16g"}, {"limits": {"memory": "16Gi"}, "requests": {"cpu": "1", "memory": "16Gi"}}),
    ],
)
def test_the_pod_of_a_run(
    instance: dg.DagsterInstance,
    values: dict[str, Any],
    tmp_path: Path,
    config: dict[str, Any],
    resources: dict[str, Any],
) -> None:
    """Made by Dagster's own launcher: with the spec's resources, or the defaults."""
    job = launched(instance, run_of(instance, pod_tags(config)), tmp_path, launcher_config(values))
    check_manifest(job)
    assert job["spec"]["activeDeadlineSeconds"] == 14400
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"] == resources
    assert pod["securityContext"] == values["dagsterDaemon"]["podSecurityContext"]
    assert container["securityContext"] == values["dagsterDaemon"]["securityContext"]
    assert {"secretRef": {"name": "lstm-pipeline-s3"}} in container["envFrom"]
    assert {"configMapRef": {"name": "lstm-pipeline-settings"}} in container["envFrom"]
    password = next(one for one in container["env"] if one["name"] == "DAGSTER_PG_PASSWORD")
    assert password["valueFrom"]["secretKeyRef"] == {"name": "lstm-pipeline-postgres", "key": "postgresql-password"}
    assert pod["volumes"] == [{"name": "projects", "configMap": {"name": "lstm-pipeline-projects"}}]
    assert container["volumeMounts"] == [{"name": "projects", "mountPath": "/app/projects", "readOnly": True}]


def test_runs_do_not_get_the_resources_of_the_code_location(values: dict[str, Any]) -> None:
    """Dagster would merge those into what the launcher and the spec say."""
    (code,) = values["dagster-user-deployments"]["deployments"]
    assert code["includeConfigInLaunchedRuns"] == {"enabled": False}
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    for key in ("envConfigMaps", "envSecrets", "volumes", "volumeMounts"):
        assert launcher[key] == code[key]


def test_no_secret_is_written_down() -> None:
    text = (FOLDER / "values.yaml").read_text()
    assert "postgresqlPassword:" not in text
    assert not [line for line in text.splitlines() if "SECRET_ACCESS_KEY" in line.partition("#")[0]]


def test_a_config_map_is_a_folder_of_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes mounts a config map as links into a hidden folder, which must not be projects a second time."""
    hidden = tmp_path / "..2026_11_28.1"
    hidden.mkdir()
    (hidden / "plant.yaml").write_text("name: plant\nmodel_metadata: {}\npredictions: {}\n")
    (tmp_path / "..data").symlink_to(hidden.name)
    (tmp_path / "plant.yaml").symlink_to("..data/plant.yaml")
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(tmp_path))
    assert spec_files() == [tmp_path / "plant.yaml"]
