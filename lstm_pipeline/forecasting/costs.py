"""What trainings cost, and how many groups a run should therefore train."""

from __future__ import annotations

import datetime as dt
import heapq
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lstm_pipeline.registry import Registry, StoredModel, TrainingCosts

FEW = 8
"""Up to so many groups, each is trained in a run of its own."""
FEWEST_RUNS = 16
"""Trainings that are longer than a start are split into at least so many runs: the workers, whose number nobody knows
yet, should all have something to do until the end."""
EVEN = 4
"""Many runs are a multiple of so many: of 17, one of two workers would carry out the last one alone."""
LARGEST_SHARE = 0.05
"""Of a run, its start should take no more."""
START_SECONDS, GROUP_SECONDS = 10.0, 30.0
"""What a run's start and the training of a group are taken to cost until they are measured."""

FRESH = 120.0
"""A process that was older than so many seconds when its run began has done something else before."""

_PROC = Path("/proc")


def groups_per_run(count: int, costs: TrainingCosts | None = None) -> int:
    """How many of a project's groups a run of a back-fill should train.

    So few that a run's start takes at most 5 % of it. But no more than leave `FEWEST_RUNS` runs, except where a run is
    then still no longer than two starts: to split that further would gain little, however many workers there are.

    Args:
        count: number of the project's groups.
        costs: what the latest training cost; None: it is not known.
    """
    if count <= FEW:
        return 1
    start = START_SECONDS if costs is None or costs.start_seconds is None else costs.start_seconds
    seconds = GROUP_SECONDS if costs is None else costs.group_seconds
    enough = math.ceil(start * (1 - LARGEST_SHARE) / LARGEST_SHARE / seconds)
    most = max(1, min(enough, max(count // FEWEST_RUNS, int(start / seconds)), count))
    runs = math.ceil(count / most)
    if runs > FEWEST_RUNS:
        runs = EVEN * math.ceil(runs / EVEN)
    return math.ceil(count / runs)  # evenly: not a last run of one


def runs_of(count: int, per_run: int) -> list[int]:
    """The sizes of the runs into which Dagster splits a back-fill of all groups."""
    return [min(per_run, count - first) for first in range(0, count, per_run)]


def wall_time(runs: Sequence[int], workers: int, start: float, seconds: float) -> float:
    """Seconds until the last run has ended, where a free worker takes the next run.

    Args:
        runs: groups of each run.
        start: seconds that a run takes beside its groups.
        seconds: of a group.
    """
    free = [0.0] * workers
    for size in runs:
        heapq.heapreplace(free, free[0] + start + seconds * size)
    return max(free)


class Meter:
    """Measures a training, from the moment at which it is ready to train.

    Seconds are those of a processor, so that it does not matter how many groups are trained at once, or what else the
    machine does meanwhile.

    Only the first training of a process tells what a start costs, and only in a process that was started for its run.

    Args:
        began: when the run began, in seconds since 1970; None: nobody knows.
    """

    _used = False

    def __init__(self, began: float | None) -> None:
        prepare_networks()
        age, now = process_age(), time.time()
        is_fresh = began is not None and age is not None and began - (now - age) <= FRESH
        self._cpu = time.process_time()
        self.start_seconds = self._cpu if is_fresh and not Meter._used else None
        Meter._used = True

    def costs(self, registry: Registry, models: Mapping[str, StoredModel], run_id: str) -> TrainingCosts:
        """What the training of these groups has cost so far."""
        seconds, sizes, epochs, most = time.process_time() - self._cpu, 0, 0, 1
        networks = 0
        for model in models.values():
            metadata = model.record.metadata
            taken = [each.epochs for each in metadata.variants if each.epochs] or [metadata.training["epochs"]]
            networks, epochs = networks + len(taken), epochs + sum(taken)
            most = max(most, int(metadata.hyperparameters["epochs"]))
            sizes += registry.store.size(model.folder)
        return TrainingCosts(
            run_id=run_id,
            measured_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            groups=len(models),
            start_seconds=self.start_seconds or _known_start(registry),
            group_seconds=max(seconds / len(models), 1e-3),
            epochs=epochs / max(networks, 1),
            most_epochs=most,
            peak_bytes=peak_memory() or 0,
            model_bytes=sizes // len(models),
        )


def _known_start(registry: Registry) -> float | None:
    before = registry.costs()
    return before.start_seconds if before else None


def prepare_networks() -> None:
    """Imports TensorFlow and what trains networks, which takes seconds and belongs to no group."""
    from lstm_pipeline.network.runtime import configure
    from lstm_pipeline.network.training import train  # noqa: F401

    configure()


def process_age() -> float | None:
    """Seconds since this process started; None where the system does not say."""
    try:
        fields = (_PROC / "self/stat").read_text().rpartition(")")[2].split()
        uptime = float((_PROC / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def peak_memory() -> int | None:
    """The most memory that this process has held, in bytes; None where the system does not say."""
    try:
        lines = (_PROC / "self/status").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return int(found) * 1024 if found else None
