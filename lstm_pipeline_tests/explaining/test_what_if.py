"""What-if changes, by hand with linear networks."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.explaining.what_if import Change, parse_change, what_if
from lstm_pipeline.timeseries import next_name
from lstm_pipeline_tests.explaining.test_attribution import planned
from lstm_pipeline_tests.mill import FEATURES, LENGTH, linear_ensemble, mill_dataset, mill_table


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("wind=12", (0.0, 12.0, None)),
        ("wind = -3.5e1", (0.0, -35.0, None)),
        ("wind=+10%", (1.1, 0.0, None)),
        ("wind=-25 %", (0.75, 0.0, None)),
        ("wind+=2", (1.0, 2.0, None)),
        ("wind-=0.5 @ 24", (1.0, -0.5, 24)),
        ("wind=+10%@3", (1.1, 0.0, 3)),
    ],
)
def test_changes_are_read(text: str, change: tuple[float, float, int | None]) -> None:
    found = parse_change(text, FEATURES)
    assert found == Change("wind", pytest.approx(change[0]), pytest.approx(change[1]), change[2], text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "wnd=12",
            r"there is no input 'wnd' among those of the models\. Did you mean 'wind'\? Inputs: heat, load, parts",
        ),
        ("wind", r"expected NAME=VALUE, e\.g\. wind=12, wind=\+10% or wind\+=2, .* found 'wind'"),
        ("wind=much", "expected NAME=VALUE.* found 'wind=much'"),
        ("wind=10%", r"expected a share with its sign, e\.g\. wind=\+10%, found 'wind=10%'"),
        ("wind+=10%", "expected a share with its sign"),
        ("wind=3@0", "expected at least one row after @, found 'wind=3@0'"),
    ],
)
def test_other_texts_end_in_one_message(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_change(text, FEATURES)


def test_the_recent_past_changed_moves_a_linear_forecast_by_the_weight() -> None:
    dataset = mill_dataset()
    ensemble = linear_ensemble(dataset, {"heat": [(3, "wind", 2.0)]})
    history = ensemble.read_history(mill_table())
    found = what_if(ensemble, history, 1, [parse_change("wind+=0.1@3", FEATURES)])
    scaler = dataset.scaler("standard")
    moved = scaler.subset(["heat"]).scale[0] * 2.0 * 0.1 / scaler.subset(["wind"]).scale[0]
    np.testing.assert_allclose(found.change, [[0, 0, moved]], atol=1e-3)
    assert abs(moved) > 1
    assert found.changes == ("wind +0.1 in the last 3 rows of the history",)
    assert found.steps == ("2024-04-18T00:00:00",)
    early = what_if(ensemble, history, 1, [parse_change("wind+=0.1@2", FEATURES)])  # lag 3 keeps its value
    np.testing.assert_array_equal(early.change, 0.0)
    whole = what_if(ensemble, history, 1, [parse_change("wind=1@500", FEATURES)])
    assert whole.changes == (f"wind = 1 in the last {LENGTH} rows of the history",)


def test_a_plan_changed_moves_the_steps_that_read_it() -> None:
    dataset = mill_dataset(future_covariates=["wind"])
    ensemble = linear_ensemble(dataset, {"heat": [(1, next_name("wind"), 1.0)]})
    history = ensemble.read_history(planned(mill_table(130)))
    found = what_if(ensemble, history, 4, [parse_change("wind=+50%@2", FEATURES)])
    scaler = dataset.scaler("standard")
    factor = scaler.subset(["heat"]).scale[0] / scaler.subset(["wind"]).scale[0]
    by_hand = np.append(0.5 * history.plan[:2, 0] * factor, [0, 0])
    np.testing.assert_allclose(found.change[:, 2], by_hand, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.change[:, :2], 0.0)
    assert found.changes == ("wind +50 % in the plan of the next 2 steps",)
    np.testing.assert_array_equal(history.plan, ensemble.read_history(planned(mill_table(130))).plan)


def test_changes_add_up() -> None:
    ensemble = linear_ensemble(mill_dataset(), {"heat": [(1, "wind", 1.0), (1, "load", 1.0)]})
    history = ensemble.read_history(mill_table())
    wind, load = (parse_change(text, FEATURES) for text in ("wind+=0.2", "load-=3"))
    both = what_if(ensemble, history, 1, [wind, load]).change
    alone = [what_if(ensemble, history, 1, [change]).change for change in (wind, load)]
    np.testing.assert_allclose(both, alone[0] + alone[1], atol=1e-3)
