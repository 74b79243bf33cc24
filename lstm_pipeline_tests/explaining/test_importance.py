"""The importance of inputs and lags: a truth that is known must be found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.explaining.importance import Importance, Permutations, permutation_importance
from lstm_pipeline.explaining.lags import Block, grid_of, lag_blocks
from lstm_pipeline.forecasting import Dataset, Ensemble, held_out_origins
from lstm_pipeline.registry import CalibrationRecord
from lstm_pipeline.timeseries import next_name
from lstm_pipeline_tests.mill import LENGTH, linear_ensemble, mill_dataset

ROWS, LAG = 400, 5


def lagged_table() -> pa.Table:
    """`y` is three times the `x` of five days ago; `z` is noise. All are white, so nothing else tells `y`."""
    noise = np.random.default_rng(3).normal(size=(3, ROWS + LAG))
    days = pd.date_range("2024-01-01", periods=ROWS).to_numpy().astype("datetime64[D]")
    x = noise[0]
    return pa.table({"date": days, "x": x[LAG:], "y": 3 * x[:-LAG] + 0.1 * noise[1, LAG:], "z": noise[2, LAG:]})


def lagged_dataset(table: pa.Table | None = None, **changes: Any) -> Dataset:
    groups = {"features_to_predict": ["y"], "feature_groups": {"only": ["y"]}, "models_config": {}, "drop_cols": []}
    return mill_dataset(lagged_table() if table is None else table, **{**groups, **changes})


def importance_of(dataset: Dataset, ensemble: Ensemble, horizon: int = 1, **options: Any) -> Importance:
    first = held_out_origins(dataset, LENGTH, horizon, 40, start=dataset.split.test)
    return permutation_importance(dataset, ensemble, Permutations(first, horizon, **options))


@pytest.mark.parametrize(
    ("most", "ahead", "labels"),
    [
        (8, False, ["1", "2–3", "4–7", "8"]),
        (5, True, ["ahead", "1", "2–3", "4–5"]),
        (1, False, ["1"]),
        (40, False, ["1", "2–3", "4–7", "8–15", "16–31", "32–40"]),
    ],
)
def test_blocks_double(most: int, ahead: bool, labels: list[str]) -> None:
    assert [block.label for block in lag_blocks(most, ahead=ahead)] == labels


def test_an_input_at_lag_five_is_found_and_nothing_else() -> None:
    dataset = lagged_dataset()
    found = importance_of(dataset, linear_ensemble(dataset, {"y": [(LAG, "x", 1.0)]}))
    x, block = found.inputs.index("x"), found.blocks.index(Block(4, 7))
    assert found.features == ("y",)
    assert found.error[0] < 0.1  # the network is the truth, up to the noise
    assert found.rise[0, x, block] > 1.0  # two independent values of unit variance differ by 1.4
    others = found.rise.copy()
    others[0, x, block] = 0.0
    np.testing.assert_array_equal(others, 0.0)
    np.testing.assert_allclose(found.by_input[0, x], found.rise[0, x, block])
    np.testing.assert_allclose(found.by_block[0, block], found.rise[0, x, block])
    assert 0 < found.floor[0] < found.rise[0, x, block] / 4


def test_the_rise_is_that_of_forecasts_from_exchanged_rows() -> None:
    """By hand: two origins exchange the block that contains lag 5."""
    dataset = lagged_dataset()
    ensemble = linear_ensemble(dataset, {"y": [(LAG, "x", 1.0)]})
    first = held_out_origins(dataset, LENGTH, 1, 2, start=dataset.split.test)
    found = permutation_importance(dataset, ensemble, Permutations(first, 1, repeats=1))
    x, y = (
        dataset.scaler("standard").transform(dataset.observed_values)[:, dataset.columns([name])[0]] for name in "xy"
    )
    before = np.sqrt(((x[first - LAG] - y[first]) ** 2).mean())
    after = np.sqrt(((x[first[::-1] - LAG] - y[first]) ** 2).mean())
    at = (0, found.inputs.index("x"), found.blocks.index(Block(4, 7)))
    np.testing.assert_allclose(found.error, before, rtol=1e-4)
    np.testing.assert_allclose(found.rise[at], after - before, rtol=1e-4)


def test_the_seed_decides_and_repeats_make_no_difference_to_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = lagged_dataset()
    ensemble = linear_ensemble(dataset, {"y": [(LAG, "x", 1.0)]})
    once, again, other = (importance_of(dataset, ensemble, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(once.rise, again.rise)
    assert not np.array_equal(once.rise, other.rise)
    monkeypatch.setattr("lstm_pipeline.explaining.importance.MOST_CELLS", 1)  # a repeat at a time
    np.testing.assert_allclose(importance_of(dataset, ensemble, seed=4).rise, once.rise, rtol=1e-6)


def test_a_covariates_plan_belongs_to_the_steps_ahead() -> None:
    dataset = lagged_dataset(future_covariates=["x"])
    ahead = linear_ensemble(dataset, {"y": [(1, next_name("x"), 1.0)]})
    past = linear_ensemble(dataset, {"y": [(2, next_name("x"), 1.0)]})  # the next value of the row before the last
    for ensemble, block in ((ahead, Block(0, 0)), (past, Block(1, 1))):
        found = importance_of(dataset, ensemble)
        at = np.unravel_index(np.abs(found.rise[0]).argmax(), found.rise[0].shape)
        assert (found.inputs[at[0]], found.blocks[at[1]]) == ("x", block)
        assert np.count_nonzero(found.rise) == 1


def test_naive_forecasts_count_by_their_weight() -> None:
    """A network that ignores everything, blended half and half with the last value: only `y` at lag 1 matters."""
    dataset = lagged_dataset()
    networks = linear_ensemble(dataset, {})
    blend = CalibrationRecord(blend={"y": {"network": 0.5, "seasonal_naive": 0.0, "last_value": 0.5}})
    found = importance_of(dataset, Ensemble(networks.models, "v1", blend))
    assert np.argwhere(found.rise[0]).tolist() == [[found.inputs.index("y"), found.blocks.index(Block(1, 1))]]


def test_the_grid_reaches_back_to_the_season_if_that_is_blended_in() -> None:
    dataset = lagged_dataset(season_length=20)
    networks = linear_ensemble(dataset, {})
    blend = CalibrationRecord(blend={"y": {"network": 0.5, "seasonal_naive": 0.5, "last_value": 0.0}})
    assert grid_of(networks, 3).blocks[-1] == Block(8, 8)
    assert grid_of(Ensemble(networks.models, "v1", blend), 3).blocks[-1] == Block(16, 20)
    np.testing.assert_array_equal(grid_of(networks, 3).naive, [[20, 19, 18], [1, 1, 1]])


def test_correlated_inputs_are_exchanged_together_as_well() -> None:
    """`x` has a twin and the network reads half of each: each alone is worth about half of the two."""
    table = lagged_table()
    twin = -2 * table["x"].to_numpy() + 5  # correlated by -1
    dataset = lagged_dataset(table.append_column("twin", pa.array(twin)))
    ensemble = linear_ensemble(dataset, {"y": [(LAG, "x", 0.5), (LAG, "twin", -0.5)]})
    found = importance_of(dataset, ensemble)
    assert found.together == (("twin", "x"),)
    alone = found.by_input[0][[found.inputs.index(name) for name in ("twin", "x")]]
    np.testing.assert_allclose(alone[0], alone[1], rtol=1e-4)
    whole = importance_of(dataset, linear_ensemble(dataset, {"y": [(LAG, "x", 1.0)]}))
    np.testing.assert_allclose(found.together_rise, [[whole.by_input[0, whole.inputs.index("x")]]], rtol=1e-3)
    assert found.together_rise[0, 0] > 1.8 * alone[0]


def test_one_origin_is_too_few() -> None:
    dataset = lagged_dataset()
    with pytest.raises(DataError, match="expected at least 2 held-out origins of 1 step, found 1; extend the data"):
        permutation_importance(dataset, linear_ensemble(dataset, {}), Permutations(np.array([380]), 1))
