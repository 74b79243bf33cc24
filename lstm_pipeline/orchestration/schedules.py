"""A project's schedules: when it trains and when it forecasts by itself.

After the daemon was down, Dagster evaluates a schedule once, for the newest of the times that passed, so that a missed
forecast is made once. Times that a change of the clocks skips or repeats come once, too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import dagster as dg

from lstm_pipeline.orchestration.job_config import run_config
from lstm_pipeline.orchestration.keys import AS_OF_TAG, BOTH, FORECAST, TRIGGER_TAG, job_name, slug
from lstm_pipeline.orchestration.spreading import is_spread, training_back_fills
from lstm_pipeline.projects import Project

SCHEDULE = "schedule"
"""Value of the tag `lstm_pipeline/trigger` of a scheduled run."""

_KINDS = {"train": BOTH, "predict": FORECAST}
"""Key of the spec's `automation` → the job it starts. A training ends with a fresh forecast."""

_SCHEDULED_TAG = ".dagster/scheduled_execution_time"
"""Run tag of Dagster's: the time that a schedule's run was scheduled for, as ISO 8601 in UTC."""


def schedule_name(project: str, key: str) -> str:
    """Name of the schedule behind a key of `automation`, train or predict."""
    return f"{slug(project)}_{key}_schedule"


def schedule_names(project: str) -> list[str]:
    """Names of all schedules that a project may have."""
    return [schedule_name(project, key) for key in _KINDS]


def build_schedules(project: Project) -> list[dg.ScheduleDefinition]:
    """The schedules that a project's spec asks for."""
    automation = project.spec.automation
    if automation is None:
        return []
    crons = {"train": automation.train, "predict": automation.predict}
    return [_schedule(project, key, crons[key]) for key in _KINDS if crons[key]]


def _schedule(project: Project, key: str, crons: Sequence[str]) -> dg.ScheduleDefinition:
    kind, zone = _KINDS[key], project.spec.schedule_timezone
    job = job_name(project.name, kind)
    different = list(dict.fromkeys(crons))

    @dg.schedule(
        name=schedule_name(project.name, key),
        job_name=job,
        cron_schedule=different if len(different) > 1 else different[0],  # the UI shows a list as Python would
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description={
            "train": "Trains every group, publishes and forecasts, as automation.train says.",
            "predict": "Forecasts with the version in use, as automation.predict says; never trains.",
        }[key],
    )
    def scheduled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time.astimezone(ZoneInfo(zone))
        as_of = at.date()
        waiting = _queued(context.instance, job, at)
        if waiting is not None:
            return dg.SkipReason(
                f"run {waiting[:8]} of this job, for {as_of} as well, is still in the queue: it will do the same"
            )
        if kind == BOTH and is_spread(project, len(project.groups), context.instance):
            under_way = training_back_fills(context.instance, project)
            if under_way:
                return dg.SkipReason(f"back-fill {under_way[0].backfill_id} trains this project at this moment")
        tags = {TRIGGER_TAG: SCHEDULE, AS_OF_TAG: as_of.isoformat()}
        return dg.RunRequest(run_config=run_config(project, kind, as_of=as_of), tags=tags)

    return scheduled


def _queued(instance: dg.DagsterInstance, job: str, at: dt.datetime) -> str | None:
    """A run of a job that waits in the queue and will do what a run scheduled for `at` would do.

    A run of this very time does not count: a scheduler that was killed has left it, and takes it up again.
    """
    alike = {AS_OF_TAG: at.date().isoformat(), TRIGGER_TAG: SCHEDULE}
    queued = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED], tags=alike)
    mine = at.astimezone(dt.UTC).isoformat()
    others = (run.run_id for run in instance.get_runs(filters=queued) if run.tags.get(_SCHEDULED_TAG) != mine)
    return next(others, None)
