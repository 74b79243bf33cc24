"""Runs of several groups that fail or are killed, and the runs that carry them on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from lstm_pipeline.orchestration.keys import GROUPS_TAG, LONGEST_TAG, TRAINED, asset_key, groups_tag
from lstm_pipeline.orchestration.resuming import carried_on
from lstm_pipeline.orchestration.trainings import trained_groups
from lstm_pipeline.projects import load_project
from lstm_pipeline.registry import prune
from lstm_pipeline_tests.orchestration import packed
from lstm_pipeline_tests.orchestration.packed import AT_THE_POINT, GROUPS, prepare
from lstm_pipeline_tests.stubs import make_registry, publish, save_candidate, train

RESUMED = {"dagster/is_resume_retry": "true"}


def context(*runs: tuple[str, str | None, Mapping[str, str]]) -> Any:
    """A step's context in the last of these runs: (run id, the run that it repeats, its tags)."""
    known = {
        name: SimpleNamespace(run_id=name, parent_run_id=parent, root_run_id=runs[0][0], tags=tags)
        for name, parent, tags in runs
    }
    return SimpleNamespace(run=known[runs[-1][0]], instance=SimpleNamespace(get_run_by_id=known.get))


def test_which_runs_are_carried_on() -> None:
    assert carried_on(context(("a", None, {}))) == ["a"]
    assert carried_on(context(("a", None, {}), ("b", "a", RESUMED))) == ["b", "a"]
    chain = [("a", None, {}), *((one, before, RESUMED) for before, one in ("ab", "bc", "cd"))]
    assert carried_on(context(*chain)) == ["d", "c", "b", "a"]
    assert carried_on(context(("a", None, {}), ("b", "a", {"dagster/is_asset_resume_retry": "true"}))) == ["b", "a"]
    assert carried_on(context(("a", None, {}), ("b", "a", {}))) == ["b"]  # all steps again
    # c carries b on, which began anew: what a trained is not its business
    assert carried_on(context(("a", None, {}), ("b", "a", {}), ("c", "b", RESUMED))) == ["c", "b"]
    assert carried_on(context(("c", "b", RESUMED))) == ["c", "b"]  # b was deleted


def test_tags_of_many_groups_stay_short() -> None:
    names = [f"group_{number:03d}" for number in range(60)]
    assert groups_tag(names[:3]) == "group_000,group_001,group_002"
    assert groups_tag(names) == "group_000 … group_059 (60 groups)"
    assert len(groups_tag(names[:18])) <= LONGEST_TAG < len(",".join(names))

    def run(tag: str, config: Any = None) -> Any:
        return SimpleNamespace(tags={GROUPS_TAG: tag}, run_config=config or {})

    assert trained_groups(run("a,b")) == ("a", "b")
    assert trained_groups(run("")) == ()
    assert trained_groups(run(groups_tag(names), {"groups": names})) == tuple(names)
    assert trained_groups(run(groups_tag(names))) == ()


def test_a_candidate_without_its_record_does_not_count(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    train(registry, "run1")
    model = save_candidate(registry, "power", "run2")
    registry.store.remove(model.folder / "metadata.json")
    assert not registry.candidates.exists("power", "run2")
    found = registry.trained_by(("power", "heat"), ["run2", "run1"])
    assert {group: each.run_id for group, each in found.items()} == {"power": "run1", "heat": "run1"}
    registry.candidates.require_room(("power",))


def test_a_whole_candidate_that_nothing_names_is_settled(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    first = save_candidate(registry, "power", "run1")
    registry.store.remove(registry.layout.latest_candidate("power"))
    registry.candidates.settle(first)
    assert registry.candidates.pending_run("power") == "run1"
    second = save_candidate(registry, "power", "run2")
    registry.candidates.settle(first)  # an older one, or one of the same second, takes no place
    assert registry.candidates.pending_run("power") == "run2"
    registry.candidates.mark_published("power", "run2", "v1")
    registry.candidates.settle(second)
    pointer = registry.candidates.pointer("power")
    assert pointer is not None
    assert (pointer.run_id, pointer.published) == ("run2", "v1")
    prune_all(registry)
    registry.candidates.settle(first)
    registry.store.remove_all(second.folder)
    registry.candidates.settle(first)  # what the pointer names is gone
    assert registry.candidates.pending_run("power") == "run1"


def prune_all(registry: Any) -> None:
    save_candidate(registry, "heat", "run1")
    publish(registry)
    prune(registry, 1)


class Process:
    """The processes of one project's runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        prepare(folder)
        assert self.run("clean").startswith("succeeded")
        self.registry = load_project(folder / "tiny.yaml", f"{folder}/storage").registry

    def run(self, *arguments: str) -> str:
        process = self._started(*arguments)
        out, _ = process.communicate(timeout=240)
        return out.strip().splitlines()[-1]

    def kill_at(self, point: str) -> None:
        """Trains, and kills the process at the point: `kill -9`."""
        process = self._started("train", point)
        assert process.stdout is not None
        told = next((line for line in process.stdout if AT_THE_POINT in line), "")
        process.kill()
        process.wait(30)
        assert told, "the process ended before it came to the point"

    def _started(self, *arguments: str) -> subprocess.Popen[str]:
        action, *rest = arguments
        command = [sys.executable, "-m", packed.__name__, str(self.folder), action, *rest]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def trained_in(self, run_id: str) -> list[str]:
        return [group for group in GROUPS if self.registry.candidates.exists(group, run_id)]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    yield Process(tmp_path_factory.mktemp("plant"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "kept"), [("candidate", ["energy", "middle"]), ("upload", ["energy"]), ("pointer", ["energy", "middle"])]
)
def test_a_killed_run_is_carried_on(plant: Process, point: str, kept: list[str]) -> None:
    plant.kill_at(point)
    with dg.DagsterInstance.from_config(f"{plant.folder}/home") as instance:
        (died,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    assert plant.trained_in(died.run_id) == kept
    status, resumed = plant.run("resume").split()
    assert status == "succeeded"
    rest = [group for group in GROUPS if group not in kept]
    assert plant.trained_in(resumed) == rest
    expected = {group: resumed if group in rest else died.run_id for group in GROUPS}
    assert {group: plant.registry.candidates.pending_run(group) for group in GROUPS} == expected
    with dg.DagsterInstance.from_config(f"{plant.folder}/home") as instance:
        events = instance.fetch_materializations(asset_key("tiny-plant", TRAINED), limit=100).records
        reported = sorted(event.partition_key or "" for event in events if event.run_id == resumed)
        lines = [entry.user_message for entry in instance.all_logs(resumed)]
        run = instance.get_run_by_id(resumed)
    assert reported == list(GROUPS)
    assert f"already trained in this run or in the one that it carries on: {', '.join(kept)}" in lines
    assert run is not None
    assert run.tags[GROUPS_TAG] == "energy,middle,water"
