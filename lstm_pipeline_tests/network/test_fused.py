from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network import fused

WIDTH = 4
GENERATOR = np.random.default_rng(8)


def normal(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


def randomised(layer):
    """Random weights, so that every gate and bias is tested: Keras initialises biases with zeros and ones."""
    layer.set_weights([weight + 0.1 * normal(*weight.shape) for weight in layer.get_weights()])
    return layer


def twins(layer, shape):
    """A layer with Keras's own loops and the same layer with fused ones, with equal weights."""
    layer.build(shape)
    own = fused_twin(randomised(layer))
    own.build(shape)
    own.set_weights(layer.get_weights())
    return layer, own


def built(layer):
    layer.build((None, None, WIDTH))
    return layer


def fused_twin(layer):
    if isinstance(layer, keras.layers.Bidirectional):
        parts = fused_twin(layer.forward_layer), fused_twin(layer.backward_layer)
        return keras.layers.Bidirectional(parts[0], backward_layer=parts[1], merge_mode=layer.merge_mode)
    return fused.LSTM.from_config(layer.get_config())


def outputs_and_gradients(layer, *inputs, **call):
    """All outputs, then the gradients of a sum in which each output has a different weight."""
    tensors = [tf.constant(value) for value in inputs]

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = layer(tensors[0], initial_state=tensors[1:] or None, **call)
            total = tf.add_n([tf.reduce_sum(tf.sin(3 * output)) for output in tf.nest.flatten(outputs)])
        return tf.nest.flatten(outputs), tape.gradient(total, [*layer.trainable_variables, *tensors])

    return run()


def assert_same(layers, *inputs, **call):
    (outputs, gradients), (own_outputs, own_gradients) = [
        outputs_and_gradients(layer, *inputs, **call) for layer in layers
    ]
    for expected, own in zip(outputs, own_outputs, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
    for expected, own in zip(gradients, own_gradients, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-4 * max(1, np.abs(expected).max()))


@pytest.fixture
def loops(monkeypatch):
    """Counts how often the fused loop is built."""
    built = []

    def counting(*args):
        built.append(args)
        return fused_loop(*args)

    fused_loop = fused.fused_loop
    monkeypatch.setattr(fused, "fused_loop", counting)
    return built


@pytest.mark.parametrize("units", [1, 3, 32, 64])
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (7, 2), (32, 90), (1, 90)])
def test_outputs_and_gradients_of_all_sizes(units, batch, length, loops):
    backwards = units % 2 == 1
    layer = keras.layers.LSTM(units, return_sequences=True, go_backwards=backwards)
    assert_same(twins(layer, (None, length, WIDTH)), normal(batch, length, WIDTH))
    assert len(loops) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True, "return_state": True},
        {"return_state": True, "go_backwards": True},
        {"kernel_regularizer": keras.regularizers.L2(0.1), "unit_forget_bias": False},
        {"dropout": 0.5, "recurrent_dropout": 0.5},  # not while training: no dropout
    ],
    ids=lambda options: "-".join(options) or "plain",
)
@pytest.mark.parametrize("units", [3, 32])  # one for each implementation of the gradient
def test_outputs_and_gradients_of_all_options(options, units, loops):
    layers = twins(keras.layers.LSTM(units, **options), (None, 6, WIDTH))
    assert_same(layers, normal(5, 6, WIDTH))
    assert_same(layers, normal(5, 6, WIDTH), normal(5, units), normal(5, units))  # with initial states
    assert len(loops) == 2
    assert layers[1].losses == layers[0].losses


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"recurrent_dropout": 0.5, "seed": 1},
        {"dropout": 0.5, "seed": 1},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_other_options_use_keras_own_loop(options, loops):
    layers = twins(keras.layers.LSTM(3, **options), (None, 6, WIDTH))
    assert_same(layers, normal(5, 6, WIDTH).astype(options.get("dtype", "float32")), training=True)
    assert loops == []


def test_masked_steps_use_keras_own_loop(loops):
    layers = twins(keras.layers.LSTM(3, return_sequences=True), (None, 6, WIDTH))
    assert_same(layers, normal(2, 6, WIDTH), mask=tf.constant([[True] * 4 + [False] * 2, [True] * 6]))
    assert loops == []


def test_stateful_layers(loops):
    inputs = tf.constant(normal(2, 6, WIDTH))
    layers = twins(keras.layers.LSTM(3, stateful=True), (2, 6, WIDTH))
    for _ in range(2):
        np.testing.assert_allclose(layers[1](inputs), layers[0](inputs), atol=1e-6)
    assert len(loops) == 2


def test_gpus_use_keras_own_loop(loops, monkeypatch):
    layer = fused.LSTM(3)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert not layer._can_fuse(training=False)


@pytest.mark.parametrize("whole_sequence", [True, False])
@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
def test_both_directions(whole_sequence, merge_mode, loops):
    layer = keras.layers.LSTM(3, return_sequences=whole_sequence)
    assert_same(twins(keras.layers.Bidirectional(layer, merge_mode), (None, 6, WIDTH)), normal(5, 6, WIDTH))
    assert len(loops) == 2


def stacked(lstm):
    window = keras.Input((7, WIDTH))
    forward = lstm(3, return_sequences=True, name="there")
    backward = lstm(3, return_sequences=True, go_backwards=True, name="back")
    hidden = keras.layers.Bidirectional(forward, backward_layer=backward, name="both")(window)
    return keras.Model(window, keras.layers.Dense(2, name="out")(lstm(5, name="last")(hidden)))


def test_weights_and_saved_weights_are_those_of_keras(tmp_path):
    """Each loads what the other saved, by name and by position."""
    standard, own = stacked(keras.layers.LSTM), stacked(fused.LSTM)
    assert [weight.path for weight in own.weights] == [weight.path for weight in standard.weights]
    windows = normal(4, 7, WIDTH)
    standard.save_weights(tmp_path / "standard.weights.h5")
    own.load_weights(tmp_path / "standard.weights.h5")
    np.testing.assert_allclose(own(windows), standard(windows), atol=1e-6)
    own.set_weights([weight + 0.1 for weight in own.get_weights()])
    own.save_weights(tmp_path / "own.weights.h5")
    standard.load_weights(tmp_path / "own.weights.h5")
    np.testing.assert_allclose(own(windows), standard(windows), atol=1e-6)


@pytest.mark.parametrize("units", [3, 32])
def test_same_bits_alone_and_in_threads(units):
    inputs = [normal(32, 20, WIDTH) for _ in range(2)]
    layers = [randomised(built(fused.LSTM(units, return_sequences=True))) for _ in range(2)]

    def result(position):
        outputs, gradients = outputs_and_gradients(layers[position], inputs[position])
        return b"".join(value.numpy().tobytes() for value in (*outputs, *gradients))

    alone = [result(position) for position in range(2)]
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(result, range(2))) == alone


def test_config_is_that_of_keras():
    options = {"units": 3, "go_backwards": True, "kernel_regularizer": keras.regularizers.L2(0.1), "name": "one"}
    assert fused.LSTM(**options).get_config() == keras.layers.LSTM(**options).get_config()
