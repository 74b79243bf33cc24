"""Models without a network: the registry looks at bytes and records only, so TensorFlow is not needed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_pipeline.registry import Decide, InUse
from lstm_pipeline.registry.records import Decision, IndividualRecord, ModelMetadata
from lstm_pipeline.registry.registry import Registry, Score, StoredModel, Version
from lstm_pipeline.storage.store import Store, to_json

BUCKET, PROJECT, GROUPS = "bucket", "plant", ("power", "heat")
SCORE = Score(
    metrics={"rmse": 2.34, "mae": 1.82, "smape": 12.5},
    feature_metrics={"rolled": {"load": {"rmse": 2.34}}},
    baseline_metrics={"last_value": {"rmse": 3.0}},
    evaluation={"horizon": 5, "origins": 4},
    definitions={"rmse": "root of the mean squared error"},
)


def make_registry(root: Path | str) -> Registry:
    return Registry(Store(str(root)), BUCKET, PROJECT)


def metadata(group: str, run_id: str, **changes: Any) -> ModelMetadata:
    values: dict[str, Any] = {
        "model_name": group, "version": None, "training_date": "2026-01-01T00:00:00+00:00", "feature_group": group,
        "timestamp_column": "date", "predicted_features": [f"{group}_kw"],
        "feature_columns": sorted({"heat_kw", "power_kw", f"{group}_kw"}),
        "context_features": [], "integer_features": [], "calendar_features": [],
        "hyperparameters": {"units": 3, "sequence_length": 8}, "metrics": {}, "feature_metrics": {},
        "training_rows": {"train": {"rows": 64}}, "training": {"epochs": 1}, "frequency": "D", "timezone": "UTC",
        "timestamp_kind": "date", "season_length": 7, "missing": "interpolate", "max_gap": 24, "filled_values": {},
        "constant_features": [], "random_seed": 42, "library_versions": {"keras": "3"}, "data_fingerprint": "f" * 64,
        "run_id": run_id,
    }  # fmt: skip
    return ModelMetadata(**{**values, **changes})


def save_candidate(registry: Registry, group: str, run_id: str) -> StoredModel:
    """A candidate whose files tell whose they are."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        (files / "model.keras").write_bytes(f"network of {group} from {run_id}".encode() * 100)
        (files / "scaler.json").write_bytes(to_json({"kind": "standard", "group": group, "run": run_id}))
        (files / "history.json").write_bytes(to_json({"loss": [1.0, 0.5], "run": run_id}))
        record = IndividualRecord(metadata=metadata(group, run_id), model_path="", metadata_path="")
        return registry.save_candidate(record, files)


def train(registry: Registry, run_id: str, groups: Sequence[str] = GROUPS) -> None:
    for group in groups:
        save_candidate(registry, group, run_id)


def publish(registry: Registry, groups: Sequence[str] = GROUPS, run_id: str = "publishing") -> Version:
    return registry.publish(groups, {}, lambda models: SCORE, run_id=run_id).version


def refusing(*groups: str) -> Decide:
    """Refuses the new models of some groups and promotes the others."""

    def decide(challengers: Mapping[str, StoredModel], in_use: Callable[[], InUse | None]) -> Sequence[Decision]:
        found = in_use()
        return [
            Decision(
                group=group, run_id=model.run_id, promoted=group not in groups, rule="if_better", reason="a test",
                challenger=2.0, champion=1.5, rows=40, origins=36, features={f"{group}_kw": [2.0, 1.5]},
                champion_version=found.record.version if found else None,
            )
            for group, model in challengers.items()
        ]  # fmt: skip

    return decide


def train_and_publish(registry: Registry, run_id: str, groups: Sequence[str] = GROUPS) -> str:
    """Trains some groups, publishes all, returns the version."""
    train(registry, run_id, groups)
    return publish(registry).record.version


def runs(registry: Registry, version: str | None = None) -> dict[str, str]:
    """Group → the training run that a version has its model from."""
    members = registry.load(version).record.metadata.individual_models
    return {member.model_name: member.run_id for member in members}


def tree(root: Path | str) -> dict[str, bytes]:
    """Every file below a folder: path → content."""
    files = (path for path in Path(root).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def publish_in_process(root: str, count: int) -> list[str]:
    """What a publisher in a process of its own does."""
    registry = make_registry(root)
    return [publish(registry).record.version for _ in range(count)]
