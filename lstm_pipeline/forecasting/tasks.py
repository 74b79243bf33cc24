"""One network's training: its options filled in, its windows, its start at the ridge regression, and its refit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.network.gradients import forgotten_gradients
from lstm_pipeline.network.runtime import group_seed
from lstm_pipeline.registry import Registry
from lstm_pipeline.spec import ModelOptions, TrainingStep
from lstm_pipeline.statistics import Level, LinearForm, Scaler, fit_linear
from lstm_pipeline.timeseries import Windows
from lstm_pipeline.wording import counted

if TYPE_CHECKING:
    from lstm_pipeline.network.architecture import Shape
    from lstm_pipeline.network.training import EpochReport, TrainingLog, WindowData


OnEpoch = Callable[[str, "EpochReport"], None]
"""A progress listener, called with the group's name and a report after each epoch."""


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
        lanes: how many networks of a group are trained at once; None: one for each core. Without a time budget, it
            changes no number.
        sample: how many windows are trained on in an epoch, and as much less of the validation part, where a training
            is only to be measured; None: all.
    """

    dataset: Dataset
    step: TrainingStep
    registry: Registry
    horizon: int
    run_id: str
    on_epoch: OnEpoch | None = None
    on_pause: Callable[[], None] | None = None
    now: dt.datetime | None = None
    lanes: int | None = None
    sample: int | None = None

    def sampled(self, data: WindowData) -> WindowData:
        """The windows that are trained on."""
        if self.sample is None:
            return data
        kept = self.sample / max(self.sample, len(data.train_starts))
        return replace(
            data,
            train_starts=data.train_starts[: self.sample],
            validation_starts=data.validation_starts[: max(1, round(kept * len(data.validation_starts)))],
        )


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


def prepare(dataset: Dataset, step: TrainingStep, group: str, options: ModelOptions) -> TrainingTask:
    """Prepares one network's training.

    Args:
        options: the network's resolved options.

    Raises:
        DataError: there are too few rows, or a seasonal option needs longer windows.
    """
    from lstm_pipeline.network.architecture import Shape
    from lstm_pipeline.network.training import WindowData

    names = dataset.features.groups[group]
    scaler = dataset.scaler(options.scaler if step.scale_features else "none")
    rows, columns = dataset.rows(scaler), dataset.columns(names)
    windows, length = _windows(dataset, names, options), dataset.sequence_length
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
    chunk = options.output_chunk_length or 1
    shape = Shape(length, len(dataset.series.names), len(dataset.known), tuple(columns), chunk, dataset.season)
    return TrainingTask(group, names, options, scaler, shape, windows, data, group_seed(step.random_seed, group))


def varied(task: TrainingTask, dataset: Dataset, options: ModelOptions) -> TrainingTask:
    """The task of another network of the group: it reads the same rows, which are in memory once.

    Args:
        dataset: the task's, perhaps with windows of another length.
        options: the network's resolved options, with the task's scaler and chunk.

    Raises:
        DataError: as in `prepare`.
    """
    windows, length = _windows(dataset, task.names, options), dataset.sequence_length
    data = replace(
        task.data,
        train_starts=windows.train,
        validation_starts=windows.validation,
        sequence_length=length,
        horizon=windows.horizon,
    )
    shape = replace(task.shape, sequence_length=length)
    return replace(task, options=options, windows=windows, data=data, shape=shape)


def _windows(dataset: Dataset, names: Sequence[str], options: ModelOptions) -> Windows:
    length, chunk = dataset.sequence_length, options.output_chunk_length or 1
    windows = dataset.windows(names, length, chunk * options.rollout_steps, chunk)
    for option, other in (("window_normalization", "last"), ("highway", "shared")):
        if getattr(options, option) == "seasonal" and length < dataset.season:
            raise DataError(
                f"{option}: 'seasonal' needs windows of at least one season ({counted(dataset.season, 'step')}), found "
                f"sequence_length {length}; increase sequence_length, set season_length, or use '{other}'"
            )
    return windows


def untrained(task: TrainingTask, starts: Integers) -> Any:
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


def refitted(task: TrainingTask, batch_size: int, log: TrainingLog, on_pause: Callable[[], None] | None) -> Any:
    """A network trained anew on all rows, for as many epochs as the best one took and at the same learning rates."""
    from lstm_pipeline.network.training import TrainingSettings, train

    every = task.windows.every
    network = untrained(task, every)
    data = replace(task.data, train_starts=every, validation_starts=every[:0])
    if not log.best_epoch:  # a linear map
        return network
    settings = TrainingSettings(log.best_epoch, None, batch_size, task.seed, rates=log.learning_rate)
    with forgotten_gradients():
        train(network, data, task.options, settings, on_pause=on_pause)
    return network
