"""Runs whose process has died without saying so: they would count as running, and against the run limit, for hours."""

from __future__ import annotations

import dagster as dg

from lstm_pipeline.storage import Owner

OWNER_TAG = "lstm_pipeline/owner"
"""Run tag: the process that carries out an in-process run, as JSON."""

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def owner_tag() -> dict[str, str]:
    """The tag of a run that this process carries out."""
    return {OWNER_TAG: Owner.me().to_json()}


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks as failed every unfinished run whose process is known to have ended.

    Runs of other machines are left alone, since their processes cannot be seen from here, and so are runs that Dagster
    launched itself, which carry no such tag.

    Returns:
        ids of the runs that were marked.
    """
    marked = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED)):
        owner = Owner.parse(run.tags.get(OWNER_TAG, ""))
        if owner is not None and owner.is_dead:
            instance.report_run_failed(run, f"{owner} ended without finishing this run; was it killed?")
            marked.append(run.run_id)
    return marked
