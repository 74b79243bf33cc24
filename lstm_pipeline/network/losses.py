"""What a network is trained to make small: the error on the targets that were really observed."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

ErrorLoss = Callable[[tf.Tensor], tf.Tensor]
HUBER_DELTA = 1.0  # in scaled units, so about one standard deviation


def _huber(error: tf.Tensor) -> tf.Tensor:
    size = tf.abs(error)
    return tf.where(size <= HUBER_DELTA, 0.5 * tf.square(error), HUBER_DELTA * (size - 0.5 * HUBER_DELTA))


LOSSES: dict[str, ErrorLoss] = {"mse": tf.square, "mae": tf.abs, "huber": _huber}
"""Loss of one error, by the name of the option; each is 0 at 0. Huber (1964) with `HUBER_DELTA`."""


def masked_sums(
    loss: ErrorLoss, prediction: tf.Tensor, target: tf.Tensor, observed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of the losses of observed targets, and how many there are; sums so that batches add up exactly.

    An unobserved target has no influence, whatever it holds: its error is set to zero, not multiplied by zero, since
    0 · NaN is NaN in value and gradient.

    Args:
        prediction, target, observed: (B, T); observed is 1 or 0.

    Returns:
        Two float32 scalars.
    """
    error = tf.where(observed > 0, target - prediction, 0.0)  # (B, T)
    return tf.reduce_sum(observed * loss(error)), tf.reduce_sum(observed)


def masked_mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Mean loss of the observed targets; 0 where none was observed."""
    return total / tf.maximum(count, 1)
