"""How many runs the queue starts on Celery's workers."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import dagster as dg
import pytest

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration import celery_launcher, celery_worker
from lstm_pipeline.orchestration.celery_launcher import COUNT_SECONDS, REMEMBERED
from lstm_pipeline.orchestration.coordinator import TaggingRunCoordinator
from lstm_pipeline_tests.orchestration.celery_stand_ins import WORKER, Celery, Clock, Instance, at_most, turned_by_hand


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return turned_by_hand(monkeypatch)


@pytest.fixture
def celery() -> Celery:
    return Celery()


def test_there_are_as_many_runs_as_workers(celery: Celery, clock: Clock) -> None:
    instance = Instance(SimpleNamespace(celery=celery))
    coordinator = instance.coordinator(max_concurrent_runs=-1)
    assert isinstance(coordinator, TaggingRunCoordinator)
    assert at_most(coordinator, clock) == 0
    celery.workers = {WORKER: {}, "worker2@host": {}}
    assert at_most(coordinator, clock) == 2
    celery.workers = {WORKER: {}}
    assert at_most(coordinator, clock) == 2  # it may be slow
    assert at_most(coordinator, clock, REMEMBERED) == 1
    celery.broken = ConnectionError("refused")
    assert at_most(coordinator, clock) == 0  # a run that was launched now would fail


def test_the_queue_goes_on_while_workers_are_counted(celery: Celery, clock: Clock) -> None:
    instance = Instance(SimpleNamespace(celery=celery))
    coordinator = instance.coordinator(max_concurrent_runs=-1)
    celery.workers = {WORKER: {}}
    assert at_most(coordinator, clock) == 1
    coordinator._looking.join(20)  # type: ignore[union-attr]
    celery.workers, celery.answers = {WORKER: {}, "worker2@host": {}}, threading.Event()
    assert at_most(coordinator, clock, COUNT_SECONDS + 1) == 1  # it does not wait for the answer
    counting = coordinator._looking
    assert at_most(coordinator, clock, 1) == 1
    assert coordinator._looking is counting  # and asks one question at a time
    celery.answers.set()
    counting.join(20)  # type: ignore[union-attr]
    assert at_most(coordinator, clock, 1) == 2


def test_the_settings_may_allow_fewer(celery: Celery, clock: Clock) -> None:
    celery.workers = {WORKER: {}, "worker2@host": {}}
    instance = Instance(SimpleNamespace(celery=celery))
    assert at_most(instance.coordinator(max_concurrent_runs=1), clock) == 1


def test_a_run_does_not_count_workers(celery: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_launcher, "current_task", SimpleNamespace(name="execute_job"))
    celery.broken = ConnectionError("nobody should ask")
    instance = Instance(SimpleNamespace(celery=celery))
    assert instance.coordinator(max_concurrent_runs=5).get_run_queue_config().max_concurrent_runs == 5


def test_a_worker_takes_one_run_and_reserves_none() -> None:
    settings = celery_worker.app.conf
    assert settings.worker_concurrency == 1
    assert settings.worker_disable_prefetch
    assert not settings.task_acks_late
    assert {"execute_job", "resume_job"} <= set(celery_worker.app.tasks)


def test_another_launcher_has_no_workers_to_count(clock: Clock) -> None:
    instance = Instance(dg.DefaultRunLauncher())
    coordinator = instance.coordinator()
    with pytest.raises(PipelineError, match="expected a Celery run launcher, found DefaultRunLauncher"):
        coordinator.get_run_queue_config()
