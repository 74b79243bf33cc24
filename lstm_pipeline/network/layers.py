"""This package's own Keras layers. This module must be imported before a saved network is loaded."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lstm_pipeline.network.gradients import gradients_wanted


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class FinalState(keras.layers.Layer):  # type: ignore[misc]
    """The state of a recurrent layer after it has read the whole window, taken from its sequence of outputs.

    The backward half has read the whole window at the *first* step; at the last step it has seen only one row. So the
    state of a bidirectional layer is the forward half of the last step and the backward half of the first step.

    Args:
        bidirectional: whether the sequence is a concatenation of a forward and a backward half, in this order.

    Call arguments:
        sequence: (B, L, W); W is even if bidirectional.

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
    """Keras's self-attention, averaged over time, with the same weights and a fraction of the work.

    The mean over the querying steps is taken of the attention weights, before anything is multiplied by them. That
    leaves one row per head to compute instead of one per step.

    Call arguments:
        sequence: (B, L, W)

    Returns:
        (B, W)
    """

    def build(self, sequence_shape: tuple[int | None, ...]) -> None:
        super().build(sequence_shape, sequence_shape)

    def call(self, sequence: Any) -> Any:
        wq, bq, wk, bk, wv, bv, wo, bo = (tf.convert_to_tensor(weight) for weight in self.weights)
        queries, keys = self._queries_and_keys(sequence, wq, bq, wk)  # (B · H, L, k)
        attention = mean_attention(queries, keys)  # (B · H, L)
        attention = tf.reshape(attention, [-1, wq.shape[1], sequence.shape[1]])  # (B, H, L)
        read = tf.matmul(attention, sequence)  # (B, H, L), (B, L, W) -> (B, H, W)
        values = tf.einsum("bhw,whk->bhk", read, wv) + bv  # the weights add up to 1, so bv is unchanged
        # the bias of the keys has no effect, see below; optimizers need a gradient for it, which is zero
        return tf.einsum("bhk,hkw->bw", values, wo) + bo + 0 * tf.reduce_sum(bk)

    def _queries_and_keys(self, sequence: Any, wq: Any, bq: Any, wk: Any) -> tuple[Any, Any]:
        """The query and the key of each step: (B, L, W) -> (B · H, L, k) each.

        The bias of the keys is left out: it adds the same to all scores of a query, which does not affect a softmax.
        """
        width, heads, size = wq.shape
        wq, bq = wq / size**0.5, bq / size**0.5
        if heads == 1:  # x wq (x wk)' = x (wq wk') x'
            wk = tf.transpose(wk[:, 0])  # (k, W)
            return tf.tensordot(sequence, wq[:, 0] @ wk, 1) + bq @ wk, sequence  # (B, L, W)
        kernel = tf.reshape(tf.concat([wq, wk], axis=1), [width, 2 * heads * size])
        both = tf.tensordot(sequence, kernel, 1)  # (B, L, 2 · H · k)
        shape = [-1, sequence.shape[1], heads, size]
        queries, keys = (tf.transpose(tf.reshape(part, shape), [0, 2, 1, 3]) for part in tf.split(both, 2, axis=-1))
        flat = [-1, sequence.shape[1], size]
        return tf.reshape(queries + bq[:, None], flat), tf.reshape(keys, flat)

    def compute_output_shape(self, sequence_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (sequence_shape[0], sequence_shape[-1])

    def compute_output_spec(self, sequence: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(sequence.shape), dtype=self.compute_dtype)


def mean_attention(queries: Any, keys: Any) -> Any:
    """The attention weight of each step, averaged over the querying steps: (N, L, k), (N, L, k) -> (N, L).

    Long windows have more scores (L² each) than fit in a cache or a small machine's memory. They are processed a few
    windows at a time, and computed again for the gradient instead of being stored.
    """
    scores = queries.shape[1] ** 2
    if scores <= _FEW_SCORES:
        pairs = tf.matmul(queries, keys, transpose_b=True)
        return mean_softmax(pairs) if gradients_wanted() else tf.reduce_mean(tf.nn.softmax(pairs), axis=-2)
    at_once = tf.constant(max(1, _SCORES_AT_ONCE // scores))
    return _sliced_attention(queries, keys, at_once) if gradients_wanted() else _sliced(queries, keys, at_once)


_FEW_SCORES, _SCORES_AT_ONCE = 2**16, 2**20


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _sliced_attention(queries: tf.Tensor, keys: tf.Tensor, at_once: tf.Tensor) -> Any:
    """`_sliced` with its own gradient."""

    def gradient(by_mean: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        def slice_gradient(first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            query, key, shares = _slice_scores(queries, keys, first, at_once)
            by_scores = _by_scores(shares, by_mean[first : first + at_once])
            return tf.matmul(by_scores, key), tf.matmul(by_scores, query, transpose_a=True)

        by_queries, by_keys = _in_slices(slice_gradient, tf.shape(queries)[0], at_once, outputs=2)
        return by_queries, by_keys, None

    return _sliced(queries, keys, at_once), gradient


def _sliced(queries: tf.Tensor, keys: tf.Tensor, at_once: tf.Tensor) -> tf.Tensor:
    """`mean_attention`, `at_once` windows at a time."""

    def read(first: tf.Tensor) -> tuple[tf.Tensor]:
        return (tf.reduce_mean(_slice_scores(queries, keys, first, at_once)[2], axis=-2),)

    return _in_slices(read, tf.shape(queries)[0], at_once, outputs=1)[0]


def _slice_scores(
    queries: tf.Tensor, keys: tf.Tensor, first: tf.Tensor, at_once: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Queries, keys and softmax of the scores (n, L, L) of the `at_once` windows from `first` on."""
    query, key = queries[first : first + at_once], keys[first : first + at_once]
    return query, key, tf.nn.softmax(tf.matmul(query, key, transpose_b=True))


def _in_slices(function: Any, count: tf.Tensor, at_once: tf.Tensor, outputs: int) -> list[tf.Tensor]:
    """Calls a function with the first row of each slice, one slice after the other, and joins the results."""
    slices = (count + at_once - 1) // at_once
    arrays = tuple(tf.TensorArray(tf.float32, slices, infer_shape=False) for _ in range(outputs))

    def step(index: tf.Tensor, *arrays: tf.TensorArray) -> Any:
        parts = function(index * at_once)
        return index + 1, *(array.write(index, part) for array, part in zip(arrays, parts, strict=True))

    _, *arrays = tf.while_loop(lambda index, *_: index < slices, step, (0, *arrays), parallel_iterations=1)
    return [array.concat() for array in arrays]


def _by_scores(shares: tf.Tensor, by_mean: tf.Tensor) -> tf.Tensor:
    """Gradient with respect to the scores: shares (..., L, L), gradient of the mean (..., L) -> (..., L, L)."""
    by_mean = by_mean / tf.cast(tf.shape(shares)[-2], shares.dtype)
    by_query = tf.matmul(shares, by_mean[..., None])  # (..., L, 1)
    return shares * (by_mean[..., None, :] - by_query)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def mean_softmax(scores: tf.Tensor) -> Any:
    """Softmax over the last axis, mean over the one before it: (..., L, L) -> (..., L).

    It has its own gradient, because TensorFlow's would store the gradient of the mean L times.
    """
    shares = tf.nn.softmax(scores)
    return tf.reduce_mean(shares, axis=-2), lambda by_mean: _by_scores(shares, by_mean)
