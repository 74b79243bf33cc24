"""Runs that carry on after another one's failure: which runs these are, and what of their work is left to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import dagster as dg
import pyarrow as pa

from lstm_pipeline.forecasting import GroupsFailed
from lstm_pipeline.orchestration import stages
from lstm_pipeline.orchestration.keys import BACKFILL_TAG, CARRIES_ON_TAG, TRAINED, asset_key
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import StoredModel
from lstm_pipeline.wording import listed

RESUMED_TAGS = ("dagster/is_resume_retry", "dagster/is_asset_resume_retry")
"""Dagster's tags of a run that carries on after another one's failure: from its failed steps, or its failed assets."""

Context = dg.AssetExecutionContext | dg.OpExecutionContext


def carried_on(context: Context) -> list[str]:
    """The runs whose candidates a run takes: its own id, then those of the runs that it carries on, the latest first.

    A run that repeats all steps of another one carries nothing on.
    """
    return chain_of(context.run, context.instance)


def chain_of(latest: dg.DagsterRun, instance: dg.DagsterInstance) -> list[str]:
    """`carried_on`, for who has no such context."""
    found: list[str] = [latest.run_id]
    run: dg.DagsterRun | None = latest
    while run is not None and run.parent_run_id and any(run.tags.get(tag) == "true" for tag in RESUMED_TAGS):
        if run.parent_run_id in found:
            break
        found.append(run.parent_run_id)
        run = instance.get_run_by_id(run.parent_run_id)
    return found


def candidates_of(context: Context) -> list[str]:
    """The runs whose candidates a job takes: `carried_on`, then those of the failed back-fill that its tag names.

    A run that repeats all steps of another one has copied the tag, perhaps months later, and takes none of them.
    """
    runs, back_fill = carried_on(context), context.run.tags.get(CARRIES_ON_TAG)
    first = context.instance.get_run_by_id(runs[-1]) if back_fill else None
    if back_fill and first is not None and first.parent_run_id is None:
        runs.extend(back_fill_runs(context.instance, back_fill))
    return runs


def back_fill_runs(instance: dg.DagsterInstance, back_fill: str) -> Sequence[str]:
    """The ids of a back-fill's runs, the newest first."""
    return instance.get_run_ids(dg.RunsFilter(tags={BACKFILL_TAG: back_fill}))


def teller_of(context: Context, training: str | None) -> stages.Teller:
    """Who is told how the run's training goes.

    Args:
        training: what the runs of one training have in common.
    """
    record = context.instance.get_run_record_by_id(context.run_id)
    began = None if record is None else record.start_time
    return stages.Teller(context.run_id, context.log, context.resources.progress, training, began)


def train_rest(
    project: Project,
    groups: Sequence[str],
    read: Callable[[], pa.Table],
    runs: Sequence[str],
    teller: stages.Teller,
) -> dict[str, StoredModel]:
    """Trains those of the groups that none of the runs has trained; returns the models of all of them.

    Args:
        read: reads the cleaned table; not called if nothing is left to train.
        runs: see `carried_on`.

    Raises:
        GroupsFailed: the training of one or more groups failed; it names all groups that have a model.
        PipelineError: as `stages.train_models`.
    """
    done = project.registry.trained_by(groups, runs)
    for model in done.values():
        project.registry.candidates.settle(model)
    rest = [group for group in groups if group not in done]
    if done:
        teller.log.info(f"already trained in this run or in the one that it carries on: {listed(done)}")
    try:
        trained = stages.train_models(project, read(), rest, teller) if rest else {}
    except GroupsFailed as error:
        error.finished = {**done, **error.finished}
        raise
    models = {**done, **trained}
    return {group: models[group] for group in groups}


def report_models(context: Context, project: Project, models: Mapping[str, StoredModel]) -> None:
    """Reports trained groups; one of another run may have been stored before it could be reported."""
    key = asset_key(project.name, TRAINED)
    for group, model in models.items():
        records = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[group])
        last = context.instance.fetch_materializations(records, limit=1).records
        if not last or last[0].run_id != model.run_id:
            shown = stages.model_metadata(project, model, context.log)
            context.log_event(dg.AssetMaterialization(key, partition=group, metadata=shown))
