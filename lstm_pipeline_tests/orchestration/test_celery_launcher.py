"""What the launcher makes of what Celery says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from lstm_pipeline.orchestration.celery_launcher import (
    MISSES,
    PATIENCE,
    RECONNECTING,
    WatchfulCeleryRunLauncher,
)
from lstm_pipeline_tests.orchestration.celery_stand_ins import (
    TASK,
    WORKER,
    Celery,
    Clock,
    Instance,
    at_most,
    turned_by_hand,
)

ACTIVE, RESERVED, READY = ["active", {}], ["reserved", {}], ["ready", {}]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return turned_by_hand(monkeypatch)


@pytest.fixture
def celery() -> Celery:
    return Celery()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def launcher(instance: dg.DagsterInstance, celery: Celery, clock: Clock) -> WatchfulCeleryRunLauncher:
    found = WatchfulCeleryRunLauncher(default_queue="dagster", broker="memory://", backend="cache+memory://")
    found.register_instance(instance)
    found.celery = celery
    return found


@pytest.fixture
def run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    tags = {"dagster-celery/task_id": TASK}
    return instance.add_run(dg.DagsterRun("train", status=dg.DagsterRunStatus.STARTED, tags=tags))


def asked_often(launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, clock: Clock, seconds: float) -> list[str]:
    """Verdicts of a check every ten seconds."""
    found = []
    for _ in range(int(seconds / 10) + 1):
        found.append(launcher.check_run_worker_health(run).status.value)
        clock.now += 10
    return found


@pytest.mark.parametrize("answer", [ACTIVE, RESERVED])
def test_a_worker_that_has_the_task_is_alive(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, answer: list[Any]
) -> None:
    celery.workers = {WORKER: {TASK: answer}, "worker2@host": {}}
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    assert celery.asked == [[WORKER]]  # nobody else is disturbed


def test_a_restarted_worker_without_the_task_is_proof(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery
) -> None:
    celery.workers = {WORKER: {}}
    verdict = launcher.check_run_worker_health(run)
    assert verdict.status is WorkerStatus.FAILED
    assert verdict.msg == "Worker worker1@host was restarted: it does not have the run's task any more."


def test_a_restarted_worker_that_remembers_the_task_as_done_does_not_have_it(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery
) -> None:
    celery.workers = {WORKER: {TASK: READY}}
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_a_worker_that_cannot_answer_is_not_proof(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery
) -> None:
    celery.workers = {WORKER: {"error": "no such command"}}
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_silent_worker_is_given_up_within_a_minute_and_not_at_once(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, clock: Clock
) -> None:
    celery.workers = {"worker2@host": {}}
    assert asked_often(launcher, run, clock, 40) == ["RUNNING"] * 4 + ["FAILED"]
    assert 30 <= PATIENCE <= 60


def test_silence_counts_in_questions_too(launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, clock: Clock) -> None:
    """A daemon that is so busy that it asks twice in an hour has not heard enough silence."""
    verdicts = []
    for _ in range(MISSES):
        verdicts.append(launcher.check_run_worker_health(run).status.value)
        clock.now += 3600
    assert verdicts == ["RUNNING"] * (MISSES - 1) + ["FAILED"]


def test_a_slow_worker_is_not_dead(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, clock: Clock
) -> None:
    for _ in range(5):  # silent for 30 s each time, then it answers
        celery.workers = {}
        assert asked_often(launcher, run, clock, 30) == ["RUNNING"] * 4
        celery.workers = {WORKER: {TASK: ACTIVE}}
        assert asked_often(launcher, run, clock, 0) == ["RUNNING"]


def test_a_broker_that_is_away_kills_no_run(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, clock: Clock
) -> None:
    celery.broken = ConnectionError("refused")
    verdict = launcher.check_run_worker_health(run)
    assert verdict.status is WorkerStatus.RUNNING
    assert verdict.msg == "The broker or the results cannot be reached (ConnectionError); the run is left alone."
    assert set(asked_often(launcher, run, clock, 600)) == {"RUNNING"}
    celery.broken = None  # it is back; the workers need a while to notice
    clock.now -= 10
    assert asked_often(launcher, run, clock, RECONNECTING - 10) == ["RUNNING"] * int(RECONNECTING / 10)
    assert asked_often(launcher, run, clock, PATIENCE)[-1] == "FAILED"


def test_silence_before_the_broker_went_away_does_not_count_afterwards(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, clock: Clock
) -> None:
    asked_often(launcher, run, clock, 30)
    celery.broken = ConnectionError("refused")
    asked_often(launcher, run, clock, 0)
    celery.broken = None
    clock.now += RECONNECTING
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("FAILURE", "The Celery task failed: its process ended, or could not load the code."),
        ("REVOKED", "The Celery task was revoked."),
        ("SUCCESS", "The Celery task ended, but the run did not."),
    ],
)
def test_a_task_that_ended_without_its_run_is_a_failure(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, status: str, told: str
) -> None:
    celery.meta = {"status": status, "result": None}
    verdict = launcher.check_run_worker_health(run)
    assert (verdict.status, verdict.msg) == (WorkerStatus.FAILED, told)


def test_a_run_that_ended_while_it_was_checked_is_no_failure(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, instance: dg.DagsterInstance
) -> None:
    celery.meta = {"status": "SUCCESS", "result": 0}
    instance.report_run_canceled(run)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def starting(instance: dg.DagsterInstance) -> dg.DagsterRun:
    tags = {"dagster-celery/task_id": TASK}
    return instance.add_run(dg.DagsterRun("train", status=dg.DagsterRunStatus.STARTING, tags=tags))


def test_a_worker_that_dies_before_the_first_line_of_its_run_is_noticed_within_a_minute(
    launcher: WatchfulCeleryRunLauncher, instance: dg.DagsterInstance, celery: Celery, clock: Clock
) -> None:
    run = starting(instance)
    celery.workers = {WORKER: {TASK: ACTIVE}, "worker2@host": {}}
    queue = Instance(launcher)  # which the coordinator does not keep alive
    coordinator = queue.coordinator(max_concurrent_runs=-1)
    found = []
    for second in range(0, 70, 5):
        if second == 10:
            del celery.workers[WORKER]
        at_most(coordinator, clock, 5)
        coordinator._looking.join()  # type: ignore[union-attr]
        found.append(instance.get_run_by_id(run.run_id).status)  # type: ignore[union-attr]
    assert found[9] is dg.DagsterRunStatus.STARTING  # 35 s after its death: it may be slow
    assert found[10:] == [dg.DagsterRunStatus.FAILURE] * 4
    [event] = [event for event in instance.all_logs(run.run_id) if event.get_dagster_event().is_job_failure]
    assert event.get_dagster_event().message == (
        "The run did not begin. Worker worker1@host has not answered for 40 s (9 questions)."
    )


def test_a_worker_that_is_back_at_once_is_proof_for_a_run_that_did_not_begin(
    launcher: WatchfulCeleryRunLauncher, instance: dg.DagsterInstance, celery: Celery
) -> None:
    run = starting(instance)
    celery.workers = {WORKER: {}}
    launcher.fail_dead_starts()
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


def test_a_run_that_waits_in_the_queue_of_celery_is_not_dead(
    launcher: WatchfulCeleryRunLauncher, instance: dg.DagsterInstance, celery: Celery, clock: Clock
) -> None:
    run = starting(instance)
    celery.meta = {"status": "PENDING", "result": None}
    for _ in range(20):
        launcher.fail_dead_starts()
        clock.now += 10
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTING  # type: ignore[union-attr]
    assert celery.asked == []


def test_a_run_that_begins_while_it_was_checked_is_not_dead(
    launcher: WatchfulCeleryRunLauncher, instance: dg.DagsterInstance, celery: Celery
) -> None:
    run = starting(instance)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "train"), run.run_id)
    celery.workers = {WORKER: {}}
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_lost_results_are_no_death_while_a_worker_has_the_task(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery, clock: Clock
) -> None:
    celery.meta = {"status": "PENDING", "result": None}
    celery.workers = {WORKER: {TASK: ACTIVE}}
    assert set(asked_often(launcher, run, clock, 100)) == {"RUNNING"}
    celery.workers = {}
    assert asked_often(launcher, run, clock, 40)[-1] == "FAILED"


def test_a_run_without_a_task_is_left_alone(
    launcher: WatchfulCeleryRunLauncher, instance: dg.DagsterInstance, celery: Celery
) -> None:
    run = instance.add_run(dg.DagsterRun("train", status=dg.DagsterRunStatus.STARTED))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    assert launcher.get_run_worker_debug_info(run) == "No Celery task was made for this run."
    assert launcher.terminate(run.run_id) is False
    assert launcher.terminate("no such run") is False
    assert celery.revoked == []


def test_terminate_revokes_the_task_and_never_raises(
    launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery
) -> None:
    assert launcher.terminate(run.run_id) is True
    assert celery.revoked == [TASK]
    celery.broken = ConnectionError("refused")
    assert launcher.terminate(run.run_id) is False


def test_debug_info_never_raises(launcher: WatchfulCeleryRunLauncher, run: dg.DagsterRun, celery: Celery) -> None:
    assert launcher.get_run_worker_debug_info(run) == "Celery task task-1, state STARTED, worker worker1@host"
    celery.broken = OSError("gone")
    told = launcher.get_run_worker_debug_info(run)
    assert told == "Celery task task-1; its state cannot be read: OSError: gone"
