"""How much of its workers' time a cluster spends on training: back-fills on two workers of one core each.

    python -m benchmarks.cluster [--groups 1 10 100 1000] [--seconds 10] [--json FILE]

Needs what `make cluster` needs. A plant of so many groups of one feature is trained by a back-fill, as the UI starts
it, on two Celery workers with a core each; everything else of the cluster (Redis, Postgres, S3, webserver, daemon, code
location) runs on the same two cores. Epochs are chosen so that a group takes about so many seconds.

    efficiency = seconds of training / (workers × wall time of the back-fill)

Three kinds of seconds are shown: those in the runs from the input to the stored candidates (which is what the target
means: two busy cores of one machine slow each other down, and that is no fault of the orchestration), those of the
epochs alone (without building and compiling a network, scoring, storing and drawing it), and those that the groups
would take one after the other in a plain process on one core of an idle machine.

The wall time ends when Dagster marks the back-fill as complete. Its daemon looks every 30 seconds, when all models may
have been there for a while; the efficiency until the last run has ended is shown beside.

Each number of groups is trained with packing, and up to `--unpacked` groups also with one run a group. Parts: where the
workers' time went, as the runs' events say; together they are all of it (workers × wall time). A simulation of more
workers from these times follows: runs are handed to the next free worker, as the daemon does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import Target, conclude, machine
from benchmarks.large_plant import AS_OF, group_names, write_plant
from benchmarks.process import in_fresh_process
from examples.cluster.local import LocalCluster
from lstm_pipeline.forecasting.costs import runs_of, wall_time

WORKERS, ROWS, TRIED = 2, 1000, 4
SIMULATED = (2, 4, 8, 16, 32, 64)
MOST_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Part:
    """Where the seconds of all workers went: together they are the wall time of the back-fill times the workers.

    Attributes:
        noticed: until the daemon saw the request and made the first run; it looks every 30 seconds.
        idle: without a run: the queue had not given them the next one yet, or there was none left.
        started, loaded, trained, ended: sums over runs, from the launch to the run's last event.
        marked: until the daemon saw that the last run had ended.
    """

    noticed: float
    idle: float
    started: float
    loaded: float
    trained: float
    ended: float
    marked: float


@dataclass(frozen=True)
class Result:
    """One back-fill.

    Attributes:
        alone: seconds that a group's training takes in a plain process.
        epochs: seconds of all groups' epochs, as their records say.
        wall: seconds from the request to the end of the back-fill.
    """

    groups: int
    packed: bool
    runs: int
    alone: float
    epochs: float
    wall: float
    parts: Part

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that is training."""
        return self.parts.trained / (WORKERS * self.wall)

    @property
    def until_done(self) -> float:
        """The same, until the last run has ended: what follows is the wait for the daemon's next look."""
        return self.parts.trained / (WORKERS * self.wall - self.parts.marked)


@contextmanager
def one_core(number: int) -> Iterator[None]:
    """Processes started within have one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[number % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


# --- a group alone ---------------------------------------------------------------------------------------------------


def alone_here(spec: Path) -> dict[str, float]:
    """Trains a few groups one after the other: seconds of the first one, and the median of the others."""
    from lstm_pipeline.forecasting import TrainingRun, build_dataset, train_groups
    from lstm_pipeline.projects import load_project, training_input

    with tempfile.TemporaryDirectory() as folder:
        project = load_project(spec, storage=folder)
        step = project.spec.training
        dataset = build_dataset(training_input(project, AS_OF), step, project.spec.timezone)
        run = TrainingRun(dataset, step, project.registry, project.spec.prediction.forecast_horizon, "alone")
        seconds = []
        for group in list(project.groups)[:TRIED]:
            began = time.perf_counter()
            train_groups(run, [group])
            seconds.append(time.perf_counter() - began)
    return {"first": seconds[0], "others": median(seconds[1:] or seconds)}


def alone(spec: Path) -> float:
    """Seconds of a group in a fresh process on one core."""
    with one_core(0):
        return float(in_fresh_process("benchmarks.cluster", "--alone", str(spec))["others"])


def plant(folder: Path, groups: int, seconds: float, groups_per_run: int | None) -> tuple[Path, float]:
    """A plant whose groups take about so many seconds, and how many they take."""

    def written(epochs: int) -> Path:
        step: dict[str, Any] = {"epochs": epochs, "patience": epochs}
        if groups_per_run is not None:
            step["groups_per_run"] = groups_per_run
        return write_plant(folder, groups, 1, ROWS, name=f"plant{groups}", step=step)

    few, many = alone(written(2)), alone(written(12))
    epoch = max((many - few) / 10, 1e-3)
    path = written(max(1, round((seconds - few) / epoch) + 2))
    return path, alone(path)


# --- a back-fill -----------------------------------------------------------------------------------------------------


def back_filled(groups: int, seconds: float, *, packed: bool) -> Result:
    """A cluster is started, a back-fill of all groups is carried out, and the cluster is ended."""
    with tempfile.TemporaryDirectory(prefix="cluster-benchmark-") as folder:
        projects = Path(folder, "projects")
        spec, single = plant(projects, groups, seconds, None if packed else 1)
        cluster = LocalCluster(Path(folder, "cluster"), 0, {"LSTM_PIPELINE_PROJECTS": str(projects)})
        try:
            cluster.start()
            for number in range(1, WORKERS + 1):
                with one_core(number - 1):
                    cluster.start_worker(number)
            _clean(cluster, spec.stem)
            began = time.time()  # as events have it
            name = cluster.back_fill(spec.stem, group_names(groups))
            while (status := cluster.back_fill_status(name)) not in ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED"):
                if time.time() - began > MOST_SECONDS:
                    raise RuntimeError("the back-fill takes too long")
                time.sleep(0.5)
            ended = time.time()
            if status != "COMPLETED_SUCCESS":
                raise RuntimeError(f"the back-fill ended as {status}")
            runs, parts = _parts(cluster, name, began, ended)
            return Result(groups, packed, runs, single, _epochs(cluster), ended - began, parts)
        finally:
            cluster.stop()
            cluster.remove()


def _clean(cluster: LocalCluster, project: str) -> None:
    """Materialises the project's input, which is not part of what is measured."""
    program = str(Path(sys.executable).parent / "dagster")
    selected = ["--select", f"{project}/cleaned_data"]
    command = [program, "asset", "materialize", "-m", "lstm_pipeline.definitions", *selected]
    subprocess.run(command, env={**os.environ, **cluster.environment}, check=True, capture_output=True)


