"""A project's jobs."""

from __future__ import annotations

import warnings
from itertools import pairwise

import dagster as dg

from lstm_pipeline.orchestration.job_config import config_mapping
from lstm_pipeline.orchestration.keys import (
    BACKTESTING,
    BOTH,
    FORECAST,
    JOB_KINDS,
    TRAIN,
    TRAINING_TAG,
    described,
    job_name,
    run_tags,
)
from lstm_pipeline.orchestration.ops import STEPS, build_op, op_name
from lstm_pipeline.projects import Project

_DESCRIPTIONS = {
    TRAIN: "Clean the data, train every group, or those that the config names, and publish a version.",
    FORECAST: "Forecast with the version in use. Nothing is trained.",
    BOTH: "Train, publish and forecast.",
    BACKTESTING: "Clean the data, and score a version on what it has not seen.",
}


OWNERS_ARE_BETA = r"Parameter `owners` of (function `GraphDefinition\.to_job`|initializer `JobDefinition\.__init__`)"
"""How Dagster's warning about owners of jobs begins. It comes with every copy of a job that Dagster makes by itself."""

warnings.filterwarnings("ignore", OWNERS_ARE_BETA, dg.BetaWarning)


def build_jobs(project: Project) -> list[dg.JobDefinition]:
    """All jobs of a project."""
    return [build_job(project, kind) for kind in JOB_KINDS]


def build_job(project: Project, kind: str, *, quiet: bool = False) -> dg.JobDefinition:
    """One of a project's jobs: its steps one after the other, in one process, so that TensorFlow is imported once.

    Args:
        kind: `train`, `forecast`, `train_and_forecast` or `backtest`.
        quiet: whether the log of a run is kept off the console.
    """
    name, steps = job_name(project.name, kind), STEPS[kind]
    tags = run_tags(project.spec.predictions if kind == FORECAST else project.spec.model_metadata)
    one_at_a_time = {TRAINING_TAG: project.name} if kind in (TRAIN, BOTH) else {}
    invocations = {step: dg.NodeInvocation(op_name(project.name, kind, step), alias=step) for step in steps}
    order = {invocations[later]: {"before": dg.DependencyDefinition(earlier)} for earlier, later in pairwise(steps)}
    graph = dg.GraphDefinition(
        name,
        node_defs=[build_op(project, kind, step, tags) for step in steps],
        dependencies={invocations[steps[0]]: {}, **order},
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OWNERS_ARE_BETA, dg.BetaWarning)  # whatever filters came after the import
        return graph.to_job(
            name,
            description=described(project, _DESCRIPTIONS[kind]),
            config=config_mapping(project, kind, steps, quiet=quiet),
            executor_def=dg.in_process_executor,
            # not `run_tags`: Dagster leaves those out of runs that its UI starts
            tags={**project.spec.tags, **tags, **one_at_a_time},
            owners=project.spec.owners or None,
        )
