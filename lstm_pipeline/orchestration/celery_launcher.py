"""Runs on Celery's workers: a launcher that notices dead workers, and a queue that starts as many runs as it can.

`examples/cluster/dagster.yaml` names both classes. dagster-celery comes with the extra `celery`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from celery import current_task
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.coordinator import TaggingRunCoordinator
from lstm_pipeline.wording import counted, number

logger = logging.getLogger(__name__)

PATIENCE = 40.0
"""Seconds for which a worker may be silent before its run is given up."""
MISSES = 3
"""A worker is not given up before it was asked this many times in vain, however rarely that happens."""
RECONNECTING = 60.0
"""Seconds that workers may take to come back after the broker was away. Their silence counts only from then on."""
ANSWER_SECONDS = 2.0
"""How long an answer of a worker is waited for."""
COUNT_SECONDS = 2.0
"""Age of a count of the workers at which they are counted again, while the queue goes on with it."""
OLD_SECONDS = 10.0
"""Age of a count at which the queue waits for the next one."""
REMEMBERED = 30.0
"""Seconds for which a worker that does not answer is still counted."""

_PATIENT = {
    "broker_connection_timeout": 5.0,
    "redis_socket_connect_timeout": 5.0,
    "redis_socket_timeout": 10.0,
    "result_backend_transport_options": {"retry_policy": {"max_retries": 1, "interval_start": 0.2}},
}
"""Celery's settings in the daemon, which must not hang while the broker is away."""


@dataclass
class _Silence:
    """A worker that does not answer."""

    since: float
    misses: int


class WatchfulCeleryRunLauncher(CeleryRunLauncher):  # type: ignore[misc]
    """dagster-celery's launcher, which fails the run of a dead worker within a minute.

    The stock one believes Celery's results, where a task is `STARTED` for ever once its worker was killed. This one
    asks the worker whether it still has the task. A worker that answers without having it was restarted: the run is
    dead. One that does not answer is given up after `PATIENCE` seconds and `MISSES` questions. While the broker or the
    results cannot be reached, nothing is known about the worker, and the run goes on as if it were healthy: Dagster
    fails a run whose worker's state is reported as unknown.
    """

    def __init__(self, config_source: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(config_source={**_PATIENT, **(config_source or {})}, **options)
        self._silent: dict[str, _Silence] = {}
        self._away = -RECONNECTING

    def terminate(self, run_id: str) -> bool:
        """Ends the task of a run; False if no worker was ever given one, or the broker cannot be reached."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        try:
            return bool(super().terminate(run_id))
        except Exception as error:  # as in check_run_worker_health
            logger.warning("run %s cannot be ended: %s: %s", run_id, type(error).__name__, error)
            return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run that was started, or is about to be, is still carried out."""
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None:  # it is carried out elsewhere, or its tag is about to be written
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The run has no Celery task.")
        try:
            verdict = self._verdict(run, task)
        except Exception as error:  # redis, kombu, celery and the operating system have their own classes each
            self._away = time.monotonic()
            self._silent.clear()
            told = f"The broker or the results cannot be reached ({type(error).__name__}); the run is left alone."
            logger.warning("run %s: %s %s", run.run_id, told, error)
            return CheckRunHealthResult(WorkerStatus.RUNNING, told)
        if verdict is None:
            self._silent.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return verdict

    def fail_dead_starts(self) -> None:
        """Fails runs whose worker died before their first line.

        Dagster asks after the workers of started runs only. It would wait for such a run until
        `start_timeout_seconds`, and the run would keep one of the remaining workers idle for so long.
        """
        try:
            for run in self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])):
                health = self.check_run_worker_health(run)
                if health.status is WorkerStatus.FAILED:
                    self._instance.report_run_failed(run, f"The run did not begin. {health.msg}")
        except Exception as error:  # e.g. the database is away; it is asked again soon
            logger.warning("runs that are about to start are not looked at: %s: %s", type(error).__name__, error)

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """The task and its worker as far as they are known. It never raises."""
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None:
            return "No Celery task was made for this run."
        try:
            state, worker = self._state(task)
        except Exception as error:
            return f"Celery task {task}; its state cannot be read: {type(error).__name__}: {error}"
        return f"Celery task {task}, state {state}, worker {worker or 'unknown'}"

    def _verdict(self, run: dg.DagsterRun, task: str) -> CheckRunHealthResult | None:
        """What is wrong with a run's worker; None if nothing is."""
        state, worker = self._state(task)
        if state == "PENDING" and run.status is dg.DagsterRunStatus.STARTING:
            return None  # it waits in Celery's queue
        if state == "FAILURE":
            return self._dead(run, "The Celery task failed: its process ended, or could not load the code.")
        if state == "REVOKED":
            return self._dead(run, "The Celery task was revoked.")
        if state == "STARTED" and worker and any(has for _, has in self._ask(task, [worker])):
            return None
        if state == "STARTED" and worker is None:
            state = "PENDING"  # nobody to ask
        answers = self._ask(task, None)
        if any(has for _, has in answers):  # e.g. two workers of the same name, or lost results
            return None
        if self._state(task)[0] != state or self._ended(run):
            return None  # it ended meanwhile
        if state == "SUCCESS":
            return self._dead(run, "The Celery task ended, but the run did not.")
        if state == "STARTED" and worker in {name for name, _ in answers}:
            return self._dead(run, f"Worker {worker} was restarted: it does not have the run's task any more.")
        who = f"Worker {worker}" if state == "STARTED" else "No worker has the run's task; the last one to have it"
        return self._silence(run, who)

    def _silence(self, run: dg.DagsterRun, who: str) -> CheckRunHealthResult:
        """Counts a question without an answer."""
        now = time.monotonic()
        if now - self._away < RECONNECTING:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"{who} may be about to reconnect to the broker.")
        silence = self._silent.setdefault(run.run_id, _Silence(now, 0))
        silence.misses += 1
        seconds = now - silence.since
        told = f"{who} has not answered for {number(seconds)} s ({counted(silence.misses, 'question')})."
        if silence.misses < MISSES or seconds < PATIENCE:
            return CheckRunHealthResult(WorkerStatus.RUNNING, told)
        return self._dead(run, told)

    def _dead(self, run: dg.DagsterRun, told: str) -> CheckRunHealthResult:
        self._silent.pop(run.run_id, None)
        return CheckRunHealthResult(WorkerStatus.FAILED, told)

    def _ended(self, run: dg.DagsterRun) -> bool:
        latest = self._instance.get_run_by_id(run.run_id)
        return latest is None or latest.status is not run.status

    def _state(self, task: str) -> tuple[str, str | None]:
        """State of a task, and the worker that has started it."""
        found = self.celery.backend.get_task_meta(task)
        result = found.get("result")
        worker = result.get("hostname") if found["status"] == "STARTED" and isinstance(result, Mapping) else None
        return str(found["status"]), worker

    def _ask(self, task: str, workers: list[str] | None) -> list[tuple[str, bool]]:
        """(worker, whether it has a task) of those that answer; None asks all of them, and waits the whole time."""
        replies: list[Mapping[str, Any]] = (
            self.celery.control.broadcast(
                "query_task", {"ids": [task]}, destination=workers, reply=True, timeout=ANSWER_SECONDS
            )
            or []
        )
        answers = [(name, answer) for reply in replies for name, answer in reply.items()]
        return [(name, _has(answer, task)) for name, answer in answers if "error" not in answer]


