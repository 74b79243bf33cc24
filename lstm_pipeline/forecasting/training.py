"""Training groups: each on its own, several side by side."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.forecasting.dataset import Dataset, network_rows
from lstm_pipeline.forecasting.evaluation import score_one_step
from lstm_pipeline.network.runtime import cores, group_seed
from lstm_pipeline.registry.layout import HISTORY, MODEL, SCALER
from lstm_pipeline.registry.records import IndividualRecord, ModelMetadata
from lstm_pipeline.registry.registry import Registry, StoredModel
from lstm_pipeline.registry.store import to_json
from lstm_pipeline.spec.errors import PipelineError, TrainingError
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.timeseries.metrics import mean_over_features
from lstm_pipeline.timeseries.scaling import Scaler

if TYPE_CHECKING:
    from lstm_pipeline.network.training import EpochReport, History


class GroupsFailed(TrainingError):
    """One or more groups failed; `finished` are the models of the others, which are stored."""

    def __init__(self, message: str, finished: dict[str, StoredModel]) -> None:
        super().__init__(message)
        self.finished = finished


OnEpoch = Callable[[str, "EpochReport"], None]
LIBRARIES = ("lstm-pipeline", "tensorflow", "keras", "numpy", "pandas", "scikit-learn")


def train_groups(
    dataset: Dataset,
    step: TrainingStep,
    groups: Sequence[str],
    registry: Registry,
    *,
    horizon: int,
    run_id: str,
    on_epoch: OnEpoch | None = None,
) -> dict[str, StoredModel]:
    """Trains groups side by side, as many as there are cores, and stores each as a candidate when it is done.

    A group that fails does not stop the others: what they learnt is kept.

    Raises:
        GroupsFailed: one or more groups failed; says which, and why.
    """

    stopped = threading.Event()

    def heard(group: str, report: EpochReport) -> None:
        if stopped.is_set():
            raise TrainingError("stopped")
        if on_epoch is not None:
            on_epoch(group, report)

    def run(group: str) -> StoredModel | PipelineError:
        try:
            return train_group(dataset, step, group, registry, horizon=horizon, run_id=run_id, on_epoch=heard)
        except PipelineError as error:
            return error

    with ThreadPoolExecutor(max_workers=min(len(groups), cores())) as pool:
        try:
            results = dict(zip(groups, pool.map(run, groups), strict=True))
        except BaseException:  # Ctrl-C, or Dagster's terminate: the threads end after the epoch they are in
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    finished = {group: result for group, result in results.items() if isinstance(result, StoredModel)}
    failed = {group: result for group, result in results.items() if isinstance(result, PipelineError)}
    if failed:
        note = f" The candidates of {', '.join(finished)} are kept." if finished else ""
        reasons = "; ".join(f"group '{group}': {error}" for group, error in failed.items())
        raise GroupsFailed(f"{reasons}{note}", finished)
    return finished


def resolve_options(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> ModelOptions:
    """A group's options with all that the data decides filled in: the steps a roll."""
    options = step.options(group)
    chunk = dataset.chunk_length(options.output_chunk_length, horizon)
    return options.model_copy(update={"output_chunk_length": chunk})


