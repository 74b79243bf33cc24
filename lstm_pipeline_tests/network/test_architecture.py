import random
from dataclasses import replace
from itertools import product

import keras
import numpy as np
import pytest

from lstm_pipeline.network.architecture import Shape, build_network, member_outputs
from lstm_pipeline.network.layers import FinalState
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.network.training import predict_steps
from lstm_pipeline.spec.model_options import DOCUMENTED, ModelOptions
from lstm_pipeline_tests.network.tiny import (
    LENGTH,
    TARGETS,
    WIDTH,
    digest,
    randomised,
    refuse_shared_random,
    tiny_data,
    tiny_network,
    tiny_options,
    train_tiny,
)

WINDOWS = np.random.default_rng(5).normal(size=(3, LENGTH, WIDTH)).astype(np.float32)
U, D, T = 3, WIDTH, TARGETS


def lstm_weights(inputs, units=U):
    return 4 * units * (inputs + units + 1)


def attention_weights(width, heads):
    inner = heads * max(1, width // heads)
    return 3 * (width * inner + inner) + inner * width + width


def kinds(model, kind):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, lstm_weights(D) + U * T + T),
        ({"units": 7}, lstm_weights(D, 7) + 7 * T + T),
        ({"num_layers": 3}, lstm_weights(D) + 2 * lstm_weights(U) + U * T + T),
        ({"bidirectional": True}, 2 * lstm_weights(D) + 2 * U * T + T),
        ({"bidirectional": True, "num_layers": 2}, 2 * lstm_weights(D) + 2 * lstm_weights(2 * U) + 2 * U * T + T),
        ({"batch_norm": True, "num_layers": 2}, lstm_weights(D) + lstm_weights(U) + 2 * 4 * U + U * T + T),
        ({"attention_heads": 1}, lstm_weights(D) + attention_weights(U, 1) + 2 * U * T + T),
        ({"attention_heads": 2, "units": 4}, lstm_weights(D, 4) + attention_weights(4, 2) + 8 * T + T),
        ({"attention_heads": 1, "attention_type": "luong"}, lstm_weights(D) + attention_weights(U, 1) + 2 * U * T + T),
        ({"attention_heads": 5}, lstm_weights(D) + attention_weights(U, 5) + 2 * U * T + T),  # more heads than width
    ],
)
def test_number_of_weights(changes, count):
    assert tiny_network(tiny_options(**changes)).count_params() == count


def test_default_options_give_the_documented_layers():
    model = tiny_network(ModelOptions(**DOCUMENTED))
    assert kinds(model, keras.layers.Bidirectional) == ["lstm_1", "lstm_2"]
    assert kinds(model, keras.layers.BatchNormalization) == ["batch_norm_1", "batch_norm_2"]
    assert kinds(model, keras.layers.Dropout) == ["dropout_1", "dropout_output"]
    assert kinds(model, keras.layers.MultiHeadAttention) == ["attention"]
    assert model.input_shape == (None, LENGTH, WIDTH)
    assert model.output_shape == (None, 1, TARGETS)
    assert model.name == "tiny"


def test_options_that_are_off_add_no_layer():
    model = tiny_network(tiny_options())
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "LSTM", "Dense", "Reshape"]
    assert not model.get_layer("lstm_1").return_sequences
    assert model.losses == []


def test_activation_and_rates_reach_the_layers():
    options = tiny_options(activation="relu", recurrent_dropout=0.3, dropout=0.4, bidirectional=True, num_layers=2)
    model = tiny_network(options)
    for layer in (model.get_layer("lstm_2").forward_layer, model.get_layer("lstm_2").backward_layer):
        assert layer.activation is keras.activations.relu
        assert layer.recurrent_dropout == 0.3
    assert model.get_layer("dropout_1").rate == 0.4


@pytest.mark.parametrize("changes", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}])
def test_dropout_acts_in_training_only_and_never_repeats(changes):
    model = tiny_network(tiny_options(**changes))
    still = model(WINDOWS, training=False)
    np.testing.assert_array_equal(still, model(WINDOWS, training=False))
    first, second = model(WINDOWS, training=True), model(WINDOWS, training=True)
    assert not np.array_equal(first, still)
    assert not np.array_equal(first, second)


