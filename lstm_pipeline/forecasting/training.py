"""Training: one network per group, several groups in parallel."""

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

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.errors import DataError, PipelineError, TrainingError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.evaluation import evaluate_one_step
from lstm_pipeline.forecasting.group_models import GroupModel
from lstm_pipeline.forecasting.notes import data_notes
from lstm_pipeline.network.runtime import cores, group_seed
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
    Registry,
    StoredModel,
)
from lstm_pipeline.spec import ModelOptions, TrainingStep
from lstm_pipeline.statistics import Level, LinearForm, Scaler, fit_linear, mean_over_features
from lstm_pipeline.storage import to_json
from lstm_pipeline.timeseries import Windows
from lstm_pipeline.wording import counted, listed

if TYPE_CHECKING:
    from lstm_pipeline.network.architecture import Shape
    from lstm_pipeline.network.training import EpochReport, TrainingLog, WindowData


LIBRARIES = ("lstm-pipeline", "tensorflow", "keras", "numpy", "pandas", "scikit-learn")

OnEpoch = Callable[[str, "EpochReport"], None]
"""A progress listener, called with the group's name and a report after each epoch."""


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


@dataclass(frozen=True)
class TrainingRun:
    """What the trainings of all groups share.

    Attributes:
        dataset: the data to train on.
        step: the spec's training step.
        registry: where candidates are stored.
        horizon: steps that will be forecast; the default chunk depends on it.
        run_id: the run that candidates are filed under.
        on_epoch: a progress listener, or None.
        on_pause: called about once a second while networks train, and before a candidate is stored; an exception that
            it raises ends the training. None: nothing can.
        now: the date of the models; None: the time at which each is trained.
    """

    dataset: Dataset
    step: TrainingStep
    registry: Registry
    horizon: int
    run_id: str
    on_epoch: OnEpoch | None = None
    on_pause: Callable[[], None] | None = None
    now: dt.datetime | None = None


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

    stoppable = replace(run, on_pause=stop_if_asked)

    def trained(group: str) -> StoredModel | PipelineError:
        try:
            return train_group(stoppable, group)
        except PipelineError as error:
            return error

    with ThreadPoolExecutor(max_workers=min(len(groups), cores())) as pool:
        try:
            results = dict(zip(groups, pool.map(trained, groups), strict=True))
        except BaseException:  # an interrupt; leaving the pool waits until its threads have stopped
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    finished = {group: result for group, result in results.items() if isinstance(result, StoredModel)}
    failed = {group: result for group, result in results.items() if isinstance(result, PipelineError)}
    if failed:
        reasons = "; ".join(f"group '{group}': {error}" for group, error in failed.items())
        fault = GroupsFailed(reasons, finished)
        fault.transient = all(error.transient for error in failed.values())
        raise fault
    return finished


def train_group(run: TrainingRun, group: str) -> StoredModel:
    """Trains one group's network, scores it one step ahead on the test part, and stores it as a candidate.

    The weights depend only on the data, the group's options, the seed and the group's name.

    Raises:
        DataError: there are too few rows.
        TrainingError: the loss is not finite.
    """
    from lstm_pipeline.network.persistence import save_network  # TensorFlow takes seconds to import
    from lstm_pipeline.network.training import TrainingSettings, train

    step, on_epoch = run.step, run.on_epoch
    task = prepare(run.dataset, step, group, run.horizon)
    network = _untrained(task, task.windows.train)
    settings = TrainingSettings(step.epochs, step.patience, step.batch_size, task.seed)
    report_epoch = (lambda report: on_epoch(group, report)) if on_epoch else None
    log = train(network, task.data, task.options, settings, report_epoch, run.on_pause)
    metadata = _metadata(run, task, log)
    scores = evaluate_one_step(run.dataset, GroupModel(metadata, task.scaler, network)).metrics
    metrics = {"metrics": {"one_step": mean_over_features(scores)}, "feature_metrics": {"one_step": scores}}
    record = IndividualRecord(metadata=metadata.model_copy(update=metrics), model_path="", metadata_path="")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        if task.options.refit:
            save_network(network, files / HELD_OUT)
            network = _refitted(task, step.batch_size, log, run.on_pause)
        save_network(network, files / MODEL)
        (files / SCALER).write_bytes(to_json(task.scaler.to_dict()))
        if metadata.knows_drift:
            (files / DRIFT).write_bytes(to_json(drift_record(run.dataset, task.names).to_json()))
        (files / TRAINING_LOG).write_bytes(to_json(log.to_dict()))
        if run.on_pause is not None:
            run.on_pause()
        return run.registry.save_candidate(record, files)


