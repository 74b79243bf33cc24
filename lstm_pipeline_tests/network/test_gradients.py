"""Tracing without custom gradients: the same numbers, no wrong gradient, and no graph that outlives its network."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network import fused, layers
from lstm_pipeline.network.gradients import forgotten_gradients, gradients_wanted, without_gradients
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.network.rollout import RollModel, RollOut
from lstm_pipeline.network.training import predict_steps

LENGTH, WIDTH = 12, 3


def windows(batch: int = 5) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(batch, LENGTH, WIDTH)), tf.float32)


def lstm(large: bool) -> Any:
    return fused.LSTM(40 if large else 4, return_sequences=True)


def attention(_: bool) -> Any:
    return layers.MeanSelfAttention(2, 3)


def test_gradients_are_wanted_but_within_the_block() -> None:
    assert gradients_wanted()
    with without_gradients():
        assert not gradients_wanted()
        with pytest.raises(KeyError), without_gradients():
            raise KeyError
        assert not gradients_wanted()
    assert gradients_wanted()


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("made", [lstm, attention])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_numbers_are_the_same_to_the_bit(
    made: Callable[[bool], Any], large: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:  # slices of windows
        monkeypatch.setattr(layers, "_FEW_SCORES", 0)
        monkeypatch.setattr(layers, "_SCORES_AT_ONCE", 2 * LENGTH**2)
    layer = made(large)
    layer(windows())
    run = tf.function(lambda rows: layer(rows)) if compiled else layer
    expected = run(windows()).numpy()
    with without_gradients():
        run = tf.function(lambda rows: layer(rows)) if compiled else layer
        found = run(windows()).numpy()
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("compiled", [False, True])
def test_tensorflows_own_gradient_of_the_lstm_is_never_used(compiled: bool) -> None:
    layer = lstm(large=False)
    layer(windows())

    def gradient(rows: tf.Tensor) -> Any:
        with tf.GradientTape() as tape, without_gradients():
            total = tf.reduce_sum(layer(rows))
        return tape.gradient(total, layer.trainable_variables)

    run = tf.function(gradient, autograph=False) if compiled else gradient
    with pytest.raises(LookupError, match="traced for inference, without gradients"):
        run(windows())


def network() -> keras.Model:
    window = keras.Input((LENGTH, WIDTH))
    sequence = fused.LSTM(4, return_sequences=True)(window)
    hidden = keras.layers.Concatenate()([layers.MeanSelfAttention(2, 3)(sequence), sequence[:, -1]])
    return keras.Model(window, keras.layers.Dense(WIDTH)(hidden))


def graphs() -> int:
    """The number of TensorFlow graphs in memory."""
    gc.collect()
    return sum(issubclass(type(thing), tf.Graph) for thing in gc.get_objects())


def forecast(path: Path) -> None:
    """Loads a network, rolls it forward and predicts with it."""
    model = load_network(path)
    ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    group = RollModel(model, np.arange(WIDTH), ones, zeros, ones, zeros)
    RollOut([group], np.empty(0, np.int64), WIDTH)(windows().numpy(), np.empty((5, 4, 0), np.float32))
    predict_steps(model, np.zeros((30, WIDTH), np.float32), np.arange(10), LENGTH)


@pytest.mark.slow
def test_no_graph_outlives_the_network_that_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "network.keras"
    save_network(network(), path)
    forecast(path)
    before = graphs()
    for _ in range(3):
        forecast(path)
    assert graphs() == before


def test_what_a_trace_registers_is_forgotten_and_still_runs() -> None:
    from tensorflow.python.framework import ops

    def names() -> set[str]:
        return {name for name in ops.gradient_registry.list() if name.startswith("CustomGradient-")}

    @tf.custom_gradient
    def doubled(x: tf.Tensor) -> Any:
        return 2 * x, lambda upstream: 3 * upstream  # another gradient than TensorFlow's own

    def slope(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = doubled(x)
        return tape.gradient(y, x)

    before = names()
    with forgotten_gradients():
        compiled = tf.function(slope)
        assert float(compiled(tf.constant(5.0))) == 3.0
        assert len(names() - before) == 1
    assert names() == before
    assert float(compiled(tf.constant(7.0))) == 3.0
    assert float(tf.function(slope)(tf.constant(7.0))) == 3.0  # outside, as ever
    assert len(names() - before) == 1
