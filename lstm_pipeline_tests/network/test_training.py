import json
import threading
from dataclasses import replace

import keras
import numpy as np
import pytest

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.network import training
from lstm_pipeline.network.batches import gather_windows, inference_batch
from lstm_pipeline.network.training import TrainingSettings, WindowData, predict_steps, settle_batch_norm, train
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline_tests.network.tiny import (
    LENGTH,
    TARGETS,
    WIDTH,
    digest,
    linear_network,
    numpy_windows,
    tiny_data,
    tiny_network,
    tiny_options,
    train_tiny,
    trained_digest,
)

STILL = {"learning_rate": 1e-30, "optimizer": "sgd"}  # the weights do not change, so losses can be computed by hand
LOSSES = {
    "mse": np.square,
    "mae": np.abs,
    "huber": lambda error: np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5),
}


def random_weights(seed=9, scale=0.3):
    return np.random.default_rng(seed).normal(0, scale, size=(LENGTH * WIDTH, TARGETS)).astype(np.float32)


def with_gaps(data: WindowData, poison: float = 0.0) -> WindowData:
    """Every third target of the first feature is unobserved and holds `poison`."""
    observed, targets = data.observed.copy(), data.targets.copy()
    observed[::3, 0], targets[::3, 0] = 0, poison
    return replace(data, observed=observed, targets=targets)


def numpy_loss(data, weights, starts, loss):
    """Mean loss of the observed targets in rows starts + L, in float64."""
    prediction = numpy_windows(data, starts).reshape(len(starts), -1).astype(np.float64) @ weights
    observed = data.observed[starts + LENGTH] > 0
    return loss(prediction - data.targets[starts + LENGTH])[observed].mean()


def test_gathered_windows_are_the_slices_of_the_array():
    data = tiny_data()
    starts = np.array([3, 0, 35, 17])
    windows = gather_windows(data.values, starts, LENGTH)
    np.testing.assert_array_equal(windows, [data.values[start : start + LENGTH] for start in starts])


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_hand_over_all_observed_targets(name):
    data, weights = with_gaps(tiny_data()), random_weights()
    history = train_tiny(tiny_options(loss=name, **STILL), linear_network(weights), data)
    expected = numpy_loss(data, weights, data.train_starts, LOSSES[name])
    assert history.loss == pytest.approx([expected] * 2, rel=1e-5)  # 27 windows in batches of 8, so uneven ones too
    expected = numpy_loss(data, weights, data.validation_starts, LOSSES[name])
    assert history.val_loss == pytest.approx([expected] * 2, rel=1e-5)


def test_validation_averages_exactly_over_a_last_partial_batch(monkeypatch):
    monkeypatch.setattr(training, "inference_batch", lambda *_: 3)  # 8 windows: 3 + 3 + 2
    data, weights = with_gaps(tiny_data()), random_weights()
    history = train_tiny(tiny_options(**STILL), linear_network(weights), data)
    assert history.val_loss[0] == pytest.approx(numpy_loss(data, weights, data.validation_starts, np.square), rel=1e-5)


def test_target_is_the_row_after_the_window():
    """A network that repeats the last row has no error on a series shifted by one row, and only on such a series."""
    repeat_last = np.zeros((LENGTH * WIDTH, TARGETS), np.float32)
    repeat_last[(LENGTH - 1) * WIDTH :][:TARGETS] = np.eye(TARGETS)
    data = tiny_data()
    shifted = replace(data, targets=np.roll(data.values[:, :TARGETS], 1, axis=0))
    for other, is_exact in ((shifted, True), (data, False)):
        history = train_tiny(tiny_options(**STILL), linear_network(repeat_last), other)
        assert (history.loss[0] == 0.0) == (history.val_loss[0] == 0.0) == is_exact


