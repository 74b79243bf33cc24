"""A run that is done again after it died: it publishes what is left to publish, and nothing a second time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.registry import Publication, Registry, prune
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.registry.test_crashes import Crash, crash_at, operations
from lstm_pipeline_tests.stubs import (
    GROUPS,
    SCORE,
    make_registry,
    publish,
    refusing,
    runs,
    save_candidate,
    train,
    train_and_publish,
)

FIRST, RETRY = "first", "retry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With v1 of run1."""
    registry = make_registry(tmp_path)
    train_and_publish(registry, "run1")
    return registry


def attempt(
    registry: Registry, run_id: str = FIRST, carries_on: Sequence[str] = (), *, trains: Sequence[str] = (), **more: Any
) -> Publication:
    """A run that trains some groups, unless an attempt before it has, and publishes."""
    for group in trains:
        save_candidate(registry, group, run_id)
    trained = registry.trained_by(GROUPS, [run_id, *carries_on])
    return registry.publish(GROUPS, trained, lambda models: SCORE, run_id=run_id, carries_on=carries_on, **more)


def retried(registry: Registry, **more: Any) -> Publication:
    return attempt(registry, RETRY, (FIRST,), **more)


def test_what_the_first_attempt_published_is_the_retrys_publication(registry: Registry) -> None:
    first = attempt(registry, trains=GROUPS, decide=refusing())
    assert (first.is_new, first.repeated) == (True, False)
    again = retried(registry, decide=refusing(*GROUPS))
    assert (again.is_new, again.repeated) == (False, True)
    assert again.version.record == first.version.record
    assert {group: model.run_id for group, model in again.version.models.items()} == dict.fromkeys(GROUPS, FIRST)
    assert again.decisions == first.decisions
    assert registry.versions() == ["v1", "v2"]


def test_a_publisher_without_trainings_of_its_own_is_repeated_as_well(registry: Registry) -> None:
    train(registry, "run2")
    attempt(registry)
    assert retried(registry).version.record.version == "v2"
    assert registry.versions() == ["v1", "v2"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_there_is_one_version_more_in_the_end(tmp_path: Path, after: bool) -> None:
    root = tmp_path / "root"
    train_and_publish(make_registry(root), "run1")
    train(make_registry(root), FIRST, ["power", "heat"])
    made = operations(root, tmp_path / "dry", lambda place: attempt(make_registry(place)))
    record = len(made) - 1 - made[::-1].index("create")
    for number, name in enumerate(made):
        place = tmp_path / f"crash{number}"
        shutil.copytree(root, place)
        with pytest.raises(Crash), crash_at(number, after=after):
            attempt(make_registry(place))
        registry = make_registry(place)
        published = number > record or (number == record and after)
        if not published:  # killed, it leaves its claim
            registry.store.create(registry.layout.claim("v2"), b"{}")
        done = retried(registry)
        assert done.repeated == published, (number, name)
        assert registry.versions() == ["v1", "v2" if published else "v3"], (number, name)
        assert runs(registry) == dict.fromkeys(GROUPS, FIRST)
        assert [registry.candidates.pending_run(group) for group in GROUPS] == [None, None], (number, name)
        assert retried(registry).version.record == done.version.record


def test_a_claim_and_half_a_folder_of_a_dead_publisher_go_after_a_day_and_cost_nobody_a_number_twice(
    registry: Registry,
) -> None:
    import datetime as dt

    store, layout = registry.store, registry.layout
    store.create(layout.claim("v2"), b"{}")
    store.write(layout.model("power", "v2") / "model.keras", b"half")
    train(registry, FIRST)
    assert retried(registry).version.record.version == "v3"
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    gone = {store.key(removal.path).removeprefix("bucket/plant/") for removal in prune(registry, 5, now=tomorrow)}
    assert {"ensembles/v2.claim", "models/power/v2"} <= gone
    assert registry.versions() == ["v1", "v3"]
    assert runs(registry) == dict.fromkeys(GROUPS, FIRST)


def test_a_later_version_of_another_run_stays_the_latest(registry: Registry) -> None:
    attempt(registry, trains=["power"])
    train_and_publish(registry, "other", ["power"])
    done = retried(registry)
    assert (done.version.record.version, done.repeated) == ("v2", True)
    assert registry.versions() == ["v1", "v2", "v3"]
    assert runs(registry) == {"power": "other", "heat": "run1"}


def test_what_is_new_in_the_retry_is_published_and_replaces_nothing_newer(registry: Registry) -> None:
    attempt(registry, trains=["power"])
    train_and_publish(registry, "other", ["power"])
    done = retried(registry, trains=["heat"])
    assert (done.version.record.version, done.is_new, done.repeated) == ("v4", True, False)
    assert runs(registry) == {"power": "other", "heat": RETRY}
    assert done.version.record.metadata.repeats == [FIRST]
    assert attempt(registry, "third", (RETRY, FIRST)).version.record.version == "v4"
    assert registry.versions() == ["v1", "v2", "v3", "v4"]


def test_what_was_refused_stays_refused_and_its_note_is_made_good(registry: Registry) -> None:
    first = attempt(registry, trains=GROUPS, decide=refusing("power"))
    registry.store.remove(registry.layout.refused("power", FIRST))
    pointer = registry.layout.latest_candidate("power")
    registry.store.write(pointer, f'{{"run_id": "{FIRST}", "published": null}}'.encode())
    assert registry.candidates.pending_run("power") == FIRST
    done = retried(registry, decide=refusing())
    assert (done.repeated, done.version.record) == (True, first.version.record)
    assert [(one.group, one.run_id) for one in registry.refused()] == [("power", FIRST)]
    assert registry.candidates.pending_run("power") is None
    assert registry.versions() == ["v1", "v2"]


def test_a_retry_whose_first_attempt_published_nothing_publishes(registry: Registry) -> None:
    train(registry, FIRST)
    done = retried(registry)
    assert (done.version.record.version, done.is_new, done.repeated) == ("v2", True, False)


def test_a_rolled_back_version_is_not_published_again(registry: Registry) -> None:
    attempt(registry, trains=GROUPS)
    registry.roll_back("v1")
    assert retried(registry).version.record.version == "v2"
    assert registry.resolve() == "v1"
    assert registry.versions() == ["v1", "v2"]


def test_a_publisher_that_was_taken_for_dead_does_not_publish_on_top_of_its_retry(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paused while it scored; the lock was lost, and the retry published what both have trained."""
    train(registry, FIRST)
    scored: list[str] = []

    @contextlib.contextmanager
    def never_held(self: Store, path: object, *, patience: float = 0.0) -> Iterator[Any]:
        yield lambda: False

    def paused(models: object) -> Any:
        if not scored:
            scored.append(retried(make_registry(registry.store.root)).version.record.version)
        return SCORE

    monkeypatch.setattr(Store, "locked", never_held)
    trained = registry.trained_by(GROUPS, [FIRST])
    done = registry.publish(GROUPS, trained, paused, run_id=FIRST)
    assert scored == ["v2"]
    assert (done.version.record.version, done.repeated) == ("v2", True)
    assert registry.versions() == ["v1", "v2"]


def test_a_run_that_repeats_none_publishes_each_time_it_is_asked(registry: Registry) -> None:
    assert [publish(registry).record.version for _ in range(2)] == ["v2", "v3"]


def test_a_damaged_record_hides_no_other(registry: Registry) -> None:
    attempt(registry, trains=GROUPS)
    train_and_publish(registry, "other", ["power"])
    registry.store.write(registry.layout.ensemble("v1"), b"{")
    assert retried(registry).version.record.version == "v2"
