"""A project's jobs: which assets each one materialises."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg

from lstm_pipeline.orchestration.keys import (
    BACKTEST_ASSETS,
    FORECAST_ASSETS,
    TRAINING_ASSETS,
    asset_key,
    run_tags,
    slug,
)
from lstm_pipeline.projects import Project

TRAIN, FORECAST, BOTH, BACKTESTING = "train", "forecast", "train_and_forecast", "backtest"
_JOBS = {
    TRAIN: TRAINING_ASSETS,
    FORECAST: FORECAST_ASSETS,
    BOTH: (*TRAINING_ASSETS, *FORECAST_ASSETS),
    BACKTESTING: BACKTEST_ASSETS,
}

JOB_KINDS = tuple(_JOBS)
"""What a project's jobs are called after its name."""


def job_name(project: str, kind: str) -> str:
    """Name of a project's job."""
    return f"{slug(project)}_{kind}"


def build_jobs(project: Project) -> list[Any]:
    """All jobs of a project."""
    return [_job(project, kind) for kind in _JOBS]


def _job(project: Project, kind: str) -> Any:
    product = project.spec.predictions if kind == FORECAST else project.spec.model_metadata
    return dg.define_asset_job(
        job_name(project.name, kind),
        selection=dg.AssetSelection.assets(*(asset_key(project.name, asset) for asset in _JOBS[kind])),
        executor_def=dg.in_process_executor,  # TensorFlow is imported once per run, not once per step
        tags=run_tags(product),
        description={
            TRAIN: "Clean the data, train every group, publish a version.",
            FORECAST: "Forecast with the version in use.",
            BOTH: "Train, publish and forecast.",
            BACKTESTING: "Clean the data, and score a version on what it has not seen.",
        }[kind],
    )


def run_config(
    project: Project,
    kind: str,
    *,
    groups: Sequence[str] | None = None,
    as_of: dt.date | None = None,
) -> dict[str, Any]:
    """Thin stand-in until the jobs take their groups from the run config."""
    return {}
