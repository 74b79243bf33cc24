"""Reading versions: which there are, which one is in use, and whether its files are what was published."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator
from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import METADATA, MODEL_FILES, version_number
from lstm_pipeline.registry.models import DamagedRecord, ModelFiles, StoredModel, validated
from lstm_pipeline.registry.records import (
    EnsembleRecord,
    FileDigest,
    Metrics,
    PinnedModel,
    Pins,
    Record,
    VersionPins,
    instant,
)
from lstm_pipeline.registry.tables import read_tables
from lstm_pipeline.storage import each, from_json, sha256, to_json
from lstm_pipeline.wording import contrasted, listed


@dataclass(frozen=True)
class Version:
    """A published version: its record, and its models with every file checked.

    Attributes:
        models: group → model.
    """

    record: EnsembleRecord
    models: dict[str, StoredModel]


class Summary(Pins):
    """How good a version is in all, and what it consists of."""

    metrics: Metrics
    evaluation: dict[str, Any]


class VersionSummary(Record):
    """A version's record without what it says of each feature, which may be megabytes in a file of its own."""

    metadata: Summary
    created_at: Annotated[str, AfterValidator(lambda text: instant(text) and text)]

    @property
    def version(self) -> str:
        """The version's name, e.g. v2."""
        return self.metadata.version

    @property
    def created(self) -> dt.datetime:
        """When the version was published."""
        return instant(self.created_at)


