"""Whether this container is healthy. The role is told by the commands that run in it; exit status 0 is healthy.

    python health.py

| what runs                                  | healthy when                                    |
| ------------------------------------------ | ----------------------------------------------- |
| `dagster-webserver`                        | it answers `/server_info`                       |
| `dagster api grpc`, `dagster code-server`  | its gRPC health service says SERVING            |
| `dagster-daemon run`                       | every daemon has sent a heartbeat lately        |
| a Celery worker                            | it answers a ping over the broker               |
| anything else                              | always: a command ends when it is done          |
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

SECONDS = 10.0
"""How long a role may take to answer."""


def option(command: list[str], names: tuple[str, ...], default: str) -> str:
    """The value of an option of a command line, written `-p 3000`, `--port 3000` or `--port=3000`."""
    for position, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else command[position + 1]
    return default


def web_server(command: list[str], environment: Mapping[str, str]) -> str | None:
    """What is wrong with the web server; None: nothing."""
    port = option(command, ("-p", "--port"), environment.get("DAGSTER_WEBSERVER_PORT", "3000"))
    prefix = option(command, ("-l", "--path-prefix"), environment.get("DAGSTER_WEBSERVER_PATH_PREFIX", ""))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is behind no proxy
    with direct.open(f"http://127.0.0.1:{port}{prefix}/server_info", timeout=SECONDS) as answer:
        return None if answer.status == 200 else f"status {answer.status}"


def code_location(command: list[str], environment: Mapping[str, str]) -> str | None:
    """What is wrong with the gRPC server of a code location; None: nothing."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    port = option(command, ("-p", "--port"), environment.get("DAGSTER_GRPC_PORT", "4000"))
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        request = health_pb2.HealthCheckRequest(service="DagsterApi")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=SECONDS)
    return None if answer.status == health_pb2.HealthCheckResponse.SERVING else f"status {answer.status}"


def daemon(command: list[str], environment: Mapping[str, str]) -> str | None:
    """What is wrong with the daemon, by the heartbeats in Dagster's storage; None: nothing."""
    # three seconds of processor time, as it loads Dagster's settings: on a busy machine, many times that
    check = [str(Path(sys.executable).with_name("dagster-daemon")), "liveness-check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=5 * SECONDS, check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip()


def worker(command: list[str], environment: Mapping[str, str]) -> str | None:
    """What is wrong with the Celery worker; None: nothing."""
    from celery import Celery
    from celery.utils.nodenames import default_nodename, host_format

    name = host_format(default_nodename(option(command, ("-n", "--hostname"), "")))
    app = Celery(broker=environment["CELERY_BROKER_URL"])
    return None if app.control.ping(destination=[name], timeout=SECONDS) else f"worker {name} does not answer"


def processes() -> Iterator[tuple[list[str], dict[str, str]]]:
    """Command line and environment of every process of this container that can be read."""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda folder: int(folder.name)):  # parents first
        try:
            command, settings = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:  # it has ended, or it is somebody else's
            continue
        pairs = [entry.partition("=") for entry in settings.decode(errors="replace").split("\0") if "=" in entry]
        yield command.decode(errors="replace").rstrip("\0").split("\0"), {name: value for name, _, value in pairs}


def role_of(command: list[str]) -> str | None:
    """The role that a command line has; None: it has none that can be asked."""
    words = [Path(word).name for word in command[:5]]  # the interpreter, perhaps, then the program
    if "dagster-webserver" in words:
        return "web_server"
    if "dagster-daemon" in words and "run" in command:
        return "daemon"
    if (
        "dagster" in words
        and not {"-s", "--socket"} & set(command)
        and ({"api", "grpc"} <= set(command) or {"code-server", "start"} <= set(command))
    ):
        return "code_location"
    if "celery" in words and "worker" in command:
        return "worker"
    return None


CHECKS = {"web_server": web_server, "code_location": code_location, "daemon": daemon, "worker": worker}


def main() -> int:
    """Asks every role that runs here, prints what is wrong, and returns the exit status."""
    status = 0
    asked: set[str] = set()
    for command, environment in processes():
        role = role_of(command)
        if role is None or role in asked:
            continue
        asked.add(role)
        try:
            wrong = CHECKS[role](command, environment)
        except Exception as error:  # whatever it is, the role cannot be asked
            wrong = f"{type(error).__name__}: {error}"
        if wrong is not None:
            print(f"{role}: {wrong}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
