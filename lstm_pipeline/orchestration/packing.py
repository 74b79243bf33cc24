"""How many groups a run of a back-fill trains: the spec says so, or what the latest training cost decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong

from lstm_pipeline.forecasting import FEW
from lstm_pipeline.forecasting import groups_per_run as measured_groups_per_run
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import TrainingCosts

logger = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds that a code location waits for a store, while it loads, to say what trainings cost."""
SILENCE = 60.0
"""Seconds for which a store that did not answer is not asked again: the next project is loaded a moment later."""

_asked: dict[tuple[str, str, str], tuple[Future[TrainingCosts | None], float]] = {}
_silent_until: dict[str, float] = {}


def groups_per_run(project: Project) -> int:
    """The number of groups; what the latest training cost is read from the store, if that answers soon."""
    stated = project.spec.training.groups_per_run
    if stated is not None:
        return min(stated, len(project.groups))
    return measured_groups_per_run(len(project.groups), _costs(project) if _is_measured(project) else None)


def _costs(project: Project) -> TrainingCosts | None:
    if time.monotonic() < _silent_until.get(project.storage, 0.0):
        return None
    ask([project])
    answer, until = _asked.pop(_key(project))
    try:
        return answer.result(max(0.0, until - time.monotonic()))
    except TookTooLong:
        _silent_until[project.storage] = time.monotonic() + SILENCE
        logger.warning(
            "%s does not say within %g s what trainings cost; back-fills are packed by usual costs",
            project.storage,
            PATIENCE,
        )
        return None


def ask(projects: Iterable[Project]) -> None:
    """Begins to read what trainings cost, for all projects at once; `groups_per_run` then waits for the answers."""
    until = time.monotonic() + PATIENCE
    for project in projects:
        if not _is_measured(project) or _key(project) in _asked:
            continue
        answer: Future[TrainingCosts | None] = Future()
        _asked[_key(project)] = answer, until
        # a daemon: a store that never answers keeps no process from its end
        threading.Thread(target=_read, args=(project, answer), daemon=True).start()


def _read(project: Project, answer: Future[TrainingCosts | None]) -> None:
    try:
        answer.set_result(project.registry.costs())
    except Exception as error:  # whatever it is, the code location must load
        logger.warning("%s: what a training costs is not known: %s: %s", project.name, type(error).__name__, error)
        answer.set_result(None)


def _is_measured(project: Project) -> bool:
    return project.spec.training.groups_per_run is None and len(project.groups) > FEW


def _key(project: Project) -> tuple[str, str, str]:
    return project.storage, project.spec.training.model_bucket, project.name
