"""Candidates: freshly trained models that no version contains yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import METADATA
from lstm_pipeline.registry.models import ModelFiles, StoredModel
from lstm_pipeline.registry.records import IndividualRecord
from lstm_pipeline.storage import from_json, to_json

USUAL_SIZE = 2_000_000
"""Bytes of a model whose group was never trained: those of the default options are about one megabyte."""


@dataclass(frozen=True)
class Pointer:
    """A group's newest candidate.

    Attributes:
        run_id: the run that trained it.
        published: the version it was published in; None while it waits.
    """

    run_id: str
    published: str | None


class Candidates:
    """The candidates of one project."""

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._store = files.store
        self._layout = files.layout

    def save(self, record: IndividualRecord, folder: Path) -> StoredModel:
        """Stores a freshly trained model and makes it its group's newest candidate.

        Args:
            record: the model's record; its paths are filled in here.
            folder: local folder with every file the record names except metadata.json, which is written last.
        """
        metadata = record.metadata
        target = self._layout.candidate(metadata.feature_group, metadata.run_id)
        record = self._files.placed(record, target)
        for name in metadata.files:
            if name != METADATA:
                self._store.upload(folder / name, target / name)
        self._store.write(target / METADATA, to_json(record.to_json()))
        self._point(metadata.feature_group, Pointer(metadata.run_id, None))
        return StoredModel(record, target)

    def require_room(self, groups: Sequence[str]) -> None:
        """Checks, before training, that the candidates of these groups can be stored and published.

        Each is expected to be as large as the group's newest one, once as a candidate and once in a version.

        Raises:
            RegistryError: the storage root cannot be written, or has too little space.
        """
        sizes = []
        for group in groups:
            pointer = self.pointer(group)
            known = pointer is not None and self.exists(group, pointer.run_id)
            folder = self._layout.candidate(group, pointer.run_id) if pointer else None
            sizes.append(self._store.size(folder) if known and folder else USUAL_SIZE)
        self._store.require_room(self._layout.candidates, 2 * sum(sizes))

    def latest(self, group: str) -> StoredModel | None:
        """A group's newest candidate, published or not; None if the group was never trained."""
        pointer = self.pointer(group)
        return self.load(group, pointer.run_id) if pointer else None

    def load(self, group: str, run_id: str) -> StoredModel:
        """The candidate that a run trained."""
        return self._files.load(self._layout.candidate(group, run_id))

    def exists(self, group: str, run_id: str) -> bool:
        """Whether a candidate's folder is still there: `prune` removes those it no longer needs."""
        return self._store.exists(self._layout.candidate(group, run_id))

    def pointer(self, group: str) -> Pointer | None:
        """Which candidate of a group is the newest; None if the group was never trained.

        Raises:
            RegistryError: the pointer is damaged.
        """
        path = self._layout.latest_candidate(group)
        if not self._store.exists(path):
            return None
        data = from_json(self._store.read(path), path)
        if not isinstance(data, dict) or not isinstance(data.get("run_id"), str):
            raise RegistryError(f"{path} is damaged: it does not name a run; train '{group}' again")
        return Pointer(data["run_id"], data.get("published"))

    def refused(self) -> list[Any]:
        """Thin stand-in until candidates can be refused."""
        return []

    def pending_run(self, group: str) -> str | None:
        """The run whose candidate the next version takes; None if the newest one is already published."""
        pointer = self.pointer(group)
        return pointer.run_id if pointer and pointer.published is None else None

    def mark_published(self, group: str, run_id: str, version: str) -> None:
        """Notes that a candidate is in a version, unless a newer candidate has taken its place."""
        if self.pointer(group) == Pointer(run_id, None):
            self._point(group, Pointer(run_id, version))

    def _point(self, group: str, pointer: Pointer) -> None:
        data = {"run_id": pointer.run_id, "published": pointer.published}
        self._store.write(self._layout.latest_candidate(group), to_json(data))
