"""Dagster definitions of projects: the shipped ones, the user's own, and those whose spec is wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.orchestration.assets import broken_spec_asset, build_assets
from lstm_pipeline.orchestration.io_managers import ModelIOManager, ParquetIOManager
from lstm_pipeline.orchestration.jobs import build_jobs
from lstm_pipeline.orchestration.keys import slug
from lstm_pipeline.orchestration.progress import LogProgress, Progress
from lstm_pipeline.projects import Project, load_project, spec_files
from lstm_pipeline.spec import storage_uri
from lstm_pipeline.storage import Store

logger = logging.getLogger(__name__)


def project_definitions(project: Project) -> dg.Definitions:
    """A project's assets and jobs; the code location supplies the resources (see `resources`)."""
    return dg.Definitions(assets=build_assets(project), jobs=build_jobs(project))


def resources(storage: str | None = None, progress: Progress | None = None) -> dict[str, object]:
    """What the assets need: IO managers on one storage root, and a progress listener."""
    store = Store(storage or storage_uri())
    return {
        "parquet_io_manager": ParquetIOManager(store),
        "model_io_manager": ModelIOManager(store),
        "progress": progress or LogProgress(),
    }


def user_projects(taken: Iterable[str] = ()) -> dg.Definitions:
    """The projects in the user's own folder. A broken spec is shown as such and does not affect the others.

    Args:
        taken: names of projects that exist already.
    """
    found: list[dg.Definitions] = []
    names = {slug(name): "a shipped project" for name in taken}
    for path in spec_files():
        try:
            project = load_project(path)
            other = names.get(slug(project.name))
            if other:
                raise SpecError(str(path), [Problem("name", f"'{project.name}' is already the name of {other}")])
            names[slug(project.name)] = str(path)
            found.append(project_definitions(project))
        except SpecError as error:
            found.append(broken(path, error))
    return dg.Definitions.merge(*found) if found else dg.Definitions()


def broken(path: Path, error: SpecError) -> dg.Definitions:
    """Definitions that show why a spec could not be loaded."""
    logger.error("%s", error)
    return dg.Definitions(assets=[broken_spec_asset(path.stem, error)])
