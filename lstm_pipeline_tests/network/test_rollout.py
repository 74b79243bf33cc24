import keras
import numpy as np
import pytest

from lstm_pipeline.network import rollout
from lstm_pipeline.network.rollout import RollModel, RollOut
from lstm_pipeline.network.training import predict_steps
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline_tests.network.tiny import (
    LENGTH,
    knowing_network,
    linear_network,
    linear_steps_network,
    tiny_network,
)

GENERATOR = np.random.default_rng(3)


def member(model, columns, width, scale=1.0, shift=0.0):
    """A model whose units are common units · scale + shift, with a different pair for each column."""
    factor = 1 + np.arange(width) / 7 if scale != 1 else np.ones(width)
    input_scale, input_shift = scale * factor, shift * factor
    columns = np.array(columns)
    output_scale = 1 / input_scale[columns]
    return RollModel(model, columns, input_scale, input_shift, output_scale, -input_shift[columns] * output_scale)


def step_network(slope: float, width: int, columns: list[int], name: str = "step") -> keras.Model:
    """Repeats `columns` of the last row and adds `slope`: Cropping and a fixed Dense."""
    window = keras.Input((LENGTH, width))
    last = keras.layers.Flatten()(keras.layers.Cropping1D((LENGTH - 1, 0))(window))
    dense = keras.layers.Dense(len(columns))
    model = keras.Model(window, dense(last), name=name)
    model.set_weights([np.eye(width, dtype=np.float32)[:, columns], np.full(len(columns), slope, np.float32)])
    return model


def random_linear(width, targets, seed):
    weights = np.random.default_rng(seed).normal(0, 0.1, size=(LENGTH * width, targets)).astype(np.float32)
    return linear_network(weights, width, f"linear_{seed}"), weights


def numpy_roll(members, matrices, known_columns, window, known):
    """One origin, in float64, one step and one model at a time, columns set one by one: (L, D), (H, K) -> (H, P)."""
    rows, window = [], window.astype(np.float64)
    for future in known:
        row, predicted = np.full(window.shape[1], np.nan), []
        for part, matrix in zip(members, matrices, strict=True):
            output = (window * part.input_scale + part.input_shift).ravel() @ matrix
            row[part.columns] = output * part.output_scale + part.output_shift
            predicted.append(row[part.columns])
        row[known_columns] = future
        rows.append(np.concatenate(predicted))
        window = np.vstack([window[1:], row])
    return np.array(rows)


def no_known(origins, horizon):
    return np.zeros((origins, horizon, 0), np.float32)


def test_persistence_with_a_constant_continues_a_known_sequence_exactly():
    start = np.arange(LENGTH, dtype=np.float32)
    window = np.stack([start, 100 + start], axis=1)[None]  # both columns grow by one per row
    roll = RollOut([member(step_network(1.0, 2, [0, 1]), [0, 1], 2)], np.array([], int), 2)
    expected = np.stack([LENGTH + np.arange(7), 100 + LENGTH + np.arange(7)], axis=1)
    np.testing.assert_array_equal(roll(window, no_known(1, 7)), expected[None])


def test_constant_is_added_in_the_models_own_units():
    model = step_network(1.0, 1, [0])
    part = RollModel(model, np.array([0]), np.array([2.0]), np.array([3.0]), np.array([0.5]), np.array([-1.5]))
    roll = RollOut([part], np.array([], int), 1)
    window = np.full((1, LENGTH, 1), 10, np.float32)
    np.testing.assert_array_equal(roll(window, no_known(1, 3))[0, :, 0], [10.5, 11, 11.5])


def test_one_step_is_the_one_step_prediction():
    options = ModelOptions(units=3, attention_heads=2)
    model = tiny_network(options)  # predicts 2 of 4 columns
    values = GENERATOR.normal(size=(12, 4)).astype(np.float32)
    starts = np.arange(12 - LENGTH)
    roll = RollOut([member(model, [2, 0], 4)], np.array([1, 3]), 4)
    windows = np.stack([values[start : start + LENGTH] for start in starts])
    rolled = roll(windows, np.zeros((len(starts), 1, 2), np.float32))
    np.testing.assert_allclose(rolled[:, 0], predict_steps(model, values, starts, LENGTH)[:, 0], atol=1e-6)


def two_members():
    """Columns 3 and 0, and 4, each in different units; 1 and 2 are known."""
    (first, one), (second, two) = random_linear(5, 2, seed=1), random_linear(5, 1, seed=2)
    members = [member(first, [3, 0], 5, scale=2.5, shift=-0.7), member(second, [4], 5, scale=0.3, shift=1.1)]
    return members, [one, two], np.array([2, 1])


