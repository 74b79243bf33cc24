"""Trainings, publications, roll-backs, prunings and kills at random, from several processes: what must hold then."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import Registry, Version, prune
from lstm_pipeline_tests.processes import forked
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import Place, slow
from lstm_pipeline_tests.stubs import SCORE, make_registry, runs, train

GROUPS = [f"group{number}" for number in range(4)]


def publish_what(registry: Registry, run_id: str) -> Version:
    return registry.publish(GROUPS, registry.trained_by(GROUPS, [run_id]), lambda models: SCORE, run_id=run_id).version


@contextmanager
def allowed(message: str) -> Iterator[None]:
    """Lets one kind of error pass."""
    try:
        yield
    except RegistryError as error:
        if message not in str(error):
            raise


def act(uri: str, log: str, seed: int, seconds: float) -> None:
    """One process: acts at random until its time is over, and notes each version it has published."""
    registry, choose, end = make_registry(uri), random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        what = choose.random()
        if what < 0.7:
            run_id, groups = uuid.uuid4().hex, choose.sample(GROUPS, choose.randint(1, 2))
            train(registry, run_id, groups)
            version = publish_what(registry, run_id)
            pinned = {model.model_name: model.run_id for model in version.record.metadata.individual_models}
            assert all(pinned[group] == run_id for group in groups)
            with Path(log).open("a") as file:
                file.write(f"{version.record.version} {run_id}\n")
        elif what < 0.85:
            with allowed("has no version"):  # it was pruned meanwhile
                registry.roll_back(choose.choice(registry.versions()))
        else:
            with allowed("does not exist"):  # another process removes the same things
                prune(registry, keep=choose.randint(3, 6))


@pytest.mark.parametrize(("seed", "seconds"), [(1, 12), slow(2, 60)])
@pytest.mark.slow
def test_whatever_happens_at_once_nothing_is_lost(
    place: Place, tmp_path: Path, seed: int, seconds: int, note: Note
) -> None:
    registry, choose, log = make_registry(place.uri), random.Random(seed), tmp_path / "log"
    train(registry, "first", GROUPS)
    publish_what(registry, "first")
    end, kills, number = time.monotonic() + seconds, 0, 0
    workers: list[ForkServerProcess] = []
    while time.monotonic() < end:
        while len(workers) < 3:
            number += 1
            left = max(1.0, end - time.monotonic())
            workers.append(forked(act, place.uri, str(log), 100 * seed + number, left))
            workers[-1].start()
        time.sleep(choose.uniform(1.5, 4))
        victim = workers.pop(choose.randrange(len(workers)))
        if victim.is_alive() and victim.pid:
            os.kill(victim.pid, signal.SIGKILL)
            kills += 1
        victim.join(10)
        assert victim.exitcode in (0, -signal.SIGKILL)
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0

    published = [line.split() for line in log.read_text().splitlines()]
    assert len({version for version, _ in published}) == len(published), "two publishers got one version"
    registry = make_registry(place.uri)
    for version in registry.versions():
        registry.load(version)
    assert registry.resolve() in registry.versions()
    waiting = {group: registry.candidates.pending_run(group) for group in GROUPS}
    final = publish_what(registry, "final")
    for group, run_id in waiting.items():
        if run_id is not None:
            assert runs(registry, final.record.version)[group] == run_id, "a model that was trained is in no version"
    assert registry.versions()[-1] == final.record.version == registry.resolve()
    counted = f"{len(published)} versions by {number} processes"
    note(place.name, f"at random for {seconds} s, {kills} kills", counted, "all load", "–", "publishes", "see prune")
