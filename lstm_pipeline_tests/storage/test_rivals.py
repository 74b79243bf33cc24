"""Several processes on one root at the same time: nothing is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import Decision, InUse, Registry, Score, StoredModel, Version
from lstm_pipeline.storage.owner import Owner
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.processes import FORKED, forked
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import Place, slow
from lstm_pipeline_tests.stubs import SCORE, make_registry, refusing, runs, train

ALL = [f"group{number}" for number in range(10)]


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
    processes = [forked(add_lines, anywhere.uri, writer, 10) for writer in range(4)]
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
    holder = forked(hold, place.uri, 60.0)
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


# publishers


def train_and_publish_own(uri: str, groups: list[str], run_id: str, barrier: Any) -> None:
    """One process of several: trains its groups, waits for the others, publishes what it trained."""
    registry = make_registry(uri)
    train(registry, run_id, groups)
    barrier.wait()
    publish_own(registry, run_id)


def publish_own(registry: Registry, run_id: str) -> Version:
    trained = registry.trained_by(ALL, [run_id])
    return registry.publish(ALL, trained, lambda models: SCORE, run_id=run_id).version


def at_once(uri: str, tasks: dict[str, list[str]]) -> None:
    """Run → its groups, each in a process of its own."""
    barrier = FORKED.Barrier(len(tasks))
    processes = [forked(train_and_publish_own, uri, groups, run_id, barrier) for run_id, groups in tasks.items()]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
        assert process.exitcode == 0


@pytest.mark.parametrize("count", [2, slow(4), slow(10)])
def test_of_different_groups_the_last_version_has_all(place: Place, count: int, note: Note) -> None:
    registry = make_registry(place.uri)
    train(registry, "before", ALL)
    publish_own(registry, "before")
    tasks = {f"run{number}": [ALL[number]] for number in range(count)}
    at_once(place.uri, tasks)
    trained = {groups[0]: run_id for run_id, groups in tasks.items()}
    assert registry.versions() == [f"v{number + 1}" for number in range(count + 1)]
    assert runs(registry) == {group: trained.get(group, "before") for group in ALL}
    for earlier, later in itertools.pairwise(runs(registry, version) for version in registry.versions()):
        assert all(later[group] == run or run == "before" for group, run in earlier.items()), "a model went back"
    note(place.name, f"{count} rivals, a group each", f"v1 … v{count + 1}", "loads", "–", "not needed", "nothing")


@pytest.mark.parametrize("count", [2, slow(4), slow(10)])
def test_of_the_same_group_everyone_gets_a_version(place: Place, count: int, note: Note) -> None:
    registry = make_registry(place.uri)
    train(registry, "before", ALL)
    publish_own(registry, "before")
    at_once(place.uri, {f"run{number}": [ALL[0]] for number in range(count)})
    versions = registry.versions()
    published = [registry.load(version).record.metadata.run_id for version in versions[1:]]
    assert sorted(published) == sorted(f"run{number}" for number in range(count))
    for version, run_id in zip(versions[1:], published, strict=True):
        assert runs(registry, version) == {**dict.fromkeys(ALL, "before"), ALL[0]: run_id}
    assert runs(registry)[ALL[0]] == published[-1]
    note(place.name, f"{count} rivals, the same group", f"v1 … v{count + 1}", "loads", "–", "not needed", "nothing")


def test_a_publisher_that_lost_its_turn_publishes_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had been paused between its score and its record, for longer than a lock lasts."""
    registry = make_registry(tmp_path)
    train(registry, "before", ALL)
    publish_own(registry, "before")
    train(registry, "slow", ALL[:1])
    scored: list[dict[str, str]] = []

    def score(models: Mapping[str, StoredModel]) -> Score:
        scored.append({group: model.run_id for group, model in models.items()})
        if len(scored) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(Store, "locked", lambda *_, **__: contextlib.nullcontext(lambda: True))
                train(make_registry(tmp_path), "quick", ALL[1:2])
                publish_own(make_registry(tmp_path), "quick")
        return SCORE

    monkeypatch.setattr(Store, "locked", lambda *_, **__: contextlib.nullcontext(lambda: False))
    version = registry.publish(ALL, registry.trained_by(ALL, ["slow"]), score, run_id="slow").version
    assert [made[ALL[1]] for made in scored] == ["before", "quick"]
    assert runs(registry, version.record.version) == {**dict.fromkeys(ALL, "before"), ALL[0]: "slow", ALL[1]: "quick"}
    assert registry.versions()[-1] == version.record.version


