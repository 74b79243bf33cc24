"""Trains a group's network: a compiled loop over windows that are gathered by index.

It uses neither `fit` nor `tf.data`: the series fits in memory, and at these sizes a data pipeline costs more than it
saves (shutting down an autotuned iterator alone can take seconds per epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.network.architecture import member_outputs
from lstm_pipeline.network.batches import FloatArray, IntArray, Steps, gather_windows, inference_batch
from lstm_pipeline.network.gradients import without_gradients
from lstm_pipeline.network.losses import LOSSES, ErrorLoss, masked_mean, masked_sums
from lstm_pipeline.network.schedules import LearningRate, Progress
from lstm_pipeline.network.slices import InSlices, Pass
from lstm_pipeline.spec import ModelOptions
from lstm_pipeline.wording import counted, number

_OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
}
_SLOWEST_MOMENTUM = 0.99  # Keras's own default
_LEFT_AFTER_ONE_EPOCH = 0.01


@dataclass(frozen=True)
class WindowData:
    """The data that one group trains on.

    Window i covers rows `starts[i]` to `starts[i] + L - 1`; its targets are the H rows from `starts[i] + L` on.

    Attributes:
        values: (N, D) scaled inputs; windows are gathered from them.
        targets: (N, T) scaled targets; 0 where they are missing.
        observed: (N, T) 1 where a target was observed, else 0; only observed targets count in the loss.
        train_starts: (n,) first rows of the training windows.
        validation_starts: (m,) first rows of the validation windows.
        sequence_length: rows of a window (L).
        horizon: rows after a window that count in its loss (H), a multiple of the steps the network forecasts per pass
            (C). If it is more than C, training rolls: forecasts become inputs of the next pass.
        target_columns: (T,) the columns of `values` that contain the targets; needed only for a roll.
    """

    values: FloatArray
    targets: FloatArray
    observed: FloatArray
    train_starts: IntArray
    validation_starts: IntArray
    sequence_length: int
    horizon: int = 1
    target_columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch.

    Attributes:
        epoch, epochs: its number, from 1, and the maximum number of epochs.
        loss: mean loss of the observed training targets during training (dropout on), without the L2 penalty.
        val_loss: mean loss of the observed validation targets after the epoch (dropout off), without the penalty.
        learning_rate: the rate of the epoch.
        seconds: time for training and validation.
        improved: whether its validation loss is the lowest so far.
        label: which of several networks was trained; empty if there is only one.
    """

    epoch: int
    epochs: int
    loss: float
    val_loss: float
    learning_rate: float
    seconds: float
    improved: bool
    label: str = ""


@dataclass
class TrainingLog:
    """A training run, epoch by epoch (see `EpochReport`); the network ends with the weights of `best_epoch`, from 1."""

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped_early: bool = False

    def add(self, report: EpochReport) -> None:
        self.loss.append(report.loss)
        self.val_loss.append(report.val_loss)
        self.learning_rate.append(report.learning_rate)
        self.seconds.append(report.seconds)
        if report.improved:
            self.best_epoch = report.epoch

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class TrainingSettings:
    """How long to train, and on which batches.

    Attributes:
        epochs: maximum number of epochs, at least 1.
        patience: number of epochs without progress after which training ends, at least 1. None: train all epochs
            without validation and keep the last weights.
        batch_size: maximum number of windows per step; the windows of an epoch are distributed evenly over as few
            batches as this allows.
        seed: for the order of the windows.
        rates: the learning rate of each epoch; None for the schedule of the group's options.
        deadline: the time (`time.monotonic`) after which no further epoch begins; None: there is none.
    """

    epochs: int
    patience: int | None
    batch_size: int
    seed: int
    rates: Sequence[float] | None = None
    deadline: float | None = None


