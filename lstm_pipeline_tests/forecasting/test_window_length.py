"""How many rows a window has, if the spec names no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.window_length import shared_length, window_lengths
from lstm_pipeline.spec import ProjectSpec
from lstm_pipeline_tests import stubs
from lstm_pipeline_tests.mill import GROUPS, mill_dataset, mill_project, mill_spec, mill_step, mill_table


@pytest.mark.parametrize(
    ("season", "training_rows", "expected"),
    [
        (7, 10_000, (90, 98)),  # days: twelve weeks, and fourteen
        (24, 10_000, (90, 336)),  # hours: more than three days, and two weeks
        (24, 1600, (90, 200)),  # eight windows fit
        (24, 700, (90, 90)),
        (96, 10_000, (192, 672)),  # quarters of an hour: two days, and a week
        (144, 2304, (288, 288)),  # ten minutes: eight windows fit
        (144, 2303, (144, 287)),  # one day, as eight windows of two do not fit
        (144, 1151, (90, 143)),
        (500, 10_000, (1000, 1000)),
        (501, 10_000, (501, 672)),  # two seasons are too long
        (1440, 1_000_000, (90, 672)),
    ],
)
def test_two_seasons_and_fourteen_as_far_as_the_rows_allow_it(
    season: int, training_rows: int, expected: tuple[int, int]
) -> None:
    assert window_lengths(mill_step(sequence_length=None, preset=None), season, training_rows) == expected


def test_the_spec_and_the_documented_preset_are_obeyed() -> None:
    assert window_lengths(mill_step(sequence_length=12, preset=None), 144, 10_000) == (12, 12)
    assert window_lengths(mill_step(sequence_length=None, preset="documented"), 144, 10_000) == (90, 90)


@pytest.mark.parametrize(("longest", "expected"), [(300, (288, 300)), (100, (100, 100))])
def test_other_models_give_the_longest_window(longest: int, expected: tuple[int, int]) -> None:
    step = mill_step(sequence_length=None, preset=None)
    assert window_lengths(step, 144, 10_000, longest) == expected
    assert window_lengths(mill_step(sequence_length=12), 144, 10_000, longest) == (12, 12)


def lengths(dataset: Dataset) -> tuple[int, int]:
    return dataset.usual_length, dataset.sequence_length


def test_a_dataset_and_its_windows_have_that_length() -> None:
    assert lengths(mill_dataset(mill_table(1300), sequence_length=None, preset=None, season_length=50)) == (100, 104)
    assert lengths(mill_dataset(mill_table(3000), sequence_length=None, preset=None, season_length=24)) == (90, 240)


def test_long_gaps_leave_the_usual_window() -> None:
    """Of every 200 rows, 40 are missing: windows of 240 rows do not exist."""
    table = mill_table(3000)
    kept = np.arange(3000) % 200 < 160
    dataset = mill_dataset(table.filter(pa.array(kept)), sequence_length=None, preset=None, season_length=24)
    assert lengths(dataset) == (90, 90)


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
    assert shared_length(project, ["power"]) is None  # there is no version yet
    for group in GROUPS:
        stubs.save_candidate(project.registry, group, "run1")
    stubs.publish(project.registry, tuple(GROUPS))
    assert shared_length(project, ["power"]) == 8
    assert shared_length(project, list(GROUPS)) is None
    assert shared_length(mill_project(tmp_path / "named", sequence_length=12), ["power"]) is None
