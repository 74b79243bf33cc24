"""What is missing, altered, cut off or points elsewhere is told with its name, and never opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline_tests.stubs import (
    BUCKET,
    GROUPS,
    make_registry,
    publish,
    runs,
    save_candidate,
    train,
    train_and_publish,
    tree,
)

HEAT = Path("bucket/plant/models/heat/v1")
RECORD = Path("bucket/plant/ensembles/v2.json")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """v1, and v2 that pins its `heat`."""
    registry = make_registry(tmp_path)
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2", ["power"])
    return registry


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty, Path.unlink])
@pytest.mark.parametrize("name", ["model.keras", "scaler.json", "history.json", "metadata.json"])
def test_a_damaged_file_of_a_version_is_named(
    registry: Registry, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(tmp_path / HEAT / name)
    with pytest.raises(RegistryError, match=f"{HEAT / name} (is not|does not exist)"):
        registry.load()


def test_a_damaged_file_says_what_was_expected_and_found(registry: Registry, tmp_path: Path) -> None:
    expected = registry.load().record.metadata.individual_models[1].files[0]
    cut(tmp_path / HEAT / "model.keras")
    with pytest.raises(RegistryError) as error:
        registry.load()
    assert f"expected {expected.size} bytes with SHA-256 {expected.sha256[:12]}" in str(error.value)
    assert f"found {expected.size - 1} bytes" in str(error.value)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_version_that_pins_a_damaged_model_is_not_published(
    registry: Registry, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    train(registry, "run3", ["power"])
    damage(tmp_path / HEAT / "model.keras")
    with pytest.raises(RegistryError, match=r"heat/v1/model\.keras"):
        publish(registry)
    assert registry.versions() == ["v1", "v2"]
    assert not [path for path in tree(tmp_path) if path.endswith(".claim")]


def test_other_versions_stay_usable_beside_a_damaged_one(registry: Registry, tmp_path: Path) -> None:
    flip(tmp_path / "bucket/plant/models/power/v2/model.keras")
    with pytest.raises(RegistryError):
        registry.load()
    registry.roll_back("v1")
    assert runs(registry) == {"power": "run1", "heat": "run1"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"metadata": {}}'], ids=lambda content: repr(content)
)
def test_a_damaged_record_is_named(registry: Registry, tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(RegistryError, match=r"ensembles/v2\.json is damaged"):
        registry.load()
    assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}


@pytest.mark.parametrize("key", ["metadata", "created_at", "metadata_path"])
def test_a_record_without_a_field_is_named_with_the_field(registry: Registry, tmp_path: Path, key: str) -> None:
    data = json.loads((tmp_path / RECORD).read_text())
    del data[key]
    (tmp_path / RECORD).write_text(json.dumps(data))
    with pytest.raises(RegistryError, match=rf"v2\.json is damaged: {key}: Field required"):
        registry.load()


def alter_heat(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((tmp_path / RECORD).read_text())
    change(data["metadata"]["individual_models"][1])
    (tmp_path / RECORD).write_text(json.dumps(data))


@pytest.mark.parametrize("sha", ["", "0" * 63, "z" * 64, "0" * 64])
def test_an_altered_checksum_is_refused(registry: Registry, tmp_path: Path, sha: str) -> None:
    alter_heat(tmp_path, lambda heat: heat["files"][0].update(sha256=sha))
    with pytest.raises(RegistryError, match=r"v2\.json is damaged|model\.keras is not the file"):
        registry.load()


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_record_without_all_checksums_is_refused(registry: Registry, tmp_path: Path, kept: int) -> None:
    """Else whoever drops a line from it could put any file in the place of a model."""
    alter_heat(tmp_path, lambda heat: heat.update(files=heat["files"][:kept]))
    with pytest.raises(RegistryError, match=r"record is damaged: it has no checksum for .*heat/v1/metadata\.json"):
        registry.load()


PATHS = ["../../outside", "/etc/passwd", "bucket/../../outside", "a\\..\\b", "bucket//plant", "", "a\0b"]


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_record_cannot_name_a_file_outside_the_root(registry: Registry, tmp_path: Path, path: str) -> None:
    alter_heat(tmp_path, lambda heat: heat["files"][0].update(path=path))
    with pytest.raises(RegistryError, match=r"not a path under the storage root|no checksum"):
        registry.load()
    alter_heat(tmp_path, lambda heat: heat.update(model_path=path))
    with pytest.raises(RegistryError, match="not a path under the storage root"):
        registry.load()
    with pytest.raises(RegistryError, match="not a path under the storage root"):
        registry.next_models(GROUPS)


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "a/../../b", ".", ""], ids=repr)
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    with pytest.raises(RegistryError, match="not a path under"):
        save_candidate(make_registry(root), name, "run1")
    with pytest.raises(RegistryError, match="not a path under"):
        save_candidate(make_registry(root), "heat", name)
    with pytest.raises(RegistryError, match="not a path under"):
        Registry(make_registry(root).store, name, "plant").versions()
    with pytest.raises(RegistryError, match="not a path under"):
        Registry(make_registry(root).store, BUCKET, name).versions()
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"run_id": 3}'], ids=repr)
def test_a_damaged_candidate_pointer_is_named(registry: Registry, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bucket/plant/candidates/heat/latest.json").write_bytes(content)
    with pytest.raises(RegistryError, match=r"candidates/heat/latest\.json is damaged"):
        registry.next_models(["power", "heat"])


def test_a_candidate_pointer_cannot_lead_outside(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "bucket/plant/candidates/heat/latest.json").write_text('{"run_id": "../../../x", "published": null}')
    with pytest.raises(RegistryError, match="not a path under the storage root"):
        registry.next_models(["power", "heat"])


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b"{}", b'{"version": 1}'], ids=repr)
def test_a_damaged_roll_back_is_named_and_mended_by_another_one(
    registry: Registry, tmp_path: Path, content: bytes
) -> None:
    """Going on with the latest version would bring back what somebody rolled back from."""
    (tmp_path / "bucket/plant/ensembles/rollback.json").write_bytes(content)
    with pytest.raises(RegistryError, match=r"rollback\.json is damaged"):
        registry.load()
    registry.roll_back("v1")
    assert registry.resolve() == "v1"


def test_a_roll_back_to_a_version_that_is_gone_is_told(registry: Registry, tmp_path: Path) -> None:
    registry.roll_back("v1")
    (tmp_path / "bucket/plant/ensembles/v1.json").unlink()
    with pytest.raises(RegistryError, match=r"rollback\.json names v1, which does not exist"):
        registry.load()
    registry.roll_back("v2")
    assert registry.resolve() == "v2"


def test_a_candidate_that_lost_a_file_is_not_published(registry: Registry, tmp_path: Path) -> None:
    train(registry, "run3", ["heat"])
    (tmp_path / "bucket/plant/candidates/heat/run3/scaler.json").unlink()
    with pytest.raises(RegistryError, match=r"candidates/heat/run3/scaler\.json does not exist"):
        publish(registry)
    assert registry.versions() == ["v1", "v2"]
