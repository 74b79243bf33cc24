"""Shows a user's mistake in Dagster as a message instead of a traceback, and tries again what may pass by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.dead_runs import OWNER_TAG

RETRIES = 3
DELAY = 15.0
"""Seconds before the first retry; each further one waits twice as long. A store has been waited for before that."""


class Mistake(dg.Failure, DagsterUserCodeProcessError):
    """A failure that the UI shows as its message alone.

    Dagster attaches the frames of its own calls to a failure: forty lines that say nothing about a wrong column. It
    takes the error as it is told, without frames, only of an error that happened in another process.
    """

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.description = message
        self.metadata = {}
        self.allow_retries = False
        self.user_code_process_error_infos = [SerializableErrorInfo(message, stack=[], cls_name=None)]


@contextmanager
def user_errors(context: Any = None) -> Iterator[None]:
    """Turns a `PipelineError` into a failure with its message.

    A mistake is not retried: it would still be there. A storage fault that may pass by itself is, with back-off and
    jitter, unless the run belongs to a command that a person waits for. This is not a `dg.RetryPolicy`, which would
    also retry defects of this package, and runs that a user cancels.

    Args:
        context: of the step (an op's, an asset's, an input's or an output's); None: nothing is retried.
    """
    try:
        yield
    except PipelineError as error:
        failure = Mistake(str(error))
        attempts = _attempts(context) if error.transient else None
        if attempts is not None and attempts < RETRIES:
            raise dg.RetryRequested(RETRIES, DELAY * 2**attempts * random.uniform(0.5, 1.5)) from failure
        raise failure from None


def _attempts(context: Any) -> int | None:
    """How often a step was tried before; None if it must not be tried again."""
    if context is None:
        return None
    if isinstance(context, dg.InputContext | dg.OutputContext):
        step: Any = getattr(context, "_step_context", None)  # the property raises where there is none
        return None if step is None or OWNER_TAG in step.run_tags else int(step.previous_attempt_count)
    return None if OWNER_TAG in context.run.tags else int(context.retry_number)