def train(
    model: keras.Model,
    data: WindowData,
    options: ModelOptions,
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_pause: Callable[[], None] | None = None,
) -> TrainingLog:
    """Trains `model` in place; it ends with the weights of the epoch with the lowest validation loss.

    The same model, data, options and settings give the same weights, bit for bit, on the same machine, whatever else is
    trained at the same time.

    Args:
        model: (B, L, D) -> (B, C, T), as built by `build_network`.
        data: windows and targets.
        options: loss, optimizer, learning rate and its schedule, min_delta.
        settings: epochs, patience, batches and seed.
        on_epoch: called after each epoch. An exception that it raises ends training and is passed on.
        on_pause: called between batches, about once a second. An exception that it raises ends training and is passed
            on.

    Raises:
        TrainingError: there is nothing to train or validate on, or a loss is not finite.
        ValueError: shapes do not match.
    """
    epochs, patience, batch_size = settings.epochs, settings.patience, settings.batch_size
    _check(model, data, validates=patience is not None)
    optimizer = _OPTIMIZERS[options.optimizer](learning_rate=options.learning_rate)
    optimizer.build(model.trainable_variables)
    settle_batch_norm(model, steps_per_epoch=math.ceil(len(data.train_starts) / batch_size))
    loss, tensors = LOSSES[options.loss], _Tensors(data)
    run_epoch = InSlices(_epoch_function(model, optimizer, loss, tensors, batch_size), batch_size, on_pause)
    validation_batch = inference_batch(data.sequence_length)
    validate = InSlices(_validation_function(model, loss, tensors, validation_batch), validation_batch, on_pause)
    schedule = LearningRate(options.learning_rate_schedule, options.learning_rate, epochs, patience or epochs)
    progress, log, generator = Progress(options.min_delta), TrainingLog(), np.random.default_rng(settings.seed)
    best_weights = model.get_weights()

    for epoch in range(1, epochs + 1):
        began, rate = time.perf_counter(), schedule.at(epoch) if settings.rates is None else settings.rates[epoch - 1]
        optimizer.learning_rate.assign(rate)
        train_loss = run_epoch(generator.permutation(data.train_starts))
        val_loss = train_loss if patience is None else validate(data.validation_starts)
        _require_finite(model, data, epoch, train_loss, val_loss)
        improved = progress.update(epoch, val_loss) or patience is None
        schedule.update(progressed=progress.waited == 0)
        if improved:
            best_weights = model.get_weights()
        report = EpochReport(epoch, epochs, train_loss, val_loss, rate, time.perf_counter() - began, improved)
        log.add(report)
        if on_epoch is not None:
            on_epoch(report)
        is_late = settings.deadline is not None and time.monotonic() >= settings.deadline
        if is_late or (patience is not None and progress.waited >= patience):
            log.stopped_early = epoch < epochs
            break
    model.set_weights(best_weights)
    return log


def predict_steps(
    model: keras.Model, values: FloatArray, starts: IntArray, sequence_length: int
) -> npt.NDArray[np.float32]:
    """The predictions of `model` for the rows after each window, in the units of its targets.

    Args:
        model: (B, L, D) -> (B, C, T).
        values: (N, D) scaled inputs.
        starts: (n,) first row of each window.
        sequence_length: rows of a window (L).

    Returns:
        (n, C, T), in the order of `starts`.
    """
    rows, batch_size = tf.constant(values, tf.float32), inference_batch(sequence_length)
    network = Steps(model)

    def forward(batch: tf.Tensor) -> tf.Tensor:
        with without_gradients():
            return network(network.gather(rows, batch), training=False)[0]  # (B,) -> (B, C, T)

    compiled = tf.function(forward, input_signature=[tf.TensorSpec([None], tf.int64)])
    parts = [
        compiled(tf.constant(starts[first : first + batch_size], tf.int64)).numpy()
        for first in range(0, len(starts), batch_size)
    ]
    return np.concatenate(parts) if parts else np.empty((0, network.steps, network.targets), np.float32)


