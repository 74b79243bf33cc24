"""A user's mistake is a message in the UI, and nothing else."""

from typing import Any

import dagster as dg
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.orchestration.failures import user_errors

TEXT = "column 'x': expected numbers, found 'abc'"


def failure(error: Exception) -> Any:
    """What the event log of a run holds about an error of its only step."""

    @dg.asset
    def broken(context: dg.AssetExecutionContext) -> None:
        with user_errors(context):
            raise error

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([broken], instance=instance, raise_on_error=False)
        (event,) = (one for one in result.all_events if one.event_type == dg.DagsterEventType.STEP_FAILURE)
        return event.event_specific_data


def test_a_mistake_is_shown_without_frames() -> None:
    found = failure(DataError(TEXT))
    assert found.error.to_string() == TEXT
    assert found.user_failure_data.description == TEXT


def test_a_defect_keeps_its_frames() -> None:
    found = failure(ZeroDivisionError("by zero"))
    assert "by zero" in found.error.to_string()
    assert "Stack Trace" in found.error.to_string()


def test_python_gets_the_message_too() -> None:
    with pytest.raises(dg.Failure, match="expected numbers") as raised, user_errors():
        raise DataError(TEXT)
    assert raised.value.description == TEXT
    assert raised.value.allow_retries is False
