"""The segment network compared with its definition in NumPy: which rows and which features it reads."""

import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network import fused
from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.segments import SegmentNetwork
from lstm_pipeline.network.training import WindowData
from lstm_pipeline_tests.network.tiny import (
    check_seeds,
    digest,
    refuse_shared_random,
    tiny_options,
    train_tiny,
)

GENERATOR = np.random.default_rng(21)
SEEDS = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]


def segments(steps=5, length=3, units=5, **changes):
    """A built layer; `changes` are options of the layer, or its number of `rows` and `features`."""
    options = {"dropout": 0.0, "context": False, "targets": (0, 1), "seeds": SEEDS, "rows": 7, "features": 2, **changes}
    rows, features, targets = options.pop("rows"), options.pop("features"), list(options.pop("targets"))
    layer = SegmentNetwork(steps, targets, length, units, **options)
    layer.build((None, rows, features))
    return layer


def unbiased(layer):
    """Random weights everywhere, also where biases and the influence of other features start at zero."""
    layer.set_weights([weight + 0.2 * GENERATOR.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def series(batch=3, rows=7, features=2):
    return GENERATOR.normal(size=(batch, rows, features)).astype(np.float32)


def lstm_step(weights, row, output, carry):
    """Keras's LSTM cell: gates in the order input, forget, candidate, output."""
    kernel, recurrent, bias = weights
    i, f, g, o = np.split(row @ kernel + output @ recurrent + bias, 4)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(carry), carry


def numpy_segments(layer, windows):
    """One window and one feature at a time, in float64: (B, L, F) -> (B, C, T)."""
    (embed, embed_bias), (project, project_bias) = layer.embed.get_weights(), layer.project.get_weights()
    lstm, position, feature = layer.lstm.get_weights(), layer.position.numpy(), layer.feature.numpy()
    length, steps, targets = layer.segment_length, layer.steps, layer.targets
    ahead, read = min(length, steps), range(windows.shape[2]) if layer.context else targets
    count, found = windows.shape[1] // length, []
    for window in windows.astype(np.float64):
        states = []
        for column in read:
            output = carry = np.zeros(len(embed_bias))
            for segment in window[len(window) - count * length :, column].reshape(count, length):
                output, carry = lstm_step(lstm, np.maximum(segment @ embed + embed_bias, 0), output, carry)
            states.append((output, carry))
        forecasts = []
        for index, target in enumerate(targets):
            place = target if layer.context else index
            output, carry = states[place]
            if layer.context:
                output = output + numpy_context(layer, np.array([state for state, _ in states]), target)
            forecast = []
            for row in position:
                query = np.concatenate([row, feature[place]])
                forecast.extend(lstm_step(lstm, query, output, carry)[0] @ project + project_bias)
            forecasts.append(forecast[:steps])
        assert len(position) == -(-steps // ahead)
        found.append(np.transpose(forecasts))
    return np.array(found)


def numpy_context(layer, states, target):
    """What attention adds to the state of one feature: (F, U) -> (U,)."""
    named = np.concatenate([states, layer.feature.numpy()], axis=1)
    ask, key, answer, take_up = (part.get_weights() for part in (layer.ask, layer.key, layer.answer, layer.take_up))
    scores = (named @ key[0] + key[1]) @ (named[target] @ ask[0] + ask[1]) / np.sqrt(layer.units)
    shares = np.exp(scores) / np.exp(scores).sum()
    return shares @ (named @ answer[0] + answer[1]) @ take_up[0] + take_up[1]


@pytest.mark.parametrize(("context", "targets"), [(False, (2, 0)), (True, (2, 0)), (True, (1,))])
@pytest.mark.parametrize(
    ("steps", "length", "rows", "units"),
    [
        (5, 3, 7, 5),  # divides neither; an odd number of units
        (6, 3, 6, 4),
        (2, 3, 7, 4),  # a forecast shorter than a segment
        (1, 4, 4, 2),
        (7, 1, 5, 3),
        (3, 2, 9, 40),  # from 32 units on, the gradient is computed differently
    ],
)
def test_the_network_matches_its_definition(steps, length, rows, units, context, targets):
    windows = series(rows=rows, features=3)
    layer = unbiased(segments(steps, length, units, context=context, targets=targets, rows=rows, features=3))
    found = layer(windows).numpy()
    assert found.shape == (3, steps, len(targets))
    np.testing.assert_allclose(found, numpy_segments(layer, windows), atol=2e-5)


@pytest.mark.parametrize("context", [False, True])
def test_the_oldest_rows_that_fill_no_segment_are_ignored(context):
    layer, windows = unbiased(segments(rows=8, context=context)), series(rows=8)
    before = layer(windows).numpy()
    windows[:, :2] = np.nan  # two segments of three rows are the last six
    np.testing.assert_array_equal(layer(windows), before)
    windows[:, 2] = 1.0
    assert not np.allclose(layer(windows), before)


def changed(layer, windows, feature):
    """Which features' forecasts depend on another feature."""
    other = windows.copy()
    other[:, :, feature] += 1
    return (layer(other).numpy() != layer(windows).numpy()).any(axis=(0, 1)).tolist()


def test_without_context_every_feature_is_read_alone_and_nothing_but_the_targets_is_read():
    layer, windows = unbiased(segments(targets=(2, 0), features=4)), series(features=4)
    assert changed(layer, windows, 2) == [True, False]
    assert changed(layer, windows, 0) == [False, True]
    windows[:, :, [1, 3]] = np.nan
    assert np.isfinite(layer(windows)).all()


def test_with_context_every_feature_has_influence_but_not_at_first():
    layer, windows = segments(context=True, targets=(2, 0), features=4), series(features=4)
    assert [changed(layer, windows, feature) for feature in range(4)] == [
        [False, True], [False, False], [True, False], [False, False],
    ]  # fmt: skip
    unbiased(layer)
    assert [changed(layer, windows, feature) for feature in range(4)] == [[True, True]] * 4


@pytest.mark.parametrize("context", [False, True])
def test_every_window_of_a_batch_is_read_alone(context):
    layer, windows = unbiased(segments(features=3, context=context)), series(batch=4, features=3)
    together = layer(windows).numpy()
    for index in range(4):
        np.testing.assert_allclose(layer(windows[[index]])[0], together[index], atol=1e-6)


@pytest.mark.parametrize("context", [False, True])
def test_features_share_all_weights_but_their_embedding(context):
    layer, order = unbiased(segments(features=3, targets=(0, 1, 2), context=context)), [2, 0, 1]
    windows = series(features=3)
    before = layer(windows).numpy()
    assert not np.allclose(layer(windows[..., order]), before[..., order], atol=1e-3)  # the embeddings distinguish them
    layer.feature.assign(layer.feature.numpy()[order])
    np.testing.assert_allclose(layer(windows[..., order]), before[..., order], atol=1e-6)
    layer.feature.assign(np.repeat(layer.feature.numpy()[:1], 3, axis=0))
    alike = layer(np.repeat(windows[..., :1], 3, axis=-1)).numpy()
    np.testing.assert_allclose(alike, np.repeat(alike[..., :1], 3, axis=-1), atol=1e-6)


@pytest.mark.parametrize("units", [2, 3, 8])
def test_segments_of_a_forecast_differ_by_their_position(units):
    found = segments(steps=6, length=3, units=units)(series()).numpy()
    assert not np.allclose(found[:, :3], found[:, 3:], atol=1e-5)


def test_seeds_decide_the_weights():
    check_seeds(
        lambda seeds: segments(context=True, seeds=seeds), SEEDS, (0, 1, 2, 4, 5, 6, 7, 8, 9)
    )  # 3 is the dropout's


def test_networks_of_two_seeds_differ_and_of_one_seed_do_not():
    options, shape = tiny_options(network="segments", segment_length=3, segment_units=4), Shape(7, 3, 0, (0, 2), 5)
    first, same, other = (build_network(options, shape, seed=seed, name="segments") for seed in (1, 1, 2))
    assert digest(first) == digest(same) != digest(other)


def test_building_uses_no_shared_random_state(monkeypatch):
    refuse_shared_random(monkeypatch)
    segments()


def test_dropout_acts_in_training_only():
    layer, windows = segments(dropout=0.5, units=16), series()
    np.testing.assert_array_equal(layer(windows, training=False), segments(units=16)(windows))
    first, second = layer(windows, training=True), layer(windows, training=True)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, layer(windows, training=False))
    same = segments(dropout=0.5, units=16)
    np.testing.assert_array_equal(same(windows, training=True), first)


@pytest.mark.parametrize("context", [False, True])
def test_config_round_trip(context):
    layer, windows = segments(dropout=0.25, context=context), series()
    again = SegmentNetwork.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(windows), layer(windows))  # the same seeds
    assert layer.compute_output_shape((None, 7, 2)) == (None, 5, 2)


@pytest.mark.parametrize("units", [4, 40])  # both implementations of the gradient
def test_gradients_are_those_of_kerass_own_lstm(monkeypatch, units):
    layer, windows = unbiased(segments(units=units, context=True)), tf.constant(series())

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(3 * layer(windows)))
        return [gradient.numpy() for gradient in tape.gradient(loss, layer.trainable_variables)]

    found = gradients()
    assert len(found) == 2 + 3 + 2 + 4 * 2 + 2
    monkeypatch.setattr(fused.LSTM, "_can_fuse", lambda self, training: False)
    for one, other in zip(found, gradients(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_it_learns_two_waves():
    wave = np.sin(2 * np.pi * np.arange(200)[:, None] / np.array([9, 14])).astype(np.float32)
    starts = np.arange(200 - 12 - 6 + 1)
    data = WindowData(wave, wave, np.ones_like(wave), starts[:150], starts[150:], 12, 6)
    options = tiny_options(network="segments", segment_length=4, segment_units=16, learning_rate=0.02)
    model = build_network(options, Shape(12, 2, 0, (0, 1), 6), seed=1, name="wave")
    history = train_tiny(options, model, data, epochs=40, patience=40, batch_size=25)
    assert min(history.val_loss) < 0.05 * wave.var()


@pytest.mark.parametrize("network", ["joint", "segments", "both"])
def test_with_a_highway_a_network_starts_at_zero_and_learns(network):
    kept = {"window_normalization": "last", "segment_length": 3, "segment_units": 4}
    options = tiny_options(network=network, highway="seasonal", **kept)
    model = build_network(options, Shape(6, 3, 0, (2, 0), 4, season=3), seed=1, name="silent")
    windows = np.random.default_rng(1).normal(size=(5, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(windows), np.repeat(windows[:, -1:, [2, 0]], 4, axis=1))  # the level
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(windows, training=True) ** 2)
    outputs = [weight for weight in model.trainable_variables if "output" in weight.path or "project" in weight.path]
    assert len(outputs) == (4 if network == "both" else 2)
    for gradient in tape.gradient(loss, outputs):
        assert np.abs(gradient).max() > 0
    alone = build_network(options.model_copy(update={"highway": "none"}), Shape(6, 3, 0, (2, 0), 4), seed=1, name="x")
    assert not np.allclose(alone(windows), windows[:, -1:, [2, 0]])
