"""A publisher or a worker is killed (SIGKILL) and its run done again: nothing is half, and nothing comes twice."""

from __future__ import annotations

import pytest

from lstm_pipeline.registry import Registry
from lstm_pipeline.storage import objects
from lstm_pipeline_tests.storage import victims
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import Place, slow
from lstm_pipeline_tests.storage.test_kills import AFTER_THE_RECORD
from lstm_pipeline_tests.storage.victims import Point, kill_at, left_behind
from lstm_pipeline_tests.stubs import GROUPS, SCORE, make_registry, runs, train, train_and_publish

KILLED = "publishing"  # the run id of the victims
PUBLISHING = [
    slow(Point("create", "v2.claim", "after")),
    Point("copy", "heat/v2/model.keras", "during"),
    slow(Point("write", "power/v2/metadata.json", "during")),
    slow(Point("write", ".json.gz", "during")),
    Point("write", ".json.gz", "after"),
    slow(Point("create", "v2.json", "during")),
    Point("create", "v2.json", "after"),
    slow(Point("remove", "v2.claim", "before")),
    slow(Point("write", "power/latest.json", "during")),
    slow(Point("write", "heat/latest.json", "after")),
]


@pytest.fixture
def registry(place: Place, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """v1, and newer candidates that wait."""
    monkeypatch.setattr(objects, "LOCK_SECONDS", 1.0)
    registry = make_registry(place.uri)
    train_and_publish(registry, "run1")
    train(registry, "run2")
    return registry


@pytest.mark.parametrize("point", PUBLISHING, ids=str)
def test_a_publisher_killed_and_done_again(place: Place, registry: Registry, point: Point, note: Note) -> None:
    before = set(place.files())
    kill_at(point, victims.publish_long_record, place.uri)
    left = left_behind(before, set(place.files()))
    published = point in AFTER_THE_RECORD or point.path == "heat/latest.json"
    assert registry.versions() == (["v1", "v2"] if published else ["v1"])
    done = registry.publish(GROUPS, {}, lambda models: SCORE, run_id="again", carries_on=(KILLED,))
    assert done.repeated == published
    after = registry.versions()
    assert after[-1] == done.version.record.version
    # whether the claim was written before the process died decides the number, not how many versions there are
    assert len(after) == 2
    assert {group: model.run_id for group, model in done.version.models.items()} == dict.fromkeys(GROUPS, "run2")
    assert runs(registry) == dict.fromkeys(GROUPS, "run2")
    assert [registry.candidates.pending_run(group) for group in GROUPS] == [None, None]
    again = registry.publish(GROUPS, {}, lambda models: SCORE, run_id="third", carries_on=(KILLED, "again"))
    assert again.version.record == done.version.record
    assert registry.versions() == after
    note(place.name, f"killed {point}, retried", ", ".join(after), "loads", "–", "publishes nothing twice", left)


@pytest.mark.parametrize(
    "point",
    [
        Point("upload", "run3/model.keras", "during"),
        slow(Point("upload", "run3/history.json", "after")),
        slow(Point("write", "run3/metadata.json", "during")),
    ],
    ids=str,
)
def test_a_worker_killed_while_it_stores_a_model(place: Place, registry: Registry, point: Point, note: Note) -> None:
    kill_at(point, victims.save, place.uri)
    assert not registry.candidates.exists("heat", "run3")
    assert registry.trained_by(GROUPS, ["run3"]) == {}
    victims.save(place.uri)
    assert set(registry.trained_by(GROUPS, ["run3"])) == {"heat"}
    done = registry.publish(GROUPS, registry.trained_by(GROUPS, ["run3"]), lambda models: SCORE, run_id="run3")
    assert runs(registry) == {"power": "run2", "heat": "run3"}
    assert done.version.record.version == "v2"
    note(place.name, f"killed {point}, retried", "v1", "loads", "–", "each model once", "–")
