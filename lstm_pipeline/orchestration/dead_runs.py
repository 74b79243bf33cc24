"""Finds runs whose process died. Dagster shows them as running, and counts them against the run limit, for hours."""

from __future__ import annotations

import dagster as dg

from lstm_pipeline.storage import Owner

OWNER_TAG = "lstm_pipeline/owner"
"""Run tag: the process that carries out an in-process run, as JSON."""

_MAX_RETRIES_TAG = "dagster/max_retries"

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def owner_tags() -> dict[str, str]:
    """The tags of a run that this process carries out.

    Dagster's daemon cannot retry such a run. Unless it is told, it marks a failed one as about to be retried.
    """
    return {OWNER_TAG: Owner.me().to_json(), _MAX_RETRIES_TAG: "0"}


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks as failed every unfinished run whose process is known to have ended.

    Runs on other machines are left alone, since their processes cannot be seen from here, and so are runs that a
    launcher of Dagster's started. The latter have the tag only if they repeat an in-process run, whose tags they copy.

    Returns:
        ids of the runs that were marked.
    """
    marked = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED)):
        owner = Owner.parse(run.tags.get(OWNER_TAG, ""))
        if owner is None or run.remote_job_origin is not None or not owner.is_dead:
            continue
        latest = instance.get_run_by_id(run.run_id)  # it may have finished since it was listed, before it ended
        if latest is not None and latest.status in _UNFINISHED:
            instance.report_run_failed(latest, f"{owner} ended without finishing this run; it was probably killed")
            marked.append(run.run_id)
    return marked