def test_two_models_in_different_units_match_numpy():
    members, matrices, known_columns = two_members()
    windows = GENERATOR.normal(size=(4, LENGTH, 5)).astype(np.float32)
    known = GENERATOR.normal(size=(4, 9, 2)).astype(np.float32)
    rolled = RollOut(members, known_columns, 5)(windows, known)
    assert rolled.shape == (4, 9, 3)
    assert rolled.dtype == np.float32
    for origin in range(4):
        expected = numpy_roll(members, matrices, known_columns, windows[origin], known[origin])
        np.testing.assert_allclose(rolled[origin], expected, atol=1e-5)


def test_known_values_belong_to_the_row_of_their_step():
    """A network that copies the last row's known columns: the window's own in step 0, known[:, h] in step h + 1."""
    model = step_network(0.0, 4, [1, 2])  # predicts columns 0 and 3 as copies of 1 and 2
    roll = RollOut([member(model, [0, 3], 4)], np.array([2, 1]), 4)
    window = GENERATOR.normal(size=(1, LENGTH, 4)).astype(np.float32)
    known = GENERATOR.normal(size=(1, 5, 2)).astype(np.float32)  # columns 2, 1
    rolled = roll(window, known)
    np.testing.assert_array_equal(rolled[0, 0], window[0, -1, [1, 2]])
    np.testing.assert_array_equal(rolled[0, 1:], known[0, :-1, ::-1])


def test_many_origins_at_once_are_the_same_as_one_by_one(monkeypatch):
    monkeypatch.setattr(rollout, "inference_batch", lambda *_: 3)  # chunks of 3, 3 and 1
    members, _, known_columns = two_members()
    roll = RollOut(members, known_columns, 5)
    windows = GENERATOR.normal(size=(7, LENGTH, 5)).astype(np.float32)
    known = GENERATOR.normal(size=(7, 4, 2)).astype(np.float32)
    together = roll(windows, known)
    apart = np.concatenate([roll(windows[[origin]], known[[origin]]) for origin in range(7)])
    np.testing.assert_allclose(together, apart, atol=1e-6)
    assert roll(windows[:0], known[:0]).shape == (0, 4, 3)


def test_traced_once_for_all_numbers_of_origins_and_steps():
    members, _, known_columns = two_members()
    roll = RollOut(members, known_columns, 5)
    for origins, horizon in ((1, 3), (6, 3), (1, 8), (600, 2)):
        result = roll(np.zeros((origins, LENGTH, 5), np.float32), np.zeros((origins, horizon, 2), np.float32))
        assert result.shape == (origins, horizon, 3)
    assert roll._roll.experimental_get_tracing_count() == 1


def test_inference_has_no_dropout():
    model = tiny_network(ModelOptions(units=3, dropout=0.5, recurrent_dropout=0.5))
    roll = RollOut([member(model, [0, 1], 4)], np.array([2, 3]), 4)
    windows, known = GENERATOR.normal(size=(2, LENGTH, 4)), GENERATOR.normal(size=(2, 6, 2))
    np.testing.assert_array_equal(roll(windows, known), roll(windows, known))


@pytest.mark.parametrize(("columns", "known"), [([0], [1]), ([0, 1], [1, 2]), ([0, 3], [1]), ([0, 2], [-1])])
def test_predicted_and_known_columns_must_be_a_partition(columns, known):
    model = step_network(0.0, 3, columns[:1] * len(columns))
    with pytest.raises(ValueError, match="every column from 0 to 2 exactly once"):
        RollOut([RollModel(model, np.array(columns), *[np.ones(3)] * 2, *[np.ones(len(columns))] * 2)], known, 3)


def test_shapes_that_do_not_match_are_refused():
    model = step_network(0.0, 2, [0], name="short")
    good = member(model, [0], 2)
    with pytest.raises(ValueError, match="at least one model"):
        RollOut([], np.array([0, 1]), 2)
    with pytest.raises(ValueError, match=r"short: expected a network \(5, 2\) -> \(2,\), got \(5, 2\) -> \(1,\)"):
        RollOut([RollModel(model, np.array([0, 1]), *[np.ones(2)] * 4)], np.array([], int), 2)
    with pytest.raises(ValueError, match=r"short: expected output scale and shift of shape \(1,\)"):
        RollOut([RollModel(model, np.array([0]), *[np.ones(2)] * 4)], np.array([1]), 2)
    roll = RollOut([good], np.array([1]), 2)
    with pytest.raises(ValueError, match=r"expected windows \(B, 5, 2\), got \(1, 4, 2\)"):
        roll(np.zeros((1, 4, 2)), np.zeros((1, 3, 1)))
    with pytest.raises(ValueError, match=r"expected known values \(1, H, 1\), got \(2, 3, 1\)"):
        roll(np.zeros((1, LENGTH, 2)), np.zeros((2, 3, 1)))


