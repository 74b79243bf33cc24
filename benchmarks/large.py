"""A thousand groups in one project: what each thing a user does with it takes, from a fresh process.

    python -m benchmarks.large [--groups 100 300 1000] [--folder FOLDER] [--json FILE]

A simulated plant of so many groups of five features (see `benchmarks.large_plant`), with an untrained model for every
group: nothing here depends on what a network has learned. Seconds are wall time of a fresh process, start of
Python and import of TensorFlow included; memory is the most that the process held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import Target, conclude, machine
from benchmarks.large_plant import AS_OF, store_candidates, write_plant

COMMAND = [sys.executable, "-m", "lstm_pipeline.cli"]
LOCATION = "from lstm_pipeline.definitions import defs; defs().get_repository_def()"
TARGETS = {"code location": 5.0, "validate": 10.0, "publish": 120.0, "forecast": 120.0}
MOST_MEMORY = 4000.0


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds of wall time, and the most megabytes (10**6 bytes) that its process held."""

    groups: int
    what: str
    seconds: float
    megabytes: float


def commands(spec: Path) -> dict[str, list[str]]:
    """What is measured, in this order: a version is published before it forecasts."""
    return {
        "code location": [sys.executable, "-c", LOCATION],
        "validate": [*COMMAND, "validate", str(spec)],
        "publish": [sys.executable, "-m", "benchmarks.large", "--publish", str(spec)],
        "forecast": [*COMMAND, "run", str(spec), "--only", "predict", "--as-of", AS_OF.isoformat()],
    }


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and megabytes of a command."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if os.waitstatus_to_exitcode(status):
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{output.read().decode()[-3000:]}")
    return seconds, used.ru_maxrss * 1024 / 1e6


def publish_here(spec: Path) -> None:
    """Publishes the candidates of all groups, as the asset `model_metadata` does."""
    from lstm_pipeline.forecasting import publish
    from lstm_pipeline.projects import load_project, training_input

    project = load_project(spec)
    publish(project, training_input(project, AS_OF), {}, run_id="22222222-0000-0000-0000-000000000000")


def candidates_here(spec: Path, storage: str) -> None:
    """Stores a candidate for every group."""
    from lstm_pipeline.projects import load_project

    store_candidates(load_project(spec, storage=storage), "11111111-0000-0000-0000-000000000000")


def costs(folder: Path, groups: int) -> list[Cost]:
    """Everything with so many groups."""
    projects = folder / f"projects{groups}"
    spec = write_plant(projects, groups)
    storage = folder / f"storage{groups}"
    subprocess.run(  # elsewhere: a process inherits the peak of the one that starts it
        [sys.executable, "-m", "benchmarks.large", "--candidates", str(spec), str(storage)], check=True
    )
    environment = {
        **os.environ,
        "LSTM_PIPELINE_PROJECTS": str(projects),
        "LSTM_PIPELINE_STORAGE": str(storage),
        "DAGSTER_HOME": str(folder / f"home{groups}"),
    }
    found = []
    for what, command in commands(spec).items():
        found.append(Cost(groups, what, *measured(command, environment)))
        print(f"{groups:>6,} {what:<15} {found[-1].seconds:>8.1f} s {found[-1].megabytes:>8,.0f} MB", flush=True)
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--groups", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--folder", type=Path, help="where everything is written and left; by default it is removed")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--publish", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--candidates", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.candidates:
        candidates_here(Path(given.candidates[0]), given.candidates[1])
        return
    if given.publish:
        publish_here(given.publish)
        return
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        found = [cost for groups in given.groups for cost in costs(given.folder or Path(temporary), groups)]
    most = max(given.groups)
    largest: dict[str, Any] = {cost.what: cost for cost in found if cost.groups == most}
    targets = [
        Target(f"{what}, {most} groups, seconds", largest[what].seconds, bound, at_most=True)
        for what, bound in TARGETS.items()
    ]
    targets.append(Target(f"forecast, {most} groups, MB", largest["forecast"].megabytes, MOST_MEMORY, at_most=True))
    conclude([asdict(cost) for cost in found], targets, given.json)


if __name__ == "__main__":
    main()
