"""What the launcher makes of what Celery says, and how many runs the queue starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration import celery_launcher, celery_worker
from lstm_pipeline.orchestration.celery_launcher import (
    COUNT_SECONDS,
    MISSES,
    OLD_SECONDS,
    PATIENCE,
    RECONNECTING,
    REMEMBERED,
    CeleryRunCoordinator,
    WatchfulCeleryRunLauncher,
)
from lstm_pipeline.orchestration.coordinator import TaggingRunCoordinator

TASK, WORKER = "task-1", "worker1@host"
ACTIVE, RESERVED, READY = ["active", {}], ["reserved", {}], ["ready", {}]


@dataclass
class Celery:
    """An application whose broker says what a test wants.

    Attributes:
        meta: the state of the task in the result backend.
        workers: those that answer → the tasks that they have.
        broken: raised by whatever is asked.
        answers: set when the workers have answered a count; None: at once.
        asked: destinations of the questions.
        revoked: tasks that were revoked.
    """

    meta: dict[str, Any] = field(default_factory=lambda: {"status": "STARTED", "result": {"hostname": WORKER}})
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: Exception | None = None
    answers: threading.Event | None = None
    asked: list[list[str] | None] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    @property
    def backend(self) -> Celery:
        return self

    @property
    def control(self) -> Celery:
        return self

    def get_task_meta(self, task: str) -> dict[str, Any]:
        assert task == TASK
        self._check()
        return self.meta

    def broadcast(self, command: str, arguments: dict[str, Any], destination: list[str] | None, **_: Any) -> list[Any]:
        assert (command, arguments) == ("query_task", {"ids": [TASK]})
        self._check()
        self.asked.append(destination)
        names = self.workers if destination is None else [name for name in destination if name in self.workers]
        return [{name: self.workers[name]} for name in names]

    def inspect(self, timeout: float) -> Celery:
        return self

    def stats(self) -> dict[str, Any]:
        self._check()
        if self.answers:
            self.answers.wait(20)
        return {name: {"pool": {"max-concurrency": 1}} for name in self.workers}

    def AsyncResult(self, task: str) -> Any:  # noqa: N802
        return SimpleNamespace(revoke=lambda terminate: self._revoke(task))

    def _revoke(self, task: str) -> None:
        self._check()
        self.revoked.append(task)

    def _check(self) -> None:
        if self.broken:
            raise self.broken


@dataclass
class Instance:
    """As much of an instance as the coordinator looks at."""

    run_launcher: Any

    def coordinator(self, **options: Any) -> CeleryRunCoordinator:
        found = CeleryRunCoordinator(**options)
        found.register_instance(self)  # type: ignore[arg-type]
        return found


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(celery_launcher, "time", found)
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def celery() -> Celery:
    return Celery()


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


def at_most(coordinator: CeleryRunCoordinator, clock: Clock, seconds: float = OLD_SECONDS + 1) -> int:
    clock.now += seconds
    return coordinator.get_run_queue_config().max_concurrent_runs


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
