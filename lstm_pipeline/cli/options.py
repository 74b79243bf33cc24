"""What several commands share: options, and how a spec is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lstm_pipeline.spec.settings import STORAGE_VARIABLE

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


def _storage(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Sets the storage root for everything that follows, Dagster's definitions included."""
    if value:
        os.environ[STORAGE_VARIABLE] = value
