"""A project: its spec, the locations of its inputs, and its registry. How projects are found."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from lstm_pipeline.errors import DataError, PipelineError, Problem, SpecError
from lstm_pipeline.registry import Registry
from lstm_pipeline.spec import (
    DEFAULT_GROUP,
    DataProduct,
    DataProductInput,
    LoadedSpec,
    ProjectSpec,
    SqlStep,
    check_storage,
    load_spec,
    projects_folder,
    read_document,
    resolve_uri,
    scrubbed,
    shown_uri,
    storage_uri,
    uri_problem,
)
from lstm_pipeline.storage import Store
from lstm_pipeline.wording import did_you_mean, listed

logger = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")
"""Suffixes of spec files."""

SHIPPED = Path(__file__).parent.parent / "defs"
"""Folder of the projects that come with the package."""


class StepError(DataError):
    """A step that leaves no row.

    Args:
        message: what the condition is compared with.
        step: the step.
    """

    def __init__(self, message: str, step: SqlStep) -> None:
        super().__init__(message)
        self.step = step

    def with_message(self, message: str) -> StepError:
        """The same step with another text."""
        return StepError(message, self.step)


@dataclass(frozen=True)
class Project:
    """A validated spec together with a storage root (a folder or a URI)."""

    loaded: LoadedSpec
    storage: str

    def __repr__(self) -> str:
        """Name, spec and storage root. The document itself is long, and may hold secrets such as a webhook's URL."""
        return f"<Project {self.name!r} from {self.loaded.source}, storage {self.storage}>"

    @property
    def spec(self) -> ProjectSpec:
        """The validated spec."""
        return self.loaded.spec

    @property
    def name(self) -> str:
        """The project's name: its asset key prefix and its folder in the bucket."""
        return self.spec.project_name

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the feature groups, in the order of the spec."""
        return tuple(self.spec.training.feature_groups or {DEFAULT_GROUP: None})

    @cached_property
    def registry(self) -> Registry:
        """The registry of the project's models and versions."""
        return Registry(Store(self.storage), self.spec.training.model_bucket, self.name)

    def input_uri(self, product: DataProduct, name: str) -> str:
        """The location of a data product's input, as an absolute path or a full URI. It may contain secrets.

        Raises:
            DataError: the environment has changed since the spec was loaded, and the URI cannot be resolved any more.
        """
        uri = self._written_uri(product, name)
        problem = uri_problem(uri)
        if problem:
            raise DataError(f"input '{name}': {problem}")
        return resolve_uri(uri, self.loaded.folder)

    def shown_uri(self, product: DataProduct, name: str) -> str:
        """The location of a data product's input as it may be shown: see `lstm_pipeline.spec.shown_uri`."""
        return shown_uri(self._written_uri(product, name), self.loaded.folder)

    @contextmanager
    def reading(self, product: DataProduct, name: str) -> Iterator[str]:
        """Yields the location of an input. Error messages raised meanwhile show it without its secrets.

        Raises:
            DataError: as raised by the reader, or by `input_uri`.
        """
        uri = self.input_uri(product, name)
        try:
            yield uri
        except DataError as error:
            message = self.scrubbed(product, name, str(error))
            fault = error.with_message(message) if isinstance(error, StepError) else DataError(message)
            fault.transient = error.transient
            raise fault from None  # the cause would be recorded with the secrets in it

    def scrubbed(self, product: DataProduct, name: str, text: str) -> str:
        """A text about an input, without the secrets in its location."""
        return scrubbed(text, self._written_uri(product, name), self.loaded.folder)

    def _written_uri(self, product: DataProduct, name: str) -> str:
        source = product.inputs[name]
        return self.spec.catalog[source.identifier] if isinstance(source, DataProductInput) else source.uri

    def today(self) -> dt.date:
        """The current date in the project's time zone: the default as-of date."""
        return dt.datetime.now(ZoneInfo(self.spec.timezone)).date()


def load_project(reference: str | Path, storage: str | None = None) -> Project:
    """Loads a project.

    Args:
        reference: a spec file, or the name of a project in the projects folder or of one that comes with the package.
        storage: storage root (a folder or a URI); by default `LSTM_PIPELINE_STORAGE`, else `storage/` in the workspace.

    Raises:
        SpecError: the spec is invalid (lists every problem), or no such project exists.
        PipelineError: the storage root contains a password or a query.
    """
    check_storage(storage or "")
    path = Path(reference)
    loaded = load_spec(path if path.suffix.lower() in SUFFIXES else find_spec(str(reference)))
    return Project(loaded, storage or storage_uri())


def spec_files() -> list[Path]:
    """The spec files in the projects folder, sorted by name: the user's own projects."""
    folder = projects_folder()
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and _is_project(path))


def find_spec(name: str) -> Path:
    """Finds the spec file of a project, given the project's name or the name of its file without suffix.

    If several specs have this name, it is the first one that can be loaded, as in the UI; the others are logged.

    Raises:
        SpecError: no such project exists.
    """
    known: dict[str, list[Path]] = {}
    broken: set[Path] = set()
    for path in [*sorted(SHIPPED.glob("*/defs.yaml")), *spec_files()]:
        project = _project_name(path)
        if project is None:
            broken.add(path)
        stem = path.parent.name if path.name == "defs.yaml" else path.stem
        for key in {stem, project or stem}:
            known.setdefault(key, []).append(path)
    if name not in known:
        names = sorted(known)
        message = f"no file or project has this name.{did_you_mean(name, names)} Known projects: {listed(names)}"
        raise SpecError(name, [Problem("", message)])
    chosen, *others = sorted(known[name], key=lambda path: path in broken)
    if others:
        also = listed([str(path) for path in others])
        logger.warning("'%s' is %s; to use another spec with this name, give its path: %s", name, chosen, also)
    return chosen


def _is_project(path: Path) -> bool:
    """Whether a file is a project spec, and not a part of one (a schema or a builder), which may lie beside it."""
    try:
        data = read_document(path).data
    except PipelineError:
        return True  # the code location shows it as a broken spec
    return isinstance(data, dict) and bool({"model_metadata", "predictions", "catalog"} & set(data))


def _project_name(path: Path) -> str | None:
    try:
        return load_spec(path).spec.project_name
    except PipelineError:
        return None