# candidates and the model in use


def judged(uri: str, groups: list[str], run_id: str, refused: list[str], barrier: Any) -> None:
    """One process of several: trains its groups and publishes what its rule promotes."""
    registry = make_registry(uri)
    train(registry, run_id, groups)
    barrier.wait()
    trained = registry.trained_by(ALL, [run_id])
    registry.publish(ALL, trained, lambda models: SCORE, run_id=run_id, decide=refusing(*refused))


def judged_at_once(uri: str, *tasks: tuple[list[str], str, list[str]]) -> None:
    barrier = FORKED.Barrier(len(tasks))
    processes = [forked(judged, uri, *task, barrier) for task in tasks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
        assert process.exitcode == 0


def test_two_groups_judged_at_once_end_in_one_version_that_has_both(anywhere: Place) -> None:
    registry = make_registry(anywhere.uri)
    train(registry, "before", ALL)
    publish_own(registry, "before")
    judged_at_once(anywhere.uri, (ALL[:1], "run0", []), (ALL[1:2], "run1", []))
    assert registry.versions() == ["v1", "v2", "v3"]
    assert runs(registry) == {**dict.fromkeys(ALL, "before"), ALL[0]: "run0", ALL[1]: "run1"}
    # whoever is first may judge the other's candidate as well; nobody judges against a version that was in use before
    decided = {name: registry.ensemble_record(name).metadata.decisions for name in ("v2", "v3")}
    before = {"v2": "v1", "v3": "v2"}
    judged_in = [(each.run_id, each.champion_version, before[name]) for name in decided for each in decided[name]]
    assert sorted(run for run, _, _ in judged_in) == ["run0", "run1"]
    assert all(met == in_use for _, met, in_use in judged_in)


def test_of_two_groups_judged_at_once_the_refused_one_is_in_no_version(anywhere: Place) -> None:
    registry = make_registry(anywhere.uri)
    train(registry, "before", ALL)
    publish_own(registry, "before")
    judged_at_once(anywhere.uri, (ALL[:1], "run0", ALL[:1]), (ALL[1:2], "run1", ALL[:1]))
    assert runs(registry) == {**dict.fromkeys(ALL, "before"), ALL[1]: "run1"}
    assert {runs(registry, version)[ALL[0]] for version in registry.versions()} == {"before"}
    assert {(refused.group, refused.run_id) for refused in registry.refused()} == {(ALL[0], "run0")}


@pytest.mark.parametrize("rival_group", [ALL[0], ALL[1]], ids=["same group", "another group"])
@pytest.mark.parametrize("refused", [False, True], ids=["promoted", "refused"])
def test_a_publisher_that_lost_its_turn_compares_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool, rival_group: str
) -> None:
    """The version in use changed while it compared, so its decision was about another model."""
    registry = make_registry(tmp_path)
    train(registry, "before", ALL)
    publish_own(registry, "before")
    train(registry, "slow", ALL[:1])
    met: list[str] = []

    def decide(challengers: Mapping[str, StoredModel], in_use: Callable[[], InUse | None]) -> Sequence[Decision]:
        found = in_use()
        assert found is not None
        met.append(found.record.version)
        decisions = refusing(*(ALL[:1] if refused else []))(challengers, in_use)
        if len(met) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(Store, "locked", lambda *_, **__: contextlib.nullcontext(lambda: True))
                rival = make_registry(tmp_path)
                train(rival, "quick", [rival_group])
                # which leaves the slow one's candidate alone
                rival.publish(ALL, {}, lambda models: SCORE, run_id="quick", decide=refusing(*{ALL[0]} - {rival_group}))
        return decisions

    monkeypatch.setattr(Store, "locked", lambda *_, **__: contextlib.nullcontext(lambda: False))
    trained = registry.trained_by(ALL, ["slow"])
    made = registry.publish(ALL, trained, lambda models: SCORE, run_id="slow", decide=decide)
    assert met == ["v1", "v2"]
    assert [decision.champion_version for decision in made.decisions] == ["v2"]
    own = {} if refused else {ALL[0]: "slow"}
    assert runs(registry) == {**dict.fromkeys(ALL, "before"), rival_group: "quick", **own}
    assert made.is_new is not refused