# models that forecast several steps per pass


def several(width, targets, steps, seed):
    weights = np.random.default_rng(seed).normal(0, 0.1, size=(LENGTH * width, steps * targets)).astype(np.float32)
    return linear_steps_network(weights, steps, width, f"linear_{seed}"), weights


def numpy_chunks(members, matrices, steps, known_columns, window, known):
    """As `numpy_roll`; a model makes a new forecast when its last one is used up."""
    rows, window, chunks = [], window.astype(np.float64), [None] * len(members)
    for step, future in enumerate(known):
        row, predicted = np.full(window.shape[1], np.nan), []
        for index, (part, matrix, count) in enumerate(zip(members, matrices, steps, strict=True)):
            if step % count == 0:
                output = (window * part.input_scale + part.input_shift).ravel() @ matrix
                chunks[index] = output.reshape(count, -1) * part.output_scale + part.output_shift
            row[part.columns] = chunks[index][step % count]
            predicted.append(row[part.columns])
        row[known_columns] = future
        rows.append(np.concatenate(predicted))
        window = np.vstack([window[1:], row])
    return np.array(rows)


@pytest.mark.parametrize("steps", [(1, 2, 3), (3, 2, 2), (2, 4, 6), (9, 1, 3), (8, 8, 8)], ids=str)
def test_models_with_different_steps_per_pass_match_numpy(steps):
    counts = (2, 1, 1)
    parts = [several(6, count, each, seed) for seed, (count, each) in enumerate(zip(counts, steps, strict=True))]
    columns = ([3, 0], [4], [1])
    members = [
        member(model, names, 6, scale=scale, shift=shift)
        for (model, _), names, scale, shift in zip(parts, columns, (2.5, 0.3, 1), (-0.7, 1.1, 0), strict=True)
    ]
    known_columns = np.array([2, 5])
    windows = np.random.default_rng(4).normal(size=(3, LENGTH, 6)).astype(np.float32)
    roll, matrices = RollOut(members, known_columns, 6), [matrix for _, matrix in parts]
    for horizon in (1, 2, 5, 7, 12):
        known = np.random.default_rng(horizon).normal(size=(3, horizon, 2)).astype(np.float32)
        found = roll(windows, known)
        assert found.shape == (3, horizon, 4)
        for origin in range(3):
            expected = numpy_chunks(members, matrices, steps, known_columns, windows[origin], known[origin])
            np.testing.assert_allclose(found[origin], expected, atol=1e-5)
    assert roll._roll.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("steps", [(1, 1), (1, 3), (2, 3), (5, 5)], ids=str)
def test_the_known_future_comes_from_the_row_before_each_forecast_row(steps):
    """The calendar of step h is in row h - 1: in the window's last row, then in `known`."""
    # columns: 0 and 1 predicted, 2 context, 3 and 4 calendar; scaling must not affect the calendar
    members = [
        RollModel(
            knowing_network(count, 2, 5), np.array([column]), np.array([2, 3, 4, 1, 1.0]), np.array([1, 1, 1, 0, 0.0]),
            np.ones(1), np.zeros(1),
        )
        for column, count in enumerate(steps)
    ]  # fmt: skip
    roll = RollOut(members, np.array([2, 3, 4]), 5)
    windows = np.random.default_rng(4).normal(size=(2, LENGTH, 5)).astype(np.float32)
    for horizon in (1, 4, 7):
        known = np.random.default_rng(5).normal(size=(2, horizon, 3)).astype(np.float32)
        expected = np.concatenate([windows[:, -1:, 3], known[:, :-1, 1]], axis=1)
        np.testing.assert_allclose(roll(windows, known), np.stack([expected] * 2, axis=2), atol=1e-6)


def test_a_longer_roll_starts_with_the_shorter_one():
    model, _ = several(4, 2, 3, seed=1)
    roll = RollOut([member(model, [0, 1], 4)], np.array([2, 3]), 4)
    windows = np.random.default_rng(4).normal(size=(2, LENGTH, 4)).astype(np.float32)
    known = np.random.default_rng(5).normal(size=(2, 10, 2)).astype(np.float32)
    longest = roll(windows, known)
    for horizon in range(1, 10):
        np.testing.assert_array_equal(roll(windows, known[:, :horizon]), longest[:, :horizon])
    assert roll._roll.experimental_get_tracing_count() == 1
