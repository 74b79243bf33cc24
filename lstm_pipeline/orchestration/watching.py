"""A project's alert sensor: failed runs and checks, refused candidates and missed forecasts, each told once.

The fifth alert, on accuracy, is told by the retraining sensor, which knows the reasons.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
from dagster._utils.schedules import schedule_execution_time_iterator

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.monitoring import shown
from lstm_pipeline.orchestration.alerts import FAILED_CHECK, FAILED_RUN, MISSED, REFUSED, Alert, tell
from lstm_pipeline.orchestration.checks import CHECKS_OF
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.keys import PREDICTIONS, asset_key, slug
from lstm_pipeline.orchestration.schedules import schedule_name
from lstm_pipeline.orchestration.trainings import of_project, stored_time
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import without_credentials
from lstm_pipeline.wording import sentences

EVERY = dt.timedelta(minutes=1)
"""How often the sensor looks."""

GRACE = dt.timedelta(minutes=30)
"""How late a forecast may be."""

REMINDER = dt.timedelta(days=1)
"""A forecast that goes on missing is told again after this time."""

_OVERLAP = dt.timedelta(hours=1)
"""Runs that failed up to this long before the last tick are looked at again: they may have waited for a retry."""

_EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""A time before this is none that a tick had."""

_MOST = 200
"""Alerts that are remembered as told."""


