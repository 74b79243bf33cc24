"""The files of one model, a candidate's or a published one's, and the record beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import HELD_OUT, METADATA, MODEL, Layout
from lstm_pipeline.registry.records import IndividualRecord, PinnedModel, Record
from lstm_pipeline.storage import Store, from_json, sha256

PARSED_KEPT = 4
"""Different JSON files of models that are kept parsed."""

R = TypeVar("R", bound=Record)


class DamagedRecord(RegistryError):
    """A record, or a file of a published model, is not what was written."""


@dataclass(frozen=True, repr=False)
class StoredModel:
    """A model in the store: its record and the folder that holds its files."""

    record: IndividualRecord
    folder: UPath

    @property
    def group(self) -> str:
        """The feature group it predicts."""
        return self.record.metadata.feature_group

    def __repr__(self) -> str:
        return f"StoredModel({self.group!r}, run_id={self.run_id!r}, folder={str(self.folder)!r})"

    @property
    def run_id(self) -> str:
        """The run that trained it."""
        return self.record.metadata.run_id


def as_record(kind: type[R], content: bytes, path: UPath) -> R:
    """The record that a file holds.

    Raises:
        DamagedRecord: the file is not such a record.
    """
    try:
        data = from_json(content, path)
    except RegistryError as error:
        raise DamagedRecord(str(error)) from None
    return validated(kind, data, path)


def validated(kind: type[R], data: Any, path: UPath) -> R:
    """The record that a file's JSON describes.

    Raises:
        DamagedRecord: it does not describe such a record.
    """
    try:
        # strict: true is not 1 and "7" is not 7; a record was written by this package and has the right types
        return kind.model_validate(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DamagedRecord(f"{path} is damaged: {place}: {first['msg'].removeprefix('Value error, ')}") from None


class ModelFiles:
    """Reads and places models' files; shared by candidates and versions."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self.store = store
        self.layout = layout
        self._parsed: dict[str, Any] = {}

    def load(self, folder: UPath) -> StoredModel:
        """The model whose files are in a folder.

        Raises:
            RegistryError: its record is missing or damaged.
        """
        return StoredModel(self.parse(IndividualRecord, folder / METADATA), folder)

    def find(self, folder: UPath) -> StoredModel | None:
        """The model whose files are in a folder; None if it has no record, which is written last.

        Raises:
            DamagedRecord: its record is damaged.
        """
        content = self.store.find(folder / METADATA)
        return None if content is None else self.parsed(folder, content)

    def parsed(self, folder: UPath, content: bytes) -> StoredModel:
        """The model in a folder, from the content of its metadata.json.

        Raises:
            DamagedRecord: it is not a model's record.
        """
        return StoredModel(as_record(IndividualRecord, content, folder / METADATA), folder)

    def placed(self, record: IndividualRecord, folder: UPath) -> IndividualRecord:
        """The record with its paths filled in."""
        paths = {"model_path": self.store.key(folder / MODEL), "metadata_path": self.store.key(folder / METADATA)}
        return record.model_copy(update=paths)

    def folder_of(self, pinned: PinnedModel) -> UPath:
        """Folder of a published model."""
        return self.store.path(pinned.model_path).parent

    def parse(self, kind: type[R], path: UPath) -> R:
        """Reads a record.

        Raises:
            DamagedRecord: the file is not such a record.
            RegistryError: the file cannot be read.
        """
        return as_record(kind, self.store.read(path), path)

    def read_json(self, model: StoredModel, name: str) -> Any:
        """One of a model's JSON files, scaler.json or history.json.

        Files of the same content, such as the scalers of a thousand models that see the same columns, are parsed once
        and share their values: nobody may change them.
        """
        path = model.folder / name
        content = self.store.read(path)
        digest = sha256(content)
        found = self._parsed.get(digest)
        if found is None:
            found = from_json(content, path)
            while len(self._parsed) >= PARSED_KEPT:
                self._parsed.pop(next(iter(self._parsed)), None)
            self._parsed[digest] = found
        return found

    @contextmanager
    def model_file(self, model: StoredModel, held_out: bool = False) -> Iterator[Path]:
        """The model's .keras file on the local disk, for as long as the block runs.

        Args:
            held_out: take the network that has not seen the test part, if the model has a separate one.
        """
        name = HELD_OUT if held_out and HELD_OUT in model.record.metadata.files else MODEL
        with tempfile.TemporaryDirectory() as folder, self.store.as_local(model.folder / name, Path(folder)) as path:
            yield path
