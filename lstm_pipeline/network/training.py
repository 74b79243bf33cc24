"""Train one group's network: a compiled loop over windows gathered by index.

No `fit` and no `tf.data`: the series fits in memory, and a data pipeline costs more than it brings at these sizes
(tearing down an autotuned iterator alone can take seconds an epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.network.batches import FloatArray, IntArray, gather_windows, inference_batch
from lstm_pipeline.network.losses import LOSSES, ErrorLoss, masked_mean, masked_sums
from lstm_pipeline.network.schedules import LearningRate, Progress
from lstm_pipeline.spec.errors import TrainingError
from lstm_pipeline.spec.model_options import ModelOptions

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
    """What one group trains on.

    Window i covers rows `starts[i]` to `starts[i] + L - 1`; its target is row `starts[i] + L`.

    Attributes:
        values: (N, D) scaled inputs; every window is a view into them.
        targets: (N, T) scaled targets; missing ones hold 0.
        observed: (N, T) 1 where a target was really observed, else 0: only those count in the loss.
        train_starts: (n,) first rows of the training windows.
        validation_starts: (m,) first rows of the validation windows.
        sequence_length: rows a window has (L).
    """

    values: FloatArray
    targets: FloatArray
    observed: FloatArray
    train_starts: IntArray
    validation_starts: IntArray
    sequence_length: int


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch.

    Attributes:
        epoch, epochs: its number, from 1, and the most there can be.
        loss: mean loss of the observed training targets while training (dropout on), without the L2 penalty.
        val_loss: mean loss of the observed validation targets after the epoch (dropout off), without the penalty.
        learning_rate: the rate it was trained with.
        seconds: time for training and validation.
        improved: its validation loss is the lowest so far.
    """

    epoch: int
    epochs: int
    loss: float
    val_loss: float
    learning_rate: float
    seconds: float
    improved: bool


@dataclass
class History:
    """A training run, epoch by epoch (see `EpochReport`); the weights kept are those of `best_epoch`, from 1."""

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
        """Lists and numbers only, for JSON."""
        return asdict(self)


