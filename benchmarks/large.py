"""A thousand groups in one project: what each thing a user does with it takes, from a fresh process.

    python -m benchmarks.large [--groups 100 300 1000] [--only NAME …] [--folder FOLDER] [--output] [--json FILE]

A simulated plant of so many groups of five features (see `benchmarks.large_plant`), with an untrained model for every
group: nothing here depends on what a network has learned. A fresh process does each, start of Python and import of
TensorFlow included; seconds are those of the wall and of the processor, memory is the most that the process held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import Target, conclude, machine
from benchmarks.large_history import publish_history, write_automated, write_mistaken
from benchmarks.large_plant import AS_OF, group_names, store_candidates, write_plant

COMMAND = [sys.executable, "-m", "lstm_pipeline.cli"]
SELF = [sys.executable, "-m", "benchmarks.large"]
LOCATION = "from lstm_pipeline.definitions import defs; defs().get_repository_def()"
MOST_SECONDS = 60.0
TARGETS = {"code location": 5.0, "validate": 10.0} | dict.fromkeys(
    ("publish", "forecast", "refuse all", "promote all"), 120.0
)
"""Seconds that differ from `MOST_SECONDS`: a forecast reads every network, and a publication scores every one."""
MOST_MEMORY = 4000.0
ORIGINS = 16
"""Forecasts of a back-test, of an explanation and of a comparison."""
HISTORY = 24
"""Versions of one new model each that are published before `prune` removes them."""
ATTENTION, MISTAKES = 3, 2
"""Exit statuses of `status` and `validate` that find something."""


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds on the wall and of the processor, and the most megabytes (10**6 bytes) it held."""

    groups: int
    what: str
    seconds: float
    processor: float
    megabytes: float


@dataclass(frozen=True)
class Work:
    """Something to measure.

    Attributes:
        before: what is done before it, in a process of its own that is not measured.
        statuses: exit statuses that it may have.
    """

    what: str
    command: Sequence[str]
    before: Sequence[str] = ()
    statuses: Collection[int] = field(default=(0,))


@dataclass(frozen=True)
class Plant:
    """The specs of one plant: as it is written, with automation, and with mistakes."""

    spec: str
    automated: str
    mistaken: str
    storage: str
    groups: int


def works(plant: Plant) -> list[Work]:
    """What is measured, in this order: each stands on what those before it have stored."""
    spec, dated = plant.spec, ["--as-of", AS_OF.isoformat()]
    names = group_names(plant.groups)
    every = [text for name in names[1:] for text in ("--group", name)]
    few, looked = ["--origins", str(ORIGINS)], (0, ATTENTION)
    return [
        Work("code location", [sys.executable, "-c", LOCATION]),
        Work("validate", [*COMMAND, "validate", spec]),
        Work("validate mistakes", [*COMMAND, "validate", plant.mistaken], statuses=(MISTAKES,)),
        Work("publish", [*SELF, "--publish", spec]),
        Work("forecast", [*COMMAND, "run", spec, "--only", "predict", *dated]),
        Work("report", [*COMMAND, "report", spec, *dated, "-o", f"{plant.storage}/report.html"]),
        Work("explain", [*COMMAND, "explain", spec, "--feature", f"{names[0]}_0", *few, *dated]),
        Work("plan", [*COMMAND, "plan", spec, *dated]),
        Work("run one group", [*COMMAND, "run", spec, "--group", names[0], *dated]),
        Work("compare", [*COMMAND, "compare", spec, "v1", "v2", *few, *dated]),
        Work("report changes", [*COMMAND, "report", spec, *dated, "-o", f"{plant.storage}/report.html"]),
        Work("backtest", [*COMMAND, "backtest", spec, *few, *dated]),
        Work("status", [*COMMAND, "status", spec], statuses=looked),
        Work("status and drift", [*COMMAND, "status", plant.automated], statuses=looked),
        Work("status again", [*COMMAND, "status", plant.automated], statuses=looked),
        Work("refuse all", [*SELF, "--publish", plant.automated], [*SELF, "--candidates", spec, "refused"]),
        Work("status refused", [*COMMAND, "status", plant.automated], statuses=looked),
        Work("versions", [*COMMAND, "versions", spec]),
        Work("promote one", [*COMMAND, "promote", spec, "--group", names[0]]),
        Work("promote all", [*COMMAND, "promote", spec, *every]),
        Work("rollback", [*COMMAND, "rollback", spec, "v1"]),
        Work("versions of months", [*COMMAND, "versions", spec], [*SELF, "--history", spec]),
        Work("prune", [*COMMAND, "prune", spec, "--keep", "2"]),
    ]


