"""Shows a user's mistake in Dagster as a message instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lstm_pipeline.errors import PipelineError


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns a `PipelineError` into a failure with its message. It is not retried: the mistake would still be there."""
    try:
        yield
    except PipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
