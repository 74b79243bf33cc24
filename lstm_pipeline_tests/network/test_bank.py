"""Many networks as one program: the same numbers as each network alone, however their weights are kept."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.network import bank, persistence, rollout, shelf
from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.bank import first_steps
from lstm_pipeline.network.combination import combine
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.network.programs import outline, read_archive
from lstm_pipeline.network.rollout import RollModel, RollOut
from lstm_pipeline.network.shelf import Network, Shelf
from lstm_pipeline.network.training import predict_steps
from lstm_pipeline.spec import ModelOptions

LENGTH, FEATURES, KNOWN, STEPS, SEASON = 8, 6, 2, 3, 4
WIDTH = FEATURES + KNOWN
TARGETS = ((4, 1), (0, 5), (3, 2))  # of three groups
SOURCE = np.random.default_rng(11)
WINDOWS = SOURCE.normal(size=(4, LENGTH, WIDTH)).astype(np.float32)
KNOWN_ROWS = SOURCE.normal(size=(4, 7, KNOWN)).astype(np.float32)  # three passes

KINDS: dict[str, dict[str, Any]] = {
    "documented": {
        "network": "joint",
        "num_layers": 2,
        "window_normalization": "none",
        "highway": "none",
        "attention_heads": 2,
    },
    "luong": {"network": "joint", "attention_type": "luong", "attention_heads": 1},
    "plain": {"network": "joint", "attention_heads": 0, "bidirectional": False, "batch_norm": False, "num_layers": 1},
    "relu": {"network": "joint", "activation": "relu", "window_normalization": "seasonal"},
    "segments": {"network": "segments", "segment_context": False, "highway": "per_feature"},
    "context": {"network": "segments", "segment_context": True, "window_normalization": "standard"},
    "features": {"network": "features", "highway": "shared", "known_future": False},
    "both": {"network": "both", "highway": "seasonal"},
    "mean": {"network": "segments_and_features", "window_normalization": "mean"},
    "linear": {"network": "linear", "highway": "shared"},
    "members": {"network": "joint", "members": 2},
}


def shape(targets: Sequence[int], length: int = LENGTH) -> Shape:
    return Shape(length, FEATURES, KNOWN, tuple(targets), STEPS, SEASON)


def random_weights(model: Any, seed: int) -> Any:
    """Weights that are not those of any start; variances are positive."""
    source = np.random.default_rng(seed)
    for weight in model.weights:
        values = source.uniform(-0.4, 0.4, weight.shape)
        weight.assign(np.abs(values) + 0.2 if "variance" in weight.path else values)
    return model


def built(options: dict[str, Any], targets: Sequence[int], seed: int, length: int = LENGTH) -> Any:
    plain = {
        "units": 4,
        "num_layers": 1,
        "segment_units": 4,
        "segment_length": 2,
        "feature_units": 4,
        "highway": "none",
    }
    every = ModelOptions(**{**plain, **options})
    return random_weights(build_network(every, shape(targets, length), seed=seed, name=f"group_{seed}"), seed)


def combined(targets: Sequence[int], seed: int) -> Any:
    """Two networks that read windows of different lengths, with weights for each feature."""
    parts = [built(KINDS["segments"], targets, seed, 6), built(KINDS["linear"], targets, seed + 10)]
    mixture = np.random.default_rng(seed).uniform(0.1, 0.9, size=(2, len(targets)))
    return combine(parts, mixture, shape(targets), name=f"group_{seed}")


def stored(folder: Path, build: Callable[[Sequence[int], int], Any]) -> list[Path]:
    paths = []
    for seed, targets in enumerate(TARGETS):
        paths.append(folder / f"{seed}.keras")
        save_network(build(targets, seed), paths[-1])
    return paths


def roll(models: Sequence[Any], converts: bool = True) -> Any:
    """Three networks, each in units of its own."""
    parts = []
    for place, (model, targets) in enumerate(zip(models, TARGETS, strict=True)):
        scale, shift = (1 + 0.1 * place, 0.3 * place) if converts else (1.0, 0.0)
        ones, own = np.ones(WIDTH), np.ones(len(targets))
        parts.append(RollModel(model, np.array(targets), scale * ones, shift * ones, own / scale, -shift / scale * own))
    return RollOut(parts, np.arange(FEATURES, WIDTH), WIDTH)(WINDOWS, KNOWN_ROWS)


def check(folder: Path, build: Callable[[Sequence[int], int], Any]) -> list[Network]:
    """The three networks are one program, and forecast what each of them forecasts as a Keras model."""
    paths = stored(folder, build)
    reader = Shelf()
    networks = [reader.read(path) for path in paths]
    assert len({id(network.program) for network in networks}) == 1
    assert [network.name for network in networks] == ["group_0", "group_1", "group_2"]
    alone = [load_network(path) for path in paths]
    expected = roll(alone)
    assert np.isfinite(expected).all()
    assert np.abs(expected[..., :2]).max() > 1e-3
    np.testing.assert_allclose(roll(networks), expected, rtol=2e-6, atol=2e-6)
    return networks


ALSO = ("mean", "members", "context", "relu", "features", "luong")
"""Kinds of networks that differ little from others of them."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in ALSO else kind for kind in KINDS]
)
def test_one_program_forecasts_what_each_network_forecasts(tmp_path: Path, kind: str) -> None:
    check(tmp_path, lambda targets, seed: built(KINDS[kind], targets, seed))


