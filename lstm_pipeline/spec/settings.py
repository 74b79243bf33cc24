"""Settings from the environment: the storage root, the projects folder, and variables in URIs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from lstm_pipeline.errors import PipelineError

STORAGE_VARIABLE = "LSTM_PIPELINE_STORAGE"
"""The environment variable that sets the storage root."""
PROJECTS_VARIABLE = "LSTM_PIPELINE_PROJECTS"
"""The environment variable that sets the folder of the user's own projects."""

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
"""`${NAME}` or `${NAME:-default}` in a URI."""


def home() -> Path:
    """The workspace folder: the nearest one upwards that contains a workspace.yaml, else the current folder."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "workspace.yaml").is_file()), here)


def storage_uri() -> str:
    """The storage root: `LSTM_PIPELINE_STORAGE`, else `storage/` in the workspace folder.

    Raises:
        PipelineError: the root contains a password or a query.
    """
    root = os.environ.get(STORAGE_VARIABLE)
    if not root:
        return str(home() / "storage")
    check_storage(root)
    return root if "://" in root else str(Path(root).expanduser().absolute())


def check_storage(root: str) -> None:
    """Refuses a storage root with credentials in it: records and messages name the root.

    Raises:
        PipelineError: the root contains a password or a query.
    """
    scheme, separator, rest = root.partition("://")
    if separator and (re.match(r"[^/?#]*:[^/?#]*@", rest) or "?" in rest):
        raise PipelineError(
            f"storage root: expected a folder or a URI without a password and a query, found one with them "
            f"({scheme}://…); pass credentials by other variables of the environment, e.g. AWS_SECRET_ACCESS_KEY"
        )


def projects_folder() -> Path:
    """The folder of the user's own specs: `LSTM_PIPELINE_PROJECTS`, else `projects/` in the workspace folder."""
    folder = os.environ.get(PROJECTS_VARIABLE)
    return Path(folder).expanduser().absolute() if folder else home() / "projects"


def environment() -> Mapping[str, str]:
    """The variables that a URI in a spec may use: the process environment and, always, the storage root."""
    return {**os.environ, STORAGE_VARIABLE: storage_uri()}


def expand(uri: str) -> str:
    """Replaces `${NAME}` and `${NAME:-default}` by their values in the environment.

    Raises:
        KeyError: a variable without a default is not set.
    """
    variables = environment()

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        text = variables.get(name) or default
        if text is None:
            raise KeyError(name)
        return text

    return VARIABLE.sub(value, uri)


def resolve_uri(uri: str, folder: Path) -> str:
    """Turns a URI from a spec into an absolute path or a full URI.

    A relative path is relative to the spec's folder. If it starts with a variable that the environment sets, it is
    relative to the current folder instead, like any path typed into a shell.

    Raises:
        KeyError: a variable without a default is not set.
    """
    text = expand(uri)
    if "://" in text:
        return text
    start = VARIABLE.match(uri)
    base = Path.cwd() if start and environment().get(start[1]) else folder.absolute()
    return os.path.normpath(base / os.path.expanduser(text))
