import keras
import numpy as np

from lstm_pipeline.network.layers import FinalState

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