def test_l2_penalty_by_hand():
    options = tiny_options(l2_reg=0.25, bidirectional=True, num_layers=2, attention_heads=1)
    model = tiny_network(options)
    kernels = [
        model.get_layer(name).get_weights()[position] for name in ("lstm_1", "lstm_2") for position in (0, 3)
    ]  # kernel, recurrent kernel, bias of each direction
    kernels.append(model.get_layer("output").get_weights()[0])
    expected = 0.25 * sum(float(np.sum(kernel.astype(np.float64) ** 2)) for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-6)
    assert len(model.losses) == 5


def attention_parts(options):
    """The network's sequence, state and context for WINDOWS, with the attention layer that made the context."""
    model = tiny_network(options)
    attention = model.get_layer("attention")
    sequence, joined = model.get_layer("final_state").input, model.get_layer("state_and_context").input
    parts = keras.Model(model.input, [sequence, *joined])
    return attention, [part.numpy() for part in parts(WINDOWS)]


def numpy_attention(attention, query, sequence):
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1) in float64: (B, Q, W), (B, L, W) -> (B, Q, W)."""
    wq, bq, wk, bk, wv, bv, wo, bo = attention.get_weights()
    project = lambda x, w, b: np.einsum("bsw,whk->bhsk", x, w) + b[None, :, None, :]  # noqa: E731
    q, k, v = project(query, wq, bq), project(sequence, wk, bk), project(sequence, wv, bv)
    scores = np.exp(np.einsum("bhqk,bhsk->bhqs", q, k) / np.sqrt(wq.shape[-1]))
    weights = scores / scores.sum(-1, keepdims=True)
    return np.einsum("bhqk,hkw->bqw", weights @ v, wo) + bo


@pytest.mark.parametrize("heads", [1, 2])
def test_self_attention_is_every_step_querying_all_averaged_over_time(heads):
    attention, (sequence, _, context) = attention_parts(tiny_options(attention_heads=heads, bidirectional=True))
    assert attention.num_heads == heads
    assert attention.key_dim == 6 // heads
    np.testing.assert_allclose(context, numpy_attention(attention, sequence, sequence).mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2])
def test_luong_attention_is_the_final_state_querying_all_steps(heads):
    options = tiny_options(attention_heads=heads, attention_type="luong", bidirectional=True)
    attention, (sequence, state, context) = attention_parts(options)
    np.testing.assert_allclose(context, numpy_attention(attention, state[:, None], sequence)[:, 0], atol=1e-5)
    np.testing.assert_array_equal(state, FinalState(bidirectional=True)(sequence))


def test_output_is_linear_in_state_and_context():
    model = tiny_network(tiny_options(attention_heads=1))
    joined = keras.Model(model.input, model.get_layer("state_and_context").output)(WINDOWS).numpy()
    kernel, bias = model.get_layer("output").get_weights()
    np.testing.assert_allclose(model(WINDOWS)[:, 0], joined @ kernel + bias, atol=1e-5)


def test_every_kernel_starts_with_different_weights():
    options = tiny_options(units=4, num_layers=2, bidirectional=True, attention_heads=1)
    model = build_network(options, Shape(4, 8, 0, (0, 1)), seed=0, name="square")
    kernels = [weight.numpy() for weight in model.weights if "kernel" in weight.name]
    assert len(kernels) == 4 * 2 + 4 + 1
    for position, kernel in enumerate(kernels):
        for other in kernels[position + 1 :]:
            size = min(kernel.size, other.size)
            assert not np.array_equal(kernel.ravel()[:size], other.ravel()[:size])
            if kernel.shape == other.shape:
                assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.9


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_kernels_have_the_glorot_range_of_a_matrix(heads):
    model = tiny_network(tiny_options(units=64, attention_heads=heads))
    limit = np.sqrt(6 / (64 + 64))  # Glorot & Bengio 2010, eq. 16: 64 inputs, heads · 64 / heads outputs
    for position in (0, 2, 4, 6):
        kernel = model.get_layer("attention").get_weights()[position]
        assert 0.98 * limit < np.abs(kernel).max() <= limit


FULL = ModelOptions(units=3, dropout=0.3, recurrent_dropout=0.3, attention_heads=2, **DOCUMENTED)


def test_seed_decides_weights_and_dropout():
    first, same, other = tiny_network(FULL, seed=1), tiny_network(FULL, seed=1), tiny_network(FULL, seed=2)
    assert digest(first) == digest(same) != digest(other)
    for _ in range(3):
        np.testing.assert_array_equal(first(WINDOWS, training=True), same(WINDOWS, training=True))
    other.set_weights(first.get_weights())
    assert not np.array_equal(first(WINDOWS, training=True), other(WINDOWS, training=True))


def test_building_neither_uses_nor_moves_shared_random_states(monkeypatch):
    expected = digest(tiny_network(FULL))
    python_state, numpy_state = random.getstate(), np.random.get_state()[1].tobytes()

    refuse_shared_random(monkeypatch)
    assert digest(tiny_network(FULL)) == expected
    assert random.getstate() == python_state
    assert np.random.get_state()[1].tobytes() == numpy_state


# several steps, several members, the known future

SEVERAL = Shape(LENGTH, 3, 2, (2, 0), steps=4, season=3)
FUTURE = np.random.default_rng(6).normal(size=(3, 4, 2)).astype(np.float32)
WIDE = np.random.default_rng(7).normal(size=(3, LENGTH, 5)).astype(np.float32)
SMALL = {"segment_length": 3, "segment_units": 4}
CHOICES = {
    "network": ("joint", "segments", "both"),
    "highway": ("none", "shared", "per_feature", "seasonal"),
    "window_normalization": ("none", "last", "mean", "standard", "seasonal"),
    "known_future": (False, True),
    "members": (1, 2),
}


def pairs():
    """Twenty combinations that contain every pair of values of different options."""
    for i, k in product(range(4), range(5)):
        yield tuple(values[at] for values, at in zip(
            CHOICES.values(), ((i + k) % 3, i, k, (i + k) % 2, (i + k // 2) % 2), strict=True
        ))  # fmt: skip


def outputs(model, rows=WIDE, future=FUTURE):
    return model([rows, future] if len(model.inputs) > 1 else rows, training=False)


def check_combination(values, folder, **changes):
    options = tiny_options(**SMALL, **changes, **dict(zip(CHOICES, values, strict=True)))
    model = randomised(build_network(options, SEVERAL, seed=1, name="combined"))
    found = outputs(model).numpy()
    assert found.shape == (3, 4, 2)
    assert np.isfinite(found).all()
    assert model.output_shape == (None, 4, 2)
    assert [tuple(part.shape) for part in model.inputs] == [(None, LENGTH, 5), (None, 4, 2)][: 1 + options.known_future]
    save_network(model, folder / "model.keras")
    loaded = load_network(folder / "model.keras")
    assert digest(loaded) == digest(model)
    np.testing.assert_array_equal(outputs(loaded), found)


@pytest.mark.parametrize("values", pairs(), ids=str)
def test_any_two_choices_can_be_combined(values, tmp_path):
    check_combination(values, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("values", product(*CHOICES.values()), ids=str)
def test_all_choices_can_be_combined(values, tmp_path):
    check_combination(values, tmp_path)


def test_segments_without_context_are_saved_as_well(tmp_path):
    check_combination(("segments", "none", "last", True, 2), tmp_path, segment_context=False)


def test_pairs_are_all_pairs():
    wanted = {(a, x, b, y) for a, b in product(CHOICES, CHOICES) if a < b for x in CHOICES[a] for y in CHOICES[b]}
    rows = [dict(zip(CHOICES, values, strict=True)) for values in pairs()]
    assert {(a, row[a], b, row[b]) for row in rows for a, b in product(CHOICES, CHOICES) if a < b} == wanted


def test_a_shape_is_as_wide_as_features_and_known_columns():
    assert SEVERAL.width == 5
    assert Shape(7, 4, 0, (1,)).width == 4
    assert (Shape(7, 4, 0, (1,)).steps, Shape(7, 4, 0, (1,)).season) == (1, 1)


def test_the_output_of_a_joint_network_is_ordered_by_step():
    """Output (c, t) of the dense layer is feature t of step c."""
    model = build_network(tiny_options(), SEVERAL, seed=1, name="ordered")
    model.set_weights([np.zeros(weight.shape) for weight in model.get_weights()])
    kernel, _ = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights([kernel, np.arange(8.0)])
    np.testing.assert_array_equal(outputs(model)[0], [[0, 1], [2, 3], [4, 5], [6, 7]])


def test_parts_of_a_forecast_are_added_up():
    options = tiny_options(**SMALL, network="both", highway="per_feature", known_future=True)
    model = randomised(build_network(options, SEVERAL, seed=1, name="summed"))
    layers = ("steps", "segments", "highway", "known_output")
    parts = keras.Model(model.inputs, [model.get_layer(name).output for name in layers])([WIDE, FUTURE])
    np.testing.assert_allclose(outputs(model), np.sum(parts, axis=0), atol=1e-5)


def test_a_single_member_is_not_averaged():
    model = tiny_network(tiny_options())
    assert member_outputs(model) is model


def test_members_are_different_networks_whose_mean_is_forecast():
    options = tiny_options(**SMALL, network="both", window_normalization="last", known_future=True, members=3)
    model = build_network(options, SEVERAL, seed=1, name="three")
    found = [part.numpy() for part in outputs(member_outputs(model))]
    assert [part.shape for part in found] == [(3, 4, 2)] * 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(found[one], found[other], atol=1e-3)
    np.testing.assert_allclose(outputs(model), np.mean(found, axis=0), atol=1e-6)


def alone(options, model, member):
    """A network with the weights of one member."""
    single = build_network(options.model_copy(update={"members": 1}), TINY_STEPS, seed=1, name="alone")
    for layer in single.layers:
        if layer.get_weights():
            layer.set_weights(model.get_layer(f"member_{member}_{layer.name}").get_weights())
    return single


TINY_STEPS = Shape(LENGTH, WIDTH, 0, (0, 1), steps=2)


def test_each_member_learns_as_if_it_were_alone():
    """With a third of the targets unobserved: their share of a batch must count the same for all members."""
    options = tiny_options(
        **SMALL, network="both", highway="shared", window_normalization="last", members=2, optimizer="sgd",
        learning_rate=0.05, l2_reg=0.01,
    )  # fmt: skip
    data = tiny_data()
    data.observed[::3, 0] = 0
    data = replace(data, horizon=2, train_starts=data.train_starts[:-1], validation_starts=data.validation_starts[:-1])
    together = build_network(options, TINY_STEPS, seed=1, name="two")
    members = [alone(options, together, member) for member in (1, 2)]
    before = digest(together)
    history = train_tiny(options, together, data, patience=None)
    assert digest(together) != before
    losses = []
    for member, single in enumerate(members, 1):
        losses.append(train_tiny(options, single, data, patience=None).loss)
        expected = alone(options, together, member)
        for one, other in zip(single.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(history.loss, np.mean(losses, axis=0), rtol=1e-5)


def test_the_known_future_is_the_calendar_of_the_forecast_steps():
    """A row carries the calendar of the step after it: the window's last row and the C - 1 after it are read."""
    options = tiny_options(
        **SMALL, network="segments", known_future=True
    )  # which does not read the calendar of its window
    model = randomised(build_network(options, SEVERAL, seed=1, name="knowing"))
    values, start = np.random.default_rng(8).normal(size=(20, 5)).astype(np.float32), 6
    read = np.arange(start + LENGTH - 1, start + LENGTH + 3)
    poisoned = values.copy()
    poisoned[np.setdiff1d(np.arange(20), read), 3:] = np.nan  # the calendar of every other row
    poisoned[:start], poisoned[start + LENGTH :, :3] = np.nan, np.nan  # and every later value
    changed = []
    for row in read:
        changed.append(values.copy())
        changed[-1][row, 3 + row % 2] += 1
    rows = np.concatenate([values, poisoned, *changed])
    expected, same, *moved = predict_steps(model, rows, start + 20 * np.arange(6), LENGTH)
    np.testing.assert_array_equal(same, expected)
    for step, found in enumerate(moved):
        assert (found != expected).all(axis=1).tolist() == [at == step for at in range(4)]
        assert (found != expected).any(axis=1).tolist() == [at == step for at in range(4)]


def test_the_known_future_has_no_influence_at_first():
    options = tiny_options(known_future=True)
    model = build_network(options, SEVERAL, seed=1, name="knowing")
    np.testing.assert_array_equal(outputs(model), outputs(model, future=FUTURE + 7))
    assert model.get_layer("known_hidden").units == 32


def test_without_known_columns_there_is_no_known_future():
    model = build_network(tiny_options(known_future=True), TINY_STEPS, seed=1, name="bare")
    assert len(model.inputs) == 1


def test_building_the_default_network_leaves_shared_random_states_alone(monkeypatch):
    refuse_shared_random(monkeypatch)
    tiny_network(ModelOptions(units=3, segment_units=4))
