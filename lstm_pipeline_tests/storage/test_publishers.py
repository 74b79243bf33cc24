"""Many publishers at once, and the lock where the store has no conditional put."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage import objects
from lstm_pipeline.storage.objects import ObjectFiles
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.storage.servers import Place, S3Server, client, new_bucket
from lstm_pipeline_tests.storage.victims import left_behind
from lstm_pipeline_tests.stubs import make_registry, publish, runs, train, train_and_publish

PUBLISHERS = 10


@pytest.fixture(params=["disk", "on_rclone", "on_moto"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Any) -> Place:
    if request.param == "disk":
        return Place("disk", str(tmp_path / "storage"), tmp_path / "storage")
    found: Place = request.getfixturevalue(request.param)
    return found


def at_once(count: int, action: Callable[[int], Any]) -> list[Any]:
    """Results of threads that start together."""
    barrier, results, errors = threading.Barrier(count), [], []

    def run(number: int) -> None:
        try:
            barrier.wait(30)
            results.append(action(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors, errors
    return results


@pytest.mark.slow
def test_ten_publishers_at_once_get_ten_versions(anywhere: Place) -> None:
    train(make_registry(anywhere.uri), "run1")
    before = set(anywhere.files())

    def publisher(number: int) -> str:
        return publish(make_registry(anywhere.uri), run_id=f"publisher{number}").record.version

    versions = at_once(PUBLISHERS, publisher)
    registry = make_registry(anywhere.uri)
    assert sorted(versions) == sorted(registry.versions())
    assert registry.versions() == [f"v{number}" for number in range(1, PUBLISHERS + 1)]
    records = [registry.load(version).record for version in versions]
    assert {record.metadata.run_id for record in records} == {f"publisher{number}" for number in range(PUBLISHERS)}
    assert left_behind(before, set(anywhere.files())) == "nothing"


def test_exactly_one_of_many_rivals_creates_an_object(anywhere: Place) -> None:
    rivals, rounds = 6, 2
    for turn in range(rounds):
        path = f"claims/{turn}"

        def rival(number: int, path: str = path) -> tuple[int, bool]:
            return number, create(anywhere, path, f"rival {number}".encode())

        (winner,) = [number for number, first in at_once(rivals, rival) if first]
        assert anywhere.files()[path] == f"rival {winner}".encode()
    assert sorted(anywhere.files()) == [f"claims/{turn}" for turn in range(rounds)]


def create(place: Place, path: str, data: bytes) -> bool:
    store = Store(place.uri)
    return store.create(store.path(path), data)


def test_create_never_replaces(anywhere: Place) -> None:
    assert create(anywhere, "folder/a", b"first")
    assert not create(anywhere, "folder/a", b"second")
    assert anywhere.files() == {"folder/a": b"first"}


@pytest.mark.parametrize(("where", "honoured"), [("on_moto", True), ("on_rclone", False)])
def test_whether_a_store_honours_conditions_is_found_out(
    request: pytest.FixtureRequest, where: str, honoured: bool
) -> None:
    place: Place = request.getfixturevalue(where)
    files = Store(place.uri)._files
    assert isinstance(files, ObjectFiles)
    assert (files._creates_exclusively(Store(place.uri).root), files._swaps(Store(place.uri).root)) == (
        honoured,
        honoured,
    )
    assert place.files() == {}


# the lock


def plant_lock(uri: str, path: str) -> str:
    folder, _, name = path.rpartition("/")
    lock = f"{uri.removeprefix('s3://')}/{folder}/.{name}.lock/somebody"
    client().pipe_file(lock, b"")
    return lock


@pytest.mark.parametrize(("age", "respected"), [(objects.LOCK_SECONDS - 20, True), (objects.LOCK_SECONDS + 2, False)])
def test_a_stale_lock_is_taken_over_and_a_live_one_is_not(
    own_rclone: S3Server, monkeypatch: pytest.MonkeyPatch, age: float, respected: bool
) -> None:
    monkeypatch.setattr(objects, "LOCK_PATIENCE", 0.5)
    uri = f"s3://{new_bucket()}/prefix"
    assert own_rclone.folder is not None
    lock = own_rclone.folder / plant_lock(uri, "folder/a")
    own_rclone.stop()  # it keeps times in memory
    os.utime(lock, (time.time() - age, time.time() - age))
    own_rclone.start()
    store = Store(uri)
    place = Place("rclone", uri, own_rclone.folder / uri.removeprefix("s3://"))
    if respected:
        with pytest.raises(RegistryError, match=r"folder/a is locked by another process; waited 0 s; run again later"):
            store.create(store.path("folder/a"), b"mine")
        assert sorted(place.files()) == ["folder/.a.lock/somebody"]
    else:
        assert store.create(store.path("folder/a"), b"mine")
        assert place.files() == {"folder/a": b"mine"}


def test_a_live_lock_is_waited_for_until_it_ends(on_rclone: Place) -> None:
    lock = plant_lock(on_rclone.uri, "folder/a")
    timer = threading.Timer(1.0, lambda: client().rm_file(lock))
    timer.start()
    start = time.monotonic()
    assert create(on_rclone, "folder/a", b"mine")
    assert time.monotonic() - start >= 0.9
    timer.join()
    assert on_rclone.files() == {"folder/a": b"mine"}


def test_a_lock_left_by_a_dead_process_ends_before_patience_does() -> None:
    """Else a run that is started again at once, as the message says, would fail too."""
    assert objects.LOCK_PATIENCE > objects.LOCK_SECONDS + 5


def test_whoever_lost_his_lock_while_he_wrote_was_not_first(on_rclone: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stands still for too long: another one takes its lock for a dead process's."""
    store = Store(on_rclone.uri)
    path = store.path("folder/a")
    pipe = path.fs.pipe_file

    def slow(target: str, data: bytes, **options: Any) -> Any:
        if target.endswith("folder/a"):
            for lock in client().ls(f"{target.removesuffix('a')}.a.lock"):
                client().rm_file(lock["name"] if isinstance(lock, dict) else lock)
        return pipe(target, data, **options)

    monkeypatch.setattr(path.fs, "pipe_file", slow)
    assert not store.create(path, b"late")


def test_a_publisher_whose_claim_was_lost_takes_the_next_number(on_rclone: Place) -> None:
    registry = make_registry(on_rclone.uri)
    train_and_publish(registry, "run1")
    registry.store.create(registry.layout.claim("v2"), b"{}")
    assert train_and_publish(registry, "run2") == "v3"
    assert runs(registry) == {"power": "run2", "heat": "run2"}
