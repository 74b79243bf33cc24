"""From projects to Dagster definitions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.orchestration.assets import broken_spec_asset, build_assets
from lstm_pipeline.orchestration.io_managers import ModelIOManager, ParquetIOManager
from lstm_pipeline.orchestration.keys import (
    BACKTEST_ASSETS,
    FORECAST_ASSETS,
    TRAINING_ASSETS,
    asset_key,
    run_tags,
    slug,
)
from lstm_pipeline.orchestration.progress import LogProgress, Progress
from lstm_pipeline.projects.project import Project, load_project, spec_files
from lstm_pipeline.spec.settings import storage_uri
from lstm_pipeline.storage.store import Store

logger = logging.getLogger(__name__)

TRAIN, FORECAST, BOTH, BACKTESTING = "train", "forecast", "train_and_forecast", "backtest"
_JOBS = {
    TRAIN: TRAINING_ASSETS,
    FORECAST: FORECAST_ASSETS,
    BOTH: (*TRAINING_ASSETS, *FORECAST_ASSETS),
    BACKTESTING: BACKTEST_ASSETS,
}


def project_definitions(project: Project) -> dg.Definitions:
    """A project's assets and jobs; resources are the code location's (see `resources`)."""
    return dg.Definitions(
        assets=build_assets(project),
        jobs=[_job(project, kind) for kind in _JOBS],
    )


def job_name(project: str, kind: str) -> str:
    """Name of a project's job."""
    return f"{slug(project)}_{kind}"


def resources(storage: str | None = None, progress: Progress | None = None) -> dict[str, object]:
    """What the assets need: IO managers on one storage root, and somebody who hears of progress."""
    store = Store(storage or storage_uri())
    return {
        "parquet_io_manager": ParquetIOManager(store),
        "model_io_manager": ModelIOManager(store),
        "progress": progress or LogProgress(),
    }


def user_projects(taken: Iterable[str] = ()) -> dg.Definitions:
    """The projects of the user's own folder. A broken spec shows as such and takes no other down.

    Args:
        taken: names of projects that are there already.
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
    """Definitions that show why a spec was not loaded."""
    logger.error("%s", error)
    return dg.Definitions(assets=[broken_spec_asset(path.stem, error)])


def _job(project: Project, kind: str) -> Any:
    product = project.spec.predictions if kind == FORECAST else project.spec.model_metadata
    return dg.define_asset_job(
        job_name(project.name, kind),
        selection=dg.AssetSelection.assets(*(asset_key(project.name, asset) for asset in _JOBS[kind])),
        executor_def=dg.in_process_executor,
        tags=run_tags(product),
        description={
            TRAIN: "Clean the data, train every group, publish a version.",
            FORECAST: "Forecast with the version in use.",
            BOTH: "Train, publish and forecast.",
            BACKTESTING: "Clean the data, and score a version on what it has not seen.",
        }[kind],
    )
