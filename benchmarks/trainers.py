"""How this project and Keras train a case, each in its own process (see `benchmarks.training`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import BATCH, TARGETS, TrainingCase, training_rows
from benchmarks.turns import Turns
from lstm_pipeline.network.runtime import import_quietly

import_quietly()

_ENDLESS = 10**6  # epochs; the turns end training


def project(case: TrainingCase, turns: Turns) -> None:
    """Trains with the public API and waits for its turn between epochs."""
    from benchmarks.networks import project_network
    from lstm_pipeline.network.training import EpochReport, TrainingSettings, WindowData, train

    values, targets = training_rows(case)
    starts = np.arange(case.windows)
    data = WindowData(values, targets, np.ones_like(targets), starts, starts[:1], case.length)
    model, options = project_network(case, range(TARGETS))

    def take_turns(_: EpochReport) -> None:
        if not turns.end(len(data.train_starts)):
            raise StopIteration
        turns.begin()

    turns.begin()
    try:
        train(model, data, options, TrainingSettings(_ENDLESS, _ENDLESS, BATCH, seed=0), take_turns)
    except StopIteration:
        return


def keras_tf_data(case: TrainingCase, turns: Turns, jit_compile: bool | str = "auto", autotune: bool = False) -> None:
    import keras
    import tensorflow as tf

    from benchmarks.keras_networks import keras_network

    values, targets = training_rows(case)
    data = keras.utils.timeseries_dataset_from_array(
        values[:-1], targets[case.length :], case.length, batch_size=BATCH, shuffle=True
    )
    windows = sum(len(batch) for batch, _ in data)
    options = tf.data.Options()
    options.autotune.enabled = autotune
    data, model = data.with_options(options), keras_network(case, jit_compile)
    _take_turns(turns, windows, lambda: model.fit(data, shuffle=False, verbose=0))


def keras_numpy(case: TrainingCase, turns: Turns) -> None:
    from benchmarks.keras_networks import keras_network

    values, targets = training_rows(case)
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], case.length, axis=0).transpose(0, 2, 1).copy()
    model = keras_network(case)
    _take_turns(turns, len(windows), lambda: model.fit(windows, targets[case.length :], batch_size=BATCH, verbose=0))


keras_without_xla = functools.partial(keras_tf_data, jit_compile=False)
keras_autotuned = functools.partial(keras_tf_data, autotune=True)


def _take_turns(turns: Turns, windows: int, run_epoch: Callable[[], Any]) -> None:
    while True:
        turns.begin()
        run_epoch()
        if not turns.end(windows):
            return