def test_training_is_stochastic_gradient_descent_on_masked_loss_and_l2():
    """The whole loop compared with NumPy: batch order, even batches, mask, penalty, schedule, best weights."""
    data, weights = with_gaps(tiny_data()), random_weights().astype(np.float64)
    window = keras.Input((LENGTH, WIDTH))
    flat = keras.layers.Flatten()(window)
    penalty = keras.regularizers.L2(0.05)
    model = keras.Model(window, keras.layers.Dense(TARGETS, use_bias=False, kernel_regularizer=penalty)(flat))
    model.set_weights([weights.astype(np.float32)])
    options = tiny_options(optimizer="sgd", learning_rate=0.02, learning_rate_schedule="cosine")
    history = train_tiny(options, model, data, epochs=3, batch_size=8, seed=11)

    order, losses, best = np.random.default_rng(11), [], (np.inf, weights)
    for epoch in range(3):
        rate = 0.02 * (1 + np.cos(np.pi * epoch / 3)) / 2
        starts = order.permutation(data.train_starts)
        assert len(starts) == 27
        for batch in (starts[:6], starts[6:13], starts[13:20], starts[20:]):
            x = numpy_windows(data, batch).reshape(len(batch), -1).astype(np.float64)
            observed = data.observed[batch + LENGTH]
            error = observed * (x @ weights - data.targets[batch + LENGTH])
            weights = weights - rate * (2 * x.T @ error / observed.sum() + 2 * 0.05 * weights)
        losses.append(numpy_loss(data, weights, data.validation_starts, np.square))
        best = min(best, (losses[-1], weights), key=lambda pair: pair[0])
    assert history.val_loss == pytest.approx(losses, rel=1e-4)
    np.testing.assert_allclose(model.get_weights()[0], best[1], atol=1e-5)


@pytest.mark.parametrize("poison", [1e9, np.nan])
def test_poisoned_unobserved_targets_change_no_weight(poison):
    clean, dirty = linear_network(random_weights()), linear_network(random_weights())
    assert train_tiny(tiny_options(), clean, with_gaps(tiny_data())).loss == (
        train_tiny(tiny_options(), dirty, with_gaps(tiny_data(), poison)).loss
    )
    assert digest(clean) == digest(dirty)


def test_rows_after_the_training_windows_change_no_weight():
    """Poison from the first validation target on does not affect the weights of an epoch."""
    data = tiny_data()
    first = int(data.validation_starts[0]) + LENGTH
    values, targets = data.values.copy(), data.targets.copy()
    values[first:], targets[first:] = 1e3, -1e3
    clean, dirty = tiny_network(tiny_options(batch_norm=True)), tiny_network(tiny_options(batch_norm=True))
    losses = train_tiny(tiny_options(), clean, data, epochs=1)
    poisoned = train_tiny(tiny_options(), dirty, replace(data, values=values, targets=targets), epochs=1)
    assert digest(clean) == digest(dirty)
    assert losses.val_loss != poisoned.val_loss


@pytest.mark.parametrize(("epochs", "patience", "early"), [(40, 3, True), (5, 30, False)])
def test_best_weights_come_back_after_early_stop_and_after_the_last_epoch(epochs, patience, early):
    """What is learned is wrong for the validation rows; the averages of batch normalisation must come back as well."""
    data = tiny_data()
    data.targets[:] = 1
    data.targets[int(data.validation_starts[0]) + LENGTH :] = -1
    options = tiny_options(learning_rate=0.03, batch_norm=True)
    model = tiny_network(options)
    history = train_tiny(options, model, data, epochs=epochs, patience=patience)
    assert history.stopped_early is early
    assert history.best_epoch < len(history.val_loss)
    assert history.val_loss[history.best_epoch - 1] == min(history.val_loss)
    if early:
        assert len(history.val_loss) == history.best_epoch + patience
    prediction = predict_steps(model, data.values, data.validation_starts, LENGTH)[:, 0]
    loss = np.mean((prediction - data.targets[data.validation_starts + LENGTH]) ** 2)
    assert loss == pytest.approx(min(history.val_loss), rel=1e-5)


def test_min_delta_decides_what_counts_as_progress():
    history = train_tiny(tiny_options(min_delta=1e6), tiny_network(tiny_options()), epochs=9, patience=2)
    assert len(history.loss) == 3  # the first epoch always counts as progress
    assert history.stopped_early