def _has(answer: Mapping[str, Any], task: str) -> bool:
    """Whether a worker that answers so carries a task out, or is about to."""
    return task in answer and answer[task][0] != "ready"


class CeleryRunCoordinator(TaggingRunCoordinator):
    """The queue, which starts no more runs than there are workers to take them.

    A run that waits for a worker waits in Dagster's queue, for as long as it takes. One that waited in Celery's would
    be failed by `start_timeout_seconds`, and one that was started while the broker is away would fail at once. Workers
    that come and go are noticed. `max_concurrent_runs` remains an upper bound; -1 is none.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen: dict[str, tuple[int, float]] = {}
        self._counted = -OLD_SECONDS
        self._counting = threading.Lock()
        self._looking: threading.Thread | None = None

    def get_run_queue_config(self) -> RunQueueConfig:
        """As configured, with the number of runs that the workers can take."""
        config = super().get_run_queue_config()
        if current_task:  # a run asks for other settings of the queue, and would wait for the count
            return config
        slots = self._slots()
        most = slots if config.max_concurrent_runs == -1 else min(config.max_concurrent_runs, slots)
        return config._replace(max_concurrent_runs=most)

    def _slots(self) -> int:
        """How many runs the workers can carry out side by side; 0 while the broker cannot be reached.

        An answer of the workers takes seconds, in which a worker that has just become free would get no run.
        """
        with self._counting:
            age = time.monotonic() - self._counted
            if age > OLD_SECONDS:
                self._count()
            if age > COUNT_SECONDS and not (self._looking and self._looking.is_alive()):
                self._looking = threading.Thread(target=self._look, name="celery-workers", daemon=True)
                self._looking.start()
            return sum(slots for slots, _ in self._seen.values())

    def _look(self) -> None:
        """Counts the workers, and fails the runs that will never begin."""
        self._count()
        launcher = self._instance.run_launcher
        if isinstance(launcher, WatchfulCeleryRunLauncher):
            launcher.fail_dead_starts()

    def _count(self) -> None:
        celery = getattr(self._instance.run_launcher, "celery", None)
        if celery is None:
            raise PipelineError(
                "CeleryRunCoordinator counts Celery's workers: expected a Celery run launcher, found "
                f"{type(self._instance.run_launcher).__name__}; name WatchfulCeleryRunLauncher as run_launcher"
            )
        try:
            answers = celery.control.inspect(timeout=ANSWER_SECONDS).stats() or {}
        except Exception as error:
            logger.warning("no run is started: the broker cannot be reached: %s: %s", type(error).__name__, error)
            self._seen, self._counted = {}, time.monotonic()
            return
        now = self._counted = time.monotonic()
        self._seen = {name: one for name, one in self._seen.items() if now - one[1] < REMEMBERED}
        self._seen |= {name: (int(stats["pool"]["max-concurrency"]), now) for name, stats in answers.items()}
