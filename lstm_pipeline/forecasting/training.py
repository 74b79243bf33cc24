"""Training groups: each on its own, several side by side."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.arrays import Integers
from lstm_pipeline.errors import DataError, PipelineError, TrainingError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.evaluation import forecast_one_step, score_one_step
from lstm_pipeline.network.runtime import cores, group_seed
from lstm_pipeline.registry.layout import HELD_OUT, MODEL, SCALER, TRAINING_LOG
from lstm_pipeline.registry.records import IndividualRecord, ModelMetadata
from lstm_pipeline.registry.registry import Registry, StoredModel
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.statistics.linear import LinearForm, fit_linear
from lstm_pipeline.statistics.metrics import mean_over_features
from lstm_pipeline.statistics.scaling import Scaler
from lstm_pipeline.storage.store import to_json
from lstm_pipeline.timeseries.windows import Windows

if TYPE_CHECKING:
    from lstm_pipeline.network.architecture import Shape
    from lstm_pipeline.network.training import EpochReport, TrainingLog, WindowData


class GroupsFailed(TrainingError):
    """One or more groups failed, for these reasons; `finished` are the models of the others, which are stored."""

    def __init__(self, reasons: str, finished: dict[str, StoredModel]) -> None:
        note = f" The candidates of {', '.join(finished)} are kept." if finished else ""
        super().__init__(f"{reasons}{note}")
        self.reasons = reasons
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
        raise GroupsFailed("; ".join(f"group '{group}': {error}" for group, error in failed.items()), finished)
    return finished


def resolve_options(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> ModelOptions:
    """A group's options with all filled in that depends on the data or on other options."""
    options = step.options(group)
    chunk = dataset.chunk_length(options.output_chunk_length, horizon, step.sequence_length)
    known = chunk > 1 if options.known_future is None else options.known_future
    return options.model_copy(update={"network": options.parts, "output_chunk_length": chunk, "known_future": known})


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
    from lstm_pipeline.network.persistence import save_network  # TensorFlow takes seconds to import
    from lstm_pipeline.network.training import TrainingSettings, train

    task = prepare(dataset, step, group, horizon)
    model = _untrained(task, group, task.windows.train)
    heard = (lambda report: on_epoch(group, report)) if on_epoch else None
    settings = TrainingSettings(step.epochs, step.patience, step.batch_size, task.seed)
    log = train(model, task.data, task.options, settings, heard)
    record = _scored(dataset, task, model, _record(dataset, step, group, task, log, run_id))
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        if task.options.refit:
            save_network(model, files / HELD_OUT)
            model = _refitted(task, step, group, log)
        save_network(model, files / MODEL)
        (files / SCALER).write_bytes(to_json(task.scaler.to_dict()))
        (files / TRAINING_LOG).write_bytes(to_json(log.to_dict()))
        return registry.save_candidate(record, files)


@dataclass(frozen=True)
class TrainingTask:
    """All that one group's training needs.

    Attributes:
        names: (T,) the features that are forecast.
        options: resolved, so that nothing is left to the data.
        scaler: of all features.
        shape: of the network.
        windows: by part.
        data: for `network.training.train`.
        seed: the group's own.
    """

    names: tuple[str, ...]
    options: ModelOptions
    scaler: Scaler
    shape: Shape
    windows: Windows
    data: WindowData
    seed: int


