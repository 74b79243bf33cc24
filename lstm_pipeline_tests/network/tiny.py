"""Data, options and stub networks small enough to check by hand."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.batches import FloatArray
from lstm_pipeline.network.training import TrainingLog, TrainingSettings, WindowData, train
from lstm_pipeline.spec.model_options import DOCUMENTED, ModelOptions

LENGTH, WIDTH, TARGETS, ROWS = 5, 4, 2, 40
TINY_SHAPE = Shape(LENGTH, WIDTH, 0, tuple(range(TARGETS)))


def refuse_shared_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, a default seed that Keras draws is an error."""

    def refuse(*args: object) -> int:
        raise AssertionError("Keras drew a default seed from Python's shared random state")

    monkeypatch.setattr(random, "randint", refuse)


def check_seeds(build: Callable[[list[int]], Any], seeds: Sequence[int], places: Sequence[int]) -> None:
    """The same seeds give a layer the same weights, and each of the seeds at `places` decides one of them."""
    first, same = build(list(seeds)).get_weights(), build(list(seeds)).get_weights()
    for one, other in zip(first, same, strict=True):
        np.testing.assert_array_equal(one, other)
    for place in places:
        changed = [seed + 100 * (index == place) for index, seed in enumerate(seeds)]
        pairs = zip(first, build(changed).get_weights(), strict=True)
        assert sum(not np.array_equal(one, other) for one, other in pairs) == 1


def tiny_options(**changes: Any) -> ModelOptions:
    """The smallest network possible: one LSTM layer in one direction and nothing around it."""
    plain = {
        "units": 3, "num_layers": 1, "dropout": 0.0, "batch_norm": False, "bidirectional": False, "l2_reg": 0.0,
        "attention_heads": 0, "learning_rate": 0.01, **DOCUMENTED,
    }  # fmt: skip
    return ModelOptions(**{**plain, **changes})


def tiny_network(options: ModelOptions, seed: int = 1, name: str = "tiny") -> keras.Model:
    return build_network(options, TINY_SHAPE, seed=seed, name=name)


def tiny_data(rows: int = ROWS, width: int = WIDTH, targets: int = TARGETS, seed: int = 0) -> WindowData:
    """Random rows; the last eight windows are for validation."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, width)).astype(np.float32)
    observed = np.ones((rows, targets), np.float32)
    starts = np.arange(rows - LENGTH)
    return WindowData(values, values[:, :targets].copy(), observed, starts[:-8], starts[-8:], LENGTH)


def linear_network(weights: FloatArray, width: int = WIDTH, name: str = "linear") -> keras.Model:
    """Every target is a weighted sum of the whole window: (B, L, D) -> (B, T), weights (L · D, T)."""
    window = keras.Input((len(weights) // width, width))
    output = keras.layers.Dense(weights.shape[1], use_bias=False)(keras.layers.Flatten()(window))
    model = keras.Model(window, output, name=name)
    model.set_weights([weights])
    return model


def numpy_windows(data: WindowData, starts: Any) -> FloatArray:
    return np.stack([data.values[start : start + data.sequence_length] for start in starts])


def train_tiny(
    options: ModelOptions, model: keras.Model, data: WindowData | None = None, **changes: Any
) -> TrainingLog:
    on_epoch = changes.pop("on_epoch", None)
    settings = TrainingSettings(**{"epochs": 2, "patience": 5, "batch_size": 8, "seed": 3, **changes})
    return train(model, data or tiny_data(), options, settings, on_epoch)


def digest(model: keras.Model) -> str:
    """SHA-256 over all weights, moving averages included: equal only if every bit is."""
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


def trained_digest(seed: int) -> str:
    """A trained network with everything that is random (dropout everywhere, attention, two directions)."""
    options = ModelOptions(
        units=3, num_layers=1, dropout=0.2, recurrent_dropout=0.2, attention_heads=2, learning_rate=0.01, **DOCUMENTED
    )
    model = tiny_network(options, seed)
    train_tiny(options, model, seed=seed)
    return digest(model)


def linear_steps_network(weights: FloatArray, steps: int, width: int = WIDTH, name: str = "linear") -> keras.Model:
    """As `linear_network`, several steps at a time: (B, L, D) -> (B, C, T), weights (L · D, C · T)."""
    window = keras.Input((len(weights) // width, width))
    output = keras.layers.Dense(weights.shape[1], use_bias=False)(keras.layers.Flatten()(window))
    model = keras.Model(window, keras.layers.Reshape((steps, -1))(output), name=name)
    model.set_weights([weights])
    return model


def knowing_network(steps: int, known: int, width: int = WIDTH, targets: int = 1) -> keras.Model:
    """Every target of a step is the first of the step's known columns; the window has no influence."""
    window, future = keras.Input((LENGTH, width)), keras.Input((steps, known))
    silent = keras.layers.Dense(steps * targets, kernel_initializer="zeros")(keras.layers.Flatten()(window))
    silent = keras.layers.Reshape((steps, targets))(silent)
    picked = keras.layers.Dense(targets, use_bias=False, name="picked")
    model = keras.Model([window, future], keras.layers.Add()([silent, picked(future)]), name="knowing")
    picked.set_weights([np.eye(known, 1, dtype=np.float32).repeat(targets, axis=1)])
    return model


def randomised(model: keras.Model, seed: int = 4, scale: float = 0.3) -> keras.Model:
    """Random weights everywhere, also where highway and known future start at zero."""
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(0, scale, weight.shape) for weight in model.get_weights()])
    return model
