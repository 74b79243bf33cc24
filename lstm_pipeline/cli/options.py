"""What several commands share: options, and how a spec is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.spec.settings import STORAGE_VARIABLE
from lstm_pipeline.wording import listed

if TYPE_CHECKING:
    from lstm_pipeline.projects import Project

F = TypeVar("F", bound=Callable[..., Any])


def with_storage(command: F) -> F:
    """Adds `--storage`."""
    option = click.option(
        "--storage",
        metavar="URI",
        callback=_storage,
        expose_value=False,
        is_eager=True,
        help="Storage root: a folder or s3://bucket/prefix. Default: LSTM_PIPELINE_STORAGE, else storage/.",
    )
    return option(command)


as_of_option = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The date that current_date() returns in the spec's SQL. Default: today.",
)


def load(spec: str) -> Project:
    """Loads a spec by its path or the name of a project."""
    from lstm_pipeline.projects import load_project

    return load_project(spec)


def require_groups(project: Project, groups: tuple[str, ...]) -> None:
    """Refuses the name of a group that the project does not have."""
    unknown = [group for group in groups if group not in project.groups]
    if unknown:
        raise click.BadParameter(
            f"not in this project: {listed(unknown)}; its groups: {listed(project.groups)}",
            param_hint="--group",
        )


def require_folder(output: Path) -> None:
    """Refuses a file to write whose folder is not there or cannot be written to: before the work, not after it."""
    folder = output.absolute().parent
    if not folder.is_dir():
        raise click.BadParameter(f"no such folder: {folder}", param_hint="-o")
    if not os.access(folder, os.W_OK):
        raise click.BadParameter(f"the folder cannot be written to: {folder}", param_hint="-o")


def write_output(output: Path, data: bytes) -> None:
    """Writes a file that a user asked for with `-o`.

    Raises:
        PipelineError: the system refuses it.
    """
    try:
        output.write_bytes(data)
    except OSError as error:
        raise PipelineError(f"{output} cannot be written: {error.strerror or error}") from None


def _storage(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Sets the storage root for everything that follows, Dagster's definitions included."""
    if value:
        os.environ[STORAGE_VARIABLE] = value
