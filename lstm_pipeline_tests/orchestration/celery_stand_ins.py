"""Celery as tests of its launcher and its queue want it: no broker, and a clock that is turned by hand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from lstm_pipeline.orchestration import celery_launcher
from lstm_pipeline.orchestration.celery_launcher import OLD_SECONDS, CeleryRunCoordinator

TASK, WORKER = "task-1", "worker1@host"


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


def turned_by_hand(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of launcher and queue."""
    found = Clock()
    monkeypatch.setattr(celery_launcher, "time", found)
    return found


def at_most(coordinator: CeleryRunCoordinator, clock: Clock, seconds: float = OLD_SECONDS + 1) -> int:
    """How many runs the queue starts so many seconds later."""
    clock.now += seconds
    return coordinator.get_run_queue_config().max_concurrent_runs
