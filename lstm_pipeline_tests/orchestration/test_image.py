"""The image: what its Dockerfile says, and its health check. The slow test carries it out."""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def script(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


health, check_image = script("docker/health.py"), script("examples/kubernetes/check_image.py")
STEPS = list(check_image.instructions((ROOT / "Dockerfile").read_text()))


def steps(name: str) -> list[str]:
    return [rest for found, rest in STEPS if found == name]


def test_the_image_is_slim_not_root_and_has_a_health_check() -> None:
    assert {rest.split(" ")[0] for rest in steps("FROM")} == {"python:${PYTHON}-slim-bookworm"}
    assert steps("USER") == ["10001:10001"]
    assert [name for name, _ in STEPS].index("USER") > max(at for at, (name, _) in enumerate(STEPS) if name == "RUN")
    assert steps("HEALTHCHECK")[0].endswith('CMD ["python", "/opt/health.py"]')
    assert steps("CMD") == ['["lstm-pipeline", "--help"]']


def test_versions_are_pinned_and_extras_exist() -> None:
    (installing,) = [rest for rest in steps("RUN") if "${EXTRAS}" in rest]
    assert "-c constraints.txt" in installing
    extras = next(rest for rest in steps("ARG") if rest.startswith("EXTRAS=")).partition("=")[2].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(known)
    assert {"ui", "celery", "kubernetes"} <= set(extras)


def test_bytecode_is_in_the_image_as_no_role_can_write_it() -> None:
    assert not re.search(r"PIP_(NO_)?COMPILE|--no-compile", " ".join(rest for _, rest in STEPS))
    assert "PYTHONDONTWRITEBYTECODE=1" in steps("ENV")[-1]


def test_nothing_is_told_to_anybody_and_no_secret_is_in_the_image() -> None:
    text = " ".join(steps("ENV"))
    assert "DAGSTER_DISABLE_TELEMETRY=1" in text
    assert "MLFLOW_DISABLE_TELEMETRY=true" in text
    assert not re.search(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY", (ROOT / "Dockerfile").read_text())


@pytest.mark.parametrize(
    ("path", "out"),
    [
        (".git", True), (".env", True), ("data/plant.csv", True), ("projects/plant.yaml", True), (".venv/bin", True),
        ("storage", True), ("lstm_pipeline_tests/conftest.py", True), ("lstm_pipeline/.env", True),
        ("lstm_pipeline/__pycache__/api.pyc", True), ("lstm_pipeline/sql/__pycache__", True),
        ("lstm_pipeline/api.py", False), ("lstm_pipeline/defs/manufacturing_forecast/defs.yaml", False),
        ("constraints.txt", False), ("docker/health.py", False), ("workspace.yaml", False),
    ],
)  # fmt: skip
def test_what_the_context_has(path: str, out: bool) -> None:
    rules = [rule for rule in (ROOT / ".dockerignore").read_text().split("\n") if rule and not rule.startswith("#")]
    assert check_image.ignored(PurePosixPath(path), rules) is out


def test_what_is_copied_is_there_and_not_ignored() -> None:
    for rest in steps("COPY"):
        if not rest.startswith("--from="):
            assert all((ROOT / name).exists() for name in rest.split(" ")[:-1]), rest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ADD a b\n", "ADD: this instruction is not known here"),
        ("FROM ubuntu:24.04\n", "expected a slim image of Python"),
        ("FROM python:$VERSION-slim-bookworm\n", "VERSION"),
    ],
)
def test_what_the_script_cannot_carry_out_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    (tmp_path / ".dockerignore").write_text("*\n")
    with pytest.raises(check_image.DockerfileError, match=message):
        check_image.Image(tmp_path, tmp_path / "stages", {}).build()


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/opt/venv/bin/python /opt/venv/bin/dagster-webserver -h 0.0.0.0 -p 3000", "web_server"),
        ("/opt/venv/bin/python /opt/venv/bin/dagster-daemon run -w workspace.yaml", "daemon"),
        ("/opt/venv/bin/python /opt/venv/bin/dagster-daemon liveness-check", None),
        ("/opt/venv/bin/python /opt/venv/bin/dagster api grpc -h 0.0.0.0 -p 4000 -m x", "code_location"),
        ("dagster code-server start -p 4000 -m x", "code_location"),
        ("/opt/venv/bin/python -m dagster api grpc --lazy-load-user-code --socket /tmp/x -m x", None),
        ("/opt/venv/bin/python /opt/venv/bin/celery -A lstm_pipeline.orchestration.celery_worker worker", "worker"),
        ("/opt/venv/bin/python -m dagster api execute_run {}", None),
        ("/opt/venv/bin/python /opt/venv/bin/lstm-pipeline run plant", None),
        ("sleep 60", None),
    ],
)
def test_roles_are_told_by_their_commands(command: str, role: str | None) -> None:
    assert health.role_of(command.split(" ")) == role


