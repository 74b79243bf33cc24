"""A project: its spec, where its inputs are, and its registry."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from lstm_pipeline.errors import PipelineError, Problem, SpecError
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.spec.documents import read_document
from lstm_pipeline.spec.loading import LoadedSpec, load_spec
from lstm_pipeline.spec.project import DataProduct, DataProductInput, ProjectSpec
from lstm_pipeline.spec.settings import projects_folder, resolve_uri, storage_uri
from lstm_pipeline.spec.steps import DEFAULT_GROUP
from lstm_pipeline.storage.store import Store

SUFFIXES = (".yaml", ".yml", ".json")
SHIPPED = Path(__file__).parent.parent / "defs"


@dataclass(frozen=True)
class Project:
    """A checked spec together with a storage root."""

    loaded: LoadedSpec
    storage: str

    @property
    def spec(self) -> ProjectSpec:
        """What the user wrote."""
        return self.loaded.spec

    @property
    def name(self) -> str:
        """The project's name: asset key prefix and folder in the bucket."""
        return self.spec.project_name

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the feature groups, in the spec's order."""
        return tuple(self.spec.training.feature_groups or {DEFAULT_GROUP: None})

    @cached_property
    def registry(self) -> Registry:
        """The project's models and versions."""
        return Registry(Store(self.storage), self.spec.training.model_bucket, self.name)

    def input_uri(self, product: DataProduct, name: str) -> str:
        """Where an input of a data product is, as an absolute path or a full URI."""
        source = product.inputs[name]
        uri = self.spec.catalog[source.identifier] if isinstance(source, DataProductInput) else source.uri
        return resolve_uri(uri, self.loaded.folder)

    def today(self) -> dt.date:
        """Today in the project's time zone: the as-of date where none is given."""
        return dt.datetime.now(ZoneInfo(self.spec.timezone)).date()


def load_project(reference: str | Path, storage: str | None = None) -> Project:
    """Loads a project.

    Args:
        reference: a spec file, or the name of a project in the projects folder or among those that are shipped.
        storage: storage root (a folder or a URI); by default `LSTM_PIPELINE_STORAGE`, else `storage/`.

    Raises:
        SpecError: with every problem of the spec, or because there is no such project.
    """
    path = Path(reference)
    loaded = load_spec(path if path.suffix.lower() in SUFFIXES else find_spec(str(reference)))
    return Project(loaded, storage or storage_uri())


def spec_files() -> list[Path]:
    """Specs that every run of the code location looks at: the user's own ones."""
    folder = projects_folder()
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and _is_project(path))


def find_spec(name: str) -> Path:
    """The spec file of a project's name."""
    known = {}
    for path in [*sorted(SHIPPED.glob("*/defs.yaml")), *spec_files()]:
        known[path.parent.name if path.name == "defs.yaml" else path.stem] = path
        known |= {project: path for project in [_project_name(path)] if project}
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise SpecError(name, [Problem("", f"no such file, and no project of that name. Projects: {there}")])
    return known[name]


def _is_project(path: Path) -> bool:
    """Whether a file says it is a project; parts of one (a schema, a builder) may stand beside it."""
    try:
        data = read_document(path).data
    except PipelineError:
        return True  # it will be shown as a broken spec
    return isinstance(data, dict) and bool({"model_metadata", "predictions", "catalog"} & set(data))


def _project_name(path: Path) -> str | None:
    try:
        return load_spec(path).spec.project_name
    except PipelineError:
        return None
