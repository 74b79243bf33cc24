"""Layout, records, and which models a version consists of."""

import json
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import version_number
from lstm_pipeline.registry.records import EnsembleRecord, IndividualRecord
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline_tests.stubs import (
    SCORE,
    make_registry,
    publish,
    runs,
    save_candidate,
    train,
    train_and_publish,
    tree,
)

FILES = ("history.json", "metadata.json", "model.keras", "scaler.json")
INDIVIDUAL_FIELDS = {
    "model_name", "version", "training_date", "feature_group", "timestamp_column", "predicted_features",
    "feature_columns", "context_features", "hyperparameters", "metrics", "training_rows", "frequency", "random_seed",
    "library_versions", "data_fingerprint", "run_id",
}  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return make_registry(tmp_path)


def test_files_lie_where_the_documented_layout_says(registry: Registry, tmp_path: Path) -> None:
    train(registry, "run1")
    assert set(tree(tmp_path)) == {
        *(f"bucket/plant/candidates/{group}/run1/{name}" for group in ("power", "heat") for name in FILES),
        *(f"bucket/plant/candidates/{group}/latest.json" for group in ("power", "heat")),
    }
    before = set(tree(tmp_path))
    publish(registry)
    assert set(tree(tmp_path)) - before == {
        *(f"bucket/plant/models/{group}/v1/{name}" for group in ("power", "heat") for name in FILES),
        "bucket/plant/ensembles/v1.json",
    }


