"""A run that is killed while it stores a model leaves half a candidate, which counts as none."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import Registry, candidates, prune
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.registry.test_crashes import Crash, crash_at, operations
from lstm_pipeline_tests.stubs import GROUPS, make_registry, publish, runs, save_candidate, train, train_and_publish


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With v1 of run1."""
    registry = make_registry(tmp_path)
    train_and_publish(registry, "run1")
    return registry


def halve(registry: Registry, group: str, run_id: str) -> None:
    """What is there before metadata.json is."""
    folder = registry.layout.candidate(group, run_id)
    registry.store.write(folder / "model.keras", b"whole")
    registry.store.write(folder / "scaler.json", b"ha")


def test_it_is_no_candidate(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    train(registry, "run2", ["power"])
    halve(registry, "heat", "run2")
    assert registry.candidates.exists("power", "run2")
    assert not registry.candidates.exists("heat", "run2")
    assert registry.candidates.find("heat", "run2") is None
    assert set(registry.trained_by(GROUPS, ["run2"])) == {"power"}
    found = registry.trained_by(GROUPS, ["run2", "run1"])
    assert {group: model.run_id for group, model in found.items()} == {"power": "run2", "heat": "run1"}


def test_a_pointer_to_it_is_worth_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run trained the group twice, and died the second time."""
    asked: list[int] = []
    train(registry, "run2", ["heat"])
    monkeypatch.setattr(Store, "require_room", lambda self, folder, size: asked.append(size))
    registry.candidates.require_room(["heat"])
    registry.store.remove(registry.layout.candidate("heat", "run2") / "metadata.json")
    registry.candidates.require_room(["heat"])
    assert asked[0] < 10_000
    assert asked[1] == 2 * candidates.USUAL_SIZE
    assert registry.next_models(GROUPS)["heat"].run_id == "run1"
    publish(registry)
    assert runs(registry) == {"power": "run1", "heat": "run1"}


def test_a_group_that_has_nothing_else_is_not_trained(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    train(registry, "run1", ["power"])
    halve(registry, "heat", "run1")
    with pytest.raises(RegistryError, match="groups without a trained model: heat; train them first"):
        publish(registry)


def test_pruning_takes_it_after_a_day(registry: Registry) -> None:
    halve(registry, "heat", "half")
    now = dt.datetime.now(dt.UTC)
    assert not prune(registry, 1, now=now + dt.timedelta(hours=20))
    gone = {
        removal.path.name: (removal.reason, removal.size)
        for removal in prune(registry, 1, now=now + dt.timedelta(days=2))
    }
    assert gone["half"] == ("half a candidate, of a run that died", 7)
    assert gone["run1"][0] == "candidate of an earlier run"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_training_a_group_again_in_the_same_run_leaves_no_mixture(tmp_path: Path, after: bool) -> None:
    """Killed at any step: the candidate is whole, of one of the two trainings, or does not count."""
    root = tmp_path / "root"
    train_and_publish(make_registry(root), "run1")
    save_candidate(make_registry(root), "heat", "run2")
    folder = make_registry(root).layout.candidate("heat", "run2").relative_to(make_registry(root).layout.root)

    def save(place: Path) -> Any:
        return save_candidate(make_registry(place), "heat", "run2")

    for name in ("model.keras", "scaler.json", "history.json"):
        (Path(root) / "bucket/plant" / str(folder) / name).write_bytes(b"of the first training")
    record = Path(root) / "bucket/plant" / str(folder) / "metadata.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "checksums": {}}))
    made = operations(root, tmp_path / "dry", save)
    for number in range(len(made)):
        place = tmp_path / f"crash{number}"
        shutil.copytree(root, place)
        with pytest.raises(Crash), crash_at(number, after=after):
            save(place)
        registry = make_registry(place)
        found = registry.candidates.find("heat", "run2")
        files = Path(registry.layout.candidate("heat", "run2").path)
        first = {
            (files / name).exists() and (files / name).read_bytes() == b"of the first training"
            for name in ("model.keras", "scaler.json", "history.json")
        }
        assert found is None or len(first) == 1, (number, made[number])
        publish(registry)
        assert runs(registry)["heat"] in ("run2" if found else "run1", "run2")
