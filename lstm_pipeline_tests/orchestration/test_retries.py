"""A retry that Dagster's daemon has overlooked: the event of the failure is read before the run itself has failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.runs import RunStorage
from dagster._daemon.auto_run_reexecution import auto_run_reexecution
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from lstm_pipeline.orchestration import coordinator
from lstm_pipeline.orchestration.coordinator import TaggingRunCoordinator
from lstm_pipeline.orchestration.retries import DUE, FORGOTTEN, Reminder


def later() -> dt.datetime:
    """When a retry of now is overdue."""
    return dt.datetime.now(dt.UTC) + DUE + dt.timedelta(seconds=10)


@dg.op
def work() -> None: ...


@dg.job
def tiny() -> None:
    work()


class Daemon:
    """The part of Dagster's daemon that retries runs, which only notes those that it would launch."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self.retried = instance, list[str]()
        self._consumer = EventLogConsumerDaemon()
        monkeypatch.setattr(auto_run_reexecution, "retry_run", lambda run, _: self.retried.append(run.run_id))
        self.look()  # from here on

    def look(self) -> None:
        list(self._consumer.run_iteration(self))  # type: ignore[arg-type]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with dg.instance_for_test(overrides={"run_retries": {"enabled": True, "max_retries": 1}}) as instance:
        yield Daemon(instance, monkeypatch)


@pytest.fixture
def overlooked(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterRun:
    """A run that the daemon looks at between the event of its failure and the failure."""
    run = daemon.instance.create_run_for_job(tiny)
    storage: Any = type(daemon.instance.run_storage)
    assert issubclass(storage, RunStorage)
    handle = storage.handle_run_event

    def late(self: RunStorage, *arguments: Any, **named: Any) -> None:
        daemon.look()
        handle(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "handle_run_event", late)
        daemon.instance.report_run_failed(run)
    found = daemon.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.is_complete_and_waiting_to_retry
    daemon.look()
    assert daemon.retried == [], "Dagster looks at such a run again by itself: this module is not needed any more"
    return found


def test_an_overdue_retry_is_made(daemon: Daemon, overlooked: dg.DagsterRun) -> None:
    assert Reminder().remind(daemon.instance, later()) == [overlooked.run_id]
    daemon.look()
    assert daemon.retried == [overlooked.run_id]


def test_the_daemon_is_left_its_time(daemon: Daemon, overlooked: dg.DagsterRun) -> None:
    assert Reminder().remind(daemon.instance, dt.datetime.now(dt.UTC)) == []
    assert Reminder().remind(daemon.instance, later() + FORGOTTEN) == []


def test_a_retry_that_cannot_be_made_is_not_asked_for_for_ever(daemon: Daemon, overlooked: dg.DagsterRun) -> None:
    reminder = Reminder()
    asked = [reminder.remind(daemon.instance, later() + dt.timedelta(minutes=number)) for number in range(6)]
    assert asked == [[overlooked.run_id]] * 3 + [[]] * 3


def test_what_was_retried_or_will_not_be_is_left_alone(daemon: Daemon) -> None:
    retried, exhausted, done = (daemon.instance.create_run_for_job(tiny) for _ in range(3))
    daemon.instance.report_run_failed(retried)
    daemon.instance.add_run_tags(retried.run_id, {"dagster/auto_retry_run_id": "another"})
    daemon.instance.add_run_tags(exhausted.run_id, {"dagster/max_retries": "0"})
    daemon.instance.report_run_failed(exhausted)
    daemon.instance.report_run_canceled(done)
    assert Reminder().remind(daemon.instance, later()) == []


@pytest.mark.parametrize(
    ("status", "reminded"),
    [
        (BulkActionStatus.REQUESTED, True),
        (BulkActionStatus.CANCELED, False),
        (BulkActionStatus.FAILED, False),
        (None, False),
    ],
)
def test_a_run_of_a_back_fill_that_has_ended_is_left_alone(
    daemon: Daemon, status: BulkActionStatus | None, reminded: bool
) -> None:
    if status is not None:
        daemon.instance.add_backfill(
            PartitionBackfill("filled", status, from_failure=False, tags={}, backfill_timestamp=0.0)
        )
    run = daemon.instance.create_run_for_job(tiny, tags={"dagster/backfill": "filled"})
    daemon.instance.report_run_failed(run)
    assert Reminder().remind(daemon.instance, later()) == ([run.run_id] if reminded else [])


def test_the_queue_reminds_the_daemon_now_and_then(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = TaggingRunCoordinator()
    queue.register_instance(daemon.instance)
    reminded: list[dt.datetime] = []
    monkeypatch.setattr(queue._reminder, "remind", lambda instance, now: reminded.append(now))
    queue.get_run_queue_config()
    assert not reminded
    queue._reminded -= coordinator.REMIND_SECONDS + 1
    queue.get_run_queue_config()
    queue.get_run_queue_config()
    assert len(reminded) == 1


def test_a_database_that_is_away_does_not_stop_the_queue(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = TaggingRunCoordinator(max_concurrent_runs=7)
    queue.register_instance(daemon.instance)
    queue._reminded -= coordinator.REMIND_SECONDS + 1

    def away(*_: object) -> list[str]:
        raise OSError("away")

    monkeypatch.setattr(queue._reminder, "remind", away)
    assert queue.get_run_queue_config().max_concurrent_runs == 7
