"""Dagster: projects as assets, jobs and resources, the component behind a `defs.yaml`, and runs in this process.

What assets do is done by the rooms below; here it is only wired up, and what is found is shown in the UI. dagster has
its home in this room.
"""

from lstm_pipeline.orchestration.assets import as_of_date
from lstm_pipeline.orchestration.code_location import project_definitions, resources, shared_resources, user_projects
from lstm_pipeline.orchestration.component import ForecastProject
from lstm_pipeline.orchestration.defs_folder import load_defs_folder
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.job_config import run_config
from lstm_pipeline.orchestration.keys import slug, source_key
from lstm_pipeline.orchestration.metadata import frame_metadata
from lstm_pipeline.orchestration.runs import RunFailedError, materialize, run_backtest, run_project

__all__ = [
    "ForecastProject",
    "RunFailedError",
    "as_of_date",
    "frame_metadata",
    "load_defs_folder",
    "materialize",
    "project_definitions",
    "resources",
    "run_backtest",
    "run_config",
    "run_project",
    "shared_resources",
    "slug",
    "source_key",
    "user_errors",
    "user_projects",
]
