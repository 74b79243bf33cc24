"""The cluster on this machine: `python -m examples.cluster --help`. `make cluster` and `make cluster-stop` call it."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from examples.cluster.local import BINARIES, LocalCluster, connects
from examples.cluster.processes import ClusterError

USUAL_PORT = 3000


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    made = argparse.ArgumentParser(prog="python -m examples.cluster", description="A cluster on this machine.")
    made.add_argument("--folder", type=Path, default=Path(".cluster"), help="where it is kept (default: .cluster)")
    commands = made.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start servers, Dagster and workers")
    starting.add_argument("--workers", type=int, default=2)
    commands.add_parser("stop", help="end all processes; what they have stored stays")
    commands.add_parser("remove", help="end them and remove what they have stored")
    running = commands.add_parser("run", help="run a command with the variables that name the cluster's servers")
    running.add_argument("words", nargs=argparse.REMAINDER, help="the command")
    commands.add_parser("environment", help="print those variables for a shell")
    for name, help_text in (("kill-worker", "kill -9 of a worker"), ("start-worker", "start a worker")):
        commands.add_parser(name, help=help_text).add_argument("number", type=int)
    return made


def start(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """Starts it and says where it is."""
    began = time.monotonic()
    cluster.start()
    print(f"The cluster runs after {time.monotonic() - began:.0f} s: {cluster.ui}")
    print(f"Processes and logs: {given.folder}/. What to try next: examples/cluster/README.md. End it with:")
    print("  make cluster-stop")


def stop(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """Ends it and says what was ended."""
    names = list(cluster.processes.listed())
    if names:
        print("Ending; a worker carries its run out first, for 20 s at most.")
    cluster.stop()
    print(f"Ended: {', '.join(names)}." if names else "Nothing runs.")


def remove(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """Ends it and removes its folder."""
    cluster.stop()
    cluster.remove()


def environment(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """Prints the variables."""
    for name, value in cluster.environment.items():
        print(f"export {name}={shlex.quote(value)}")


def run(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """Runs a command; the package's own commands need no path."""
    path = os.pathsep.join([str(BINARIES), os.environ.get("PATH", "")])
    variables = {**os.environ, "PATH": path, **cluster.environment}
    sys.exit(subprocess.run(["/usr/bin/env", *given.words], env=variables, check=False).returncode)


def kill_worker(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """As `kill -9` does."""
    cluster.kill_worker(given.number)


def start_worker(cluster: LocalCluster, given: argparse.Namespace) -> None:
    """Starts one, and waits until it answers."""
    cluster.start_worker(given.number)


COMMANDS: dict[str, Callable[[LocalCluster, argparse.Namespace], None]] = {
    "start": start,
    "stop": stop,
    "remove": remove,
    "environment": environment,
    "run": run,
    "kill-worker": kill_worker,
    "start-worker": start_worker,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Carries out one command."""
    given = parser().parse_args(arguments)
    ports = {} if connects(USUAL_PORT) else {"ui": USUAL_PORT}
    inherited = ("LSTM_PIPELINE_PROJECTS",)
    variables = {name: os.environ[name] for name in inherited if name in os.environ}
    cluster = LocalCluster(given.folder, getattr(given, "workers", 2), variables, ports)
    try:
        if given.command != "start" and not (cluster.folder / "state.json").exists():
            raise ClusterError(f"there is no cluster in {cluster.folder}: `make cluster` starts one")
        COMMANDS[given.command](cluster, given)
    except ClusterError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
