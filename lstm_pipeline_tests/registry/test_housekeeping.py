"""Pruning: what goes, and what never does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.housekeeping import prune
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline_tests.stubs import make_registry, runs, train, train_and_publish, tree


@pytest.fixture(params=["local", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    return make_registry(tmp_path if request.param == "local" else f"memory://{tmp_path.name}/root")


def paths(registry: Registry, keep: int, *, dry_run: bool = False, days: float = 2) -> list[str]:
    """What goes if pruned after so many days."""
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    root = registry.store.key(registry.layout.ensembles).removesuffix("ensembles")
    removals = prune(registry, keep, dry_run=dry_run, now=now)
    return [registry.store.key(removal.path).removeprefix(root) for removal in removals]


def test_the_last_versions_and_their_models_stay(registry: Registry) -> None:
    for run in ("run1", "run2", "run3"):
        train_and_publish(registry, run)
    assert registry.versions() == ["v1", "v2", "v3"]
    gone = paths(registry, keep=2)
    assert gone[0] == "ensembles/v1.json"
    assert {path for path in gone if path.startswith("models/")} == {"models/power/v1", "models/heat/v1"}
    assert registry.versions() == ["v2", "v3"]
    assert registry.load("v2").record.version == "v2"
    assert runs(registry, "v3") == {"power": "run3", "heat": "run3"}
    assert paths(registry, keep=2) == []
    assert train_and_publish(registry, "run4") == "v4"


def test_a_dry_run_says_the_same_and_removes_nothing(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    for run in ("run1", "run2"):
        train_and_publish(registry, run)
    before = tree(tmp_path)
    listed = paths(registry, keep=1, dry_run=True)
    assert tree(tmp_path) == before
    assert paths(registry, keep=1) == listed


def test_a_model_that_a_kept_version_pins_stays(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2", groups=("heat",))
    assert registry.versions() == ["v1", "v2"]
    gone = paths(registry, keep=1)
    assert "models/heat/v1" in gone
    assert "models/power/v1" not in gone
    assert runs(registry, "v2") == {"power": "run1", "heat": "run2"}


def test_the_version_in_use_stays(registry: Registry) -> None:
    for run in ("run1", "run2", "run3"):
        train_and_publish(registry, run)
    registry.roll_back("v1")
    paths(registry, keep=1)
    assert registry.versions() == ["v1", "v3"]
    assert registry.load().record.version == "v1"


def test_the_newest_unpublished_candidate_stays_and_older_ones_go(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train(registry, "run2")
    train(registry, "run3")
    gone = paths(registry, keep=1)
    assert {path for path in gone if path.startswith("candidates/heat")} == {
        "candidates/heat/run1",
        "candidates/heat/run2",
    }
    models = registry.next_models(["power", "heat"])
    assert {model.record.metadata.run_id for model in models.values()} == {"run3"}


def test_what_is_less_than_a_day_old_stays(registry: Registry) -> None:
    """It may belong to a run that is at work, or be somebody's best model of today."""
    train_and_publish(registry, "run1")
    train(registry, "run2")
    train(registry, "run3")
    leave_behind(registry)
    assert paths(registry, keep=1, days=0.9) == []
    assert len(paths(registry, keep=1, days=1.1)) > 0


def leave_behind(registry: Registry) -> set[str]:
    """What processes leave that are killed while they store a candidate, publish, and hold locks."""
    layout, store = registry.layout, registry.store
    left = {
        layout.candidate("heat", "half") / "model.keras": "candidates/heat/half",
        layout.model("heat", "v7") / "model.keras": "models/heat/v7",
        layout.claim("v7"): "ensembles/v7.claim",
        layout.model("heat", "v8") / ".scaler.json.0123.tmp": "models/heat/v8",
        layout.data("predictions").parent / ".predictions.parquet.0123.tmp": "data/.predictions.parquet.0123.tmp",
        layout.ensembles / ".v7.json.lock" / "0123": "ensembles/.v7.json.lock",
        layout.ensembles / ".v7.json.owner": "ensembles/.v7.json.owner",
    }
    for path in left:
        store.write(path, b"half")
    return set(left.values())


def test_what_dead_processes_left_goes_after_a_day(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    left = leave_behind(registry)
    listed = paths(registry, keep=1, dry_run=True)
    assert left <= set(listed)
    assert paths(registry, keep=1) == listed
    assert paths(registry, keep=1) == []
    assert registry.versions() == ["v1"]
    assert runs(registry) == {"power": "run1", "heat": "run1"}
    assert train_and_publish(registry, "run2") == "v2"


def test_pruning_says_what_it_removes_in_a_store_that_was_never_pruned(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    registry.store.create(registry.layout.claim("v1"), b"{}")
    gone = paths(registry, keep=1)
    assert {"models/heat/v1", "models/power/v1", "ensembles/v1.claim"} <= set(gone)


def test_at_least_one_version_is_kept(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    with pytest.raises(RegistryError, match="expected at least 1 version, found 0"):
        prune(registry, 0)
    assert registry.versions() == ["v1"]


def test_nothing_there_is_nothing_to_do(registry: Registry) -> None:
    assert paths(registry, keep=3) == []


# issued forecasts


def issued(registry: Registry, day: int, version: str, run: str = "run") -> str:
    path = registry.layout.issued(dt.datetime(2024, 6, day, tzinfo=dt.UTC), version, run)
    registry.store.write(path, b"forecast")
    return f"forecasts/origin=202406{day:02d}T000000Z/{version}.{run}.parquet"


def test_forecasts_of_versions_that_are_gone_stay_for_a_year(registry: Registry) -> None:
    for run in ("run1", "run2"):
        train_and_publish(registry, run)
    old, new = issued(registry, 1, "v1"), issued(registry, 1, "v2")
    alone = issued(registry, 2, "v1")
    kept = issued(registry, 3, "v2")
    registry.store.write(registry.layout.scores / "2024-06.parquet", b"scores")
    assert not [path for path in paths(registry, keep=1, days=364) if path.startswith("forecasts")]
    assert registry.versions() == ["v2"]
    listed = [path for path in paths(registry, keep=1, dry_run=True, days=366) if "/run" not in path]
    assert [path for path in listed if path.startswith("forecasts")] == [old, alone.rpartition("/")[0]]
    gone = paths(registry, keep=1, days=366)
    assert [path for path in gone if path.startswith("forecasts")] == [old, alone.rpartition("/")[0]]
    left = ["/".join(file.parts) for file in registry.store.files(registry.layout.root)]
    assert [path for path in left if path.startswith("forecasts")] == [new, kept]
    assert "accuracy/scores/2024-06.parquet" in left


def test_forecasts_of_a_version_that_goes_with_this_pruning_go_if_they_are_old(registry: Registry) -> None:
    for run in ("run1", "run2"):
        train_and_publish(registry, run)
    issued(registry, 1, "v1")
    assert "forecasts/origin=20240601T000000Z" in paths(registry, keep=1, days=366)
