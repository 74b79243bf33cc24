"""Names in Dagster: asset keys, groups, jobs, tags."""

from __future__ import annotations

import re

import dagster as dg

from lstm_pipeline.projects import Project
from lstm_pipeline.spec import DataProduct, DataProductInput

AS_OF_TAG = "lstm_pipeline/as_of"
TRAINED_BY_TAG = "lstm_pipeline/trained_by"
"""Ids of the runs that trained what a run publishes, where they are others, with commas between them."""

BUCKET = "lstm_pipeline/bucket"
WRITE_MODE = "lstm_pipeline/write_mode"

CLEANED, TRAINED, METADATA = "cleaned_data", "trained_model", "model_metadata"
RECENT, PREDICTIONS = "recent_data", "predictions"
BACKTEST = "backtest"

TRAINING_ASSETS = (CLEANED, TRAINED, METADATA)
FORECAST_ASSETS = (RECENT, PREDICTIONS)
BACKTEST_ASSETS = (CLEANED, BACKTEST)


def slug(name: str) -> str:
    """A project's name in the characters that Dagster allows for groups and jobs."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def asset_key(project: str, asset: str) -> dg.AssetKey:
    """Key of one of a project's assets."""
    return dg.AssetKey([project, asset])


def source_key(project: Project, product: DataProduct, name: str) -> dg.AssetKey:
    """Key of an input, which is made elsewhere: it ends in the input's identifier, or in its file's name."""
    source = product.inputs[name]
    uri = project.shown_uri(product, name)
    last = source.identifier if isinstance(source, DataProductInput) else uri.rstrip("/").rsplit("/", 1)[-1]
    return dg.AssetKey(["sources", project.name, re.sub(r"[^A-Za-z0-9_.\-]", "_", last)])


def run_tags(product: DataProduct) -> dict[str, str]:
    """The builder's cluster settings as tags, for run launchers that can use them."""
    return {f"lstm_pipeline/{key}": str(value) for key, value in product.config.items()}


TRIGGER_TAG = "lstm_pipeline/trigger"
"""Run tag: why a run started by itself: `schedule`, or the reasons to retrain, e.g. `new_data,drift`."""
GROUPS_TAG = "lstm_pipeline/groups"
"""Run tag: the groups that are retrained, with commas between them."""
REASON_TAG = "lstm_pipeline/reason"
"""Run tag: the reasons to retrain as sentences."""
NUMBERS_TAG = "lstm_pipeline/numbers"
"""Run tag: the numbers behind the reasons, as JSON."""
TRAINING_TAG = "lstm_pipeline/training"
"""Run tag: the project that a run trains. `dagster.yaml` lets one such run of a project start at a time."""