def train(
    model: keras.Model,
    data: WindowData,
    options: ModelOptions,
    *,
    epochs: int,
    patience: int,
    batch_size: int,
    seed: int,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> History:
    """Train `model` in place; it ends with the weights of the epoch with the lowest validation loss.

    The same model, data, options and seed give the same weights, bit for bit, on one machine, whatever else trains
    at the same time.

    Args:
        model: (B, L, D) -> (B, T), as built by `build_network`.
        data: windows and targets.
        options: loss, optimizer, learning rate and its schedule, min_delta.
        epochs: most epochs to train, from 1.
        patience: epochs without progress that end training, from 1.
        batch_size: most windows a step; an epoch's windows are dealt out evenly to as few batches as this allows.
        seed: for the order of the windows.
        on_epoch: called after each epoch. An exception it raises ends training and is passed on.

    Raises:
        TrainingError: there is nothing to train or to validate on, or a loss is not finite.
        ValueError: shapes do not fit together.
    """
    _check(model, data)
    optimizer = _OPTIMIZERS[options.optimizer](learning_rate=options.learning_rate)
    optimizer.build(model.trainable_variables)
    settle_batch_norm(model, steps_per_epoch=math.ceil(len(data.train_starts) / batch_size))
    loss, tensors = LOSSES[options.loss], _Tensors(data)
    run_epoch = _epoch_function(model, optimizer, loss, tensors, batch_size)
    validate = _validation_function(model, loss, tensors)
    validation_starts = tf.constant(data.validation_starts, tf.int64)
    rates = LearningRate(options.learning_rate_schedule, options.learning_rate, epochs, patience)
    progress, history, generator = Progress(options.min_delta), History(), np.random.default_rng(seed)
    best_weights = model.get_weights()

    for epoch in range(1, epochs + 1):
        began, rate = time.perf_counter(), rates.at(epoch)
        optimizer.learning_rate.assign(rate)
        train_loss = float(run_epoch(tf.constant(generator.permutation(data.train_starts), tf.int64)))
        val_loss = float(validate(validation_starts))
        _require_finite(model, data, epoch, train_loss, val_loss)
        improved = progress.update(epoch, val_loss)
        rates.update(progressed=progress.waited == 0)
        if improved:
            best_weights = model.get_weights()
        report = EpochReport(epoch, epochs, train_loss, val_loss, rate, time.perf_counter() - began, improved)
        history.add(report)
        if on_epoch is not None:
            on_epoch(report)
        if progress.waited >= patience:
            history.stopped_early = epoch < epochs
            break
    model.set_weights(best_weights)
    return history


def predict_one_step(
    model: keras.Model, values: FloatArray, starts: IntArray, sequence_length: int, batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """What `model` predicts for the row after each window, in the units of its targets.

    Args:
        model: (B, L, D) -> (B, T).
        values: (N, D) scaled inputs.
        starts: (n,) first row of each window.
        sequence_length: rows a window has (L).
        batch_size: windows at once.

    Returns:
        (n, T), in the order of `starts`.
    """
    rows = tf.constant(values, tf.float32)  # (N, D)

    def forward(batch: tf.Tensor) -> tf.Tensor:
        return model(gather_windows(rows, batch, sequence_length), training=False)  # (B,) -> (B, T)

    compiled = tf.function(forward, input_signature=[tf.TensorSpec([None], tf.int64)])
    parts = [
        compiled(tf.constant(starts[first : first + batch_size], tf.int64)).numpy()
        for first in range(0, len(starts), batch_size)
    ]
    return np.concatenate(parts) if parts else np.empty((0, model.output_shape[-1]), np.float32)


def settle_batch_norm(model: keras.Model, steps_per_epoch: int) -> None:
    """Let the moving averages of batch normalisation forget their initial values within one epoch.

    With Keras's momentum of 0.99 and 20 steps an epoch, 82% of what the averages started with would still be in them
    when the first validation uses them, and the validation loss would tell more about that than about the weights.
    The momentum is chosen so that 1% is left after one epoch; from 459 steps on it is 0.99.
    """
    momentum = min(_SLOWEST_MOMENTUM, _LEFT_AFTER_ONE_EPOCH ** (1 / steps_per_epoch))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


class _Tensors:
    """The arrays of `WindowData` as tensors, of which batches are gathered."""

    def __init__(self, data: WindowData) -> None:
        self.values = tf.constant(data.values, tf.float32)  # (N, D)
        self.targets = tf.constant(data.targets, tf.float32)  # (N, T)
        self.observed = tf.constant(data.observed, tf.float32)  # (N, T)
        self.sequence_length = data.sequence_length

    def batch(self, starts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(B,) -> windows (B, L, D), targets (B, T), observed (B, T)."""
        target_rows = starts + self.sequence_length  # (B,)
        windows = gather_windows(self.values, starts, self.sequence_length)
        return windows, tf.gather(self.targets, target_rows), tf.gather(self.observed, target_rows)


def _epoch_function(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: ErrorLoss, tensors: _Tensors, batch_size: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """One compiled call an epoch: window starts in training order (n,) -> mean loss of all observed targets."""

    def step(starts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        windows, targets, observed = tensors.batch(starts)
        with tf.GradientTape() as tape:
            total, count = masked_sums(loss, model(windows, training=True), targets, observed)
            objective = tf.add_n([masked_mean(total, count), *model.losses])  # model.losses: the L2 penalties
        optimizer.apply(tape.gradient(objective, model.trainable_variables), model.trainable_variables)
        return total, count

    def run_epoch(order: tf.Tensor) -> tf.Tensor:
        size = tf.size(order, tf.int64)
        batches = (size + batch_size - 1) // batch_size
        total, count = tf.zeros((), tf.float64), tf.zeros((), tf.float64)
        for batch in tf.range(batches):
            # Batches differ by one window at most: a last batch of one or two windows would shift the moving
            # averages of batch normalisation just before they are used.
            step_total, step_count = step(order[batch * size // batches : (batch + 1) * size // batches])
            total, count = total + tf.cast(step_total, tf.float64), count + tf.cast(step_count, tf.float64)
        return masked_mean(total, count)

    return _compiled(run_epoch)


def _validation_function(model: keras.Model, loss: ErrorLoss, tensors: _Tensors) -> Callable[[tf.Tensor], tf.Tensor]:
    """One compiled pass: window starts (m,) -> mean loss of all observed targets."""
    batch_size = inference_batch(tensors.sequence_length)

    def validate(starts: tf.Tensor) -> tf.Tensor:
        total, count = tf.zeros((), tf.float64), tf.zeros((), tf.float64)
        for first in tf.range(0, tf.size(starts, tf.int64), batch_size):
            windows, targets, observed = tensors.batch(starts[first : first + batch_size])
            step_total, step_count = masked_sums(loss, model(windows, training=False), targets, observed)
            total, count = total + tf.cast(step_total, tf.float64), count + tf.cast(step_count, tf.float64)
        return masked_mean(total, count)

    return _compiled(validate)


def _compiled(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Traced once, for any number of windows."""
    compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        function, input_signature=[tf.TensorSpec([None], tf.int64)]
    )
    return compiled


def _check(model: keras.Model, data: WindowData) -> None:
    """Refuse what would train on nothing, or on the wrong numbers without a sound."""
    rows, length = len(data.values), data.sequence_length
    expected = (length, data.values.shape[1]), (data.targets.shape[1],)
    got = tuple(model.input_shape[1:]), tuple(model.output_shape[1:])
    if got != expected:
        raise ValueError(f"expected a network {expected[0]} -> {expected[1]} for this data, got {got[0]} -> {got[1]}")
    if data.targets.shape != data.observed.shape or len(data.targets) != rows:
        raise ValueError(
            f"expected {rows} rows of targets and as many flags, got {data.targets.shape} and {data.observed.shape}"
        )
    for part, starts in (("training", data.train_starts), ("validation", data.validation_starts)):
        if len(starts) == 0:
            raise TrainingError(
                f"{model.name}: no {part} windows. One window takes {length} rows and the row after them: provide "
                "more rows, a smaller sequence_length, or other split ratios."
            )
        if starts.min() < 0 or starts.max() + length >= rows:
            raise ValueError(
                f"expected {part} windows that start between 0 and {rows - length - 1}, got {starts.min()} to "
                f"{starts.max()}"
            )
        if not data.observed[starts + length].any():
            raise TrainingError(
                f"{model.name}: not one observed target among {len(starts)} {part} windows. All its features are "
                "missing there: provide more data or other split ratios."
            )


def _require_finite(model: keras.Model, data: WindowData, epoch: int, loss: float, val_loss: float) -> None:
    if math.isfinite(loss) and math.isfinite(val_loss):
        return
    not_finite = int(np.count_nonzero(~np.isfinite(data.values)))
    if not_finite:
        inputs = f"{not_finite} input values are not finite"
    else:
        inputs = f"inputs reach {np.abs(data.values).max():.3g} (a few units when well scaled)"
    raise TrainingError(
        f"{model.name}: the loss is not finite in epoch {epoch} (training {loss}, validation {val_loss}); {inputs}. "
        "Lower learning_rate, use activation tanh instead of relu, or look at the scaling (scale_features, scaler)."
    )
