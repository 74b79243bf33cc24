"""Where the tracker is, and how its address is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lstm_pipeline.projects import Project
from lstm_pipeline.spec import home, without_credentials

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SQLITE = "sqlite:///"
_LONGEST = 300
_REASON = re.compile(r"\[Errno -?\d+\] ([\w ]+)|(\w[\w .]* timed out)")
"""Why there is no connection, in the words of the operating system or of urllib3."""


def tracking_uri(project: Project) -> str:
    """`MLFLOW_TRACKING_URI`, else a SQLite file: `mlflow/mlflow.db` in the storage root.

    If the storage root is no local folder, the file is in the workspace folder.
    """
    return os.environ.get(URI_VARIABLE) or f"{_SQLITE}{_folder(project) / 'mlflow.db'}"


def _folder(project: Project) -> Path:
    store = project.registry.store
    return (Path(store.root.path) if store.local else home()) / "mlflow"


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database; None if the tracker is something else."""
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    return Path(path).absolute() if uri.startswith(_SQLITE) and path and path != ":memory:" else None


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps its files: beside a SQLite database. None: the server decides."""
    file = database_file(uri)
    return (file.parent / "mlflow-artifacts").as_uri() if file else None


def shown(text: str, uri: str) -> str:
    """The first line of a message about a tracker, without what its address keeps secret."""
    parts = urlsplit(uri)
    secrets = {parts.password, unquote(parts.password or ""), parts.query, *map(os.environ.get, _SECRETS)}
    line = _unanswered(next(iter(text.strip().splitlines()), "")).replace(uri, without_credentials(uri))
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        line = line.replace(secret, "…")
    line = without_credentials(line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _unanswered(message: str) -> str:
    """What MLflow says about a server that does not answer, without the names of its classes."""
    if not message.startswith("API request to "):
        return message
    reason = _REASON.search(message)
    return f"the server does not answer: {reason[1] or reason[2]}" if reason else message
