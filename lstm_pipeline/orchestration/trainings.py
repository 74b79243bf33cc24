"""The trainings of a project that an instance knows: which one is running, and how the automatic ones ended.

A run may have handed its training over to a back-fill. The two are one training, which ends as the back-fill does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

from lstm_pipeline.monitoring import Outcome, PastTraining
from lstm_pipeline.orchestration.dead_runs import fail_dead_runs
from lstm_pipeline.orchestration.keys import (
    BOTH,
    CARRIES_ON_TAG,
    GROUPS_TAG,
    HANDED_TAG,
    JOB_KINDS,
    TRAIN,
    TRAINED,
    asset_key,
    job_name,
)
from lstm_pipeline.orchestration.resuming import back_fill_runs
from lstm_pipeline.orchestration.spreading import is_unfinished, training_back_fills
from lstm_pipeline.projects import Project

SENSOR_TAG = "dagster/sensor_name"
"""Run tag of Dagster's: the sensor that asked for the run. A retry and a re-execution have it as well."""

PATIENCE = dt.timedelta(minutes=15)
"""How long a run may wait to be submitted or retried. After that, the daemon that was to do it has forgotten it."""

_MOST = 200
"""So many automatic runs are looked at. What was before them is in the sensor's cursor."""

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_OF_RUNS: Mapping[dg.DagsterRunStatus, Outcome] = {
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.CANCELED: "cancelled",
}
_OF_BACK_FILLS: Mapping[BulkActionStatus, Outcome] = {
    BulkActionStatus.COMPLETED_SUCCESS: "succeeded",
    BulkActionStatus.COMPLETED: "succeeded",
    BulkActionStatus.CANCELED: "cancelled",
}


@dataclass(frozen=True)
class Training(PastTraining):
    """An automatic training that has ended. A run and its repetitions are one training, which ended like the last.

    Attributes:
        run_ids: its runs, and those whose candidates it takes; the newest first.
        back_fill: the back-fill that trained for it; "": none.
    """

    run_ids: tuple[str, ...] = ()
    back_fill: str = ""


def of_project(run: dg.DagsterRun, project: Project) -> bool:
    """Whether a run belongs to a project: to one of its jobs, or to its assets."""
    jobs = {job_name(project.name, kind) for kind in JOB_KINDS}
    return run.job_name in jobs or any(key.path[0] == project.name for key in run.asset_selection or ())


def running_training(instance: dg.DagsterInstance, project: Project, now: dt.datetime) -> str | None:
    """The run or the back-fill that trains a project or is about to, whoever started it; None if there is none.

    A run whose process died is marked as failed first, if that can be seen from here.

    Returns:
        its kind and its id, as the UI shows them: `run 0a1b2c3d`, `back-fill abcdefgh`.
    """
    back_fills = training_back_fills(instance, project)
    if back_fills:
        return f"back-fill {back_fills[0].backfill_id}"
    found = _first_training(instance, project, now)
    if found and fail_dead_runs(instance):
        found = _first_training(instance, project, now)
    return f"run {found[:8]}" if found else None


def _first_training(instance: dg.DagsterInstance, project: Project, now: dt.datetime) -> str | None:
    jobs = {job_name(project.name, kind) for kind in (TRAIN, BOTH)}
    trained = asset_key(project.name, TRAINED)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - PATIENCE)
    for record in [*instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED)), *instance.get_run_records(failed)]:
        run = record.dagster_run
        trains = trained in run.asset_selection if run.asset_selection else run.job_name in jobs
        forgotten = run.status is dg.DagsterRunStatus.NOT_STARTED and now - _utc(record.create_timestamp) > PATIENCE
        if trains and not forgotten and (run.status in _UNFINISHED or run.is_complete_and_waiting_to_retry):
            return run.run_id
    return None


def automatic_trainings(instance: dg.DagsterInstance, sensor: str, now: dt.datetime) -> list[Training]:
    """The trainings that a sensor has asked for and that have ended, newest first."""
    records = instance.get_run_records(dg.RunsFilter(tags={SENSOR_TAG: sensor}), limit=_MOST)
    repetitions: dict[str, list[dg.RunRecord]] = {}
    for record in records:
        repetitions.setdefault(record.dagster_run.root_run_id or record.dagster_run.run_id, []).append(record)
    trainings = [_training(instance, chain, now) for chain in repetitions.values()]
    return sorted((one for one in trainings if one is not None), key=lambda one: one.asked, reverse=True)


def _training(instance: dg.DagsterInstance, chain: Sequence[dg.RunRecord], now: dt.datetime) -> Training | None:
    """What a run and its repetitions, newest first, came to; None if they have not ended."""
    newest = chain[0]
    run, asked = newest.dagster_run, _utc(chain[-1].create_timestamp)
    run_ids = tuple(record.dagster_run.run_id for record in chain)
    if CARRIES_ON_TAG in run.tags:
        run_ids += tuple(back_fill_runs(instance, run.tags[CARRIES_ON_TAG]))
    back_fill = instance.get_backfill(run.tags[HANDED_TAG]) if HANDED_TAG in run.tags else None
    if back_fill is not None:
        if is_unfinished(back_fill):
            return None
        name = back_fill.backfill_id
        ended = dt.datetime.fromtimestamp(back_fill.backfill_end_timestamp or back_fill.backfill_timestamp, dt.UTC)
        outcome = _OF_BACK_FILLS.get(back_fill.status, "failed")
        return Training(trained_groups(run), asked, ended, outcome, (*back_fill_runs(instance, name), *run_ids), name)
    ended = _utc(newest.update_timestamp)
    if newest.end_time is not None:
        ended = dt.datetime.fromtimestamp(newest.end_time, dt.UTC)
    if run.status in _UNFINISHED or (run.is_complete_and_waiting_to_retry and now - ended < PATIENCE):
        return None
    return Training(trained_groups(run), asked, ended, _OF_RUNS.get(run.status, "failed"), run_ids)


def trained_groups(run: dg.DagsterRun) -> tuple[str, ...]:
    """The groups that a run was asked to train; none if they were all, or if nothing tells.

    The tag of many groups does not name them all; the run's config does.
    """
    config = run.run_config.get("groups") if isinstance(run.run_config, Mapping) else None
    if isinstance(config, list):
        return tuple(map(str, config))
    tag = run.tags.get(GROUPS_TAG, "")
    return () if "…" in tag else tuple(group for group in tag.split(",") if group)


def _utc(time: dt.datetime) -> dt.datetime:
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def stored_time(text: str) -> dt.datetime:
    """A time in a sensor's cursor.

    Raises:
        ValueError: it is not a time, or has no offset.
    """
    time = dt.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("expected a time with an offset")
    return time