def _epochs(cluster: LocalCluster) -> float:
    """Seconds that the candidates' records state for their epochs. The S3 server keeps its objects as files."""
    records = (cluster.folder / "s3").rglob("candidates/*/*/metadata.json")
    return sum(json.loads(path.read_text())["metadata"]["training"]["seconds"] for path in records)


_EVENTS = """query($filter: RunsFilter!, $cursor: String) { runsOrError(filter: $filter, cursor: $cursor, limit: 100) {
  ... on Runs { results { runId creationTime eventConnection(limit: 1000) { events {
    __typename ... on MessageEvent { timestamp message } } } } } } }"""


def _parts(cluster: LocalCluster, back_fill: str, began: float, ended: float) -> tuple[int, Part]:
    """Number of runs, and where the workers' time went between two moments."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = cluster.ask(_EVENTS, filter={"tags": [{"key": "dagster/backfill", "value": back_fill}]}, cursor=cursor)
        page = answer["runsOrError"]["results"]
        found += page
        if len(page) < 100:
            break
        cursor = page[-1]["runId"]
    sums, made, over = [0.0] * 4, ended, began
    for run in found:
        times = {}
        for event in run["eventConnection"]["events"]:
            times.setdefault(event["__typename"], int(event["timestamp"]) / 1000)
        moments = [
            times["RunStartingEvent"],
            times["RunStartEvent"],
            times["LoadedInputEvent"],
            times["ExecutionStepSuccessEvent"],
            times["RunSuccessEvent"],
        ]
        sums = [total + later - earlier for total, earlier, later in zip(sums, moments, moments[1:], strict=False)]
        made, over = min(made, run["creationTime"]), max(over, moments[-1])
    idle = WORKERS * (over - made) - sum(sums)
    return len(found), Part(WORKERS * (made - began), idle, *sums, WORKERS * (ended - over))


# --- more workers ----------------------------------------------------------------------------------------------------


def simulated(workers: int, groups: int, groups_per_run: int, seconds: float, overhead: float) -> float:
    """Efficiency of so many workers: every run costs its overhead, and the next one goes to the first free worker."""
    wall = wall_time(runs_of(groups, groups_per_run), workers, overhead, seconds)
    return groups * seconds / (workers * wall)


def _table(results: Sequence[Result]) -> None:
    print(
        f"{'groups':>7} {'packed':>7} {'runs':>6} {'wall s':>9} {'efficiency':>11} {'until done':>11} {'epochs':>7} "
        f"{'alone':>7}",
        end="",
    )
    print("", *(f"{name:>9}" for name in asdict(results[0].parts)))
    for each in results:
        print(
            f"{each.groups:>7,} {'yes' if each.packed else 'no':>7} {each.runs:>6,} {each.wall:>9.1f} "
            f"{each.efficiency:>11.3f} {each.until_done:>11.3f} {each.epochs / (WORKERS * each.wall):>7.3f} "
            f"{each.groups * each.alone / (WORKERS * each.wall):>7.3f}",
            *(f"{value:>9.1f}" for value in asdict(each.parts).values()),
        )


def _simulate(results: Sequence[Result]) -> None:
    for each in results:
        overhead = (each.parts.started + each.parts.loaded + each.parts.ended) / each.runs
        per_run, seconds = -(-each.groups // each.runs), each.parts.trained / each.groups
        shown = [
            f"{workers}: {simulated(workers, each.groups, per_run, seconds, overhead):.2f}" for workers in SIMULATED
        ]
        print(
            f"simulated, {each.groups:,} groups in {each.runs:,} runs, {overhead:.1f} s overhead a run;",
            "workers and efficiency:",
            ", ".join(shown),
        )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--groups", type=int, nargs="*", default=[1, 10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=10, help="a group's training, about")
    parser.add_argument("--unpacked", type=int, default=20, help="most groups that are trained with one run each too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(alone_here(given.alone)))
        return
    print(machine())
    results = []
    for groups in given.groups:
        for packed in [True, False] if 1 < groups <= given.unpacked else [True]:
            results.append(back_filled(groups, given.seconds, packed=packed))
            _table(results[-1:])
    print()
    _table(results)
    _simulate(results)
    targets = [
        Target(f"efficiency, {each.groups} groups of {each.alone:.0f} s", each.efficiency, 0.9)
        for each in results
        if each.groups >= 100 and each.packed
    ]
    conclude(
        [{**asdict(each), "efficiency": each.efficiency, "until_done": each.until_done} for each in results],
        targets,
        given.json,
    )


if __name__ == "__main__":
    main()
