"""Names in Dagster: asset keys, groups, jobs, tags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import dagster as dg

from lstm_pipeline.orchestration.pods import pod_tags
from lstm_pipeline.projects import Project
from lstm_pipeline.reporting import authored
from lstm_pipeline.spec import DataProduct, DataProductInput
from lstm_pipeline.wording import counted, listed

AS_OF_TAG = "lstm_pipeline/as_of"
BACKFILL_TAG = "dagster/backfill"
"""Dagster's tag of the runs of one back-fill: its id."""
GROUPS_TAG = "lstm_pipeline/groups"
"""The groups that a run trains, where they are not all: see `groups_tag`."""
HANDED_TAG = "lstm_pipeline/backfill"
"""Run tag: the back-fill that trains what the run of a job was asked to; see `spreading`."""
ASKED_BY_TAG = "lstm_pipeline/asked_by"
"""Tag of such a back-fill, and of its runs: the run that asked for it, or the one which that run repeats."""
CARRIES_ON_TAG = "lstm_pipeline/carries_on"
"""Run tag: the failed back-fill whose candidates the run takes, so that it trains only what is missing."""
LONGEST_TAG = 200
"""Characters of a tag that the UI still shows well."""

TRIGGER_TAG = "lstm_pipeline/trigger"
"""Run tag: why a run started by itself: `schedule`, or the reasons to retrain, e.g. `new_data,drift`."""
REASON_TAG = "lstm_pipeline/reason"
"""Run tag: the reasons to retrain as sentences."""
NUMBERS_TAG = "lstm_pipeline/numbers"
"""Run tag: the numbers behind the reasons, as JSON."""
TRAINING_TAG = "lstm_pipeline/training"
"""Run tag: the project that a run trains. `dagster.yaml` lets one such run of a project start at a time."""

BUCKET = "lstm_pipeline/bucket"
WRITE_MODE = "lstm_pipeline/write_mode"
TRAINING_ONLY = "lstm_pipeline/training_only"
"""Metadata of an input of which only the values that a training reads are loaded: the arguments of `columns_read`."""
RUN_TAGS = "lstm_pipeline/run_tags"
"""An asset's metadata: the tags that a run which materialises it should have, as JSON; see `coordinator`."""

TRAINING_POOL = "lstm_pipeline_training"
"""Dagster's pool of trainings: a limit on it, set in the UI, is the number of trainings at a time."""

CLEANED, TRAINED, METADATA = "cleaned_data", "trained_model", "model_metadata"
RECENT, PREDICTIONS = "recent_data", "predictions"
ACCURACY, BACKTEST, EXPLANATION = "forecast_accuracy", "backtest", "explanation"
REPORT = "report"

TRAINING_ASSETS = (CLEANED, TRAINED, METADATA)
FORECAST_ASSETS = (RECENT, PREDICTIONS, ACCURACY)
BACKTEST_ASSETS = (CLEANED, BACKTEST)


def slug(name: str) -> str:
    """A project's name in the characters that Dagster allows for groups and jobs."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


TRAIN, FORECAST, BOTH, BACKTESTING = "train", "forecast", "train_and_forecast", "backtest"
JOB_KINDS = (TRAIN, FORECAST, BOTH, BACKTESTING)
"""What a project's jobs are called after its name."""


def job_name(project: str, kind: str) -> str:
    """Name of a project's job."""
    return f"{slug(project)}_{kind}"


def asset_key(project: str, asset: str) -> dg.AssetKey:
    """Key of one of a project's assets."""
    return dg.AssetKey([project, asset])


def product_of(project: Project, asset: str) -> DataProduct:
    """The data product that an asset belongs to."""
    return project.spec.predictions if asset in FORECAST_ASSETS else project.spec.model_metadata


def write_mode(project: Project, asset: str) -> str:
    """How an asset is written: `overwrite` or `append`. Only data products of the user's can be appended to."""
    products = (METADATA, PREDICTIONS)
    return product_of(project, asset).finalisers.write_config.mode if asset in products else "overwrite"


def training_only(project: Project) -> dict[str, Any]:
    """The metadata of an input that is read for training alone; the frame's other columns hold nulls."""
    step = project.spec.training
    return {TRAINING_ONLY: {"timestamp_col": step.timestamp_col, "drop_cols": list(step.drop_cols)}}


def described(project: Project, text: str) -> str:
    """A description of an asset or a job: what it is, what project it belongs to, and what the spec says about that."""
    step, horizon = project.spec.training, counted(project.spec.prediction.forecast_horizon, "step")
    frequency = f"at frequency `{step.frequency}`" if step.frequency else "at the frequency of the data"
    groups = listed([f"`{group}`" for group in project.groups], most=8)
    about = (
        f"{counted(len(project.groups), 'group')} of features ({groups}), forecast {horizon} {frequency}; "
        f"spec `{'/'.join(Path(project.loaded.source).parts[-2:])}`"
    )
    return "\n\n".join(part for part in (text, about, authored(project.spec.description or "")) if part)


def source_key(project: Project, product: DataProduct, name: str) -> dg.AssetKey:
    """Key of an input, which is made elsewhere: it ends in the input's identifier, or in its file's name.

    Of different inputs with the same ending, all but the first have a number after it.
    """
    taken: dict[str, str] = {}
    for other in (project.spec.model_metadata, project.spec.predictions):
        for one, source in other.inputs.items():
            if isinstance(source, DataProductInput):
                last, uri = source.identifier, project.spec.catalog[source.identifier]
            else:
                last, uri = project.shown_uri(other, one).rstrip("/").rsplit("/", 1)[-1], source.uri
            ending = re.sub(r"[^A-Za-z0-9_.\-]", "_", last)
            endings = chain([ending], (f"{ending}_{number}" for number in count(2)))
            chosen = next(ending for ending in endings if taken.setdefault(ending, uri) == uri)
            if other is product and one == name:
                return dg.AssetKey(["sources", project.name, chosen])
    raise KeyError(name)


def groups_tag(groups: Sequence[str]) -> str:
    """Groups with commas between them; of more than fit a tag, the first, the last, and how many they are."""
    text = ",".join(groups)
    return text if len(text) <= LONGEST_TAG else f"{groups[0]} … {groups[-1]} ({counted(len(groups), 'group')})"


def run_tags(product: DataProduct) -> dict[str, str]:
    """The builder's cluster settings as tags, for run launchers that can use them, and as those of a pod."""
    return {f"lstm_pipeline/{key}": str(value) for key, value in product.config.items()} | pod_tags(product.config)