@dataclass(frozen=True)
class Watch:
    """What the alert sensor keeps between its ticks: its cursor.

    Attributes:
        since: its first tick; what was before is not told.
        last: its last tick.
        told: ids of the failed runs and failed checks that were told, newest last.
        missed: when a missed forecast was last told.
        refused: the marks of the refused candidates that were told, as long as they are there: with many groups these
            may be thousands.
    """

    since: dt.datetime
    last: dt.datetime
    told: tuple[str, ...] = field(default=())
    missed: dt.datetime | None = None
    refused: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, cursor: str | None, now: dt.datetime) -> Watch:
        """Reads a cursor. One that is missing, damaged or someone else's begins now: nothing is told a second time."""
        try:
            data = json.loads(cursor or "")
            since, last = (stored_time(data[key]) for key in ("since", "last"))
            missed = stored_time(data["missed"]) if data.get("missed") else None
            if not (_EARLIEST < since <= now and _EARLIEST < last <= now):  # the clock has been put back since
                since, last = now, now
            refused = frozenset(map(str, data.get("refused", ())))
            return cls(
                since, last, tuple(map(str, data["told"])), missed if missed and missed <= now else None, refused
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(now, now)

    def to_json(self) -> str:
        """The cursor."""
        missed = self.missed.isoformat() if self.missed else None
        data: dict[str, Any] = {"since": self.since.isoformat(), "last": self.last.isoformat()}
        return json.dumps({**data, "told": self.told[-_MOST:], "missed": missed, "refused": sorted(self.refused)})


def watch_name(project: str) -> str:
    """Name of a project's alert sensor."""
    return f"{slug(project)}_alerts"


def build_alert_sensor(project: Project) -> dg.SensorDefinition | None:
    """The alert sensor of a project; None if its spec names no webhook."""
    alerts = project.spec.automation.alerts if project.spec.automation else None
    if alerts is None or not alerts.url():
        return None

    @dg.sensor(
        name=watch_name(project.name),
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the webhook of failed runs and checks, refused models and missed forecasts; starts no runs.",
    )
    def watching(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _tick(context, project, dt.datetime.now(dt.UTC))

    return watching


def _tick(context: dg.SensorEvaluationContext, project: Project, now: dt.datetime) -> dg.SensorResult:
    watch = Watch.parse(context.cursor, now)
    unread: list[str] = []
    with user_errors():
        runs = dict(_failed_runs(context.instance, project, watch))
        refused = _refused(project, watch, unread)
        checks = dict(_failed_checks(context.instance, project, watch))
        alert = _missed(context.instance, project, watch, now)
    marks = {key: _mark(key) for key in refused}
    known = {*watch.told, *(key for key, mark in marks.items() if mark in watch.refused)}
    new = {key: one for key, one in {**runs, **refused, **checks}.items() if key not in known}
    told = [*new.values(), *([alert] if alert else [])]
    tell(project, *told)
    after = replace(
        watch,
        last=now,
        told=(*watch.told, *(key for key in new if key not in refused)),
        missed=now if alert else watch.missed,
        refused=frozenset(marks.values()) | (watch.refused if unread else frozenset()),
    )
    why = f"told: {sentences([one.sentence for one in told])}" if told else "nothing needs attention"
    return dg.SensorResult(skip_reason="; ".join(filter(None, [why, sentences(unread)])), cursor=after.to_json())


def _mark(key: str) -> str:
    """A refused candidate in short: the cursor is kept with every tick."""
    return hashlib.sha256(key.encode()).hexdigest()[:10]


def _failed_runs(instance: dg.DagsterInstance, project: Project, watch: Watch) -> Iterator[tuple[str, Alert]]:
    """The failed runs of the project, less those that are or will be retried: the last attempt counts."""
    after = max(watch.since, watch.last - _OVERLAP)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=after)
    for record in reversed(instance.get_run_records(failed, limit=_MOST)):
        run = record.dagster_run
        retried = run.is_complete_and_waiting_to_retry or _RETRIED_TAG in run.tags
        if of_project(run, project) and not retried:
            message = without_credentials(_failure(instance, run.run_id))
            sentence = f"run {run.run_id[:8]} of {run.job_name} failed: {message}"
            yield run.run_id, Alert(FAILED_RUN, sentence, {"job": run.job_name}, run.run_id)


_RETRIED_TAG = "dagster/auto_retry_run_id"
"""Run tag of Dagster's: the run that repeats this one."""


def _failure(instance: dg.DagsterInstance, run_id: str) -> str:
    """The message of a run's failed step."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        failure: Any = entry.get_dagster_event().step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return str(failure.user_failure_data.description)
        if failure.error is not None:
            return str((failure.error.cause or failure.error).message).strip()
    return "it ended before its first step, or was killed"


def _refused(project: Project, watch: Watch, unread: list[str]) -> dict[str, Alert]:
    """The refused candidates. What cannot be read is added to `unread`, and keeps no other alert back."""
    try:
        known = project.registry.refused(unread)
    except PipelineError as error:  # the next tick looks again
        unread.append(f"refused candidates cannot be looked up: {error}")
        return {}
    found = {}
    for refused in known:
        if refused.when >= watch.since:
            decision = refused.decision
            numbers = {"group": refused.group, "challenger": decision.challenger, "champion": decision.champion}
            sentence = f"the new model of {refused.group} was refused: {decision.reason}"
            found[f"{refused.group}/{refused.run_id}"] = Alert(REFUSED, sentence, numbers, refused.run_id)
    return found


def _failed_checks(instance: dg.DagsterInstance, project: Project, watch: Watch) -> Iterator[tuple[str, Alert]]:
    """The checks that failed when they were last made and whose failure is an error; each is told once a day."""
    rules = project.spec.checks.rules
    wanted = [(asset, name) for asset, names in CHECKS_OF.items() for name in names if rules[name].severity == "error"]
    keys = {dg.AssetCheckKey(asset_key(project.name, asset), name): asset for asset, name in wanted}
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key([*keys]).items():
        evaluation, made = record.evaluation, record.event
        if evaluation is None or evaluation.passed or made is None or made.timestamp < watch.since.timestamp():
            continue
        day = dt.datetime.fromtimestamp(made.timestamp, dt.UTC).date()
        sentence = f"the check '{key.name}' of {keys[key]} failed: {without_credentials(evaluation.description or '')}"
        numbers = {"asset": keys[key], "check": key.name}
        yield f"{keys[key]}/{key.name}/{day}", Alert(FAILED_CHECK, sentence, numbers, record.run_id)


def _missed(instance: dg.DagsterInstance, project: Project, watch: Watch, now: dt.datetime) -> Alert | None:
    """The newest forecast that should be there by now and is not; None if it is, or if that was told already."""
    due = _last_due(project, now - GRACE)
    if due is None or due < watch.since or _is_stopped(instance, schedule_name(project.name, "predict")):
        return None
    event = instance.get_latest_materialization_event(asset_key(project.name, PREDICTIONS))
    made = dt.datetime.fromtimestamp(event.timestamp, dt.UTC) if event else None
    if made is not None and made >= due:
        return None
    told = watch.missed
    if told is not None and (made is None or told > made) and (told >= due + GRACE or now - told < REMINDER):
        return None
    zone = project.spec.schedule_timezone
    last = f"the last one is from {shown(made, zone)}" if made else "there is none yet"
    sentence = f"the forecast due at {shown(due, zone)} is missing; {last}"
    return Alert(MISSED, sentence, {"due": due.isoformat(), "last": made.isoformat() if made else None})


def _last_due(project: Project, before: dt.datetime) -> dt.datetime | None:
    """When the last forecast up to a time was due, by the schedule as Dagster reads it; None without a schedule."""
    crons = project.spec.automation.predict if project.spec.automation else []
    if not crons:
        return None
    times = schedule_execution_time_iterator(
        before.timestamp(), list(crons), project.spec.schedule_timezone, ascending=False
    )
    return next(times).astimezone(dt.UTC)


def _is_stopped(instance: dg.DagsterInstance, schedule: str) -> bool:
    """Whether somebody has switched a schedule off in the UI."""
    return any(
        state.instigator_name == schedule and state.status.value == "STOPPED"
        for state in instance.all_instigator_state()
    )
