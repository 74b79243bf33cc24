"""Freshness policies: by when the schedule of forecasts must have made an asset, as Dagster's UI shows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import islice, pairwise

import dagster as dg
from dagster._utils.schedules import schedule_execution_time_iterator

from lstm_pipeline.projects import Project

GRACE = dt.timedelta(minutes=30)
"""How late a forecast may be, unless its schedule is due more often than every hour; as for the alert."""

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SEEN = 200
"""Times of a schedule by which its longest pause is found."""

_START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def freshness_policy(project: Project) -> dg.FreshnessPolicy | None:
    """When what a forecast makes is too old, by `automation.predict`; None without a schedule.

    A run begins at the schedule's time, so the deadline is `GRACE` later, and what was made since that time counts. Of
    a schedule that cannot be moved by minutes in one cron expression, and of several, the longest pause counts.
    """
    crons = list(dict.fromkeys(project.spec.automation.predict)) if project.spec.automation else []
    if not crons:
        return None
    deadline = _later(crons[0]) if len(crons) == 1 else None
    if deadline is not None:
        return dg.FreshnessPolicy.cron(deadline, GRACE, project.spec.schedule_timezone)
    shortest, longest = _pauses(crons, project.spec.schedule_timezone)
    grace = min(GRACE, shortest / 2)
    return dg.FreshnessPolicy.time_window(fail_window=max(longest + grace, dt.timedelta(minutes=2)))


def _later(cron: str) -> str | None:
    """A schedule whose times are `GRACE` later; None if no other change than one of minutes and of one hour does it."""
    fields = _NAMED.get(cron.lower(), cron).split()
    minute, hour, *days = fields
    if not minute.isdigit():
        return None
    carry, shifted = divmod(int(minute) + int(GRACE.total_seconds()) // 60, 60)
    if not carry or hour == "*":
        return " ".join([str(shifted), hour, *days])
    if hour.isdigit() and int(hour) < 23:
        return " ".join([str(shifted), str(int(hour) + 1), *days])
    return None


def _pauses(crons: Sequence[str], zone: str) -> tuple[dt.timedelta, dt.timedelta]:
    """The shortest and the longest time from one of the schedules' times to the next."""
    times = list(islice(schedule_execution_time_iterator(_START.timestamp(), list(crons), zone), _SEEN))
    instants = sorted({time.timestamp() for time in times})
    pauses = [later - earlier for earlier, later in pairwise(instants)]
    return dt.timedelta(seconds=min(pauses)), dt.timedelta(seconds=max(pauses))