def settle_batch_norm(model: keras.Model, steps_per_epoch: int) -> None:
    """Sets the momentum of batch normalisation so that its averages forget their initial values within one epoch.

    With Keras's momentum of 0.99 and 20 steps per epoch, 82% of the initial values would remain when the first
    validation uses the averages, and the validation loss would say more about them than about the weights. The momentum
    is chosen so that 1% remains after one epoch; from 459 steps on it is 0.99.
    """
    momentum = min(_SLOWEST_MOMENTUM, _LEFT_AFTER_ONE_EPOCH ** (1 / steps_per_epoch))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


class _Tensors:
    """The arrays of `WindowData` as tensors from which batches are gathered."""

    def __init__(self, data: WindowData) -> None:
        self.values = tf.constant(data.values, tf.float32)  # (N, D)
        self.targets = tf.constant(data.targets, tf.float32)  # (N, T)
        self.observed = tf.constant(data.observed, tf.float32)  # (N, T)
        self.sequence_length, self.horizon = data.sequence_length, data.horizon
        self.target_columns = list(data.target_columns)

    def batch(self, starts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(B,) -> all rows but the last (B, L + H - 1, D), targets (B, H, T), observed (B, H, T)."""
        first = starts + self.sequence_length  # (B,)
        rows = gather_windows(self.values, starts, self.sequence_length + self.horizon - 1)
        targets, observed = (gather_windows(part, first, self.horizon) for part in (self.targets, self.observed))
        return rows, targets, observed

    def forecasts(self, network: Steps, rows: tf.Tensor, training: bool) -> list[tf.Tensor]:
        """The forecast of each member, rolled over the whole horizon: (B, L + H - 1, D) -> (B, H, T) each.

        In a roll, the group's own features are replaced by the mean of the members' forecasts; all other columns keep
        their observed values.
        """
        length, steps = self.sequence_length, network.steps
        rolled = [network(rows[:, : length + steps - 1], training)]
        for first in range(steps, self.horizon, steps):
            mean = tf.add_n(rolled[-1]) / len(rolled[-1])  # (B, C, T)
            rows = self._replace(rows, first + length - steps, mean)
            rolled.append(network(rows[:, first : first + length + steps - 1], training))
        return [tf.concat(member, axis=1) for member in zip(*rolled, strict=True)]

    def _replace(self, rows: tf.Tensor, first: int, forecast: tf.Tensor) -> tf.Tensor:
        """Writes a forecast into the target columns of the rows from `first` on."""
        steps, width = forecast.shape[1], rows.shape[-1]
        places = np.zeros((len(self.target_columns), width), np.float32)
        places[np.arange(len(self.target_columns)), self.target_columns] = 1
        changed = tf.where(
            places.any(axis=0), tf.tensordot(forecast, places, 1), rows[:, first : first + steps]
        )  # (B, C, D)
        return tf.concat([rows[:, :first], changed, rows[:, first + steps :]], axis=1)


def _epoch_function(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: ErrorLoss, tensors: _Tensors, batch_size: int
) -> Pass:
    """Trains on some of an epoch's batches; the window starts (n,) are in training order."""
    members = Steps(member_outputs(model))

    def step(starts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, targets, observed = tensors.batch(starts)
        with tf.GradientTape() as tape:
            forecasts = tensors.forecasts(members, rows, training=True)
            sums = [masked_sums(loss, forecast, targets, observed) for forecast in forecasts]
            total, count = tf.add_n([each[0] for each in sums]), tf.add_n([each[1] for each in sums])
            # each member learns as if it were alone: the mean over all, times their number; losses: L2 penalties
            objective = tf.add_n([masked_mean(total, count) * len(sums), *members.model.losses])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(objective, variables), variables)
        return total, count

    def run_batches(order: tf.Tensor, first: tf.Tensor, last: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        size = tf.size(order, tf.int64)
        batches = (size + batch_size - 1) // batch_size
        total, count = sums[0], sums[1]
        for batch in tf.range(first, last):
            # Batches differ by at most one window: a last batch of only one or two windows would shift the moving
            # averages of batch normalisation just before they are used.
            step_total, step_count = step(order[batch * size // batches : (batch + 1) * size // batches])
            total, count = total + tf.cast(step_total, tf.float64), count + tf.cast(step_count, tf.float64)
        return tf.stack([total, count])

    return _compiled(run_batches)


def _validation_function(model: keras.Model, loss: ErrorLoss, tensors: _Tensors, batch_size: int) -> Pass:
    """Evaluates some of the batches of window starts (m,)."""
    network = Steps(model)

    def run_batches(starts: tf.Tensor, first: tf.Tensor, last: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        total, count = sums[0], sums[1]
        for batch in tf.range(first, last):
            rows, targets, observed = tensors.batch(starts[batch * batch_size : (batch + 1) * batch_size])
            with without_gradients():
                (forecast,) = tensors.forecasts(network, rows, training=False)
            step_total, step_count = masked_sums(loss, forecast, targets, observed)
            total, count = total + tf.cast(step_total, tf.float64), count + tf.cast(step_count, tf.float64)
        return tf.stack([total, count])

    return _compiled(run_batches)


def _compiled(function: Pass) -> Pass:
    """Traced once, for any number of windows."""
    integer = tf.TensorSpec([], tf.int64)
    signature = [tf.TensorSpec([None], tf.int64), integer, integer, tf.TensorSpec([2], tf.float64)]
    compiled: Pass = tf.function(function, input_signature=signature)
    return compiled


def _check(model: keras.Model, data: WindowData, validates: bool) -> None:
    """Rejects data that would train on nothing, or silently on the wrong numbers."""
    rows, length, network = len(data.values), data.sequence_length, Steps(model)
    expected = (length, data.values.shape[1]), (data.targets.shape[1],)
    got = (network.sequence_length, network.width), (network.targets,)
    if got != expected:
        raise ValueError(f"expected a network {expected[0]} -> {expected[1]} for this data, got {got[0]} -> {got[1]}")
    if data.targets.shape != data.observed.shape or len(data.targets) != rows:
        raise ValueError(
            f"expected {rows} rows of targets and of flags, got {data.targets.shape} and {data.observed.shape}"
        )
    if data.horizon > network.steps and len(data.target_columns) != network.targets:
        raise ValueError(f"expected {network.targets} target columns for a roll, got {len(data.target_columns)}")
    if data.horizon % network.steps:
        raise ValueError(f"expected the horizon to be a multiple of {network.steps} steps, got {data.horizon}")
    ahead = np.arange(data.horizon)
    parts = {"training": data.train_starts, "validation": data.validation_starts}
    for part, starts in parts.items() if validates else [("training", data.train_starts)]:
        if len(starts) == 0:
            raise TrainingError(
                f"{model.name}: no {part} windows. A window takes {counted(length, 'row')} and the {data.horizon} "
                "after it: provide more rows, a smaller sequence_length or different split ratios."
            )
        if starts.min() < 0 or starts.max() + length + data.horizon > rows:
            raise ValueError(
                f"expected {part} windows to start between 0 and {rows - length - data.horizon}, got {starts.min()} "
                f"to {starts.max()}"
            )
        if not any(data.observed[starts + length + step].any() for step in ahead):
            raise TrainingError(
                f"{model.name}: no observed target in {counted(len(starts), f'{part} window')}. All of the group's "
                "features are missing there: provide more data or different split ratios."
            )


def _require_finite(model: keras.Model, data: WindowData, epoch: int, loss: float, val_loss: float) -> None:
    if math.isfinite(loss) and math.isfinite(val_loss):
        return
    not_finite = int(np.count_nonzero(~np.isfinite(data.values)))
    if not_finite:
        inputs = f"{not_finite:,} of the input values are not finite"
    else:
        inputs = f"inputs reach {number(float(np.abs(data.values).max()))}, where well-scaled ones reach a few units"
    raise TrainingError(
        f"{model.name}: the loss is not finite in epoch {epoch} (training {loss}, validation {val_loss}); {inputs}. "
        "Lower learning_rate, use activation tanh instead of relu, or check the scaling (scale_features, scaler)."
    )