def test_a_promoted_copy_is_the_candidate_byte_for_byte(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    files = tree(tmp_path / "bucket" / "plant")
    for name in ("model.keras", "scaler.json", "history.json"):
        assert files[f"models/heat/v1/{name}"] == files[f"candidates/heat/run1/{name}"]


def test_a_candidates_record_is_promoted_with_its_version_and_places_only(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    plant = tmp_path / "bucket" / "plant"
    candidate = json.loads((plant / "candidates/heat/run1/metadata.json").read_text())
    promoted = json.loads((plant / "models/heat/v1/metadata.json").read_text())
    assert candidate["metadata"].pop("version") is None
    assert promoted["metadata"].pop("version") == "v1"
    assert promoted.pop("model_path") == "bucket/plant/models/heat/v1/model.keras"
    assert promoted.pop("metadata_path") == "bucket/plant/models/heat/v1/metadata.json"
    assert candidate.pop("model_path") == "bucket/plant/candidates/heat/run1/model.keras"
    assert candidate.pop("metadata_path") == "bucket/plant/candidates/heat/run1/metadata.json"
    assert promoted == candidate


def test_an_individual_record_has_every_documented_field(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    data = json.loads((tmp_path / "bucket/plant/models/power/v1/metadata.json").read_text())
    assert set(data["metadata"]) >= INDIVIDUAL_FIELDS
    assert set(data) == {"metadata", "model_path", "metadata_path", "model_type", "checksums"}
    assert data["model_type"] == "lstm"
    assert IndividualRecord.model_validate(data).to_json() == data


def test_an_ensemble_record_has_every_documented_field(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    data = json.loads((tmp_path / "bucket/plant/ensembles/v1.json").read_text())
    metadata = data["metadata"]
    assert data["model_type"] == "lstm_ensemble"
    assert metadata["model_name"] == "plant_lstm_model_ensemble"
    assert metadata["version"] == "v1"
    assert metadata["feature_groups"] == ["power", "heat"]
    assert metadata["metrics"] == SCORE.metrics
    assert metadata["feature_metrics"] == SCORE.feature_metrics
    assert metadata["metric_definitions"] == SCORE.definitions
    heat = metadata["individual_models"][1]
    place = "bucket/plant/models/heat/v1"
    assert (heat["model_name"], heat["version"], heat["model_path"]) == ("heat", "v1", f"{place}/model.keras")
    assert {file["path"] for file in heat["files"]} == {f"{place}/{name}" for name in FILES}
    assert EnsembleRecord.model_validate(data).to_json() == data


def test_retraining_one_group_pins_the_others_where_they_are(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    before = tree(tmp_path / "bucket/plant/models")
    first = registry.load()
    assert train_and_publish(registry, "run2", ["heat"]) == "v2"
    second = registry.load()
    pinned, renewed = second.record.metadata.individual_models
    assert pinned == first.record.metadata.individual_models[0]
    assert (pinned.version, renewed.version) == ("v1", "v2")
    after = tree(tmp_path / "bucket/plant/models")
    assert {path: after[path] for path in before} == before
    assert {path for path in after if path not in before} == {f"heat/v2/{name}" for name in FILES}
    assert registry.load("v1").record == first.record


def test_publishing_again_without_training_pins_everything(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    before = tree(tmp_path / "bucket/plant/models")
    assert publish(registry).record.version == "v2"
    assert tree(tmp_path / "bucket/plant/models") == before
    assert (
        registry.load("v2").record.metadata.individual_models == registry.load("v1").record.metadata.individual_models
    )


def test_v10_is_newer_than_v9(registry: Registry) -> None:
    train(registry, "run1")
    for _ in range(11):
        publish(registry)
    assert registry.versions() == [f"v{number}" for number in range(1, 12)]
    assert registry.resolve() == "v11"


@pytest.mark.parametrize("name", ["v0", "v01", "v", "v1.5", "v-1", "V1", "v1.json.tmp", ".v1.json", "xv1", "v1\n"])
def test_what_is_no_version(name: str) -> None:
    assert version_number(name) is None


def test_other_files_beside_the_records_are_no_versions(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    for name in ("notes.json", "v7.claim", "v8", "v9.json.bak", "vx.json", ".v9.json.0.tmp"):
        (tmp_path / "bucket/plant/ensembles" / name).write_text("{}")
    assert registry.versions() == ["v1"]


def test_an_abandoned_claim_is_passed_over(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    (tmp_path / "bucket/plant/ensembles/v2.claim").write_text("{}")
    assert registry.resolve() == "v1"
    assert train_and_publish(registry, "run2") == "v3"
    assert registry.versions() == ["v1", "v3"]


def test_a_version_is_asked_for_by_name(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}
    with pytest.raises(RegistryError, match=r"project 'plant' has no version v3; its versions are v1, v2"):
        registry.load("v3")


def test_a_project_without_versions_says_what_to_do(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"has no version yet .* train it first"):
        registry.load()


def test_a_group_without_a_model_is_named_and_nothing_is_published(registry: Registry) -> None:
    save_candidate(registry, "power", "run1")
    with pytest.raises(RegistryError, match="groups without a trained model: heat; train them first"):
        publish(registry)
    assert registry.versions() == []


def test_an_untrained_group_has_no_candidate(registry: Registry) -> None:
    assert registry.candidates.latest("heat") is None
    train(registry, "run1")
    train(registry, "run2", ["heat"])
    found = [registry.candidates.latest(group) for group in ("power", "heat")]
    assert [model.record.metadata.run_id for model in found if model] == ["run1", "run2"]


# roll back


def test_a_roll_back_moves_the_pointer_and_deletes_nothing(registry: Registry, tmp_path: Path) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    before = tree(tmp_path)
    registry.roll_back("v1")
    after = tree(tmp_path)
    assert set(after) - set(before) == {"bucket/plant/ensembles/rollback.json"}
    assert {path: after[path] for path in before} == before
    assert registry.versions() == ["v1", "v2"]
    assert (registry.resolve(), registry.rolled_back_to()) == ("v1", "v1")
    assert runs(registry) == {"power": "run1", "heat": "run1"}
    assert runs(registry, "v2") == {"power": "run2", "heat": "run2"}


def test_rolling_forward_to_the_latest_version_ends_a_roll_back(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    registry.roll_back("v1")
    registry.roll_back("v2")
    assert (registry.resolve(), registry.rolled_back_to()) == ("v2", None)


def test_publishing_something_newer_ends_a_roll_back(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    registry.roll_back("v1")
    assert train_and_publish(registry, "run3") == "v3"
    assert (registry.resolve(), registry.rolled_back_to()) == ("v3", None)
    assert train_and_publish(registry, "run4") == registry.resolve() == "v4"


def test_retraining_after_a_roll_back_pins_the_version_in_use(registry: Registry) -> None:
    """The models that were rolled back from do not come in again by a side door."""
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    registry.roll_back("v1")
    train_and_publish(registry, "run3", ["heat"])
    assert runs(registry) == {"power": "run1", "heat": "run3"}


def test_a_candidate_that_waits_is_published_even_after_a_roll_back(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    train(registry, "run3", ["heat"])
    registry.roll_back("v1")
    publish(registry)
    assert runs(registry) == {"power": "run1", "heat": "run3"}


def test_a_roll_back_to_no_version_changes_nothing(registry: Registry) -> None:
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    registry.roll_back("v1")
    with pytest.raises(RegistryError, match="no version v9"):
        registry.roll_back("v9")
    assert registry.resolve() == "v1"


def test_a_memory_store_keeps_versions_as_a_disk_does(tmp_path: Path) -> None:
    """Reached through fsspec, as S3 is."""
    registry = make_registry(f"memory://{tmp_path.name}/root")
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2", ["heat"])
    assert registry.versions() == ["v1", "v2"]
    assert runs(registry) == {"power": "run1", "heat": "run2"}
    registry.roll_back("v1")
    assert runs(registry) == {"power": "run1", "heat": "run1"}
    with registry.model_file(registry.load("v2").models["heat"]) as path:
        assert path.read_bytes() == b"network of heat from run2" * 100
