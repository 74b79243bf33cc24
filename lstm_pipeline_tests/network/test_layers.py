import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network import layers
from lstm_pipeline.network.layers import FinalState, MeanSelfAttention

# one window of three steps; forward half (1, 2), (3, 4), (5, 6), backward half tens
SEQUENCE = np.array([[[1, 2, 10, 20], [3, 4, 30, 40], [5, 6, 50, 60]]], np.float32)


def test_final_state_of_both_directions_joins_last_forward_and_first_backward_step():
    np.testing.assert_array_equal(FinalState(bidirectional=True)(SEQUENCE), [[5, 6, 10, 20]])


def test_final_state_of_one_direction_is_the_last_step():
    np.testing.assert_array_equal(FinalState(bidirectional=False)(SEQUENCE), [[5, 6, 50, 60]])


def test_final_state_is_what_keras_returns_without_sequences():
    window = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    sequences = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    final = keras.layers.Bidirectional(keras.layers.LSTM(4))
    states = FinalState(bidirectional=True)(sequences(window))
    final.build(window.shape)
    final.set_weights(sequences.get_weights())
    np.testing.assert_allclose(states, final(window), atol=1e-6)


def test_config_round_trip():
    layer = FinalState(bidirectional=True, name="state")
    copy = FinalState.from_config(layer.get_config())
    assert (copy.bidirectional, copy.name) == (True, "state")
    assert layer.compute_output_shape((None, 7, 4)) == (None, 4)


@pytest.mark.parametrize("at_once", [None, 1, 3 * 90**2])  # all at once, one after the other, three at a time
@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize(("batch", "length", "width"), [(1, 1, 4), (7, 2, 6), (4, 90, 64)])
def test_mean_attention_is_keras_attention_averaged_over_time(heads, batch, length, width, at_once, monkeypatch):
    if at_once:
        monkeypatch.setattr(layers, "_FEW_SCORES", 0)
        monkeypatch.setattr(layers, "_SCORES_AT_ONCE", at_once)
    generator = np.random.default_rng(heads)
    size = max(1, width // heads)
    keras_own, own = keras.layers.MultiHeadAttention(heads, size), MeanSelfAttention(heads, size)
    keras_own.build((None, length, width), (None, length, width))
    own.build((None, length, width))
    own.set_weights([weight + generator.normal(0, 0.3, weight.shape) for weight in own.get_weights()])
    keras_own.set_weights(own.get_weights())
    sequence = tf.constant(generator.normal(size=(batch, length, width)), tf.float32)

    def result(layer, call):
        with tf.GradientTape() as tape:
            tape.watch(sequence)
            mean = call()
            total = tf.reduce_sum(tf.sin(3 * mean))
        return mean, tape.gradient(total, [sequence, *layer.trainable_variables])

    mean, gradients = result(keras_own, lambda: tf.reduce_mean(keras_own(sequence, sequence), axis=1))
    own_mean, own_gradients = result(own, lambda: own(sequence))
    np.testing.assert_allclose(own_mean, mean, atol=1e-5)
    for expected, gradient in zip(gradients, own_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_mean_attention_config_and_weights_are_those_of_keras():
    own, keras_own = MeanSelfAttention(2, 3, name="attention"), keras.layers.MultiHeadAttention(2, 3, name="attention")
    assert own.get_config() == keras_own.get_config()
    assert own(keras.Input((5, 4))).shape == (None, 4)
    keras_own(keras.Input((5, 4)), keras.Input((5, 4)))
    assert [weight.path for weight in own.weights] == [weight.path for weight in keras_own.weights]