def prepare(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> TrainingTask:
    """A group's training, ready to begin.

    Raises:
        DataError: too few rows.
    """
    from lstm_pipeline.network.architecture import Shape
    from lstm_pipeline.network.training import WindowData

    options, length = resolve_options(dataset, step, group, horizon), step.sequence_length
    names = dataset.features.groups[group]
    scaler = dataset.scaler(options.scaler if step.scale_features else "none")
    rows = dataset.rows(scaler)
    columns, chunk = dataset.columns(names), options.output_chunk_length or 1
    windows = dataset.windows(names, length, chunk * options.rollout_steps, chunk)
    for option, other in (("window_normalization", "last"), ("highway", "shared")):
        if getattr(options, option) == "seasonal" and length < dataset.season:
            raise DataError(
                f"{option} seasonal needs a whole season in each window: sequence_length is {length}, a season has "
                f"{dataset.season} steps; give a longer sequence_length, a season_length, or '{other}'"
            )
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
    shape = Shape(length, len(dataset.series.names), len(dataset.known), tuple(columns), chunk, dataset.season)
    return TrainingTask(names, options, scaler, shape, windows, data, group_seed(step.random_seed, group))


def _untrained(task: TrainingTask, group: str, starts: Integers) -> Any:
    """The group's network before it is trained on the windows that begin at `starts`.

    Its highway starts from the ridge regression on these windows: the network learns what a linear map cannot
    say from the first epoch on, however few epochs there are.
    """
    from lstm_pipeline.network.architecture import build_network, start_highway

    model = build_network(task.options, task.shape, seed=task.seed, name=group)
    options, shape = task.options, task.shape
    level = options.window_normalization
    if options.highway == "none" or (level != "last" and level != "mean"):
        return model
    values = np.where(task.data.observed > 0, task.data.targets, np.nan).astype(np.float64)
    maps = np.split(values, values.shape[1], axis=1) if options.highway == "per_feature" else [values]
    season = shape.season if options.highway == "seasonal" else 1
    form = LinearForm(shape.sequence_length, shape.steps, season, level)
    fitted = [fit_linear(part, starts, form).weights for part in maps]
    start_highway(model, np.stack(fitted) if options.highway == "per_feature" else fitted[0])
    return model


def _scored(dataset: Dataset, task: TrainingTask, model: Any, record: IndividualRecord) -> IndividualRecord:
    """The record with the model's metrics one step ahead on the test part."""
    names, length, chunk = task.names, task.shape.sequence_length, task.shape.steps
    targets, forecast = forecast_one_step(dataset, model, task.scaler, task.data.values, names, length, chunk)
    by_feature = score_one_step(dataset, names, targets, forecast)
    metrics = {"metrics": {"one_step": mean_over_features(by_feature)}, "feature_metrics": {"one_step": by_feature}}
    return record.model_copy(update={"metadata": record.metadata.model_copy(update=metrics)})


def _refitted(task: TrainingTask, step: TrainingStep, group: str, log: TrainingLog) -> Any:
    """A network that starts from the same weights and is trained on all rows, through the epochs up to the best one."""
    from lstm_pipeline.network.training import TrainingSettings, train

    every = task.windows.every
    model = _untrained(task, group, every)
    data = replace(task.data, train_starts=every, validation_starts=every[:0])
    settings = TrainingSettings(log.best_epoch, None, step.batch_size, task.seed, rates=log.learning_rate)
    train(model, data, task.options, settings)
    return model


def _record(
    dataset: Dataset,
    step: TrainingStep,
    group: str,
    task: TrainingTask,
    log: TrainingLog,
    run_id: str,
) -> IndividualRecord:
    """Everything worth knowing about the model but its metrics and its place."""
    timeline, features = dataset.series.timeline, dataset.features
    names = task.names
    metadata = ModelMetadata(
        model_name=group,
        version=None,
        training_date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        feature_group=group,
        timestamp_column=step.timestamp_col,
        predicted_features=list(names),
        feature_columns=[*dataset.series.names, *dataset.known],
        future_covariates=list(features.covariates),
        context_features=list(features.context),
        integer_features=[name for name in names if name in features.integers],
        calendar_features=list(dataset.calendar),
        hyperparameters=_hyperparameters(step, task.options),
        metrics={},
        feature_metrics={},
        training_rows=dataset.row_ranges(),
        training={
            "windows": {part: len(getattr(task.windows, part)) for part in ("train", "validation", "test")},
            "epochs": len(log.loss),
            "best_epoch": log.best_epoch,
            "val_loss": log.val_loss[log.best_epoch - 1],
            "stopped_early": log.stopped_early,
            "seconds": round(sum(log.seconds), 3),
        },
        frequency=timeline.frequency,
        timezone=timeline.timezone,
        timestamp_kind=timeline.kind,
        season_length=dataset.season,
        on_duplicates=step.on_duplicates,
        missing=step.missing,
        max_gap=step.max_gap,
        filled_values=dataset.filled.counts,
        constant_features=list(task.scaler.constant),
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
