"""The feature network compared with its definition in NumPy, and how it is combined with a highway."""

import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network import fused
from lstm_pipeline.network.architecture import Shape, build_network, member_outputs, start_highway
from lstm_pipeline.network.features import FeatureNetwork
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.network.rollout import RollModel, RollOut
from lstm_pipeline.network.training import WindowData
from lstm_pipeline_tests.network.test_segments import lstm_step
from lstm_pipeline_tests.network.tiny import (
    check_seeds,
    digest,
    linear_network,
    randomised,
    refuse_shared_random,
    tiny_options,
    train_tiny,
)

GENERATOR = np.random.default_rng(31)
SEEDS = [11, 12, 13, 14, 15, 16, 17]


def mixer(steps=3, units=5, **changes):
    """A built layer; `changes` are options of the layer, or its number of `rows` and `features`."""
    options = {"dropout": 0.0, "targets": (0, 1), "seeds": SEEDS, "rows": 4, "features": 3, **changes}
    rows, features, targets = options.pop("rows"), options.pop("features"), list(options.pop("targets"))
    layer = FeatureNetwork(steps, targets, units, **options)
    layer.build((None, rows, features))
    return layer


def moved(layer):
    """Random weights everywhere, also where biases start at zero and factors at one."""
    layer.set_weights([weight + 0.2 * GENERATOR.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def series(batch=3, rows=4, features=3):
    return GENERATOR.normal(size=(batch, rows, features)).astype(np.float32)


def normalised(layer, values):
    factor, shift = layer.get_weights()
    deviations = values - values.mean(axis=-1, keepdims=True)
    return deviations / np.sqrt(values.var(axis=-1, keepdims=True) + 1e-3) * factor + shift


def numpy_mixer(layer, windows):
    """One window and one view at a time, in float64: (B, M, F) -> (B, C, T)."""
    (embed, bias), (project, project_bias) = layer.embed.get_weights(), layer.project.get_weights()
    lstm, start, found = layer.lstm.get_weights(), layer.start.numpy(), []
    order = [*(column for column in range(windows.shape[2]) if column not in layer.targets), *layer.targets]
    for window in windows.astype(np.float64):
        views = []
        for direction in (1, -1):  # of the units of the embedding
            sequence = np.concatenate([start, (window.T[order] @ embed + bias)[:, ::direction]])
            output = carry = np.zeros(layer.units)
            outputs = []
            for step in normalised(layer.normalize, sequence):
                output, carry = lstm_step(lstm, step, output, carry)
                outputs.append(output)
            views.append(normalised(layer.normalize_sum, sequence + outputs)[-len(layer.targets) :])
        found.append((np.concatenate(views, axis=1) @ project + project_bias).T)
    return np.array(found)


@pytest.mark.parametrize("targets", [(2, 0), (1,)])
@pytest.mark.parametrize(
    ("steps", "units", "rows"),
    [(3, 5, 3), (5, 4, 2), (1, 1, 4), (2, 40, 3)],  # from 32 units on, the gradient is computed differently
)
def test_the_network_matches_its_definition(steps, units, rows, targets):
    windows = series(rows=rows)
    layer = moved(mixer(steps, units, rows=rows, targets=targets))
    found = layer(windows).numpy()
    assert found.shape == (3, steps, len(targets))
    np.testing.assert_allclose(found, numpy_mixer(layer, windows), atol=2e-5)


def test_a_network_small_enough_to_compute_by_hand():
    """Without an LSTM (all its weights zero), a view is the normalised embedding of the feature."""
    layer = mixer(steps=2, units=2, rows=2, features=2, targets=(1,))
    for weight in layer.weights:
        weight.assign(tf.zeros_like(weight))
    layer.embed.kernel.assign([[1, 0], [0, 1]])  # two rows -> two units, as they are
    layer.normalize_sum.gamma.assign([1, 1])
    layer.normalize_sum.beta.assign([0, 10])
    layer.project.kernel.assign([[1, 0], [0, 1], [1, 0], [0, 0]])
    layer.project.bias.assign([0, 0.5])
    # feature 1 is (3, 7): mean 5, deviation 2 -> (-1, 1), reversed (1, -1); then + (0, 10): (-1, 11) and (1, 9)
    np.testing.assert_allclose(layer(np.array([[[9.0, 3.0], [1.0, 7.0]]])), [[[0.0], [11.5]]], atol=1e-3)


def changed(layer, windows, feature):
    """Which features' forecasts depend on a feature."""
    other = windows.copy()
    other[:, 1, feature] += 1
    return (np.abs(layer(other).numpy() - layer(windows).numpy()).max(axis=(0, 1)) > 1e-6).tolist()


def test_forecasts_depend_on_the_features_of_other_groups_and_on_the_targets_before_them():
    """Wherever the columns of the other groups are."""
    layer, windows = mixer(targets=(3, 1), features=4), series(features=4)
    assert [changed(layer, windows, feature) for feature in range(4)] == [
        [True, True], [False, True], [True, True], [True, True],
    ]  # fmt: skip


def test_every_window_of_a_batch_is_read_alone():
    layer, windows = moved(mixer()), series(batch=4)
    together = layer(windows).numpy()
    for index in range(4):
        np.testing.assert_allclose(layer(windows[[index]])[0], together[index], atol=1e-6)


def test_seeds_decide_the_weights():
    check_seeds(lambda seeds: mixer(seeds=seeds), SEEDS, (0, 1, 2, 5, 6))  # 3 is the LSTM's dropout, 4 the layer's


def test_building_uses_no_shared_random_state(monkeypatch):
    refuse_shared_random(monkeypatch)
    mixer()


def test_dropout_acts_in_training_only():
    layer, windows = mixer(dropout=0.5, units=16), series()
    np.testing.assert_array_equal(layer(windows, training=False), mixer(units=16)(windows))
    first, second = layer(windows, training=True), layer(windows, training=True)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(mixer(dropout=0.5, units=16)(windows, training=True), first)


def test_config_round_trip():
    layer, windows = mixer(dropout=0.25), series()
    again = FeatureNetwork.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(windows), layer(windows))  # the same seeds
    assert layer.compute_output_shape((None, 4, 3)) == (None, 3, 2)


@pytest.mark.parametrize("units", [4, 40])  # both implementations of the gradient
def test_gradients_are_those_of_kerass_own_lstm(monkeypatch, units):
    layer, windows = moved(mixer(units=units)), tf.constant(series())

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(3 * layer(windows)))
        return [gradient.numpy() for gradient in tape.gradient(loss, layer.trainable_variables)]

    found = gradients()
    assert len(found) == 1 + 2 + 2 + 3 + 2 + 2
    monkeypatch.setattr(fused.LSTM, "_can_fuse", lambda self, training: False)
    for one, other in zip(found, gradients(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


# within a group's network

SHAPE = Shape(7, 3, 2, (2, 0), 5, season=3)
KEPT = {"segment_length": 3, "segment_units": 4, "feature_units": 4}


def standardised(windows):
    """The windows of mean 0 and deviation 1, with mean and deviation: (B, L, F) -> (B, L, F), (B, 1, F) twice."""
    mean, deviation = windows.mean(axis=1, keepdims=True), np.sqrt(windows.var(axis=1, keepdims=True) + 1e-5)
    return (windows - mean) / deviation, mean, deviation


@pytest.mark.parametrize("level", ["none", "last", "mean", "standard"])
def test_the_steps_are_the_forecasts_of_the_highway(level):
    """The windows are standardised whatever level is taken off before; the map forecasts changes from the last row."""
    options = tiny_options(network="features", highway="shared", window_normalization=level, **KEPT)
    model = randomised(build_network(options, SHAPE, seed=1, name="mixed"))
    windows, kernel, bias = series(rows=7, features=5), *model.get_layer("linear_forecast").get_weights()
    read, mean, deviation = standardised(windows[..., :3])  # without the calendar
    last = read[:, -1:]
    linear = np.einsum("blf,lc->bcf", read - last, kernel) + bias[:, None] + last
    forecast = numpy_mixer(model.get_layer("feature_network"), linear) * deviation[..., [2, 0]] + mean[..., [2, 0]]
    np.testing.assert_allclose(model(windows), forecast, atol=1e-4)


def test_without_a_highway_the_steps_are_the_windows():
    options = tiny_options(network="features", **KEPT)
    model, windows = randomised(build_network(options, SHAPE, seed=1, name="mixed")), series(rows=7, features=5)
    read, mean, deviation = standardised(windows[..., :3])
    forecast = numpy_mixer(model.get_layer("feature_network"), read) * deviation[..., [2, 0]] + mean[..., [2, 0]]
    np.testing.assert_allclose(model(windows), forecast, atol=1e-5)


@pytest.mark.parametrize("members", [1, 2])
def test_segments_and_features_are_averaged_and_each_is_an_output_to_train(members):
    options = tiny_options(network="segments_and_features", highway="shared", members=members, **KEPT)
    model = randomised(build_network(options, SHAPE, seed=1, name="averaged"))
    windows = series(rows=7, features=5)
    found = member_outputs(model)(windows)
    assert len(found) == 2 * members
    np.testing.assert_allclose(model(windows), np.mean(found, axis=0), atol=1e-6)
    for place, name in enumerate(["segments", "features"] * members):
        single = build_network(options.model_copy(update={"network": name, "members": 1}), SHAPE, seed=1, name="alone")
        for layer in single.layers:
            if layer.get_weights():
                layer.set_weights(model.get_layer(f"member_{place + 1}_{layer.name}").get_weights())
        np.testing.assert_allclose(single(windows), found[place], atol=1e-6)


@pytest.mark.parametrize("highway", ["none", "shared", "per_feature", "seasonal"])
@pytest.mark.parametrize("network", ["features", "segments_and_features"])
def test_saved_and_loaded_networks_are_the_same(network, highway, tmp_path):
    options = tiny_options(
        network=network, highway=highway, window_normalization="standard", known_future=True, members=2, **KEPT
    )  # fmt: skip
    model = randomised(build_network(options, SHAPE, seed=1, name="whole"))
    save_network(model, tmp_path / "model.keras")
    loaded = load_network(tmp_path / "model.keras")
    assert digest(loaded) == digest(model)
    inputs = [series(rows=7, features=5), series(rows=5, features=2)]
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def test_it_rolls_beside_another_groups_network():
    """Two passes of two steps; the second reads the other network's forecasts as well."""
    options = tiny_options(network="features", highway="shared", window_normalization="standard", **KEPT)
    mixed = randomised(build_network(options, Shape(4, 3, 0, (2, 0), 2), seed=1, name="mixed"))
    other = linear_network(GENERATOR.normal(size=(12, 1)), width=3, name="other")
    plain = [np.ones(3), np.zeros(3)]
    models = [
        RollModel(mixed, np.array([2, 0]), *plain, np.ones(2), np.zeros(2)),
        RollModel(other, np.array([1]), *plain, np.ones(1), np.zeros(1)),
    ]
    windows = series(rows=4, features=3)
    found = RollOut(models, np.array([], np.int64), 3)(windows, np.zeros((3, 4, 0)))
    rows = windows
    for _ in range(2):
        chunk = mixed(rows[:, -4:]).numpy()
        for step in range(2):
            single = np.asarray(other(rows[:, -4:])).reshape(3, 1)
            row = np.stack([chunk[:, step, 1], single[:, 0], chunk[:, step, 0]], axis=-1)
            rows = np.concatenate([rows, row[:, None]], axis=1)
    np.testing.assert_allclose(found, rows[:, 4:][..., [2, 0, 1]], atol=1e-5)


def test_it_learns_what_only_another_feature_knows():
    """The target repeats another feature with a delay, so that its own past says nothing about its future."""
    noise = np.random.default_rng(2).normal(size=(400, 1)).astype(np.float32)
    rows = np.concatenate([noise, np.roll(noise, 2, axis=0)], axis=1)[2:]
    starts = np.arange(len(rows) - 6 - 2 + 1)
    data = WindowData(rows, rows[:, 1:], np.ones((len(rows), 1), np.float32), starts[:300], starts[300:], 6, 2, (1,))
    options = tiny_options(network="features", **{**KEPT, "feature_units": 16}, learning_rate=0.01)
    model = build_network(options, Shape(6, 2, 0, (1,), 2), seed=1, name="delayed")
    log = train_tiny(options, model, data, epochs=25, patience=25, batch_size=20)
    assert min(log.val_loss) < 0.1


def test_networks_of_two_seeds_differ_and_of_one_seed_do_not():
    options = tiny_options(network="features", **KEPT)
    first, same, other = (build_network(options, SHAPE, seed=seed, name="mixed") for seed in (1, 1, 2))
    assert digest(first) == digest(same) != digest(other)


@pytest.mark.parametrize("for_features", [False, True])
def test_each_kind_of_highway_is_given_its_own_start(for_features):
    options = tiny_options(network="segments_and_features", highway="shared", members=2, **KEPT)
    model, kernel = build_network(options, SHAPE, seed=1, name="started"), GENERATOR.normal(size=(7, 5))
    start_highway(model, kernel, for_features=for_features)
    for member, name in enumerate(["highway", "linear_forecast"] * 2, 1):
        expected = kernel if (name == "linear_forecast") == for_features else np.zeros((7, 5))
        np.testing.assert_allclose(model.get_layer(f"member_{member}_{name}").kernel, expected, rtol=1e-6)
