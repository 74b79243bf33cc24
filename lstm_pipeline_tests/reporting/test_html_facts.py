"""The facts of a report: forecasts of held-out rows by hand, thinning, words, and what changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.registry import Decision, EnsembleMetadata, PinnedModel
from lstm_pipeline.reporting.html.changes import changes
from lstm_pipeline.reporting.html.facts import Row
from lstm_pipeline.reporting.html.held_out import forecast_held_out, residuals_of, with_calibration
from lstm_pipeline.reporting.html.thinning import packed_clock, packed_rows, plain, thinned
from lstm_pipeline.reporting.html.words import saved, season_words, span, trust, verdict
from lstm_pipeline_tests.mill import HORIZON, PREDICTED, ROWS, linear_ensemble, mill_dataset, mill_table, with_column
from lstm_pipeline_tests.stubs import metadata

TEST = 96
OWN_UNITS = {"power": "none", "warmth": "none"}
LAST = {name: [(1, name, 1.0)] for name in PREDICTED}


def last_value(table: pa.Table | None = None) -> tuple[Any, Ensemble]:
    """A dataset, and an ensemble that repeats the last value."""
    dataset = mill_dataset(table)
    return dataset, linear_ensemble(dataset, LAST, OWN_UNITS)


def test_held_out_forecasts_of_the_last_value_by_hand() -> None:
    dataset, ensemble = last_value()
    told: list[str] = []
    found = forecast_held_out(dataset, ensemble, HORIZON, told.append)
    assert found is not None
    assert found.names == tuple(PREDICTED)
    values = np.column_stack([mill_table()[name].to_numpy().astype(np.float64) for name in PREDICTED])
    # all 20 origins from row 96 to 115, five steps each
    assert (found.origins, found.horizon) == (20, 5)
    rows = np.arange(TEST, ROWS - 4)[:, None] + np.arange(5)
    errors = values[rows] - values[rows[:, :1] - 1]
    np.testing.assert_allclose(found.by_lead["ensemble"], np.sqrt((errors**2).mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(found.by_lead["ensemble"], found.by_lead["last_value"], rtol=1e-5)
    for index, name in enumerate(PREDICTED):
        expected = float(np.sqrt((errors[..., index] ** 2).mean()))
        assert found.metrics["ensemble"][name]["rmse"] == pytest.approx(expected, rel=1e-5)
        # every row one step ahead: the difference to the row before
        residual = values[TEST:, index] - values[TEST - 1 : -1, index]
        np.testing.assert_allclose(found.residuals[name].values, residual, rtol=1e-4, atol=1e-4)
    # forecasts that follow each other: rows 96 to 115, as a fifth one would end after the data; five rows, one value
    np.testing.assert_array_equal(found.actual, values[TEST:])
    np.testing.assert_allclose(found.forecast[:20], np.repeat(values[[95, 100, 105, 110]], 5, axis=0), rtol=1e-5)
    assert np.isnan(found.forecast[20:]).all()
    assert found.clock[0] == pd.Timestamp("2023-12-20") + pd.Timedelta(days=TEST)
    assert told == ["forecasting 5 steps from 20 held-out origins", "forecasting every held-out row one step ahead"]


def test_the_blend_of_the_version_is_applied() -> None:
    dataset, ensemble = last_value()
    season = np.tile([0.0, 1.0, 0.0], (3, 1))
    published = linear_ensemble(dataset, LAST, OWN_UNITS)
    published.calibration = replace(Calibration.none(PREDICTED), weights=season)
    found = forecast_held_out(dataset, with_calibration(ensemble, published), HORIZON)
    assert found is not None
    np.testing.assert_allclose(found.by_lead["ensemble"], found.by_lead["seasonal_naive"])
    assert not np.allclose(found.by_lead["network"], found.by_lead["ensemble"])


def test_what_was_not_observed_counts_for_nothing() -> None:
    values: list[float | None] = mill_table()["load"].to_pylist()
    for row in range(TEST, TEST + 20, 2):
        values[row] = None
    dataset = mill_dataset(with_column(mill_table(), "load", values), missing="ffill")
    found = forecast_held_out(dataset, linear_ensemble(dataset, LAST, OWN_UNITS), 1)
    assert found is not None
    load = found.names.index("load")
    assert np.isnan(found.actual[0:20:2, load]).all()
    assert np.isnan(found.residuals["load"].values[0:20:2]).all()
    assert np.isfinite(found.by_lead["ensemble"]).all()


def test_lags_reach_over_two_seasons_but_need_values() -> None:
    noise = np.random.default_rng(1).normal(size=500)
    assert len(residuals_of(noise, 7).correlations) == 14
    assert len(residuals_of(noise, 144).correlations) == 40
    assert len(residuals_of(noise[:30], 7).correlations) == 6
    assert residuals_of(noise, 7).bound == pytest.approx(1.96 / np.sqrt(500))
    constant = residuals_of(np.zeros(50), 7)
    assert len(constant.correlations) == len(constant.partial) == 0
    assert constant.ljung_box is None


def test_thinning_keeps_extremes_ends_and_gaps() -> None:
    values = np.sin(np.arange(1000) / 9)
    values[333], values[444] = 9, -9
    values[600:700] = np.nan
    rows = thinned(values, 100)
    assert len(rows) <= 100
    assert {333, 444, 999} <= set(rows.tolist())
    assert np.isnan(values[rows]).any()
    assert (np.diff(rows) > 0).all()
    recent = thinned(values, 100, recent=True)
    assert recent[-50:].tolist() == [*range(950, 1000)]
    assert len(recent) <= 100
    assert thinned(values[:50], 100).tolist() == [*range(50)]


def test_numbers_and_rows_are_packed() -> None:
    assert plain(np.array([1.0, 0.123456789, np.nan, np.inf, 123456.7, -0.0])) == [1, 0.12346, None, None, 123460, 0]
    assert packed_rows(np.array([4, 5, 6])) == {"i": 4, "n": 3}
    assert packed_rows(np.array([4, 6, 7])) == {"i": 4, "n": 3, "d": [2, 1]}
    months = packed_clock(pd.DatetimeIndex(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]))
    assert months == {"t": 1_704_067_200, "n": 4, "d": [[31 * 86_400, 1], [29 * 86_400, 1], [31 * 86_400, 1]]}
    assert packed_clock(pd.date_range("2024-01-01", periods=3, freq="10min"))["s"] == 600


@pytest.mark.parametrize(
    ("frequency", "steps", "words"),
    [
        ("D", 1, "1 day"), ("D", 7, "1 week"), ("D", 30, "30 days"), ("10min", 144, "1 day"), ("10min", 72, "12 hours"),
        ("10min", 1, "10 minutes"), ("h", 168, "7 days"), ("MS", 12, "1 year"), ("MS", 3, "3 months"),
        ("QS", 2, "2 quarters"), ("W-SUN", 52, "1 year"), ("W-SUN", 2, "2 weeks"), ("rows", 5, "5 steps"),
    ],
)  # fmt: skip
def test_steps_as_a_span_of_time(frequency: str, steps: int, words: str) -> None:
    assert span(frequency, steps) == words


def test_the_seasonal_naive_forecast_in_words() -> None:
    assert season_words("D", 7) == "repeating the last week"
    assert season_words("10min", 144) == "repeating the last day"
    assert season_words("D", 1) == "repeating the last value"
    assert season_words("D", 14) == "repeating the last 2 weeks"


@pytest.mark.parametrize(
    ("skill", "word"),
    [
        (0.6, "much better"), (0.36, "clearly better"), (0.1, "slightly better"), (0.0, "about as good"),
        (-0.01, "about as good"), (-0.44, "worse"), (None, "not rated"),
    ],
)  # fmt: skip
def test_a_skill_in_words(skill: float | None, word: str) -> None:
    assert verdict(skill) == word


def test_trust_says_how_much_smaller_or_larger_the_error_is() -> None:
    naive = "repeating the last week"
    assert saved(0.36) == pytest.approx(0.2)
    assert trust(0.36, naive) == "clearly better than repeating the last week: typical error 20 % smaller"
    assert trust(-0.44, naive) == "worse than repeating the last week: typical error 20 % larger"
    assert trust(0.0, naive) == "about as good as repeating the last week"
    assert trust(None, naive).startswith("not rated")


def version(name: str, runs: dict[str, str], **changes: Any) -> EnsembleMetadata:
    pinned = [
        PinnedModel(model_name=group, version=name, model_path="", run_id=run, files=[]) for group, run in runs.items()
    ]
    values: dict[str, Any] = {
        "model_name": "mill", "version": name, "feature_groups": list(runs), "metrics": {}, "individual_models": pinned,
        "feature_metrics": {"rolled": {"a": {"rmse": 2.0, "skill": 0.1}}}, "run_id": "run", "metric_definitions": {},
        "evaluation": {"rows": {"rows": 9}, "data_fingerprint": "a" * 64, "notes": ["old"]},
    }  # fmt: skip
    return EnsembleMetadata(**{**values, **changes})


def test_what_changed_between_two_versions() -> None:
    before = version("v1", {"power": "run1", "heat": "run1", "gone": "run1"})
    decision = Decision(group="power", run_id="run2", promoted=True, rule="if_better", reason="1 is below 2")
    now = version(
        "v2",
        {"power": "run2", "heat": "run1"},
        decisions=[decision],
        feature_metrics={"rolled": {"a": {"rmse": 1.0, "skill": 0.5}, "b": {"rmse": 9.0}}},
        evaluation={"rows": {"rows": 9}, "data_fingerprint": "b" * 64, "notes": ["new"]},
    )
    old = {group: metadata(group, "run1") for group in ("power", "heat", "gone")}
    new = {
        "power": metadata(
            "power", "run2", hyperparameters={"units": 8, "sequence_length": 8}, training_rows={"train": {"rows": 65}}
        ),
        "heat": metadata("heat", "run1", max_gap=3),
    }
    found = changes(before, now, old, new)
    assert found.before == "v1"
    assert found.groups == (
        Row("power", "model of v1", "a new model (v2): promoted, 1 is below 2"),
        Row("heat", "model of v1", "the same model (v2)"),
        Row("gone", "model of v1", "no such group"),
    )
    assert found.options == (Row("units (power)", "3", "8"), Row("max_gap (heat)", "24", "3"))
    assert found.data == (
        Row("data fingerprint", "aaaaaaaaaaaa", "bbbbbbbbbbbb"),
        Row("notes on the data", "old", "new"),
    )
    assert found.accuracy == {"a": ({"rmse": 2.0, "skill": 0.1}, {"rmse": 1.0, "skill": 0.5})}
    assert not found.same_rows
    same = changes(before, before, old, old)
    assert same.same_rows
    assert not same.options
    assert not same.data


def test_an_older_record_without_notes_and_rows_can_be_compared() -> None:
    bare = version("v1", {"power": "run1"}, evaluation={"horizon": 5}, feature_metrics={})
    models = {"power": metadata("power", "run1")}
    found = changes(bare, version("v2", {"power": "run1"}), models, models)
    assert found.accuracy == {}
    assert Row("data fingerprint", "–", "aaaaaaaaaaaa") in found.data
