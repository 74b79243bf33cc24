"""Dagster: projects as assets, jobs and resources, the component behind a `defs.yaml`, and runs in this process.

What assets do is done by the rooms below; here it is only wired up, and what is found is shown in the UI. dagster has
its home in this room.
"""

from lstm_pipeline.orchestration.code_location import project_definitions, resources, user_projects
from lstm_pipeline.orchestration.component import ForecastProject
from lstm_pipeline.orchestration.runs import RunFailedError, materialize, run_backtest, run_project

__all__ = [
    "ForecastProject",
    "RunFailedError",
    "materialize",
    "project_definitions",
    "resources",
    "run_backtest",
    "run_project",
    "user_projects",
]
