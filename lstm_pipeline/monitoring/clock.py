"""When a schedule is due. Changes of the clocks count as Dagster counts them.

A time of day that the clocks skip is due when they have been put forward. One that comes twice is due once, the second
time; a schedule of several hours is due both times.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from croniter import croniter  # type: ignore[import-untyped]


def next_due(crons: Sequence[str], zone: str, after: dt.datetime) -> dt.datetime | None:
    """The first time after `after` at which one of the schedules is due, in UTC; None without schedules."""
    return min((next(_times(cron, zone, after)) for cron in crons), default=None)


def last_due(crons: Sequence[str], zone: str, until: dt.datetime) -> dt.datetime | None:
    """The last time up to and including `until` at which one of the schedules was due, in UTC; None without.

    Times are in UTC, because those of one zone compare by what its clocks show.
    """
    return max((next(_times(cron, zone, until, backwards=True)) for cron in crons), default=None)


def due_between(crons: Sequence[str], zone: str, after: dt.datetime, until: dt.datetime) -> bool:
    """Whether one of the schedules is due after `after`, up to and including `until`."""
    due = next_due(crons, zone, after)
    return due is not None and due <= until


def _times(cron: str, zone: str, start: dt.datetime, *, backwards: bool = False) -> Iterator[dt.datetime]:
    """When a schedule is due, from `start` on: after it, or backwards from it, itself included."""
    begin = start.astimezone(dt.UTC)  # sums in a zone would be sums of what clocks show
    if backwards:  # croniter leaves the start out, and cuts off fractions of seconds
        begin = begin.replace(microsecond=0) + dt.timedelta(seconds=1)
    times = croniter(cron, begin.astimezone(ZoneInfo(zone)), ret_type=dt.datetime)
    hours = cron.split()[1] if " " in cron else "*"
    while True:
        time = times.get_prev() if backwards else times.get_next()
        if hours.isdigit() and _comes_again(time):
            continue
        yield time.astimezone(dt.UTC)


def _comes_again(time: dt.datetime) -> bool:
    """Whether the clocks will be put back so that they show this time once more."""
    later = time.replace(fold=1)
    return not time.fold and later.utcoffset() != time.utcoffset() and _exists(time)


def _exists(time: dt.datetime) -> bool:
    """Whether the clocks show this time at all; they skip some when they are put forward."""
    there_and_back = time.astimezone(dt.UTC).astimezone(time.tzinfo)
    return there_and_back.replace(tzinfo=None) == time.replace(tzinfo=None)
