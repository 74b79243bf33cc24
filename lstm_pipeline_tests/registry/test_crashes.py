"""Publishing stopped at every step, and many publishers at once."""

import importlib
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lstm_pipeline.storage import parallel
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.processes import FORKED
from lstm_pipeline_tests.stubs import (
    make_registry,
    publish,
    publish_in_process,
    runs,
    save_candidate,
    train,
    train_and_publish,
    tree,
)

STEPS = ("read", "find", "files", "write", "copy", "create", "digest", "names", "upload", "exists", "remove")


class Crash(BaseException):
    """No `except` of the package may catch it, as it cannot catch a power cut."""


@contextmanager
def crash_at(number: int, *, after: bool) -> Iterator[list[str]]:
    """Makes the store's k-th operation (from 0) crash, before or after it took effect; yields the operations made."""
    made: list[str] = []

    def crashing(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Store, *arguments: Any) -> Any:
            crash = len(made) == number
            made.append(name)
            if crash and not after:
                raise Crash
            result = original(self, *arguments)
            if crash:
                raise Crash
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "WORKERS", 1)  # so that the k-th operation is the same one in every attempt
        for name in STEPS:
            patch.setattr(Store, name, crashing(name, getattr(Store, name)))
        yield made


def operations(root: Path, scratch: Path, action: Callable[[Path], Any]) -> list[str]:
    """The store's operations that an action makes, found out on a copy."""
    shutil.copytree(root, scratch)
    with crash_at(-1, after=False) as made:
        action(scratch)
    return made


