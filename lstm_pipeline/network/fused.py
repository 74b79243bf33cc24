"""Faster implementations of Keras layers with the same results. Their names match, so weight files are compatible."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from lstm_pipeline.network.gradients import gradients_wanted

_LARGE = 32  # from this many units on, computing the gradient with products over all steps is faster


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class LSTM(keras.layers.LSTM):  # type: ignore[misc]
    """Keras's LSTM with a faster loop: same arguments, same weights, same outputs and gradients.

    On the CPU, Keras loops in the graph with a dozen small operations per step, which cost more than the arithmetic.
    Here the loop runs inside one operation, forwards and in the gradient, wherever the options allow it (`_can_fuse`).
    Otherwise (relu, recurrent dropout, masks, GPU) Keras's own loop is used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_jit = False  # the operation has no XLA kernel

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """(B, L, D), two states (B, U) -> last output (B, U), outputs (B, L, U) and both last states.

        With `go_backwards`, the outputs are in the order in which the steps were read, as in Keras.
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
        """Whether the fused operation supports the options, and is the fastest choice on this device."""
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
        cell: the cell whose weights are used.
        steps: (L, B, D), L at least 1.
        initial_state: output and carry before the first step, (B, U) each.

    Returns:
        Outputs and carries of all steps, (L, B, U) each.
    """
    output, carry = initial_state
    weights = tf.concat([cell.kernel, cell.recurrent_kernel], axis=0)  # (D + U, 4U)
    bias = tf.convert_to_tensor(cell.bias)
    if gradients_wanted():
        outputs, carries = _block_lstm(steps, output, carry, weights, bias)
        return outputs, carries
    loop = tf.raw_ops.BlockLSTMV2(**_arguments(steps, output, carry, weights, bias), cell_clip=0.0)
    # the registered gradient is wrong (see below), so it must not be used by mistake
    return _without_gradient(loop.h), _without_gradient(loop.cs)


def _without_gradient(values: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.PreventGradient(input=values, message="traced for inference, without gradients")


def _arguments(
    steps: tf.Tensor, output: tf.Tensor, carry: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor
) -> dict[str, Any]:
    """The arguments of TensorFlow's LSTM operation, the same for its gradient."""
    zeros = tf.zeros(tf.shape(bias) // 4)  # no peepholes
    return {
        "seq_len_max": tf.shape(steps, tf.int64)[0], "x": steps, "h_prev": output, "cs_prev": carry, "w": weights,
        "wci": zeros, "wcf": zeros, "wco": zeros, "b": bias, "use_peephole": False,
    }  # fmt: skip


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _block_lstm(steps: tf.Tensor, output: tf.Tensor, carry: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> Any:
    """TensorFlow's LSTM operation, whose gates are in Keras's order (input, forget, candidate, output).

    TensorFlow 2.21 registers the wrong gradient for it: that of the operation's first version, whose gates are in a
    different order (`tensorflow/python/ops/rnn_grad.py`). The correct operation is fast only for small layers.
    """
    arguments = _arguments(steps, output, carry, weights, bias)
    loop = tf.raw_ops.BlockLSTMV2(**arguments, cell_clip=0.0)

    def small_gradient(by_outputs: tf.Tensor, by_carries: tf.Tensor) -> Any:
        by = tf.raw_ops.BlockLSTMGradV2(**arguments, **loop._asdict(), h_grad=by_outputs, cs_grad=by_carries)
        return by.x_grad, by.h_prev_grad, by.cs_prev_grad, by.w_grad, by.b_grad

    def large_gradient(by_outputs: tf.Tensor, by_carries: tf.Tensor) -> Any:
        """The loop computes the gradients of the gates; every other gradient is one product over all steps."""
        width = tf.shape(steps)[-1]
        carries_before = tf.concat([carry[None], loop.cs[:-1]], axis=0)
        outputs_before = tf.concat([output[None], loop.h[:-1]], axis=0)
        gates = _Gates(loop.i, loop.f, loop.ci, loop.o, loop.co)
        by_gates, by_output, by_carry = _gradients_by_gates(
            weights[width:], carries_before, gates, by_outputs, by_carries
        )
        rows = tf.reshape(by_gates, [-1, tf.size(bias)])  # (L · B, 4U)
        by_steps = tf.matmul(rows, weights[:width], transpose_b=True)  # (L · B, D)
        by_weights = [_rows_product(part, rows) for part in (steps, outputs_before)]
        by_bias = tf.raw_ops.BiasAddGrad(out_backprop=rows)
        return tf.reshape(by_steps, tf.shape(steps)), by_output, by_carry, tf.concat(by_weights, axis=0), by_bias

    is_large = bias.shape[0] >= 4 * _LARGE
    return (loop.h, loop.cs), large_gradient if is_large else small_gradient


def _rows_product(sequence: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """(L, B, D), (L · B, G) -> (D, G)."""
    return tf.matmul(tf.reshape(sequence, [-1, tf.shape(sequence)[-1]]), rows, transpose_a=True)


class _Gates(NamedTuple):
    """The values of an LSTM's gates at each step, (L, B, U) each, named as in Keras's `LSTMCell`.

    Attributes:
        i, f, o: input, forget and output gate, after the sigmoid.
        g: the candidate, after the tanh.
        tanh: of the new carry.
    """

    i: tf.Tensor
    f: tf.Tensor
    g: tf.Tensor
    o: tf.Tensor
    tanh: tf.Tensor


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
def _gradients_by_gates(
    recurrent: tf.Tensor, carries_before: tf.Tensor, gates: _Gates, by_outputs: tf.Tensor, by_carries: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The gradients with respect to the inputs of the gates (before sigmoid and tanh), from the last step to the first.

    With c' = f c + i g and h' = o tanh(c'), as in Keras's `LSTMCell`; i, f, o are sigmoids, g is a tanh.

    Args:
        recurrent: (U, 4U)
        carries_before: (L, B, U) c at each step.
        gates: their values at each step.
        by_outputs, by_carries: (L, B, U) gradients with respect to h' and c' of each step, from everything that uses
            them outside the loop.

    Returns:
        (L, B, 4U) with respect to the gates; (B, U) with respect to the states before the first step: output and carry.
    """
    length, transposed = tf.shape(gates.i)[0], tf.transpose(recurrent)
    written = tf.TensorArray(tf.float32, size=length, element_shape=[None, recurrent.shape[1]])

    def step(position: tf.Tensor, by_output: tf.Tensor, by_carry: tf.Tensor, written: tf.TensorArray) -> Any:
        i, f, g, o, tanh = (values[position] for values in gates)
        by_output = by_output + by_outputs[position]
        by_carry = by_carry + by_carries[position] + by_output * o * (1 - tanh * tanh)
        by_gates = [
            by_carry * g * i * (1 - i),
            by_carry * carries_before[position] * f * (1 - f),
            by_carry * i * (1 - g * g),
            by_output * tanh * o * (1 - o),
        ]
        joined = tf.concat(by_gates, axis=-1)  # (B, 4U)
        return position - 1, tf.matmul(joined, transposed), by_carry * f, written.write(position, joined)

    zeros = tf.zeros_like(carries_before[0])
    _, by_output, by_carry, written = tf.while_loop(
        lambda position, *_: position >= 0, step, (length - 1, zeros, zeros, written)
    )
    return written.stack(), by_output, by_carry
