"""How this project and Keras roll forecasts forward, each in its own process (see `benchmarks.rollout`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import FEATURES, GROUPS, HORIZON, RollCase, roll_windows
from benchmarks.turns import Turns
from lstm_pipeline.network.runtime import import_quietly

import_quietly()
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # one function per network is not needless retracing

_STEPS_OF_MANY = 3  # of the `predict` loop from many origins, since every step costs the same


def project(case: RollCase, turns: Turns) -> None:
    from benchmarks.networks import project_roll_out

    windows, known = roll_windows(case)
    roll_out = project_roll_out(case)
    while True:
        turns.begin()
        rows = roll_out(windows, known)
        if not turns.end(rows.size):
            return


def keras_predict_loop(case: RollCase, turns: Turns) -> None:
    """`predict` with every network, step by step; from many origins, only the first steps of the roll are run."""
    models, (windows, known) = _keras_networks(case), roll_windows(case)
    steps = HORIZON if case.origins == 1 else _STEPS_OF_MANY
    note = "" if steps == HORIZON else f"{steps} steps, × {HORIZON // steps}"
    while True:
        turns.begin()
        rows = _predict_steps(models, windows, known[:, :steps])
        if not turns.end(rows.size, times=HORIZON // steps, note=note):
            return


def keras_function(case: RollCase, turns: Turns) -> None:
    """The whole roll in one `tf.function`."""
    import tensorflow as tf

    windows, known = roll_windows(case)
    roll = tf.function(_roll_function(_keras_networks(case)))
    while True:
        turns.begin()
        rows = roll(tf.constant(windows), tf.constant(known)).numpy()
        if not turns.end(rows.size):
            return


def _keras_networks(case: RollCase) -> list[Any]:
    from benchmarks.keras_networks import keras_network

    return [keras_network(case) for _ in range(GROUPS if case.network == "documented" else 1)]


def _predict_steps(models: list[Any], window: Any, known: Any) -> Any:
    """(B, L, D), (B, H, K) -> (B, H, P)"""
    rows = []
    for step in range(known.shape[1]):
        predicted = np.concatenate([model.predict(window, verbose=0) for model in models], axis=-1)  # (B, P)
        row = np.concatenate([predicted, known[:, step]], axis=-1)  # (B, D)
        window = np.concatenate([window[:, 1:], row[:, None]], axis=1)
        rows.append(predicted)
    return np.stack(rows, axis=1)


def _roll_function(models: list[Any]) -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    def roll(window: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """(B, L, D), (B, H, K) -> (B, H, P)"""
        rows = tf.TensorArray(tf.float32, HORIZON)
        for step in tf.range(HORIZON):
            predicted = tf.concat([model(window, training=False) for model in models], axis=-1)  # (B, P)
            row = tf.concat([predicted, known[:, step]], axis=-1)  # (B, D)
            window = tf.ensure_shape(tf.concat([window[:, 1:], row[:, None]], axis=1), [None, None, FEATURES])
            rows = rows.write(step, predicted)
        return tf.transpose(rows.stack(), [1, 0, 2])

    return roll
