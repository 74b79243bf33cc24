"""Gives every run the spec's tags and cluster settings of what it makes, however it is started.

A run of a project's job has them as the job's tags. A run of assets, started from an asset's page or by a back-fill,
belongs to no job that could have tags; it gets them here, before it is queued, from the metadata of its assets.
`dagster.yaml` names this class as the run coordinator.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dagster as dg

from lstm_pipeline.orchestration.keys import GROUPS_TAG, RUN_TAGS, groups_tag

logger = logging.getLogger(__name__)


class TaggingRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, which adds to a run the tags that its assets ask for, and the group that it trains.

    Tags that the run has are left alone.
    """

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
        for key in sorted(run.asset_selection or ()):
            graph: Any = context.workspace.asset_graph
            if graph.has(key) and RUN_TAGS in graph.get(key).metadata:
                node = graph.get(key)
                asked = {**tags_of(node.metadata), **asked}
                groups = groups or partitions_of(run, getattr(node, "partitions_def", None))
        if groups:
            asked[GROUPS_TAG] = groups_tag(groups)
        missing = {name: value for name, value in asked.items() if name not in run.tags}
        if missing:
            self._instance.add_run_tags(run.run_id, missing)


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