def test_schedules_reach_the_optimizer_and_the_history():
    cosine = train_tiny(tiny_options(learning_rate_schedule="cosine"), tiny_network(tiny_options()), epochs=4)
    assert cosine.learning_rate == pytest.approx([0.01 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)])
    options = tiny_options(learning_rate_schedule="reduce_on_plateau", min_delta=1e6)
    plateau = train_tiny(options, tiny_network(options), epochs=7, patience=6)
    assert plateau.learning_rate == [0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]


def test_reports_and_history():
    reports = []
    history = train_tiny(tiny_options(), tiny_network(tiny_options()), epochs=3, on_epoch=reports.append)
    assert [(report.epoch, report.epochs) for report in reports] == [(1, 3), (2, 3), (3, 3)]
    assert [report.val_loss for report in reports] == history.val_loss
    assert [report.seconds for report in reports] == history.seconds
    assert max(report.epoch for report in reports if report.improved) == history.best_epoch
    assert json.loads(json.dumps(history.to_dict()))["best_epoch"] == history.best_epoch
    assert set(history.to_dict()) == {"loss", "val_loss", "learning_rate", "seconds", "best_epoch", "stopped_early"}


def test_callback_can_end_training():
    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny(tiny_options(), linear_network(random_weights()), on_epoch=stop)


def test_diverging_loss_names_model_epoch_and_cure():
    model = linear_network(random_weights(), name="energy")
    options = tiny_options(optimizer="sgd", learning_rate=1e6)
    with pytest.raises(
        TrainingError, match=r"energy: the loss is not finite in epoch \d+ .* Lower learning_rate.*tanh"
    ):
        train_tiny(options, model, epochs=50, patience=50)


@pytest.mark.parametrize(("row", "part"), [(2, "training nan"), (36, "validation nan")])
def test_value_that_is_not_finite_is_counted(row, part):
    data = tiny_data()
    values = data.values.copy()
    values[row] = np.nan
    with pytest.raises(TrainingError, match=f"epoch 1 .*{part}.*{WIDTH} of the input values are not finite"):
        train_tiny(tiny_options(), linear_network(random_weights()), replace(data, values=values))


