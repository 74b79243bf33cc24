"""A fresh process with another order of hashes opens networks of every layer in safe mode and trains the same weights.

It has imported nothing but what opens networks; one process does it all, as its imports take seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

from lstm_pipeline.network import fused
from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.persistence import save_network
from lstm_pipeline.spec import ModelOptions
from lstm_pipeline_tests.network.test_fused import stacked
from lstm_pipeline_tests.network.tiny import LENGTH, WIDTH, randomised, tiny_network, tiny_options, trained_digest

FRESH_PROCESS = """
import sys, numpy as np, keras
import lstm_pipeline.network.persistence
folder, *names = sys.argv[1:]
for name in names:
    model = keras.saving.load_model(f"{folder}/{name}.keras", safe_mode=True)
    inputs = list(np.load(f"{folder}/{name}.npz").values())
    np.save(f"{folder}/{name}.npy", model(inputs if len(inputs) > 1 else inputs[0], training=False))
    print([type(layer).__module__ for layer in model.layers if layer.name == "last"])
from lstm_pipeline_tests.network.tiny import trained_digest
print(trained_digest(7))
"""


@dataclass(frozen=True)
class Opened:
    """What the fresh process found."""

    forecasts: dict[str, tuple[Any, Any]]
    """Network → its forecast here and there."""
    layers: dict[str, str]
    """Network → the module of its layer `last`, in a list."""
    digest: str


def networks() -> dict[str, tuple[keras.Model, list[Any]]]:
    """Name → a network with random weights, and what it reads."""
    source = np.random.default_rng(5)

    def normal(*shape: int) -> Any:
        return source.normal(size=shape).astype(np.float32)

    options = tiny_options(
        network="both", highway="per_feature", window_normalization="seasonal", known_future=True, members=2,
        segment_length=3, segment_units=4, feature_units=4, dropout=0.3,
    )  # fmt: skip
    found = {"luong": (tiny_network(ModelOptions(units=3, attention_type="luong")), [normal(3, LENGTH, WIDTH)])}
    for network in ("both", "segments_and_features"):
        chosen, shape = options.model_copy(update={"network": network}), Shape(7, 3, 2, (0, 2), 5, season=4)
        model = randomised(build_network(chosen, shape, seed=1, name="whole"))
        found[network] = (model, [normal(3, 7, 5), normal(3, 5, 2)])
    for name, lstm in (("standard", keras.layers.LSTM), ("own", fused.LSTM)):
        found[name] = (stacked(lstm), [normal(4, 7, 4)])
    return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    folder, built = tmp_path_factory.mktemp("networks"), networks()
    for name, (model, inputs) in built.items():
        save_network(model, folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", *inputs)
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(folder), *built],
        env={**os.environ, "PYTHONHASHSEED": "123"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *layers, digest = done.stdout.splitlines()
    return Opened(
        {name: (here(*each), np.load(folder / f"{name}.npy")) for name, each in built.items()},
        dict(zip(built, layers, strict=True)),
        digest,
    )


def here(model: keras.Model, inputs: list[Any]) -> Any:
    return model(inputs if len(inputs) > 1 else inputs[0], training=False)


@pytest.mark.parametrize("name", ["luong", "both", "segments_and_features", "standard", "own"])
def test_it_forecasts_the_same(opened: Opened, name: str) -> None:
    expected, found = opened.forecasts[name]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_each_layer_is_of_the_class_that_it_was_saved_with(opened: Opened) -> None:
    assert opened.layers["standard"] == str([keras.layers.LSTM.__module__])
    assert opened.layers["own"] == str([fused.__name__])


def test_it_trains_the_same_weights(opened: Opened) -> None:
    assert opened.digest == trained_digest(7)
