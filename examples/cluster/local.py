"""A cluster on loopback without containers: what compose.yaml describes, from the programs of this machine.

`make cluster`, the test of killed workers and `benchmarks.cluster` use it:

    python -m examples.cluster.local start                servers, Dagster, two workers
    python -m examples.cluster.local materialize PROJECT/ASSET ...
    python -m examples.cluster.local back-fill PROJECT    every group in runs of its own, published once
    python -m examples.cluster.local kill-worker 1        as `kill -9` does
    python -m examples.cluster.local start-worker 1
    python -m examples.cluster.local environment          what a shell needs to look at it
    python -m examples.cluster.local stop

Everything is kept in `.cluster/`, with passwords that are made up there and are good for nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from examples.cluster.asking import Dagster
from examples.cluster.ports import LOOPBACK, answers, connects, free_port, is_free
from examples.cluster.processes import ClusterError, Processes, alone
from examples.cluster.programs import BINARIES, missing_programs, postgres_user, program

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORKER_APP = "lstm_pipeline.orchestration.celery_worker"
SERVERS = ("redis", "postgres", "s3")
CHANGING = ("start", "stop", "remove", "start-worker")
"""Commands of which one at a time is carried out."""


@dataclass
class LocalCluster(Dagster):
    """Its processes, and what is known about them.

    Attributes:
        folder: where everything is kept.
        workers: how many workers `start` starts.
        variables: set for Dagster's processes and the workers, over what `environment` has otherwise.
        modules: what workers import besides the pipeline.
        ports: name → port, where it matters; the others are free ones. Names: redis, postgres, s3, code, ui.
    """

    folder: Path
    workers: int = 2
    variables: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    modules: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.processes = Processes(self.folder)

    @cached_property
    def state(self) -> dict[str, Any]:
        """Ports, passwords and the database's folder: made at the first start, and kept for the next one."""
        file = self.folder / "state.json"
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text())
            return found
        chosen: dict[str, int] = {}
        for name in (*SERVERS, "code", "ui"):
            chosen[name] = self.ports.get(name) or free_port(chosen.values())
        made = {
            "ports": chosen,
            "passwords": {name: secrets.token_hex(16) for name in SERVERS},
            "database": str(self._database_folder()),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._keep(made)
        return made

    def _keep(self, state: Mapping[str, Any]) -> None:
        part = self.folder / "state.part"
        part.touch(mode=0o600)
        part.write_text(json.dumps(state, indent=1))
        part.replace(self.folder / "state.json")

    def _database_folder(self) -> Path:
        """PostgreSQL refuses root, and the user that it then runs as may not be able to look into our folder."""
        if os.getuid() != 0:
            return self.folder / "postgres"
        made = Path(tempfile.mkdtemp(prefix="lstm-pipeline-postgres-"))
        shutil.chown(made, postgres_user(), postgres_user())
        return made

    @property
    def ui(self) -> str:
        """Dagster's UI."""
        return f"http://{LOOPBACK}:{self.state['ports']['ui']}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `dagster.yaml`, `workspace.yaml` and the pipeline read."""
        ports, passwords = self.state["ports"], self.state["passwords"]
        broker = f"redis://:{passwords['redis']}@{LOOPBACK}:{ports['redis']}/0"
        return {
            "DAGSTER_HOME": str(self.folder / "dagster_home"),
            "DAGSTER_PG_HOST": LOOPBACK,
            "DAGSTER_PG_PORT": str(ports["postgres"]),
            "DAGSTER_PG_USERNAME": "dagster",
            "DAGSTER_PG_PASSWORD": passwords["postgres"],
            "DAGSTER_PG_DB": "postgres",
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": broker,
            "LSTM_PIPELINE_CODE_HOST": LOOPBACK,
            "LSTM_PIPELINE_CODE_PORT": str(ports["code"]),
            "LSTM_PIPELINE_STORAGE": "s3://lstm-pipeline",
            "LSTM_PIPELINE_LOG_BUCKET": "logs",
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{ports['s3']}",
            "AWS_ACCESS_KEY_ID": "lstm-pipeline",
            "AWS_SECRET_ACCESS_KEY": passwords["s3"],
            "AWS_DEFAULT_REGION": "us-east-1",
            # stores other than AWS
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            **self.variables,
        }

    def start(self) -> None:
        """Starts everything that is not running, and waits until it is healthy.

        Raises:
            ClusterError: it runs already, a program is missing, one of them does not start, or its port is taken.
        """
        missing = missing_programs()
        if missing:
            raise ClusterError(missing)
        parts = [*SERVERS, "code", "daemon", "webserver", *(f"worker{number}" for number in range(1, self.workers + 1))]
        running = [name for name in self.processes.listed() if self.processes.alive(name)]
        if set(parts) <= set(running):
            raise ClusterError(f"it runs already ({', '.join(running)}): {self.ui}; `make cluster-stop` ends it")
        self._leave_taken_ports(move=not running)
        try:
            self._start_servers()
            self._start_dagster()
        except BaseException:
            if not running:
                self.stop()
            raise

    def stop(self) -> None:
        """Ends every process of the cluster, the servers last. What they have stored stays in the folder."""
        listed = list(self.processes.listed())
        self.processes.stop([name for name in listed if name not in SERVERS])
        self.processes.stop([name for name in listed if name in SERVERS])

    def kill_worker(self, number: int) -> None:
        """`kill -9` of a worker and the process in which it carries out a run."""
        self.processes.kill(f"worker{number}")

    def start_worker(self, number: int, *, wait: bool = True) -> None:
        """Starts a worker, also one of the name of a dead one."""
        name = f"worker{number}"
        if self.processes.alive(name):
            raise ClusterError(f"{name} is running")
        celery = str(BINARIES / "celery")
        options = ["-A", WORKER_APP, "worker", "--hostname", f"{name}@%h", "--loglevel", "INFO"]
        options += ["--include", ",".join(self.modules)] if self.modules else []
        self.processes.start(name, [celery, *options], self._everything)
        if wait:
            self.processes.wait_until(lambda: self._worker_answers(name), name)

    def remove(self) -> None:
        """Removes what a stopped cluster has stored."""
        database = Path(self.state["database"])
        shutil.rmtree(database, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _everything(self) -> dict[str, str]:
        """The environment of the processes."""
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DAGSTER_"))}
        own = {"PYTHONPATH": path, "TMPDIR": str(self.folder / "tmp")}  # output of runs, on its way to S3
        return {**inherited, **own, **self.environment}

    def _leave_taken_ports(self, *, move: bool) -> None:
        """A port that another program has taken since the last start is given up for a free one.

        Whoever answers there would be taken for a part of the cluster.

        Args:
            move: whether nothing runs that knows the ports.
        """
        ports = self.state["ports"]
        for name, port in list(ports.items()):
            if self.processes.alive({"ui": "webserver"}.get(name, name)) or is_free(port):
                continue
            if not move or name in self.ports:
                raise ClusterError(
                    f"port {port} of {name} is taken by another program: end that, or call `make cluster-stop "
                    "cluster`, which takes another port"
                )
            ports[name] = free_port(ports.values())
            print(f"Port {port} of {name} is taken by another program; it is {ports[name]} now.", flush=True)
        self._keep(self.state)

    def _ensure(self, name: str, command: Sequence[str], variables: Mapping[str, str], user: str | None = None) -> None:
        """Starts a part that is not running."""
        if not self.processes.alive(name):
            self.processes.start(name, command, variables, user)

    def _start_servers(self) -> None:
        ports, passwords = self.state["ports"], self.state["passwords"]
        plain = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        self.folder.mkdir(parents=True, exist_ok=True)
        for bucket in ("lstm-pipeline", "logs"):
            (self.folder / "s3" / bucket).mkdir(parents=True, exist_ok=True)
        settings = self.folder / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f"bind {LOOPBACK}\nport {ports['redis']}\nrequirepass {passwords['redis']}\n"
            f"dir {self.folder}\nappendonly yes\nsave ''\n"
        )
        self._ensure("redis", [program("redis-server") or "", str(settings)], plain)
        rclone = [str(BINARIES / "rclone"), "serve", "s3", "--addr", f"{LOOPBACK}:{ports['s3']}"]
        keys = {"RCLONE_AUTH_KEY": f'"lstm-pipeline,{passwords["s3"]}"', "RCLONE_CONFIG": str(self.folder / "none")}
        self._ensure("s3", [*rclone, str(self.folder / "s3")], {**plain, **keys})
        self._start_postgres(plain)
        self.processes.wait_until(lambda: connects(ports["redis"]), "redis")
        self.processes.wait_until(lambda: answers(f"http://{LOOPBACK}:{ports['s3']}"), "s3")
        self.processes.wait_until(self._database_answers, "postgres")

    def _start_postgres(self, plain: Mapping[str, str]) -> None:
        folder = Path(self.state["database"])
        user = postgres_user() if os.getuid() == 0 else None
        data = folder / "data"
        if not (data / "PG_VERSION").exists():
            folder.mkdir(parents=True, exist_ok=True)
            words = folder / "password"
            words.touch(mode=0o600)
            words.write_text(self.state["passwords"]["postgres"])
            if user:
                shutil.chown(words, user, user)
            command = [program("initdb") or "", "-D", str(data), "-U", "dagster", "--auth", "scram-sha-256"]
            command += [f"--pwfile={words}", "--no-sync", "--encoding", "UTF8", "--locale", "C"]
            made = subprocess.run(
                command, cwd="/", env=dict(plain), user=user, group=user, capture_output=True, text=True, check=False
            )
            words.unlink()
            if made.returncode:
                raise ClusterError(f"initdb failed: {made.stderr[-2000:]}")
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.state["ports"]["postgres"]),
            "unix_socket_directories": "",
            "fsync": "off",  # a cluster to try out
            "max_connections": "200",
        }
        set_options = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._ensure("postgres", [program("postgres") or "", "-D", str(data), *set_options], plain, user)

    def _start_dagster(self) -> None:
        home = Path(self.environment["DAGSTER_HOME"])
        for folder in (home, self.folder / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "dagster.yaml", home / "dagster.yaml")
        everything, workspace = self._everything, str(HERE / "workspace.yaml")
        code = ["api", "grpc", "-m", "lstm_pipeline.definitions", "-h", LOOPBACK, "-p"]
        port = str(self.state["ports"]["code"])
        self._ensure("code", [str(BINARIES / "dagster"), *code, port], everything)
        # the tables, before several processes want to make them
        made = subprocess.run(
            [str(BINARIES / "dagster"), "instance", "info"], env=everything, capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise ClusterError(f"Dagster's tables cannot be made:\n{made.stderr[-2000:]}")
        for number in range(1, self.workers + 1):
            if not self.processes.alive(f"worker{number}"):
                self.start_worker(number, wait=False)
        self.processes.wait_until(lambda: connects(int(port)), "code")
        self._ensure("daemon", [str(BINARIES / "dagster-daemon"), "run", "-w", workspace], everything)
        web = [str(BINARIES / "dagster-webserver"), "-w", workspace, "-h", LOOPBACK, "-p", self.ui.rpartition(":")[2]]
        self._ensure("webserver", web, everything)
        self.processes.wait_until(lambda: answers(f"{self.ui}/server_info"), "webserver")
        for number in range(1, self.workers + 1):
            self.processes.wait_until(lambda number=number: self._worker_answers(f"worker{number}"), f"worker{number}")  # type: ignore[misc]
        self.processes.wait_until(self._daemon_is_healthy, "daemon")

    def _daemon_is_healthy(self) -> bool:
        query = "{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }"
        statuses = self.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses if status["required"])

    def _worker_answers(self, name: str) -> bool:
        from celery import Celery

        with Celery(broker=self.environment["CELERY_BROKER_URL"]) as app:
            answers = app.control.ping(destination=[f"{name}@{socket.gethostname()}"], timeout=1)
        return bool(answers)

    def _database_answers(self) -> bool:
        import psycopg2

        at = self.environment
        try:
            psycopg2.connect(
                host=LOOPBACK,
                port=at["DAGSTER_PG_PORT"],
                user=at["DAGSTER_PG_USERNAME"],
                password=at["DAGSTER_PG_PASSWORD"],
                dbname=at["DAGSTER_PG_DB"],
            ).close()
        except psycopg2.OperationalError:
            return False
        return True


