"""What `examples/cluster` says: that its parts fit each other, and that nothing secret is in it."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml

from examples.cluster.local import LocalCluster
from lstm_pipeline_tests.storage.servers import rclone_server, running

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
        assert services[role]["image"] == "lstm-pipeline"


def test_one_image_is_built_for_all_roles(services: dict[str, Any]) -> None:
    """Compose labels what it builds with the service's name: each role that builds gets another image of one name, all
    but the last look outdated, and the next `up` starts them anew, with their runs."""
    assert {name for name, service in services.items() if "build" in service} == {"tables"}
    assert (HERE / services["tables"]["build"]).resolve() == HERE.parents[1]
    assert {services[role]["pull_policy"] for role in ROLES} == {"never"}
    for role in ROLES - {"tables"}:  # what builds has to come first
        assert "tables" in services[role]["depends_on"]


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
        "webserver": ["127.0.0.1:${CLUSTER_PORT:-3000}:3000"]
    }


def test_the_object_store_asks_for_its_key(services: dict[str, Any], tmp_path: Path) -> None:
    """rclone reads a list, separated by commas, from its environment; a key has a comma in it, so it needs quotes."""
    given = services["s3"]["environment"]["RCLONE_AUTH_KEY"]
    key, secret = services["worker"]["environment"]["AWS_ACCESS_KEY_ID"], "what-openssl-makes-up"
    server = rclone_server(tmp_path / "buckets", tmp_path / "log")
    at = server.command.index("--auth-key")
    keys = given.replace("${CLUSTER_S3_PASSWORD}", secret)
    server.command[:] = ["env", f"RCLONE_AUTH_KEY={keys}", *server.command[:at], *server.command[at + 2 :]]
    (tmp_path / "buckets/logs").mkdir()
    with running(server):
        with pytest.raises(urllib.error.HTTPError, match="HTTP Error 40"):
            urllib.request.urlopen(f"{server.endpoint}/logs", timeout=10)
        assert _buckets(server.endpoint, key, secret) == ["logs"]
        with pytest.raises(PermissionError):
            _buckets(server.endpoint, key, "another-password")


def _buckets(endpoint: str, key: str, secret: str) -> list[str]:
    store = s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=endpoint, skip_instance_cache=True)
    return list(store.ls(""))


def test_redis_gives_root_up_and_postgres_is_asked_where_only_the_real_server_answers(services: dict[str, Any]) -> None:
    # the image's script changes the user only for the command that it is given
    assert "exec docker-entrypoint.sh redis-server " in services["redis"]["command"][-1]
    # while the database is made, a server answers on the socket, and is ended again
    test = services["postgres"]["healthcheck"]["test"]
    assert test[test.index("--host") + 1] == "127.0.0.1"


def test_health_checks_have_the_time_that_the_image_gives_them(services: dict[str, Any]) -> None:
    (seconds,) = re.findall(
        r"^HEALTHCHECK .*--timeout=(\d+s)", (HERE.parents[1] / "Dockerfile").read_text(), re.MULTILINE
    )
    assert {services[role]["healthcheck"].get("timeout", seconds) for role in ROLES} == {seconds}


def test_passwords_are_not_committed_by_mistake() -> None:
    assert "> .env" in (HERE / "README.md").read_text()
    assert "/examples/cluster/.env" in (HERE.parents[1] / ".gitignore").read_text().splitlines()


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
