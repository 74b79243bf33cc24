"""A user's mistake shows in Dagster as its message, not as a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lstm_pipeline.errors import PipelineError


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns a `PipelineError` into a failure that carries its message; trying again would not help."""
    try:
        yield
    except PipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