def measured(work: Work, environment: dict[str, str], shown: bool) -> tuple[float, float, float]:
    """Seconds on the wall, processor seconds and megabytes of a piece of work."""
    if work.before:
        subprocess.run(work.before, env=environment, check=True)
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(work.command, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        output.seek(0)
        said = output.read().decode()
    if os.waitstatus_to_exitcode(status) not in work.statuses:
        raise RuntimeError(f"{' '.join(work.command)} failed:\n{said[-3000:]}")
    if shown:
        print(said)
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def publish_here(spec: Path) -> None:
    """Publishes the candidates of all groups, as the asset `model_metadata` does."""
    from lstm_pipeline.forecasting import publish
    from lstm_pipeline.projects import load_project, training_input

    project = load_project(spec)
    publish(project, training_input(project, AS_OF), {}, run_id=f"publish-{time.time_ns()}")


def candidates_here(spec: Path, run_id: str) -> None:
    """Stores a candidate for every group."""
    from lstm_pipeline.projects import load_project

    store_candidates(load_project(spec), run_id)


def history_here(spec: Path) -> None:
    """Publishes the versions that `prune` removes."""
    from lstm_pipeline.projects import load_project

    publish_history(load_project(spec), HISTORY)


def costs(folder: Path, groups: int, only: Collection[str] = (), *, shown: bool = False) -> list[Cost]:
    """Everything with so many groups.

    Args:
        folder: a plant that an earlier measurement has left there is taken as it is.
        only: names of what is measured; empty: everything.
        shown: whether to print what each command prints.
    """
    projects, storage = folder / f"projects{groups}", folder / f"storage{groups}"
    environment = {
        **os.environ,
        "LSTM_PIPELINE_PROJECTS": str(projects),
        "LSTM_PIPELINE_STORAGE": str(storage),
        "DAGSTER_HOME": str(folder / f"home{groups}"),
    }
    spec, specs = projects / "large.yaml", folder / f"specs{groups}"
    if not spec.exists():
        write_plant(projects, groups)
        # elsewhere: a process inherits the peak of the one that starts it
        subprocess.run([*SELF, "--candidates", str(spec), "first"], env=environment, check=True)
    automated, mistaken = (write(spec, specs / f"{write.__name__}.yaml") for write in (write_automated, write_mistaken))
    found = []
    for work in works(Plant(str(spec), str(automated), str(mistaken), str(storage), groups)):
        if only and work.what not in only:
            continue
        found.append(Cost(groups, work.what, *measured(work, environment, shown)))
        one = found[-1]
        print(
            f"{groups:>6,} {one.what:<20} {one.seconds:>8.1f} s {one.processor:>8.1f} s of processor "
            f"{one.megabytes:>8,.0f} MB",
            flush=True,
        )
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--groups", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--only", nargs="*", default=[], help="measure only these")
    parser.add_argument("--folder", type=Path, help="where everything is written and left; by default it is removed")
    parser.add_argument("--output", action="store_true", help="also print what each command prints")
    parser.add_argument("--json", type=Path)
    for name in ("--publish", "--history"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--candidates", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.candidates:
        candidates_here(Path(given.candidates[0]), given.candidates[1])
    elif given.publish:
        publish_here(given.publish)
    elif given.history:
        history_here(given.history)
    else:
        _measure(given)


def _measure(given: argparse.Namespace) -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        found = [cost for groups in given.groups for cost in costs(folder, groups, given.only, shown=given.output)]
    most = max(given.groups)
    largest: dict[str, Any] = {cost.what: cost for cost in found if cost.groups == most}
    targets = [
        target
        for what, cost in largest.items()
        for target in (
            Target(f"{what}, {most} groups, seconds", cost.seconds, TARGETS.get(what, MOST_SECONDS), True),
            Target(f"{what}, {most} groups, MB", cost.megabytes, MOST_MEMORY, at_most=True),
        )
    ]
    conclude([asdict(cost) for cost in found], targets, given.json)


if __name__ == "__main__":
    main()
