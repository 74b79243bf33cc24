"""Windows as indices into one array: gathered when they are needed, never stored."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

_LARGEST_BATCH = 64  # 128 takes 5% longer, 512 takes 15%: the batch no longer fits in the cache
_ATTENTION_CELLS = 2**24  # 64 MB per head in float32
_ROW_CELLS = 2**24  # 64 MB of inputs


def gather_windows(values: tf.Tensor, starts: tf.Tensor, sequence_length: int) -> tf.Tensor:
    """The windows that start at `starts`: (N, D), (B,) -> (B, L, D)."""
    rows = starts[:, None] + tf.range(sequence_length, dtype=starts.dtype)  # (B, L)
    return tf.gather(values, rows)  # (B, L, D)


class Steps:
    """A network as a function of rows: a window and, if it reads the known future, the known columns of later rows.

    A row carries the calendar of the step after it. Therefore the known columns of the C forecast steps are in the last
    row of the window and in the C - 1 rows after it.

    Args:
        model: (B, L, D) -> (B, C, T), or with known future (B, L, D), (B, C, K) -> (B, C, T); with one output or a
            list of outputs. An output (B, T), as in earlier releases, is one step.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        window, *known = model.inputs
        shape = model.outputs[0].shape
        self.sequence_length, self.width = int(window.shape[1]), int(window.shape[2])
        self.known = int(known[0].shape[2]) if known else 0
        self.steps = int(shape[1]) if len(shape) == 3 else 1
        self.targets = int(shape[-1])

    def gather(self, values: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
        """The rows needed for the windows that start at `starts`: (N, D), (B,) -> (B, L, D) or (B, L + C - 1, D)."""
        return gather_windows(values, starts, self.sequence_length + (self.steps - 1 if self.known else 0))

    def __call__(self, rows: tf.Tensor, training: bool) -> list[tf.Tensor]:
        """(B, L + C - 1, D) -> (B, C, T) per output. Without known future, L rows are enough."""
        # layers need static lengths when they are traced, and slicing rows of unknown number loses them
        window = tf.ensure_shape(rows[:, : self.sequence_length], [None, self.sequence_length, self.width])
        last = self.sequence_length - 1
        future = rows[:, last : last + self.steps, self.width - self.known :]  # (B, C, K)
        outputs = self.model([window, future] if self.known else window, training=training)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        return [tf.reshape(output, [-1, self.steps, self.targets]) for output in outputs]


def inference_batch(sequence_length: int, width: int = 1) -> int:
    """How many windows (L, D) to pass through a network at once, without gradients.

    Attention compares every step with every other step, so the batch size for long windows is limited by L², and for
    thousands of columns by L · D.
    """
    by_attention = max(16, _ATTENTION_CELLS // sequence_length**2)
    return int(np.clip(_ROW_CELLS // (sequence_length * width), 1, min(by_attention, _LARGEST_BATCH)))
