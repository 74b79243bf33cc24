"""A process killed while it writes: what was there before stays, and doing it again does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from lstm_pipeline.storage import objects
from lstm_pipeline_tests.storage import victims
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import Place, slow
from lstm_pipeline_tests.storage.victims import Operation, Point, When, kill_at, left_behind
from lstm_pipeline_tests.stubs import BUCKET, PROJECT, make_registry, publish, runs, train, train_and_publish

HEAT = f"{BUCKET}/{PROJECT}/candidates/heat"


def rare(operation: Operation, path: str, when: When) -> ParameterSet:
    return slow(Point(operation, path, when))


SAVING = [
    Point("upload", "run3/model.keras", "during"),
    rare("upload", "run3/scaler.json", "during"),
    rare("upload", "run3/history.json", "during"),
    rare("write", "run3/metadata.json", "during"),
    rare("write", "heat/latest.json", "before"),
    Point("write", "heat/latest.json", "during"),
    rare("write", "heat/latest.json", "after"),
]
PUBLISHING = [
    rare("create", "v2.claim", "before"),
    Point("create", "v2.claim", "during"),
    rare("create", "v2.claim", "after"),
    Point("copy", "power/v2/model.keras", "during"),
    rare("copy", "power/v2/scaler.json", "during"),
    rare("copy", "power/v2/history.json", "during"),
    rare("write", "power/v2/metadata.json", "during"),
    rare("copy", "heat/v2/model.keras", "during"),
    rare("write", "heat/v2/metadata.json", "after"),
    rare("create", "v2.json", "before"),
    Point("create", "v2.json", "during"),
    Point("create", "v2.json", "after"),
    rare("remove", "v2.claim", "before"),
    rare("remove", "v2.claim", "after"),
    Point("write", "power/latest.json", "during"),
    rare("write", "power/latest.json", "after"),
]
REFUSING = [
    (victims.refuse_power, rare("create", "v2.json", "during")),
    (victims.refuse_power, rare("create", "v2.json", "after")),
    (victims.refuse_power, Point("write", "power/run2/refused.json", "during")),
    (victims.refuse_power, rare("write", "power/run2/refused.json", "after")),
    (victims.refuse_all, Point("write", "power/run2/refused.json", "during")),
    (victims.refuse_all, Point("write", "power/latest.json", "during")),
    (victims.refuse_all, rare("write", "heat/run2/refused.json", "during")),
]
AFTER_THE_RECORD = [
    Point("create", "v2.json", "after"),
    Point("remove", "v2.claim", "before"),
    Point("remove", "v2.claim", "after"),
    Point("write", "power/latest.json", "during"),
    Point("write", "power/latest.json", "after"),
]
FRAMES = [
    (victims.write_predictions, Point("write", "predictions.parquet", "during")),
    (victims.write_metadata_table, Point("write", "model_metadata.parquet", "during")),
]
ROLLING_BACK = [
    rare("write", "rollback.json", "before"),
    Point("write", "rollback.json", "during"),
    rare("write", "rollback.json", "after"),
]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1, its metadata table and predictions, and newer candidates that wait."""
    root = tmp_path_factory.mktemp("waiting")
    train_and_publish(make_registry(root), "run1")
    victims.write_predictions(str(root), 1.0)
    victims.write_metadata_table(str(root), 1.0)
    train(make_registry(root), "run2")
    return root


