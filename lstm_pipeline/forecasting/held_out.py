"""The rows that a published version has not seen: what it may be scored on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.publishing import require_fit
from lstm_pipeline.forecasting.unseen import first_evaluated, first_unseen
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Version
from lstm_pipeline.spec import TrainingStep
from lstm_pipeline.timeseries import Split, fill_gaps
from lstm_pipeline.wording import listed


def held_out_of(dataset: Dataset, project: Project, version: Version) -> Dataset:
    """The dataset, split at the times at which the version's own training data was split.

    Since that training, rows may have been added at the end of the data or dropped at its beginning.

    Raises:
        RegistryError: the version was trained on other groups, columns or another frequency.
        DataError: the data ends with the rows that the version has seen, or no longer contains them.
    """
    name, models = version.record.version, version.models
    if set(models) != set(project.groups):
        raise RegistryError(
            f"{name} has the groups {listed(models)}, but the spec has {listed(project.groups)}; train again"
        )
    require_fit(dataset, models, f"model in {name}")
    test = first_held_out(dataset, version)
    rows_seen = [model.record.metadata.training_rows for model in models.values()]
    clock = dataset.series.timeline.wall_clock(dataset.series.steps)
    trained, validated = (max(rows[part]["last"] for rows in rows_seen) for part in ("train", "validation"))
    validation = int((clock <= pd.Timestamp(trained)).sum())
    if test >= len(clock):
        raise DataError(
            f"no rows are held out: {name} was trained and validated on rows up to {validated}, and the data ends at "
            f"{clock[-1].isoformat()}; give a later as-of date or train again"
        )
    if validation <= next(iter(models.values())).record.metadata.sequence_length:
        raise DataError(
            f"the simpler methods need the rows that {name} was trained on (up to {trained}), but the data begins at "
            f"{clock[0].isoformat()}; extend the input further back or train again"
        )
    split = Split(validation, test, len(clock))
    return dataset if split == dataset.split else with_split(dataset, project.spec.training, split)


def first_held_out(dataset: Dataset, version: Version) -> int:
    """The first row after all rows that a version's models were trained or validated on, or its blend was fitted on.

    Models may be older than the version, and then the blend was fitted on rows that no model has seen.

    Raises:
        RegistryError: a record does not say on which rows a model was trained.
    """
    models = [model.record.metadata for model in version.models.values()]
    return max(first_unseen(dataset, models), first_evaluated(dataset, version.record.metadata))


def with_split(dataset: Dataset, step: TrainingStep, split: Split) -> Dataset:
    """The dataset with another split; each part is filled again from itself and the parts before it."""
    filled = fill_gaps(
        dataset.series,
        rule=step.missing,
        max_gap=step.max_gap,
        part_ends=split.part_ends,
        carried=dataset.filled.carried,
    )
    return replace(dataset, split=split, filled=filled)
