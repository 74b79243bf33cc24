"""The connection to the tracker: bounded in time, and never a reason for anything else to fail."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lstm_pipeline.projects import Project
from lstm_pipeline.spec import without_credentials
from lstm_pipeline.tracking.location import artifact_location, database_file, shown, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

EXTRA = "lstm-pipeline[mlflow]"
PATIENCE, CREATION_PATIENCE = 30.0, 120.0
"""Seconds that tracking may take at a time; MLflow takes many more to create its tables in a fresh database."""
_DATABASE_PATIENCE, _LOCK_PATIENCE = 5.0, 25.0
_QUIET_FOR = 600.0
"""Seconds for which the same problem is not told again: a training and its publication are one warning."""
_THREAD = "lstm-pipeline-tracking"
_LIMITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings of MLflow's that hold unless the environment says otherwise. Its own let a dead server cost minutes, and
report its use to its makers."""

_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Shows the pages about models first; those about language models are a click away."""

T = TypeVar("T")
Tell = Callable[[str], None]


class TrackingError(Exception):
    """The tracker cannot be used; the message says why."""


@dataclass(frozen=True)
class Tracker:
    """A tracker that has answered.

    Attributes:
        client: MLflow's client of it. Runs are named by their ids, as MLflow's active run belongs to a thread.
        experiment: the id of the project's experiment.
    """

    project: Project
    client: MlflowClient
    uri: str
    experiment: str

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps every other process of the project out for the block."""
        with locked(self.project):
            yield

    def runs(self, **tags: str) -> list[Any]:
        """The experiment's runs with these tags of this package, the oldest first."""
        found = self.client.search_runs(
            [self.experiment],
            " and ".join(f"tags.`{tag(name)}` = '{quoted(value)}'" for name, value in tags.items()),
            order_by=["attributes.start_time ASC"],
        )
        return list(found)


def tag(name: str) -> str:
    """A tag's name in the tracker."""
    return f"lstm_pipeline.{name}"


def quoted(value: str) -> str:
    """A value in a filter, which knows no way to write a quote: no id and no name of a group contains one."""
    return value.replace("'", "")


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """Keeps every other process that tracks the project out for the block."""
    store, step = project.registry.store, project.spec.training
    with store.locked(store.path(step.model_bucket, project.name, "tracking"), patience=_LOCK_PATIENCE):
        yield


def attempt(project: Project, what: str, action: Callable[[Tracker], T], tell: Tell | None = None) -> T | None:
    """What an action on the tracker returns; None, after a warning, if it did not work or took too long.

    Args:
        what: what is not tracked if it does not work.
        tell: is told the warning as well, e.g. the log of a Dagster run.
    """
    uri = tracking_uri(project)
    file = database_file(uri)
    patience = PATIENCE if file is None or file.exists() else CREATION_PATIENCE
    worker = _Worker(lambda: action(_connected(project, uri)))
    worker.start()
    worker.join(patience)
    if worker.is_alive():
        worker.problem = f"it has not answered within {patience:.0f} s"
    if worker.problem is None:
        return worker.result
    _warn(uri, f"{shown(worker.problem, uri)} (MLflow at {without_credentials(uri)})", what, tell)
    return None


class _Worker(threading.Thread, Generic[T]):
    """A thread that can be left behind: MLflow retries some calls for minutes, and nothing ends them.

    Attributes:
        result: what the action has returned.
        problem: why it did not.
    """

    def __init__(self, action: Callable[[], T]) -> None:
        super().__init__(name=_THREAD, daemon=True)
        self._action = action
        self.result: T | None = None
        self.problem: str | None = None

    def run(self) -> None:
        try:
            self.result = self._action()
        except Exception as error:  # whatever is wrong with a tracker is no reason for a training to fail
            self.problem = str(error).strip() or type(error).__name__


_told: dict[tuple[str, str], float] = {}


def _warn(uri: str, problem: str, what: str, tell: Tell | None) -> None:
    now, key = time.monotonic(), (uri, problem)
    text = f"{what} is not tracked: {problem}; going on without"
    if now - _told.get(key, -_QUIET_FOR) < _QUIET_FOR:
        logger.info(text)
        return
    _told[key] = now
    logger.warning(text)
    if tell is not None:
        tell(text)


def _connected(project: Project, uri: str) -> Tracker:
    """Connects, and creates the database and the experiment if they are not there.

    Raises:
        TrackingError: MLflow is not installed, or the database cannot be used.
        Exception: whatever MLflow raises.
    """
    make = _client()
    with locked(project):  # two processes would both create the tables, or the experiment
        _require_usable(uri)
        client = make(uri, os.environ.get("MLFLOW_REGISTRY_URI") or uri)
        found = client.get_experiment_by_name(project.name)
        if found is None:
            made = client.create_experiment(project.name, artifact_location(uri), _KIND)
            return Tracker(project, client, uri, made)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
    return Tracker(project, client, uri, found.experiment_id)


def _client() -> Callable[[str, str], MlflowClient]:
    """MLflow's client, with limits on how long it tries, and without what it prints.

    Raises:
        TrackingError: it is not installed.
    """
    for name, value in _LIMITS.items():
        os.environ.setdefault(name, value)
    try:
        import sqlalchemy  # noqa: F401  # MLflow's smaller package comes without it
        from mlflow import MlflowClient
    except ImportError as error:
        missing = f"enable_mlflow is true, but MLflow is not installed ({error})"
        raise TrackingError(f"{missing}: pip install '{EXTRA}', or set enable_mlflow to false") from None
    for handler in (*logging.getLogger("mlflow").handlers, *logging.getLogger("alembic").handlers):
        handler.addFilter(_not_tracking)
    logging.getLogger("urllib3.connectionpool").addFilter(_not_tracking)
    made: Callable[[str, str], MlflowClient] = MlflowClient
    return made


def _not_tracking(record: logging.LogRecord) -> bool:
    """Leaves out what MLflow says about its work and its retries; whoever uses MLflow elsewhere still sees it."""
    return record.threadName != _THREAD


def _require_usable(uri: str) -> None:
    """Finds out in seconds what MLflow would try again and again for minutes."""
    file = database_file(uri)
    if file is None or not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=_DATABASE_PATIENCE, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("SELECT count(*) FROM sqlite_master")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise TrackingError(f"{file}: {error}") from None
