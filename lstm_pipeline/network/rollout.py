"""Rolls an ensemble forward: all networks step together, and their predictions are inputs of the next steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.network.batches import FloatArray, IntArray, Steps, inference_batch
from lstm_pipeline.network.gradients import without_gradients
from lstm_pipeline.network.runtime import cores


@dataclass(frozen=True)
class RollModel:
    """A group's network and the units it was trained in.

    Attributes:
        model: (B, L, D) -> (B, C, T), as built by `build_network`; C, the steps per pass, may differ between groups.
        columns: (T,) the columns of a row that the network predicts.
        input_scale, input_shift: (D,) common units · scale + shift = the units of the network's inputs.
        output_scale, output_shift: (T,) the network's outputs · scale + shift = common units.
    """

    model: keras.Model
    columns: IntArray
    input_scale: FloatArray
    input_shift: FloatArray
    output_scale: FloatArray
    output_shift: FloatArray


class RollOut:
    """Several groups' networks as one: from windows to the rows that follow them.

    Compiled on the first call, once for any number of origins and steps.

    Args:
        models: the groups' networks; no column is predicted by more than one of them.
        known_columns: (K,) the columns that no network predicts, whose future is given (calendar, context).
        width: columns in a row (D).

    Raises:
        ValueError: predicted and known columns are not a partition of all columns, or a network's shape does not fit.
    """

    def __init__(self, models: Sequence[RollModel], known_columns: IntArray, width: int) -> None:
        self._order = _column_order(models, known_columns, width)
        self._sequence_length = _sequence_length(models, width)
        self._known_count = len(known_columns)
        self._width = width
        self._models = [_CompiledModel(model) for model in models]
        self._stride = math.gcd(*(model.steps for model in self._models))
        self._roll = tf.function(
            self._steps,
            input_signature=[
                tf.TensorSpec([None, self._sequence_length, width], tf.float32),
                tf.TensorSpec([None, None, self._known_count], tf.float32),
            ],
        )

    def __call__(self, windows: FloatArray, known: FloatArray) -> npt.NDArray[np.float32]:
        """Predicts the H rows after each window.

        Args:
            windows: (B, L, D) in common units.
            known: (B, H, K) the known columns of each predicted row, in the order of `known_columns`. `known[:, h]`
                belongs to the same row as the predictions of step h; it is an input from step h + 1 on.

        Returns:
            (B, H, P) predictions in common units; P: the predicted columns, one network after the other.

        Raises:
            ValueError: the shapes do not fit.
        """
        if windows.ndim != 3 or windows.shape[1:] != (self._sequence_length, self._width):
            raise ValueError(f"expected windows (B, {self._sequence_length}, {self._width}), got {windows.shape}")
        if known.ndim != 3 or known.shape[0] != len(windows) or known.shape[2] != self._known_count:
            raise ValueError(f"expected known values ({len(windows)}, H, {self._known_count}), got {known.shape}")
        chunk = inference_batch(self._sequence_length)

        def roll(first: int) -> npt.NDArray[np.float32]:
            part = (tf.constant(rows[first : first + chunk], tf.float32) for rows in (windows, known))
            return np.asarray(self._roll(*part))

        with ThreadPoolExecutor(cores()) as pool:  # the steps of a part depend on each other; parts do not
            return np.concatenate(list(pool.map(roll, range(0, max(1, len(windows)), chunk))))

    def _steps(self, window: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """(B, L, D), (B, H, K) -> (B, H, P).

        Each network makes a new forecast when its last one is used up. The roll advances by the greatest common
        divisor of the networks' steps (S), which is usually the number they all have.
        """
        horizon, stride = tf.shape(known)[1], self._stride
        longest = max(model.steps for model in self._models)
        known = tf.concat([known, tf.repeat(known[:, -1:], longest, axis=1)], axis=1)  # the last pass may exceed H
        pieces = tf.TensorArray(tf.float32, size=-(-horizon // stride))
        chunks = [tf.zeros([tf.shape(window)[0], model.steps, model.targets]) for model in self._models]
        for piece in tf.range(-(-horizon // stride)):
            step = piece * stride
            chunks = [self._forecast(*pair, window, known, step) for pair in zip(self._models, chunks, strict=True)]
            places = [step % model.steps for model in self._models]
            used = [chunk[:, place : place + stride] for chunk, place in zip(chunks, places, strict=True)]
            predicted = tf.concat(used, axis=-1)  # (B, S, P)
            pieces = pieces.write(piece, predicted)
            rows = tf.concat([predicted, known[:, step : step + stride]], axis=-1)  # (B, S, P + K) in the models' order
            rows = tf.gather(rows, self._order, axis=-1)  # (B, S, D) in the order of columns
            window = tf.concat([window, rows], axis=1)[:, -self._sequence_length :]  # (B, L, D)
            window = tf.ensure_shape(window, [None, self._sequence_length, self._width])
        rolled = tf.transpose(pieces.stack(), [1, 0, 2, 3])  # (H / S, B, S, P) -> (B, H / S, S, P)
        return tf.reshape(rolled, [tf.shape(window)[0], -1, rolled.shape[-1]])[:, :horizon]

    def _forecast(
        self, model: _CompiledModel, chunk: tf.Tensor, window: tf.Tensor, known: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        """The network's forecast in use at a step, (B, C, T): the last one, or a new one if that is used up."""

        def new_chunk() -> tf.Tensor:
            # the calendar of the first forecast step is in the last row of the window
            future = known[:, step : step + model.steps - 1]
            return model(window, future)

        if model.steps == self._stride:
            return new_chunk()
        return tf.cond(step % model.steps == 0, new_chunk, lambda: chunk)


