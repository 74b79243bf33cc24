"""Normalising windows, restoring forecasts and the linear highway, by hand and compared with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.windowing import Columns, Highway, NormalizeWindow, RestoreLevel
from lstm_pipeline.statistics.baselines import seasonal_rows
from lstm_pipeline_tests.network.tiny import randomised, tiny_options

# two features and a calendar column, five rows
WINDOW = np.array([[1, 10, 0.1], [2, 20, 0.2], [4, 40, 0.3], [8, 80, 0.4], [16, 160, 0.5]], np.float32)[None]
KINDS = [("last", 1), ("seasonal", 1), ("seasonal", 3), ("seasonal", 5), ("mean", 1), ("standard", 1)]
GENERATOR = np.random.default_rng(12)


def normalised(kind, season=1):
    return NormalizeWindow(kind, 2, season)(WINDOW).numpy()[0]


def restored(kind, steps, season=1, columns=(0, 1)):
    """The forecast of a network whose output is zero: (C, T)."""
    layer = RestoreLevel(kind, 2, season, list(columns))
    return layer(np.zeros((1, steps, len(columns)), np.float32), WINDOW).numpy()[0]


@pytest.mark.parametrize(
    ("kind", "season", "first"),
    [
        ("last", 1, [-15, -14, -12, -8, 0]),
        ("last", 3, [-15, -14, -12, -8, 0]),  # the season has no effect
        ("seasonal", 1, [-15, -14, -12, -8, 0]),
        ("seasonal", 2, [1 - 16, 2 - 8, 4 - 16, 0, 0]),
        ("seasonal", 3, [1 - 8, 2 - 16, 0, 0, 0]),
        ("seasonal", 4, [1 - 16, 0, 0, 0, 0]),
        ("seasonal", 5, [0, 0, 0, 0, 0]),
        ("mean", 3, np.array([1, 2, 4, 8, 16], np.float32) - np.float32(6.2)),
    ],
)
def test_removing_the_level_by_hand(kind, season, first):
    found = normalised(kind, season)
    np.testing.assert_allclose(found[:, 0], first, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], 10 * np.array(first), rtol=1e-6)


def test_removing_mean_and_deviation_by_hand():
    window = np.array([[1, 5], [3, 5], [1, 5], [3, 5]], np.float32)[None]  # mean 2 and 5, deviation 1 and 0
    found = NormalizeWindow("standard", 2, 1)(window).numpy()[0]
    np.testing.assert_allclose(found[:, 0], np.array([-1, 1, -1, 1]) / np.sqrt(1 + 1e-5), rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], 0)
    forecast = np.array([[[0.0, 0.0], [1.0, 1.0], [-2.0, 0.0]]], np.float32)
    found = RestoreLevel("standard", 2, 1, [1, 0])(forecast, window).numpy()[0]
    root = np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(found, [[5, 2], [5 + np.sqrt(1e-5), 2 + root], [5 - 2 * np.sqrt(1e-5), 2]], rtol=1e-6)


@pytest.mark.parametrize(("kind", "season"), KINDS)
def test_the_calendar_is_left_unchanged(kind, season):
    np.testing.assert_array_equal(normalised(kind, season)[:, 2], WINDOW[0, :, 2])


@pytest.mark.parametrize(
    ("kind", "season", "steps", "first"),
    [
        ("last", 1, 3, [16, 16, 16]),
        ("seasonal", 1, 3, [16, 16, 16]),
        ("seasonal", 3, 1, [4]),
        ("seasonal", 3, 7, [4, 8, 16, 4, 8, 16, 4]),  # more steps than a season has
        ("seasonal", 4, 3, [2, 4, 8]),
        ("seasonal", 5, 6, [1, 2, 4, 8, 16, 1]),
        ("mean", 1, 2, [6.2, 6.2]),
        ("standard", 1, 2, [6.2, 6.2]),
    ],
)
def test_a_forecast_of_zero_is_restored_to_the_level_of_its_step(kind, season, steps, first):
    found = restored(kind, steps, season, columns=(1, 0))
    np.testing.assert_allclose(found[:, 1], first, rtol=1e-6)
    np.testing.assert_allclose(found[:, 0], 10 * np.array(first), rtol=1e-6)


@pytest.mark.parametrize("season", [1, 2, 3, 4, 5])
def test_the_seasonal_level_is_the_seasonal_naive(season):
    expected = WINDOW[0, seasonal_rows(WINDOW.shape[1], 12, season), :2].astype(np.float64)
    np.testing.assert_array_equal(restored("seasonal", 12, season), expected)


@pytest.mark.parametrize(("kind", "season"), KINDS)
def test_a_network_with_output_zero_forecasts_the_level_of_its_window(kind, season):
    """The whole network, in the order of the group's features; each window of a batch has its own level."""
    options = tiny_options(window_normalization=kind, network="both", highway="shared", known_future=True)
    model = build_network(options, Shape(6, 3, 2, (2, 0), 8, season), seed=1, name="silent")
    model.set_weights([np.zeros(weight.shape) for weight in model.get_weights()])
    windows = GENERATOR.normal(10, 2, size=(4, 6, 5)).astype(np.float32)
    found = model([windows, GENERATOR.normal(size=(4, 8, 2)).astype(np.float32)]).numpy()
    features = windows[..., [2, 0]].astype(np.float64)
    if kind in ("mean", "standard"):
        expected = np.repeat(features.mean(axis=1, keepdims=True), 8, axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(found, features[:, seasonal_rows(6, 8, season)])


@pytest.mark.parametrize(("kind", "season"), KINDS)
@pytest.mark.parametrize("network", ["joint", "segments", "both"])
def test_a_feature_on_another_level_is_forecast_on_that_level(network, kind, season):
    options = tiny_options(window_normalization=kind, network=network, highway="per_feature", segment_length=3)
    shape = Shape(6, 3, 1, (2, 0), 7, season)
    model = randomised(build_network(options, shape, seed=1, name="moved"))
    windows = GENERATOR.normal(size=(2, 6, 4)).astype(np.float32)
    moved = windows.copy()
    moved[:, :, 2] += 100  # the first target
    difference = model(moved).numpy() - model(windows).numpy()
    np.testing.assert_allclose(difference[..., 0], 100, atol=1e-2)
    np.testing.assert_allclose(difference[..., 1], 0, atol=1e-3)


@pytest.mark.parametrize("network", ["joint", "segments"])
def test_a_feature_in_another_unit_is_forecast_in_that_unit(network):
    options = tiny_options(window_normalization="standard", network=network, highway="shared", segment_length=3)
    model = randomised(build_network(options, Shape(6, 3, 0, (0, 1), 4), seed=1, name="scaled"))
    windows = GENERATOR.normal(size=(2, 6, 3)).astype(np.float32)
    factors = np.array([50, 0.5, 3], np.float32)
    expected = model(windows).numpy() * factors[:2]
    np.testing.assert_allclose(model(windows * factors).numpy(), expected, rtol=2e-3, atol=2e-3)


def test_none_leaves_the_window_unchanged():
    model = build_network(tiny_options(window_normalization="none"), Shape(6, 3, 0, (0,), 4), seed=1, name="bare")
    assert not [layer for layer in model.layers if isinstance(layer, NormalizeWindow | RestoreLevel)]


# the highway


@pytest.mark.parametrize(("per_feature", "product"), [(False, "blt,lc->bct"), (True, "blt,tlc->bct")])
def test_the_highway_is_a_linear_map_over_time(per_feature, product):
    layer, series = Highway(4, per_feature), GENERATOR.normal(size=(2, 6, 3)).astype(np.float32)
    assert layer(series).shape == (2, 4, 3)
    np.testing.assert_array_equal(layer(series), 0)  # it starts at zero
    shapes = [weight.shape for weight in layer.get_weights()]
    assert shapes == ([(3, 6, 4), (3, 4)] if per_feature else [(6, 4), (4,)])
    kernel, bias = (GENERATOR.normal(size=shape).astype(np.float32) for shape in shapes)
    layer.set_weights([kernel, bias])
    expected = np.einsum(product, series, kernel, dtype=np.float64) + (bias.T if per_feature else bias[:, None])
    np.testing.assert_allclose(layer(series), expected, atol=1e-5)


@pytest.mark.parametrize(("per_feature", "product"), [(False, "blt,bct->lc"), (True, "blt,bct->tlc")])
def test_the_highway_can_leave_zero(per_feature, product):
    layer, series = Highway(4, per_feature), GENERATOR.normal(size=(2, 6, 3)).astype(np.float32)
    targets = GENERATOR.normal(size=(2, 4, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((targets - layer(series)) ** 2) / 2
    kernel, bias = tape.gradient(loss, layer.trainable_variables)
    np.testing.assert_allclose(kernel, -np.einsum(product, series, targets), atol=1e-5)
    expected = targets.sum(axis=0).T if per_feature else targets.sum(axis=(0, 2))
    np.testing.assert_allclose(bias, -expected, atol=1e-5)


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("steps", [6, 4, 1])
def test_a_seasonal_highway_maps_rows_at_the_same_position_in_the_season(steps, per_feature):
    """Eight rows, season 3: two rows are ignored; row s of each season is mapped to row s of the next ones."""
    layer, series = Highway(steps, per_feature, 3), GENERATOR.normal(size=(2, 8, 4)).astype(np.float32)
    ahead = -(-steps // 3)
    assert layer(series).shape == (2, steps, 4)
    shapes = [weight.shape for weight in layer.get_weights()]
    assert shapes == ([(4, 2, ahead), (4, ahead)] if per_feature else [(2, ahead), (ahead,)])
    kernel, bias = (GENERATOR.normal(size=shape).astype(np.float32) for shape in shapes)
    layer.set_weights([kernel, bias])
    found = layer(series).numpy()
    for step in range(steps):
        season, place = divmod(step, 3)
        of_feature = [(kernel[t], bias[t]) if per_feature else (kernel, bias) for t in range(4)]
        expected = [
            series[:, 2 + place, t] * k[0, season] + series[:, 5 + place, t] * k[1, season] + b[season]
            for t, (k, b) in enumerate(of_feature)
        ]
        np.testing.assert_allclose(found[:, step], np.stack(expected, axis=-1), atol=1e-5)


def test_a_highway_of_earlier_releases_has_no_season():
    assert Highway.from_config({"name": "old", "steps": 3, "per_feature": False}).season == 1


def test_columns_are_selected_in_their_order():
    np.testing.assert_array_equal(Columns([2, 0])(WINDOW), WINDOW[..., [2, 0]])


@pytest.mark.parametrize(
    "layer",
    [
        NormalizeWindow("seasonal", 2, 3),
        RestoreLevel("seasonal", 2, 3, [1]),
        RestoreLevel("standard", 2, 3, [1, 0]),
        Columns([2, 0]),
        NormalizeWindow("mean", 2, 1),
        Highway(3, True),
        Highway(3, False, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_config_round_trip(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    inputs = [WINDOW]
    if isinstance(layer, RestoreLevel):
        inputs.insert(0, np.zeros((1, 7, len(layer.target_columns)), np.float32))
    np.testing.assert_array_equal(again(*inputs), layer(*inputs))
    assert again.compute_output_shape(*[part.shape for part in inputs]) == layer(*inputs).shape