def publish_at(root: Path) -> Any:
    return publish(make_registry(root))


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with v1, and a newer candidate of each group that waits to be published."""
    root = tmp_path_factory.mktemp("waiting") / "root"
    registry = make_registry(root)
    train_and_publish(registry, "run1")
    train(registry, "run2")
    return root


@pytest.mark.parametrize("killed", [False, True], ids=["raised", "killed"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_step_of_publishing_leaves_no_half_version(
    waiting: Path, tmp_path: Path, after: bool, killed: bool
) -> None:
    made = operations(waiting, tmp_path / "dry", publish_at)
    record_step = len(made) - 1 - made[::-1].index("create")  # the last file created is the version
    assert made.count("create") == 2
    assert made.count("copy") == 6
    assert len(made) > 30
    old, old_version = tree(waiting), make_registry(waiting).load()
    for number, name in enumerate(made):
        root = tmp_path / f"crash{number}"
        shutil.copytree(waiting, root)
        with pytest.raises(Crash), crash_at(number, after=after):
            publish_at(root)
        registry = make_registry(root)
        if killed and number <= record_step:  # a process that is killed does not take its claim away
            registry.store.create(registry.layout.claim("v2"), b"{}")
        published = number > record_step or (number == record_step and after)
        assert registry.versions() == (["v1", "v2"] if published else ["v1"]), (number, name)
        kept = {path: content for path, content in tree(root).items() if path in old and "candidates" not in path}
        assert kept == {path: content for path, content in old.items() if "candidates" not in path}, (number, name)
        assert not [path for path in tree(root) if path.endswith(".tmp")]
        if not published:
            assert registry.load().record == old_version.record, (number, name)
        again = publish_at(root).record.version
        assert again not in ("v1", "v2" if published else "v1"), (number, name)
        assert registry.resolve() == again
        assert runs(registry) == {"power": "run2", "heat": "run2"}, (number, name)
        assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}, (number, name)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_after_the_record_does_not_bring_a_model_back_that_was_rolled_back_from(
    waiting: Path, tmp_path: Path, after: bool
) -> None:
    """The candidate's own note that it was published may be missing."""
    made = operations(waiting, tmp_path / "dry", publish_at)
    record_step = len(made) - 1 - made[::-1].index("create")
    for number in range(record_step + 1, len(made)):
        root = tmp_path / f"crash{number}"
        shutil.copytree(waiting, root)
        with pytest.raises(Crash), crash_at(number, after=after):
            publish_at(root)
        registry = make_registry(root)
        registry.roll_back("v1")
        train_and_publish(registry, "run3", ["heat"])
        assert runs(registry) == {"power": "run1", "heat": "run3"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_step_of_saving_a_candidate_leaves_the_one_before(
    waiting: Path, tmp_path: Path, after: bool
) -> None:
    def save(root: Path) -> Any:
        return save_candidate(make_registry(root), "heat", "run3")

    made = operations(waiting, tmp_path / "dry", save)
    assert made.count("upload") == 3
    for number in range(len(made)):
        root = tmp_path / f"crash{number}"
        shutil.copytree(waiting, root)
        with pytest.raises(Crash), crash_at(number, after=after):
            save(root)
        registry, complete = make_registry(root), after and number == len(made) - 1
        assert registry.versions() == ["v1"]
        publish(registry)
        assert runs(registry)["heat"] == ("run3" if complete else "run2")
        save(root)
        publish(registry)
        assert runs(registry)["heat"] == "run3"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_step_of_a_roll_back_leaves_one_version_in_use(tmp_path: Path, after: bool) -> None:
    origin = tmp_path / "origin"
    train_and_publish(make_registry(origin), "run1")
    train_and_publish(make_registry(origin), "run2")

    def roll_back(root: Path) -> None:
        make_registry(root).roll_back("v1")

    made = operations(origin, tmp_path / "dry", roll_back)
    for number in range(len(made)):
        root = tmp_path / f"crash{number}"
        shutil.copytree(origin, root)
        with pytest.raises(Crash), crash_at(number, after=after):
            roll_back(root)
        assert make_registry(root).resolve() == ("v1" if after and number == len(made) - 1 else "v2")


def test_ten_publishers_at_once_get_ten_versions(tmp_path: Path) -> None:
    train(make_registry(tmp_path), "run1")
    barrier, versions = threading.Barrier(10), []

    def publisher(number: int) -> None:
        registry = make_registry(tmp_path)
        models = registry.next_models(["power", "heat"])
        barrier.wait()
        versions.append(publish(registry, run_id=f"publisher{number}").record.version)
        assert models

    threads = [threading.Thread(target=publisher, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = make_registry(tmp_path)
    assert len(versions) == 10
    assert sorted(versions) == sorted(registry.versions())
    publishers = {registry.load(version).record.metadata.run_id for version in versions}
    assert publishers == {f"publisher{number}" for number in range(10)}
    assert not [path for path in tree(tmp_path) if path.endswith((".claim", ".tmp"))]


def test_publishers_in_processes_of_their_own_get_versions_of_their_own(tmp_path: Path) -> None:
    train(make_registry(tmp_path), "run1")
    # no multiprocessing.Pool: it ends its processes by a signal, and waits for ever for a lock that one of them had
    with ProcessPoolExecutor(3, FORKED) as pool:
        parts = list(pool.map(publish_in_process, [str(tmp_path)] * 3, [8] * 3))
    versions = [version for part in parts for version in part]
    registry = make_registry(tmp_path)
    assert len(set(versions)) == len(versions) == 24
    assert sorted(versions) == sorted(registry.versions())
    for version in versions:
        assert runs(registry, version) == {"power": "run1", "heat": "run1"}


class ListingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Remembers listings, as S3's does."""

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        path = self._strip_protocol(path)
        if path not in self.dircache:
            self.dircache[path] = super().ls(path, detail=True, **kwargs)
        listed = self.dircache[path] if path in self.dircache else super().ls(path, detail=True, **kwargs)
        return listed if detail else [entry["name"] for entry in listed]


def test_versions_of_another_process_are_seen_where_listings_are_remembered(tmp_path: Path) -> None:
    registry = make_registry(f"memory://{tmp_path.name}/root")
    train_and_publish(registry, "run1")
    with remembered_listings():
        assert isinstance(registry.store.root.fs, ListingFileSystem)
        assert registry.versions() == ["v1"]
    train_and_publish(registry, "run2")
    with remembered_listings():
        assert registry.versions() == ["v1", "v2"]
        assert train_and_publish(registry, "run3") == "v3"


@contextmanager
def remembered_listings() -> Iterator[None]:
    """Inside, the memory file system remembers listings; outside, it is another process at work on the same files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(importlib.import_module("fsspec.registry")._registry, "memory", ListingFileSystem)
        yield
