"""Candidate and champion: which rows both are scored on, what the rule makes of it, and what is published.

The models are linear networks with known errors. On a ramp that rises by s a row, a forecast of the last value is wrong
by s·h at lead time h, and one of the value a week before by 7s; the unit of both is the change over a season, 7s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.calibration import METHODS
from lstm_pipeline.forecasting.champion import Comparison, Contender, compare, verdict
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.unseen import first_unseen
from lstm_pipeline.spec.automation import Promote
from lstm_pipeline.statistics import scaled_rmse
from lstm_pipeline_tests.mill import (
    HORIZON,
    linear_ensemble,
    linear_member,
    mill_dataset,
    mill_table,
    with_column,
)

NAMES = ["load", "parts", "heat"]
LAST = {name: [(1, name, 1.0)] for name in NAMES}
WEEK = {name: [(7, name, 1.0)] for name in NAMES}
OF_LAST = np.sqrt(11) / 7  # over 5 steps: √((1 + 4 + 9 + 16 + 25) / 5) of 7
OF_WEEK = 1.0
IF_BETTER = {"rule": "if_better"}


def ramp_table(rows: int = 120) -> pa.Table:
    days = np.arange(rows)
    table = with_column(mill_table(rows), "load", 2.0 * days)
    table = with_column(table, "parts", 3 * days)
    return with_column(table, "heat", 5.0 * days)


def contender(dataset: Dataset, group: str, terms: Any, weights: Any = (1.0, 0.0, 0.0)) -> Contender:
    ensemble = Ensemble([linear_member(dataset, group, terms)])
    return Contender(ensemble, np.tile(np.array(weights), (len(ensemble.predicted), 1)))


# comparing


def test_errors_rows_and_origins_are_exact() -> None:
    dataset = mill_dataset(ramp_table())
    found = compare(dataset, contender(dataset, "power", LAST), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert (found.rows, found.origins) == (24, 20)
    assert found.challenger == pytest.approx(OF_LAST, rel=1e-5)
    assert found.champion == pytest.approx(OF_WEEK, rel=1e-5)
    assert found.features["parts"] == pytest.approx((OF_LAST, OF_WEEK), rel=1e-5)


def test_a_groups_error_is_the_mean_over_its_features() -> None:
    dataset = mill_dataset(ramp_table())
    mixed = {"load": LAST["load"], "parts": WEEK["parts"]}
    found = compare(dataset, contender(dataset, "power", mixed), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert found.challenger == pytest.approx((OF_LAST + OF_WEEK) / 2, rel=1e-5)


def test_the_blend_counts_as_it_is_used() -> None:
    """Half of the last value and half of the seasonal naive forecast: wrong by s (h + 7) / 2."""
    dataset = mill_dataset(ramp_table())
    weights = [0.5 * (name != "last_value") for name in METHODS]
    blended = contender(dataset, "warmth", LAST, weights)
    found = compare(dataset, blended, contender(dataset, "warmth", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert found.challenger == pytest.approx(np.sqrt(np.mean([((h + 7) / 14) ** 2 for h in range(1, 6)])), rel=1e-5)


@pytest.mark.parametrize(("start", "horizon", "origins"), [(100, HORIZON, 16), (100, 10, 11), (100, 30, 11)])
def test_the_horizon_is_at_most_half_of_the_rows(start: int, horizon: int, origins: int) -> None:
    dataset = mill_dataset(ramp_table())
    found = compare(dataset, *[contender(dataset, "warmth", LAST)] * 2, start, horizon)
    assert isinstance(found, Comparison)
    assert (found.rows, found.origins) == (20, origins)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (101, "only 19 rows are new to both models, and a comparison needs 20"),
        (119, "only 1 row is new to both models"),
        (120, "no rows are new to both models, and a comparison needs 20"),
        (130, "no rows are new"),
    ],
)
def test_too_few_rows_are_no_comparison(start: int, message: str) -> None:
    dataset = mill_dataset(ramp_table())
    found = compare(dataset, *[contender(dataset, "warmth", LAST)] * 2, start, HORIZON)
    assert isinstance(found, str)
    assert message in found


def test_rows_without_an_observed_value_do_not_count() -> None:
    """Of 24 rows, five are missing, and the one after them ends their interpolation: no window may end there."""
    heat = ramp_table()["heat"].to_pylist()
    heat[100:105] = [None] * 5
    dataset = mill_dataset(with_column(ramp_table(), "heat", heat))
    both = [contender(dataset, "warmth", LAST)] * 2
    assert compare(dataset, *both, 96, HORIZON) == "only 18 rows are new to both models, and a comparison needs 20"
    found = compare(dataset, *both, 90, HORIZON)
    assert isinstance(found, Comparison)
    assert found.rows == 24


def test_a_feature_that_never_changed_in_training_has_no_scale() -> None:
    dataset = mill_dataset(with_column(ramp_table(), "heat", [5.0] * 120))
    found = compare(dataset, *[contender(dataset, "warmth", LAST)] * 2, 96, HORIZON)
    assert found == "heat never changed in the training rows, so there is no scale for an error"
    dataset = mill_dataset(with_column(ramp_table(), "load", [5.0] * 120))
    both = compare(dataset, contender(dataset, "power", LAST), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(both, Comparison)
    assert list(both.features) == ["parts"]
    assert both.challenger == pytest.approx(OF_LAST, rel=1e-5)


def test_the_scale_of_a_feature_that_repeats_every_season_is_its_standard_deviation() -> None:
    """0 to 6 each week: the week before is right, and the last value is wrong by 5 steps of a sawtooth."""
    days = np.arange(120)
    dataset = mill_dataset(with_column(ramp_table(), "heat", (days % 7).astype(float)))
    found = compare(dataset, contender(dataset, "warmth", LAST), contender(dataset, "warmth", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    first = days[96 : 120 - HORIZON + 1]
    wrong = [((day + lead) % 7) - ((day - 1) % 7) for day in first for lead in range(HORIZON)]
    expected = np.sqrt(np.mean(np.square(wrong))) / np.std(days[:77] % 7)
    assert found.challenger == pytest.approx(expected, rel=1e-4)
    assert found.champion == pytest.approx(0.0, abs=1e-5)


def test_a_forecast_that_is_not_finite_is_no_missing_value() -> None:
    dataset = mill_dataset(ramp_table())
    broken = {"load": LAST["load"], "parts": [(1, "parts", np.nan)]}
    found = compare(dataset, contender(dataset, "power", broken), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert found.challenger == np.inf
    assert found.champion == pytest.approx(OF_WEEK, rel=1e-5)


def test_scaled_rmse_of_a_small_case() -> None:
    actual = np.array([[1.0, 2.0, 3.0, np.nan], [3.0, np.nan, 3.0, np.nan]])
    forecast = np.array([[1.0, 5.0, np.inf, 0.0], [7.0, np.nan, 3.0, np.nan]])
    scale = np.array([2.0, 6.0, 1.0, 1.0])
    np.testing.assert_allclose(scaled_rmse(actual, forecast, scale), [np.sqrt(8) / 2, 0.5, np.inf, np.nan])
    np.testing.assert_allclose(scaled_rmse(actual[:, :1], forecast[:, :1], np.array([0.0])), [np.nan])


# the rule


def compared(challenger: float, champion_error: float) -> Comparison:
    return Comparison(challenger, champion_error, rows=40, origins=36, features={})


@pytest.mark.parametrize(
    ("rule", "challenger", "champion_error", "promoted"),
    [
        ("if_better", 0.99, 1.0, True),
        ("if_better", 1.0, 1.0, False),
        ("if_better", 1.01, 1.0, False),
        ("if_not_worse_than", 1.0, 1.0, True),
        ("if_not_worse_than", 1.25, 1.0, True),
        ("if_not_worse_than", 1.2501, 1.0, False),
        ("if_better", 1 - 1e-8, 1.0, False),  # float32 is not that exact
        ("if_not_worse_than", 1e-8, 0.0, True),
        ("if_not_worse_than", 0.0, 0.0, True),
        ("if_better", np.inf, 1.0, False),
        ("if_not_worse_than", np.inf, np.inf, False),
        ("if_better", 1.0, np.inf, True),
    ],
)
def test_what_the_rule_makes_of_two_errors(rule: Any, challenger: float, champion_error: float, promoted: bool) -> None:
    assert verdict(Promote(rule=rule, tolerance=0.25), compared(challenger, champion_error))[0] is promoted


def test_the_reason_has_both_numbers_and_the_rows() -> None:
    reason = verdict(Promote(rule="if_not_worse_than", tolerance=0.02), compared(0.9, 0.84))[1]
    assert reason == (
        "its error is more than 2 % larger: 0.9 against 0.84 of the model in use, on 40 rows that neither model has "
        "seen"
    )
    assert verdict(Promote(rule="if_better"), compared(0.8, 0.84))[1].startswith("its error is smaller: 0.8 against")


# rows that neither has seen


def rows_of(last: Mapping[str, str]) -> dict[str, Any]:
    return {part: {"rows": 1, "first": "2023-12-20T00:00:00", "last": stamp} for part, stamp in last.items()}


@pytest.mark.parametrize(
    ("new", "old", "start"),
    [
        ({"train": "2023-12-24", "validation": "2023-12-29"}, {"train": "2023-12-22", "validation": "2023-12-25"}, 10),
        ({"train": "2023-12-22", "validation": "2023-12-25"}, {"train": "2023-12-24", "validation": "2023-12-29"}, 10),
        ({"train": "2023-12-24"}, {"train": "2023-12-21"}, 5),  # no validation part
        ({"train": "2020-01-01"}, {"train": "2020-01-01"}, 0),  # rows that have been dropped since
        ({"train": "2030-01-01"}, {"train": "2020-01-01"}, 120),
    ],
)
def test_unseen_rows_come_after_both_models_validation(
    new: Mapping[str, str], old: Mapping[str, str], start: int
) -> None:
    dataset = mill_dataset(ramp_table())
    records = [
        linear_member(dataset, "warmth", LAST).metadata.model_copy(update={"training_rows": rows_of(last)})
        for last in (new, old)
    ]
    assert first_unseen(dataset, records) == start


@pytest.mark.parametrize("rows", [{}, {"train": {"rows": 64}}, {"train": {"last": "soon"}}, {"train": 3}])
def test_a_record_without_its_rows_is_named(rows: dict[str, Any]) -> None:
    dataset = mill_dataset(ramp_table())
    record = linear_member(dataset, "warmth", LAST).metadata.model_copy(update={"training_rows": rows})
    with pytest.raises(RegistryError, match="the record of model 'warmth' does not say on which rows it was trained"):
        first_unseen(dataset, [record])


def test_a_linear_ensemble_is_what_these_tests_take_it_for() -> None:
    """The oracle of this file, once through the ordinary path."""
    dataset = mill_dataset(ramp_table())
    forecast = linear_ensemble(dataset, LAST).predict(ramp_table(), 5)
    np.testing.assert_allclose(forecast["heat"], [595.0] * 5, rtol=1e-5)
