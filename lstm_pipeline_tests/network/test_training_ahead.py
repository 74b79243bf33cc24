"""Training on several steps at a time, and through a roll, compared with NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.network.training import predict_steps
from lstm_pipeline_tests.network.test_training import LOSSES, STILL, random_weights, with_gaps
from lstm_pipeline_tests.network.tiny import (
    LENGTH,
    TARGETS,
    WIDTH,
    knowing_network,
    linear_network,
    linear_steps_network,
    tiny_data,
    tiny_options,
    train_tiny,
)


def several_steps(steps, horizon=None, **changes):
    """`tiny_data` for several steps: unobserved targets are 1e9, and all targets of a window exist."""
    data = with_gaps(tiny_data(), poison=1e9)
    lost = (horizon or steps) - 1
    starts = {"train_starts": data.train_starts[: len(data.train_starts) - lost]}
    starts["validation_starts"] = data.validation_starts[: len(data.validation_starts) - lost]
    return replace(data, horizon=horizon or steps, **{**starts, **changes})


def steps_weights(steps, seed=9):
    shape = (LENGTH * WIDTH, steps * TARGETS)
    return np.random.default_rng(seed).normal(0, 0.2, size=shape).astype(np.float32)


def numpy_forecast(data, weights, starts, steps, columns=None):
    """Each window separately, in float64; beyond the first pass, the target columns contain the forecasts."""
    found = []
    for start in starts:
        rows = data.values[start : start + LENGTH + data.horizon].astype(np.float64)
        for first in range(0, data.horizon, steps):
            ahead = (rows[first : first + LENGTH].ravel() @ weights).reshape(steps, TARGETS)
            found.append(ahead)
            if columns is not None:
                rows[first + LENGTH : first + LENGTH + steps, columns] = ahead
    return np.reshape(found, (len(starts), data.horizon, TARGETS))


def numpy_steps_loss(data, weights, starts, steps, loss=np.square, columns=None):
    rows = starts[:, None] + LENGTH + np.arange(data.horizon)
    error = numpy_forecast(data, weights, starts, steps, columns) - data.targets[rows]
    return loss(error)[data.observed[rows] > 0].mean()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_hand_over_all_steps_of_all_windows(name):
    data, weights = several_steps(3), steps_weights(3)
    history = train_tiny(tiny_options(loss=name, **STILL), linear_steps_network(weights, 3), data, epochs=1)
    for found, starts in ((history.loss, data.train_starts), (history.val_loss, data.validation_starts)):
        assert found == pytest.approx([numpy_steps_loss(data, weights, starts, 3, LOSSES[name])], rel=1e-5)


def test_predictions_of_several_steps_are_in_order():
    data, weights = tiny_data(), steps_weights(3)
    starts = np.array([7, 0, 32])
    found = predict_steps(linear_steps_network(weights, 3), data.values, starts, LENGTH)
    expected = numpy_forecast(replace(data, horizon=3), weights, starts, 3)
    assert found.shape == (3, 3, TARGETS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert predict_steps(linear_steps_network(weights, 3), data.values, starts[:0], LENGTH).shape == (0, 3, TARGETS)


@pytest.mark.parametrize(("steps", "horizon"), [(2, 4), (1, 3), (2, 8), (6, 12)])
def test_a_roll_reads_forecasts_in_the_target_columns_and_observed_values_in_all_others(steps, horizon):
    """Targets are columns 2 and 0, so that nothing is right by accident; twelve steps exceed the window."""
    columns = [2, 0]
    data = several_steps(steps, horizon, target_columns=tuple(columns))
    if horizon > 8:
        data = replace(data, validation_starts=data.train_starts[-2:])
    weights = steps_weights(steps)
    history = train_tiny(tiny_options(**STILL), linear_steps_network(weights, steps), data, epochs=1)
    for found, starts in ((history.loss, data.train_starts), (history.val_loss, data.validation_starts)):
        expected = numpy_steps_loss(data, weights, starts, steps, columns=columns)
        assert found == pytest.approx([expected], rel=1e-4)
        assert numpy_steps_loss(data, weights, starts, steps) != pytest.approx(expected, rel=2e-3)


def test_gradients_reach_back_through_a_roll():
    """One step of gradient descent compared with central differences."""
    columns = [2, 0]
    data, weights = several_steps(2, 4, target_columns=tuple(columns)), steps_weights(2).astype(np.float64)
    starts = data.train_starts[:6]
    data, model = replace(data, train_starts=starts), linear_steps_network(weights.astype(np.float32), 2)
    options = tiny_options(optimizer="sgd", learning_rate=0.1)
    train_tiny(options, model, data, epochs=1, batch_size=6, patience=None)
    gradient = np.empty_like(weights)
    for place in np.ndindex(weights.shape):
        moved = []
        for change in (1e-4, -1e-4):
            other = weights.copy()
            other[place] += change
            moved.append(numpy_steps_loss(data, other, starts, 2, columns=columns))
        gradient[place] = (moved[0] - moved[1]) / 2e-4
    np.testing.assert_allclose(model.get_weights()[0], weights - 0.1 * gradient, atol=1e-5)


def test_a_roll_reads_no_value_of_its_targets_after_the_window():
    data, weights = several_steps(2, 6, target_columns=(2, 0)), steps_weights(2)
    only = data.validation_starts[-1:]
    first = int(only[0]) + LENGTH

    def loss_with(columns):
        values = data.values.copy()
        values[first:, columns] = 1e6
        part = replace(data, values=values, train_starts=only, validation_starts=only)
        return train_tiny(tiny_options(**STILL), linear_steps_network(weights, 2), part, epochs=1).val_loss

    assert loss_with([2, 0]) == loss_with([])
    assert loss_with([1]) != loss_with([])  # an observed value in another column is read


def test_without_patience_all_epochs_are_trained_and_the_last_weights_kept():
    """With a learning rate that makes every epoch worse."""
    data, model, weights, reports = tiny_data(), linear_network(random_weights()), [], []
    options = tiny_options(optimizer="sgd", learning_rate=1.0, learning_rate_schedule="reduce_on_plateau")

    def heard(report):
        reports.append(report)
        weights.append(model.get_weights()[0])

    data = replace(data, validation_starts=data.validation_starts[:0])  # not needed
    history = train_tiny(options, model, data, epochs=4, patience=None, on_epoch=heard)
    assert (len(history.loss), history.best_epoch, history.stopped_early) == (4, 4, False)
    assert min(history.loss) == history.loss[0]
    assert history.val_loss == history.loss
    assert all(report.improved for report in reports)
    np.testing.assert_array_equal(model.get_weights()[0], weights[-1])
    assert not np.array_equal(weights[-1], weights[0])


@pytest.mark.parametrize(("steps", "horizon"), [(3, 3), (2, 4)])
def test_the_last_window_ends_where_the_rows_do(steps, horizon):
    last = 40 - LENGTH - horizon
    data = several_steps(steps, horizon, target_columns=(0, 1), validation_starts=np.array([last]))
    history = train_tiny(tiny_options(**STILL), linear_steps_network(steps_weights(steps), steps), data, epochs=1)
    columns = [0, 1] if horizon > steps else None
    expected = numpy_steps_loss(data, steps_weights(steps), np.array([last]), steps, columns=columns)
    assert history.val_loss == pytest.approx([expected], rel=1e-5)
    data = replace(data, validation_starts=np.array([last + 1]))
    message = f"expected validation windows to start between 0 and {last}, got {last + 1} to {last + 1}"
    with pytest.raises(ValueError, match=message):
        train_tiny(tiny_options(), linear_steps_network(steps_weights(steps), steps), data)


@pytest.mark.parametrize(
    ("horizon", "columns", "message"),
    [
        (3, (0, 1), "expected the horizon to be a multiple of 2 steps, got 3"),
        (1, (0, 1), "expected the horizon to be a multiple of 2 steps, got 1"),
        (4, (), "expected 2 target columns for a roll, got 0"),
    ],
)
def test_a_horizon_that_does_not_fit_is_refused(horizon, columns, message):
    data = several_steps(2, horizon, target_columns=columns)
    with pytest.raises(ValueError, match=message):
        train_tiny(tiny_options(), linear_steps_network(steps_weights(2), 2), data)


def test_no_windows_for_several_steps_say_how_many_rows_one_takes():
    data = several_steps(2, 4, target_columns=(0, 1))
    with pytest.raises(TrainingError, match=r"linear: no training windows\. A window takes 5 rows and the 4 after"):
        train_tiny(tiny_options(), linear_steps_network(steps_weights(2), 2), replace(data, train_starts=np.arange(0)))


def test_one_observed_target_at_the_last_step_of_a_window_is_enough():
    data = several_steps(3)
    only = data.validation_starts[:1]
    observed = data.observed.copy()
    observed[data.validation_starts[0] + LENGTH :] = 0
    observed[only[0] + LENGTH + 2, 1] = 1
    history = train_tiny(
        tiny_options(**STILL), linear_steps_network(steps_weights(3), 3),
        replace(data, observed=observed, validation_starts=only), epochs=1,
    )  # fmt: skip
    expected = numpy_forecast(data, steps_weights(3), only, 3)[0, 2, 1] - data.targets[only[0] + LENGTH + 2, 1]
    assert history.val_loss == pytest.approx([expected**2], rel=1e-5)


def test_the_known_future_rolls_along_in_training():
    """A network that repeats the last column forecasts, at each step of a roll, its value in the row before."""
    data = replace(tiny_data(), horizon=6, target_columns=(0, 1))
    targets = np.roll(data.values[:, [3, 3]], 1, axis=0)
    data = replace(data, targets=targets, train_starts=np.arange(5), validation_starts=np.arange(5, 25))
    assert train_tiny(tiny_options(**STILL), knowing_network(2, 1, targets=2), data, epochs=1).val_loss == [0.0]
    network = knowing_network(3, 1, targets=2)
    np.testing.assert_array_equal(predict_steps(network, data.values, np.array([4]), LENGTH)[0], targets[9:12])