class _CompiledModel:
    """A network as a function of tensors in common units."""

    def __init__(self, model: RollModel) -> None:
        self._network = Steps(model.model)
        self.steps, self.targets = self._network.steps, self._network.targets
        self._input_scale = tf.constant(model.input_scale, tf.float32)
        self._input_shift = tf.constant(model.input_shift, tf.float32)
        self._output_scale = tf.constant(model.output_scale, tf.float32)
        self._output_shift = tf.constant(model.output_shift, tf.float32)

    def __call__(self, window: tf.Tensor, future: tf.Tensor) -> tf.Tensor:
        """Window (B, L, D), known columns of the C - 1 rows after it (B, C - 1, K) -> (B, C, T)."""
        rows = window
        if self._network.known:  # the last known columns; no other column of a future row is read
            calendar = future[..., -self._network.known :]
            unread = self._network.width - self._network.known
            rows = tf.concat([window, tf.pad(calendar, [[0, 0], [0, 0], [unread, 0]])], axis=1)
        with without_gradients():
            outputs = self._network(rows * self._input_scale + self._input_shift, training=False)[0]
        return outputs * self._output_scale + self._output_shift


def _column_order(models: Sequence[RollModel], known_columns: IntArray, width: int) -> IntArray:
    """The position of each column of a row among the predicted columns followed by the known ones: (D,)."""
    columns = np.concatenate([*(model.columns for model in models), known_columns]).astype(np.int64)
    if sorted(columns.tolist()) != list(range(width)):
        raise ValueError(
            f"expected every column from 0 to {width - 1} exactly once among the predicted and the known columns, "
            f"got {columns.tolist()}"
        )
    return np.argsort(columns)


def _sequence_length(models: Sequence[RollModel], width: int) -> int:
    """The window length that all networks share; also checks that each network fits its description."""
    if not models:
        raise ValueError("expected at least one model, got none")
    length = Steps(models[0].model).sequence_length
    for model in models:
        network = Steps(model.model)
        shapes = (network.sequence_length, network.width), (network.targets,)
        expected = (length, width), (len(model.columns),)
        if shapes != expected:
            raise ValueError(
                f"{model.model.name}: expected a network {expected[0]} -> {expected[1]}, got {shapes[0]} -> {shapes[1]}"
            )
        for name, count in (("input", width), ("output", len(model.columns))):
            scale, shift = getattr(model, f"{name}_scale"), getattr(model, f"{name}_shift")
            if scale.shape != (count,) or shift.shape != (count,):
                raise ValueError(
                    f"{model.model.name}: expected {name} scale and shift of shape ({count},), got {scale.shape} "
                    f"and {shift.shape}"
                )
    return length
