"""This package's own Keras layers. A saved network needs this module imported before it is opened."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class FinalState(keras.layers.Layer):  # type: ignore[misc]
    """What a recurrent layer knows when it has read the whole window, taken from its sequence of outputs.

    A backward half has read the whole window at the *first* step; at the last step it has seen one row. So the state
    of a bidirectional layer is the forward half of the last step joined with the backward half of the first one.

    Args:
        bidirectional: the sequence is a concatenation of a forward and a backward half, in this order.

    Call arguments:
        sequence: (B, L, W); W even if bidirectional.

    Returns:
        (B, W)
    """

    def __init__(self, bidirectional: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def call(self, sequence: Any) -> Any:
        if not self.bidirectional:
            return sequence[:, -1]  # (B, L, W) -> (B, W)
        half = sequence.shape[-1] // 2
        forward = sequence[:, -1, :half]  # (B, L, W) -> (B, W/2)
        backward = sequence[:, 0, half:]  # (B, L, W) -> (B, W/2)
        return keras.ops.concatenate([forward, backward], axis=-1)  # (B, W)

    def compute_output_shape(self, sequence_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (sequence_shape[0], sequence_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bidirectional": self.bidirectional}


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class MeanSelfAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc]
    """Keras's attention of a sequence to itself, averaged over time; the same weights, a fraction of the work.

    The mean over the steps that query is taken of the attention weights, before anything is multiplied with them:
    what is read then is one row a head instead of one a step.

    Call arguments:
        sequence: (B, L, W)

    Returns:
        (B, W)
    """

    def build(self, sequence_shape: tuple[int | None, ...]) -> None:
        super().build(sequence_shape, sequence_shape)

    def call(self, sequence: Any) -> Any:
        wq, bq, wk, bk, wv, bv, wo, bo = (tf.convert_to_tensor(weight) for weight in self.weights)
        attention = mean_softmax(self._scores(sequence, wq, bq, wk))  # (B, H, L)
        read = tf.matmul(attention, sequence)  # (B, H, L), (B, L, W) -> (B, H, W)
        values = tf.einsum("bhw,whk->bhk", read, wv) + bv  # weights of a mean add up to 1, so bv stays as it is
        return tf.einsum("bhk,hkw->bw", values, wo) + bo + 0 * tf.reduce_sum(bk)  # see _scores

    def _scores(self, sequence: Any, wq: Any, bq: Any, wk: Any) -> Any:
        """How well each step answers each query: (B, L, W) -> (B, H, L, L).

        The bias of the keys is left out: it adds the same to all scores of a query, which a softmax does not see.
        """
        width, heads, size = wq.shape
        wq, bq = wq / size**0.5, bq / size**0.5
        if heads == 1:  # x wq (x wk)' = x (wq wk') x'
            wk = tf.transpose(wk[:, 0])  # (k, W)
            queries = tf.tensordot(sequence, wq[:, 0] @ wk, 1) + bq @ wk  # (B, L, W)
            return tf.matmul(queries, sequence, transpose_b=True)[:, None]
        kernel = tf.reshape(tf.concat([wq, wk], axis=1), [width, 2 * heads * size])
        both = tf.tensordot(sequence, kernel, 1)  # (B, L, 2 · H · k)
        shape = [-1, sequence.shape[1], heads, size]
        queries, keys = (tf.transpose(tf.reshape(part, shape), [0, 2, 1, 3]) for part in tf.split(both, 2, axis=-1))
        return tf.matmul(queries + bq[:, None], keys, transpose_b=True)  # (B, H, L, k) -> (B, H, L, L)

    def compute_output_shape(self, sequence_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (sequence_shape[0], sequence_shape[-1])

    def compute_output_spec(self, sequence: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(sequence.shape), dtype=self.compute_dtype)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def mean_softmax(scores: tf.Tensor) -> Any:
    """Softmax over the last axis, mean over the one before: (..., L, L) -> (..., L).

    With its own gradient: TensorFlow's would write the mean's gradient out L times.
    """
    shares = tf.nn.softmax(scores)

    def gradient(by_mean: tf.Tensor) -> tf.Tensor:
        by_mean = by_mean / tf.cast(tf.shape(scores)[-2], scores.dtype)
        by_query = tf.matmul(shares, by_mean[..., None])  # (..., L, 1)
        return shares * (by_mean[..., None, :] - by_query)

    return tf.reduce_mean(shares, axis=-2), gradient
