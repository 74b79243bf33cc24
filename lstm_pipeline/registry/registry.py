"""Candidates, versions, publishing, rolling back.

A version exists when its ensemble record does. That record is written last, after everything it names was written and
checked, and none of it is changed afterwards; so a crash leaves the versions as they were.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import HELD_OUT, METADATA, MODEL, MODEL_FILES, Layout, version_number
from lstm_pipeline.registry.records import (
    CalibrationRecord,
    EnsembleMetadata,
    EnsembleRecord,
    FileDigest,
    IndividualRecord,
    Metrics,
    PinnedModel,
    Record,
)
from lstm_pipeline.storage.store import Store, from_json, to_json

R = TypeVar("R", bound=Record)


class DamagedRecord(RegistryError):
    """A record is there, but it is none."""


@dataclass(frozen=True)
class StoredModel:
    """A model's files in the store: a candidate's, or a published one's."""

    record: IndividualRecord
    folder: UPath

    @property
    def group(self) -> str:
        """Its feature group."""
        return self.record.metadata.feature_group


@dataclass(frozen=True)
class Score:
    """How good an ensemble is, as its record says it."""

    metrics: Metrics
    feature_metrics: dict[str, dict[str, Metrics]]
    baseline_metrics: dict[str, Metrics]
    evaluation: dict[str, Any]
    definitions: dict[str, str]
    calibration: CalibrationRecord = field(default_factory=CalibrationRecord)
    residuals: dict[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """A published version: its record and its members' models, checked."""

    record: EnsembleRecord
    models: dict[str, StoredModel]


class Registry:
    """The models and versions of one project."""

    def __init__(self, store: Store, bucket: str, project: str) -> None:
        self.store = store
        self.project = project
        self.layout = Layout(store, bucket, project)

    # candidates

    def save_candidate(self, record: IndividualRecord, files: Path) -> StoredModel:
        """Stores a freshly trained model; it is in no version yet.

        Args:
            record: its record; paths are filled in here.
            files: local folder with the files that the record names, but metadata.json.
        """
        metadata = record.metadata
        folder = self.layout.candidate(metadata.feature_group, metadata.run_id)
        record = self._at(record, folder)
        for name in metadata.files:
            if name != METADATA:
                self.store.upload(files / name, folder / name)
        self.store.write(folder / METADATA, to_json(record.to_json()))
        self._point_to_candidate(metadata.feature_group, metadata.run_id, published=None)
        return StoredModel(record, folder)

    def latest_candidate(self, group: str) -> StoredModel | None:
        """A group's newest candidate, published or not; None where the group was never trained."""
        run_id, _ = self._candidate_pointer(group)
        return self._stored(self.layout.candidate(group, run_id)) if run_id else None

    def newest_models(self, groups: Sequence[str]) -> dict[str, StoredModel]:
        """What the next version consists of: each group's unpublished candidate, else its model in the version in use.

        Raises:
            RegistryError: a group has no model at all.
        """
        known = self._published_by_run()  # a crash can keep a publisher from noting it at the candidate
        pointers = {group: self._candidate_pointer(group) for group in groups}
        fresh = {group for group, (run, noted) in pointers.items() if run and not noted and (group, run) not in known}
        # where nothing of the version in use is needed, its record may be damaged
        members = {} if fresh.issuperset(groups) else self._members_in_use()
        models: dict[str, StoredModel] = {}
        for group, (run_id, _) in pointers.items():
            if group in members and group not in fresh:
                models[group] = self._stored(self._folder(members[group]))
            elif run_id is not None and self.store.exists(self.layout.candidate(group, run_id)):
                models[group] = self._stored(self.layout.candidate(group, run_id))
        missing = [group for group in groups if group not in models]
        if missing:
            raise RegistryError(f"groups without a trained model: {', '.join(missing)}; train them first")
        return models

    def pending_run(self, group: str) -> str | None:
        """The run whose candidate the next version takes; None where the newest one is published."""
        run_id, published = self._candidate_pointer(group)
        return run_id if published is None else None

    def _members_in_use(self) -> dict[str, PinnedModel]:
        members = self.ensemble_record().metadata.individual_models if self.versions() else []
        return {member.model_name: member for member in members}

    def _candidate_pointer(self, group: str) -> tuple[str | None, str | None]:
        """Run of a group's newest candidate, and the version it was published in, if any."""
        pointer = self.layout.latest_candidate(group)
        if not self.store.exists(pointer):
            return None, None
        data = from_json(self.store.read(pointer), pointer)
        if not isinstance(data, dict) or not isinstance(data.get("run_id"), str):
            raise RegistryError(f"{pointer} is damaged: it names no run; train '{group}' again")
        return data["run_id"], data.get("published")

    def _point_to_candidate(self, group: str, run_id: str, *, published: str | None) -> None:
        self.store.write(self.layout.latest_candidate(group), to_json({"run_id": run_id, "published": published}))

    # versions

    def versions(self) -> list[str]:
        """All versions, oldest first."""
        records = [name for name in self.store.names(self.layout.ensembles) if name.endswith(".json")]
        return [f"v{number}" for number in sorted(filter(None, map(version_number, records)))]

    def resolve(self, version: str | None = None) -> str:
        """The version to use: the one asked for, else the one rolled back to, else the latest.

        Raises:
            RegistryError: there is no such version, or none at all.
        """
        known = self.versions()
        if not known:
            raise RegistryError(f"project '{self.project}' has no version yet in {self.store.root}; train it first")
        if version is not None:
            if version not in known:
                raise RegistryError(f"project '{self.project}' has no version {version}; there are {', '.join(known)}")
            return version
        return self.rolled_back_to() or known[-1]

    def rolled_back_to(self) -> str | None:
        """The version in use instead of the latest; None where the latest is in use.

        A roll back ends when something newer is published: it says no to the versions that were there, not to all.

        Raises:
            RegistryError: what was written down is damaged, or the version is gone.
        """
        known, path = self.versions(), self.layout.rollback
        if not known or not self.store.exists(path):
            return None
        data = from_json(self.store.read(path), path)
        if not isinstance(data, dict) or not isinstance(data.get("version"), str):
            raise RegistryError(f"{path} is damaged: it names no version; roll back again, or to the latest one")
        version = data["version"]
        if data.get("latest") != known[-1] or version == known[-1]:
            return None
        if version not in known:
            raise RegistryError(f"{path} names {version}, which is not there; roll back to one of {', '.join(known)}")
        return str(version)

    def roll_back(self, version: str) -> None:
        """Makes an older version the one in use; nothing is deleted. The latest one ends the roll back."""
        self.resolve(version)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        data = {"version": version, "latest": self.versions()[-1], "rolled_back_at": now}
        self.store.write(self.layout.rollback, to_json(data))

    def ensemble_record(self, version: str | None = None) -> EnsembleRecord:
        """A version's record."""
        version = self.resolve(version)
        path = self.layout.ensemble(version)
        record = self._parse(EnsembleRecord, path)
        if record.version != version:
            raise RegistryError(f"{path} is damaged: it says it is {record.version}")
        return record

    def load(self, version: str | None = None) -> Version:
        """A version and its members' models.

        Raises:
            RegistryError: it is not there, or a file is missing, altered or damaged.
        """
        record = self.ensemble_record(version)
        models = {member.model_name: self._checked(member) for member in record.metadata.individual_models}
        if list(models) != record.metadata.feature_groups:
            groups = ", ".join(record.metadata.feature_groups)
            raise RegistryError(
                f"{self.layout.ensemble(record.version)} is damaged: its groups are {groups}, its models are for "
                f"{', '.join(models)}"
            )
        return Version(record, models)

    def individual_records(self, version: str | None = None) -> list[IndividualRecord]:
        """Records of a version's members, without opening the models."""
        members = self.ensemble_record(version).metadata.individual_models
        return [self._stored(self._folder(member)).record for member in members]

    def _checked(self, member: PinnedModel) -> StoredModel:
        folder = self._folder(member)
        listed = {self.store.path(file.path) for file in member.files}
        bare = [str(folder / name) for name in MODEL_FILES if folder / name not in listed]
        if bare:
            raise RegistryError(f"the version's record is damaged: it has no checksum of {', '.join(bare)}")
        for expected in member.files:
            path = self.store.path(expected.path)
            size, sha = self.store.digest(path)
            if (size, sha) != (expected.size, expected.sha256):
                raise RegistryError(
                    f"{path} is not the file that was published: expected {expected.size} bytes with SHA-256 "
                    f"{expected.sha256[:12]}…, found {size} bytes with {sha[:12]}…"
                )
        stored = self._stored(folder)
        found = (stored.group, stored.record.metadata.version, stored.record.metadata.run_id)
        if found != (member.model_name, member.version, member.run_id):
            raise RegistryError(
                f"the version's record is damaged: {folder} holds {found[0]} {found[1]} of run {found[2]}, the record "
                f"says {member.model_name} {member.version} of run {member.run_id}"
            )
        return stored

    def _folder(self, member: PinnedModel) -> UPath:
        return self.store.path(member.model_path).parent

    # publishing

    def publish(self, models: Mapping[str, StoredModel], score: Score, *, run_id: str) -> Version:
        """Publishes a new version of these models. A model that a version already has is pinned, not copied.

        Args:
            models: group → newest model, in the order of the groups.
            score: of exactly these models together.
        """
        published = self._published_by_run()
        version, claim = self._claim(run_id)
        try:
            members, stored, promoted = [], {}, {}
            for group, model in models.items():
                known = published.get((group, model.record.metadata.run_id))
                if known is None:
                    known = self._pin(self._promote(model, version), version)
                    promoted[group] = known.run_id
                members.append(known)
                stored[group] = self._checked(known)
            record = self._ensemble(version, members, score, run_id)
            if not self.store.create(self.layout.ensemble(version), to_json(record.to_json())):
                raise RegistryError(f"{self.layout.ensemble(version)} was written by somebody else; run again")
        finally:
            self.store.remove(claim)
        for group, trained in promoted.items():
            if self._candidate_pointer(group) == (trained, None):
                self._point_to_candidate(group, trained, published=version)
        return Version(record, stored)

    def _published_by_run(self) -> dict[tuple[str, str], PinnedModel]:
        """Models of the latest version and of the one in use, by group and training run."""
        known = self.versions()
        members: list[PinnedModel] = []
        for version in {*known[-1:], *([self.resolve()] if known else [])}:
            with suppress(DamagedRecord):
                members += self.ensemble_record(version).metadata.individual_models
        return {(member.model_name, member.run_id): member for member in members}

    def _claim(self, run_id: str) -> tuple[str, UPath]:
        """Takes the next version number; of several publishers each gets its own."""
        while True:
            taken = [version_number(name) or 0 for name in self.store.names(self.layout.ensembles)]
            version = f"v{max(taken, default=0) + 1}"
            claim = self.layout.claim(version)
            if self.store.create(claim, to_json({"run_id": run_id, "publisher": uuid.uuid4().hex})):
                if not self.store.exists(self.layout.ensemble(version)):
                    return version, claim
                self.store.remove(claim)  # published, and its claim gone, between our look and our claim

    def _promote(self, model: StoredModel, version: str) -> StoredModel:
        """Copies a candidate's files into the version's folder."""
        folder = self.layout.model(model.group, version)
        for name in model.record.metadata.files:
            if name != METADATA:
                self.store.copy(model.folder / name, folder / name)
        metadata = model.record.metadata.model_copy(update={"version": version})
        record = self._at(model.record.model_copy(update={"metadata": metadata}), folder)
        self.store.write(folder / METADATA, to_json(record.to_json()))
        return StoredModel(record, folder)

    def _pin(self, model: StoredModel, version: str) -> PinnedModel:
        files = []
        for name in model.record.metadata.files:
            path = model.folder / name
            size, sha = self.store.digest(path)
            files.append(FileDigest(path=self.store.key(path), size=size, sha256=sha))
        run_id = model.record.metadata.run_id
        return PinnedModel(
            model_name=model.group, version=version, model_path=model.record.model_path, run_id=run_id, files=files
        )

    def _ensemble(self, version: str, members: list[PinnedModel], score: Score, run_id: str) -> EnsembleRecord:
        metadata = EnsembleMetadata(
            model_name=f"{self.project}_lstm_model_ensemble",
            version=version,
            feature_groups=[member.model_name for member in members],
            metrics=score.metrics,
            individual_models=members,
            feature_metrics=score.feature_metrics,
            baseline_metrics=score.baseline_metrics,
            calibration=score.calibration,
            residuals=score.residuals,
            evaluation=score.evaluation,
            metric_definitions=score.definitions,
            run_id=run_id,
        )
        path = self.store.key(self.layout.ensemble(version))
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return EnsembleRecord(metadata=metadata, metadata_path=path, created_at=created)

    # files

    @contextmanager
    def model_file(self, model: StoredModel, held_out: bool = False) -> Iterator[Path]:
        """The .keras file on the local disk.

        Args:
            held_out: the network that has not seen the test part, where that is another one.
        """
        name = HELD_OUT if held_out and HELD_OUT in model.record.metadata.files else MODEL
        with tempfile.TemporaryDirectory() as folder, self.store.as_local(model.folder / name, Path(folder)) as path:
            yield path

    def read_json(self, model: StoredModel, name: str) -> Any:
        """A model's scaler.json or history.json."""
        path = model.folder / name
        return from_json(self.store.read(path), path)

    def _stored(self, folder: UPath) -> StoredModel:
        return StoredModel(self._parse(IndividualRecord, folder / METADATA), folder)

    def _at(self, record: IndividualRecord, folder: UPath) -> IndividualRecord:
        paths = {
            "model_path": self.store.key(folder / MODEL),
            "metadata_path": self.store.key(folder / METADATA),
        }
        return record.model_copy(update=paths)

    def _parse(self, kind: type[R], path: UPath) -> R:
        content = self.store.read(path)
        try:
            return kind.model_validate(from_json(content, path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise DamagedRecord(f"{path} is damaged: {place}: {first['msg']}") from None
        except RegistryError as error:
            raise DamagedRecord(str(error)) from None
