"""Training: one network per group, several groups in parallel."""

from __future__ import annotations

import datetime as dt
import gc
import importlib.metadata
import platform
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from lstm_pipeline.errors import PipelineError, TrainingError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.evaluation import evaluate_one_step
from lstm_pipeline.forecasting.group_models import GroupModel
from lstm_pipeline.forecasting.notes import data_notes
from lstm_pipeline.forecasting.resting import resting_features
from lstm_pipeline.forecasting.search import Found, search
from lstm_pipeline.forecasting.tasks import TrainingRun, refitted, resolve_options
from lstm_pipeline.network.runtime import cores
from lstm_pipeline.registry import (
    DRIFT,
    HELD_OUT,
    MODEL,
    SCALER,
    TRAINING_LOG,
    BoundRecord,
    DriftRecord,
    DriftReferences,
    IndividualRecord,
    ModelMetadata,
    StoredModel,
)
from lstm_pipeline.spec import ModelOptions, TrainingStep
from lstm_pipeline.statistics import mean_over_features
from lstm_pipeline.storage import to_json
from lstm_pipeline.wording import listed, sentences

LIBRARIES = ("lstm-pipeline", "tensorflow", "keras", "numpy", "pandas", "scikit-learn")


class GroupsFailed(TrainingError):
    """The training of one or more groups failed.

    Attributes:
        reasons: which groups failed, and why.
        finished: group → the stored model of each group that succeeded.
    """

    def __init__(self, reasons: str, finished: dict[str, StoredModel]) -> None:
        note = f". The candidates of {listed(finished)} are kept." if finished else ""
        super().__init__(f"{reasons}{note}")
        self.reasons = reasons
        self.finished = finished


