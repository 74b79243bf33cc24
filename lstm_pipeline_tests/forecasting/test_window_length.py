"""How many rows a window has, if the spec names no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.forecasting.window_length import step_for, window_length
from lstm_pipeline.spec import ProjectSpec
from lstm_pipeline_tests import stubs
from lstm_pipeline_tests.mill import GROUPS, mill_dataset, mill_project, mill_spec, mill_step, mill_table


@pytest.mark.parametrize(
    ("season", "training_rows", "expected"),
    [
        (7, 10_000, 90),  # days: twelve weeks
        (24, 10_000, 90),  # hours: more than three days
        (96, 10_000, 192),  # quarters of an hour: two days
        (144, 2304, 288),  # ten minutes: eight windows fit
        (144, 2303, 144),  # one day, as eight windows of two do not fit
        (144, 1151, 90),
        (500, 10_000, 1000),
        (501, 10_000, 501),  # two seasons are too long
        (1440, 1_000_000, 90),
    ],
)
def test_two_seasons_if_they_are_longer_and_the_rows_allow_it(season: int, training_rows: int, expected: int) -> None:
    assert window_length(mill_step(sequence_length=None, preset=None), season, training_rows) == expected


def test_the_spec_and_the_documented_preset_are_obeyed() -> None:
    assert window_length(mill_step(sequence_length=12, preset=None), 144, 10_000) == 12
    assert window_length(mill_step(sequence_length=None, preset="documented"), 144, 10_000) == 90


def test_a_dataset_and_its_windows_have_that_length() -> None:
    dataset = mill_dataset(mill_table(1300), sequence_length=None, preset=None, season_length=50)
    assert dataset.sequence_length == 100
    assert mill_dataset(mill_table(1300), sequence_length=None, preset=None).sequence_length == 90


def without_length(prediction: int | None) -> dict[str, Any]:
    spec = mill_spec(sequence_length=None)
    (step,) = (one for one in spec["predictions"]["transformations"] if "prediction" in one["transform"])
    step |= {} if prediction is None else {"sequence_length": prediction}
    return spec


def test_a_length_that_only_the_prediction_names_is_that_of_the_training() -> None:
    assert ProjectSpec.model_validate(without_length(11)).training.sequence_length == 11
    assert ProjectSpec.model_validate(without_length(None)).training.sequence_length is None


def test_some_groups_read_windows_as_long_as_those_of_the_models_beside_them(tmp_path: Path) -> None:
    project = mill_project(tmp_path, sequence_length=None)
    assert step_for(project, ["power"]).sequence_length is None  # there is no version yet
    for group in GROUPS:
        stubs.save_candidate(project.registry, group, "run1")
    stubs.publish(project.registry, tuple(GROUPS))
    assert step_for(project, ["power"]).sequence_length == 8
    assert step_for(project, list(GROUPS)).sequence_length is None
    assert step_for(mill_project(tmp_path / "named", sequence_length=12), ["power"]).sequence_length == 12
