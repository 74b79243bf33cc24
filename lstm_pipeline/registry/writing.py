"""Writing a version: copies of its new models, and the record that makes it one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from upath import UPath

from lstm_pipeline.registry.layout import METADATA, version_number
from lstm_pipeline.registry.models import DamagedRecord, ModelFiles, StoredModel
from lstm_pipeline.registry.records import (
    CalibrationRecord,
    Decision,
    EnsembleMetadata,
    EnsembleRecord,
    FileDigest,
    Metrics,
    PinnedModel,
)
from lstm_pipeline.registry.repeats import PublishingRun
from lstm_pipeline.registry.tables import write_tables
from lstm_pipeline.registry.versions import Version, Versions
from lstm_pipeline.storage import each, sha256, to_json


@dataclass(frozen=True)
class Score:
    """How good an ensemble is, as its record states it."""

    metrics: Metrics
    feature_metrics: dict[str, dict[str, Metrics]]
    baseline_metrics: dict[str, Metrics]
    evaluation: dict[str, Any]
    definitions: dict[str, str]
    calibration: CalibrationRecord = field(default_factory=CalibrationRecord)
    residuals: dict[str, Metrics] = field(default_factory=dict)

    def to_entries(self, decisions: Sequence[Decision]) -> dict[str, Any]:
        """What it contributes to a version's metadata, beside the decisions that led to the version."""
        return {
            "metrics": self.metrics,
            "feature_metrics": self.feature_metrics,
            "baseline_metrics": self.baseline_metrics,
            "calibration": self.calibration,
            "residuals": self.residuals,
            "evaluation": self.evaluation,
            "metric_definitions": self.definitions,
            "decisions": list(decisions),
        }


class VersionWriter:
    """Writes versions of one project."""

    def __init__(self, files: ModelFiles, versions: Versions, project: str) -> None:
        self._files = files
        self._store = files.store
        self._layout = files.layout
        self._versions = versions
        self._project = project

    def write(
        self,
        models: Mapping[str, StoredModel],
        published: Mapping[tuple[str, str], PinnedModel],
        entries: Mapping[str, Any],
        run: PublishingRun,
        still: Callable[[], bool],
    ) -> Version | None:
        """Writes the next version of these models.

        A model's file is read once: one that no version has yet while it is copied, and one that a version has while it
        is compared with what that version pins.

        Args:
            published: (group, training run) → a model as a version pins it, for those that need no copy.
            entries: of the version's metadata.
            still: says whether the version may still be written.

        Returns:
            the version; None if a rival came between.
        """
        version, claim = self._claim(run.run_id)
        try:
            place = partial(self._placed, version=version, published=published)
            placed = each(place, models.values(), f"copying the models of {version}")
            metadata = EnsembleMetadata(
                model_name=f"{self._project}_lstm_model_ensemble",
                version=version,
                feature_groups=list(models),
                individual_models=[pinned for pinned, _ in placed],
                run_id=run.run_id,
                repeats=list(run.repeats),
                **entries,
            )
            path = self._layout.ensemble(version)
            created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            record = EnsembleRecord(metadata=metadata, metadata_path=self._store.key(path), created_at=created)
            record, content = write_tables(self._store, self._layout, record)
            if not still():
                return None
            if not self._store.create(path, content):
                return None
        finally:
            self._store.remove(claim)
        return Version(record, {group: stored for group, (_, stored) in zip(models, placed, strict=True)})

    def _claim(self, run_id: str) -> tuple[str, UPath]:
        """Reserves the next version number; rival publishers each get their own."""
        while True:
            taken = [version_number(name) or 0 for name in self._store.names(self._layout.ensembles)]
            version = f"v{max(taken, default=0) + 1}"
            claim = self._layout.claim(version)
            if self._store.create(claim, to_json({"run_id": run_id, "publisher": uuid.uuid4().hex})):
                if not self._store.exists(self._layout.ensemble(version)):
                    return version, claim
                self._store.remove(claim)  # a rival published it and removed its claim between our look and our claim

    def _placed(
        self, model: StoredModel, version: str, published: Mapping[tuple[str, str], PinnedModel]
    ) -> tuple[PinnedModel, StoredModel]:
        """A model as the version pins it, checked."""
        known = published.get((model.group, model.run_id))
        return (known, self._versions.checked(known)) if known else self._promote(model, version)

    def _promote(self, model: StoredModel, version: str) -> tuple[PinnedModel, StoredModel]:
        """Copies a candidate's files into the version's folder; pins what was copied."""
        folder = self._layout.model(model.group, version)
        metadata = model.record.metadata.model_copy(update={"version": version})
        record = self._files.placed(model.record.model_copy(update={"metadata": metadata}), folder)
        content = to_json(record.to_json())
        files = []
        for name in metadata.files:
            path = folder / name
            if name == METADATA:
                self._store.write(path, content)
                size, sha = len(content), sha256(content)
            else:
                size, sha = self._store.copy(model.folder / name, path)
                _require_unaltered(model, name, sha)
            files.append(FileDigest(path=self._store.key(path), size=size, sha256=sha))
        pinned = PinnedModel(
            model_name=model.group,
            version=version,
            model_path=record.model_path,
            run_id=model.run_id,
            files=files,
        )
        return pinned, StoredModel(record, folder)


def _require_unaltered(model: StoredModel, name: str, sha: str) -> None:
    """Checks that a candidate's file is the one that its training stored.

    Raises:
        DamagedRecord: it is another one.
    """
    expected = model.record.checksums.get(name, sha)
    if sha != expected:
        raise DamagedRecord(
            f"{model.folder / name} is not the file that the training stored: expected SHA-256 {expected[:12]}…, found "
            f"{sha[:12]}…; put the stored file back, or train '{model.group}' again"
        )
