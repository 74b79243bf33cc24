"""The same networks, built from Keras's own layers."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from benchmarks.cases import DROPOUT, FEATURES, L2, LEARNING_RATE, RollCase, TrainingCase


def keras_network(case: TrainingCase | RollCase, jit_compile: bool | str = "auto") -> keras.Model:
    """(B, L, D) -> (B, T), compiled for training."""
    window = keras.Input((case.length, FEATURES))
    features = _documented(window, case.units) if case.network == "documented" else _common(window, case.units)
    output = layers.Dense(case.targets, kernel_regularizer=keras.regularizers.L2(L2))(layers.Dropout(DROPOUT)(features))
    model = keras.Model(window, output)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "mse", jit_compile=jit_compile)
    return model


def _documented(window: Any, units: int) -> Any:
    """(B, L, D) -> (B, 4U): the state after the window in both directions, and the result of attention over it."""
    hidden = layers.BatchNormalization()(layers.Bidirectional(_lstm(units))(window))
    hidden = layers.BatchNormalization()(layers.Bidirectional(_lstm(units))(layers.Dropout(DROPOUT)(hidden)))
    state = layers.Concatenate()([hidden[:, -1, :units], hidden[:, 0, units:]])
    attended = layers.MultiHeadAttention(1, key_dim=2 * units)(hidden, hidden)
    return layers.Concatenate()([state, layers.GlobalAveragePooling1D()(attended)])


def _common(window: Any, units: int) -> Any:
    """(B, L, D) -> (B, U)"""
    return _lstm(units, return_sequences=False)(layers.Dropout(DROPOUT)(_lstm(units)(window)))


def _lstm(units: int, return_sequences: bool = True) -> keras.layers.Layer:
    return layers.LSTM(units, return_sequences=return_sequences, kernel_regularizer=keras.regularizers.L2(L2))
