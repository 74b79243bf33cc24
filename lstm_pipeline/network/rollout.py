"""Roll an ensemble forward: all networks step together, each step's predictions are the next step's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.network.batches import FloatArray, IntArray, inference_batch


@dataclass(frozen=True)
class RollMember:
    """One group's network and the units it was trained in.

    Attributes:
        model: (B, L, D) -> (B, T).
        columns: (T,) the columns of a row that it predicts.
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
    """Several networks as one: from windows to the rows that follow them.

    Compiled on the first call, once for all numbers of origins and steps.

    Args:
        members: the groups' networks; together they predict each of their columns once.
        known_columns: (K,) the columns no member predicts, whose future is given (calendar, context).
        width: columns a row has (D).

    Raises:
        ValueError: members and known columns are not a partition of the columns, or a network's shape does not fit.
    """

    def __init__(self, members: Sequence[RollMember], known_columns: IntArray, width: int) -> None:
        self._order = _column_order(members, known_columns, width)
        self._sequence_length = _sequence_length(members, width)
        self._known_count = len(known_columns)
        self._width = width
        self._members = [_CompiledMember(member) for member in members]
        self._roll = tf.function(
            self._steps,
            input_signature=[
                tf.TensorSpec([None, self._sequence_length, width], tf.float32),
                tf.TensorSpec([None, None, self._known_count], tf.float32),
            ],
        )

    def __call__(self, windows: FloatArray, known: FloatArray) -> npt.NDArray[np.float32]:
        """Predict the H rows after each window.

        Args:
            windows: (B, L, D) in common units.
            known: (B, H, K) the known columns of each predicted row, in the order of `known_columns`. What
                `known[:, h]` holds stands in the same row as the predictions of step h; it is an input from step
                h + 1 on.

        Returns:
            (B, H, P) predictions in common units; P: the members' columns, one member after the other.

        Raises:
            ValueError: the shapes do not fit.
        """
        if windows.ndim != 3 or windows.shape[1:] != (self._sequence_length, self._width):
            raise ValueError(f"expected windows (B, {self._sequence_length}, {self._width}), got {windows.shape}")
        if known.ndim != 3 or known.shape[0] != len(windows) or known.shape[2] != self._known_count:
            raise ValueError(f"expected known values ({len(windows)}, H, {self._known_count}), got {known.shape}")
        chunk = inference_batch(self._sequence_length)
        parts = [
            self._roll(
                tf.constant(windows[first : first + chunk], tf.float32),
                tf.constant(known[first : first + chunk], tf.float32),
            ).numpy()
            for first in range(0, max(1, len(windows)), chunk)
        ]
        return np.concatenate(parts)

    def _steps(self, window: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """(B, L, D), (B, H, K) -> (B, H, P)."""
        horizon = tf.shape(known)[1]
        rows = tf.TensorArray(tf.float32, size=horizon)
        for step in tf.range(horizon):
            predicted = tf.concat([member(window) for member in self._members], axis=-1)  # (B, P)
            rows = rows.write(step, predicted)
            row = tf.concat([predicted, known[:, step]], axis=-1)  # (B, P + K) in members' order
            row = tf.gather(row, self._order, axis=-1)  # (B, D) in the order of columns
            window = tf.concat([window[:, 1:], row[:, None]], axis=1)  # (B, L, D)
        return tf.transpose(rows.stack(), [1, 0, 2])  # (H, B, P) -> (B, H, P)


class _CompiledMember:
    """A member as a function of tensors in common units."""

    def __init__(self, member: RollMember) -> None:
        self._model = member.model
        self._input_scale = tf.constant(member.input_scale, tf.float32)
        self._input_shift = tf.constant(member.input_shift, tf.float32)
        self._output_scale = tf.constant(member.output_scale, tf.float32)
        self._output_shift = tf.constant(member.output_shift, tf.float32)

    def __call__(self, window: tf.Tensor) -> tf.Tensor:
        inputs = window * self._input_scale + self._input_shift  # (B, L, D)
        outputs = self._model(inputs, training=False)  # (B, L, D) -> (B, T)
        return outputs * self._output_scale + self._output_shift  # (B, T)


def _column_order(members: Sequence[RollMember], known_columns: IntArray, width: int) -> IntArray:
    """Where each column of a row stands among the members' columns followed by the known ones: (D,)."""
    columns = np.concatenate([*(member.columns for member in members), known_columns]).astype(np.int64)
    if sorted(columns.tolist()) != list(range(width)):
        raise ValueError(
            f"expected every column from 0 to {width - 1} once among the members' and the known columns, "
            f"got {columns.tolist()}"
        )
    return np.argsort(columns)


def _sequence_length(members: Sequence[RollMember], width: int) -> int:
    """The window length all members share, after a check that each fits its description."""
    if not members:
        raise ValueError("expected at least one member, got none")
    length = int(members[0].model.input_shape[1])
    for member in members:
        shapes = tuple(member.model.input_shape[1:]), tuple(member.model.output_shape[1:])
        expected = (length, width), (len(member.columns),)
        if shapes != expected:
            raise ValueError(
                f"{member.model.name}: expected a network {expected[0]} -> {expected[1]}, "
                f"got {shapes[0]} -> {shapes[1]}"
            )
        for name, count in (("input", width), ("output", len(member.columns))):
            scale, shift = getattr(member, f"{name}_scale"), getattr(member, f"{name}_shift")
            if scale.shape != (count,) or shift.shape != (count,):
                raise ValueError(
                    f"{member.model.name}: expected {name} scale and shift of shape ({count},), got {scale.shape} "
                    f"and {shift.shape}"
                )
    return length