def resolve_options(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> ModelOptions:
    """A group's options, with those filled in that depend on the data or on other options."""
    options = step.options(group)
    chunk = dataset.chunk_length(options.output_chunk_length, horizon, dataset.sequence_length)
    known = chunk > 1 if options.known_future is None else options.known_future
    filled_in = {"network": options.chosen_network, "output_chunk_length": chunk, "known_future": known}
    return options.model_copy(update=filled_in)


@dataclass(frozen=True)
class TrainingTask:
    """The input of one group's training.

    Attributes:
        group: the group's name.
        names: (T,) the features that are forecast.
        options: the group's resolved options.
        scaler: of all features.
        shape: the shape of the network.
        windows: windows by part.
        data: the argument of `network.training.train`.
        seed: the group's own seed.
    """

    group: str
    names: tuple[str, ...]
    options: ModelOptions
    scaler: Scaler
    shape: Shape
    windows: Windows
    data: WindowData
    seed: int


def prepare(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> TrainingTask:
    """Prepares one group's training.

    Raises:
        DataError: there are too few rows, or a seasonal option needs longer windows.
    """
    from lstm_pipeline.network.architecture import Shape
    from lstm_pipeline.network.training import WindowData

    options, length = resolve_options(dataset, step, group, horizon), dataset.sequence_length
    names = dataset.features.groups[group]
    scaler = dataset.scaler(options.scaler if step.scale_features else "none")
    rows = dataset.rows(scaler)
    columns, chunk = dataset.columns(names), options.output_chunk_length or 1
    windows = dataset.windows(names, length, chunk * options.rollout_steps, chunk)
    for option, other in (("window_normalization", "last"), ("highway", "shared")):
        if getattr(options, option) == "seasonal" and length < dataset.season:
            raise DataError(
                f"{option}: 'seasonal' needs windows of at least one season ({counted(dataset.season, 'step')}), found "
                f"sequence_length {length}; increase sequence_length, set season_length, or use '{other}'"
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
    return TrainingTask(group, names, options, scaler, shape, windows, data, group_seed(step.random_seed, group))


def _untrained(task: TrainingTask, starts: Integers) -> Any:
    """The group's network before its training on the windows that begin at `starts`.

    Its highway is initialised with the ridge regression on these windows. From the first epoch on, the network learns
    what a linear map cannot represent, however few epochs there are.
    """
    from lstm_pipeline.network.architecture import build_network, start_highway

    model = build_network(task.options, task.shape, seed=task.seed, name=task.group)
    for options in task.options.averaged:
        level = _highway_level(options)
        if options.highway != "none" and level is not None:
            kernel = _ridge_regression(task, starts, options, level)
            start_highway(model, kernel, for_features="features" in options.parts)
    return model


def _ridge_regression(task: TrainingTask, starts: Integers, options: ModelOptions, level: Level) -> Float64:
    """The kernel of a highway: (n, m), or one for each feature, see `Highway`."""
    shape = task.shape
    values = np.where(task.data.observed > 0, task.data.targets, np.nan).astype(np.float64)
    if options.highway == "per_feature" and "features" in options.parts:  # there is a map for every feature read
        every = task.data.values[:, : shape.feature_count].astype(np.float64)
        every[:, shape.target_columns] = values
        values = every
    maps = np.split(values, values.shape[1], axis=1) if options.highway == "per_feature" else [values]
    season = shape.season if options.highway == "seasonal" else 1
    form = LinearForm(shape.sequence_length, shape.steps, season, level)
    fitted = [fit_linear(part, starts, form).weights for part in maps]
    return np.stack(fitted) if options.highway == "per_feature" else fitted[0]


def _highway_level(options: ModelOptions) -> Level | None:
    """The level whose changes the highway maps; None if no ridge regression has the same."""
    level = options.window_normalization
    if "features" in options.parts:  # its highway measures changes from the last row, whatever the window's scale is
        return None if level == "seasonal" else "last"
    return level if level in ("last", "mean") else None


def _refitted(task: TrainingTask, batch_size: int, log: TrainingLog, on_pause: Callable[[], None] | None) -> Any:
    """A network trained anew on all rows, for as many epochs as the best one took and at the same learning rates."""
    from lstm_pipeline.network.training import TrainingSettings, train

    every = task.windows.every
    network = _untrained(task, every)
    data = replace(task.data, train_starts=every, validation_starts=every[:0])
    settings = TrainingSettings(log.best_epoch, None, batch_size, task.seed, rates=log.learning_rate)
    train(network, data, task.options, settings, on_pause=on_pause)
    return network


def _metadata(run: TrainingRun, task: TrainingTask, log: TrainingLog) -> ModelMetadata:
    """The model's metadata, without its metrics and its version."""
    dataset, step, names = run.dataset, run.step, task.names
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
        hyperparameters=recorded_options(step, task.options, dataset.sequence_length),
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
        constant_features=list(dataset.constant),
        bounds={name: BoundRecord(min=low, max=high) for name, (low, high) in dataset.bounds.items() if name in names},
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
    keys = ("epochs", "patience", "batch_size", "train_ratio", "validation_split", "scale_features")
    return {**options.model_dump(), "sequence_length": length, **{key: getattr(step, key) for key in keys}}


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a model's numbers depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES} | {"python": platform.python_version()}