def train_group(
    dataset: Dataset,
    step: TrainingStep,
    group: str,
    registry: Registry,
    *,
    horizon: int,
    run_id: str,
    on_epoch: OnEpoch | None = None,
) -> StoredModel:
    """Trains one group's network, scores it one step ahead on the test part, and stores it as a candidate.

    Its weights depend on the data, the group's options, the seed and the group's name, and on nothing else.

    Raises:
        DataError: too few rows.
        TrainingError: a loss turned NaN.
    """
    from lstm_pipeline.network.architecture import Shape, build_network  # TensorFlow takes seconds to import
    from lstm_pipeline.network.persistence import save_network
    from lstm_pipeline.network.training import WindowData, predict_steps, train

    options, length = resolve_options(dataset, step, group, horizon), step.sequence_length
    names = dataset.features.groups[group]
    scaler = dataset.scaler(options.scaler if step.scale_features else "none")
    rows = network_rows(dataset.series, dataset.filled, scaler, dataset.calendar)
    columns, chunk = dataset.columns(names), options.output_chunk_length or 1
    windows = dataset.windows(names, length, chunk * options.rollout_steps)
    seed = group_seed(step.random_seed, group)
    shape = Shape(length, len(dataset.series.names), len(dataset.calendar), tuple(columns), chunk, dataset.season)
    model = build_network(options, shape, seed=seed, name=group)
    data = WindowData(
        values=rows,
        targets=rows[:, columns],
        observed=dataset.filled.observed[:, columns].astype(np.float32),
        train_starts=windows.train,
        validation_starts=windows.validation,
        sequence_length=length,
        horizon=windows.horizon,
        target_columns=tuple(columns),
    )
    history = train(
        model,
        data,
        options,
        epochs=step.epochs,
        patience=step.patience,
        batch_size=step.batch_size,
        seed=seed,
        on_epoch=(lambda report: on_epoch(group, report)) if on_epoch else None,
    )
    tested = dataset.windows(names, length, chunk).test
    scaled = predict_steps(model, rows, tested, length)[:, 0]
    forecast = scaler.subset(names).inverse(scaled.astype(np.float64))
    by_feature = score_one_step(dataset, names, tested + length, forecast)
    record = _record(dataset, step, group, options, scaler, history, run_id)
    metadata = record.metadata.model_copy(
        update={"metrics": {"one_step": mean_over_features(by_feature)}, "feature_metrics": {"one_step": by_feature}}
    )
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        save_network(model, files / MODEL)
        (files / SCALER).write_bytes(to_json(scaler.to_dict()))
        (files / HISTORY).write_bytes(to_json(history.to_dict()))
        return registry.save_candidate(record.model_copy(update={"metadata": metadata}), files)


def _record(
    dataset: Dataset,
    step: TrainingStep,
    group: str,
    options: ModelOptions,
    scaler: Scaler,
    history: History,
    run_id: str,
) -> IndividualRecord:
    """Everything worth knowing about the model but its metrics and its place."""
    timeline, features = dataset.series.timeline, dataset.features
    chunk = options.output_chunk_length or 1
    windows = dataset.windows(features.groups[group], step.sequence_length, chunk * options.rollout_steps)
    names = features.groups[group]
    metadata = ModelMetadata(
        model_name=group,
        version=None,
        training_date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        feature_group=group,
        timestamp_column=step.timestamp_col,
        predicted_features=list(names),
        feature_columns=[*dataset.series.names, *dataset.calendar],
        context_features=list(features.context),
        integer_features=[name for name in names if name in features.integers],
        calendar_features=list(dataset.calendar),
        hyperparameters=_hyperparameters(step, options),
        metrics={},
        feature_metrics={},
        training_rows=dataset.row_ranges(),
        training={
            "windows": {part: len(getattr(windows, part)) for part in ("train", "validation", "test")},
            "epochs": len(history.loss),
            "best_epoch": history.best_epoch,
            "val_loss": history.val_loss[history.best_epoch - 1],
            "stopped_early": history.stopped_early,
            "seconds": round(sum(history.seconds), 3),
        },
        frequency=timeline.frequency,
        timezone=timeline.timezone,
        timestamp_kind=timeline.kind,
        season_length=dataset.season,
        on_duplicates=step.on_duplicates,
        missing=step.missing,
        max_gap=step.max_gap,
        filled_values=dataset.filled.counts,
        constant_features=list(scaler.constant),
        random_seed=step.random_seed,
        library_versions=library_versions(),
        data_fingerprint=dataset.fingerprint(),
        run_id=run_id,
    )
    return IndividualRecord(metadata=metadata, model_path="", metadata_path="")


def _hyperparameters(step: TrainingStep, options: ModelOptions) -> dict[str, Any]:
    """The group's options and the step's, as they were used."""
    keys = ("sequence_length", "epochs", "patience", "batch_size", "train_ratio", "validation_split", "scale_features")
    return {**options.model_dump(), **{key: getattr(step, key) for key in keys}}


def library_versions() -> dict[str, str]:
    """Versions of what a model's numbers depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}
