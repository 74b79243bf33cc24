"""Roll an ensemble forward: all networks step together, what is predicted becomes the input of what comes after."""

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
from lstm_pipeline.network.runtime import cores


@dataclass(frozen=True)
class RollModel:
    """One group's network and the units it was trained in.

    Attributes:
        model: (B, L, D) -> (B, C, T), as built by `build_network`; members may differ in C, the steps a roll.
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

    def __init__(self, members: Sequence[RollModel], known_columns: IntArray, width: int) -> None:
        self._order = _column_order(members, known_columns, width)
        self._sequence_length = _sequence_length(members, width)
        self._known_count = len(known_columns)
        self._width = width
        self._members = [_CompiledModel(member) for member in members]
        self._stride = math.gcd(*(member.steps for member in self._members))
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

        def roll(first: int) -> npt.NDArray[np.float32]:
            part = (tf.constant(rows[first : first + chunk], tf.float32) for rows in (windows, known))
            return np.asarray(self._roll(*part))

        with ThreadPoolExecutor(cores()) as pool:  # within a part the steps wait for each other; parts do not
            return np.concatenate(list(pool.map(roll, range(0, max(1, len(windows)), chunk))))

    def _steps(self, window: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """(B, L, D), (B, H, K) -> (B, H, P).

        Each member forecasts anew when its last forecast is used up; the roll advances by the largest number of steps
        that divides all members' (S), mostly their own.
        """
        horizon, stride = tf.shape(known)[1], self._stride
        longest = max(member.steps for member in self._members)
        known = tf.concat([known, tf.repeat(known[:, -1:], longest, axis=1)], axis=1)  # a last forecast may be too long
        pieces = tf.TensorArray(tf.float32, size=-(-horizon // stride))
        chunks = [tf.zeros([tf.shape(window)[0], member.steps, member.targets]) for member in self._members]
        for piece in tf.range(-(-horizon // stride)):
            step = piece * stride
            chunks = [self._forecast(*pair, window, known, step) for pair in zip(self._members, chunks, strict=True)]
            places = [step % member.steps for member in self._members]
            used = [chunk[:, place : place + stride] for chunk, place in zip(chunks, places, strict=True)]
            predicted = tf.concat(used, axis=-1)  # (B, S, P)
            pieces = pieces.write(piece, predicted)
            rows = tf.concat([predicted, known[:, step : step + stride]], axis=-1)  # (B, S, P + K) in members' order
            rows = tf.gather(rows, self._order, axis=-1)  # (B, S, D) in the order of columns
            window = tf.concat([window, rows], axis=1)[:, -self._sequence_length :]  # (B, L, D)
            window = tf.ensure_shape(window, [None, self._sequence_length, self._width])
        rolled = tf.transpose(pieces.stack(), [1, 0, 2, 3])  # (H / S, B, S, P) -> (B, H / S, S, P)
        return tf.reshape(rolled, [tf.shape(window)[0], -1, rolled.shape[-1]])[:, :horizon]

    def _forecast(
        self, member: _CompiledModel, chunk: tf.Tensor, window: tf.Tensor, known: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        """The member's forecast that is in use at a step, (B, C, T): its last one, unless that is used up."""

        def anew() -> tf.Tensor:
            # of the steps that are forecast the first one's calendar stands in the window's last row
            future = known[:, step : step + member.steps - 1]
            return member(window, future)

        if member.steps == self._stride:
            return anew()
        return tf.cond(step % member.steps == 0, anew, lambda: chunk)


class _CompiledModel:
    """A member as a function of tensors in common units."""

    def __init__(self, member: RollModel) -> None:
        self._network = Steps(member.model)
        self.steps, self.targets = self._network.steps, self._network.targets
        self._input_scale = tf.constant(member.input_scale, tf.float32)
        self._input_shift = tf.constant(member.input_shift, tf.float32)
        self._output_scale = tf.constant(member.output_scale, tf.float32)
        self._output_shift = tf.constant(member.output_shift, tf.float32)

    def __call__(self, window: tf.Tensor, future: tf.Tensor) -> tf.Tensor:
        """Window (B, L, D), known columns of the C - 1 rows after it (B, C - 1, K) -> (B, C, T)."""
        rows = window
        if self._network.known:  # the last known columns are the calendar; nothing else of a future row is read
            calendar = future[..., -self._network.known :]
            unread = self._network.width - self._network.known
            rows = tf.concat([window, tf.pad(calendar, [[0, 0], [0, 0], [unread, 0]])], axis=1)
        outputs = self._network(rows * self._input_scale + self._input_shift, training=False)[0]
        return outputs * self._output_scale + self._output_shift


def _column_order(members: Sequence[RollModel], known_columns: IntArray, width: int) -> IntArray:
    """Where each column of a row stands among the members' columns followed by the known ones: (D,)."""
    columns = np.concatenate([*(member.columns for member in members), known_columns]).astype(np.int64)
    if sorted(columns.tolist()) != list(range(width)):
        raise ValueError(
            f"expected every column from 0 to {width - 1} once among the members' and the known columns, "
            f"got {columns.tolist()}"
        )
    return np.argsort(columns)


def _sequence_length(members: Sequence[RollModel], width: int) -> int:
    """The window length all members share, after a check that each fits its description."""
    if not members:
        raise ValueError("expected at least one member, got none")
    length = Steps(members[0].model).sequence_length
    for member in members:
        network = Steps(member.model)
        shapes = (network.sequence_length, network.width), (network.targets,)
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
