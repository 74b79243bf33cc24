"""A code server and a daemon of Dagster's as processes of their own, which a test starts, kills and stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

SETTINGS = {
    "telemetry": {"enabled": False},
    "run_coordinator": {
        "module": "lstm_pipeline.orchestration.coordinator",
        "class": "TaggingRunCoordinator",
        "config": {
            "max_concurrent_runs": 3,
            "dequeue_interval_seconds": 1,
            "tag_concurrency_limits": [
                {"key": "lstm_pipeline/training", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
            ],
        },
    },
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Deployment:
    """One code server, and a daemon that can be killed and started again."""

    folder: Path
    module: str
    variables: dict[str, str]
    settings: Mapping[str, Any]
    port: int = field(default_factory=free_port)
    daemon: subprocess.Popen[bytes] | None = None
    server: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "dagster_home"

    def prepare(self) -> None:
        self.home.mkdir(parents=True)
        (self.home / "dagster.yaml").write_text(yaml.safe_dump({**SETTINGS, **self.settings}))
        server = {"host": "127.0.0.1", "port": self.port, "location_name": "here"}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))

    def started(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        root = Path(__file__).parents[2]
        environment = {**os.environ, **self.variables, "DAGSTER_HOME": str(self.home), "PYTHONPATH": str(root)}
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(Path(sys.executable).with_name(arguments[0])), *arguments[1:]],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def serve(self) -> None:
        self.server = self.started("server", "dagster", "api", "grpc", "-m", self.module, "-p", str(self.port))
        wait_until(self._answers, 120, "the code server answers")

    def _answers(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, "the code server has ended"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def run_daemon(self) -> None:
        self.daemon = self.started("daemon", "dagster-daemon", "run", "-w", "workspace.yaml")

    def launch(self, job: str) -> None:
        """Asks for a run of a job, as a person does at the command line: the daemon starts it."""
        process = self.started("launch", "dagster", "job", "launch", "-w", "workspace.yaml", "-j", job)
        assert process.wait(180) == 0

    def kill_daemon(self) -> None:
        """As `kill -9` does: nothing is tidied up."""
        assert self.daemon is not None
        os.kill(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait(30)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.home)) as found:
            yield found

    def runs(self, job: str | None = None) -> list[dg.DagsterRun]:
        with self.instance() as found:
            return list(found.get_runs(dg.RunsFilter(job_name=job)))

    def told(self) -> str:
        """The ends of the logs, for a failing test."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))


@contextmanager
def deployment(
    folder: Path, module: str, settings: Mapping[str, Any] | None = None, **variables: str
) -> Iterator[Deployment]:
    """A deployment with its daemon running; both processes are gone afterwards.

    Args:
        settings: of Dagster, beside `SETTINGS`.
        variables: of the processes' environment.
    """
    found = Deployment(folder, module, variables, settings or {})
    found.prepare()
    try:
        found.serve()
        found.run_daemon()
        yield found
    except BaseException:
        print(found.told())
        raise
    finally:
        for process in (found.daemon, found.server):
            if process is not None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(20)


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every: float = 0.05) -> None:
    """Asks `every` so many seconds. The seconds to wait are for a busy machine: a quiet one needs a small part."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(every)
    raise AssertionError(f"waited {seconds:g} s in vain until {what}")
