"""Candidates: freshly trained models that no version contains yet."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import METADATA, REFUSED
from lstm_pipeline.registry.models import DamagedRecord, ModelFiles, StoredModel
from lstm_pipeline.registry.records import Decision, IndividualRecord, RefusedRecord, instant
from lstm_pipeline.storage import each, from_json, to_json

logger = logging.getLogger(__name__)

USUAL_SIZE = 2_000_000
"""Bytes of a model whose group was never trained: those of the default options are about one megabyte."""


@dataclass(frozen=True)
class Pointer:
    """A group's newest candidate.

    Attributes:
        run_id: the run that trained it.
        published: the version it was published in; None if it is in none.
        refused: whether it was compared with the model in use and not promoted.
    """

    run_id: str
    published: str | None
    refused: bool = False


@dataclass(frozen=True)
class Refused:
    """A candidate that was not promoted.

    Attributes:
        run_id: the run that trained it.
        when: when it was refused, in UTC.
    """

    group: str
    run_id: str
    decision: Decision
    when: dt.datetime


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
        for name in (METADATA, REFUSED):  # a run may train twice: until all is replaced, its candidate is not complete
            self._store.remove(target / name)
        names = [name for name in metadata.files if name != METADATA]
        stored = each(lambda name: self._store.upload(folder / name, target / name), names)
        checksums = {name: sha for name, (_, sha) in zip(names, stored, strict=True)}
        record = record.model_copy(update={"checksums": checksums})
        self._store.write(target / METADATA, to_json(record.to_json()))
        self._point(metadata.feature_group, Pointer(metadata.run_id, None))
        return StoredModel(record, target)

    def require_room(self, groups: Sequence[str]) -> None:
        """Checks, before training, that the candidates of these groups can be stored and published.

        Each is expected to be as large as the group's newest one, once as a candidate and once in a version.

        Raises:
            RegistryError: the storage root cannot be written, or has too little space.
        """
        self._store.require_room(self._layout.candidates, 2 * sum(each(self._expected_size, groups)))

    def _expected_size(self, group: str) -> int:
        pointer = self.readable_pointer(group)
        if pointer is None:
            return USUAL_SIZE
        files = self._store.files(self._layout.candidate(group, pointer.run_id))
        return sum(file.size for file in files) if any(file.parts == (METADATA,) for file in files) else USUAL_SIZE

    def latest(self, group: str) -> StoredModel | None:
        """A group's newest candidate, published or not; None if the group was never trained."""
        pointer = self.pointer(group)
        return self.load(group, pointer.run_id) if pointer else None

    def load(self, group: str, run_id: str) -> StoredModel:
        """The candidate that a run trained."""
        return self._files.load(self._layout.candidate(group, run_id))

    def find(self, group: str, run_id: str) -> StoredModel | None:
        """The candidate that a run trained; None if there is none, or half of one: see `exists`.

        Raises:
            DamagedRecord: its record is damaged.
        """
        return self._files.find(self._layout.candidate(group, run_id))

    def exists(self, group: str, run_id: str) -> bool:
        """Whether a candidate is there and complete.

        Its record is written last, so that of a run that was killed while it stored a model there is half a candidate,
        which does not count. `prune` removes those, and whole ones that are no longer needed.
        """
        return self._store.exists(self._layout.candidate(group, run_id) / METADATA)

    def settle(self, model: StoredModel) -> None:
        """Makes a candidate its group's newest one, if the process that stored it died just before it did so.

        A candidate that was refused, or that a newer one has taken the place of, is left as it is.
        """
        group, run_id = model.group, model.run_id
        pointer = self.readable_pointer(group)
        if pointer and (pointer.run_id == run_id or self._is_newer(group, pointer.run_id, model)):
            return
        if not self._store.exists(self._layout.refused(group, run_id)):
            self._point(group, Pointer(run_id, None))

    def _is_newer(self, group: str, run_id: str, model: StoredModel) -> bool:
        """Whether another candidate is there and was trained after a model."""
        if not self.exists(group, run_id):
            return False
        other = self.load(group, run_id).record.metadata.training_date
        return instant(other) >= instant(model.record.metadata.training_date)

    def pointer(self, group: str) -> Pointer | None:
        """Which candidate of a group is the newest; None if the group was never trained.

        Raises:
            DamagedRecord: the pointer is damaged.
            RegistryError: it cannot be read.
        """
        path = self._layout.latest_candidate(group)
        content, advice = self._store.find(path), f"train '{group}' again, which writes it anew"
        if content is None:
            return None
        try:
            data = from_json(content, path)
        except RegistryError as error:
            raise DamagedRecord(f"{error}; {advice}") from None
        if not isinstance(data, dict) or not isinstance(data.get("run_id"), str):
            raise DamagedRecord(f"{path} is damaged: it does not name a run; {advice}")
        return Pointer(data["run_id"], data.get("published"), data.get("refused") is True)

    def readable_pointer(self, group: str) -> Pointer | None:
        """Like `pointer`, but a damaged one is a warning: which candidate is the newest is then not known."""
        try:
            return self.pointer(group)
        except DamagedRecord as error:
            logger.warning("%s", error)
            return None

    def pending_run(self, group: str) -> str | None:
        """The run whose candidate waits for the next version; None if the newest one is published or refused."""
        pointer = self.pointer(group)
        return pointer.run_id if pointer and self.is_pending(group, pointer) else None

    def is_pending(self, group: str, pointer: Pointer) -> bool:
        """Whether a group's newest candidate still waits for a version.

        A refusal is noted twice. The marker in the candidate's folder is written first; the pointer says the same while
        that folder is being removed, when the marker may be the first file to go.
        """
        if pointer.published is not None or pointer.refused:
            return False
        return self._store.find(self._layout.refused(group, pointer.run_id)) is None

    def mark_published(self, group: str, run_id: str, version: str) -> None:
        """Notes that a candidate is in a version, unless a newer candidate has taken its place."""
        pointer = self.readable_pointer(group)
        if pointer and pointer.run_id == run_id and pointer.published is None:
            self._point(group, Pointer(run_id, version))
        self._store.remove(self._layout.refused(group, run_id))  # it may have been promoted by hand

    def mark_refused(self, decision: Decision) -> None:
        """Notes that a candidate was not promoted, so that no later version takes it unasked."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        record = RefusedRecord(decision=decision, refused_at=now)
        self._store.write(self._layout.refused(decision.group, decision.run_id), to_json(record.to_json()))
        pointer = self.readable_pointer(decision.group)
        if pointer and pointer.run_id == decision.run_id:
            self._point(decision.group, replace(pointer, refused=True))

    def refused(self, damaged: list[str] | None = None) -> list[Refused]:
        """Every candidate that was not promoted and has not been pruned, the oldest refusal first.

        Args:
            damaged: gets a sentence for each note of a refusal that cannot be read; None: the first one is an error.

        Raises:
            DamagedRecord: a note of a refusal is damaged.
            RegistryError: the store fails.
        """
        files = self._store.files(self._layout.candidates)
        noted = sorted({file.parts[:2] for file in files if file.parts[2:3] == (REFUSED,)})
        found = each(lambda place: self._refused_or_told(place[0], place[1], damaged), noted)
        return sorted(filter(None, found), key=lambda one: (one.when, one.group, one.run_id))

    def _refused_or_told(self, group: str, run_id: str, damaged: list[str] | None) -> Refused | None:
        path = self._layout.refused(group, run_id)
        try:
            return self._refused(group, run_id)
        except RegistryError as error:
            if not self._store.exists(path):  # it was pruned a moment ago
                return None
            if damaged is None or error.transient:
                raise
            damaged.append(
                f"{error}; the candidate stays refused, but why is lost; remove {path.parent}, or let "
                "`lstm-pipeline prune` do so a day after it was trained"
            )
            return None

    def _refused(self, group: str, run_id: str) -> Refused:
        path = self._layout.refused(group, run_id)
        record = self._files.parse(RefusedRecord, path)
        try:
            return Refused(group, run_id, record.decision, instant(record.refused_at))
        except ValueError as error:
            raise DamagedRecord(f"{path} is damaged: refused_at: {error}") from None

    def _point(self, group: str, pointer: Pointer) -> None:
        data: dict[str, str | bool | None] = {"run_id": pointer.run_id, "published": pointer.published}
        if pointer.refused:
            data["refused"] = True
        self._store.write(self._layout.latest_candidate(group), to_json(data))
