"""One forecast explained, by hand with linear networks; the shares of a forecast."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.explaining.attribution import attribute
from lstm_pipeline.explaining.lags import Block
from lstm_pipeline.explaining.shares import shares_of
from lstm_pipeline.forecasting import Ensemble, GroupModel
from lstm_pipeline.registry import CalibrationRecord, VariantRecord
from lstm_pipeline.timeseries import next_name
from lstm_pipeline_tests.mill import HORIZON, LENGTH, linear_ensemble, mill_dataset, mill_table


def test_a_linear_ensemble_is_explained_by_weight_times_difference_from_the_mean() -> None:
    """In own units: the scale of the target, the weight, and the scaled input minus its mean over the window."""
    dataset = mill_dataset()
    terms = {"heat": [(1, "load", 0.5), (5, "wind", -2.0)], "load": [(2, "load", 1.0), (3, "load", 0.5)]}
    ensemble = linear_ensemble(dataset, terms, {"warmth": "minmax"})  # each group in units of its own
    history = ensemble.read_history(mill_table())
    found = attribute(ensemble, history, HORIZON)
    assert found.features == ("load", "parts", "heat")
    assert found.steps == (1, 1, 1)
    assert found.origin == "2024-04-17T00:00:00"

    def scaled(group: str, name: str) -> np.ndarray:
        scaler = dataset.scaler({"power": "standard", "warmth": "minmax"}[group])
        window = scaler.transform(dataset.filled.values[-LENGTH:])[:, dataset.columns([name])[0]]
        return window - window.mean()

    by_hand = np.zeros_like(found.values)
    place = {block.label: index for index, block in enumerate(found.blocks)}
    load, wind = (found.inputs.index(name) for name in ("load", "wind"))
    own = {
        name: dataset.scaler(kind).subset([name]).scale[0] for name, kind in (("heat", "minmax"), ("load", "standard"))
    }
    by_hand[2, load, place["1"]] = own["heat"] * 0.5 * scaled("warmth", "load")[-1]
    by_hand[2, wind, place["4–7"]] = own["heat"] * -2.0 * scaled("warmth", "wind")[-5]
    window = scaled("power", "load")
    by_hand[0, load, place["2–3"]] = own["load"] * (window[-2] + 0.5 * window[-3])
    np.testing.assert_allclose(found.values, by_hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.values.sum(axis=(1, 2)), found.forecast - found.baseline, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.forecast, ensemble.forecast(history, 1)[0], rtol=1e-5)


def test_a_plan_is_explained_as_the_steps_ahead() -> None:
    dataset = mill_dataset(future_covariates=["wind"])
    ensemble = linear_ensemble(dataset, {"heat": [(1, next_name("wind"), 1.0)]})
    table = mill_table(130)
    history = ensemble.read_history(planned(table))
    found = attribute(ensemble, history, HORIZON)
    assert found.blocks[0] == Block(0, 0)
    place = found.inputs.index("wind"), 0
    assert np.argwhere(np.abs(found.values[2]) > 1e-4).tolist() == [list(place)]
    scaler = dataset.scaler("standard")
    values = scaler.subset(["wind"]).transform(np.append(history.filled.values[-LENGTH + 1 :, 3], history.plan[0, 0]))
    np.testing.assert_allclose(
        found.values[2][place], scaler.subset(["heat"]).scale[0] * (values[-1] - values.mean()), rtol=1e-3
    )
    with pytest.raises(DataError, match="expected values of wind for 20 steps"):
        attribute(ensemble, history, 20)


def planned(table: pa.Table) -> pa.Table:
    """The last ten rows give `wind` alone."""
    known = table.num_rows - 10
    for name in ("load", "heat", "parts"):
        column = table[name].to_pylist()[:known] + [None] * 10
        table = table.set_column(table.column_names.index(name), name, pa.array(column, table[name].type))
    return table


def test_shares_multiply_the_blend_with_the_weights_of_variants() -> None:
    networks = linear_ensemble(mill_dataset(), {})
    variants = [
        VariantRecord(label="network", weights={"load": 0.25, "parts": 1.0}),
        VariantRecord(label="linear map", weights={"load": 0.75, "parts": 0.0}),
    ]
    power, warmth = networks.models
    power = GroupModel(power.metadata.model_copy(update={"variants": variants}), power.scaler, power.network)
    blend = {
        "load": {"network": 0.8, "seasonal_naive": 0.2, "last_value": 0.0},
        "parts": {"network": 0.5, "seasonal_naive": 0.0, "last_value": 0.5},
        "heat": {"network": 1.0, "seasonal_naive": 0.0, "last_value": 0.0},
    }
    found = shares_of(Ensemble([power, warmth], "v1", CalibrationRecord(blend=blend)))
    assert found == {
        "load": {"linear map": pytest.approx(0.6), "network": pytest.approx(0.2), "seasonal_naive": pytest.approx(0.2)},
        "parts": {"last_value": 0.5, "network": 0.5},
        "heat": {"network": 1.0},
    }
    assert next(iter(found["load"])) == "linear map"
