"""A model's record against the spec: what a user has changed, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.tasks import resolve_options
from lstm_pipeline.forecasting.training import recorded_options
from lstm_pipeline.monitoring.options import Change, changed_settings
from lstm_pipeline.registry.records import BoundRecord, InputRecord, ModelMetadata
from lstm_pipeline.spec.project import ProjectSpec
from lstm_pipeline_tests.mill import GROUPS, HORIZON, TINY, mill_dataset, mill_spec, mill_step
from lstm_pipeline_tests.stubs import metadata

STEPS = ["filter_with_condition: date <= current_date()"]


def record(dataset: Dataset, group: str = "power", **training: Any) -> ModelMetadata:
    """What a training with these settings records."""
    step = mill_step(**training)
    return metadata(
        group, "run", predicted_features=list(dataset.features.groups[group]),
        feature_columns=[*dataset.series.names, *dataset.known], future_covariates=list(dataset.features.covariates),
        calendar_features=list(dataset.calendar), dropped_columns=list(step.drop_cols),
        hyperparameters=recorded_options(step, resolve_options(dataset, step, group, HORIZON), dataset.sequence_length),
        frequency=dataset.series.timeline.frequency, season_length=dataset.season, random_seed=step.random_seed,
        input=InputRecord(rows=1, oldest=None, newest=None, fingerprint="", files=1, steps=STEPS),
    )  # fmt: skip


def spec_of(**training: Any) -> ProjectSpec:
    return ProjectSpec.model_validate(mill_spec(**training))


@pytest.mark.parametrize("settings", [{}, {"preset": None}, {"preset": None, "models_config": {}}])
def test_nothing_has_changed_right_after_a_training(settings: dict[str, Any]) -> None:
    """Also with options that are resolved from the data: length of a chunk, known future, kind of the network."""
    assert changed_settings(spec_of(**settings), "power", record(mill_dataset(**settings), **settings)) == ()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"models_config": {"power": {**TINY, "units": 4}, "warmth": TINY}}, Change("units", 3, 4)),
        ({"models_config": {"power": {**TINY, "output_chunk_length": 2}}}, Change("output_chunk_length", 1, 2)),
        ({"sequence_length": 9}, Change("sequence_length", 8, 9)),
        ({"train_ratio": 0.7}, Change("train_ratio", 0.8, 0.7)),
        ({"epochs": 3}, Change("epochs", 2, 3)),
        ({"random_seed": 7}, Change("random_seed", 42, 7)),
        ({"missing": "ffill"}, Change("missing", "interpolate", "ffill")),
        ({"timestamp_col": "day"}, Change("timestamp_col", "date", "day")),
        ({"season_length": 30}, Change("season_length", 7, 30)),
        ({"drop_cols": []}, Change("drop_cols", ["note"], [])),
        ({"future_covariates": ["wind"]}, Change("future_covariates", [], ["wind"])),
        ({"feature_groups": {"power": ["load"], "warmth": ["heat", "parts"]}},
         Change("features", ["load", "parts"], ["load"])),
    ],
)  # fmt: skip
def test_each_setting_of_the_spec_is_compared(changed: dict[str, Any], expected: Change) -> None:
    assert changed_settings(spec_of(**changed), "power", record(mill_dataset())) == (expected,)


def test_bounds_that_the_spec_states_are_compared() -> None:
    model = record(mill_dataset()).model_copy(update={"bounds": {"load": BoundRecord(min=0.0)}})
    assert changed_settings(spec_of(), "power", model) == ()  # found in the data
    assert changed_settings(spec_of(bounds={"load": {"min": 0}, "heat": {"max": 1e4}}), "power", model) == ()
    bounds = {"load": {"min": 0, "max": 99}, "parts": {"min": -1}}
    assert changed_settings(spec_of(bounds=bounds), "power", model) == (
        Change("bounds.load", "0 to none", "0 to 99"),
        Change("bounds.parts", "none to none", "-1 to none"),
    )
    assert changed_settings(spec_of(bounds={"load": {}}), "power", model) == (
        Change("bounds.load", "0 to none", "none to none"),
    )


def test_another_groups_options_are_no_change() -> None:
    other = {"models_config": {"power": TINY, "warmth": {**TINY, "units": 9}}}
    assert changed_settings(spec_of(**other), "power", record(mill_dataset())) == ()
    (change,) = changed_settings(spec_of(**other), "warmth", record(mill_dataset(), "warmth"))
    assert change == Change("units", 3, 9)


def test_the_calendar_follows_from_holidays_and_frequency() -> None:
    (change,) = changed_settings(spec_of(holidays="DE"), "power", record(mill_dataset()))
    assert change.key == "calendar_features"
    assert set(change.now) - set(change.was) == {"holiday_DE"}
    keys = [change.key for change in changed_settings(spec_of(frequency="h"), "power", record(mill_dataset()))]
    assert keys == ["frequency", "season_length", "calendar_features"]


def test_a_frequency_that_is_written_out_is_no_change() -> None:
    assert changed_settings(spec_of(frequency="1D"), "power", record(mill_dataset())) == ()


def test_changed_sql_is_a_change_of_all_groups_and_changed_white_space_is_none() -> None:
    def with_condition(text: str) -> ProjectSpec:
        spec = mill_spec()
        spec["model_metadata"]["transformations"][0]["condition"] = text
        return ProjectSpec.model_validate(spec)

    assert changed_settings(with_condition("date  <=\n current_date()"), "power", record(mill_dataset())) == ()
    for group in GROUPS:
        (change,) = changed_settings(with_condition("load > 3"), group, record(mill_dataset(), group))
        assert change == Change("transformations", STEPS, ["filter_with_condition: load > 3"])


def test_a_record_of_an_older_release_is_compared_as_far_as_it_goes() -> None:
    old = record(mill_dataset()).model_copy(update={"input": None, "dropped_columns": None})
    used = {key: value for key, value in old.hyperparameters.items() if key != "members"}
    old = old.model_copy(update={"hyperparameters": used})
    assert changed_settings(spec_of(drop_cols=[]), "power", old) == ()
    assert changed_settings(spec_of(models_config={"power": {**TINY, "members": 3}}), "power", old) == ()
