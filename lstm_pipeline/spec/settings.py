"""What the environment decides: where things are stored and where a user's projects are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

STORAGE_VARIABLE = "LSTM_PIPELINE_STORAGE"
PROJECTS_VARIABLE = "LSTM_PIPELINE_PROJECTS"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def home() -> Path:
    """The working folder: the nearest one upwards with a workspace.yaml, else the current one."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "workspace.yaml").is_file()), here)


def storage_uri() -> str:
    """The storage root: `LSTM_PIPELINE_STORAGE`, else `storage/` in the working folder."""
    given = os.environ.get(STORAGE_VARIABLE)
    if not given:
        return str(home() / "storage")
    return given if "://" in given else str(Path(given).expanduser().absolute())


def projects_folder() -> Path:
    """Where a user's own specs are: `LSTM_PIPELINE_PROJECTS`, else `projects/` in the working folder."""
    given = os.environ.get(PROJECTS_VARIABLE)
    return Path(given).expanduser().absolute() if given else home() / "projects"


def environment() -> Mapping[str, str]:
    """The variables a URI in a spec may use; the storage root is always among them."""
    return {**os.environ, STORAGE_VARIABLE: storage_uri()}


def expand(uri: str) -> str:
    """Replaces `${NAME}` and `${NAME:-default}` from the environment.

    Raises:
        KeyError: a variable without a default is not set.
    """
    known = environment()

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = known.get(name) or default
        if found is None:
            raise KeyError(name)
        return found

    return _VARIABLE.sub(value, uri)


def resolve_uri(uri: str, folder: Path) -> str:
    """A URI of a spec as an absolute path or a full URI.

    A relative path is relative to the spec's folder; where it starts with a variable that the environment sets, to
    the current folder, as everything that is typed into a shell.

    Raises:
        KeyError: a variable without a default is not set.
    """
    text = expand(uri)
    if "://" in text:
        return text
    start = _VARIABLE.match(uri)
    base = Path.cwd() if start and environment().get(start[1]) else folder.absolute()
    return os.path.normpath(base / os.path.expanduser(text))
