"""Several processes on one root at the same time: nothing is lost, nothing is doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage.owner import Owner
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.storage.servers import Place

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=["disk", "on_rclone", "on_moto"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The local disk, a store that ignores conditional puts, and one that honours them."""
    if request.param == "disk":
        return Place("disk", str(tmp_path / "storage"), tmp_path / "storage")
    found: Place = request.getfixturevalue(request.param)
    return found


def add_lines(uri: str, writer: int, count: int) -> None:
    store = Store(uri)
    for number in range(count):
        line = f"{writer}:{number}\n".encode()
        store.update(store.path("data", "lines"), lambda before, line=line: (before or b"") + line)  # type: ignore[misc]


def hold(uri: str, seconds: float) -> None:
    store = Store(uri)
    with store.locked(store.path("data", "a")):
        store.write(store.path("data", "held"), b"")
        time.sleep(seconds)


def test_no_change_of_four_writers_is_lost(anywhere: Place) -> None:
    processes = [SPAWN.Process(target=add_lines, args=(anywhere.uri, writer, 10)) for writer in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    store = Store(anywhere.uri)
    lines = store.read(store.path("data", "lines")).decode().splitlines()
    assert sorted(lines) == sorted(f"{writer}:{number}" for writer in range(4) for number in range(10))
    for writer in range(4):
        assert [line for line in lines if line.startswith(f"{writer}:")] == [f"{writer}:{n}" for n in range(10)]


def test_a_change_can_leave_everything_as_it_is(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    path = store.path("a")
    store.update(path, lambda before: None)
    assert not store.exists(path)
    store.update(path, lambda before: b"1" if before is None else b"2")
    store.update(path, lambda before: None)
    assert store.read(path) == b"1"


def test_a_lock_names_its_holder_and_ends_with_it(place: Place) -> None:
    holder = SPAWN.Process(target=hold, args=(place.uri, 60.0))
    holder.start()
    try:
        store, deadline = Store(place.uri), time.monotonic() + 60
        while not store.exists(store.path("data", "held")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with (
            pytest.raises(RegistryError, match=rf"data/a is locked by process {holder.pid} on host .* since"),
            store.locked(store.path("data", "a"), patience=0.5),
        ):
            pytest.fail("two processes hold one lock")
    finally:
        assert holder.pid
        os.kill(holder.pid, signal.SIGKILL)
        holder.join(10)
    with store.locked(store.path("data", "a"), patience=5) as held:
        assert held()


def test_an_owner_is_told_from_a_later_process_with_its_id() -> None:
    me = Owner.me()
    assert Owner.parse(me.to_json()) == me
    assert not me.is_dead
    assert replace(me, started="1").is_dead
    assert replace(me, pid=2**22 + 1).is_dead
    assert not replace(me, pid=2**22 + 1, machine="elsewhere").is_dead  # not to be seen from here
    assert not replace(me, pid=2**22 + 1, machine="").is_dead
    assert Owner.parse(b"{}") is None
