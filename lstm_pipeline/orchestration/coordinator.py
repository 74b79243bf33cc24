"""Gives every run the spec's tags and cluster settings of what it makes, however it is started.

A run of a project's job has them as the job's tags. A run of assets, started from an asset's page or by a back-fill,
belongs to no job that could have tags; it gets them here, before it is queued, from the metadata of its assets.
Whoever starts a run can give it other cluster settings by tags such as `lstm_pipeline/executor_memory`; its pod then
has those. Dagster's daemon comes by the queue every few seconds, and is told there of retries that it has overlooked.
`dagster.yaml` names this class as the run coordinator.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dagster as dg
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig

from lstm_pipeline.orchestration.keys import FORECAST_ASSETS, GROUPS_TAG, RUN_TAGS, groups_tag
from lstm_pipeline.orchestration.pods import POD_TAG, changed_pod_tag
from lstm_pipeline.orchestration.retries import Reminder

logger = logging.getLogger(__name__)

REMIND_SECONDS = 15.0
"""How often overdue retries are looked for. A process that does not live for so long never does."""


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, which adds to a run the tags that its assets ask for, and the group that it trains.

    Tags that the run has are left alone.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._reminder, self._reminded = Reminder(), time.monotonic()

    def get_run_queue_config(self) -> RunQueueConfig:
        """As configured. The daemon asks for it whenever it looks at the queue, and is reminded of retries then."""
        if time.monotonic() - self._reminded > REMIND_SECONDS:
            self._reminded = time.monotonic()
            try:
                self._reminder.remind(self._instance, dt.datetime.now(dt.UTC))
            except Exception as error:  # e.g. the database is away; it is asked again soon
                logger.warning("overdue retries are not looked for: %s: %s", type(error).__name__, error)
        return super().get_run_queue_config()

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Adds the tags and queues the run. A run whose tags cannot be found is queued without them."""
        try:
            self._tag(context)
        except Exception as error:  # whatever it is, a run matters more than its tags
            reason = f"{type(error).__name__}: {error}"
            logger.warning("run %s is queued without the tags of its assets: %s", context.dagster_run.run_id, reason)
        return super().submit_run(context)

    def _tag(self, context: dg.SubmitRunContext) -> None:
        run = context.dagster_run
        asked: dict[str, str] = {}
        groups: Sequence[str] = ()
        # where assets of both data products are made, the run gets what training asks for, as the job for both does
        for key in sorted(run.asset_selection or (), key=lambda key: (key.path[-1] in FORECAST_ASSETS, key)):
            graph: Any = context.workspace.asset_graph
            if graph.has(key) and RUN_TAGS in graph.get(key).metadata:
                node = graph.get(key)
                asked = {**tags_of(node.metadata), **asked}
                groups = groups or partitions_of(run, getattr(node, "partitions_def", None))
        pod = changed_pod_tag(asked or _of_job(context), run.tags)
        if groups:
            asked[GROUPS_TAG] = groups_tag(groups)
        missing = {name: value for name, value in asked.items() if name not in run.tags}
        added = {**missing, POD_TAG: pod} if pod else missing
        if added:
            self._instance.add_run_tags(run.run_id, added)


def _of_job(context: dg.SubmitRunContext) -> dict[str, str]:
    """The tags of a run's job; empty for a run of assets."""
    run = context.dagster_run
    origin = run.remote_job_origin
    if run.asset_selection or origin is None:
        return {}
    repository = origin.repository_origin
    location = context.workspace.get_code_location(repository.code_location_origin.location_name)
    return dict(location.get_repository(repository.repository_name).get_full_job(origin.job_name).tags)


def partitions_of(run: dg.DagsterRun, definition: dg.PartitionsDefinition[str] | None) -> Sequence[str]:
    """The partitions that a run materialises: one, or a range of a back-fill; none if nothing tells."""
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if first is None or last is None:
        return [run.tags["dagster/partition"]] if "dagster/partition" in run.tags else []
    if first == last:
        return [first]
    return [] if definition is None else definition.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))


def tags_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The tags that an asset's metadata asks for."""
    found = metadata.get(RUN_TAGS)
    text = getattr(found, "value", found)
    return cast(dict[str, str], json.loads(text)) if text else {}
