"""Exact times around changes of the clocks, as Dagster counts them."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from lstm_pipeline.monitoring.clock import due_between, last_due, next_due

BERLIN = "Europe/Berlin"


def berlin(text: str) -> dt.datetime:
    time = dt.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=ZoneInfo(BERLIN))


@pytest.mark.parametrize(
    ("crons", "after", "expected"),
    [
        (["15 6 * * *"], "2024-03-30T06:15", "2024-03-31T06:15+02:00"),  # in a day of 23 hours
        (["15 6 * * *"], "2024-10-26T06:15", "2024-10-27T06:15+01:00"),  # in a day of 25 hours
        (["30 2 * * *"], "2024-03-30T12:00", "2024-03-31T03:00+02:00"),  # 02:30 is skipped
        (["30 2 * * *"], "2024-10-26T12:00", "2024-10-27T02:30+01:00"),  # 02:30 comes twice
        (["0 * * * *"], "2024-10-27T02:00+02:00", "2024-10-27T02:00+01:00"),  # both hours
        (["0 3 * * 0", "15 6 * * *"], "2024-05-04T07:00", "2024-05-05T03:00+02:00"),  # the earliest of several
        (["@daily"], "2024-05-04T07:00", "2024-05-05T00:00+02:00"),
    ],
)
def test_next_due(crons: list[str], after: str, expected: str) -> None:
    found = next_due(crons, BERLIN, berlin(after))
    assert found == dt.datetime.fromisoformat(expected)
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("crons", "until", "expected"),
    [
        (["15 6 * * *"], "2024-05-01T06:15", "2024-05-01T06:15+02:00"),  # due right now
        (["15 6 * * *"], "2024-05-01T06:14:59", "2024-04-30T06:15+02:00"),
        (["30 2 * * *"], "2024-10-27T02:45+02:00", "2024-10-26T02:30+02:00"),  # it comes again
        (["30 2 * * *"], "2024-10-27T02:45+01:00", "2024-10-27T02:30+01:00"),
        (["30 2 * * *"], "2024-03-31T12:00", "2024-03-31T03:00+02:00"),
        (["0 * * * *"], "2024-10-27T02:45+01:00", "2024-10-27T02:00+01:00"),
        (["0 3 * * 0", "15 6 * * *"], "2024-05-05T05:00", "2024-05-05T03:00+02:00"),
    ],
)
def test_last_due(crons: list[str], until: str, expected: str) -> None:
    assert last_due(crons, BERLIN, berlin(until)) == dt.datetime.fromisoformat(expected)


def test_no_schedule_is_never_due() -> None:
    now = berlin("2024-05-05T05:00")
    assert next_due([], BERLIN, now) is last_due([], BERLIN, now) is None
    assert not due_between([], BERLIN, now, now + dt.timedelta(days=400))


def test_due_between_leaves_the_start_out() -> None:
    at = berlin("2024-05-05T06:15")
    before, after = at - dt.timedelta(seconds=1), at + dt.timedelta(seconds=1)
    assert due_between(["15 6 * * *"], BERLIN, before, at)
    assert not due_between(["15 6 * * *"], BERLIN, at, after)
