"""Candidates that are refused: their group keeps the model in use, and no later version takes them unasked."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import DamagedRecord, Decision, InUse, Publication, Registry, StoredModel, prune
from lstm_pipeline.registry.records import EnsembleRecord
from lstm_pipeline_tests.registry.test_crashes import Crash, crash_at, operations
from lstm_pipeline_tests.stubs import (
    GROUPS,
    SCORE,
    make_registry,
    publish,
    refusing,
    runs,
    train,
    train_and_publish,
    tree,
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With v1 of run1."""
    registry = make_registry(tmp_path)
    train_and_publish(registry, "run1")
    return registry


def publish_refusing(registry: Registry, *groups: str, run_id: str = "publishing") -> Publication:
    return registry.publish(GROUPS, {}, lambda models: SCORE, run_id=run_id, decide=refusing(*groups))


def test_only_promoted_groups_are_in_the_version_and_its_record_says_what_was_decided(registry: Registry) -> None:
    train(registry, "run2")
    made = publish_refusing(registry, "power")
    assert made.is_new
    assert made.version.record.version == registry.resolve() == "v2"
    assert runs(registry) == {"power": "run1", "heat": "run2"}
    assert [(each.group, each.run_id, each.promoted, each.champion_version) for each in made.decisions] == [
        ("power", "run2", False, "v1"),
        ("heat", "run2", True, "v1"),
    ]
    assert registry.ensemble_record("v2").metadata.decisions == made.decisions
    (refused,) = registry.refused()
    assert (refused.group, refused.run_id, refused.decision) == ("power", "run2", made.decisions[0])
    assert abs(refused.when - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


def test_the_score_is_of_the_models_that_the_version_has(registry: Registry) -> None:
    train(registry, "run2")
    scored: list[dict[str, str]] = []

    def score(models: Mapping[str, StoredModel]) -> object:
        scored.append({group: model.run_id for group, model in models.items()})
        return SCORE

    registry.publish(GROUPS, {}, score, run_id="run2", decide=refusing("heat"))  # type: ignore[arg-type]
    assert scored == [{"power": "run2", "heat": "run1"}]


def test_when_none_is_promoted_there_is_no_version_and_nothing_half(registry: Registry, tmp_path: Path) -> None:
    train(registry, "run2")
    before = tree(tmp_path)
    made = publish_refusing(registry, *GROUPS)
    assert not made.is_new
    assert made.version.record == registry.ensemble_record("v1")
    assert [decision.promoted for decision in made.decisions] == [False, False]
    assert registry.versions() == ["v1"]
    changed = {path for path, content in tree(tmp_path).items() if before.get(path) != content}
    assert changed == {
        f"bucket/plant/candidates/{group}/{name}" for group in GROUPS for name in ("run2/refused.json", "latest.json")
    }


def test_a_refused_candidate_is_not_picked_up_by_the_next_version(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    assert registry.candidates.pending_run("power") is None
    assert {group: model.run_id for group, model in registry.next_models(GROUPS).items()} == dict.fromkeys(
        GROUPS, "run1"
    )
    assert train_and_publish(registry, "run3", ["heat"]) == "v2"
    assert runs(registry) == {"power": "run1", "heat": "run3"}
    assert publish(registry).record.version == "v3"  # publishing all newest candidates again does not either
    assert runs(registry) == {"power": "run1", "heat": "run3"}
    assert [refused.run_id for refused in registry.refused()] == ["run2"]


def test_not_even_when_no_version_has_a_model_of_its_group_any_more(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    registry.store.remove(registry.layout.ensemble("v1"))
    with pytest.raises(RegistryError, match="groups without a trained model: power; train them first"):
        publish(registry)


def test_a_newer_candidate_waits_again_and_the_refused_one_stays(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    train(registry, "run3", ["power"])
    assert registry.candidates.pending_run("power") == "run3"
    assert publish_refusing(registry).is_new
    assert runs(registry)["power"] == "run3"
    assert [refused.run_id for refused in registry.refused()] == ["run2"]


def test_a_run_that_trains_a_group_again_is_judged_again(registry: Registry) -> None:
    """As when its step is retried."""
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    train(registry, "run2", ["power"])
    assert registry.refused() == []
    assert registry.candidates.pending_run("power") == "run2"


def test_a_run_that_publishes_again_what_was_refused_is_judged_again(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    trained = registry.trained_by(GROUPS, ["run2"])
    made = registry.publish(GROUPS, trained, lambda models: SCORE, run_id="run2", decide=refusing())
    assert made.is_new
    assert runs(registry) == {"power": "run2", "heat": "run1"}
    assert registry.refused() == []
    assert publish(registry).record.version == "v3"
    assert runs(registry) == {"power": "run2", "heat": "run1"}


def test_what_is_in_use_already_is_not_judged(registry: Registry) -> None:
    trained = registry.trained_by(GROUPS, ["run1"])

    def never(challengers: object, in_use: object) -> list[Decision]:
        pytest.fail("there is nothing new")

    made = registry.publish(GROUPS, trained, lambda models: SCORE, run_id="run1", decide=never)
    assert (made.is_new, made.version.record.version, made.decisions) == (True, "v2", [])


def test_new_models_meet_the_version_in_use_even_if_it_was_rolled_back_to(registry: Registry) -> None:
    train_and_publish(registry, "run2")
    registry.roll_back("v1")
    train(registry, "run3", ["heat"])
    seen: list[str] = []

    def decide(challengers: Mapping[str, StoredModel], in_use: Callable[[], InUse | None]) -> Sequence[Decision]:
        found = in_use()
        assert found is not None
        seen.extend([found.record.version, *(model.run_id for group in GROUPS if (model := found.model(group)))])
        assert found.model("water") is None
        return refusing()(challengers, in_use)

    made = registry.publish(GROUPS, {}, lambda models: SCORE, run_id="run3", decide=decide)
    assert seen == ["v1", "run1", "run1"]
    assert (made.version.record.version, registry.resolve(), registry.rolled_back_to()) == ("v3", "v3", None)
    assert runs(registry) == {"power": "run1", "heat": "run3"}


def test_a_refusal_does_not_end_a_roll_back(registry: Registry) -> None:
    train_and_publish(registry, "run2")
    registry.roll_back("v1")
    train(registry, "run3")
    assert publish_refusing(registry, *GROUPS).version.record.version == "v1"
    assert registry.rolled_back_to() == "v1"


def test_there_is_nothing_in_use_before_the_first_version(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    train(registry, "run1")
    made = publish_refusing(registry)
    assert made.is_new
    assert {decision.champion_version for decision in made.decisions} == {None}


def test_a_damaged_version_in_use_is_told_apart_from_a_store_that_does_not_answer(registry: Registry) -> None:
    in_use = registry._promotion.in_use()
    assert in_use is not None
    folder = registry.layout.model("heat", "v1")
    registry.store.write(folder / "model.keras", b"altered")
    with pytest.raises(DamagedRecord, match=r"is not the file that was published: .*, or train 'heat' again$"):
        in_use.model("heat")
    registry.store.remove(folder / "model.keras")
    with pytest.raises(DamagedRecord, match="does not exist"):
        in_use.model("heat")
    registry.store.write(registry.layout.ensemble("v1"), b"{}")
    with pytest.raises(DamagedRecord):
        registry._promotion.in_use()


def test_a_record_from_before_there_were_decisions_still_loads(registry: Registry) -> None:
    path = registry.layout.ensemble("v1")
    data = json.loads(registry.store.read(path))
    assert data["metadata"].pop("decisions") == []
    registry.store.write(path, json.dumps(data).encode())
    assert registry.load("v1").record.metadata.decisions == []
    assert EnsembleRecord.model_validate(data).version == "v1"


def test_a_damaged_note_of_a_refusal_is_named_and_still_refuses(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    path = registry.layout.refused("power", "run2")
    registry.store.write(path, b'{"half": ')
    with pytest.raises(RegistryError, match=r"power/run2/refused\.json is damaged"):
        registry.refused()
    assert registry.candidates.pending_run("power") is None


# housekeeping


def pruned(registry: Registry, days: float) -> list[tuple[str, str]]:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    return [(removal.path.name, removal.reason) for removal in prune(registry, 5, now=now)]


def test_a_refused_candidate_is_kept_for_a_day_and_then_pruned(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    assert pruned(registry, 0.9) == []
    assert ("run2", "candidate that was refused") in pruned(registry, 1.1)
    assert registry.refused() == []
    assert registry.candidates.pending_run("power") is None
    assert train_and_publish(registry, "run3", ["heat"]) == "v2"  # the newest candidate is gone, and that is all right
    assert runs(registry) == {"power": "run1", "heat": "run3"}


def test_a_refused_candidate_of_which_a_killed_prune_left_a_part_does_not_wait(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    registry.store.remove(registry.layout.refused("power", "run2"))  # the first file to go
    assert registry.candidates.pending_run("power") is None
    assert publish(registry).record.version == "v2"
    assert runs(registry)["power"] == "run1"


# crashes


def test_the_note_in_the_candidates_folder_is_enough(registry: Registry) -> None:
    """As after a crash between the two notes of a refusal."""
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    registry.store.write(registry.layout.latest_candidate("power"), b'{"run_id": "run2", "published": null}')
    assert registry.candidates.pending_run("power") is None
    publish(registry)
    assert runs(registry)["power"] == "run1"


def refuse_power(root: Path) -> Publication:
    return publish_refusing(make_registry(root), "power")


def refuse_all(root: Path) -> Publication:
    return publish_refusing(make_registry(root), *GROUPS)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("action", [refuse_power, refuse_all])
def test_a_crash_at_any_step_never_publishes_what_is_refused(
    registry: Registry, tmp_path: Path, action: Callable[[Path], Publication], after: bool
) -> None:
    """A candidate whose refusal was not noted yet still waits, and is judged again."""
    train(registry, "run2")
    made = operations(tmp_path / "bucket", tmp_path / "dry" / "bucket", lambda root: action(root.parent))
    noted = [index for index, name in enumerate(made) if name == "write"]
    assert len(noted) >= 2
    for number in range(len(made)):
        root = tmp_path / f"crash{number}"
        shutil.copytree(tmp_path / "bucket", root / "bucket")
        with pytest.raises(Crash), crash_at(number, after=after):
            action(root)
        crashed = make_registry(root)
        assert all(run == "run1" for version in crashed.versions() for run in [runs(crashed, version)["power"]])
        again = action(root)
        assert runs(crashed)["power"] == "run1"
        assert runs(crashed)["heat"] == ("run2" if action is refuse_power else "run1")
        assert crashed.candidates.pending_run("power") is None
        assert ("power", "run2") in {(refused.group, refused.run_id) for refused in crashed.refused()}
        assert [path for path in tree(root) if path.endswith(".tmp")] == []
        assert again.version.record.version == crashed.resolve()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_while_a_refused_candidate_is_promoted_leaves_it_refused_or_published(
    registry: Registry, tmp_path: Path, after: bool
) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")

    def promote(root: Path) -> Publication:
        other = make_registry(root.parent if root.name == "bucket" else root)
        trained = {"power": other.candidates.load("power", "run2")}
        return other.publish(GROUPS, trained, lambda models: SCORE, run_id="by hand", decide=refusing())

    made = operations(tmp_path / "bucket", tmp_path / "dry" / "bucket", promote)
    for number in range(len(made)):
        root = tmp_path / f"crash{number}"
        shutil.copytree(tmp_path / "bucket", root / "bucket")
        with pytest.raises(Crash), crash_at(number, after=after):
            promote(root)
        crashed = make_registry(root)
        published = crashed.versions() == ["v1", "v2"]
        assert runs(crashed)["power"] == ("run2" if published else "run1")
        assert len(crashed.refused()) == (0 if published else 1)
        publish(crashed)
        assert runs(crashed)["power"] == ("run2" if published else "run1")