class Versions:
    """The versions of one project."""

    def __init__(self, files: ModelFiles, project: str) -> None:
        self._files = files
        self._store = files.store
        self._layout = files.layout
        self._project = project

    def names(self) -> list[str]:
        """All versions, oldest first."""
        records = [name for name in self._store.names(self._layout.ensembles) if name.endswith(".json")]
        return [f"v{number}" for number in sorted(filter(None, map(version_number, records)))]

    def resolve(self, version: str | None = None) -> str:
        """The version to use: the requested one, else the one rolled back to, else the latest.

        Raises:
            RegistryError: there is no such version, or none at all.
        """
        known = self.names()
        if not known:
            raise RegistryError(f"project '{self._project}' has no version yet in {self._store.root}; train it first")
        if version is not None:
            if version not in known:
                raise RegistryError(
                    f"project '{self._project}' has no version {version}; its versions are {listed(known)}"
                )
            return version
        return self.rolled_back_to() or known[-1]

    def rolled_back_to(self) -> str | None:
        """The version in use instead of the latest; None if the latest is in use.

        A roll-back ends when something newer is published: it rejects the versions that existed then, not all future
        ones.

        Raises:
            RegistryError: the stored roll-back is damaged, or its version no longer exists.
        """
        known, path = self.names(), self._layout.rollback
        if not known or not self._store.exists(path):
            return None
        data = from_json(self._store.read(path), path)
        if not isinstance(data, dict) or not isinstance(data.get("version"), str):
            raise RegistryError(f"{path} is damaged: it does not name a version; roll back again, or to the latest one")
        version = data["version"]
        if data.get("latest") != known[-1] or version == known[-1]:
            return None
        if version not in known:
            raise RegistryError(f"{path} names {version}, which does not exist; roll back to one of {listed(known)}")
        return str(version)

    def roll_back(self, version: str) -> None:
        """Makes an older version the one in use; nothing is deleted. Choosing the latest ends the roll-back."""
        with self._store.locked(self._layout.publishing):  # nobody publishes or prunes meanwhile
            self._note_roll_back(version)

    def _note_roll_back(self, version: str) -> None:
        self.resolve(version)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        data = {"version": version, "latest": self.names()[-1], "rolled_back_at": now}
        self._store.write(self._layout.rollback, to_json(data))

    def record(self, version: str | None = None) -> EnsembleRecord:
        """A version's record."""
        version = self.resolve(version)
        path = self._layout.ensemble(version)
        data = read_tables(self._store, self._layout, self._read(path), version)
        record = validated(EnsembleRecord, data, path)
        if record.version != version:
            raise RegistryError(f"{path} is damaged: it describes {record.version}")
        return record

    def summary(self, version: str) -> VersionSummary:
        """A version in a few numbers: the file beside its record is not read.

        Raises:
            RegistryError: the record is missing or damaged.
        """
        path = self._layout.ensemble(version)
        found = validated(VersionSummary, self._read(path), path)
        if found.version != version:
            raise DamagedRecord(f"{path} is damaged: it describes {found.version}")
        return found

    def pins(self, version: str) -> Pins:
        """What a version consists of: reads no more of its record than that.

        Raises:
            RegistryError: the record is missing or damaged.
        """
        path = self._layout.ensemble(version)
        metadata = validated(VersionPins, self._read(path), path).metadata
        if metadata.version != version:
            raise DamagedRecord(f"{path} is damaged: it describes {metadata.version}")
        return metadata

    def _read(self, path: UPath) -> Any:
        content = self._store.read(path)
        try:
            return from_json(content, path)
        except RegistryError as error:
            raise DamagedRecord(str(error)) from None

    def load(self, version: str | None = None) -> Version:
        """A version and its models.

        Raises:
            RegistryError: it does not exist, or one of its files is missing, altered or damaged.
        """
        record = self.record(version)
        return Version(record, self.models(record))

    def models(self, record: EnsembleRecord) -> dict[str, StoredModel]:
        """Group → model, of all that a version's record names, every file checked.

        Raises:
            RegistryError: a file is missing, altered or damaged.
        """
        found = each(self.checked, record.metadata.individual_models, f"checking the models of {record.version}")
        models = {model.group: model for model in found}
        if list(models) != record.metadata.feature_groups:
            groups, others = contrasted(record.metadata.feature_groups, list(models), listed)
            raise RegistryError(
                f"{self._layout.ensemble(record.version)} is damaged: its groups are {groups}, but its models are for "
                f"{others}"
            )
        return models

    def checked(self, pinned: PinnedModel) -> StoredModel:
        """The model that a version pins, with the size and SHA-256 of every file compared.

        Raises:
            DamagedRecord: a file is missing, altered or damaged, or belongs to another model.
            RegistryError: a file cannot be read.
        """
        folder = self._files.folder_of(pinned)
        listed = {self._store.path(file.path) for file in pinned.files}
        unlisted = [str(folder / name) for name in MODEL_FILES if folder / name not in listed]
        if unlisted:
            raise DamagedRecord(f"the version's record is damaged: it has no checksum for {', '.join(unlisted)}")
        stored = None
        for expected in pinned.files:
            path = self._store.path(expected.path)
            content = self._checked_file(expected, path, pinned.model_name, keep=path == folder / METADATA)
            if content is not None:
                stored = self._files.parsed(folder, content)
        assert stored is not None  # metadata.json is among the files
        found = (stored.group, stored.record.metadata.version, stored.run_id)
        if found != (pinned.model_name, pinned.version, pinned.run_id):
            raise DamagedRecord(
                f"the version's record is damaged: {folder} holds {found[0]} {found[1]} of run {found[2]}, the record "
                f"names {pinned.model_name} {pinned.version} of run {pinned.run_id}"
            )
        return stored

    def _checked_file(self, expected: FileDigest, path: UPath, group: str, *, keep: bool) -> bytes | None:
        """Compares a file with what was published; returns its content if that is to be kept."""
        content = None
        try:
            if keep:
                content = self._store.read(path)
                size, sha = len(content), sha256(content)
            else:
                size, sha = self._store.digest(path)
        except RegistryError as error:
            if self._store.exists(path):  # a store that does not answer raises its own error here
                raise
            raise DamagedRecord(str(error)) from None
        if (size, sha) != (expected.size, expected.sha256):
            raise DamagedRecord(
                f"{path} is not the file that was published: expected {expected.size} bytes with SHA-256 "
                f"{expected.sha256[:12]}…, found {size} bytes with {sha[:12]}…; put the published file back, roll "
                f"back to another version, or train '{group}' again"
            )
        return content