@pytest.fixture
def old(place: Place, waiting: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A copy of it in this place: the files that may not change."""
    monkeypatch.setattr(objects, "LOCK_SECONDS", 1.0)
    place.fill(waiting)
    return {path: content for path, content in place.files().items() if "candidates" not in path}


def kill(place: Place, action: Callable[..., None], point: Point) -> str:
    before = set(place.files())
    kill_at(point, action, place.uri)
    return left_behind(before, set(place.files()))


def frame_value(place: Place, asset: str) -> float:
    (value,) = set(victims.read_frame(place.uri, asset))
    return value


def intact(place: Place, old: dict[str, bytes], *, but: str = "nothing") -> None:
    """The previous version and frames are there, byte for byte, and the version loads."""
    now = place.files()
    assert {path: now.get(path) for path in old if but not in path} == {p: c for p, c in old.items() if but not in p}
    assert runs(make_registry(place.uri), "v1") == {"power": "run1", "heat": "run1"}
    if but != "predictions":
        assert frame_value(place, "predictions") == 1.0


@pytest.mark.parametrize("point", SAVING, ids=str)
def test_while_a_candidate_is_saved(place: Place, old: dict[str, bytes], point: Point, note: Note) -> None:
    left = kill(place, victims.save, point)
    intact(place, old)
    registry = make_registry(place.uri)
    assert registry.versions() == ["v1"]
    complete = point.path.endswith("latest.json") and point.when == "after"
    assert registry.next_models(["heat"])["heat"].record.metadata.run_id == ("run3" if complete else "run2")
    victims.save(place.uri)
    again = publish(registry).record.version
    assert again == "v2"
    assert runs(registry) == {"power": "run2", "heat": "run3"}
    intact(place, old)
    note(place.name, f"killed {point}", "v1", "loads", "same bytes", "publishes v2", left)


@pytest.mark.parametrize("point", PUBLISHING, ids=str)
def test_while_a_version_is_published(place: Place, old: dict[str, bytes], point: Point, note: Note) -> None:
    left = kill(place, victims.publish_candidates, point)
    intact(place, old)
    registry = make_registry(place.uri)
    after = registry.versions()
    assert after == (["v1", "v2"] if point in AFTER_THE_RECORD else ["v1"])
    for version in after:
        assert runs(registry, version) == dict.fromkeys(("power", "heat"), "run1" if version == "v1" else "run2")
    again = publish(registry).record.version
    assert registry.resolve() == again not in after
    assert runs(registry) == {"power": "run2", "heat": "run2"}
    assert "lock" not in left_behind(set(old), set(place.files())) or point.path == "v2.json"
    intact(place, old)
    note(place.name, f"killed {point}", ", ".join(after), "loads", "same bytes", f"publishes {again}", left)


@pytest.mark.parametrize(
    ("action", "point"),
    [pytest.param(action, *point.values, marks=point.marks) if isinstance(point, ParameterSet) else (action, point)
     for action, point in REFUSING],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)  # fmt: skip
def test_while_a_candidate_is_refused(
    place: Place, old: dict[str, bytes], action: Callable[..., None], point: Point, note: Note
) -> None:
    """Half of a note is no note: the candidate still waits and is judged again. It is never in a version."""
    left = kill(place, action, point)
    intact(place, old)
    registry = make_registry(place.uri)
    after = registry.versions()
    assert {runs(registry, version)["power"] for version in after} == {"run1"}
    for refused in registry.candidates.refused():
        assert refused.decision.reason == "a test"
    action(place.uri)
    heat = "run2" if action is victims.refuse_power else "run1"
    assert runs(registry) == {"power": "run1", "heat": heat}
    assert publish(registry).record.version == registry.resolve()
    assert runs(registry) == {"power": "run1", "heat": heat}
    intact(place, old)
    note(place.name, f"killed {point}", ", ".join(after), "loads", "same bytes", "refuses it", left)


@pytest.mark.parametrize(("action", "point"), FRAMES, ids=["predictions", "metadata table"])
def test_while_a_frame_is_written(
    place: Place, old: dict[str, bytes], action: Callable[..., None], point: Point, note: Note
) -> None:
    asset = point.path.removesuffix(".parquet")
    left = kill(place, action, point)
    intact(place, old)
    assert frame_value(place, asset) == 1.0
    action(place.uri)
    assert frame_value(place, asset) == 2.0
    intact(place, old, but=asset)
    note(place.name, f"killed {point}", "v1", "loads", "same bytes", "writes it", left)


@pytest.mark.parametrize("point", ROLLING_BACK, ids=str)
def test_while_a_version_is_rolled_back_to(place: Place, old: dict[str, bytes], point: Point, note: Note) -> None:
    registry = make_registry(place.uri)
    publish(registry)
    left = kill(place, victims.roll_back, point)
    assert registry.resolve() == ("v1" if point.when == "after" else "v2")
    assert runs(registry, "v2") == {"power": "run2", "heat": "run2"}
    registry.roll_back("v1")
    assert registry.resolve() == "v1"
    intact(place, old)
    note(place.name, f"killed {point}", "v1, v2", "loads", "same bytes", "rolls back", left)


@pytest.mark.slow
def test_a_lock_that_a_dead_process_left_holds_the_next_publisher_up_and_no_more(on_rclone: Place, note: Note) -> None:
    """With the lock's real age limit: doing it again at once waits and succeeds."""
    registry = make_registry(on_rclone.uri)
    train_and_publish(registry, "run1")
    train(registry, "run2")
    point = Point("create", "v2.claim", "during")
    assert kill(on_rclone, victims.publish_candidates, point) == "lock"
    assert publish(registry).record.version == "v2"
    assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}
    assert not any(".lock" in path for path in on_rclone.files())
    note("rclone", f"killed {point}, lock of 60 s", "v1", "loads", "–", "publishes v2 after a minute", "lock")
