"""A damaged small file of candidates costs what it describes and no more; and two people at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import Registry, StoredModel, prune
from lstm_pipeline.storage import sha256
from lstm_pipeline_tests.registry.test_refusals import pruned, publish_refusing
from lstm_pipeline_tests.stubs import GROUPS, SCORE, make_registry, publish, runs, train, train_and_publish


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """v1 with the models of run1."""
    registry = make_registry(tmp_path)
    train_and_publish(registry, "run1")
    return registry


@pytest.mark.parametrize("content", [b'{"half": ', b"[]", b"", b"\xff", None], ids=repr)
def test_a_damaged_note_of_a_refusal_hides_no_other(registry: Registry, content: bytes | None) -> None:
    """None: a folder in its place."""
    train(registry, "run2")
    publish_refusing(registry, *GROUPS)
    path = registry.layout.refused("power", "run2")
    registry.store.remove(path)
    registry.store.write(path if content is not None else path / "x", content or b"")
    damaged: list[str] = []
    assert [refused.group for refused in registry.refused(damaged)] == ["heat"]
    (sentence,) = damaged
    assert sentence.startswith(str(path))
    assert sentence.endswith(
        f"; the candidate stays refused, but why is lost; remove {path.parent}, or let `lstm-pipeline prune` do so a "
        "day after it was trained"
    )
    assert registry.candidates.pending_run("power") is None
    if content is not None:
        assert "run2" in {name for name, _ in pruned(registry, 1.1)}
        assert registry.refused() == []


def test_a_note_that_names_no_time_is_damaged(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    path = registry.layout.refused("power", "run2")
    path.write_text(path.read_text().replace('"refused_at": "20', '"refused_at": "once in 20'))
    damaged: list[str] = []
    assert registry.refused(damaged) == []
    assert "refused.json is damaged: refused_at" in damaged[0]


def test_files_among_the_groups_are_nobodys_and_one_in_the_place_of_all_is_told(registry: Registry) -> None:
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    registry.store.write(registry.layout.candidates / "README.txt", b"ours")
    assert [refused.run_id for refused in registry.refused()] == ["run2"]
    assert prune(registry, 1) == []
    registry.store.remove_all(registry.layout.candidates)
    registry.store.write(registry.layout.candidates, b"a file")
    with pytest.raises(RegistryError, match="candidates is not a folder"):
        registry.refused([])


def test_a_damaged_pointer_costs_its_own_group_only(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    train(registry, "run2")
    registry.layout.latest_candidate("heat").write_bytes(b"{")
    registry.candidates.require_room(GROUPS)  # training is what mends it
    mine = registry.trained_by(GROUPS, ["run2"])
    registry.publish(GROUPS, {"power": mine["power"]}, lambda models: SCORE, run_id="run2")
    assert runs(registry) == {"power": "run2", "heat": "run1"}
    assert "heat/latest.json is damaged" in caplog.text
    assert "train 'heat' again, which writes it anew" in caplog.text
    names = {name for name, _ in pruned(registry, 2)}
    assert names == {"run1", "run2"}  # of power
    assert {path.name for path in (registry.layout.candidates / "heat").iterdir()} == {"latest.json", "run1", "run2"}
    train(registry, "run3", ["heat"])
    assert registry.candidates.pending_run("heat") == "run3"


def test_promoting_by_hand_while_a_run_publishes_comes_after_it(registry: Registry) -> None:
    """The publisher of `heat` is scoring when somebody promotes the refused model of `power`."""
    train(registry, "run2", ["power"])
    publish_refusing(registry, "power")
    train(registry, "run3", ["heat"])
    by_hand = registry.trained_by(["power"], ["run2"])
    promoting = threading.Thread(
        target=lambda: make_registry(str(registry.store.root)).publish(
            GROUPS, by_hand, lambda models: SCORE, run_id="promote"
        )
    )

    def score(models: Mapping[str, StoredModel]) -> object:
        promoting.start()
        promoting.join(0.3)
        assert promoting.is_alive()  # it waits for its turn
        return SCORE

    trained = registry.trained_by(["heat"], ["run3"])
    registry.publish(GROUPS, trained, score, run_id="run3")  # type: ignore[arg-type]
    promoting.join(20)
    assert registry.versions() == ["v1", "v2", "v3"]
    assert [runs(registry, version) for version in ("v2", "v3")] == [
        {"power": "run1", "heat": "run3"},
        {"power": "run2", "heat": "run3"},
    ]
    assert registry.refused() == []


def test_a_file_that_was_swapped_after_the_training_is_published_by_nobody(registry: Registry) -> None:
    """The network of `heat` in the place of that of `power`: both are whole, and neither would be missed."""
    train(registry, "run2")
    mine, other = (registry.layout.candidate(group, "run2") / "model.keras" for group in ("power", "heat"))
    stored = mine.read_bytes()
    mine.write_bytes(other.read_bytes())
    with pytest.raises(RegistryError) as caught:
        publish(registry)
    assert str(caught.value) == (
        f"{mine} is not the file that the training stored: expected SHA-256 {sha256(stored)[:12]}…, found "
        f"{sha256(other.read_bytes())[:12]}…; put the stored file back, or train 'power' again"
    )
    assert registry.versions() == ["v1"]
    mine.write_bytes(stored)
    published = publish(registry).models["power"].record
    assert published.checksums["model.keras"] == sha256(stored)
    assert set(published.checksums) == set(published.metadata.files) - {"metadata.json"}


def test_a_candidate_of_an_earlier_release_has_no_checksums(registry: Registry) -> None:
    train(registry, "run2")
    path = registry.layout.candidate("power", "run2") / "metadata.json"
    record = json.loads(path.read_text())
    del record["checksums"]
    path.write_text(json.dumps(record))
    assert publish(registry).record.version == "v2"
