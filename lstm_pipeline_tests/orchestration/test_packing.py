"""How many groups a run of a back-fill trains: what the spec says, what was measured, and a store that says nothing."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

from lstm_pipeline.errors import RegistryError, SpecError
from lstm_pipeline.orchestration import packing
from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.coordinator import partitions_of
from lstm_pipeline.orchestration.packing import ask, groups_per_run
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline.registry import Registry
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.forecasting.test_costs import costs
from lstm_pipeline_tests.orchestration.plant import spec


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_asked", {})
    monkeypatch.setattr(packing, "_silent_until", {})


def many(folder: Path, count: int = 12, name: str = "tiny-plant", **training: Any) -> Project:
    """A project with so many groups of one feature."""
    groups = {f"g{number:03}": [f"f{number:03}"] for number in range(count)}
    names = [name for own in groups.values() for name in own]
    data = spec(feature_groups=groups, features_to_predict=names, models_config={}, **training)
    for product in ("model_metadata", "predictions"):
        for step in data[product]["transformations"]:
            if "project_name" in step:
                step["project_name"] = name
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    return load_project(folder / f"{name}.yaml", str(folder / "storage"))


def policy(project: Project) -> int | None:
    (asset,) = [
        one for one in build_assets(project) if isinstance(one, dg.AssetsDefinition) and "trained_model" in str(one.key)
    ]
    assert asset.backfill_policy is not None
    return asset.backfill_policy.max_partitions_per_run


def test_the_spec_says_how_many_and_otherwise_the_latest_training(tmp_path: Path) -> None:
    assert policy(many(tmp_path, groups_per_run=5)) == 5
    assert policy(many(tmp_path, groups_per_run=50)) == 12
    assert policy(many(tmp_path, 3, groups_per_run=2)) == 2
    assert policy(many(tmp_path, 8)) == 1
    project = many(tmp_path)
    assert policy(project) == 1  # nothing is known: a group is taken to train for longer than a start
    project.registry.keep_costs(costs(10.0, 2.0))
    assert policy(project) == 4
    with pytest.raises(SpecError, match="groups_per_run"):
        many(tmp_path, groups_per_run=0)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"half": ', b"\xff", b'{"run_id": "a"}', b"true"], ids=["empty", *"abcd", "true"]
)
def test_a_damaged_measurement_is_none(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    project = many(tmp_path)
    project.registry.store.write(project.registry.layout.costs, content)
    assert project.registry.costs() is None
    assert groups_per_run(project) == 1
    assert "what the latest training cost is not known" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("group_seconds", 0), ("group_seconds", "3"), ("start_seconds", -1), ("groups", True)]
)
def test_a_measurement_is_read_strictly(tmp_path: Path, name: str, value: Any) -> None:
    registry = many(tmp_path).registry
    found = costs(10.0, 2.0)
    registry.keep_costs(found)
    assert registry.costs() == found
    registry.store.write(registry.layout.costs, to_json({**found.to_json(), name: value}))
    assert registry.costs() is None


def test_a_store_that_fails_takes_no_measurement_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = many(tmp_path)

    def failing(*_: Any) -> Any:
        raise RegistryError("the store could not be reached")

    monkeypatch.setattr(project.registry.store, "write", failing)
    project.registry.keep_costs(costs(10.0, 2.0))
    monkeypatch.setattr(project.registry.store, "exists", failing)
    assert groups_per_run(project) == 1


def test_a_store_that_does_not_answer_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    projects = [many(tmp_path, name=f"plant{number}") for number in range(20)]
    monkeypatch.setattr(packing, "PATIENCE", 0.3)
    monkeypatch.setattr(Registry, "costs", lambda self: time.sleep(5))
    began = time.monotonic()
    assert [groups_per_run(project) for project in projects] == [1] * 20
    assert time.monotonic() - began < 2
    monkeypatch.setattr(packing, "_silent_until", {})
    ask(projects)
    assert [groups_per_run(project) for project in projects] == [1] * 20
    assert time.monotonic() - began < 4


def test_all_projects_are_asked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    projects = [many(tmp_path, name=f"plant{number}") for number in range(20)]

    def slow(self: Registry) -> Any:
        time.sleep(0.3)
        return costs(10.0, 2.0)

    monkeypatch.setattr(Registry, "costs", slow)
    began = time.monotonic()
    ask(projects)
    assert [groups_per_run(project) for project in projects] == [4] * 20
    assert time.monotonic() - began < 3


def test_which_partitions_a_run_has() -> None:
    known = dg.StaticPartitionsDefinition(list("abcde"))

    def run(first: str | None = None, last: str | None = None, one: str | None = None) -> Any:
        tags = {
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            "dagster/partition": one,
        }
        return SimpleNamespace(tags={name: value for name, value in tags.items() if value})

    assert partitions_of(run("b", "d"), known) == ["b", "c", "d"]
    assert partitions_of(run("b", "b"), None) == ["b"]
    assert partitions_of(run(one="c"), known) == ["c"]
    assert partitions_of(run(), known) == []
    assert partitions_of(run("b", "d"), None) == []
