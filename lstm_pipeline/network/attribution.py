"""Integrated gradients: which numbers of a window moved a network's forecast, and how far."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.network.batches import Steps, inference_batch

_FEWEST, _MOST = 32, 512


@dataclass(frozen=True)
class Attributions:
    """What each number that a network reads adds to its forecast, compared with a baseline.

    Attributes:
        values: (T, R, D) for each target, in the network's units; their sum is the difference of the two forecasts.
        forecast, baseline: (T,) the network's mean forecast over the steps from the rows, and from the baseline.
        points: how many points of the path between them were used.
    """

    values: npt.NDArray[np.float64]
    forecast: npt.NDArray[np.float64]
    baseline: npt.NDArray[np.float64]
    points: int

    @property
    def gaps(self) -> npt.NDArray[np.float64]:
        """(T,) by how much the sum of the values misses the difference of the forecasts."""
        return np.asarray(np.abs(self.values.sum(axis=(1, 2)) - (self.forecast - self.baseline)))


def integrated_gradients(
    model: keras.Model,
    rows: npt.NDArray[np.float32],
    baseline: npt.NDArray[np.float32],
    steps: int | None = None,
    tolerance: float = 0.002,
) -> Attributions:
    """Integrates the gradient of a network's forecast along the straight path from a baseline.

    The method is that of Sundararajan, Taly & Yan 2017. The integral is computed by Gauss–Legendre quadrature with 32
    points, and twice as many until the values of every target add up to the difference of the forecasts, up to 512.

    Args:
        model: (B, L, D) -> (B, C, T), or with known future (B, L, D), (B, C, K) -> (B, C, T).
        rows: (R, D) what is read, in the network's units: a window and, if the known future is read, the C - 1 rows
            after it.
        baseline: (R, D) what it is compared with.
        steps: forecast steps whose mean is explained; None for all C.
        tolerance: largest gap, as a share of the difference of the forecasts or, if that is smaller, of 0.01.

    Raises:
        ValueError: the shapes do not fit.
    """
    network = Steps(model)
    expected = (network.sequence_length + (network.steps - 1 if network.known else 0), network.width)
    if rows.shape != expected or baseline.shape != expected:
        raise ValueError(f"expected rows and a baseline {expected}, got {rows.shape} and {baseline.shape}")
    averaged = min(steps or network.steps, network.steps)

    def mean_forecast(points: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(network(points, training=False)[0][:, :averaged], axis=1)  # (B, T)

    # the fused LSTM has no XLA kernel
    @tf.function(  # type: ignore[untyped-decorator]
        jit_compile=False,
        input_signature=[tf.TensorSpec([None, *expected], tf.float32), tf.TensorSpec([], tf.int32)],
    )
    def gradient(points: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            total = tf.reduce_sum(tf.gather(mean_forecast(points), target, axis=1))
        return tape.gradient(total, points, unconnected_gradients=tf.UnconnectedGradients.ZERO)  # (B, R, D)

    ends = np.asarray(mean_forecast(tf.constant(np.stack([rows, baseline]))), np.float64)  # (2, T)
    allowed = tolerance * np.maximum(np.abs(ends[0] - ends[1]), 0.01)
    chunk, difference = inference_batch(network.sequence_length), (rows - baseline).astype(np.float64)
    values = np.zeros((network.targets, *expected))
    wanted, count = np.arange(network.targets), _FEWEST
    while True:
        places, weights = np.polynomial.legendre.leggauss(count)
        path = (baseline + ((places + 1) / 2)[:, None, None] * difference).astype(np.float32)  # (points, R, D)
        for target in wanted:
            mean = np.zeros(expected)
            for part in (slice(begin, begin + chunk) for begin in range(0, count, chunk)):
                slopes = gradient(tf.constant(path[part]), tf.constant(int(target)))
                mean += np.tensordot(weights[part] / 2, np.asarray(slopes, np.float64), 1)
            values[target] = mean * difference
        found = Attributions(values, ends[0], ends[1], count)
        wanted = np.flatnonzero(found.gaps > allowed)
        if not len(wanted) or count >= _MOST:
            return found
        count *= 2


def known_columns(model: keras.Model) -> int:
    """How many columns of the steps to come a network reads; 0 if it reads its window alone."""
    return Steps(model).known