def test_combinations_are_one_program_with_their_own_mixtures(tmp_path: Path) -> None:
    check(tmp_path, combined)


def test_one_step_ahead_is_what_each_network_predicts(tmp_path: Path) -> None:
    paths = stored(tmp_path, lambda targets, seed: built(KINDS["both"], targets, seed))
    values, starts = SOURCE.normal(size=(30, WIDTH)).astype(np.float32), np.array([0, 3, 11])
    reader = Shelf()
    found = first_steps([reader.read(path) for path in paths], values, starts)
    for path, forecast in zip(paths, found, strict=True):
        expected = predict_steps(load_network(path), values, starts, LENGTH)[:, 0]
        np.testing.assert_allclose(forecast, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("converts", [True, False])
def test_weights_that_do_not_fit_are_read_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, converts: bool
) -> None:
    paths = stored(tmp_path, lambda targets, seed: built(KINDS["both"], targets, seed))
    expected = roll([load_network(path) for path in paths], converts)
    monkeypatch.setattr(shelf, "_IN_MEMORY", 0)
    monkeypatch.setattr(rollout, "available_memory", lambda: 0)
    monkeypatch.setattr(bank, "_PART", 1)  # one network at a time
    reader, reads = Shelf(), []
    networks = [reader.read(path) for path in paths]
    assert all(isinstance(network.stored, Path) for network in networks)
    weights = Network.weights

    def counted(network: Network) -> Any:
        reads.append(network.name)
        return weights(network)

    monkeypatch.setattr(Network, "weights", counted)
    rolled = roll(networks, converts)
    np.testing.assert_allclose(rolled, expected, rtol=2e-6, atol=2e-6)
    # three passes, and one network to learn the shapes
    assert sorted(reads) == sorted(["group_0", *3 * ["group_0", "group_1", "group_2"]])
    folder = Path(str(networks[0].stored)).parent
    assert len(list(folder.iterdir())) == 3


def test_kept_in_several_parts_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = stored(tmp_path, lambda targets, seed: built(KINDS["segments"], targets, seed))
    reader = Shelf()
    networks = [reader.read(path) for path in paths]
    expected = roll(networks)
    monkeypatch.setattr(bank, "_PART", 1)
    np.testing.assert_allclose(roll(networks), expected, rtol=1e-6, atol=1e-6)


def test_a_program_is_built_once_and_the_other_networks_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = stored(tmp_path, lambda targets, seed: built(KINDS["plain"], targets, seed))
    built_files: list[Path] = []
    real = persistence.load_network

    def counted(path: Path) -> Any:
        built_files.append(path)
        return real(path)

    monkeypatch.setattr(shelf, "load_network", counted)
    reader = Shelf()
    networks = [reader.read(path) for path in paths]
    assert built_files == paths[:1]
    model, expected = networks[2].model, load_network(paths[2])
    assert (model.name, networks[2].model is model) == ("group_2", True)
    inputs = [WINDOWS, np.zeros((4, STEPS, KNOWN), np.float32)]
    read = inputs if len(expected.inputs) == 2 else WINDOWS
    np.testing.assert_array_equal(model(read), expected(read))


def test_other_options_are_another_program(tmp_path: Path) -> None:
    keys = set()
    for place, changes in enumerate(({}, {"units": 5}, {"activation": "relu"}, {"highway": "shared"})):
        path = tmp_path / f"{place}.keras"
        options = ModelOptions(**{"units": 4, "network": "joint", "highway": "none", **changes})
        save_network(build_network(options, shape(TARGETS[0]), seed=1, name="group"), path)
        keys.add(outline(read_archive(path)[0]).key)
    assert len(keys) == 4


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.98])
def test_a_damaged_file_is_named_also_where_its_program_is_known(tmp_path: Path, kept: float) -> None:
    paths = stored(tmp_path, lambda targets, seed: built(KINDS["plain"], targets, seed))
    reader = Shelf()
    reader.read(paths[0])
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(RegistryError, match=r"1\.keras: not a network that this package can load"):
        reader.read(paths[1])


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    """A file whose configuration is that of another one: what it says of itself is not true."""
    options = {**KINDS["plain"], "known_future": False}
    paths = stored(tmp_path, lambda targets, seed: built(options, targets, seed))
    other = tmp_path / "other.keras"
    wider = ModelOptions(**{"units": 5, "highway": "none", **options})
    save_network(build_network(wider, shape(TARGETS[0]), seed=1, name="group"), other)
    reader = Shelf()
    reader.read(paths[0])
    with zipfile.ZipFile(paths[0]) as right, zipfile.ZipFile(other) as wrong:
        parts = {name: right.read(name) for name in right.namelist()}
        parts["model.weights.h5"] = wrong.read("model.weights.h5")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert json.loads(parts["config.json"])["config"]["name"] == "group_0"
    with pytest.raises(RegistryError, match=r"other\.keras: not a network that this package can load"):
        reader.read(other)