@pytest.mark.parametrize(("field", "part"), [("train_starts", "training"), ("validation_starts", "validation")])
def test_no_windows_and_no_observed_target_are_errors(field, part):
    data = tiny_data()
    with pytest.raises(TrainingError, match=f"linear: no {part} windows"):
        train_tiny(tiny_options(), linear_network(random_weights()), replace(data, **{field: np.arange(0)}))
    observed = data.observed.copy()
    observed[getattr(data, field) + LENGTH] = 0
    with pytest.raises(TrainingError, match=f"linear: no observed target in .* {part} windows"):
        train_tiny(tiny_options(), linear_network(random_weights()), replace(data, observed=observed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_starts": np.array([35])}, "expected training windows to start between 0 and 34, got 35 to 35"),
        ({"validation_starts": np.array([-1])}, "validation windows .* got -1 to -1"),
        ({"targets": np.zeros((40, 1), np.float32)}, r"-> \(1,\) for this data, got .* -> \(2,\)"),
        ({"sequence_length": 4}, r"expected a network \(4, 4\)"),
        ({"observed": np.ones((39, 2), np.float32)}, r"got \(40, 2\) and \(39, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        train_tiny(tiny_options(), linear_network(random_weights()), replace(tiny_data(), **changes))


def test_compiled_once_for_all_epochs(monkeypatch):
    traces = []

    def counting(values, starts, length):
        traces.append(length)
        return gather_windows(values, starts, length)

    monkeypatch.setattr(training, "gather_windows", counting)
    train_tiny(tiny_options(), linear_network(random_weights()), epochs=4)
    assert len(traces) == 2 * 3  # training, validation; inputs, targets, flags


def test_one_step_predictions_are_in_order_whatever_the_batch(monkeypatch):
    data, weights = tiny_data(), random_weights()
    starts = np.array([7, 0, 34, 20, 3])
    expected = numpy_windows(data, starts).reshape(5, -1) @ weights
    for batch_size in (1, 2, 256):
        monkeypatch.setattr(training, "inference_batch", lambda length, size=batch_size: size)
        prediction = predict_steps(linear_network(weights), data.values, starts, LENGTH)[:, 0]
        np.testing.assert_allclose(prediction, expected, atol=1e-5)
        assert prediction.dtype == np.float32
    assert predict_steps(linear_network(weights), data.values, starts[:0], LENGTH).shape == (0, 1, TARGETS)


def test_inference_batches_shrink_with_the_square_of_the_window():
    assert [inference_batch(length) for length in (1, 512, 724, 5000)] == [64, 64, 32, 16]


def test_batch_norm_momentum_follows_the_steps_of_an_epoch():
    model = tiny_network(tiny_options(batch_norm=True))
    layer = model.get_layer("batch_norm_1")
    for steps, momentum in ((1, 0.01), (20, 0.01 ** (1 / 20)), (459, 0.99), (10_000, 0.99)):
        settle_batch_norm(model, steps)
        assert layer.momentum == pytest.approx(momentum, abs=1e-4)


def spread_at_inference(options):
    """Standard deviation of the normalised states with the moving averages of one epoch of 20 steps; correct is 1."""
    data = tiny_data(rows=800)
    model = tiny_network(options)
    train_tiny(options, model, data, epochs=1, batch_size=40)
    normalised = keras.Model(model.input, model.get_layer("batch_norm_1").output)
    return np.std(normalised(numpy_windows(data, data.train_starts), training=False), axis=0).mean()


def test_moving_averages_describe_the_data_after_one_epoch(monkeypatch):
    options = tiny_options(batch_norm=True, units=16, learning_rate=0.001)
    assert spread_at_inference(options) == pytest.approx(1, abs=0.1)
    monkeypatch.setattr(training, "settle_batch_norm", lambda model, steps_per_epoch: None)
    assert spread_at_inference(options) > 1.5  # with Keras's momentum: the reason for the function


@pytest.mark.slow
def test_same_seed_same_bits_alone_and_in_threads():
    alone = {seed: trained_digest(seed) for seed in (1, 2)}
    assert alone[1] != alone[2]
    found: dict[int, str] = {}
    threads = [threading.Thread(target=lambda seed=seed: found.update({seed: trained_digest(seed)})) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_same_seed_same_bits_in_any_order():
    def trained(seed):
        options = tiny_options(dropout=0.3)
        model = tiny_network(options, seed)
        train_tiny(options, model, seed=seed)
        return digest(model)

    forwards = {seed: trained(seed) for seed in (1, 2, 3)}
    assert {seed: trained(seed) for seed in (3, 1)} == {seed: forwards[seed] for seed in (3, 1)}


def test_seed_decides_the_order_of_windows():
    models = [linear_network(random_weights()) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train_tiny(tiny_options(), model, seed=seed)
    assert digest(models[0]) == digest(models[1]) != digest(models[2])


def test_default_network_learns_a_rule():
    """The next row is a sum of values of the last one: after a few epochs most of the variance is explained."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(400, WIDTH)).astype(np.float32)
    targets = np.zeros((400, TARGETS), np.float32)
    targets[1:] = values[:-1, :TARGETS] + values[:-1, TARGETS:]
    starts = np.arange(400 - LENGTH)
    data = WindowData(values, targets, np.ones_like(targets), starts[:300], starts[300:], LENGTH)
    options = ModelOptions(units=8, learning_rate=0.02)
    history = train(tiny_network(options), data, options, TrainingSettings(12, patience=12, batch_size=32, seed=0))
    assert min(history.val_loss) < 0.2 * targets.var()


def test_rates_can_be_given():
    model, again, slower = (tiny_network(tiny_options()) for _ in range(3))
    options = tiny_options(learning_rate_schedule="cosine")
    expected = train_tiny(options, model, epochs=4, patience=None)
    found = train_tiny(options, again, epochs=4, patience=None, rates=[*expected.learning_rate, 5.0])
    assert found.learning_rate == expected.learning_rate
    assert digest(again) == digest(model)
    train_tiny(options, slower, epochs=4, patience=None, rates=[0.001] * 4)
    assert digest(slower) != digest(model)
