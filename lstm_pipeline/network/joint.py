"""The documented network: stacked LSTM layers over all features at once, with attention over the window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from lstm_pipeline.network import fused
from lstm_pipeline.network.layers import FinalState, MeanSelfAttention
from lstm_pipeline.spec import ModelOptions


def read_jointly(options: ModelOptions, seeds: Iterator[int], window: Any, prefix: str) -> Any:
    """The documented network's features of a window: (B, L, D) -> (B, 2W) with attention, else (B, W).

    Args:
        seeds: one is taken for each initialiser and each dropout.
        prefix: of the names of the layers.
    """
    hidden = _stack(options, seeds, window, prefix)  # (B, L, W) if attention follows, else (B, W)
    features = _attend(options, seeds, hidden, prefix) if options.attention_heads else hidden
    return _dropout(options, seeds, f"{prefix}dropout_output", features)


def _stack(options: ModelOptions, seeds: Iterator[int], sequence: Any, prefix: str) -> Any:
    """LSTM layers, each normalised, with dropout between them: (B, L, D) -> (B, L, W) or (B, W)."""
    for layer in range(1, options.num_layers + 1):
        is_last = layer == options.num_layers
        whole_sequence = not is_last or options.attention_heads > 0
        sequence = _recurrent(options, seeds, f"{prefix}lstm_{layer}", whole_sequence)(sequence)
        if options.batch_norm:
            sequence = _batch_norm(f"{prefix}batch_norm_{layer}")(sequence)
        if not is_last:
            sequence = _dropout(options, seeds, f"{prefix}dropout_{layer}", sequence)
    return sequence


def _recurrent(options: ModelOptions, seeds: Iterator[int], name: str, whole_sequence: bool) -> keras.layers.Layer:
    """One LSTM layer in one or both directions; W = units or 2 · units, forward half first.

    Without the whole sequence, Keras concatenates the states after the last step read in each direction.
    """
    if not options.bidirectional:
        return _lstm(options, seeds, name, whole_sequence)
    # Keras would copy the forward layer including its seeds: both directions would start with the same weights.
    forward = _lstm(options, seeds, name, whole_sequence)
    backward = _lstm(options, seeds, f"backward_{name}", whole_sequence, backwards=True)
    return keras.layers.Bidirectional(forward, backward_layer=backward, merge_mode="concat", name=name)


def _lstm(
    options: ModelOptions, seeds: Iterator[int], name: str, whole_sequence: bool, backwards: bool = False
) -> keras.layers.Layer:
    return fused.LSTM(
        options.units,
        activation=options.activation,
        recurrent_dropout=options.recurrent_dropout,
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        kernel_regularizer=l2(options),
        return_sequences=whole_sequence,
        go_backwards=backwards,
        seed=next(seeds),
        name=name,
    )


def _batch_norm(name: str) -> keras.layers.Layer:
    """Normalisation of each channel over batch and time; `training.settle_batch_norm` sets its momentum.

    LSTM outputs vary by about 0.01. A moving variance that starts at 1, as in Keras, would still be dominated by that 1
    when only 1% of it is left; one that starts at 0 is then 1% too small.
    """
    return keras.layers.BatchNormalization(moving_variance_initializer="zeros", name=name)


def _attend(options: ModelOptions, seeds: Iterator[int], sequence: Any, prefix: str) -> Any:
    """Joins the final state of the window with a context that attention computes from all of its steps.

    self: every step queries all steps (scaled dot product, Vaswani et al. 2017), averaged over time.
    luong: the final state queries all steps ("general" score of Luong et al. 2015, scaled; one per head).

    Args:
        sequence: (B, L, W)

    Returns:
        (B, 2W)
    """
    width = sequence.shape[-1]
    state = FinalState(options.bidirectional, name=f"{prefix}final_state")(sequence)  # (B, L, W) -> (B, W)
    kind = MeanSelfAttention if options.attention_type == "self" else keras.layers.MultiHeadAttention
    attention = kind(
        options.attention_heads,
        key_dim=max(1, width // options.attention_heads),
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        seed=next(seeds),
        name=f"{prefix}attention",
    )
    if options.attention_type == "self":
        context = attention(sequence)  # (B, L, W) -> (B, W)
    else:
        query = keras.layers.Reshape((1, width), name=f"{prefix}query")(state)  # (B, W) -> (B, 1, W)
        attended = attention(query, sequence)  # (B, 1, W), (B, L, W) -> (B, 1, W)
        context = keras.layers.Reshape((width,), name=f"{prefix}context")(attended)  # (B, 1, W) -> (B, W)
    _draw_kernels(attention, seeds)
    return keras.layers.Concatenate(name=f"{prefix}state_and_context")([state, context])  # (B, 2W)


def _draw_kernels(attention: keras.layers.Layer, seeds: Iterator[int]) -> None:
    """Initialises each projection again, as the matrix it is.

    Keras copies a seeded initialiser, so all projections start from the same seed. It also treats the kernel of several
    heads (W, heads, key) like that of a convolution, which makes Glorot's range √W times too small: attention would be
    almost uniform at first.
    """
    for weight in attention.trainable_weights:
        if weight.name == "kernel":
            # queries, keys, values (W, heads, key) -> (W, heads · key); output (heads, key, W) -> (heads · key, W)
            is_output = "attention_output" in weight.path
            first, middle, last = weight.shape
            shape = (first * middle, last) if is_output else (first, middle * last)
            drawn = keras.initializers.GlorotUniform(seed=next(seeds))(shape, weight.dtype)
            weight.assign(keras.ops.reshape(drawn, weight.shape))


def _dropout(options: ModelOptions, seeds: Iterator[int], name: str, values: Any) -> Any:
    if options.dropout == 0:
        return values
    return keras.layers.Dropout(options.dropout, seed=next(seeds), name=name)(values)


def l2(options: ModelOptions) -> keras.regularizers.Regularizer | None:
    """The penalty on kernels with the weight `l2_reg`; None if that is 0."""
    return keras.regularizers.L2(options.l2_reg) if options.l2_reg > 0 else None