def main(arguments: Sequence[str] | None = None) -> None:
    """The commands."""
    parser = argparse.ArgumentParser(prog="python -m examples.cluster.local", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(".cluster"))
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start")
    starting.add_argument("--workers", type=int, default=2)
    for name in ("stop", "remove", "environment"):
        commands.add_parser(name)
    commands.add_parser("materialize").add_argument("assets", nargs="+", metavar="PROJECT/ASSET")
    commands.add_parser("back-fill").add_argument("project")
    for name in ("kill-worker", "start-worker"):
        commands.add_parser(name).add_argument("number", type=int)
    given = parser.parse_args(arguments)
    cluster = LocalCluster(given.folder, getattr(given, "workers", 2), ports={"ui": 3000} if is_free(3000) else {})
    try:
        changes = given.command == "start" or (given.command in CHANGING and cluster.folder.exists())
        with alone(cluster.folder) if changes else nullcontext():
            _carry_out(cluster, given)
    except ClusterError as error:
        sys.exit(f"Error: {error}")


def _carry_out(cluster: LocalCluster, given: argparse.Namespace) -> None:
    command = given.command
    if command != "start" and not (cluster.folder / "state.json").exists():
        raise ClusterError(f"there is no cluster in {cluster.folder}: `make cluster` starts one")
    if command == "start":
        began = time.monotonic()
        cluster.start()
        print(f"The cluster runs after {time.monotonic() - began:.0f} s: {cluster.ui}")
        print(f"Logs: {given.folder}/logs. To try next: examples/cluster/README.md. To end it: make cluster-stop")
    elif command == "stop":
        names = list(cluster.processes.listed())
        print(f"Ending {', '.join(names)} …" if names else "Nothing runs.", flush=True)
        cluster.stop()
    elif command == "remove":
        cluster.stop()
        cluster.remove()
        print(f"Removed {cluster.folder}.")
    elif command == "environment":
        for name, value in cluster.environment.items():
            print(f"export {name}={shlex.quote(value)}")
    elif command == "materialize":
        print(cluster.materialized([asset.split("/") for asset in given.assets]))
    elif command == "back-fill":
        print(cluster.back_filled(given.project))
    elif command == "kill-worker":
        cluster.kill_worker(given.number)
        print(f"worker{given.number} is killed; a run that it had is failed and retried within a minute.")
    else:
        cluster.start_worker(given.number)
        print(f"worker{given.number} takes runs.")


if __name__ == "__main__":
    main()