def train_groups(run: TrainingRun, groups: Sequence[str]) -> dict[str, StoredModel]:
    """Trains groups in parallel, one per core, and stores each as a candidate as soon as it is trained.

    A group that fails does not stop the others, and their candidates are kept. An interrupt (Ctrl-C, or Dagster's
    terminate) ends all of them within about a second of their current batch; groups that are not finished by then leave
    nothing behind.

    Raises:
        GroupsFailed: the training of one or more groups failed.
    """
    stopped = threading.Event()

    def stop_if_asked() -> None:
        if stopped.is_set():
            raise TrainingError("stopped")
        if run.on_pause is not None:
            run.on_pause()

    workers = max(1, min(len(groups), cores()))
    stoppable = replace(run, on_pause=stop_if_asked, lanes=max(1, cores() // workers))

    def trained(group: str) -> StoredModel | PipelineError:
        try:
            return train_group(stoppable, group)
        except PipelineError as error:
            return error
        finally:
            gc.collect()  # networks and their graphs are circles, megabytes each, which Python would keep for a while

    with _searching_only_what_is_new(), ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            results = dict(zip(groups, pool.map(trained, groups), strict=True))
        except BaseException:  # an interrupt; leaving the pool waits until its threads have stopped
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    finished = {group: result for group, result in results.items() if isinstance(result, StoredModel)}
    failed = {group: result for group, result in results.items() if isinstance(result, PipelineError)}
    if failed:
        reasons = sentences([f"group '{group}': {error}" for group, error in failed.items()])
        fault = GroupsFailed(reasons, finished)
        fault.transient = all(error.transient for error in failed.values())
        raise fault
    return finished


@contextmanager
def _searching_only_what_is_new() -> Iterator[None]:
    """Garbage collection within leaves alone what is there already: Dagster and TensorFlow alone take 0.3 s."""
    import lstm_pipeline.network.persistence  # noqa: F401  # TensorFlow is to be there already as well

    if gc.get_freeze_count():  # someone has seen to it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def train_group(run: TrainingRun, group: str) -> StoredModel:
    """Trains one group's network, scores it one step ahead on the test part, and stores it as a candidate.

    The weights depend only on the data, the group's options, the seed and the group's name; with a time budget also on
    how much the machine can train in it.

    Raises:
        DataError: there are too few rows.
        TrainingError: the loss is not finite.
    """
    from lstm_pipeline.network.persistence import save_network  # TensorFlow takes seconds to import

    found = search(run, group)
    leader, network = found.leader, found.network()
    metadata = _metadata(run, found)
    scores = evaluate_one_step(run.dataset, [GroupModel(metadata, leader.task.scaler, network)])[0].metrics
    metrics = {"metrics": {"one_step": mean_over_features(scores)}, "feature_metrics": {"one_step": scores}}
    record = IndividualRecord(metadata=metadata.model_copy(update=metrics), model_path="", metadata_path="")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        if leader.task.options.refit:
            save_network(network, files / HELD_OUT)
            network = found.network(lambda each: refitted(each.task, each.variant.batch_size, each.log, run.on_pause))
        save_network(network, files / MODEL)
        (files / SCALER).write_bytes(to_json(leader.task.scaler.to_dict()))
        if metadata.knows_drift:
            (files / DRIFT).write_bytes(to_json(drift_record(run.dataset, leader.task.names).to_json()))
        (files / TRAINING_LOG).write_bytes(to_json(leader.log.to_dict()))
        if run.on_pause is not None:
            run.on_pause()
        return run.registry.save_candidate(record, files)


def unstored_model(run: TrainingRun, group: str) -> GroupModel:
    """Trains one group's network as `train_group` does, but neither scores nor stores it.

    Raises:
        DataError: there are too few rows.
        TrainingError: the loss is not finite.
    """
    found = search(run, group)
    return GroupModel(_metadata(run, found), found.leader.task.scaler, found.network())


def _metadata(run: TrainingRun, found: Found) -> ModelMetadata:
    """The model's metadata, without its metrics and its version."""
    dataset, step = run.dataset, run.step
    task, log = found.leader.task, found.leader.log
    names, options = task.names, resolve_options(dataset, step, task.group, run.horizon)
    timeline, features = dataset.series.timeline, dataset.features
    return ModelMetadata(
        model_name=task.group,
        version=None,
        training_date=(run.now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds"),
        feature_group=task.group,
        timestamp_column=step.timestamp_col,
        predicted_features=list(names),
        feature_columns=[*dataset.series.names, *dataset.known],
        future_covariates=list(features.covariates),
        context_features=list(features.context),
        integer_features=[name for name in names if name in features.integers],
        calendar_features=list(dataset.calendar),
        hyperparameters=recorded_options(step, options, dataset.sequence_length),
        metrics={},
        feature_metrics={},
        training_rows=dataset.row_ranges(),
        training={
            "windows": {part: len(getattr(task.windows, part)) for part in ("train", "validation", "test")},
            "epochs": len(log.loss),
            "best_epoch": log.best_epoch,
            "val_loss": log.val_loss[log.best_epoch - 1],
            "stopped_early": log.stopped_early,
            "seconds": round(sum(sum(each.log.seconds) for each in found.trained), 3),
        },
        variants=found.records(),
        frequency=timeline.frequency,
        timezone=timeline.timezone,
        timestamp_kind=timeline.kind,
        season_length=dataset.season,
        on_duplicates=step.on_duplicates,
        missing=step.missing,
        max_gap=step.max_gap,
        filled_values=dataset.filled.counts,
        constant_features=list(dataset.constant),
        resting_features=[] if step.is_documented else resting_features(dataset, names, run.horizon),
        bounds={name: BoundRecord(min=b[0], max=b[1]) for name in names if (b := dataset.bounds.get(name))},
        ignored_columns=dict(features.ignored),
        carried_forward=dict(dataset.filled.carried),
        row_step=dataset.row_step,
        notes=data_notes(dataset),
        random_seed=step.random_seed,
        library_versions=library_versions(),
        data_fingerprint=dataset.fingerprint(),
        dropped_columns=list(step.drop_cols),
        input=dataset.input,
        knows_drift=bool(dataset.drift_references({*names, *features.context})),
        run_id=run.run_id,
    )


def drift_record(dataset: Dataset, predicted: Sequence[str]) -> DriftReferences:
    """What a group's features and the context, which all groups read, look like: drift.json."""
    references = dataset.drift_references({*predicted, *dataset.features.context})
    return DriftReferences(
        features={
            name: DriftRecord(
                scale=reference.scale,
                quantiles=list(reference.quantiles),
                shares=[list(pair) for pair in reference.shares],
                limits={str(length): limit for length, limit in reference.limits.items()},
            )
            for name, reference in references.items()
        }
    )


def recorded_options(step: TrainingStep, options: ModelOptions, length: int) -> dict[str, Any]:
    """The options that were used: the group's own and the step's, with the rows of a window."""
    keys = ("epochs", "patience", "batch_size", "train_ratio", "validation_split", "scale_features", "preset")
    return {**options.model_dump(), "sequence_length": length, **{key: getattr(step, key) for key in keys}}


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a model's numbers depend on."""
    return dict(_library_versions())


@cache
def _library_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}
