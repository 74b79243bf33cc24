"""Reminds Dagster's daemon of retries that it has overlooked.

A failure is stored as an event first, and in the run afterwards. A daemon that reads the event in between takes the run
for one that did not fail, and never looks at it again (dagster-io/dagster#33741); when the run is then marked as one
that will be retried, sensors and back-fills wait for a retry that does not come. Run monitoring and retries look every
few seconds in step with each other, so this is not rare. Whoever finds such a run reports its failure once more.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.tags import BACKFILL_ID_TAG, WILL_RETRY_TAG

logger = logging.getLogger(__name__)

DUE = dt.timedelta(seconds=30)
"""How long a failed run may wait for its retry. Dagster's daemon looks every five seconds."""

FORGOTTEN = dt.timedelta(hours=1)
"""After this time a run is not tried again: whoever was to do it has given up long ago."""

_REMINDERS = 3


class Reminder:
    """Knows how often the daemon was reminded of each run."""

    def __init__(self) -> None:
        self._reminded: Counter[str] = Counter()

    def remind(self, instance: dg.DagsterInstance, now: dt.datetime) -> list[str]:
        """Reports the failure of every run whose retry is overdue once more. Dagster makes no second retry of a run.

        Returns:
            ids of these runs.
        """
        failed = dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=now - FORGOTTEN
        )
        overdue = [
            record.dagster_run
            for record in instance.get_run_records(failed)
            if record.dagster_run.is_complete_and_waiting_to_retry
            and now - record.update_timestamp > DUE
            and self._reminded[record.dagster_run.run_id] < _REMINDERS
            and _may_be_retried(instance, record.dagster_run)
        ]
        for run in overdue:
            self._reminded[run.run_id] += 1
            logger.warning("run %s was to be retried and was not: its failure is reported again", run.run_id)
            instance.report_run_failed(run, "This run was to be retried and was not. Its failure is reported again.")
        return [run.run_id for run in overdue]


def _may_be_retried(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Not if its back-fill has ended or was removed: Dagster leaves such a run marked, and never retries it."""
    if BACKFILL_ID_TAG not in run.tags:
        return True
    back_fill = instance.get_backfill(run.tags[BACKFILL_ID_TAG])
    return back_fill is not None and back_fill.status not in BULK_ACTION_TERMINAL_STATUSES
