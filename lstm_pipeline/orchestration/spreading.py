"""Hands a job's training over to a back-fill, which spreads it over workers as *Launch backfill* in the UI does.

A schedule cannot ask for a back-fill: Dagster's scheduler starts runs only, and a tick that added one itself would do
so as well when somebody tests the schedule in the UI. A sensor can, but not with a run key, which keeps it from asking
twice. So both ask for a run of the job, as they always do. That run cleans the data, adds the back-fill, and ends.
"""

from __future__ import annotations

import hashlib
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus
from dagster._core.execution.backfill import PartitionBackfill as Backfill

from lstm_pipeline.forecasting import FEW
from lstm_pipeline.orchestration.failures import Mistake
from lstm_pipeline.orchestration.keys import (
    ASKED_BY_TAG,
    CARRIES_ON_TAG,
    GROUPS_TAG,
    HANDED_TAG,
    TRAINED,
    TRAINING_TAG,
    asset_key,
)
from lstm_pipeline.orchestration.packing import groups_per_run
from lstm_pipeline.orchestration.pods import POD_TAG
from lstm_pipeline.projects import Project
from lstm_pipeline.wording import counted

LOCAL = frozenset({"DefaultRunLauncher", "SyncInMemoryRunLauncher", "DockerRunLauncher"})
"""Run launchers that start all runs on one machine. A single run trains groups on all of its cores by itself."""

_UNFINISHED = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
_OWN_TAGS = frozenset({CARRIES_ON_TAG, GROUPS_TAG, HANDED_TAG, TRAINING_TAG})
"""Tags that the runs of a back-fill do not take from the run that asked for it: each of them has groups of its own, and
the queue starts one run at a time of those tagged with the same training."""
_ID_LENGTH = 8


def is_spread(project: Project, count: int, instance: dg.DagsterInstance) -> bool:
    """Whether a training of so many groups is a back-fill.

    It is if there are more than `FEW` groups, more than one run takes, and the run launcher starts runs on more
    machines than one.
    """
    return count > FEW and not _is_local(instance) and count > groups_per_run(project)


def _is_local(instance: dg.DagsterInstance) -> bool:
    if not instance.is_persistent:
        return True
    launcher = instance.get_ref().run_launcher_data  # not the launcher itself: that may connect to a cluster
    return launcher is None or launcher.class_name in LOCAL


def training_back_fills(instance: dg.DagsterInstance, project: Project) -> list[Backfill]:
    """The back-fills that train a project and have not ended, whoever started them."""
    trained = asset_key(project.name, TRAINED)
    unfinished = instance.get_backfills(filters=BulkActionsFilter(statuses=_UNFINISHED))
    return [one for one in unfinished if trained in (one.asset_selection or ())]


def is_unfinished(back_fill: Backfill) -> bool:
    """Whether a back-fill goes on, or is being cancelled."""
    return back_fill.status in _UNFINISHED


@dataclass(frozen=True)
class Request:
    """What a back-fill is to make.

    Attributes:
        groups: the groups to train.
        assets: what is made after them.
        tags: of all its runs, besides those that the asking run passes on.
    """

    groups: Sequence[str]
    assets: Sequence[str]
    tags: dict[str, str]


def hand_over(context: dg.OpExecutionContext, project: Project, first: str, request: Request) -> str:
    """Adds the back-fill that trains for a run; returns its id. A run that is carried out again adds none.

    Args:
        first: the run itself, or the first one of those that it carries on.

    Raises:
        Mistake: another back-fill trains the project.
    """
    instance, name = context.instance, _id_for(first)
    root = context.run.root_run_id or context.run_id
    under_way = training_back_fills(instance, project)
    mine = next((one.backfill_id for one in under_way if one.tags.get(ASKED_BY_TAG) == root), name)
    others = [one.backfill_id for one in under_way if one.backfill_id != mine]
    if others:
        raise Mistake(
            f"back-fill {others[0]} trains {project.name} at this moment, and trainings of one project take turns; "
            "nothing was trained: start this job again when the back-fill has ended"
        )
    instance.add_run_tags(context.run_id, {HANDED_TAG: mine})
    if instance.get_backfill(mine) is None:
        instance.add_backfill(_back_fill(context, project, mine, request))
    size = groups_per_run(project)
    context.log.info(
        f"back-fill {mine} trains {counted(len(request.groups), 'group')}, up to {size} in a run, and makes the rest "
        f"of this job: /runs/b/{mine}"
    )
    return mine


def _back_fill(context: dg.OpExecutionContext, project: Project, name: str, request: Request) -> Backfill:
    passed_on = {
        tag: value
        for tag, value in context.run.tags.items()
        if (tag.startswith("lstm_pipeline/") and tag not in _OWN_TAGS) or tag == POD_TAG
    }
    partitions = dg.StaticPartitionsDefinition(list(project.groups))
    wanted = partitions.subset_with_partition_keys(list(request.groups))
    found: Backfill = Backfill.from_asset_graph_subset(
        backfill_id=name,
        backfill_timestamp=time.time(),
        tags={**passed_on, **request.tags, ASKED_BY_TAG: context.run.root_run_id or context.run_id},
        dynamic_partitions_store=context.instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # Dagster's decorator hides the defaults
            partitions_subsets_by_asset_key={asset_key(project.name, TRAINED): wanted},
            non_partitioned_asset_keys={asset_key(project.name, asset) for asset in request.assets},
        ),
        title=None,
        description=f"The training of run {context.run_id} ({context.job_name}).",
        run_config=None,
    )
    return found


def _id_for(run_id: str) -> str:
    """An id as Dagster gives them, always the same one for a run."""
    digest = hashlib.sha256(run_id.encode()).digest()
    return "".join(string.ascii_lowercase[byte % 26] for byte in digest[:_ID_LENGTH])
