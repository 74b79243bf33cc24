"""Keras layers with a faster way through the same numbers. Named as theirs, so that weight files are the same."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class LSTM(keras.layers.LSTM):  # type: ignore[misc]
    """Keras's LSTM with a faster loop: same arguments, same weights, same outputs and gradients.

    On the CPU Keras loops in the graph, a dozen small operations a step, which cost more than the arithmetic. Here
    the loop is inside one operation, forwards and in the gradient, wherever the options allow (`_can_fuse`);
    elsewhere (relu, recurrent dropout, masks, GPU) it is Keras's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_jit = False  # the operation has no XLA kernel

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """(B, L, D), two states (B, U) -> last output (B, U), outputs (B, L, U) and both last states.

        Backwards, the outputs are in the order in which the steps were read, as Keras has them.
        """
        if mask is not None or not self._can_fuse(training):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        steps = tf.transpose(sequences, [1, 0, 2])  # (B, L, D) -> (L, B, D)
        if self.go_backwards:
            steps = tf.reverse(steps, [0])
        outputs, carries = fused_loop(self.cell, steps, initial_state)  # (L, B, D) -> (L, B, U)
        sequence = tf.transpose(outputs, [1, 0, 2]) if self.return_sequences else outputs[-1][:, None]
        return outputs[-1], sequence, [outputs[-1], carries[-1]]

    def _can_fuse(self, training: bool) -> bool:
        """Whether the operation computes what the options ask for, and is the best there is for the device."""
        cell = self.cell
        return (
            cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and cell.use_bias
            and not (training and (cell.dropout or cell.recurrent_dropout))
            and cell.compute_dtype == cell.variable_dtype == "float32"
            and self.use_cudnn is not True
            and not tf.config.list_logical_devices("GPU")
        )


def fused_loop(cell: keras.layers.LSTMCell, steps: tf.Tensor, initial_state: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """All steps of an LSTM with tanh and sigmoid, without dropout.

    Args:
        cell: whose weights to use.
        steps: (L, B, D), L from 1.
        initial_state: output and carry before the first step, (B, U) each.

    Returns:
        Outputs and carries of all steps, (L, B, U) each.
    """
    output, carry = initial_state
    weights = tf.concat([cell.kernel, cell.recurrent_kernel], axis=0)  # (D + U, 4U)
    outputs, carries = _block_lstm(steps, output, carry, weights, tf.convert_to_tensor(cell.bias))
    return outputs, carries


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _block_lstm(steps: tf.Tensor, output: tf.Tensor, carry: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> Any:
    """TensorFlow's LSTM operation: its gates stand in Keras's order (input, forget, candidate, output).

    The gradient is called here because TensorFlow 2.21 registers the wrong one: that of the operation's first
    version, whose gates stand in another order (`tensorflow/python/ops/rnn_grad.py`).
    """
    none = tf.zeros(tf.shape(bias) // 4)  # no peepholes
    arguments = {
        "seq_len_max": tf.shape(steps, tf.int64)[0], "x": steps, "h_prev": output, "cs_prev": carry, "w": weights,
        "wci": none, "wcf": none, "wco": none, "b": bias, "use_peephole": False,
    }  # fmt: skip
    loop = tf.raw_ops.BlockLSTMV2(**arguments, cell_clip=0.0)

    def gradient(by_outputs: tf.Tensor, by_carries: tf.Tensor) -> Any:
        by = tf.raw_ops.BlockLSTMGradV2(**arguments, **loop._asdict(), h_grad=by_outputs, cs_grad=by_carries)
        return by.x_grad, by.h_prev_grad, by.cs_prev_grad, by.w_grad, by.b_grad

    return (loop.h, loop.cs), gradient
