"""What `examples/cluster` says: that its parts fit each other, and that nothing secret is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.cluster.local import LocalCluster

HERE = Path(__file__).parents[2] / "examples/cluster"
ROLES = {"tables", "code", "daemon", "webserver", "worker"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
    return found


def read_variables() -> set[str]:
    """The variables that Dagster's settings and the workspace read."""
    texts = (HERE / "dagster.yaml").read_text() + (HERE / "workspace.yaml").read_text()
    return set(re.findall(r"\{env: (\w+)\}", texts))


def test_containers_have_every_variable_that_the_settings_read(services: dict[str, Any]) -> None:
    assert set(services) == ROLES | {"postgres", "redis", "s3"}
    for role in ROLES:
        assert read_variables() <= set(services[role]["environment"]), role
        assert (HERE / services[role]["build"]).resolve() == HERE.parents[1]


def test_the_cluster_on_loopback_has_the_same_variables(services: dict[str, Any], tmp_path: Path) -> None:
    own = LocalCluster(tmp_path / "cluster", ports={"ui": 4321})
    own.__dict__["state"] = {
        "ports": dict.fromkeys(("redis", "postgres", "s3", "code", "ui"), 4321),
        "passwords": dict.fromkeys(("redis", "postgres", "s3"), "word"),
    }
    assert set(own.environment) == set(services["code"]["environment"]) | {"DAGSTER_HOME"}
    assert own.environment["DAGSTER_PG_HOST"] == "127.0.0.1"


def test_passwords_come_from_the_environment(services: dict[str, Any]) -> None:
    text = (HERE / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(CLUSTER_\w+_PASSWORD):\?", text)) == {
        f"CLUSTER_{name}_PASSWORD" for name in ("POSTGRES", "REDIS", "S3")
    }
    secret = {"DAGSTER_PG_PASSWORD", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "AWS_SECRET_ACCESS_KEY"}
    for service in services.values():
        for name, value in service["environment"].items():
            if name in secret or "PASSWORD" in name or "AUTH" in name:
                assert "${CLUSTER_" in value, name


def test_only_the_ui_is_reached_from_outside_and_from_this_machine_alone(services: dict[str, Any]) -> None:
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "webserver": ["127.0.0.1:3000:3000"]
    }


def test_whoever_waits_for_health_waits_for_one_that_tells_it(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], (name, other)
            else:
                assert (other, wanted["condition"]) == ("tables", "service_completed_successfully")
    assert services["worker"]["deploy"]["replicas"] == 2
    assert "lstm_pipeline.orchestration.celery_worker" in services["worker"]["command"]


def test_the_page_names_commands_that_exist() -> None:
    page = (HERE / "README.md").read_text()
    named = set(re.findall(r"examples\.cluster\.local ([a-z-]+)", page))
    source = (HERE / "local.py").read_text()
    assert named == {"environment", "materialize", "back-fill", "kill-worker", "start-worker", "remove"}
    for command in named:
        assert f'"{command}"' in source
    makefile = (HERE.parents[1] / "Makefile").read_text()
    assert {"cluster", "cluster-stop"} <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
