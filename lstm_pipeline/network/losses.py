"""The losses that training minimises, computed on observed targets only."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

ErrorLoss = Callable[[tf.Tensor], tf.Tensor]
HUBER_DELTA = 1.0  # in scaled units, so roughly one standard deviation


def _huber(error: tf.Tensor) -> tf.Tensor:
    size = tf.abs(error)
    return tf.where(size <= HUBER_DELTA, 0.5 * tf.square(error), HUBER_DELTA * (size - 0.5 * HUBER_DELTA))


LOSSES: dict[str, ErrorLoss] = {"mse": tf.square, "mae": tf.abs, "huber": _huber}
"""The loss of a single error, by the option's name; each is 0 at 0. Huber (1964) with `HUBER_DELTA`."""


def masked_sums(
    loss: ErrorLoss, prediction: tf.Tensor, target: tf.Tensor, observed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The sum of the losses of all observed targets, and their number; with sums, batches add up exactly.

    An unobserved target has no influence, whatever its value: its error is set to zero, not multiplied by zero, since
    0 · NaN is NaN in both value and gradient.

    Args:
        prediction, target, observed: (B, T); observed is 1 or 0.

    Returns:
        Two float32 scalars.
    """
    error = tf.where(observed > 0, target - prediction, 0.0)  # (B, T)
    return tf.reduce_sum(observed * loss(error)), tf.reduce_sum(observed)


def masked_mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """The mean loss of the observed targets; 0 if none was observed."""
    return total / tf.maximum(count, 1)
