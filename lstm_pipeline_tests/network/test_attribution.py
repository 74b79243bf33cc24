"""Integrated gradients: by hand for a linear network, complete for the real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lstm_pipeline.network import Shape, build_network, integrated_gradients, known_columns
from lstm_pipeline.spec import ModelOptions

L, D = 6, 3


def linear(weights: Any) -> Any:
    """A network whose target is the sum of weights times inputs, for each of (L, D, C · T) -> (B, C, T)."""
    import keras

    window = keras.Input((L, D))
    steps, targets = weights.shape[2:]
    output = keras.layers.Dense(steps * targets, use_bias=True)(keras.layers.Flatten()(window))
    network = keras.Model(window, keras.layers.Reshape((steps, targets))(output))
    network.set_weights([weights.reshape(L * D, -1), np.full(steps * targets, 7.0)])
    return network


def test_of_a_linear_network_it_is_weight_times_difference() -> None:
    generator = np.random.default_rng(1)
    weights = generator.normal(size=(L, D, 2, 2)).astype(np.float32)  # two steps of two targets
    rows, baseline = generator.normal(size=(2, L, D)).astype(np.float32)
    found = integrated_gradients(linear(weights), rows, baseline)
    for target in range(2):
        np.testing.assert_allclose(
            found.values[target], weights[..., target].mean(axis=2) * (rows - baseline), rtol=1e-4, atol=1e-6
        )
    first = integrated_gradients(linear(weights), rows, baseline, 1)  # the first step alone
    np.testing.assert_allclose(first.values[0], weights[..., 0, 0] * (rows - baseline), rtol=1e-4, atol=1e-6)
    assert found.points == 32


def build(options: dict[str, Any]) -> Any:
    """A network of three steps of two features, with random weights, that also reads one known column."""
    small = ModelOptions(units=4, num_layers=1, segment_units=4, feature_units=4, segment_length=2, **options)
    network = build_network(small, Shape(L, 2, 1, (0, 1), 3), seed=1, name="group")
    generator = np.random.default_rng(5)
    for weight in network.trainable_variables:
        weight.assign(generator.normal(0, 0.5, size=weight.shape))
    return network


NETWORKS = [
    {"network": "joint", "highway": "none"},
    {"network": "joint", "highway": "shared", "window_normalization": "standard", "attention_heads": 2},
    {"network": "features", "highway": "per_feature", "window_normalization": "last"},
    {"network": "joint", "highway": "none", "known_future": True},
]


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_values_add_up_to_the_difference_of_the_forecasts(options: dict[str, Any]) -> None:
    network = build(options)
    generator = np.random.default_rng(2)
    length = L + (2 if known_columns(network) else 0)
    rows = generator.normal(size=(length, D)).astype(np.float32)
    baseline = np.repeat(rows.mean(axis=0, keepdims=True), length, axis=0)
    found = integrated_gradients(network, rows, baseline)
    differences = found.forecast - found.baseline
    assert (np.abs(differences) > 0.01).all()
    np.testing.assert_allclose(found.values.sum(axis=(1, 2)), differences, rtol=0.01)
    assert (found.gaps < 0.01 * np.abs(differences)).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    network = linear(np.ones((L, D, 1, 1), np.float32))
    rows = np.zeros((L + 1, D), np.float32)
    with pytest.raises(ValueError, match=r"expected rows and a baseline \(6, 3\), got \(7, 3\)"):
        integrated_gradients(network, rows, rows)