def test_a_shell_that_mentions_a_role_has_none() -> None:
    assert (
        health.role_of(["/bin/bash", "-c", "dagster-webserver -h 0.0.0.0 -p 80 -w /dagster-workspace/x.yaml"]) is None
    )


@pytest.mark.parametrize("words", ["-p 3001", "--port 3001", "--port=3001"])
def test_options(words: str) -> None:
    assert health.option(["dagster-webserver", *words.split(" ")], ("-p", "--port"), "3000") == "3001"
    assert health.option(["dagster-webserver"], ("-p", "--port"), "3000") == "3000"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/dagster/server_info" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def web() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def running(monkeypatch: pytest.MonkeyPatch, *commands: str) -> None:
    monkeypatch.setattr(health, "processes", lambda: iter([(command.split(" "), {}) for command in commands]))


def test_a_web_server_that_answers_is_healthy(
    web: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running(monkeypatch, f"dagster-webserver -p {web} -l /dagster", "sleep 60")
    assert health.main() == 0
    running(monkeypatch, f"dagster-webserver -p {web}")
    assert health.main() == 1
    assert capsys.readouterr().out == "web_server: HTTPError: HTTP Error 404: Not Found\n"


def test_a_port_where_nobody_listens_is_unhealthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = check_image.free_port()
    running(monkeypatch, f"dagster-webserver -p {port}", f"dagster api grpc -p {port} -m x")
    assert health.main() == 1
    lines = capsys.readouterr().out
    assert "web_server: URLError" in lines
    assert "code_location: _InactiveRpcError" in lines


@pytest.mark.parametrize(("serving", "status"), [(True, 0), (False, 1)])
def test_a_code_location_is_healthy_once_it_serves(serving: bool, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import grpc
    from grpc_health.v1 import health as service
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    states = health_pb2.HealthCheckResponse
    servicer = service.HealthServicer()
    servicer.set("DagsterApi", states.SERVING if serving else states.NOT_SERVING)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    running(monkeypatch, f"dagster api grpc -p {port} -m x")
    assert health.main() == status
    server.stop(None)


@pytest.mark.parametrize(("code", "said"), [(0, ""), (1, "daemon: Daemon(s) not running\n")])
def test_a_daemon_is_healthy_while_its_heart_beats(
    code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return SimpleNamespace(returncode=code, stdout="Daemon(s) not running\n", stderr="")

    monkeypatch.setattr(health.subprocess, "run", run)
    running(monkeypatch, "dagster-daemon run")
    assert health.main() == code
    assert asked == [[str(Path(sys.executable).with_name("dagster-daemon")), "liveness-check"]]
    assert capsys.readouterr().out == said


def test_a_worker_without_a_broker_is_unhealthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running(monkeypatch, "celery -A lstm_pipeline.orchestration.celery_worker worker")
    assert health.main() == 1
    assert capsys.readouterr().out.startswith("worker: ")


def test_other_commands_are_always_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, "lstm-pipeline run plant", "sleep 60")
    assert health.main() == 0


def overlays() -> bool:
    """Whether this process may mount one, as root may on Linux unless it is in a container."""
    probe = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/m"
    mount = "mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m"
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([unshare, "-m", "sh", "-c", f"{probe} && {mount}"]).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the image has Python 3.11")
def test_the_image_builds_and_every_role_is_healthy(tmp_path: Path) -> None:
    if not overlays():
        pytest.skip("this machine lets nobody mount an overlay")
    command = [sys.executable, str(ROOT / "examples/kubernetes/check_image.py")]
    port = check_image.free_port()
    redis = shutil.which("redis-server")
    broker = subprocess.Popen([redis, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]) if redis else None
    try:
        if broker is not None:
            command += ["--broker", f"redis://127.0.0.1:{port}/0"]
            for _ in range(100):
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    finally:
        if broker is not None:
            broker.kill()
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("the image builds, and every role is healthy\n")
    healthy = re.findall(r"^(.+): healthy after \d+ s, as user 10001$", done.stdout, re.MULTILINE)
    expected = ["code location", "web server", "daemon", *(["worker"] if redis else []), "another command"]
    assert healthy == expected
